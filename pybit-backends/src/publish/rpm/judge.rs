//! What a set does to a repository.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use pybit_core::Result;
use pybit_core::model::Arch;
use pybit_core::version::VersionOrder;

use super::super::set::{OrRefused, Refusal};
use super::index::{Entry, Index, SOURCE, Slot};
use super::package::Item;

/// The architecture of packages for every machine.
const NOARCH: &str = "noarch";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The items that the repository does not have yet.
    pub(super) add: Vec<Item>,
    /// What stays beside them.
    pub(super) keep: Index,
}

/// Decides about a set: refused, or what to add; nothing to add means that the repository has it already. `body` tells what is in
/// a package that the repository has.
pub(super) fn judge(
    index: &Index,
    items: Vec<Item>,
    arches: &[Arch],
    order: &dyn VersionOrder,
    body: &dyn Fn(&Entry) -> Result<Option<String>>,
) -> Result<OrRefused<Plan>> {
    let (mut keep, mut add, mut filled) = (index.clone(), Vec::new(), BTreeSet::new());
    for item in items {
        if let Err(e) = order.parse(&item.version) {
            return Ok(Err(Refusal(format!("{}: {e}", item.slot.name))));
        }
        if !serves(arches, &item.slot.arch) {
            return Ok(Err(unserved(&item, arches)));
        }
        if !filled.insert(item.slot.clone()) {
            return Ok(Err(Refusal(format!("the set holds {} twice", item.slot.name))));
        }
        let mut present = false;
        for (slot, there) in index.iter().filter(|(slot, _)| rivals(slot, &item.slot)) {
            match order.compare(&there.version, &item.version)? {
                Ordering::Greater => return Ok(Err(older(&item, there))),
                Ordering::Less if replaces(&item.slot, slot) => {
                    keep.remove(slot);
                }
                Ordering::Equal if *slot == item.slot => {
                    if body(there)?.as_deref() != Some(&item.body) {
                        return Ok(Err(other_bytes(&item)));
                    }
                    present = true;
                }
                Ordering::Equal if replaces(&item.slot, slot) => {
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

/// Whether a repository of these architectures holds packages of that one.
pub(super) fn serves(arches: &[Arch], arch: &str) -> bool {
    [SOURCE, NOARCH].contains(&arch) || arches.iter().any(|a| a.as_str() == arch)
}

/// Whether two packages are versions of one: the same name, both sources or both not.
fn rivals(a: &Slot, b: &Slot) -> bool {
    a.name == b.name && (a.arch == SOURCE) == (b.arch == SOURCE)
}

/// Whether a package stands in the place of an older rival: of its own architecture, or where one of the two is for all.
fn replaces(new: &Slot, old: &Slot) -> bool {
    new.arch == old.arch || new.arch == NOARCH || old.arch == NOARCH
}

fn unserved(item: &Item, arches: &[Arch]) -> Refusal {
    let served = arches.iter().map(Arch::as_str).collect::<Vec<_>>().join(", ");
    let Slot { name, arch } = &item.slot;
    Refusal(format!("{name} {} is for {arch}, and the repository serves {served}", item.version))
}

fn older(item: &Item, there: &Entry) -> Refusal {
    let (name, there) = (&item.slot.name, &there.version);
    Refusal(format!("{name} {} is older than {there}, which the repository has", item.version))
}

fn other_bytes(item: &Item) -> Refusal {
    Refusal(format!(
        "the repository has {} {} already, with other bytes: build it with a higher version or release",
        item.slot.name, item.version
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpm::RpmVersions;

    fn slot(name: &str, arch: &str) -> Slot {
        Slot { name: name.into(), arch: arch.into() }
    }

    fn item(name: &str, version: &str, arch: &str, body: &str) -> Item {
        let (version, body, source) =
            (version.to_owned(), body.to_owned(), "s-1-1.src.rpm".to_owned());
        Item { slot: slot(name, arch), version, source, body, file: "x".into() }
    }

    fn index(packages: &[(&str, &str, &str, &str)]) -> Index {
        let entry = |version: &str, body: &str| Entry {
            version: version.into(),
            path: body.into(),
            ..Entry::default()
        };
        packages
            .iter()
            .map(|(name, version, arch, body)| (slot(name, arch), entry(version, body)))
            .collect()
    }

    /// The architectures that are kept, and how many are added; or the refusal.
    fn judged(
        there: &[(&str, &str, &str, &str)],
        items: Vec<Item>,
    ) -> std::result::Result<(String, usize), String> {
        let arches = ["x86_64", "aarch64"].map(|a| a.parse().unwrap());
        let body = |entry: &Entry| Ok(Some(entry.path.clone()));
        let plan = judge(&index(there), items, &arches, &RpmVersions, &body).unwrap();
        let kept = |p: &Plan| p.keep.keys().map(|s| s.arch.clone()).collect::<Vec<_>>().join(" ");
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
