//! Orders about the packages of a repository, and their history.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::model::{
    Arch, JobId, OrderKind, PackageName, PackageOrder, Produced, RepositoryName, SigningKey,
    Version,
};
use crate::publish::Listed;

/// An order to the watcher of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPackageOrder {
    /// The task.
    pub kind: OrderKind,
    /// The source package; a removal must name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageName>,
    /// The version to take out, as the source package has it; absent: every version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Why; a removal and a roll-over must say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it only says what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// A watcher's word on the packages of an order, or on the repository's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderPackages {
    /// The packages that it is about to take out, has taken out, or lists.
    #[serde(default)]
    pub packages: Vec<Listed>,
    /// The keys that sign the repository, oldest first, where the order is about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<SigningKey>,
}

/// A watcher's word that it cannot carry out an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderFailed {
    /// Why.
    pub message: String,
}

/// A source package that was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PublishedPackage {
    /// The job that built it.
    pub job: JobId,
    /// The repository.
    pub repository: RepositoryName,
    /// The state of the repository in which readers saw it first.
    pub snapshot: String,
    /// Its version.
    pub version: Version,
    /// The architecture that it was built for.
    pub arch: Arch,
    /// The publisher: the watcher's name.
    pub principal: String,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub at: Timestamp,
    /// The packages that were built from it.
    pub packages: Vec<Produced>,
}

/// A line of a package's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum HistoryEntry {
    /// It was published.
    Published(Box<PublishedPackage>),
    /// Its removal was ordered, in whatever state that order is.
    Removal(Box<PackageOrder>),
}

impl HistoryEntry {
    /// When it came about: the publication, the end of a removal, or the order of one that has not ended.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Published(published) => published.at,
            Self::Removal(order) => order.ended_at.unwrap_or(order.requested_at),
        }
    }
}
