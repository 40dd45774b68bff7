//! Catalogues that no farm can serve, and steps that unfinished jobs stand in the way of.

use std::collections::BTreeSet;

use super::catalogue::Catalogue;
use super::catalogue_change::{CatalogueChange, pushes, same};
use super::target::{Target, WeightedTarget};
use crate::error::{Error, Result};

impl Catalogue {
    /// Refuses, `Invalid`, what no farm can serve: `invalid_catalogue` for anything that is there twice, for the architecture
    /// `source`, for two repositories of one suite and format, and for one of a suite that has no target; `invalid_pattern` for a
    /// block rule; `invalid_move` for a move without a reason.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid(what).with_code("invalid_catalogue"));
        let mut seen = BTreeSet::new();
        for WeightedTarget { target, .. } in &self.targets {
            if target.arch.is_source() {
                return refuse(format!(
                    "{target}: every suite has the architecture source by itself"
                ));
            }
            if !seen.insert(target) {
                return refuse(format!("the target {target} is there twice"));
            }
        }
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        for r in &self.repositories {
            if !names.insert(&r.name) || !places.insert((&r.dist, &r.suite, &r.format)) {
                let place = format!("{}/{} {}", r.dist, r.suite, r.format);
                return refuse(format!(
                    "the repository {} or one for {place} is there twice",
                    r.name
                ));
            }
            let serves =
                |t: &Target| (&t.dist, &t.suite, &t.format) == (&r.dist, &r.suite, &r.format);
            if !self.targets.iter().any(|t| serves(&t.target)) {
                return refuse(format!(
                    "the repository {} is for {}/{} {}, for which nothing is built",
                    r.name, r.dist, r.suite, r.format
                ));
            }
        }
        for (n, rule) in self.rules.iter().enumerate() {
            rule.check()?;
            if self.rules[..n].iter().any(|other| same(other, rule)) {
                return refuse(format!("the rule for {:?} is there twice", rule.pattern));
            }
        }
        for (n, rule) in self.hook_rules.iter().enumerate() {
            if self.hook_rules[..n].contains(rule) {
                return refuse(format!("the hook rule {} is there twice", pushes(rule)));
            }
        }
        self.check_moves()
    }

    fn check_moves(&self) -> Result<()> {
        for (n, moved) in self.all_moves().iter().enumerate() {
            moved.check()?;
            if self.all_moves()[..n].iter().any(|other| other.is_same(moved)) {
                let message = format!("the move of {moved} is there twice");
                return Err(Error::invalid(message).with_code("invalid_catalogue"));
            }
        }
        Ok(())
    }

    /// Refuses, `Conflict`, code `in_use`, steps to this catalogue that take away what unfinished jobs still need; `used` has the
    /// targets of those jobs with their number. A source job needs its environment until it ends, whatever the architecture.
    pub fn check_uses(&self, changes: &[CatalogueChange], used: &[(Target, u64)]) -> Result<()> {
        for change in changes {
            let jobs: u64 = match change {
                CatalogueChange::RemoveTarget { target } => used
                    .iter()
                    .filter(|(t, _)| self.misses(t, &target.target))
                    .map(|(_, n)| n)
                    .sum(),
                CatalogueChange::RemoveRepository { repository: r }
                | CatalogueChange::ChangeRepository { from: r, .. } => {
                    let there = |t: &Target| {
                        (&t.dist, &t.suite, &t.format) == (&r.dist, &r.suite, &r.format)
                    };
                    used.iter().filter(|(t, _)| there(t)).map(|(_, n)| n).sum()
                }
                _ => 0,
            };
            if jobs > 0 {
                let text = change.to_string();
                let what = text.trim_start_matches(['-', '~', ' ']);
                let message = format!(
                    "{what}: {jobs} unfinished jobs still need it as it is; cancel them or let them end first"
                );
                return Err(Error::conflict(message).with_code("in_use"));
            }
        }
        Ok(())
    }

    /// Whether a job for `job` cannot go on without `gone`.
    fn misses(&self, job: &Target, gone: &Target) -> bool {
        let room = |t: &Target| (t.dist.clone(), t.suite.clone(), t.format.clone(), t.env.clone());
        let is_left = || self.targets.iter().any(|t| room(&t.target) == room(gone));
        job == gone || (job.arch.is_source() && room(job) == room(gone) && !is_left())
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue_change::tests::{catalogue, moved, repository, rule, target};
    use super::*;

    #[test]
    fn what_no_farm_can_serve_is_refused() {
        catalogue().check().unwrap();
        let broken: [fn(&mut Catalogue); 7] = [
            |c| c.targets.push(target("sid", "arm64", 1)),
            |c| c.targets.push(target("sid", "source", 1)),
            |c| c.repositories.push(repository("sid", "sid")),
            |c| c.repositories.push(repository("again", "sid")),
            |c| c.repositories.push(repository("more", "more")),
            |c| c.rules.push(rule(0, "^linux-")),
            |c| c.moves = Some(vec![moved("x", "why"), moved("x", "why")]),
        ];
        for (n, change) in broken.iter().enumerate() {
            let mut wanted = catalogue();
            change(&mut wanted);
            assert_eq!(wanted.check().expect_err(&n.to_string()).code(), "invalid_catalogue");
        }
    }

    #[test]
    fn what_unfinished_jobs_need_stays() {
        let source = target("sid", "source", 0).target;
        let one = Catalogue { targets: vec![target("sid", "amd64", 10)], ..catalogue() };
        let check = |wanted: &Catalogue, used: &[(Target, u64)]| {
            wanted.check_uses(&catalogue().changes_to(wanted), used).map_err(|e| e.code())
        };
        assert_eq!(check(&one, &[(target("sid", "amd64", 0).target, 3)]), Ok(()));
        assert_eq!(check(&one, &[(target("sid", "arm64", 0).target, 3)]), Err("in_use"));
        assert_eq!(check(&one, &[(source.clone(), 1)]), Ok(()));
        let none = Catalogue::default();
        assert_eq!(check(&none, &[(source, 1)]), Err("in_use"));
        assert_eq!(check(&none, &[]), Ok(()));
        let moved = Catalogue { repositories: vec![repository("sid", "more")], ..catalogue() };
        assert_eq!(check(&moved, &[(target("sid", "amd64", 0).target, 1)]), Err("in_use"));
    }
}
