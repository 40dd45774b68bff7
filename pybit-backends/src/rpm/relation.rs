//! Relations between packages: `foo >= 1.0-1` (dependencies of rpm 4.18).

use std::cmp::Ordering;

use pybit_core::model::Produced;
use pybit_core::version::VersionOrder;

use super::versions::{Parts, RpmVersions};

/// Whether a package satisfies a relation. A rich one, `(a if b)`, is never satisfied by one package, nor is what cannot be read.
pub(super) fn satisfies(relation: &str, package: &Produced) -> bool {
    let words: Vec<&str> = relation.split_ascii_whitespace().take(4).collect();
    match words.as_slice() {
        [name] => *name == package.name.as_str(),
        [name, sign, wanted] if *name == package.name.as_str() => {
            let order = compare(package.version.as_str(), wanted);
            order.is_some_and(|order| holds(sign, order))
        }
        _ => false,
    }
}

/// `rpmdsCompare`: where either side names no release, releases do not count.
fn compare(there: &str, wanted: &str) -> Option<Ordering> {
    let one = Parts::read(there).ok()?;
    let other = Parts::read(wanted).ok()?;
    if one.release.is_some() && other.release.is_some() {
        return RpmVersions.compare(there, wanted).ok();
    }
    let plain = |p: Parts<'_>| format!("{}:{}", p.epoch, p.version);
    RpmVersions.compare(&plain(one), &plain(other)).ok()
}

fn holds(sign: &str, order: Ordering) -> bool {
    match sign {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        "=" | "==" => order.is_eq(),
        ">=" => order.is_ge(),
        ">" => order.is_gt(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_is_satisfied_by_name_and_version() {
        let package = Produced {
            name: "libfoo-devel".parse().unwrap(),
            version: "1:1.0~rc1-2".parse().unwrap(),
            arch: "x86_64".to_owned(),
        };
        for (relation, expected) in [
            ("libfoo-devel", true),
            ("libfoo", false),
            ("libfoo-devel >= 1:1.0~rc1", true),
            ("libfoo-devel = 1:1.0~rc1", true),
            ("libfoo-devel = 1:1.0~rc1-2", true),
            ("libfoo-devel = 1:1.0~rc1-3", false),
            ("libfoo-devel > 1:1.0~rc1", false),
            ("libfoo-devel >= 1:1.0", false),
            ("libfoo-devel >= 9", true),
            ("libfoo-devel < 9", false),
            ("(libfoo-devel if bar)", false),
            ("(libfoo-devel", false),
            ("libfoo-devel >=", false),
            ("libfoo-devel >= 1 2", false),
            ("libfoo-devel ~ 1", false),
            ("libfoo-devel >= %(id)", false),
            ("", false),
        ] {
            assert_eq!(satisfies(relation, &package), expected, "{relation}");
        }
    }
}
