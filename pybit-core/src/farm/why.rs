//! Why a job is where it is.

use super::Farm;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::{BuildClient, Catalogue, Failure, Job, JobId, JobStatus, WeightedTarget};
use crate::protocol::{ClientReason, Explanation};

impl Farm {
    /// Says in words why the job is where it is, and for a waiting one what stands between it and each client.
    pub async fn why(&self, id: JobId) -> Result<Explanation> {
        self.explain(&self.job(id).await?).await
    }

    /// As [`why`](Self::why), for a job that was read already.
    pub async fn explain(&self, job: &Job) -> Result<Explanation> {
        if job.status != JobStatus::Waiting {
            let catalogue = self.inner.storage.catalogue().await?;
            let order = order(job, &catalogue);
            let summary = uploaded(job, &catalogue).unwrap_or_else(|| summary(job));
            return Ok(Explanation { summary, ahead: None, order, clients: Vec::new() });
        }
        let now = self.inner.clock.now();
        let ahead = self.inner.storage.ahead_of(job).await?;
        let ttl = std::time::Duration::from_millis(self.inner.policy.lease_ttl_ms);
        let clients = self.inner.storage.clients().await?;
        let reasons: Vec<_> = clients.iter().map(|c| reason(job, c, now, ttl)).collect();
        let summary = if job.is_paused(now) {
            let attempts = self.inner.storage.attempts(job.id).await?;
            let last = attempts.last().and_then(|a| a.failure.as_ref());
            paused(job, last, self.inner.policy.infra_retries, now)
        } else {
            waiting(job, ahead, &reasons)
        };
        let order = order(job, &self.inner.storage.catalogue().await?);
        Ok(Explanation { summary, ahead: Some(ahead), order, clients: reasons })
    }
}

/// Where the job stands in line, and why it builds where it does.
fn order(job: &Job, catalogue: &Catalogue) -> String {
    let target = &job.target;
    let place = format!(
        "Priority {}, then weight {} of {target}, then age decide which job goes first.",
        job.priority, job.weight
    );
    let among = |t: &&WeightedTarget| {
        (&t.target.dist, &t.target.suite, &t.target.format)
            == (&target.dist, &target.suite, &target.format)
    };
    let others: Vec<_> = catalogue.targets.iter().filter(among).collect();
    let envs = |t: &&&WeightedTarget| t.target.arch == target.arch && t.target.env != target.env;
    let envs: Vec<_> =
        others.iter().filter(envs).map(|t| format!("{} ({})", t.target.env, t.weight)).collect();
    let env = if envs.is_empty() || target.arch.is_source() {
        String::new()
    } else {
        format!(" It builds in {}; there is also {}.", target.env, envs.join(", "))
    };
    let master = if job.master {
        " It is the master: it also builds the architecture-independent packages, as the heaviest of its submission."
    } else {
        ""
    };
    format!("{place}{env}{master}")
}

/// When it is tried again, after which failure, and how often that happens.
fn paused(job: &Job, last: Option<&Failure>, retries: u32, now: Timestamp) -> String {
    let seconds = job.not_before.since(now).as_secs();
    let tries = u64::from(job.infra_retries);
    let failed = counted(tries, "failure");
    let why = last.map_or_else(String::new, |f| format!(" ({}): {}", f.class, f.message));
    format!("It is tried again in {seconds} s, after {failed} of {} tries{why}.", retries + 1)
}

fn waiting(job: &Job, ahead: u64, reasons: &[ClientReason]) -> String {
    if reasons.is_empty() {
        return "No build client has ever reported: start one with `pybit client`.".to_owned();
    }
    let eligible = reasons.iter().filter(|r| r.eligible).count();
    if eligible == 0 {
        return match reasons.len() {
            1 => format!(
                "No build client can take it: the only one does not offer {} or is not free to.",
                job.target
            ),
            n => format!(
                "No build client can take it: none of {n} offers {} and is free to.",
                job.target
            ),
        };
    }
    let clients = counted(eligible as u64, "build client");
    match ahead {
        0 => format!("It is next: {clients} can take it as soon as a slot is free."),
        1 => format!("1 job for the same target goes first; {clients} can take it."),
        n => format!("{n} jobs for the same target go first; {clients} can take them."),
    }
}

/// `1 job`, `2 jobs`.
fn counted(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

fn reason(
    job: &Job,
    client: &BuildClient,
    now: Timestamp,
    ttl: std::time::Duration,
) -> ClientReason {
    let answer =
        |eligible, reason: String| ClientReason { client: client.name.clone(), eligible, reason };
    if !client.offers.contains(&job.target) {
        return answer(false, format!("does not offer {}", job.target));
    }
    let silent = now.since(client.seen_at);
    if silent > ttl {
        return answer(false, format!("was last heard of {} s ago", silent.as_secs()));
    }
    if client.draining {
        return answer(false, "drains: an operator told it to take no more jobs".to_owned());
    }
    if client.quarantined_until > now {
        let left = client.quarantined_until.since(now).as_secs();
        return answer(
            false,
            format!(
                "in quarantine for {left} s after {} in a row",
                counted(client.infra_streak.into(), "infrastructure failure")
            ),
        );
    }
    if let Some(avoid) = job.avoid.as_ref().filter(|a| a.client == client.name && a.until > now) {
        return answer(
            false,
            format!(
                "had it before; another is preferred for {} s",
                avoid.until.since(now).as_secs()
            ),
        );
    }
    if client.holds >= client.slots {
        return answer(true, format!("busy: {} of {} slots in use", client.holds, client.slots));
    }
    answer(true, format!("{} of {} slots free", client.slots - client.holds, client.slots))
}

/// The reason that keeps a built job from its repository, if the watcher has reported one.
fn uploaded(job: &Job, catalogue: &Catalogue) -> Option<String> {
    let target = &job.target;
    let repository = catalogue
        .repository(&target.dist, &target.suite, &target.format)
        .filter(|_| job.status == JobStatus::Uploaded)?;
    let trouble = repository.health.as_ref()?.trouble.as_ref()?;
    let name = &repository.name;
    Some(format!("It is built; the repository {name} does not take it at present: {trouble}."))
}

fn summary(job: &Job) -> String {
    let client = job.client.as_ref().map_or_else(|| "a client".to_owned(), ToString::to_string);
    let failure =
        job.failure.as_ref().map_or_else(String::new, |f| format!(" ({}): {}", f.class, f.message));
    match job.status {
        JobStatus::Waiting => "It waits for a build client.".to_owned(),
        JobStatus::Blocked => {
            format!("Its build dependencies are missing: {}.", job.unmet.join(", "))
        }
        JobStatus::Building => format!("{client} builds it, attempt {}.", job.attempt),
        JobStatus::Cancelling => format!("{client} was told to stop it and has not confirmed yet."),
        JobStatus::Uploaded => "It is built; the repository does not hold it yet.".to_owned(),
        JobStatus::Done => "It is done.".to_owned(),
        JobStatus::Failed => format!("It failed{failure}."),
        JobStatus::Cancelled => match job.superseded_by {
            Some(by) => format!("It was cancelled: job {by} has a newer version."),
            None => "It was cancelled.".to_owned(),
        },
    }
}
