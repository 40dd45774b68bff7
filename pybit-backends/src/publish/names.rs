//! The names that the packages of a set claim, and whether their source may.

use std::collections::BTreeSet;

use pybit_core::Result;
use pybit_core::model::PackageName;
use pybit_core::owners::{self, Claim, NameFacts, NamePolicy, Owners};

use super::set::{OrRefused, Refusal};

/// A binary package that the repository has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) name: &'a str,
    pub(super) source: &'a str,
    /// The architecture that it stands under.
    pub(super) arch: &'a str,
}

/// The claims of a package besides its own name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// Names whose place it takes, and the field that says so. Virtual packages are among them.
    pub(super) places: Vec<(String, &'static str)>,
    /// The field by which it is installed everywhere.
    pub(super) essential: Option<&'static str>,
}

/// A binary package that a set brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brought<'a> {
    pub(super) name: &'a str,
    pub(super) arch: &'a str,
    pub(super) claims: &'a Claims,
}

/// Asks about the names of what is brought, and decides; `all` is the format's word for every architecture.
pub(super) async fn judge(
    policy: &dyn NamePolicy,
    source: &PackageName,
    brought: &[Brought<'_>],
    held: &[Held<'_>],
    all: &str,
) -> Result<OrRefused<()>> {
    let names = names(brought);
    if names.is_empty() {
        return Ok(Ok(()));
    }
    let facts = policy.facts(source, &names).await?;
    let refusal = brought.iter().find_map(|b| refusal(b, source.as_str(), held, all, &facts));
    Ok(refusal.map_or(Ok(()), |why| Err(Refusal(why))))
}

/// Each name once; what is no valid name belongs to nobody.
fn names(brought: &[Brought<'_>]) -> Vec<String> {
    let claimed = brought
        .iter()
        .flat_map(|b| b.claims.places.iter().map(|(name, _)| name.as_str()).chain([b.name]));
    let unique: BTreeSet<&str> = claimed.collect();
    unique.into_iter().filter(|n| n.parse::<PackageName>().is_ok()).map(str::to_owned).collect()
}

fn refusal(
    brought: &Brought<'_>,
    source: &str,
    held: &[Held<'_>],
    all: &str,
    facts: &NameFacts,
) -> Option<String> {
    let Brought { name, arch, claims } = *brought;
    let decide = |name: &str, claim| {
        let of = |replaced: bool| {
            let meets = |h: &&Held<'_>| !replaced || meet(h.arch, arch, all);
            held.iter().filter(|h| h.name == name).filter(meets).map(|h| h.source).collect()
        };
        owners::refusal(name, claim, source, &Owners { all: of(false), replaced: of(true) }, facts)
    };
    let essential = claims.essential.map(|field| Claim::Essential { field });
    let own = [Some(Claim::Name), essential].into_iter().flatten();
    own.into_iter().find_map(|claim| decide(name, claim)).or_else(|| {
        let place = |(taken, field): &(String, &'static str)| {
            decide(taken, Claim::Place { package: name, field })
        };
        claims.places.iter().find_map(place)
    })
}

/// Whether packages of these architectures are for a machine that both are for.
pub(super) fn meet(a: &str, b: &str, all: &str) -> bool {
    a == b || a == all || b == all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The refusal of what the source `a` brings.
    fn judged(brought: &[Brought<'_>], held: &[Held<'_>]) -> Option<String> {
        let facts = NameFacts::default();
        brought.iter().find_map(|b| refusal(b, "a", held, "all", &facts))
    }

    #[test]
    fn a_contested_name_is_kept_where_it_is_and_taken_nowhere_else() {
        let claims = Claims::default();
        let x = |arch| [Brought { name: "x", arch, claims: &claims }];
        let held = |source, arch| Held { name: "x", source, arch };
        assert_eq!(judged(&x("amd64"), &[held("a", "amd64"), held("b", "arm64")]), None);
        for arch in ["arm64", "all"] {
            let why = judged(&x(arch), &[held("a", "amd64"), held("b", "arm64")]).unwrap();
            assert!(why.contains("the source b"), "{why}");
        }
        assert!(judged(&x("arm64"), &[held("b", "amd64")]).is_some(), "free on arm64, and b's");
        assert!(judged(&x("amd64"), &[held("a", "amd64"), held("b", "all")]).is_some());
    }

    #[test]
    fn every_claimed_name_is_asked_about_once() {
        let claims = Claims {
            places: vec![
                ("y".into(), "Obsoletes"),
                ("x".into(), "Provides"),
                ("perl(X)".into(), "Provides"),
            ],
            essential: None,
        };
        let brought = ["amd64", "arm64"].map(|arch| Brought { name: "x", arch, claims: &claims });
        assert_eq!(names(&brought), ["x", "y"]);
    }
}
