//! Build clients and the leases that their heartbeats move.

use async_trait::async_trait;

use super::{JobRow, MemoryStorage, State};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::{BuildClient, ClientName, Job, JobId};
use crate::storage::{Beat, ClientReport, ClientStore};

/// Processes of one client that were replaced.
const REMEMBERED: usize = 16;

#[async_trait]
impl ClientStore for MemoryStorage {
    async fn beat(
        &self,
        report: &ClientReport,
        jobs: &[(JobId, u32)],
        at: Timestamp,
    ) -> Result<Beat> {
        self.write(|state| state.beat(report, jobs, at)).await
    }

    async fn clients(&self) -> Result<Vec<BuildClient>> {
        let state = self.read().await?;
        Ok(state.clients.values().map(|c| state.with_holds(c)).collect())
    }

    async fn client(&self, name: &ClientName) -> Result<Option<BuildClient>> {
        let state = self.read().await?;
        Ok(state.clients.get(name).map(|c| state.with_holds(c)))
    }

    async fn set_draining(&self, name: &ClientName, draining: bool) -> Result<bool> {
        self.write(|state| {
            let Some(client) = state.clients.get_mut(name) else { return Ok(false) };
            client.draining = draining;
            Ok(true)
        })
        .await
    }
}

impl State {
    fn beat(
        &mut self,
        report: &ClientReport,
        jobs: &[(JobId, u32)],
        at: Timestamp,
    ) -> Result<Beat> {
        self.replace(report)?;
        let client = self.remember(report, at);
        for (id, attempt) in jobs {
            let moves =
                |row: &JobRow| row.job.attempt == *attempt && is_held_by(&row.job, &report.name);
            if self.jobs.get(id).is_some_and(moves)
                && let Some(row) = self.jobs.get_mut(id)
            {
                row.job.lease_epoch += 1;
            }
        }
        let asked = jobs.iter().map(|(id, _)| self.jobs.get(id).map(|row| row.job.clone()));
        let held = self.jobs.values().filter(|row| is_held_by(&row.job, &report.name));
        let held = held.map(|row| {
            let boot = row.attempts.last().map(|a| a.attempt.boot.clone());
            (row.job.clone(), boot.unwrap_or_default())
        });
        Ok(Beat { client: self.with_holds(&client), asked: asked.collect(), held: held.collect() })
    }

    /// Remembers whom this process replaces, and refuses one that was replaced.
    fn replace(&mut self, report: &ClientReport) -> Result<()> {
        let mut replaced = self.replaced.get(&report.name).cloned().unwrap_or_default();
        if replaced.contains(&report.boot) {
            return Err(report.replaced());
        }
        if let Some(known) = self.clients.get(&report.name).filter(|c| c.boot != report.boot) {
            replaced.insert(0, known.boot.clone());
            replaced.truncate(REMEMBERED);
            self.replaced.insert(report.name.clone(), replaced);
        }
        Ok(())
    }

    fn remember(&mut self, report: &ClientReport, at: Timestamp) -> BuildClient {
        let known = self.clients.get(&report.name);
        let never = Timestamp::from_micros(0);
        let client = BuildClient {
            name: report.name.clone(),
            boot: report.boot.clone(),
            version: report.version.clone(),
            slots: report.slots,
            offers: report.offers.clone(),
            draining: known.is_some_and(|c| c.draining),
            infra_streak: known.map_or(0, |c| c.infra_streak),
            quarantined_until: known.map_or(never, |c| c.quarantined_until),
            seen_at: at,
            holds: 0,
        };
        self.clients.insert(client.name.clone(), client.clone());
        client
    }

    fn with_holds(&self, client: &BuildClient) -> BuildClient {
        let held = self.jobs.values().filter(|row| is_held_by(&row.job, &client.name)).count();
        BuildClient { holds: u32::try_from(held).unwrap_or(u32::MAX), ..client.clone() }
    }
}

fn is_held_by(job: &Job, client: &ClientName) -> bool {
    job.status.is_held() && job.client.as_ref() == Some(client)
}
