//! Bytes of log that one server takes in a second, and how far those are behind who follow a log.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use pybit_client::{LogEvent, Retry};
use pybit_core::model::{Job, Role};
use pybit_core::protocol::LogDigest;
use pybit_core::{Error, Result};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::figures::{Figure, Figures, percentile, rate};
use super::site::Site;
use super::worker::Worker;
use super::{Scale, broken, sources};

/// Clients that write at once.
const WRITERS: u64 = 4;
/// What one piece carries: the most that the API takes.
const PIECE: usize = 1 << 20;
/// How often the followed log grows by a line.
const LINE: Duration = Duration::from_millis(10);

pub(super) async fn measure(site: &Site, scale: &Scale) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("logs", site.farm.clone());
    let mut quiet = followed(site, scale.following).await?;
    figures.add("written → followed, p99", percentile(&mut quiet, 99), "ms", Some("< 300 ms"));
    let mut writing = JoinSet::new();
    let each = scale.log_mib / WRITERS;
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        writers.push(building(site).await?);
    }
    let started = Instant::now();
    for (worker, job) in writers.clone() {
        writing.spawn(async move { write(&worker, &job, each).await });
    }
    let followed = tokio::spawn({
        let (worker, job) = building(site).await?;
        follow(worker, job, scale.following)
    });
    while let Some(written) = writing.join_next().await {
        written.map_err(|e| Error::internal("a writer").with_source(e))??;
    }
    let took = started.elapsed();
    let megabytes = each * WRITERS * (PIECE as u64) / 1_000_000;
    figures.add("log taken in", rate(megabytes, took), "MB/s", Some("≥ 100 MB/s"));
    let mut busy = followed.await.map_err(|e| Error::internal("a follower").with_source(e))??;
    figures.add("written → followed meanwhile, p99", percentile(&mut busy, 99), "ms", None);
    let asked = Instant::now();
    let (worker, job) = &writers[0];
    let length = each * (PIECE as u64);
    let start = length.saturating_sub(PIECE as u64);
    if worker.api.log(job.id, Some(job.attempt), start).await? != piece()[..] {
        return Err(broken("the end of a log differs"));
    }
    let took = asked.elapsed().as_secs_f64() * 1e3;
    figures.add(format!("the last MiB of a log of {each} MiB"), took, "ms", Some("< 200 ms"));
    // The farm takes a result only where its log is what the client says.
    let sha256 = tokio::task::spawn_blocking(move || digest(each));
    let sha256 = sha256.await.map_err(|e| Error::internal("a digest").with_source(e))?;
    for (worker, job) in &writers {
        worker.finish(job, LogDigest { length, sha256: sha256.clone() }).await?;
    }
    if let Some(memory) = site.memory() {
        figures.add("resident memory of pybit web after all logs", memory, "MB", None);
    }
    Ok(figures.done())
}

/// What each piece of a log says.
fn piece() -> Bytes {
    let line = b"cc -O2 -Wall -c -o build/some/module.o src/some/module.c # a line as compilers write it\n";
    line.iter().copied().cycle().take(PIECE).collect::<Vec<u8>>().into()
}

/// The digest of a log of so many MiB.
fn digest(mib: u64) -> String {
    let (mut digest, piece) = (Sha256::new(), piece());
    (0..mib).for_each(|_| digest.update(&piece));
    hex::encode(digest.finalize())
}

/// A client that builds a job.
async fn building(site: &Site) -> Result<(Worker, Job)> {
    let api = site.caller(Role::Submit, None).await?;
    let target = &site.targets[0];
    let upload = sources::upload(&api, 1).await?.remove(0);
    api.submit(&upload.submission(target, std::slice::from_ref(&target.arch)), None).await?;
    let worker = Worker::new(site, std::slice::from_ref(target)).await?;
    let job = worker.next().await?.job;
    Ok((worker, job))
}

/// Writes so many MiB, piece by piece.
async fn write(worker: &Worker, job: &Job, mib: u64) -> Result<()> {
    let piece = piece();
    for n in 0..mib {
        let offset = n * (PIECE as u64);
        let length = worker.api.append_log(job.id, job.attempt, offset, piece.clone()).await?;
        if length != offset + PIECE as u64 {
            return Err(broken("a piece of a log was not taken whole"));
        }
    }
    Ok(())
}

async fn followed(site: &Site, takes: Duration) -> Result<Vec<Duration>> {
    let (worker, job) = building(site).await?;
    follow(worker, job, takes).await
}

/// Writes lines and follows them; from the moment before each was sent to the moment it was seen.
async fn follow(worker: Worker, job: Job, takes: Duration) -> Result<Vec<Duration>> {
    let origin = Instant::now();
    let mut events = worker.api.follow(job.id, Some(job.attempt), 0, Retry::patient());
    let writer = worker.clone();
    let (id, attempt) = (job.id, job.attempt);
    let writing = tokio::spawn(async move {
        let mut offset = 0;
        let mut ticks = tokio::time::interval(LINE);
        while origin.elapsed() < takes {
            ticks.tick().await;
            let line = format!("{:>15}\n", origin.elapsed().as_micros());
            offset = writer.api.append_log(id, attempt, offset, Bytes::from(line)).await?;
        }
        Ok::<u64, Error>(offset)
    });
    let mut writing = Some(writing);
    let (mut seen, mut length) = (Vec::new(), None);
    let mut times = Vec::new();
    while length.is_none_or(|l| (seen.len() as u64) < l) {
        if let Some(ended) = writing.take_if(|w| w.is_finished()) {
            length = Some(ended.await.map_err(|e| Error::internal("a writer").with_source(e))??);
            continue;
        }
        let event = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
        let Ok(Some(event)) = event else { continue };
        if let LogEvent::Log { bytes, .. } = event? {
            let now = origin.elapsed();
            let whole = seen.len() / 16;
            seen.extend_from_slice(&bytes);
            for line in seen.chunks_exact(16).skip(whole) {
                let micros = std::str::from_utf8(line).ok().and_then(|l| l.trim().parse().ok());
                let micros = micros.ok_or_else(|| broken("a followed log differs"))?;
                times.push(now.saturating_sub(Duration::from_micros(micros)));
            }
        }
    }
    Ok(times)
}
