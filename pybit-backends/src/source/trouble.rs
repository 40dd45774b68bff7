//! Failures of fetches: the code of each, and the sentence that says what failed, on what, and what the submitter can do.
//!
//! Each code has a class of its own (`FailureClass::of_fetch`), and none of them counts against the build client.

use std::fmt::Display;

use pybit_core::format::Exit;
use pybit_core::{Error, ErrorKind};

use crate::exec::one_line;

/// The kinds of trouble that a submitted address can lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Unresolved,
    Unreachable,
    TimedOut,
    Server,
    NotFound,
    NoRepository,
    Authentication,
    Broken,
    NotAllowed,
    Tls,
    /// The tool had no room on the disk: its repository is too large, or the disk is too full.
    NoRoom,
}

impl Trouble {
    fn code(self) -> &'static str {
        match self {
            Self::Unresolved => "source_unresolved",
            Self::Unreachable => "source_unreachable",
            Self::TimedOut => "source_timed_out",
            Self::Server => "source_unavailable",
            Self::NotFound => "source_not_found",
            Self::NoRepository => "source_no_repository",
            Self::Authentication => "source_authentication",
            Self::Broken => "source_broken",
            Self::NotAllowed => "source_not_allowed",
            Self::Tls => "source_tls",
            Self::NoRoom => "source_no_room",
        }
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::Unresolved | Self::Unreachable | Self::TimedOut | Self::Server => {
                ErrorKind::Unavailable
            }
            Self::NotFound | Self::NoRepository => ErrorKind::NotFound,
            Self::NoRoom => ErrorKind::Full,
            _ => ErrorKind::Invalid,
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Unresolved => "check how the host's name is written",
            Self::Unreachable => "check host and port, and whether the server is up",
            Self::TimedOut => "submit it again when the server answers",
            Self::Server => "submit it again when the server is well",
            Self::NotFound => "check path and reference",
            Self::NoRepository => "name the address that the repository is cloned from",
            Self::Authentication => {
                "make it readable without a password, or ask the operator of the build client for a credential"
            }
            Self::Broken => "clone it elsewhere, mend it there, and push it",
            Self::NotAllowed => {
                "name the address that it is read from without a redirect, on a host that is allowed"
            }
            Self::Tls => {
                "renew the certificate of the server, or ask the operator of the build client to trust it"
            }
            Self::NoRoom => "the source may be too large for the build client",
        }
    }

    /// The error for an address, or another thing that was to be fetched.
    pub(super) fn of(self, what: &str, why: impl Display) -> Error {
        let message = format!("{what}: {why}; {}", self.advice());
        Error::new(self.kind(), message).with_code(self.code())
    }
}

