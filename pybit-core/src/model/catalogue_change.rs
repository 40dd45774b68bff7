//! From the catalogue that is to the one that is wanted: which steps.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::catalogue::{BlockRule, Catalogue, HookRule, Repository};
use super::suite_move::SuiteMove;
use super::target::{Target, WeightedTarget};

/// One step from one catalogue to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum CatalogueChange {
    /// Builds can be made for it from now on.
    AddTarget {
        /// The added entry.
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
        /// The removed entry.
        target: WeightedTarget,
    },
    /// Results are published there from now on.
    AddRepository {
        /// The added entry.
        repository: Repository,
    },
    /// It serves another suite or format.
    ChangeRepository {
        /// As it is so far.
        from: Repository,
        /// As it is from now on; address and key stay.
        to: Repository,
    },
    /// Whether it replaces packages of the distribution in build roots changes.
    SetOverlay {
        /// As it is from now on, with `overlay`; address and key stay.
        to: Repository,
    },
    /// Nothing is published there any more; its files stay.
    RemoveRepository {
        /// The removed entry.
        repository: Repository,
    },
    /// It refuses submissions from now on; its number is 0 until it is stored.
    AddRule {
        /// The added entry.
        rule: BlockRule,
    },
    /// It refuses nothing any more.
    RemoveRule {
        /// The removed entry.
        rule: BlockRule,
    },
    /// Its pushes are built from now on.
    AddHookRule {
        /// The added entry.
        rule: HookRule,
    },
    /// Its pushes are built no more.
    RemoveHookRule {
        /// The removed entry.
        rule: HookRule,
    },
    /// A source may publish under another's name from now on.
    AddMove {
        /// The added entry.
        moved: SuiteMove,
    },
    /// A source may no more; what it published stays.
    RemoveMove {
        /// The removed entry.
        moved: SuiteMove,
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
                | Self::RemoveMove { .. }
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
                let overlay = if r.overlays() { ", which it overlays" } else { "" };
                write!(f, "+ repository {} for {}{overlay}", r.name, place(r))
            }
            Self::ChangeRepository { from, to } => {
                write!(f, "~ repository {}: {} becomes {}", to.name, place(from), place(to))
            }
            Self::SetOverlay { to } if to.overlays() => write!(
                f,
                "~ repository {}: overlays {}: builds take the newest of both",
                to.name,
                place(to)
            ),
            Self::SetOverlay { to } => {
                write!(f, "~ repository {}: overlays {} no more", to.name, place(to))
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
            Self::AddMove { moved } => write!(f, "+ move of {moved}: {}", moved.why),
            Self::RemoveMove { moved } => write!(f, "- move of {moved}"),
        }
    }
}

pub(super) fn pushes(rule: &HookRule) -> String {
    let push = &rule.rule;
    let which = match (&push.branch, &push.tag) {
        (_, Some(tag)) => format!("tag {tag:?}"),
        (Some(branch), None) => format!("branch {branch:?}"),
        (None, None) => "every branch".to_owned(),
    };
    format!("{}: {:?}, {which}, is built for {}", rule.hook, push.repository, push.suite)
}

impl Catalogue {
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
        self.move_changes(wanted, &mut changes);
        // Stable: what belongs together stays together.
        changes.sort_by_key(CatalogueChange::removes);
        changes
    }

    fn move_changes(&self, wanted: &Self, changes: &mut Vec<CatalogueChange>) {
        let Some(all) = &wanted.moves else { return };
        let here = self.all_moves();
        let missing = |in_: &[SuiteMove], moved: &SuiteMove| !in_.iter().any(|m| m.is_same(moved));
        let added = all.iter().filter(|m| missing(here, m)).cloned();
        changes.extend(added.map(|moved| CatalogueChange::AddMove { moved }));
        let removed = here.iter().filter(|m| missing(all, m)).cloned();
        changes.extend(removed.map(|moved| CatalogueChange::RemoveMove { moved }));
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
            let Some(r) = self.repositories.iter().find(|r| r.name == new.name) else {
                changes.push(CatalogueChange::AddRepository { repository: to });
                continue;
            };
            if (&r.dist, &r.suite, &r.format) != (&new.dist, &new.suite, &new.format) {
                let change = CatalogueChange::ChangeRepository { from: r.clone(), to: to.clone() };
                changes.push(change);
            }
            if new.overlay.is_some_and(|overlay| overlay != r.overlays()) {
                changes.push(CatalogueChange::SetOverlay { to });
            }
        }
        let names: BTreeSet<_> = wanted.repositories.iter().map(|r| &r.name).collect();
        let gone = self.repositories.iter().filter(|r| !names.contains(&r.name)).cloned();
        changes.extend(gone.map(|repository| CatalogueChange::RemoveRepository { repository }));
    }
}

