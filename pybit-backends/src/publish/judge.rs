//! What a set does to a repository; pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use pybit_core::Result;
use pybit_core::model::{Arch, Version};
use pybit_core::publish::Removal;
use pybit_core::version::VersionOrder;
use sha2::{Digest, Sha256};

use super::index::{Content, Entry, Index, Slot};
use super::names::{Brought, Held};
use super::past::{self, Left, Package, Pasts};
use super::set::{Item, Kind, OrRefused, Refusal};

/// What the index must say, to the byte.
pub(super) type Expected = BTreeMap<Slot, Content>;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The items that the repository does not have yet.
    pub(super) add: Vec<Item>,
    /// The index once they are in.
    pub(super) expected: Expected,
}

/// The index as it is.
pub(super) fn as_is(index: &Index) -> Expected {
    index.iter().map(|(slot, e)| (slot.clone(), e.content.clone())).collect()
}

/// The slots that a package fills in a repository of these architectures.
pub(super) fn slots(item: &Item, arches: &[Arch]) -> Vec<Slot> {
    let part = match item.kind {
        Kind::Dsc => return vec![Slot { index: "source".into(), name: item.name.clone() }],
        Kind::Deb => "",
        Kind::Udeb => "debian-installer/",
    };
    let wanted = |a: &&Arch| item.content.arch == "all" || item.content.arch == a.as_str();
    let slot = |a: &Arch| Slot { index: format!("{part}binary-{a}"), name: item.name.clone() };
    arches.iter().filter(wanted).map(slot).collect()
}

/// The binary packages that the repository has, installer packages among them: their names are of one kind.
pub(super) fn held<'a>(index: &'a Index) -> Vec<Held<'a>> {
    let binaries = index.iter().filter(|(slot, _)| kind(slot) != Kind::Dsc);
    let held = |(slot, entry): (&'a Slot, &'a Entry)| Held {
        name: &slot.name,
        source: &entry.source.0,
        arch: slot.index.rsplit_once("binary-").map_or("", |(_, arch)| arch),
    };
    binaries.map(held).collect()
}

/// The binary packages that a set brings and the repository does not have.
pub(super) fn brought<'a>(index: &Index, items: &'a [Item], arches: &[Arch]) -> Vec<Brought<'a>> {
    let there = |item: &Item| {
        let is_there = |slot: &Slot| index.get(slot).is_some_and(|e| e.content == item.content);
        slots(item, arches).iter().all(is_there)
    };
    let new = items.iter().filter(|item| item.kind != Kind::Dsc && !there(item));
    new.map(|i| Brought { name: &i.name, arch: &i.content.arch, claims: &i.claims }).collect()
}

/// The packages that the repository has no longer once its index says `expected`.
pub(super) fn left(index: &Index, expected: &Expected) -> Vec<Left> {
    let old = index.iter().map(|(slot, e)| (package(slot, &e.content), body(&e.content)));
    let new = expected.iter().map(|(slot, content)| package(slot, content)).collect();
    past::left(old.collect(), &new)
}

fn package(slot: &Slot, content: &Content) -> Package {
    let (arch, version) = (content.arch.clone(), content.version.clone());
    Package { key: key(kind(slot), &slot.name), arch, version }
}

fn key(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Deb => name.to_owned(),
        Kind::Udeb => format!("udeb {name}"),
        Kind::Dsc => format!("source {name}"),
    }
}

/// The digests of its files as one word.
fn body(content: &Content) -> String {
    let all: Vec<&str> = content.digests.iter().map(String::as_str).collect();
    hex::encode(Sha256::digest(all.join(" ")))
}

/// Whether an entry is to be taken out.
pub(super) fn is_wanted(entry: &Entry, wanted: &Removal, order: &dyn VersionOrder) -> bool {
    let (name, version) = &entry.source;
    let same = |v: &Version| order.compare(version, v.as_str()).is_ok_and(Ordering::is_eq);
    *name == wanted.package.as_str() && wanted.version.as_ref().is_none_or(same)
}

