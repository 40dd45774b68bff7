//! What a set does to a repository that holds the newest version of each package, one for each architecture.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use pybit_core::Result;
use pybit_core::model::Arch;
use pybit_core::version::VersionOrder;
use serde::{Deserialize, Serialize};

use super::set::{OrRefused, Refusal};

/// The place of one package in the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Slot {
    pub(super) name: String,
    /// `x86_64`, or one of [`Words`].
    pub(super) arch: String,
}

/// How a format names what is for no architecture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// Source packages.
    pub(super) source: &'static str,
    /// Packages for every machine.
    pub(super) all: &'static str,
}

/// What is to be published.
pub(super) trait Candidate {
    fn slot(&self) -> &Slot;
    fn version(&self) -> &str;
    /// What is in it, as one word; the same for a file whose signature alone differs.
    fn body(&self) -> &str;
}

/// What a repository holds in a slot.
pub(super) trait Present: Clone {
    fn version(&self) -> &str;
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan<I, E> {
    /// The items that the repository does not have yet.
    pub(super) add: Vec<I>,
    /// What stays beside them.
    pub(super) keep: BTreeMap<Slot, E>,
}

/// The repository that a set comes to.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) arches: &'a [Arch],
    pub(super) words: Words,
    pub(super) order: &'a dyn VersionOrder,
}

impl Rules<'_> {
    /// Decides about a set: refused, or what to add; nothing to add means that the repository has it already. `body` tells what is in
    /// a package that the repository has.
    pub(super) fn judge<I: Candidate, E: Present>(
        &self,
        index: &BTreeMap<Slot, E>,
        items: Vec<I>,
        body: &dyn Fn(&E) -> Result<Option<String>>,
    ) -> Result<OrRefused<Plan<I, E>>> {
        let (mut keep, mut add, mut filled) = (index.clone(), Vec::new(), BTreeSet::new());
        for item in items {
            if let Err(e) = self.order.parse(item.version()) {
                return Ok(Err(Refusal(format!("{}: {e}", item.slot().name))));
            }
            if !serves(self.arches, self.words, &item.slot().arch) {
                return Ok(Err(self.unserved(&item)));
            }
            if !filled.insert(item.slot().clone()) {
                return Ok(Err(Refusal(format!("the set holds {} twice", item.slot().name))));
            }
            let mut present = false;
            for (slot, there) in index.iter().filter(|(slot, _)| self.rivals(slot, item.slot())) {
                match self.order.compare(there.version(), item.version())? {
                    Ordering::Greater => return Ok(Err(older(&item, there.version()))),
                    Ordering::Less if self.replaces(item.slot(), slot) => {
                        keep.remove(slot);
                    }
                    Ordering::Equal if slot == item.slot() => {
                        if body(there)?.as_deref() != Some(item.body()) {
                            return Ok(Err(other_bytes(&item)));
                        }
                        present = true;
                    }
                    Ordering::Equal if self.replaces(item.slot(), slot) => {
                        return Ok(Err(other_bytes(&item)));
                    }
                    _ => {}
                }
            }
            if !present {
                add.push(item);
            }
        }
        Ok(Ok(Plan { add, keep }))
    }

    /// Whether two packages are versions of one: the same name, both sources or both not.
    fn rivals(&self, a: &Slot, b: &Slot) -> bool {
        a.name == b.name && (a.arch == self.words.source) == (b.arch == self.words.source)
    }

    /// Whether a package stands in the place of an older rival: of its own architecture, or where one of the two is for all.
    fn replaces(&self, new: &Slot, old: &Slot) -> bool {
        new.arch == old.arch || new.arch == self.words.all || old.arch == self.words.all
    }

    fn unserved(&self, item: &impl Candidate) -> Refusal {
        let served = self.arches.iter().map(Arch::as_str).collect::<Vec<_>>().join(", ");
        let Slot { name, arch } = item.slot();
        Refusal(format!(
            "{name} {} is for {arch}, and the repository serves {served}",
            item.version()
        ))
    }
}

