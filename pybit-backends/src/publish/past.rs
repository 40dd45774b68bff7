//! The versions that a repository had and has no longer, so that none of them comes back with other bytes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use pybit_core::version::VersionOrder;
use serde::{Deserialize, Serialize};

use super::names::meet;
use super::set::Refusal;

/// Replaced versions of a package that are kept; a version that was replaced is guarded by the order of versions, too.
const MAX_REPLACED: usize = 16;
/// Versions of a package that are kept once an operator has taken the package out.
const MAX_TAKEN_OUT: usize = 256;

/// One version of one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    /// The package, and of which kind where there are several: `hello`, `source hello`.
    pub(super) key: String,
    /// Its own word, which may stand for every architecture.
    pub(super) arch: String,
    pub(super) version: String,
}

/// A version that the repository has no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Past {
    arch: String,
    version: String,
    body: String,
    /// Nothing of the package stayed, so that a lower version may follow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    taken_out: bool,
}

/// A package that left a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) package: Package,
    /// Its content, as one word.
    pub(super) body: String,
    taken_out: bool,
}

/// The packages of `old` that are not in `new`; the value of each is its content.
pub(super) fn left(old: BTreeMap<Package, String>, new: &BTreeSet<Package>) -> Vec<Left> {
    let stays = |package: &Package| new.iter().any(|n| n.key == package.key);
    let gone = old.into_iter().filter(|(package, _)| !new.contains(package));
    gone.map(|(package, body)| Left { taken_out: !stays(&package), package, body }).collect()
}

/// Every version that is kept, by package; the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Pasts(BTreeMap<String, Vec<Past>>);

impl Pasts {
    /// Adds what left.
    pub(super) fn record(&mut self, left: &[Left]) {
        for Left { package: Package { key, arch, version }, body, taken_out } in left {
            let kept = self.0.entry(key.clone()).or_default();
            kept.retain(|past| (&past.arch, &past.version) != (arch, version));
            let (arch, version, body) = (arch.clone(), version.clone(), body.clone());
            kept.push(Past { arch, version, body, taken_out: *taken_out });
            if *taken_out {
                for past in kept.iter_mut() {
                    past.taken_out = true;
                }
            }
            forget(kept, false, MAX_REPLACED);
            forget(kept, true, MAX_TAKEN_OUT);
        }
    }

    /// Whether the repository had this version with other bytes; `all` is the format's word for every architecture.
    pub(super) fn contradict(
        &self,
        package: &Package,
        body: &str,
        order: &dyn VersionOrder,
        all: &str,
    ) -> bool {
        let Package { key, arch, version } = package;
        let same = |past: &Past| {
            past.version == *version
                || order.compare(&past.version, version).is_ok_and(Ordering::is_eq)
        };
        let other = |past: &Past| {
            meet(&past.arch, arch, all) && same(past) && (past.body != body || past.arch != *arch)
        };
        self.0.get(key).is_some_and(|kept| kept.iter().any(other))
    }
}

/// The refusal of a version that was there before.
pub(super) fn other_bytes(name: &str, version: &str) -> Refusal {
    Refusal(format!(
        "the repository had {name} {version} before, with other bytes, and readers may have them: build it with a higher version"
    ))
}

/// Keeps the newest `max` of one kind.
fn forget(kept: &mut Vec<Past>, taken_out: bool, max: usize) {
    let mut excess = kept.iter().filter(|p| p.taken_out == taken_out).count().saturating_sub(max);
    kept.retain(|past| {
        let drop = excess > 0 && past.taken_out == taken_out;
        excess -= usize::from(drop);
        !drop
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::DebVersions;

    fn package(version: &str, arch: &str) -> Package {
        Package { key: "x".into(), arch: arch.into(), version: version.into() }
    }

    fn after(old: &[(&str, &str)], new: &[(&str, &str)]) -> Vec<Left> {
        let old = old.iter().map(|(v, a)| (package(v, a), format!("{v} {a}"))).collect();
        left(old, &new.iter().map(|(v, a)| package(v, a)).collect())
    }

    #[test]
    fn a_version_that_was_there_never_comes_back_with_other_bytes() {
        let mut pasts = Pasts::default();
        pasts.record(&after(
            &[("1.0", "amd64"), ("1.0", "arm64")],
            &[("2.0", "amd64"), ("1.0", "arm64")],
        ));
        let changed = |pasts: &Pasts, version, arch, body| {
            pasts.contradict(&package(version, arch), body, &DebVersions, "all")
        };
        for (version, arch, body, expected) in [
            ("1.0", "amd64", "1.0 amd64", false),
            ("1.0", "amd64", "other", true),
            ("0:1.0", "amd64", "other", true),
            ("1.0", "all", "1.0 amd64", true),
            ("1.0", "arm64", "other", false),
            ("1.1", "amd64", "other", false),
        ] {
            assert_eq!(changed(&pasts, version, arch, body), expected, "{version} {arch} {body}");
        }
    }

    #[test]
    fn replaced_versions_are_few_and_those_of_a_package_that_was_taken_out_are_many() {
        let mut pasts = Pasts::default();
        let version = |n: usize| format!("{n}");
        for n in 0..40 {
            pasts.record(&after(&[(&version(n), "all")], &[(&version(n + 1), "all")]));
        }
        assert_eq!(pasts.0["x"].len(), MAX_REPLACED);
        pasts.record(&after(&[("40", "all")], &[]));
        assert_eq!(pasts.0["x"].len(), MAX_REPLACED + 1);
        assert!(pasts.0["x"].iter().all(|p| p.taken_out));
        for n in 100..140 {
            pasts.record(&after(&[(&version(n), "all")], &[(&version(n + 1), "all")]));
        }
        assert_eq!(pasts.0["x"].len(), 2 * MAX_REPLACED + 1);
        assert!(pasts.contradict(&package("40", "all"), "other", &DebVersions, "all"));
        let text = serde_json::to_string(&pasts).unwrap();
        assert_eq!(serde_json::from_str::<Pasts>(&text).unwrap(), pasts);
    }
}