/// Decides about a set: refused, or what to add; nothing to add means that the repository has it already.
///
/// reprepro skips an older version and ends with 0, so the order is decided here, before it runs.
pub(super) fn judge(
    (index, past): (&Index, &Pasts),
    items: Vec<Item>,
    arches: &[Arch],
    order: &dyn VersionOrder,
) -> Result<OrRefused<Plan>> {
    let mut expected = as_is(index);
    let (mut add, mut filled) = (Vec::new(), BTreeSet::new());
    for item in items {
        for version in [&item.content.version, &item.source.1] {
            if let Err(e) = order.parse(version) {
                return Ok(Err(Refusal(format!("{}: {e}", item.name))));
            }
        }
        let slots = slots(&item, arches);
        if slots.is_empty() {
            return Ok(Err(unserved(&item, arches)));
        }
        if let Some(refusal) = contradiction(index, &item, order)? {
            return Ok(Err(refusal));
        }
        let Content { arch, version, .. } = item.content.clone();
        let package = Package { key: key(item.kind, &item.name), arch, version };
        if past.contradict(&package, &body(&item.content), order, "all") {
            return Ok(Err(past::other_bytes(&item.name, &item.content.version)));
        }
        let present = slots.iter().all(|s| expected.get(s) == Some(&item.content));
        for slot in slots {
            if !filled.insert(slot.clone()) {
                return Ok(Err(Refusal(format!("the set holds {} twice", item.name))));
            }
            expected.insert(slot, item.content.clone());
        }
        if !present {
            add.push(item);
        }
    }
    Ok(Ok(Plan { add, expected }))
}

fn unserved(item: &Item, arches: &[Arch]) -> Refusal {
    let served = arches.iter().map(Arch::as_str).collect::<Vec<_>>().join(", ");
    Refusal(format!(
        "{} {} is for {}, and the repository serves {served}",
        item.name, item.content.version, item.content.arch
    ))
}

/// What the repository has already that an item cannot stand beside.
fn contradiction(index: &Index, item: &Item, order: &dyn VersionOrder) -> Result<Option<Refusal>> {
    for (slot, entry) in index {
        let sibling = entry.source.0 == item.source.0;
        if sibling && order.compare(&entry.source.1, &item.source.1)? == Ordering::Greater {
            return Ok(Some(older(&item.source.0, &item.source.1, &entry.source.1)));
        }
        if slot.name != item.name || kind(slot) != item.kind {
            continue;
        }
        let there = &entry.content;
        match order.compare(&there.version, &item.content.version)? {
            Ordering::Greater => {
                return Ok(Some(older(&item.name, &item.content.version, &there.version)));
            }
            Ordering::Equal if !compatible(entry, item) => return Ok(Some(other_bytes(item))),
            _ => {}
        }
    }
    Ok(None)
}

/// The kind of package that an index lists.
pub(super) fn kind(slot: &Slot) -> Kind {
    match slot.index.as_str() {
        "source" => Kind::Dsc,
        index if index.starts_with("debian-installer/") => Kind::Udeb,
        _ => Kind::Deb,
    }
}

/// Whether an item can stand beside an entry of the same name and version: it is the same, or for another machine.
fn compatible(entry: &Entry, item: &Item) -> bool {
    let (a, b) = (&entry.content, &item.content);
    a == b || (a.arch != b.arch && a.arch != "all" && b.arch != "all")
}

fn older(name: &str, version: &str, there: &str) -> Refusal {
    Refusal(format!("{name} {version} is older than {there}, which the repository has"))
}

