//! Names of the base distribution that a principal may submit sources under.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::{PackageName, Suite};
use crate::error::{Error, Result};

/// A pattern for names: `*` stands for any text, every other character for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(String);

impl NamePattern {
    /// The longest pattern, in characters.
    pub const MAX_LENGTH: usize = 200;

    /// The pattern of every name.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl Default for NamePattern {
    fn default() -> Self {
        Self::any()
    }
}

impl FromStr for NamePattern {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let is_known = |c: char| c.is_ascii_alphanumeric() || "*+._-".contains(c);
        if (1..=Self::MAX_LENGTH).contains(&s.len()) && s.chars().all(is_known) {
            return Ok(Self(s.to_owned()));
        }
        let message = format!(
            "the pattern of a name must have 1 to {} characters, each a letter, a digit or one of * + . _ -",
            Self::MAX_LENGTH
        );
        Err(Error::invalid(message).with_code("invalid_name_pattern"))
    }
}

impl TryFrom<String> for NamePattern {
    type Error = Error;
    fn try_from(s: String) -> Result<Self> {
        s.parse()
    }
}

impl From<NamePattern> for String {
    fn from(p: NamePattern) -> String {
        p.0
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Permission to submit sources that bear names of the base distribution's sources: `linux*@bookworm`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NameGrant {
    /// The names of the sources.
    pub sources: NamePattern,
    /// The suites; default: all.
    #[serde(default)]
    pub suites: NamePattern,
}

impl NameGrant {
    /// Permission for every name in every suite.
    pub fn all() -> Self {
        Self { sources: NamePattern::any(), suites: NamePattern::any() }
    }

    /// Whether the permission covers `source` in `suite`.
    pub fn covers(&self, source: &PackageName, suite: &Suite) -> bool {
        self.sources.matches(source.as_str()) && self.suites.matches(suite.as_str())
    }
}

impl fmt::Display for NameGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.sources, self.suites)
    }
}

impl FromStr for NameGrant {
    type Err = Error;
    /// Reads `SOURCES` or `SOURCES@SUITES`.
    fn from_str(s: &str) -> Result<Self> {
        let (sources, suites) = s.split_once('@').unwrap_or((s, "*"));
        Ok(Self { sources: sources.parse()?, suites: suites.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, matches) in [
            ("linux", "linux", true),
            ("linux", "linux-signed", false),
            ("linux", "xlinux", false),
            ("linux*", "linux", true),
            ("linux*", "linux-signed-amd64", true),
            ("linux*", "util-linux", false),
            ("*linux", "util-linux", true),
            ("*linux", "linux-x", false),
            ("*", "anything", true),
            ("l*n*x", "linux", true),
            ("l*n*x", "lx", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*ab*b", "aabb", true),
            ("a*ab*b", "aab", false),
            ("**", "", true),
        ] {
            let found = pattern.parse::<NamePattern>().unwrap().matches(name);
            assert_eq!(found, matches, "{pattern} {name}");
        }
    }

    #[test]
    fn a_grant_is_patterns_of_sources_and_suites() {
        let covers = |grant: &str, source: &str, suite: &str| {
            let grant: NameGrant = grant.parse().unwrap();
            grant.covers(&source.parse().unwrap(), &suite.parse().unwrap())
        };
        assert!(covers("linux*@bookworm", "linux-signed", "bookworm"));
        assert!(!covers("linux*@bookworm", "linux-signed", "trixie"));
        assert!(covers("hello", "hello", "trixie"));
        assert_eq!("hello".parse::<NameGrant>().unwrap().to_string(), "hello@*");
        for wrong in ["", "@", "a@", "@b", "a b", "a@b@c", "a/b", "a;b"] {
            let error = wrong.parse::<NameGrant>().unwrap_err();
            assert_eq!(error.code(), "invalid_name_pattern", "{wrong}");
        }
        let json = r#"{"sources":"linux*"}"#;
        let grant: NameGrant = serde_json::from_str(json).unwrap();
        assert_eq!(grant.to_string(), "linux*@*");
        assert!(serde_json::from_str::<NameGrant>(r#"{"sources":"a b"}"#).is_err());
    }
}
