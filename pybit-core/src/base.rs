//! The base distribution: which names its packages bear, and what may be submitted under them.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Arch, Dist, FormatName, PackageName, Suite};
use crate::owners::BaseOwner;

/// A suite whose base distribution is asked about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseSuite {
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub suite: Suite,
    /// The package format.
    pub format: FormatName,
    /// One architecture of the suite.
    pub arch: Arch,
}

/// A source package of the base distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BaseSource {
    /// Its version, as its format writes it; rpm's without an epoch. Empty where the index does not have it.
    pub version: String,
    /// The SHA-256 of what the distribution publishes of it, hexadecimal: of the `.dsc` (`deb`), the `.src.rpm` (`rpm`), the sdist (`python`).
    /// Nothing where the index does not have it: then no bytes are the distribution's own.
    pub sha256: Option<String>,
}

/// The state of the index of one suite's base distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BaseStatus {
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub suite: Suite,
    /// The package format.
    pub format: FormatName,
    /// When the index was last fetched and found signed; nothing before the first time.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub fetched_at: Option<Timestamp>,
    /// The number of names of binary packages.
    pub names: u64,
    /// The number of names of source packages.
    pub sources: u64,
    /// Why the last fetch failed; nothing after one that worked.
    pub error: Option<String>,
}

/// A verified index of the base distribution of each suite.
///
/// - `only_signed_indices_are_read`: an index without a good signature of a key that the configuration trusts is refused, and the index that
///   was there before stays in use.
/// - `not_knowing_is_configured`: before the first index of a suite is there, [`owners`](Self::owners) and [`source`](Self::source) either
///   answer as if the base distribution were empty or fail, `Unavailable`, code `names_unavailable`; the configuration says which.
/// - `formats_without_an_index_are_empty`: a format whose base distributions the index does not cover has no names, and that is no failure.
#[async_trait]
pub trait BaseIndex: Send + Sync + fmt::Debug {
    /// The base distribution, for people: `Debian bookworm`.
    fn described(&self, dist: &Dist, suite: &Suite, _format: &FormatName) -> String {
        format!("{dist} {suite}")
    }

    /// The sources that own these names of binary packages.
    ///
    /// - `a_name_that_is_missing_is_free`: the base distribution has no such package.
    /// - `virtual_packages_are_missing`: a name that the base distribution has only in `Provides` is missing.
    async fn owners(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        binaries: &[String],
    ) -> Result<BTreeMap<String, BaseOwner>>;

    /// The source packages of this name.
    ///
    /// - `every_version_is_listed`: those of the release, its updates and its security fixes.
    /// - `a_source_without_a_digest_is_listed`: its name is the distribution's, too.
    /// - `no_source_of_the_name_is_an_empty_list`.
    async fn source(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        name: &PackageName,
    ) -> Result<Vec<BaseSource>>;

    /// The state of each suite's index.
    ///
    /// - `every_suite_is_told`: a suite that was asked for by [`refresh`](Self::refresh) is in the list, fetched or not.
    fn status(&self) -> Vec<BaseStatus>;

    /// Fetches the indices of these suites that are due; those that are not due cost nothing. How many were fetched.
    ///
    /// - `a_failure_keeps_what_was_there`: it is in the [`status`](Self::status) and the log, and the other suites are still fetched.
    async fn refresh(&self, suites: &[BaseSuite]) -> Result<usize>;
}

/// The index that knows nothing: every name is free.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBase;

#[async_trait]
impl BaseIndex for NoBase {
    async fn owners(
        &self,
        _: &Dist,
        _: &Suite,
        _: &FormatName,
        _: &[String],
    ) -> Result<BTreeMap<String, BaseOwner>> {
        Ok(BTreeMap::new())
    }

    async fn source(
        &self,
        _: &Dist,
        _: &Suite,
        _: &FormatName,
        _: &PackageName,
    ) -> Result<Vec<BaseSource>> {
        Ok(Vec::new())
    }

