//! Which pushes are built, and as what.

use glob::{MatchOptions, Pattern};
use pybit_core::model::{HookRule, NewSubmission, PushRule, Source};
use pybit_core::{Error, Result};

use super::config::refuse;
use super::push::{Push, Ref};

/// A rule with its patterns read.
#[derive(Debug)]
pub(super) struct Rule {
    repository: Pattern,
    to: To,
    config: PushRule,
}

#[derive(Debug)]
enum To {
    Branch(Pattern),
    Tag(Pattern),
}

/// Refuses, `Invalid`, rules of the catalogue whose patterns are none.
pub fn check(rules: &[HookRule]) -> Result<()> {
    rules.iter().try_for_each(|r| Rule::open(&r.hook, &r.rule).map(drop))
}

/// As `gitignore` has it: capitals count, and `*` does not reach over a slash.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Rule {
    /// Refuses, `Invalid`, a pattern that is none, and a rule for branches and tags at once.
    pub(super) fn open(hook: &str, config: &PushRule) -> Result<Self> {
        let pattern = |text: &str| {
            let bad = |e: glob::PatternError| -> Error {
                refuse(hook, &format!("the pattern \"{text}\": {}", e.msg))
            };
            Pattern::new(text).map_err(bad)
        };
        let to = match (&config.branch, &config.tag) {
            (Some(_), Some(_)) => {
                return Err(refuse(hook, "a rule is for branches or for tags: write two"));
            }
            (None, Some(tag)) => To::Tag(pattern(tag)?),
            (branch, None) => To::Branch(pattern(branch.as_deref().unwrap_or("**"))?),
        };
        Ok(Self { repository: pattern(&config.repository)?, to, config: config.clone() })
    }

    pub(super) fn matches(&self, push: &Push) -> bool {
        let to = match (&self.to, &push.to) {
            (To::Branch(pattern), Ref::Branch(name)) | (To::Tag(pattern), Ref::Tag(name)) => {
                pattern.matches_with(name, OPTIONS)
            }
            _ => false,
        };
        to && self.repository.matches_with(&push.repository, OPTIONS)
    }

    pub(super) fn submission(&self, push: &Push) -> NewSubmission {
        let config = &self.config;
        let url = config.url.clone().unwrap_or_else(|| push.url.clone());
        NewSubmission {
            source: Source::Git { url, reference: Some(push.commit.clone()) },
            suite: config.suite.clone(),
            dist: config.dist.clone(),
            format: config.format.clone(),
            arches: config.arches.clone(),
            env: config.env.clone(),
            priority: config.priority,
            force: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(repository: &str, branch: Option<&str>, tag: Option<&str>) -> Result<Rule> {
        let config = serde_json::json!({
            "repository": repository, "branch": branch, "tag": tag, "suite": "bookworm",
        });
        Rule::open("h", &serde_json::from_value(config).unwrap())
    }

    fn push(repository: &str, to: Ref) -> Push {
        Push {
            repository: repository.into(),
            url: "https://h/x.git".into(),
            to,
            commit: "a".repeat(40),
        }
    }

    #[test]
    fn patterns_choose_repository_and_branch_or_tag() {
        let branch = |n: &str| Ref::Branch(n.to_owned());
        let tag = |n: &str| Ref::Tag(n.to_owned());
        let cases = [
            (rule("joe/*", None, None), push("joe/hello", branch("any/thing")), true),
            (rule("joe/*", None, None), push("joe/hello", tag("v1")), false),
            (rule("joe/*", None, None), push("joe/sub/hello", branch("main")), false),
            (rule("joe/**", None, None), push("joe/sub/hello", branch("main")), true),
            (
                rule("*/hello", Some("debian/*"), None),
                push("ann/hello", branch("debian/sid")),
                true,
            ),
            (rule("*/hello", Some("debian/*"), None), push("ann/hello", branch("main")), false),
            (rule("*/hello", None, Some("v[0-9]*")), push("ann/hello", tag("v10")), true),
            (rule("*/hello", None, Some("v[0-9]*")), push("ann/hello", branch("v10")), false),
            (rule("ann/hello", None, None), push("ANN/hello", branch("main")), false),
        ];
        for (n, (rule, push, expected)) in cases.into_iter().enumerate() {
            assert_eq!(rule.unwrap().matches(&push), expected, "case {n}");
        }
        assert!(rule("x", Some("a"), Some("b")).is_err());
        assert!(rule("x", Some("***"), None).is_err());
    }
}
