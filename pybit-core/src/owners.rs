//! Owners of the names of binary packages; pure.
//!
//! A name belongs to the source whose package bears it in the repository, or in the base distribution. Another source may neither publish
//! under the name nor take its place, unless an operator allows the [move](NameMove). Debian's archive has the same rule in its overrides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::base::BaseSource;
use crate::error::Result;
use crate::model::PackageName;
use crate::publish::Listed;

/// An allowed move of a binary package's name from one source to another.
///
/// A move from a source to itself allows the source a package that marks itself as essential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NameMove {
    /// The binary package: `make`. One name, no pattern.
    pub binary: PackageName,
    /// The source that owns the name.
    pub from: PackageName,
    /// The source that may publish it.
    pub to: PackageName,
    /// The operator who allows it.
    pub by: String,
    /// The operator's reason.
    pub why: String,
}

/// The source that owns a name in the base distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BaseOwner {
    /// The distribution, for people: `Debian bookworm`.
    pub distribution: String,
    /// The source package: `make-dfsg`.
    pub source: String,
}

/// Facts outside of the repository about the names of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NameFacts {
    /// The owners in the base distribution, by binary package; a name that it does not have is missing.
    #[serde(default)]
    pub base: BTreeMap<String, BaseOwner>,
    /// The allowed moves.
    #[serde(default)]
    pub moves: Vec<NameMove>,
    /// The base distribution's source packages that bear the set's source name.
    #[serde(default)]
    pub sources: Vec<BaseSource>,
    /// Whether a source may mark packages as essential though the base distribution does not have them from it. Default: no. It is for
    /// repositories that stand on no base distribution.
    #[serde(default)]
    pub essential: bool,
}

impl NameFacts {
    fn allows(&self, name: &str, from: &str, to: &str) -> bool {
        let allowed = |m: &NameMove| {
            m.binary.as_str() == name && m.from.as_str() == from && m.to.as_str() == to
        };
        self.moves.iter().any(allowed)
    }
}

/// The source of facts about names outside of one repository.
#[async_trait]
pub trait NamePolicy: Send + Sync + fmt::Debug {
    /// The base distribution's owners of these binary names, and the moves that are allowed to the source.
    ///
    /// - `facts_cover_every_name`: a name that is missing from `base` is one that the base distribution does not have.
    /// - `facts_are_about_real_packages`: a virtual package of the base distribution is missing from `base`.
    /// - `not_knowing_is_an_error`: where the index of the base distribution cannot be had and the configuration insists on it, this fails
    ///   with an error that can be tried again. The set then waits; it is neither published nor refused.
    async fn facts(&self, source: &PackageName, binaries: &[String]) -> Result<NameFacts>;
}

/// The policy of a repository that stands alone: no base distribution, no moves.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPolicy;

#[async_trait]
impl NamePolicy for NoPolicy {
    async fn facts(&self, _: &PackageName, _: &[String]) -> Result<NameFacts> {
        Ok(NameFacts { essential: true, ..NameFacts::default() })
    }
}

/// The claim of a package of a set to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim<'a> {
    /// It bears the name.
    Name,
    /// It takes the place of whatever bears the name.
    Place {
        /// The package.
        package: &'a str,
        /// The field that says so: `Obsoletes`.
        field: &'a str,
    },
    /// It bears the name and is installed everywhere without being asked for.
    Essential {
        /// The field that says so: `Essential`.
        field: &'a str,
    },
}

/// The sources that bear a name in the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners<'a> {
    /// On any architecture.
    pub all: BTreeSet<&'a str>,
    /// On an architecture on which the set's package would stand in the place of theirs.
    pub replaced: BTreeSet<&'a str>,
}

impl<'a> Owners<'a> {
    /// The sources in whose way a source would be. A source that bears the name already goes on where it does.
    fn rivals(&self, source: &str) -> BTreeSet<&'a str> {
        let set = if self.all.contains(source) { &self.replaced } else { &self.all };
        set.iter().copied().filter(|owner| *owner != source).collect()
    }
}

/// Why a set of the source `source` may not do this with `name`; `None` where it may.
pub fn refusal(
    name: &str,
    claim: Claim<'_>,
    source: &str,
    here: &Owners<'_>,
    facts: &NameFacts,
) -> Option<String> {
    if let Claim::Essential { field } = claim {
        return essential(name, field, source, facts);
    }
    let place = |owner: &str, place: &str| match claim {
        Claim::Place { package, field } => format!(
            "{package} would take the place of {name} by its {field}, and {name} belongs to the source {owner} {place}; \
             {source} may not replace it."
        ),
        _ => format!("{name} belongs to the source {owner} {place}; {source} may not publish it."),
    };
    let rivals = here.rivals(source);
    if let Some(owner) = rivals.into_iter().find(|owner| !facts.allows(name, owner, source)) {
        let why = place(owner, "in this repository");
        return Some(format!("{why} {ALLOW} or remove the package"));
    }
    let base = facts.base.get(name).filter(|base| base.source != source)?;
    if here.all.contains(source) || facts.allows(name, &base.source, source) {
        return None;
    }
    let why = place(&base.source, &format!("of {}", base.distribution));
    Some(format!("{why} {ALLOW}"))
}

