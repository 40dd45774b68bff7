//! A text that is never shown.

use std::fmt;

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
