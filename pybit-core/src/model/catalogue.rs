//! What the farm serves: targets, repositories, rules.

use regex::RegexBuilder;
use serde::{Deserialize, Serialize};

use super::health::Health;
use super::id::RuleId;
use super::name::{Arch, Dist, EnvName, FormatName, RepositoryName, Suite};
use super::suite_move::SuiteMove;
use super::target::WeightedTarget;
use crate::error::{Error, Result};

/// Everything that planning needs to know, read in one go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Catalogue {
    /// What builds can be made for, in no particular order.
    pub targets: Vec<WeightedTarget>,
    /// Where results are published.
    pub repositories: Vec<Repository>,
    /// What is refused.
    pub rules: Vec<BlockRule>,
    /// Which pushes are built, besides those that a server's own configuration names.
    #[serde(default)]
    pub hook_rules: Vec<HookRule>,
    /// The allowed moves of names. In what is wanted: absent leaves the moves as they are, so that a client that does not know the list
    /// removes none. In what is there: absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<Vec<SuiteMove>>,
}

impl Catalogue {
    /// The allowed moves; none where the catalogue does not say.
    pub fn all_moves(&self) -> &[SuiteMove] {
        self.moves.as_deref().unwrap_or_default()
    }

    /// The repository that results of this suite and format go to, if it has one.
    pub fn repository(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
    ) -> Option<&Repository> {
        self.repositories
            .iter()
            .find(|r| r.dist == *dist && r.suite == *suite && r.format == *format)
    }
}

/// Where the results of a suite are published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Repository {
    /// Its name; part of its address.
    pub name: RepositoryName,
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub suite: Suite,
    /// The package format.
    pub format: FormatName,
    /// The address that builds install from; absent until its watcher has told.
    #[serde(default)]
    pub url: Option<String>,
    /// The armoured public key of its index; absent until its watcher has told.
    #[serde(default)]
    pub public_key: Option<String>,
    /// The health of its key and index; absent until its watcher has reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Whether builds of the suite take the newest package of the distribution and of this repository. In what is wanted: absent leaves it
    /// as it is, so that a client or a watcher that does not know the word changes nothing. In what is there: absent where it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<bool>,
}

impl Repository {
    /// Whether it overlays the distribution in build roots; false where nobody says.
    pub fn overlays(&self) -> bool {
        self.overlay == Some(true)
    }
}

/// A push that is built: what a hook of that name takes from the service that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HookRule {
    /// The hook, as the servers' `[[web.hooks]]` name it.
    pub hook: String,
    /// Which pushes, and what is built for them.
    pub rule: PushRule,
}

/// Which pushes are built for which suite.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PushRule {
    /// A pattern for `OWNER/NAME`; `*` stands for any text without a slash.
    pub repository: String,
    /// A pattern for the branch. Without this and `tag`, every branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// A pattern for the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The suite to build for.
    pub suite: Suite,
    /// As in a submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dist: Option<Dist>,
    /// As in a submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<FormatName>,
    /// As in a submission.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<Arch>,
    /// As in a submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<EnvName>,
    /// As in a submission.
    #[serde(default)]
    pub priority: i32,
    /// The address to fetch from instead of the one that the delivery names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Refuses submissions (the original's blacklist).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlockRule {
    /// Its number; 0 for one not stored yet.
    #[serde(default)]
    pub id: RuleId,
    /// What it looks at.
    pub subject: BlockSubject,
    /// A regular expression that must match somewhere in the subject; `^` and `$` anchor it.
    pub pattern: String,
    /// Why, for the submitter who is refused.
    pub reason: String,
}

/// What a block rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum BlockSubject {
    /// The source package's name, and the name of each binary package that it says it builds.
    Package,
    /// The source as written: `git+https://…`, `apt:hello`.
    Source,
}

impl BlockSubject {
    /// The subject as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Source => "source",
        }
    }
}

impl BlockRule {
    /// Checks that the pattern compiles within bounds: at most 1000 characters and 1 MiB of automaton.
    /// Matching takes time linear in the subject, whatever the pattern.
    pub fn check(&self) -> Result<()> {
        self.compile().map(|_| ())
    }

    /// Whether this rule refuses `text`.
    pub fn refuses(&self, text: &str) -> Result<bool> {
        Ok(self.compile()?.is_match(text))
    }

    /// The compiled pattern, to match many texts with.
    pub(crate) fn matcher(&self) -> Result<regex::Regex> {
        self.compile()
    }

    fn compile(&self) -> Result<regex::Regex> {
        let bad = |why: String| {
            Error::invalid(format!("the block rule's pattern is refused: {why}"))
                .with_code("invalid_pattern")
        };
        if self.pattern.is_empty() || self.pattern.len() > 1000 {
            return Err(bad("it must be 1 to 1000 characters long".to_owned()));
        }
        RegexBuilder::new(&self.pattern).size_limit(1 << 20).build().map_err(|e| bad(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_out_of_bounds_is_refused_and_a_nested_one_matches_in_linear_time() {
        let rule = |pattern: &str| BlockRule {
            id: RuleId(0),
            subject: BlockSubject::Package,
            pattern: pattern.to_owned(),
            reason: String::new(),
        };
        assert!(rule("(").check().is_err());
        assert!(rule("").check().is_err());
        assert!(rule("(a{1000}){1000}").check().is_err());
        assert!(!rule("^(a+)+$").refuses(&format!("{}b", "a".repeat(190))).unwrap());
        assert!(rule("^linux-").refuses("linux-image").unwrap());
    }
}
