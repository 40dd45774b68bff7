//! Submissions per second, each of two jobs, with few and with many unfinished jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use pybit_client::Api;
use pybit_core::model::Role;
use pybit_core::{Error, Result};

use super::figures::{Figure, Figures, rate};
use super::fill::{can_fill, fill};
use super::site::Site;
use super::sources::{self, Uploaded};
use super::{Scale, broken};

/// What one submission does in the database, without pybit.
const PGBENCH: &str = include_str!("../../benches/sql/submission.sql");

pub(super) async fn measure(site: &mut Site, scale: &Scale) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("submissions", site.farm.clone());
    let api = site.caller(Role::Submit, None).await?;
    let suites = site.targets.len() / 2;
    let mut rates = Vec::new();
    for (place, unfinished) in scale.queues.into_iter().enumerate() {
        if place > 0 && !can_fill(site, unfinished) {
            break;
        }
        let uploads = sources::upload(&api, scale.submissions.div_ceil(suites)).await?;
        fill(site, &uploads, unfinished).await?;
        let meter = site.meter();
        let (count, took) = submit_all(site, &api, &uploads, scale).await?;
        rates.push(rate(count, took));
        let wanted = "≥ 1500; at the most jobs within 20 % of the least";
        let what = format!("submissions of 2 jobs at {unfinished} unfinished jobs");
        figures.add(what, rate(count, took), "/s", Some(wanted));
        meter.stop(&mut figures, &format!("submission at {unfinished}"), count);
    }
    if let [few, many] = rates[..] {
        figures.add("many jobs : few jobs", many / few, "", Some("≥ 0.8"));
    }
    // What it was just made to send is not to be sent meanwhile.
    site.stop().await;
    if let Some(database) = site.database() {
        let clients = scale.connections;
        let tps = database.pgbench(PGBENCH, clients, scale.pgbench_secs).await?;
        figures.add("pgbench, the same rows in one transaction", tps, "/s", None);
        if let Some(many) = rates.last() {
            figures.add("pybit over HTTP : pgbench", many / tps, "", None);
        }
    }
    Ok(figures.done())
}

/// Submits every upload to every suite, over so many connections.
async fn submit_all(
    site: &Site,
    api: &Api,
    uploads: &[Uploaded],
    scale: &Scale,
) -> Result<(u64, Duration)> {
    let suites = site.targets.chunks(2).map(|pair| &pair[0]);
    let all: Vec<_> = suites.flat_map(|t| uploads.iter().map(|u| u.submission(t, &[]))).collect();
    let all = Arc::new(all.into_iter().take(scale.submissions).collect::<Vec<_>>());
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let tasks =
        (0..scale.connections).map(|_| {
            let (all, next, api) = (Arc::clone(&all), Arc::clone(&next), api.clone());
            let submitting = tokio::spawn(async move {
                while let Some(request) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let reply = api.submit(request, None).await?;
                    if reply.jobs.len() != 2 {
                        return Err(broken("a submission did not become two jobs"));
                    }
                }
                Ok(())
            });
            async move {
                submitting.await.unwrap_or_else(|e| Err(Error::internal("a task").with_source(e)))
            }
        });
    try_join_all(tasks).await?;
    Ok((all.len() as u64, started.elapsed()))
}
