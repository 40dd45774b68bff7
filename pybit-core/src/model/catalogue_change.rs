//! From the catalogue that is to the one that is wanted: which steps, and whether jobs stand in the way.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::catalogue::{BlockRule, Catalogue, HookRule, Repository};
use super::target::{Target, WeightedTarget};
use crate::error::{Error, Result};

/// One step from one catalogue to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum CatalogueChange {
    /// Builds can be made for it from now on.
    AddTarget {
        /// What is added.
        target: WeightedTarget,
    },
    /// It is preferred more, or less.
    SetWeight {
        /// Which.
        target: Target,
        /// Its weight so far.
        from: i32,
        /// Its weight from now on.
        to: i32,
    },
    /// Nothing is built for it any more.
    RemoveTarget {
        /// What is removed.
        target: WeightedTarget,
    },
    /// Results are published there from now on.
    AddRepository {
        /// What is added.
        repository: Repository,
    },
    /// It serves another suite or format.
    ChangeRepository {
        /// As it is so far.
        from: Repository,
        /// As it is from now on; address and key stay.
        to: Repository,
    },
    /// Nothing is published there any more; its files stay.
    RemoveRepository {
        /// What is removed.
        repository: Repository,
    },
    /// It refuses submissions from now on; its number is 0 until it is stored.
    AddRule {
        /// What is added.
        rule: BlockRule,
    },
    /// It refuses nothing any more.
    RemoveRule {
        /// What is removed.
        rule: BlockRule,
    },
    /// Its pushes are built from now on.
    AddHookRule {
        /// What is added.
        rule: HookRule,
    },
    /// Its pushes are built no more.
    RemoveHookRule {
        /// What is removed.
        rule: HookRule,
    },
}

impl CatalogueChange {
    /// Whether it takes something away.
    pub fn removes(&self) -> bool {
        matches!(
            self,
            Self::RemoveTarget { .. }
                | Self::RemoveRepository { .. }
                | Self::RemoveRule { .. }
                | Self::RemoveHookRule { .. }
        )
    }
}

impl fmt::Display for CatalogueChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |r: &Repository| format!("{}/{} {}", r.dist, r.suite, r.format);
        match self {
            Self::AddTarget { target: WeightedTarget { target, weight } } => {
                write!(f, "+ target {target}, weight {weight}")
            }
            Self::SetWeight { target, from, to } => {
                write!(f, "~ target {target}: weight {from} becomes {to}")
            }
            Self::RemoveTarget { target } => write!(f, "- target {}", target.target),
            Self::AddRepository { repository: r } => {
                write!(f, "+ repository {} for {}", r.name, place(r))
            }
            Self::ChangeRepository { from, to } => {
                write!(f, "~ repository {}: {} becomes {}", to.name, place(from), place(to))
            }
            Self::RemoveRepository { repository } => write!(f, "- repository {}", repository.name),
            Self::AddRule { rule } => {
                write!(f, "+ rule: {} {:?} is refused", rule.subject.as_str(), rule.pattern)
            }
            Self::RemoveRule { rule } => {
                write!(f, "- rule {}: {} {:?}", rule.id, rule.subject.as_str(), rule.pattern)
            }
            Self::AddHookRule { rule } => write!(f, "+ hook {}", pushes(rule)),
            Self::RemoveHookRule { rule } => write!(f, "- hook {}", pushes(rule)),
        }
    }
}

fn pushes(rule: &HookRule) -> String {
    let push = &rule.rule;
    let which = match (&push.branch, &push.tag) {
        (_, Some(tag)) => format!("tag {tag:?}"),
        (Some(branch), None) => format!("branch {branch:?}"),
        (None, None) => "every branch".to_owned(),
    };
    format!("{}: {:?}, {which}, is built for {}", rule.hook, push.repository, push.suite)
}

