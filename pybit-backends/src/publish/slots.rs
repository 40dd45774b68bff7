//! What a set does to a repository that holds the newest version of each package, one for each architecture.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use pybit_core::Result;
use pybit_core::model::Arch;
use pybit_core::version::VersionOrder;
use serde::{Deserialize, Serialize};

use super::names::{Brought, Claims, Held, meet};
use super::past::{self, Left, Package, Pasts};
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
    /// Its claims besides its name.
    fn claims(&self) -> &Claims;
}

/// What a repository holds in a slot.
pub(super) trait Present: Clone {
    fn version(&self) -> &str;
    /// The name of the source that it was built from; `slot` is its place.
    fn source<'a>(&'a self, slot: &'a Slot) -> &'a str;
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

/// The binary packages that a repository has: all but those of the architecture `source`.
pub(super) fn held<'a, E: Present>(
    index: &'a BTreeMap<Slot, E>,
    source: Option<&str>,
) -> Vec<Held<'a>> {
    let binaries = index.iter().filter(|(slot, _)| Some(slot.arch.as_str()) != source);
    let held = |(slot, entry): (&'a Slot, &'a E)| Held {
        name: &slot.name,
        source: entry.source(slot),
        arch: &slot.arch,
    };
    binaries.map(held).collect()
}

/// The binary packages that a set brings and the repository does not have: all but those of the architecture `source`.
pub(super) fn brought<'a, I: Candidate, E: Present>(
    index: &BTreeMap<Slot, E>,
    items: &'a [I],
    source: Option<&str>,
) -> Vec<Brought<'a>> {
    // If the version is there with other bytes, the set is refused for them.
    let there = |item: &&I| index.get(item.slot()).is_some_and(|e| e.version() == item.version());
    let new = items.iter().filter(|item| Some(item.slot().arch.as_str()) != source && !there(item));
    let brought = |item: &'a I| {
        let Slot { name, arch } = item.slot();
        Brought { name, arch, claims: item.claims() }
    };
    new.map(brought).collect()
}

/// The packages that the repository has no longer once it holds `keep` and `add`; `body` tells what is in a package that it has.
pub(super) fn left<I: Candidate, E: Present>(
    index: &BTreeMap<Slot, E>,
    plan: (&BTreeMap<Slot, E>, &[I]),
    words: Words,
    body: &dyn Fn(&E) -> Result<Option<String>>,
) -> Result<Vec<Left>> {
    let kept = plan.0.iter().map(|(slot, e)| package(slot, e.version(), words));
    let new: BTreeSet<_> =
        kept.chain(plan.1.iter().map(|i| package(i.slot(), i.version(), words))).collect();
    let mut old = BTreeMap::new();
    for (slot, entry) in index {
        let package = package(slot, entry.version(), words);
        if !new.contains(&package) {
            old.insert(package, body(entry)?.unwrap_or_default());
        }
    }
    Ok(past::left(old, &new))
}

fn package(slot: &Slot, version: &str, words: Words) -> Package {
    let Slot { name, arch } = slot.clone();
    let key = if arch == words.source { format!("source {name}") } else { name };
    Package { key, arch, version: version.to_owned() }
}

impl Rules<'_> {
    /// Decides about a set: refused, or what to add; nothing to add means that the repository has it already. `body` tells what is in
    /// a package that the repository has.
    pub(super) fn judge<I: Candidate, E: Present>(
        &self,
        (index, past): (&BTreeMap<Slot, E>, &Pasts),
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
            let package = package(item.slot(), item.version(), self.words);
            if past.contradict(&package, item.body(), self.order, self.words.all) {
                return Ok(Err(past::other_bytes(&item.slot().name, item.version())));
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
        meet(&new.arch, &old.arch, self.words.all)
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
        fn claims(&self) -> &Claims {
            const NONE: &Claims = &Claims { places: Vec::new(), essential: None };
            NONE
        }
    }

    impl Present for Item {
        fn version(&self) -> &str {
            &self.version
        }
        fn source<'a>(&'a self, slot: &'a Slot) -> &'a str {
            &slot.name
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
            .judge((&index(there), &Pasts::default()), items, &body)
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

    #[test]
    fn what_was_taken_out_comes_back_with_the_same_bytes_only() {
        let old = index(&[("a", "2-1", "x86_64", "o"), ("a", "2-1", "src", "o")]);
        let body = |there: &Item| Ok(Some(there.body.clone()));
        let none: (&BTreeMap<Slot, Item>, &[Item]) = (&BTreeMap::new(), &[]);
        let mut past = Pasts::default();
        past.record(&left(&old, none, WORDS, &body).unwrap());
        let arches = ["x86_64", "aarch64"].map(|a| a.parse().unwrap());
        let rules = Rules { arches: &arches, words: WORDS, order: &RpmVersions };
        for (version, arch, bytes, added) in [
            ("2-1", "x86_64", "o", true),
            ("2-1", "x86_64", "n", false),
            ("2-1", "noarch", "n", false),
            ("2-1", "src", "n", false),
            ("2-1", "aarch64", "n", true),
            ("1-1", "x86_64", "n", true),
        ] {
            let items = vec![item("a", version, arch, bytes)];
            let judged = rules.judge((none.0, &past), items, &body).unwrap();
            assert_eq!(judged.is_ok(), added, "{version} {arch} {bytes}: {judged:?}");
        }
    }
}
