//! Many waiting jobs before a measurement begins.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use pybit::backends::deb::DebFormat;
use pybit::roles::storages;
use pybit_core::Result;
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::format::PackageFormat;
use pybit_core::model::{JobKind, JobStatus, Role, Target, Version};
use pybit_core::settings::Settings;
use pybit_core::storage::{PlannedJob, Storage, SubmissionRecord};

use super::site::Site;
use super::sources::{self, Uploaded, VERSION};

/// Makes a long queue in PostgreSQL.
const SEED: &str = include_str!("../../benches/sql/queue.sql");
/// Jobs that are submitted one by one, where there is no database to put them into.
const SUBMITTED: u64 = 2000;
/// Submissions that are recorded at once in a database of one writer.
const AT_ONCE: usize = 64;

/// Whether the farm can be brought to so many unfinished jobs in reasonable time.
pub(super) fn can_fill(site: &Site, unfinished: u64) -> bool {
    site.own.is_some() || unfinished <= SUBMITTED
}

/// Brings the farm to so many unfinished jobs, whose hints are sent.
pub(super) async fn fill(site: &Site, uploads: &[Uploaded], unfinished: u64) -> Result<()> {
    match (site.database(), site.file(), uploads.first()) {
        (Some(database), _, Some(source)) => {
            let key = DebFormat::new().versions().key(VERSION)?;
            let variables = [
                ("jobs", unfinished.to_string()),
                ("upload", source.upload.to_string()),
                ("main", source.main.to_string()),
                ("version", VERSION.to_owned()),
                ("key", hex::encode(key)),
            ];
            database.script(SEED, &variables).await.map(drop)
        }
        (None, Some(file), Some(source)) => record(site, &file, source, unfinished).await,
        _ => submit(site, unfinished).await,
    }
}

async fn submit(site: &Site, unfinished: u64) -> Result<()> {
    let api = site.caller(Role::Submit, None).await?;
    let count = usize::try_from(unfinished.min(SUBMITTED) / 2).unwrap_or(0);
    for upload in sources::upload(&api, count).await? {
        api.submit(&upload.submission(&site.targets[0], &[]), None).await?;
    }
    Ok(())
}

/// Records submissions beside the farm's server, in its own file.
async fn record(site: &Site, file: &Settings, source: &Uploaded, unfinished: u64) -> Result<()> {
    let storage: Arc<dyn Storage> = storages().open(file).await?;
    let there = storage.counts().await?;
    let there: u64 = [JobStatus::Waiting, JobStatus::Blocked, JobStatus::Building]
        .into_iter()
        .map(|status| there.of(status))
        .sum();
    let version: Version = VERSION.parse()?;
    let key = DebFormat::new().versions().key(VERSION)?;
    let targets = site.first_suite();
    let planned = |name: &str, target: &Target| {
        Ok(PlannedJob {
            kind: JobKind::Binary,
            package: name.parse()?,
            version: Some((version.clone(), key.clone())),
            target: target.clone(),
            master: false,
            weight: 0,
            priority: 0,
            force: false,
            source_job: None,
            retries_of: None,
        })
    };
    stream::iter(0..unfinished.saturating_sub(there) / 2)
        .map(|_| async {
            let name = format!("seed-{:016x}", rand::random::<u64>());
            let jobs = targets.iter().map(|t| planned(&name, t)).collect::<Result<_>>()?;
            let submission = SubmissionRecord {
                request: source.submission(&targets[0], &[]),
                principal: "seed".to_owned(),
                names: Vec::new(),
                idempotency_key: None,
                jobs,
            };
            storage.record_submission(&submission, SystemClock.now()).await
        })
        .buffer_unordered(AT_ONCE)
        .try_for_each(|_| std::future::ready(Ok(())))
        .await?;
    loop {
        let sent: Vec<i64> = storage.outbox(1000).await?.iter().map(|hint| hint.id).collect();
        if sent.is_empty() {
            return Ok(());
        }
        storage.mark_sent(&sent).await?;
    }
}
