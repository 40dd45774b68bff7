//! Text that must be readable as a type of the model.

use std::str::FromStr;

use pybit_core::Error;
use pybit_core::model::{
    AccountName, Arch, ClientName, Dist, EnvName, FailureClass, FormatName, JobStatus,
    NewSubmission, PackageName, PasswordHash, Produced, RepositoryName, Role, SigningKey, Suite,
    Target, Version,
};
use pybit_core::publish::Listed;
use serde::de::DeserializeOwned;

use crate::sql::moves::StoredMove;

/// Whether a text can be read, and why not.
type Reads = fn(&str) -> Result<(), String>;

fn word<T: FromStr<Err = Error>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|e| e.to_string())
}

fn json<T: DeserializeOwned>(text: &str) -> Result<(), String> {
    serde_json::from_str::<T>(text).map(drop).map_err(|e| e.to_string())
}

/// By table and column.
pub(super) const READS: &[(&str, &str, Reads)] = &[
    ("submission", "request", json::<NewSubmission>),
    ("job", "package", word::<PackageName>),
    ("job", "version", word::<Version>),
    ("job", "dist", word::<Dist>),
    ("job", "suite", word::<Suite>),
    ("job", "arch", word::<Arch>),
    ("job", "format", word::<FormatName>),
    ("job", "env", word::<EnvName>),
    ("job", "status", word::<JobStatus>),
    ("job", "client", word::<ClientName>),
    ("job", "avoid_client", word::<ClientName>),
    ("job", "lost_by", json::<Vec<ClientName>>),
    ("job", "unmet", json::<Vec<String>>),
    ("job", "produced", json::<Vec<Produced>>),
    ("job", "failure_class", word::<FailureClass>),
    ("attempt", "client", word::<ClientName>),
    ("attempt", "failure_class", word::<FailureClass>),
    ("event", "to_status", word::<JobStatus>),
    ("event", "from_status", word::<JobStatus>),
    ("client", "name", word::<ClientName>),
    ("client", "offers", json::<Vec<Target>>),
    ("target", "dist", word::<Dist>),
    ("target", "suite", word::<Suite>),
    ("target", "arch", word::<Arch>),
    ("target", "format", word::<FormatName>),
    ("target", "env", word::<EnvName>),
    ("repository", "name", word::<RepositoryName>),
    ("name_move", "dist", word::<Dist>),
    ("name_move", "suite", word::<Suite>),
    ("name_move", "format", word::<FormatName>),
    ("name_move", "move", json::<StoredMove>),
    ("published", "repository", word::<RepositoryName>),
    ("package_order", "repository", word::<RepositoryName>),
    ("package_order", "dist", word::<Dist>),
    ("package_order", "suite", word::<Suite>),
    ("package_order", "format", word::<FormatName>),
    ("package_order", "package", word::<PackageName>),
    ("package_order", "version", word::<Version>),
    ("package_order", "packages", json::<Vec<Listed>>),
    ("package_order", "keys", json::<Vec<SigningKey>>),
    ("token", "role", word::<Role>),
    ("account", "name", word::<AccountName>),
    ("account", "role", word::<Role>),
    ("account", "hash", word::<PasswordHash>),
];
