//! The name of a configuration of mock.

use std::fmt;
use std::str::FromStr;

use pybit_core::{Error, Result};
use serde::Deserialize;

const LONGEST: usize = 100;

/// A configuration of mock, as its `-r` takes it: `fedora-40-x86_64` is `/etc/mock/fedora-40-x86_64.cfg`.
///
/// A configuration is a Python program, and mock takes a name that ends in `.cfg` for a path. So this is one plain word: letters, digits and
/// `. _ + -`, with no `.cfg` at its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MockName(String);

impl MockName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MockName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        let path = name.to_ascii_lowercase().ends_with(".cfg") || name.contains("..");
        if begins && !path && name.len() <= LONGEST && name.bytes().all(plain) {
            return Ok(Self(name.to_owned()));
        }
        Err(Error::invalid(
            "a configuration of mock is given by its name, such as fedora-40-x86_64: letters, digits and \". _ + -\", no path and no .cfg",
        )
        .with_code("invalid_configuration"))
    }
}

impl TryFrom<String> for MockName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl fmt::Display for MockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_a_plain_name() {
        for name in ["fedora-40-x86_64", "centos-stream+epel-9-x86_64", "default", "mine.2"] {
            assert_eq!(name.parse::<MockName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn paths_templates_and_quotes_are_refused() {
        let long = "x".repeat(LONGEST + 1);
        for name in [
            "",
            "-r",
            "--init",
            ".",
            "..",
            "a..b",
            "../x",
            "/etc/mock/x",
            "/tmp/evil.cfg",
            "evil.cfg",
            "evil.CFG",
            "a b",
            "a\n",
            "a{b",
            "{{x}}",
            "%(x)s",
            "a%b",
            "a'b",
            "a\"b",
            "a;b",
            "$(id)",
            "fedora-40-é",
            "~root",
            long.as_str(),
        ] {
            let error = name.parse::<MockName>().expect_err(name);
            assert_eq!(error.code(), "invalid_configuration", "{name}");
        }
    }
}
