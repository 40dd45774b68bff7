//! Failures of jobs and attempts, and what kind they are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Why a job or an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What kind; decides whether it is tried again by itself.
    pub class: FailureClass,
    /// One sentence for people.
    pub message: String,
}

/// What kind of failure, and so whether it is tried again and whether it counts against the build client.
///
/// Only [`Infra`](Self::Infra) counts against a client: no submitter can cause it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The package does not build, or ran past a limit: never tried again by itself.
    Build,
    /// The machine, network, mirror or environment failed: three more tries, elsewhere if possible.
    Infra,
    /// Build dependencies are missing: waits for one to be published.
    DepWait,
    /// The source is malformed.
    Source,
    /// A rule of the farm or of the repository refused it.
    Policy,
    /// Three different clients were lost on it: only an operator releases it.
    Poison,
    /// Either the package or the machine failed, and what tells is in the package's hand: tried again like `infra`, and
    /// counts against nobody.
    Unclear,
    /// The name of the source's host does not resolve: three more tries.
    FetchUnresolved,
    /// The source's host refuses the connection, or no way leads there: three more tries.
    FetchUnreachable,
    /// The source's server does not answer in time: three more tries.
    FetchTimeout,
    /// The source's server failed, or broke the transfer off: three more tries.
    FetchServer,
    /// The server has no such path, reference, revision or package.
    FetchNotFound,
    /// The address answers, and is no repository.
    FetchNoRepository,
    /// The repository wants a proof of identity that the build client does not have.
    FetchAuthentication,
    /// The repository is there and cannot be used: damaged objects, a bad `.gitmodules`, impossible names.
    FetchBroken,
    /// The build client may not fetch from this host or by this transport.
    FetchNotAllowed,
    /// The server's certificate is not trusted, or TLS cannot be agreed on.
    FetchTls,
    /// A class that this program does not know: the other end is newer. Never tried again by itself.
    #[serde(other)]
    Other,
}

/// The codes of errors of a fetch, and the class that each one means.
const OF_FETCHES: [(&str, FailureClass); 13] = [
    ("source_unresolved", FailureClass::FetchUnresolved),
    ("source_unreachable", FailureClass::FetchUnreachable),
    ("source_timed_out", FailureClass::FetchTimeout),
    ("source_unavailable", FailureClass::FetchServer),
    ("source_not_in_pool", FailureClass::FetchServer),
    ("source_not_found", FailureClass::FetchNotFound),
    ("source_no_repository", FailureClass::FetchNoRepository),
    ("source_authentication", FailureClass::FetchAuthentication),
    ("source_broken", FailureClass::FetchBroken),
    ("log_limit", FailureClass::FetchBroken),
    ("source_not_allowed", FailureClass::FetchNotAllowed),
    ("submodule_refused", FailureClass::FetchNotAllowed),
    ("source_tls", FailureClass::FetchTls),
];

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 18] = [
        Self::Build,
        Self::Infra,
        Self::DepWait,
        Self::Source,
        Self::Policy,
        Self::Poison,
        Self::Unclear,
        Self::FetchUnresolved,
        Self::FetchUnreachable,
        Self::FetchTimeout,
        Self::FetchServer,
        Self::FetchNotFound,
        Self::FetchNoRepository,
        Self::FetchAuthentication,
        Self::FetchBroken,
        Self::FetchNotAllowed,
        Self::FetchTls,
        Self::Other,
    ];

    /// The class as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Infra => "infra",
            Self::DepWait => "dep-wait",
            Self::Source => "source",
            Self::Policy => "policy",
            Self::Poison => "poison",
            Self::Unclear => "unclear",
            Self::FetchUnresolved => "fetch-unresolved",
            Self::FetchUnreachable => "fetch-unreachable",
            Self::FetchTimeout => "fetch-timeout",
            Self::FetchServer => "fetch-server",
            Self::FetchNotFound => "fetch-not-found",
            Self::FetchNoRepository => "fetch-no-repository",
            Self::FetchAuthentication => "fetch-authentication",
            Self::FetchBroken => "fetch-broken",
            Self::FetchNotAllowed => "fetch-not-allowed",
            Self::FetchTls => "fetch-tls",
            Self::Other => "other",
        }
    }

    /// The class of a fetch that failed with this code of an error; `None` where the code says nothing of the source.
    pub fn of_fetch(code: &str) -> Option<Self> {
        OF_FETCHES.iter().find(|(known, _)| *known == code).map(|(_, class)| *class)
    }

    /// Whether the job is tried again by itself after a pause, as often as the farm's policy says.
    pub fn is_tried_again(self) -> bool {
        matches!(
            self,
            Self::Infra
                | Self::Unclear
                | Self::FetchUnresolved
                | Self::FetchUnreachable
                | Self::FetchTimeout
                | Self::FetchServer
        )
    }

    /// Whether it says nothing of the build client: neither that it is well nor that it is ill.
    pub fn is_without_blame(self) -> bool {
        self.is_fetch() || self == Self::Unclear || self == Self::Other
    }

    /// Whether the source could not be fetched.
    pub fn is_fetch(self) -> bool {
        OF_FETCHES.iter().any(|(_, class)| *class == self)
    }

    /// The nearest of the classes that servers know which are older than `unclear` and the fetches.
    pub fn for_older_servers(self) -> Self {
        match self {
            _ if !self.is_without_blame() => self,
            _ if self.is_tried_again() => Self::Infra,
            _ => Self::Source,
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for FailureClass {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|c| c.as_str() == s);
        found.ok_or_else(|| {
            Error::invalid("there is no such failure class").with_code("unknown_failure_class")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_same_word_everywhere_and_an_unknown_one_is_read() {
        for class in FailureClass::ALL {
            let word = serde_json::to_value(class).unwrap();
            assert_eq!(word, class.as_str());
            assert_eq!(serde_json::from_value::<FailureClass>(word).unwrap(), class);
            assert_eq!(class.as_str().parse::<FailureClass>().unwrap(), class);
            let older = class.for_older_servers();
            assert!(!older.is_without_blame() && older.is_tried_again() == class.is_tried_again());
        }
        let newer = r#"{"class":"of-tomorrow","message":"x"}"#;
        let read: Failure = serde_json::from_str(newer).unwrap();
        assert_eq!(read.class, FailureClass::Other);
        assert!(!read.class.is_tried_again());
    }
}
