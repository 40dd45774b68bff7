//! From a submission to its claim by an idle client: when the client holds a claim at the server, and when it is told by
//! a hint alone.

use std::time::{Duration, Instant};

use pybit_client::Api;
use pybit_core::Result;
use pybit_core::model::{Job, Role, Target};
use pybit_core::protocol::LogDigest;
use pybit_core::transport::Inbox;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::figures::{Figure, Figures};
use super::site::Site;
use super::sources::{self, Uploaded};
use super::worker::Worker;
use super::{Scale, broken};

/// Within this a claim follows a submission, or something is broken.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause in which a client becomes idle again before the next job comes.
const REST: Duration = Duration::from_millis(10);

const WANTED: [Option<&str>; 2] = [Some("≤ 5 ms"), Some("≤ 25 ms")];

pub(super) async fn measure(site: &Site, scale: &Scale) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("latency", site.farm.clone());
    let api = site.caller(Role::Submit, None).await?;
    let uploads = sources::upload(&api, scale.samples).await?;
    let target = &site.targets[0];
    let (client, claimed) = idle(site, target, None).await?;
    let mut times = sample(&api, &uploads, target, claimed).await?;
    client.abort();
    figures.add_times("submitted → claimed, claim held", &mut times, WANTED);
    if let (Some(hints), Some(target)) = (site.hints().await?, site.targets.get(2)) {
        let name = "hinted".parse()?;
        let inbox = hints.consume(&name, &[target.route()], 1).await?;
        let (client, claimed) = idle(site, target, Some(inbox)).await?;
        let mut times = sample(&api, &uploads, target, claimed).await?;
        client.abort();
        figures.add_times("submitted → claimed, by hint alone", &mut times, WANTED);
        hints.close().await;
    }
    Ok(figures.done())
}

type Claims = mpsc::Receiver<(Job, Instant)>;

/// A client that does nothing but wait: for its claim, or for a hint. It tells when it got which job.
async fn idle(
    site: &Site,
    target: &Target,
    mut inbox: Option<Box<dyn Inbox>>,
) -> Result<(JoinHandle<Result<()>>, Claims)> {
    let worker = Worker::new(site, std::slice::from_ref(target)).await?;
    let (tell, told) = mpsc::channel(1);
    let running = tokio::spawn(async move {
        loop {
            let claimed = match &mut inbox {
                None => Some(worker.next().await?),
                Some(inbox) => hinted(&worker, inbox.as_mut()).await?,
            };
            let Some(assignment) = claimed else { continue };
            let now = Instant::now();
            let empty = LogDigest { length: 0, sha256: hex::encode(Sha256::digest([])) };
            worker.finish(&assignment.job, empty).await?;
            if tell.send((assignment.job, now)).await.is_err() {
                return Ok(());
            }
        }
    });
    Ok((running, told))
}

/// Waits for a hint and asks once for a job.
async fn hinted(
    worker: &Worker,
    inbox: &mut dyn Inbox,
) -> Result<Option<pybit_core::protocol::Assignment>> {
    let delivery = inbox.next().await?.ok_or_else(|| broken("the transport has closed"))?;
    let assignment = worker.claim(0).await?;
    delivery.receipt.ack().await?;
    Ok(assignment)
}

/// Submits one job after the other, each when the client is idle, and waits for its claim.
async fn sample(
    api: &Api,
    uploads: &[Uploaded],
    target: &Target,
    mut claimed: Claims,
) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(uploads.len());
    for upload in uploads {
        tokio::time::sleep(REST).await;
        let submitted = Instant::now();
        let arches = std::slice::from_ref(&target.arch);
        let reply = api.submit(&upload.submission(target, arches), None).await?;
        let claim = tokio::time::timeout(PATIENCE, claimed.recv()).await;
        let (job, at) = claim.ok().flatten().ok_or_else(|| broken("a job was not claimed"))?;
        if reply.jobs.first().map(|j| j.id) != Some(job.id) {
            return Err(broken("another job was claimed"));
        }
        times.push(at.saturating_duration_since(submitted));
    }
    Ok(times)
}
