//! Build clients as the server sees them.

use serde::{Deserialize, Serialize};

use super::name::ClientName;
use super::target::Target;
use crate::clock::Timestamp;

/// What a client can build: a target, exactly.
pub type Offer = Target;

/// A build client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BuildClient {
    /// Its name.
    pub name: ClientName,
    /// The process that reported last: a restart makes another.
    pub boot: String,
    /// The pybit version it runs.
    pub version: String,
    /// Jobs it builds at once.
    pub slots: u32,
    /// What it builds.
    pub offers: Vec<Offer>,
    /// Told to take no more jobs.
    pub draining: bool,
    /// Infrastructure failures in a row; three quarantine it.
    pub infra_streak: u32,
    /// Takes no job before this, after too many infrastructure failures in a row.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub quarantined_until: Timestamp,
    /// When it was last heard of.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub seen_at: Timestamp,
    /// Jobs that it holds now.
    pub holds: u32,
}
