//! Names parsed once and valid ever after.
//!
//! Every name is printable ASCII of a narrow alphabet, so that it can stand in a route, a file name, an
//! argument vector or a page without a second check: it never starts with `-` or `.`, and never holds a
//! slash, a space, a quote or a control character.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Characters allowed after the first besides ASCII letters and digits, and the longest length.
struct Alphabet {
    what: &'static str,
    code: &'static str,
    extra: &'static str,
    longest: usize,
}

fn check(text: &str, a: &Alphabet) -> Result<()> {
    let first_ok = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest_ok = text.chars().all(|c| c.is_ascii_alphanumeric() || a.extra.contains(c));
    let is_device = a.what == FILE_NAME && is_device(text);
    if first_ok && rest_ok && text.len() <= a.longest && !is_device {
        return Ok(());
    }
    if is_device {
        let message = format!(
            "\"{text}\" is not a valid {}: it names a device where people may download it",
            a.what
        );
        return Err(Error::invalid(message).with_code(a.code));
    }
    let extra = a.extra.chars().map(String::from).collect::<Vec<_>>().join(" ");
    let shown: String =
        text.chars().take(60).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
    Err(Error::invalid(format!(
        "\"{shown}\" is not a valid {}: it must start with a letter or digit, hold only letters, digits and {extra}, \
         and be at most {} characters long",
        a.what, a.longest
    ))
    .with_code(a.code))
}

const FILE_NAME: &str = "file name";

/// Names that Windows takes for devices, whatever follows the first dot (Win32, "Naming Files, Paths, and Namespaces").
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let numbered = |device: &str| {
        let number = stem.strip_prefix(device);
        number.is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()) || numbered("COM") || numbered("LPT")
}

macro_rules! name {
    ($name:ident, $what:expr, $code:literal, $extra:literal, $longest:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(s: &str) -> Result<Self> {
                check(s, &Alphabet { what: $what, code: $code, extra: $extra, longest: $longest })?;
                Ok(Self(s.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(s: String) -> Result<Self> {
                s.parse()
            }
        }

        impl From<$name> for String {
            fn from(n: $name) -> String {
                n.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(Dist, "distribution name", "invalid_dist", "+_-", 64, "A distribution: `Debian`.");
name!(Suite, "suite name", "invalid_suite", "+_-", 64, "A suite of a distribution: `bookworm`.");
name!(
    Arch,
    "architecture name",
    "invalid_arch",
    "_-",
    64,
    "An architecture that builds run on: `arm64`. `source` is the pseudo-architecture of source jobs."
);
name!(FormatName, "format name", "invalid_format", "_-", 32, "A package format: `deb`.");
name!(
    EnvName,
    "environment name",
    "invalid_env",
    "_-",
    64,
    "A build environment: `sbuild`, `host`."
);
name!(
    ClientName,
    "client name",
    "invalid_client",
    "._-",
    64,
    "A build client's name, unique in the farm."
);
name!(
    AccountName,
    "account name",
    "invalid_account",
    "._-",
    64,
    "An account's name, unique in the farm: `ann`."
);
name!(
    RepositoryName,
    "repository name",
    "invalid_repository",
    "._-",
    64,
    "A repository that the watcher publishes into."
);
name!(
    PackageName,
    "package name",
    "invalid_package",
    "+._-",
    200,
    "A source package's name: `hello`."
);
name!(
    FileName,
    FILE_NAME,
    "invalid_file_name",
    "+._~:^-",
    240,
    "The name of a stored file, never a path: `hello_2.10-3.dsc`."
);

impl Arch {
    /// The pseudo-architecture of source jobs, which any client of the suite may take.
    pub fn source() -> Self {
        Self("source".to_owned())
    }

    /// Whether this is [`Arch::source`].
    pub fn is_source(&self) -> bool {
        self.0 == "source"
    }
}

/// A package version, at most 200 printable characters; its format decides whether it is valid and how it orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

impl Version {
    /// The version as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let alphabet =
            Alphabet { what: "version", code: "invalid_version", extra: "+._~:^!-", longest: 200 };
        check(s, &alphabet).map(|()| Self(s.to_owned()))
    }
}

impl TryFrom<String> for Version {
    type Error = Error;
    fn try_from(s: String) -> Result<Self> {
        s.parse()
    }
}

impl From<Version> for String {
    fn from(v: Version) -> String {
        v.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused_and_never_echoed_raw() {
        let hostile = [
            "",
            "-x",
            "--upload-pack=id",
            "..",
            ".",
            "../../etc",
            "a/b",
            "hello;id",
            "$(id)",
            "`id`",
            "a b",
            "a\nb",
            "a\0b",
            "-oDpkg::Pre-Invoke=id",
            "<img src=x>",
            "p\u{430}ckage",
            "\u{202e}abc",
            "a|tee",
        ];
        for text in hostile {
            let error = text.parse::<PackageName>().expect_err(text);
            assert_eq!(error.code(), "invalid_package");
            assert!(!error.message().contains(['\n', '\0', '\u{202e}']), "{error}");
            assert!(text.parse::<FileName>().is_err(), "{text:?} as a file name");
        }
        assert!("x".repeat(201).parse::<PackageName>().is_err());
    }

    #[test]
    fn a_file_is_not_called_like_a_device() {
        for text in ["CON", "con.dsc", "Aux.tar.gz", "lpt1", "COM9.deb"] {
            assert_eq!(text.parse::<FileName>().expect_err(text).code(), "invalid_file_name");
        }
        for text in ["console_1.dsc", "con_1.0.dsc", "com10.deb", "lpt.c"] {
            text.parse::<FileName>().unwrap();
        }
        "con".parse::<PackageName>().unwrap();
    }

    #[test]
    fn a_name_that_goes_into_a_route_holds_no_dot_and_no_wildcard() {
        for text in ["a.b", "#", "*", "a*"] {
            assert!(text.parse::<Suite>().is_err(), "{text:?}");
            assert!(text.parse::<Arch>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ordinary_names_pass() {
        "libstdc++6".parse::<PackageName>().unwrap();
        "bookworm-backports".parse::<Suite>().unwrap();
        "hello_2.10-3~bpo12+1.debian.tar.xz".parse::<FileName>().unwrap();
        "1:2.0~rc1-0.1+b2".parse::<Version>().unwrap();
    }
}