/// The advice after a refusal.
const ALLOW: &str = "An operator can allow the move in the catalogue ([[suites]] moves)";

fn essential(name: &str, field: &str, source: &str, facts: &NameFacts) -> Option<String> {
    let base = facts.base.get(name);
    let moved = facts.moves.iter().any(|m| m.binary.as_str() == name && m.to.as_str() == source);
    if facts.essential || moved || base.is_some_and(|base| base.source == source) {
        return None;
    }
    let owner = base.map_or_else(
        || "the base distribution does not have it".to_owned(),
        |base| format!("it belongs to the source {} of {}", base.source, base.distribution),
    );
    Some(format!(
        "{name} of the source {source} says {field}: yes, and {owner}: such a package is installed everywhere without being asked for. \
         {ALLOW}, from {source} to {source}, or the package must say no"
    ))
}

/// A name that more than one source has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NameConflict {
    /// The binary package.
    pub name: String,
    /// Its sources in the repository.
    pub sources: Vec<String>,
    /// Its owner in the base distribution, where that is none of them or not the only one.
    pub base: Option<BaseOwner>,
}

impl fmt::Display for NameConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} comes from {} in this repository", self.name, self.sources.join(" and "))?;
        match &self.base {
            Some(base) => write!(f, ", and from {} in {}", base.source, base.distribution),
            None => Ok(()),
        }
    }
}

/// The sources of a name that no allowed move explains: a move from another of them to the source is no conflict. `allows` has `from`
/// and `to`.
pub fn without_moves<'a>(
    sources: &BTreeSet<&'a str>,
    allows: impl Fn(&str, &str) -> bool,
) -> BTreeSet<&'a str> {
    let moved = |to: &str| sources.iter().any(|from| *from != to && allows(from, to));
    sources.iter().copied().filter(|source| !moved(source)).collect()
}