impl Catalogue {
    /// Refuses, `Invalid`, what no farm can serve: `invalid_catalogue` for anything that is there twice, for the architecture
    /// `source`, for two repositories of one suite and format, and for one of a suite that has no target; `invalid_pattern` for a
    /// block rule.
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
        Ok(())
    }

    /// The steps that make `wanted` of this one, additions first. Address and key of a repository and the numbers of rules are
    /// nobody's wish: they stay as they are.
    pub fn changes_to(&self, wanted: &Self) -> Vec<CatalogueChange> {
        let mut changes = Vec::new();
        self.target_changes(wanted, &mut changes);
        self.repository_changes(wanted, &mut changes);
        let missing = |in_: &[BlockRule], rule: &BlockRule| !in_.iter().any(|r| same(r, rule));
        let added = wanted.rules.iter().filter(|r| missing(&self.rules, r)).cloned();
        changes.extend(added.map(|rule| CatalogueChange::AddRule { rule }));
        let removed = self.rules.iter().filter(|r| missing(&wanted.rules, r)).cloned();
        changes.extend(removed.map(|rule| CatalogueChange::RemoveRule { rule }));
        let added = wanted.hook_rules.iter().filter(|r| !self.hook_rules.contains(r)).cloned();
        changes.extend(added.map(|rule| CatalogueChange::AddHookRule { rule }));
        let removed = self.hook_rules.iter().filter(|r| !wanted.hook_rules.contains(r)).cloned();
        changes.extend(removed.map(|rule| CatalogueChange::RemoveHookRule { rule }));
        // Stable: what belongs together stays together.
        changes.sort_by_key(CatalogueChange::removes);
        changes
    }

    fn target_changes(&self, wanted: &Self, changes: &mut Vec<CatalogueChange>) {
        let find = |all: &[WeightedTarget], target: &Target| {
            all.iter().find(|t| t.target == *target).map(|t| t.weight)
        };
        for new in &wanted.targets {
            match find(&self.targets, &new.target) {
                None => changes.push(CatalogueChange::AddTarget { target: new.clone() }),
                Some(from) if from != new.weight => changes.push(CatalogueChange::SetWeight {
                    target: new.target.clone(),
                    from,
                    to: new.weight,
                }),
                Some(_) => {}
            }
        }
        let gone = self.targets.iter().filter(|t| find(&wanted.targets, &t.target).is_none());
        changes.extend(gone.cloned().map(|target| CatalogueChange::RemoveTarget { target }));
    }

    fn repository_changes(&self, wanted: &Self, changes: &mut Vec<CatalogueChange>) {
        for new in &wanted.repositories {
            let to = new.clone();
            match self.repositories.iter().find(|r| r.name == new.name) {
                None => changes.push(CatalogueChange::AddRepository { repository: to }),
                Some(r)
                    if (&r.dist, &r.suite, &r.format) != (&new.dist, &new.suite, &new.format) =>
                {
                    changes.push(CatalogueChange::ChangeRepository { from: r.clone(), to });
                }
                Some(_) => {}
            }
        }
        let names: BTreeSet<_> = wanted.repositories.iter().map(|r| &r.name).collect();
        let gone = self.repositories.iter().filter(|r| !names.contains(&r.name)).cloned();
        changes.extend(gone.map(|repository| CatalogueChange::RemoveRepository { repository }));
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

fn same(one: &BlockRule, other: &BlockRule) -> bool {
    (one.subject, &one.pattern, &one.reason) == (other.subject, &other.pattern, &other.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BlockSubject, RuleId};

    fn target(suite: &str, arch: &str, weight: i32) -> WeightedTarget {
        let target = serde_json::json!({
            "dist": "Debian", "suite": suite, "arch": arch, "format": "deb", "env": "sbuild",
        });
        WeightedTarget { target: serde_json::from_value(target).unwrap(), weight }
    }

    fn repository(name: &str, suite: &str) -> Repository {
        serde_json::from_value(serde_json::json!({
            "name": name, "dist": "Debian", "suite": suite, "format": "deb",
        }))
        .unwrap()
    }

    fn rule(id: i64, pattern: &str) -> BlockRule {
        BlockRule {
            id: RuleId(id),
            subject: BlockSubject::Package,
            pattern: pattern.to_owned(),
            reason: "no".to_owned(),
        }
    }

    fn catalogue() -> Catalogue {
        Catalogue {
            targets: vec![target("sid", "amd64", 10), target("sid", "arm64", 5)],
            repositories: vec![Repository {
                url: Some("http://x".into()),
                ..repository("sid", "sid")
            }],
            rules: vec![rule(7, "^linux-")],
            hook_rules: Vec::new(),
        }
    }

    #[test]
    fn addresses_and_numbers_are_nobodys_wish_and_removals_come_last() {
        let wanted = Catalogue {
            targets: vec![target("sid", "amd64", 20), target("sid", "riscv64", 1)],
            repositories: vec![repository("sid", "sid"), repository("more", "more")],
            rules: vec![rule(0, "^linux-"), rule(0, "^x")],
            hook_rules: Vec::new(),
        };
        let shown: Vec<_> =
            catalogue().changes_to(&wanted).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "~ target Debian/sid amd64 deb in sbuild: weight 10 becomes 20",
                "+ target Debian/sid riscv64 deb in sbuild, weight 1",
                "+ repository more for Debian/more deb",
                "+ rule: package \"^x\" is refused",
                "- target Debian/sid arm64 deb in sbuild",
            ]
        );
        assert_eq!(catalogue().changes_to(&catalogue()), []);
    }

    #[test]
    fn what_no_farm_can_serve_is_refused() {
        catalogue().check().unwrap();
        let broken: [fn(&mut Catalogue); 6] = [
            |c| c.targets.push(target("sid", "arm64", 1)),
            |c| c.targets.push(target("sid", "source", 1)),
            |c| c.repositories.push(repository("sid", "sid")),
            |c| c.repositories.push(repository("again", "sid")),
            |c| c.repositories.push(repository("more", "more")),
            |c| c.rules.push(rule(0, "^linux-")),
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
