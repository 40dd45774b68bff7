//! Who may do what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::TokenId;
use super::name::ClientName;
use super::name_grant::NameGrant;
use crate::clock::Timestamp;
use crate::error::Error;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, tokens and rules among it.
    Admin,
    /// Submit, cancel and retry.
    Submit,
    /// Claim jobs and report on them, as one named build client.
    Client,
    /// Publish uploaded sets.
    Publish,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Submit, Self::Client, Self::Publish];

    /// The role as the API and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Submit => "submit",
            Self::Client => "client",
            Self::Publish => "publish",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|r| r.as_str() == s);
        found.ok_or_else(|| {
            Error::invalid("there is no such role; the roles are admin, submit, client, publish")
                .with_code("unknown_role")
        })
    }
}

/// The permissions of a token: a role, for [`Role::Client`] the client's name, and names of the base distribution.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The build client that this token belongs to; set exactly when the role is `client`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientName>,
    /// The names of the base distribution that may be submitted under; the role `admin` may submit under all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameGrant>,
}

impl Grant {
    /// A role, and nothing besides.
    pub fn of(role: Role) -> Self {
        Self { role, client: None, names: Vec::new() }
    }

    /// The names of the base distribution that sources may be submitted under: every one for an administrator.
    pub fn names(&self) -> Vec<NameGrant> {
        if self.role == Role::Admin { vec![NameGrant::all()] } else { self.names.clone() }
    }
}

/// A token as the server keeps it: never the secret, only its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// Its number.
    pub id: TokenId,
    /// What people call it.
    pub name: String,
    /// What it grants.
    pub grant: Grant,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub created_at: Timestamp,
    /// When it ends by itself.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub revoked_at: Option<Timestamp>,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name that events and uploads carry.
    pub name: String,
    /// What they may do.
    pub grant: Grant,
}