/// Words of tools, in English because the locale is fixed, and the trouble that they mean. The first that is found decides.
type Words = &'static [(Trouble, &'static [&'static str])];

/// Words that git, ssh and curl say of the way to a server, and of its answers.
const OF_GIT: Words = &[
    (
        Trouble::NotFound,
        &[
            "couldn't find remote ref",
            "not our ref",
            "unadvertised object",
            "unable to find remote ref",
            "Repository not found",
            "' not found",
            "returned error: 404",
            "returned error: 410",
        ],
    ),
    (
        Trouble::NoRepository,
        &[
            "does not appear to be a git repository",
            "repository not exported",
            "not valid: is this a git repository",
            "not a git repository",
        ],
    ),
    (
        Trouble::Authentication,
        &[
            "could not read Username",
            "could not read Password",
            "Authentication failed",
            "Permission denied (",
            "Host key verification failed",
            "returned error: 401",
            "returned error: 403",
            "returned error: 407",
        ],
    ),
    // A redirect: it could lead from an allowed place to any other.
    (
        Trouble::NotAllowed,
        &["returned error: 30", "' not allowed", "unable to update url base from redirection"],
    ),
    (Trouble::TimedOut, &["timed out", "Operation too slow", "returned error: 408"]),
    (Trouble::Server, &["returned error: 5", "returned error: 429"]),
    (
        Trouble::Unresolved,
        &[
            "Could not resolve host",
            "Couldn't resolve host",
            "unable to look up ",
            "Name or service not known",
            "Temporary failure in name resolution",
        ],
    ),
    (
        Trouble::Tls,
        &["certificate", "handshake", "gnutls_", "SSL ", "SSL_", "TLS connect error", "TLS packet"],
    ),
    (
        Trouble::Unreachable,
        &[
            "Connection refused",
            "Failed to connect to",
            "Couldn't connect to server",
            "No route to host",
            "Network is unreachable",
            "Host is unreachable",
        ],
    ),
    (
        Trouble::Broken,
        &[
            "invalid value for 'submodule.",
            "bad config line",
            "repository corruption",
            " is corrupt",
            "bad pack header",
            "pack has bad object",
            "bad object",
            "did not send all necessary objects",
            "unresolved delta",
            "inflate: data stream error",
            "pack is corrupted",
            "pack signature mismatch",
            "SHA1 COLLISION",
            "SHA1 mismatch",
            "missing blob object",
            "unable to parse object",
        ],
    ),
];

/// Numbers of svn's errors (`svn_error_codes.h`, the same since Subversion 1.7; `E000…` and `E67…` are APR's).
const OF_SVN: Words = &[
    (Trouble::Unresolved, &["E670002", "E670003", "E670004", "Unknown hostname"]),
    // A certificate comes before the E170013 that wraps every failure to connect.
    (Trouble::Tls, &["E230001", "E120171", "certificate"]),
    (
        Trouble::Authentication,
        &["E170001", "E215004", "E175013", "E220001", "Host key verification failed"],
    ),
    (Trouble::TimedOut, &["E000110", "E175012", "E120108"]),
    (Trouble::Unreachable, &["E000111", "E000113", "E000101"]),
    // No such revision, no such path.
    (Trouble::NotFound, &["E160006", "E160013", "E170000", "E200009", "E170005"]),
    // An address without a repository.
    (Trouble::NoRepository, &["E180001", "E210005", "E165001"]),
    (Trouble::Broken, &["E160004", "E160002", "E140001"]),
    (Trouble::NotAllowed, &["E170011", "E175011"]),
];

/// The trouble that git had with the server of `url`.
pub(super) fn of_git(url: &str, exit: Exit, said: &str) -> Error {
    judge(OF_GIT, Trouble::Server, url, exit, said)
}

/// The trouble that git had with the files and objects that it fetched from `url`: no server was asked.
pub(super) fn of_content(url: &str, exit: Exit, said: &str) -> Error {
    judge(&[], Trouble::Broken, url, exit, said)
}

/// The trouble that git had with a submodule: where no server is to blame, the entry is.
pub(super) fn of_submodule(url: &str, exit: Exit, said: &str) -> Error {
    judge(OF_GIT, Trouble::Broken, url, exit, said)
}

/// The trouble that svn had with the server of `url`.
pub(super) fn of_svn(url: &str, exit: Exit, said: &str) -> Error {
    judge(OF_SVN, Trouble::Server, url, exit, said)
}

fn judge(words: Words, rest: Trouble, url: &str, exit: Exit, said: &str) -> Error {
    let has = |some: &[&str]| some.iter().any(|word| said.contains(word));
    // git repeats in lines of this start what a server tells it to.
    let own: Vec<&str> = said.lines().filter(|line| !line.starts_with("remote: ")).collect();
    let own = own.join("\n");
    let full = ["No space left on device", "Disk quota exceeded"];
    let trouble = match exit {
        Exit::TimedOut | Exit::Silent => Trouble::TimedOut,
        Exit::LogLimit => Trouble::Broken,
        _ if full.iter().any(|word| own.contains(word)) => Trouble::NoRoom,
        _ => words.iter().find(|(_, some)| has(some)).map_or(rest, |(trouble, _)| *trouble),
    };
    let why = one_line(said);
    match exit {
        Exit::Code(_) if !why.is_empty() => trouble.of(url, why),
        exit => trouble.of(url, format!("{exit:?}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(said: &str) -> &'static str {
        of_git("https://h/x", Exit::Code(128), said).code()
    }

    #[test]
    fn the_words_of_git_are_told_apart() {
        for (said, expected) in [
            ("fatal: repository 'http://h/x/' not found", "source_not_found"),
            (
                "fatal: unable to access 'http://h/x/': The requested URL returned error: 503",
                "source_unavailable",
            ),
            (
                "fatal: could not read Username for 'http://h': terminal prompts disabled",
                "source_authentication",
            ),
            (
                "fatal: unable to access 'x': server certificate verification failed. CAfile: none",
                "source_tls",
            ),
            ("ssh: Could not resolve hostname h: Name or service not known", "source_unresolved"),
            ("127.0.0.1[0: 127.0.0.1]: errno=Connection refused", "source_unreachable"),
            ("fatal: protocol error: bad pack header", "source_broken"),
            ("fatal: the remote end hung up unexpectedly", "source_unavailable"),
            ("fatal: write error: No space left on device", "source_no_room"),
            ("remote: fatal: No space left on device\nfatal: early EOF", "source_unavailable"),
        ] {
            assert_eq!(code(said), expected, "{said}");
        }
        assert_eq!(of_git("x", Exit::TimedOut, "").code(), "source_timed_out");
        assert_eq!(of_content("x", Exit::Code(1), "error: whatever").code(), "source_broken");
    }
}
