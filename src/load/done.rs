//! Jobs from their submission to `Done`, by clients whose builds take no time and a watcher that has nothing to publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pybit_core::model::{JobFilter, JobStatus, Page, Role};
use pybit_core::{Error, Result};
use tokio::task::JoinSet;

use super::figures::{Figure, Figures, rate};
use super::site::Site;
use super::worker::{Worker, publish};
use super::{Scale, broken, sources};

/// Who submits meanwhile.
const SUBMITTERS: usize = 4;
/// The logs of the builds, in bytes: the fate of the jobs alone, and with a piece of log each that must be durable.
const LOGS: [usize; 2] = [0, 256];

pub(super) async fn measure(site: &Site, scale: &Scale) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("done", site.farm.clone());
    let mut total = 0;
    for log in LOGS {
        total += drive(site, scale, log, &mut figures).await?;
    }
    let done = in_status(site, JobStatus::Done, total).await?;
    if done < total {
        return Err(broken(format!("{done} of {total} jobs are Done")));
    }
    figures.add("jobs Done", f64::from(u32::try_from(done).unwrap_or(u32::MAX)), "jobs", None);
    Ok(figures.done())
}

/// Drives some jobs to `Done`, and says how many.
async fn drive(site: &Site, scale: &Scale, log: usize, figures: &mut Figures) -> Result<usize> {
    let api = site.caller(Role::Submit, None).await?;
    let uploads = Arc::new(sources::upload(&api, scale.jobs.div_ceil(2)).await?);
    let count = uploads.len() * 2;
    let targets = site.first_suite();
    let mut workers = Vec::with_capacity(scale.builders);
    for _ in 0..scale.builders {
        workers.push(Worker::new(site, &targets).await?);
    }
    let watcher = site.caller(Role::Publish, None).await?;
    let next = Arc::new(AtomicUsize::new(0));
    let mut parts: JoinSet<Result<()>> = JoinSet::new();
    let meter = site.meter();
    let started = Instant::now();
    for _ in 0..SUBMITTERS {
        let (api, uploads, next) = (api.clone(), Arc::clone(&uploads), Arc::clone(&next));
        let target = targets[0].clone();
        parts.spawn(async move {
            while let Some(upload) = uploads.get(next.fetch_add(1, Ordering::Relaxed)) {
                api.submit(&upload.submission(&target, &[]), None).await?;
            }
            Ok(())
        });
    }
    let mut building = JoinSet::new();
    let log = Bytes::from(vec![b'.'; log]);
    for worker in workers {
        let log = log.clone();
        building.spawn(async move {
            loop {
                let assignment = worker.next().await?;
                worker.build(&assignment.job, Duration::ZERO, &log).await?;
            }
        });
    }
    if let Some(repository) = site.repository.clone() {
        parts.spawn(async move { publish(&watcher, &repository, count).await });
    }
    let failed = |e| Error::internal("a part of the measurement").with_source(e);
    while !parts.is_empty() {
        tokio::select! {
            Some(part) = parts.join_next() => part.map_err(failed)??,
            Some(built) = building.join_next() => {
                let built: Result<()> = built.map_err(failed)?;
                built?;
            }
        }
    }
    let took = started.elapsed();
    building.abort_all();
    let wanted = if site.database().is_some() { "≥ 400" } else { "≥ 200" };
    let what = format!("jobs from submission to Done, {} bytes of log each", log.len());
    figures.add(what, rate(count as u64, took), "/s", (log.is_empty()).then_some(wanted));
    meter.stop(figures, &format!("job, {} bytes of log", log.len()), count as u64);
    Ok(count)
}

/// How many jobs are in a status, at most `most`.
async fn in_status(site: &Site, status: JobStatus, most: usize) -> Result<usize> {
    let filter = JobFilter { status: Some(status), ..JobFilter::default() };
    let mut page = Page::first(200);
    let mut count = 0;
    while count < most {
        let jobs = site.admin.jobs(&filter, &page).await?;
        let Some(last) = jobs.last() else { break };
        page.before = Some(last.id);
        count += jobs.len();
    }
    Ok(count)
}