/// The names of a repository that more than one source has, the base distribution's counted, unless moves allow it. They are kept, and told
/// to operators.
pub fn conflicts(listed: &[Listed], facts: &NameFacts) -> Vec<NameConflict> {
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in listed.iter().filter(|p| p.arch != "source") {
        names.entry(&package.name).or_default().insert(&package.source);
    }
    let conflict = |(name, sources): (&str, BTreeSet<&str>)| {
        let foreign = |base: &&BaseOwner| sources.iter().any(|s| *s != base.source);
        let base = facts.base.get(name).filter(foreign).cloned();
        let mut all = sources.clone();
        all.extend(base.iter().map(|base| base.source.as_str()));
        let found = without_moves(&all, |from, to| facts.allows(name, from, to)).len() > 1;
        let sources: Vec<String> = sources.into_iter().map(str::to_owned).collect();
        found.then(|| NameConflict { name: name.to_owned(), sources, base })
    };
    names.into_iter().filter_map(conflict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(moves: &[(&str, &str, &str)]) -> NameFacts {
        let owner =
            BaseOwner { distribution: "Debian bookworm".into(), source: "make-dfsg".into() };
        let allowed = |(binary, from, to): &(&str, &str, &str)| NameMove {
            binary: binary.parse().unwrap(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            by: "ann".into(),
            why: "renamed".into(),
        };
        NameFacts {
            base: [("make".to_owned(), owner)].into(),
            moves: moves.iter().map(allowed).collect(),
            ..NameFacts::default()
        }
    }

    /// The refusal of `claim`; `all` and `replaced` are the owners in the repository.
    fn asked(
        name: &str,
        claim: Claim<'_>,
        source: &str,
        owners: (&[&str], &[&str]),
        moves: &[(&str, &str, &str)],
    ) -> Option<String> {
        let here = Owners {
            all: owners.0.iter().copied().collect(),
            replaced: owners.1.iter().copied().collect(),
        };
        refusal(name, claim, source, &here, &facts(moves))
    }

    #[test]
    fn a_name_belongs_to_its_source() {
        let none: (&[&str], &[&str]) = (&[], &[]);
        for (name, source, owners, moves, allowed) in [
            ("new", "a", none, vec![], true),
            ("x", "a", (&["a"][..], &["a"][..]), vec![], true),
            ("x", "a", (&["b"], &["b"]), vec![], false),
            ("x", "a", (&["b"], &[]), vec![], false),
            ("x", "a", (&["b"], &["b"]), vec![("x", "b", "a")], true),
            ("x", "a", (&["b"], &["b"]), vec![("x", "a", "b"), ("y", "b", "a")], false),
            ("x", "a", (&["b", "c"], &["b"]), vec![("x", "b", "a")], false),
            // Two sources have it already: each goes on where it does.
            ("x", "a", (&["a", "b"], &["a"]), vec![], true),
            ("x", "b", (&["a", "b"], &["b"]), vec![], true),
            ("x", "a", (&["a", "b"], &["b"]), vec![], false),
            ("x", "a", (&["a", "b"], &["a", "b"]), vec![("x", "b", "a")], true),
            ("make", "make-dfsg", none, vec![], true),
            ("make", "sec-make", none, vec![], false),
            ("make", "make", none, vec![], false),
            ("make", "sec-make", none, vec![("make", "make-dfsg", "sec-make")], true),
            ("make", "sec-make", (&["sec-make"], &["sec-make"]), vec![], true),
            ("make", "make-dfsg", (&["sec-make"], &["sec-make"]), vec![], false),
        ] {
            let said = asked(name, Claim::Name, source, owners, &moves);
            assert_eq!(said.is_none(), allowed, "{name} {source} {owners:?} {moves:?}: {said:?}");
        }
    }

    #[test]
    fn a_refusal_names_both_sources_and_the_remedy() {
        let said = asked("sec-base", Claim::Name, "sec-hijack", (&["sec-base"], &[]), &[]).unwrap();
        assert_eq!(
            said,
            "sec-base belongs to the source sec-base in this repository; sec-hijack may not publish it. An operator can allow the move \
             in the catalogue ([[suites]] moves) or remove the package"
        );
        let said = asked("make", Claim::Name, "sec-make", (&[], &[]), &[]).unwrap();
        assert!(
            said.starts_with(
                "make belongs to the source make-dfsg of Debian bookworm; sec-make may"
            ),
            "{said}"
        );
        let claim = Claim::Place { package: "evil", field: "Obsoletes" };
        let said = asked("make", claim, "sec-make", (&[], &[]), &[]).unwrap();
        assert!(said.starts_with("evil would take the place of make by its Obsoletes"), "{said}");
        assert!(said.contains("make-dfsg of Debian bookworm; sec-make may not replace"), "{said}");
    }

    #[test]
    fn an_essential_package_is_the_base_distributions() {
        let claim = Claim::Essential { field: "Essential" };
        let none: (&[&str], &[&str]) = (&[], &[]);
        for (name, source, owners, moves, allowed) in [
            ("make", "make-dfsg", none, vec![], true),
            ("make", "sec-make", none, vec![], false),
            ("new", "sec-make", none, vec![], false),
            ("new", "sec-make", (&["sec-make"][..], &[][..]), vec![], false),
            ("new", "sec-make", none, vec![("new", "sec-make", "sec-make")], true),
        ] {
            let said = asked(name, claim, source, owners, &moves);
            assert_eq!(said.is_none(), allowed, "{name} {source}: {said:?}");
        }
        let alone = NameFacts { essential: true, ..NameFacts::default() };
        assert_eq!(refusal("new", claim, "a", &Owners::default(), &alone), None);
    }

    #[test]
    fn a_name_with_two_sources_is_a_conflict_and_a_source_package_is_none() {
        let listed: Vec<Listed> = [
            ("x", "a", "amd64"),
            ("x", "b", "arm64"),
            ("y", "a", "amd64"),
            ("y", "y", "source"),
            ("make", "sec-make", "amd64"),
        ]
        .map(|(name, source, arch)| Listed {
            name: name.into(),
            version: "1".into(),
            arch: arch.into(),
            source: source.into(),
        })
        .into();
        let said: Vec<_> =
            conflicts(&listed, &facts(&[])).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "make comes from sec-make in this repository, and from make-dfsg in Debian bookworm",
                "x comes from a and b in this repository"
            ]
        );
        assert_eq!(conflicts(&listed, &NameFacts::default()).len(), 1);
        let moves = [("make", "make-dfsg", "sec-make"), ("x", "c", "b"), ("x", "a", "a")];
        let said = conflicts(&listed, &facts(&moves));
        assert_eq!(said.len(), 1, "a move allows make, and no move leads from a to b: {said:?}");
        assert_eq!(conflicts(&listed, &facts(&[moves[0], ("x", "b", "a")])), []);
    }

    #[test]
    fn facts_travel_as_json_and_a_field_that_nobody_knows_is_refused() {
        let facts = facts(&[("x", "a", "b")]);
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<NameFacts>(&text).unwrap(), facts);
        assert_eq!(serde_json::from_str::<NameFacts>("{}").unwrap(), NameFacts::default());
        let pattern = r#"{"binary":"lib*","from":"a","to":"b","by":"x","why":"y"}"#;
        assert!(serde_json::from_str::<NameMove>(pattern).is_err());
        assert!(serde_json::from_str::<NameFacts>(r#"{"bases":{}}"#).is_err());
    }
}
