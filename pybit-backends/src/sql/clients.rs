//! Build clients and their heartbeats.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use pybit_core::clock::Timestamp;
use pybit_core::model::{BuildClient, ClientName, Job, JobId};
use pybit_core::storage::{Beat, ClientReport, ClientStore};
use pybit_core::{Error, Result, trial};

use super::call::json;
use super::{Call, Cells, Dialect, SqlStore, commit, jobs, statements as sql};

#[async_trait]
impl<D: Dialect> ClientStore for SqlStore<D> {
    async fn beat(
        &self,
        report: &ClientReport,
        listed: &[(JobId, u32)],
        at: Timestamp,
    ) -> Result<Beat> {
        self.again(|| async {
            let mut transaction = self.begin().await?;
            let connection = &mut *transaction;
            let moved = move_leases::<D>(connection, &report.name, listed).await?;
            remember::<D>(connection, report, at).await?;
            let mut asked = Vec::with_capacity(listed.len());
            for (id, _) in listed {
                let job = match moved.get(id).cloned() {
                    None => find_job::<D>(connection, *id).await?,
                    moved => moved,
                };
                asked.push(job);
            }
            let mut held = Call::<D>::new(&sql::HELD_BY_CLIENT)
                .text(report.name.as_str())
                .all(connection, |c| Ok((jobs::job(c)?, c.text("boot")?)))
                .await?;
            held.sort_by_key(|(job, _)| job.id);
            let client = find::<D>(connection, &report.name).await?;
            let client =
                client.ok_or_else(|| Error::internal("a client that was stored is there"))?;
            trial::crash_point("heartbeat_before_commit");
            commit(transaction).await?;
            Ok(Beat { client, asked, held })
        })
        .await
    }

    async fn clients(&self) -> Result<Vec<BuildClient>> {
        self.again(|| self.all(Call::<D>::new(&sql::CLIENTS), client)).await
    }

    async fn client(&self, name: &ClientName) -> Result<Option<BuildClient>> {
        self.again(|| self.first(by_name(name), client)).await
    }

    async fn set_draining(&self, name: &ClientName, draining: bool) -> Result<bool> {
        self.again(|| async {
            let mut transaction = self.begin().await?;
            let changed = Call::<D>::new(&sql::CLIENT_DRAIN)
                .text(name.as_str())
                .flag(draining)
                .run(&mut transaction)
                .await?;
            commit(transaction).await?;
            Ok(changed > 0)
        })
        .await
    }
}

async fn remember<D: Dialect>(
    connection: &mut D::Connection,
    report: &ClientReport,
    at: Timestamp,
) -> Result<()> {
    let known = Call::<D>::new(&sql::CLIENT_BEAT)
        .text(report.name.as_str())
        .text(&report.boot)
        .text(&report.version)
        .int(report.slots)
        .text(&json(&report.offers)?)
        .flag(false)
        .at(Timestamp::from_micros(0))
        .at(at)
        .run(connection)
        .await?;
    if known == 0 { Err(report.replaced()) } else { Ok(()) }
}

/// Moves the leases of those jobs that the client holds at that attempt, by number, and returns these jobs as they are.
async fn move_leases<D: Dialect>(
    connection: &mut D::Connection,
    client: &ClientName,
    listed: &[(JobId, u32)],
) -> Result<BTreeMap<JobId, Job>> {
    let mut moved = BTreeMap::new();
    for (id, attempt) in listed.iter().collect::<BTreeSet<_>>() {
        let job = Call::<D>::new(&sql::LEASE_MOVE)
            .int(id.0)
            .int(*attempt)
            .text(client.as_str())
            .first(connection, jobs::job)
            .await?;
        moved.extend(job.map(|job| (*id, job)));
    }
    Ok(moved)
}

async fn find_job<D: Dialect>(connection: &mut D::Connection, id: JobId) -> Result<Option<Job>> {
    Call::<D>::new(&sql::JOB_BY_ID).int(id.0).first(connection, jobs::job).await
}

async fn find<D: Dialect>(
    connection: &mut D::Connection,
    name: &ClientName,
) -> Result<Option<BuildClient>> {
    by_name::<D>(name).first(connection, client).await
}

fn by_name<D: Dialect>(name: &ClientName) -> Call<D> {
    Call::new(&sql::CLIENT_BY_NAME).text(name.as_str())
}

fn client<D: Dialect>(c: &Cells<'_, D>) -> Result<BuildClient> {
    Ok(BuildClient {
        name: c.parsed("name")?,
        boot: c.text("boot")?,
        version: c.text("version")?,
        slots: c.int("slots")?,
        offers: c.json("offers")?,
        draining: c.flag("draining")?,
        infra_streak: c.int("infra_streak")?,
        quarantined_until: c.at("quarantined_until")?,
        seen_at: c.at("seen_at")?,
        holds: c.int("holds")?,
    })
}
