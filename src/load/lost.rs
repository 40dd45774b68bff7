//! From the death of a client to the moment when another has its job.

use std::time::{Duration, Instant};

use pybit_core::Result;
use pybit_core::model::Role;

use super::figures::{Figure, Figures};
use super::site::Site;
use super::worker::Worker;
use super::{broken, sources};

/// A job of a dead client is elsewhere within this.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) async fn measure(site: &Site) -> Result<Vec<Figure>> {
    let mut figures = Figures::new("lost", site.farm.clone());
    let api = site.caller(Role::Submit, None).await?;
    let target = &site.targets[0];
    let upload = sources::upload(&api, 1).await?.remove(0);
    let dying = Worker::new(site, std::slice::from_ref(target)).await?;
    let other = Worker::new(site, std::slice::from_ref(target)).await?;
    let arches = std::slice::from_ref(&target.arch);
    api.submit(&upload.submission(target, arches), None).await?;
    let job = dying.next().await?.job;
    dying.beat(&[&job]).await?;
    let died = Instant::now();
    let living = tokio::spawn({
        let other = other.clone();
        async move {
            // The other client is alive: only then the job is offered again at once.
            let mut beats = tokio::time::interval(Duration::from_millis(300));
            loop {
                beats.tick().await;
                other.beat(&[]).await?;
            }
        }
    });
    let claimed = tokio::time::timeout(PATIENCE, other.next()).await;
    let took = died.elapsed().as_secs_f64();
    living.abort();
    let _: Option<Result<()>> = living.await.ok();
    let claimed = claimed.map_err(|_| broken("the job of a dead client stays with it"))??;
    if (claimed.job.id, claimed.job.attempt) != (job.id, job.attempt + 1) {
        return Err(broken("another job was claimed"));
    }
    let wanted = if site.farm.contains("leases") { "≤ 5 s" } else { "≤ 30 s" };
    figures.add("client dead → its job claimed by another", took, "s", Some(wanted));
    Ok(figures.done())
}
