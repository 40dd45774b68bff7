//! People and hooks that prove with a password who they are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::AccountName;
use super::name_grant::NameGrant;
use super::token::Role;
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// An account as the server shows it: never its password, nor what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// What it may do; never [`Role::Client`], because a build client has a token.
    pub role: Role,
    /// The names of the base distribution that it may submit under; the role `admin` may submit under all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameGrant>,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_at: Timestamp,
    /// When its password was set last.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub password_at: Timestamp,
    /// When it ends by itself.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub expires_at: Option<Timestamp>,
    /// Since when it is disabled.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub disabled_at: Option<Timestamp>,
}

impl Account {
    /// Whether its password opens anything at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.disabled_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }
}

/// A password, for the way from where it is typed to where it is checked: absent from every `Debug` and message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct Password(String);

impl Password {
    /// The shortest, in characters (NIST SP 800-63B, 5.1.1.2).
    pub const SHORTEST: usize = 8;
    /// The longest, in bytes: what is longer costs time to look at.
    pub const LONGEST: usize = 1024;

    /// The text itself, for the one place that sends or checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Password {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let refuse = |why: String| Err(Error::invalid(why).with_code("invalid_password"));
        if s.len() > Self::LONGEST {
            return refuse(format!("a password has at most {} bytes", Self::LONGEST));
        }
        if s.chars().count() < Self::SHORTEST {
            return refuse(format!("a password has at least {} characters", Self::SHORTEST));
        }
        // HTTP Basic can carry none (RFC 7617, 2).
        if s.chars().any(char::is_control) {
            return refuse("a password holds no control characters, such as line ends".to_owned());
        }
        Ok(Self(s.to_owned()))
    }
}

impl TryFrom<String> for Password {
    type Error = Error;
    fn try_from(s: String) -> Result<Self> {
        s.parse()
    }
}

impl From<Password> for String {
    fn from(p: Password) -> String {
        p.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What is kept of a password: a string of the password hashing competition, `$argon2id$v=19$m=…`. As good as the password
/// to whoever has time to guess, so it is in no `Debug` either.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The string, for whoever keeps or checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for PasswordHash {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        let printable = s.bytes().all(|b| b.is_ascii_graphic());
        if s.starts_with('$') && printable && s.len() <= 512 {
            return Ok(Self(s.to_owned()));
        }
        let message = "what is kept of a password is not of the form $ALGORITHM$…";
        Err(Error::invalid(message).with_code("invalid_password_hash"))
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = Error;
    fn try_from(s: String) -> Result<Self> {
        s.parse()
    }
}

impl From<PasswordHash> for String {
    fn from(h: PasswordHash) -> String {
        h.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_password_nor_what_is_kept_of_it_is_ever_shown() {
        let password: Password = "correct horse".parse().unwrap();
        let hash: PasswordHash = "$argon2id$v=19$m=19456".parse().unwrap();
        assert_eq!(format!("{password:?} {hash:?}"), "Password(…) PasswordHash(…)");
        for text in ["short", "with\nline ends", &"x".repeat(1025), "\u{e9}\u{e9}\u{e9}\u{e9}"] {
            let error = text.parse::<Password>().unwrap_err();
            assert!(error.code() == "invalid_password" && !error.message().contains(text));
        }
        assert!("correct horse".parse::<PasswordHash>().is_err());
    }

    #[test]
    fn an_account_is_open_until_it_ends_or_is_disabled() {
        let at = Timestamp::from_micros;
        let account = Account {
            name: "ann".parse().unwrap(),
            role: Role::Submit,
            names: Vec::new(),
            created_at: at(1),
            password_at: at(1),
            expires_at: Some(at(5)),
            disabled_at: None,
        };
        assert!(account.is_open(at(4)) && !account.is_open(at(5)));
        assert!(!Account { disabled_at: Some(at(2)), ..account }.is_open(at(4)));
    }
}
