//! Build clients.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::{BuildClient, ClientName, Job, JobId, Offer};

/// What a client says of itself with every claim and heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientReport {
    /// Its name.
    pub name: ClientName,
    /// Its process: another after every start.
    pub boot: String,
    /// The pybit version it runs.
    pub version: String,
    /// Jobs it builds at once.
    pub slots: u32,
    /// What it builds, source targets among it.
    pub offers: Vec<Offer>,
    /// Its own weights of these, in their order: what it would rather build. 0 where one is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<i32>,
}

impl ClientReport {
    /// The stable code of what a process is told that another of the same name has replaced.
    pub const REPLACED: &str = "client_replaced";

    /// What a process is told that another of the same name has replaced: one of them is on the wrong machine, or this
    /// is a late word of one that has ended.
    pub fn replaced(&self) -> Error {
        let message = format!(
            "another process runs as the build client {} since this one started; \
             every machine needs a client name and a token of its own",
            self.name
        );
        Error::conflict(message).with_code(Self::REPLACED)
    }
}

/// What the storage knows after a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The client as it is now.
    pub client: BuildClient,
    /// The jobs that were asked about, in that order; `None` for an unknown one.
    pub asked: Vec<Option<Job>>,
    /// Every job that the client holds, whether asked about or not, each with the boot of the attempt that holds it.
    pub held: Vec<(Job, String)>,
}

/// Build clients.
#[async_trait]
pub trait ClientStore: Send + Sync + std::fmt::Debug {
    /// Takes a heartbeat: records the client and moves the leases of the jobs it lists.
    ///
    /// - `beat_moves_only_the_callers_leases`: the lease epoch of a listed job goes up exactly when the client holds it
    ///   at that attempt number; no other field of a job changes.
    /// - `beat_remembers_the_client`: the client is added or updated; draining, streak and quarantine stay.
    /// - `a_replaced_process_is_refused`: once another `boot` of the name was recorded, those before it fail with
    ///   [`ClientReport::replaced`] and change nothing; the newest sixteen of them are remembered at least.
    /// - `beat_answers_with_asked_and_held_jobs`: `asked` in the order of the request, `None` for an unknown one; `held`
    ///   by number, with the boot of the attempt that holds it, not of the report.
    async fn beat(
        &self,
        report: &ClientReport,
        jobs: &[(JobId, u32)],
        at: Timestamp,
    ) -> Result<Beat>;

    /// - `clients_come_by_name_with_what_they_hold`: `holds` counts `Building` and `Cancelling` jobs.
    async fn clients(&self) -> Result<Vec<BuildClient>>;

    /// `None` where there is no such client.
    async fn client(&self, name: &ClientName) -> Result<Option<BuildClient>>;

    /// Tells a client to take no more jobs, or to take some again.
    ///
    /// - `draining_says_whether_there_is_such_a_client`: and changes nothing else.
    async fn set_draining(&self, name: &ClientName, draining: bool) -> Result<bool>;
}