pub(super) fn same(one: &BlockRule, other: &BlockRule) -> bool {
    (one.subject, &one.pattern, &one.reason) == (other.subject, &other.pattern, &other.reason)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{BlockSubject, RuleId};

    pub(in crate::model) fn target(suite: &str, arch: &str, weight: i32) -> WeightedTarget {
        let target = serde_json::json!({
            "dist": "Debian", "suite": suite, "arch": arch, "format": "deb", "env": "sbuild",
        });
        WeightedTarget { target: serde_json::from_value(target).unwrap(), weight }
    }

    pub(in crate::model) fn repository(name: &str, suite: &str) -> Repository {
        serde_json::from_value(serde_json::json!({
            "name": name, "dist": "Debian", "suite": suite, "format": "deb",
        }))
        .unwrap()
    }

    pub(in crate::model) fn rule(id: i64, pattern: &str) -> BlockRule {
        BlockRule {
            id: RuleId(id),
            subject: BlockSubject::Package,
            pattern: pattern.to_owned(),
            reason: "no".to_owned(),
        }
    }

    pub(in crate::model) fn catalogue() -> Catalogue {
        Catalogue {
            targets: vec![target("sid", "amd64", 10), target("sid", "arm64", 5)],
            repositories: vec![Repository {
                url: Some("http://x".into()),
                ..repository("sid", "sid")
            }],
            rules: vec![rule(7, "^linux-")],
            hook_rules: Vec::new(),
            moves: None,
        }
    }

    #[test]
    fn addresses_and_numbers_are_nobodys_wish_and_removals_come_last() {
        let wanted = Catalogue {
            targets: vec![target("sid", "amd64", 20), target("sid", "riscv64", 1)],
            repositories: vec![repository("sid", "sid"), repository("more", "more")],
            rules: vec![rule(0, "^linux-"), rule(0, "^x")],
            hook_rules: Vec::new(),
            moves: None,
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
    fn an_overlay_that_is_not_spoken_of_stays_and_every_change_of_it_is_shown() {
        let with = |overlay| {
            let repositories = vec![Repository { overlay, ..repository("sid", "sid") }];
            Catalogue { repositories, ..catalogue() }
        };
        let shown = |from, to| {
            let changes = with(from).changes_to(&with(to));
            changes.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let begins = ["~ repository sid: overlays Debian/sid deb: builds take the newest of both"];
        assert_eq!(shown(None, Some(true)), begins);
        assert_eq!(
            shown(Some(true), Some(false)),
            ["~ repository sid: overlays Debian/sid deb no more"]
        );
        for (from, to) in [(Some(true), None), (Some(true), Some(true)), (None, Some(false))] {
            assert_eq!(shown(from, to), [""; 0], "{from:?} {to:?}");
        }
        let added = Catalogue::default().changes_to(&with(Some(true)));
        let added: Vec<_> = added.iter().map(ToString::to_string).collect();
        assert!(
            added.contains(&"+ repository sid for Debian/sid deb, which it overlays".to_owned())
        );
    }

    pub(in crate::model) fn moved(binary: &str, why: &str) -> SuiteMove {
        serde_json::from_value(serde_json::json!({
            "dist": "Debian", "suite": "sid", "format": "deb",
            "binary": binary, "from": "old", "to": "new", "why": why,
        }))
        .unwrap()
    }

    #[test]
    fn moves_that_are_not_spoken_of_stay_and_whoever_allowed_them_stays_on_record() {
        let by = |by: &str| SuiteMove { by: by.to_owned(), ..moved("x", "renamed") };
        let there = Catalogue { moves: Some(vec![by("ann")]), ..catalogue() };
        assert_eq!(there.changes_to(&catalogue()), [], "an older client says nothing of moves");
        let same = Catalogue { moves: Some(vec![by("bob")]), ..catalogue() };
        assert_eq!(there.changes_to(&same), []);
        let other = Catalogue { moves: Some(vec![moved("y", "split")]), ..catalogue() };
        let shown: Vec<_> = there.changes_to(&other).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "+ move of y from old to new in Debian/sid deb: split",
                "- move of x from old to new in Debian/sid deb",
            ]
        );
        let none = Catalogue { moves: Some(Vec::new()), ..catalogue() };
        assert_eq!(there.changes_to(&none).len(), 1);
    }
}
