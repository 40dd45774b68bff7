//! A text that is never shown.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pybit_core::{Error, Result};
use serde::Deserialize;

/// An access token: readable only where it is sent, absent from every `Debug` and log line.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`; white space around it, such as the line end of a token file, is left out.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        self.0.trim()
    }

    /// The secret that a role's table of the configuration gives: by itself, or in a file.
    ///
    /// Fails where there is none, where there are two, and where the file can be read by others: `Invalid`, code
    /// `invalid_configuration`.
    pub fn configured(given: Option<&Self>, file: Option<&Path>, table: &str) -> Result<Self> {
        match (given, file) {
            (Some(secret), None) => Ok(secret.clone()),
            (None, Some(file)) => Self::read(file),
            (None, None) => Err(refuse(format!(
                "this role needs a token; make one with `pybit token create` and set {table}.token_file"
            ))),
            (Some(_), Some(_)) => {
                Err(refuse(format!("set {table}.token or {table}.token_file, not both")))
            }
        }
    }

    /// Reads a secret from a file that nobody else can read.
    pub fn read(file: &Path) -> Result<Self> {
        read_private(file, "token").map(|text| Self::new(&text))
    }
}

/// The text of a file that nobody else can read; `what` it holds stands in the refusal: `token`, `password`.
pub fn read_private(file: &Path, what: &str) -> Result<String> {
    let unreadable = |e: std::io::Error| {
        refuse(format!("the {what} file {} cannot be read: {e}", file.display())).with_source(e)
    };
    let mode = std::fs::metadata(file).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        let path = file.display();
        return Err(refuse(format!(
            "the {what} file {path} can be read by others; run chmod 600 {path}"
        )));
    }
    std::fs::read_to_string(file).map_err(unreadable)
}

fn refuse(why: String) -> Error {
    Error::invalid(why).with_code("invalid_configuration")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", Secret::new("pbt_1234\n")), "Secret(…)");
        assert_eq!(Secret::new("pbt_1234\n").expose(), "pbt_1234");
    }
}
