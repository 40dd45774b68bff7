//! Relations between packages: `foo (>= 1.0) | bar` (Debian Policy 7.1).

use std::cmp::Ordering;

use debian_control::lossy::{Relation, Relations};
use debian_control::relations::VersionConstraint;
use pybit_core::model::Produced;
use pybit_core::version::VersionOrder;

use super::versions::DebVersions;

/// Whether a binary package satisfies a relation, or one of its alternatives.
///
/// Several relations are never satisfied by one package, and what cannot be read is not satisfied.
pub(super) fn satisfies(relation: &str, package: &Produced) -> bool {
    let Ok(Relations(all)) = relation.parse::<Relations>() else {
        return false;
    };
    let [alternatives] = all.as_slice() else {
        return false;
    };
    alternatives.iter().any(|one| satisfies_one(one, package))
}

/// The relation as it is stored: as this module writes it, without architecture qualifier, restriction and profile,
/// which are decided when it is found missing. `None` for what is no single relation.
pub(super) fn normal(text: &str) -> Option<String> {
    let Relations(all) = text.parse().ok()?;
    let [alternatives] = all.as_slice() else {
        return None;
    };
    let plain = |one: &Relation| Relation {
        name: one.name.clone(),
        version: one.version.clone(),
        ..Relation::default()
    };
    let words: Vec<String> = alternatives.iter().map(|one| plain(one).to_string()).collect();
    Some(words.join(" | "))
}

fn satisfies_one(relation: &Relation, package: &Produced) -> bool {
    if relation.name != package.name.as_str() {
        return false;
    }
    let Some((constraint, wanted)) = &relation.version else {
        return true;
    };
    let order = DebVersions.compare(package.version.as_str(), &wanted.to_string());
    order.is_ok_and(|order| holds(constraint, order))
}

fn holds(constraint: &VersionConstraint, order: Ordering) -> bool {
    match constraint {
        VersionConstraint::LessThan => order.is_lt(),
        VersionConstraint::LessThanEqual => order.is_le(),
        VersionConstraint::Equal => order.is_eq(),
        VersionConstraint::GreaterThan => order.is_gt(),
        VersionConstraint::GreaterThanEqual => order.is_ge(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_is_satisfied_by_name_and_version() {
        let package = Produced {
            name: "libfoo-dev".parse().unwrap(),
            version: "1:1.0~rc1-1".parse().unwrap(),
            arch: "amd64".to_owned(),
        };
        let cases = [
            ("libfoo-dev", true),
            ("libfoo-dev:any", true),
            ("libfoo-dev (>= 1:1.0~rc1)", true),
            ("libfoo-dev (>= 1:1.0)", false),
            ("libfoo-dev (= 1:1.0~rc1-1)", true),
            ("libfoo-dev (<< 1:1.0)", true),
            ("libfoo-dev (>> 2)", true),
            ("libfoo-dev (<= 2)", false),
            ("bar (>= 3) | libfoo-dev", true),
            ("libfoo-dev [amd64] <!nocheck>", true),
            ("libfoo", false),
            ("libfoo-dev, bar", false),
            ("", false),
            ("libfoo-dev (", false),
            ("libfoo-dev (>= !!)", false),
        ];
        for (relation, expected) in cases {
            assert_eq!(satisfies(relation, &package), expected, "{relation}");
        }
    }

    #[test]
    fn a_relation_has_one_written_form() {
        let cases = [
            ("foo:amd64 (>= 2.0)", Some("foo (>= 2.0)")),
            ("a(>=2)|b", Some("a (>= 2) | b")),
            ("x [amd64] <!nocheck>", Some("x")),
            ("a, b", None),
            ("", None),
            ("(", None),
        ];
        for (text, expected) in cases {
            assert_eq!(normal(text).as_deref(), expected, "{text}");
        }
    }
}