/// Whether a repository of these architectures holds packages of that one.
pub(super) fn serves(arches: &[Arch], words: Words, arch: &str) -> bool {
    [words.source, words.all].contains(&arch) || arches.iter().any(|a| a.as_str() == arch)
}

fn older(item: &impl Candidate, there: &str) -> Refusal {
    let (name, version) = (&item.slot().name, item.version());
    Refusal(format!("{name} {version} is older than {there}, which the repository has"))
}

fn other_bytes(item: &impl Candidate) -> Refusal {
    Refusal(format!(
        "the repository has {} {} already, with other bytes: build it with a higher version or release",
        item.slot().name,
        item.version()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpm::RpmVersions;

    const WORDS: Words = Words { source: "src", all: "noarch" };

    #[derive(Debug, Clone)]
    struct Item {
        slot: Slot,
        version: String,
        body: String,
    }

    impl Candidate for Item {
        fn slot(&self) -> &Slot {
            &self.slot
        }
        fn version(&self) -> &str {
            &self.version
        }
        fn body(&self) -> &str {
            &self.body
        }
    }

    impl Present for Item {
        fn version(&self) -> &str {
            &self.version
        }
    }

    fn item(name: &str, version: &str, arch: &str, body: &str) -> Item {
        let slot = Slot { name: name.into(), arch: arch.into() };
        Item { slot, version: version.into(), body: body.into() }
    }

    fn index(packages: &[(&str, &str, &str, &str)]) -> BTreeMap<Slot, Item> {
        let all =
            packages.iter().map(|(name, version, arch, body)| item(name, version, arch, body));
        all.map(|item| (item.slot.clone(), item)).collect()
    }

    /// The architectures that are kept, and how many are added; or the refusal.
    fn judged(
        there: &[(&str, &str, &str, &str)],
        items: Vec<Item>,
    ) -> std::result::Result<(String, usize), String> {
        let arches = ["x86_64", "aarch64"].map(|a| a.parse().unwrap());
        let body = |there: &Item| Ok(Some(there.body.clone()));
        let plan = Rules { arches: &arches, words: WORDS, order: &RpmVersions }
            .judge(&index(there), items, &body)
            .unwrap();
        let kept = |p: &Plan<Item, Item>| {
            p.keep.keys().map(|s| s.arch.clone()).collect::<Vec<_>>().join(" ")
        };
        plan.map(|p| (kept(&p), p.add.len())).map_err(|r| r.0)
    }

    #[test]
    fn a_newer_version_replaces_its_own_architecture_and_noarch_all_of_them() {
        let there =
            [("a", "1-1", "x86_64", "o"), ("a", "1-1", "aarch64", "o"), ("a", "1-1", "src", "o")];
        assert_eq!(
            judged(&there, vec![item("a", "2-1", "x86_64", "n")]),
            Ok(("aarch64 src".into(), 1))
        );
        assert_eq!(judged(&there, vec![item("a", "2-1", "noarch", "n")]), Ok(("src".into(), 1)));
        assert_eq!(
            judged(&there, vec![item("a", "1-1", "x86_64", "o")]),
            Ok(("aarch64 src x86_64".into(), 0))
        );
    }

    #[test]
    fn an_older_version_other_bytes_and_an_unserved_architecture_are_refused() {
        let there = [("a", "1:2-1", "x86_64", "o")];
        for (version, arch, body, why) in [
            ("3-1", "x86_64", "n", "older than 1:2-1"),
            ("3-1", "aarch64", "n", "older than 1:2-1"),
            ("1:2-1", "x86_64", "n", "other bytes"),
            ("1:2-1", "noarch", "o", "other bytes"),
            ("1:3-1", "s390x", "n", "serves x86_64, aarch64"),
        ] {
            let refusal = judged(&there, vec![item("a", version, arch, body)]).unwrap_err();
            assert!(refusal.contains(why), "{refusal}");
        }
        let twice = vec![item("b", "1-1", "noarch", "n"), item("b", "1-1", "noarch", "n")];
        assert!(judged(&there, twice).unwrap_err().contains("twice"));
    }
}
