//! Many clients at a long queue: how long a claim takes, whether that grows with the queue, what the server needs for it,
//! and how soon it hands out jobs again after it was killed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use pybit_core::model::Role;
use pybit_core::{Error, Result};
use tokio::task::JoinSet;

use super::figures::{Figure, Figures};
use super::fill::{can_fill, fill};
use super::site::Site;
use super::worker::Worker;
use super::{Scale, broken, sources};

/// How often a client reports, as the farm's default policy tells it.
const BEAT: Duration = Duration::from_secs(5);
/// A killed server is back within this.
const BACK: Duration = Duration::from_mins(1);

pub(super) async fn measure(site: &mut Site, scale: &Scale) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("queue", site.farm.clone());
    let api = site.caller(Role::Submit, None).await?;
    let uploads = sources::upload(&api, 1).await?;
    let targets = site.first_suite();
    let (site_ref, targets_ref) = (&*site, &targets);
    let made = stream::iter(0..scale.clients).map(|_| Worker::new(site_ref, targets_ref));
    let clients: Vec<Worker> = made.buffer_unordered(8).try_collect().await?;
    for waiting in scale.waiting {
        // What the clients take meanwhile is there beforehand.
        let rounds = (scale.build + scale.claiming).as_millis() / scale.build.as_millis().max(1);
        let spare = scale.clients as u64 * (u64::try_from(rounds).unwrap_or(0) + 2);
        if !can_fill(site, waiting + spare) {
            break;
        }
        fill(site, &uploads, waiting + spare).await?;
        let meter = site.meter();
        let mut times = claiming(&clients, scale).await?;
        let wanted = if site.file().is_some() {
            "≤ 50 ms, at both lengths"
        } else {
            "≤ 20 ms, at both lengths"
        };
        let wanted = [None, Some(wanted)];
        let what = format!("a claim by one of {} clients, {waiting} jobs waiting", clients.len());
        figures.add_times(&what, &mut times, wanted);
        figures.add(format!("claims measured, {waiting} jobs waiting"), count(&times), "", None);
        let thing = format!("job claimed, built and reported, {waiting} waiting");
        meter.stop(&mut figures, &thing, times.len() as u64);
    }
    if let Some(memory) = site.memory() {
        figures.add("resident memory of pybit web", memory, "MB", Some("< 250 MB"));
    }
    if let Some(started) = site.restart().await? {
        let first = first_claim(&clients[0], started).await?;
        figures.add("killed and started → a job is handed out", first, "s", Some("< 5 s"));
    }
    Ok(figures.done())
}

fn count(times: &[Duration]) -> f64 {
    f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX))
}

/// Every client builds one job after the other and reports it; how long each claim took. The last builds end and are reported
/// too: jobs that are left to be found lost would be what the next measurement sees.
async fn claiming(clients: &[Worker], scale: &Scale) -> Result<Vec<Duration>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut building = JoinSet::new();
    let step = scale.build / u32::try_from(clients.len()).unwrap_or(u32::MAX).max(1);
    let start = tokio::time::Instant::now();
    let end = start + scale.build + scale.claiming;
    for (place, worker) in (0_u32..).zip(clients) {
        let (worker, times, build) = (worker.clone(), Arc::clone(&times), scale.build);
        let silence = Bytes::new();
        building.spawn(async move {
            // Spread over the time of one build, as clients of a farm that has run for a while are.
            tokio::time::sleep_until(start + step * place).await;
            while tokio::time::Instant::now() < end {
                let asked = Instant::now();
                let Some(assignment) = worker.claim(0).await? else {
                    return Err(broken("a long queue had no job for a client"));
                };
                let took = asked.elapsed();
                times.lock().unwrap_or_else(PoisonError::into_inner).push(took);
                let done = worker.build(&assignment.job, build, &silence);
                let mut done = std::pin::pin!(done);
                let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + BEAT, BEAT);
                loop {
                    tokio::select! {
                        reported = &mut done => { reported?; break }
                        _ = beat.tick() => worker.beat(&[&assignment.job]).await?,
                    }
                }
            }
            Ok(())
        });
    }
    while let Some(ended) = building.join_next().await {
        let ended: Result<()> = ended.map_err(|e| Error::internal("a client").with_source(e))?;
        ended?;
    }
    let times = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
    if times.is_empty() { Err(broken("no claim was measured")) } else { Ok(times) }
}

/// Seconds from the start of the server to the first job that it hands out.
async fn first_claim(worker: &Worker, started: Instant) -> Result<f64> {
    while started.elapsed() < BACK {
        if let Ok(Some(_)) = worker.claim(1000).await {
            return Ok(started.elapsed().as_secs_f64());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(broken("a server that was started again hands out no job"))
}