fn other_bytes(item: &Item) -> Refusal {
    Refusal(format!(
        "the repository has {} {} for {} already, with other bytes: build it with a higher version",
        item.name, item.content.version, item.content.arch
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::names::Claims;

    /// Versions that are numbers.
    #[derive(Debug)]
    struct Numbers;

    impl VersionOrder for Numbers {
        fn parse(&self, version: &str) -> Result<()> {
            self.key(version).map(|_| ())
        }
        fn compare(&self, a: &str, b: &str) -> Result<Ordering> {
            Ok(self.key(a)?.cmp(&self.key(b)?))
        }
        fn key(&self, version: &str) -> Result<Vec<u8>> {
            let number: u32 =
                version.parse().map_err(|_| pybit_core::Error::invalid("no number"))?;
            Ok(number.to_be_bytes().to_vec())
        }
    }

    fn item(name: &str, version: &str, arch: &str, bytes: &str) -> Item {
        let content = Content {
            version: version.into(),
            arch: arch.into(),
            digests: [bytes.to_owned()].into(),
        };
        let kind = if arch == "source" { Kind::Dsc } else { Kind::Deb };
        let source = ("src".to_owned(), version.to_owned());
        let (file, section, options) = ("x".into(), "misc".into(), vec![]);
        let claims = Claims::default();
        Item { kind, name: name.into(), content, source, section, file, options, claims }
    }

    fn arches() -> [Arch; 2] {
        ["amd64", "arm64"].map(|a| a.parse().unwrap())
    }

    fn with(items: &[Item]) -> Index {
        let entry = |i: &Item| Entry {
            content: i.content.clone(),
            source: i.source.clone(),
            component: "main".into(),
            section: i.section.clone(),
            priority: "optional".into(),
            files: BTreeMap::new(),
        };
        items.iter().flat_map(|i| slots(i, &arches()).into_iter().map(|s| (s, entry(i)))).collect()
    }

    fn decide(there: &[Item], items: &[Item]) -> std::result::Result<usize, String> {
        judge((&with(there), &Pasts::default()), items.to_vec(), &arches(), &Numbers)
            .unwrap()
            .map(|plan| plan.add.len())
            .map_err(|r| r.0)
    }

    #[test]
    fn what_is_there_is_not_added_again_and_other_bytes_are_refused() {
        let there = [item("a", "2", "amd64", "x"), item("doc", "2", "all", "y")];
        assert_eq!(decide(&there, &there), Ok(0));
        assert_eq!(decide(&there, &[item("a", "2", "arm64", "z"), there[1].clone()]), Ok(1));
        let refusal = decide(&there, &[item("a", "2", "amd64", "z")]).unwrap_err();
        assert!(refusal.contains("a 2 for amd64 already, with other bytes"), "{refusal}");
        assert!(decide(&there, &[item("a", "2", "all", "x")]).is_err(), "all beside amd64");
    }

    #[test]
    fn an_older_version_is_refused_with_both_versions_named() {
        let there = [item("a", "10", "amd64", "x")];
        let refusal = decide(&there, &[item("a", "9", "arm64", "x")]).unwrap_err();
        assert_eq!(refusal, "src 9 is older than 10, which the repository has");
        assert_eq!(decide(&there, &[item("a", "11", "amd64", "z")]), Ok(1));
        let mut renamed = item("a", "9", "amd64", "x");
        renamed.source = ("other".into(), "99".into());
        let refusal = decide(&there, &[renamed]).unwrap_err();
        assert_eq!(refusal, "a 9 is older than 10, which the repository has");
    }

    #[test]
    fn what_cannot_stand_in_one_repository_is_refused() {
        assert!(decide(&[], &[item("a", "1", "mips", "x")]).unwrap_err().contains("mips"));
        assert!(decide(&[], &[item("a", "one", "all", "x")]).is_err());
        let twice = [item("a", "1", "all", "x"), item("a", "1", "amd64", "y")];
        assert_eq!(decide(&[], &twice).unwrap_err(), "the set holds a twice");
    }

    #[test]
    fn the_plan_says_what_every_index_must_hold() {
        let there = [item("doc", "1", "all", "old"), item("b", "1", "arm64", "b")];
        let new = vec![item("doc", "2", "all", "new"), item("src", "2", "source", "s")];
        let plan =
            judge((&with(&there), &Pasts::default()), new, &arches(), &Numbers).unwrap().unwrap();
        let said: Vec<_> = plan
            .expected
            .iter()
            .map(|(s, c)| format!("{} {} {}", s.index, s.name, c.version))
            .collect();
        assert_eq!(
            said,
            ["binary-amd64 doc 2", "binary-arm64 b 1", "binary-arm64 doc 2", "source src 2"]
        );
    }

    #[test]
    fn what_was_taken_out_comes_back_with_the_same_bytes_only() {
        let there = [item("a", "2", "amd64", "x"), item("doc", "2", "all", "y")];
        let mut past = Pasts::default();
        past.record(&left(&with(&there), &Expected::new()));
        let decide = |items: &[Item]| {
            let plan = judge((&Index::new(), &past), items.to_vec(), &arches(), &Numbers).unwrap();
            plan.map(|plan| plan.add.len()).map_err(|r| r.0)
        };
        assert_eq!(decide(&there), Ok(2));
        assert_eq!(decide(&[item("a", "1", "amd64", "z"), item("a", "2", "arm64", "z")]), Ok(2));
        let refusal = decide(&[item("doc", "2", "all", "z")]).unwrap_err();
        assert!(refusal.contains("had doc 2 before, with other bytes"), "{refusal}");
    }
}