    fn status(&self) -> Vec<BaseStatus> {
        Vec::new()
    }

    async fn refresh(&self, _: &[BaseSuite]) -> Result<usize> {
        Ok(0)
    }
}

/// The failure of an index that insists on being asked and is not there yet.
pub fn unavailable(dist: &Dist, suite: &Suite, why: Option<&str>) -> Error {
    let why = why.unwrap_or("it was not fetched yet");
    let message = format!(
        "the index of {dist} {suite}, which says which names are the distribution's, is not available: {why}. \
         Try again later; [names] unavailable = \"allow\" in the configuration does without it"
    );
    Error::new(ErrorKind::Unavailable, message).with_code("names_unavailable")
}

/// The refusal of a source that bears a name of the base distribution and is not one of its sources; `None` where the name is free or the
/// source description is one of the distribution's.
///
/// `version` is the refused source's own version, and `sha256` the digest that [`BaseSource::sha256`] would have of it.
pub fn refusal(
    distribution: &str,
    (source, version): (&PackageName, &str),
    sha256: &str,
    known: &[BaseSource],
) -> Option<Error> {
    let is_own =
        |own: &BaseSource| own.sha256.as_ref().is_some_and(|s| s.eq_ignore_ascii_case(sha256));
    if known.is_empty() || known.iter().any(is_own) {
        return None;
    }
    let message = format!(
        "{source} is a source package of {distribution}{}, and {source} {version} of this submission is not the \
         distribution's own. Give the package another name, submit it as an administrator, or have an administrator grant the name: \
         pybit token create --may-replace '{source}'",
        there(known)
    );
    Some(Error::new(ErrorKind::Denied, message).with_code(NAME_OF_DISTRIBUTION))
}

/// The most versions that a refusal lists.
const MAX_TOLD: usize = 5;

/// The versions of the distribution's sources, for a sentence: ` (there in version 1.0, 1.1)`; the last ones of many, nothing for none.
pub fn there(known: &[BaseSource]) -> String {
    let versions: Vec<&str> =
        known.iter().map(|own| own.version.as_str()).filter(|v| !v.is_empty()).collect();
    let last = &versions[versions.len().saturating_sub(MAX_TOLD)..];
    let earlier = if last.len() < versions.len() { "…, " } else { "" };
    if last.is_empty() {
        return String::new();
    }
    format!(" (there in version {earlier}{})", last.join(", "))
}

/// The code of the refusal of a source that bears a name of the base distribution.
pub const NAME_OF_DISTRIBUTION: &str = "name_of_distribution";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_distributions_own_bytes_bear_its_names() {
        let own = |version: &str, digit: &str| BaseSource {
            version: version.to_owned(),
            sha256: Some(digit.repeat(64)),
        };
        let known = [own("4.3-4.1", "a"), own("4.3-4.1+deb12u1", "b")];
        let name: PackageName = "make-dfsg".parse().unwrap();
        let asked = |digit: &str, known: &[BaseSource]| {
            refusal("Debian bookworm", (&name, "99"), &digit.repeat(64), known)
        };
        assert!(asked("a", &known).is_none() && asked("B", &known).is_none());
        assert!(asked("c", &[]).is_none());
        let error = asked("c", &known).unwrap();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, NAME_OF_DISTRIBUTION));
        for part in
            ["make-dfsg", "Debian bookworm", "4.3-4.1, 4.3-4.1+deb12u1", "99", "another name"]
        {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        assert!(refusal("D s", (&name, "1"), "", &known).is_some());
        let nameless = [BaseSource { version: String::new(), sha256: None }];
        let error = refusal("an index", (&name, "1"), "", &nameless).unwrap();
        assert!(error.message().starts_with("make-dfsg is a source package of an index, and"));
        let many: Vec<_> = (1..=9).map(|n| own(&n.to_string(), "a")).collect();
        assert_eq!(there(&many), " (there in version …, 5, 6, 7, 8, 9)");
    }
}
