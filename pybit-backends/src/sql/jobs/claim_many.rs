//! Claims that come at the same time, in one transaction; where there is no job for any of them, in none. One that was
//! asked before goes alone, as does one that is asked twice at once and one whose job somebody else takes at that moment.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::{Avoid, CLOCK_STEP, Job, JobId, JobStatus, Target};
use pybit_core::storage::Claim;
use serde_json::{Value, json};

use super::taking::Pairs;
use super::{claim, many, rows};
use crate::sql::call::{json as text, storable};
use crate::sql::{Call, Dialect, Engine, SqlStore, commit, statements as sql};

/// Jobs that are looked at beyond those that are wanted: what others choose meanwhile.
const SPARE: usize = 16;

/// A claim and when it was asked.
pub(in crate::sql) type Ask = (Claim, Timestamp);

/// What became of each, in order; `None` for those that go alone.
pub(super) async fn claim<D: Dialect>(
    store: &SqlStore<D>,
    asks: &[Ask],
) -> Result<Vec<Option<Option<Job>>>> {
    let mut answers: Vec<Option<Option<Job>>> = asks.iter().map(|_| None).collect();
    // Seen as waiting, they may be anywhere by the time of the choice.
    let others = store.taking.now();
    let mut reader = store.reader().await?;
    let mut waiting = BTreeMap::new();
    for target in asks.iter().flat_map(|(claim, _)| &claim.offers) {
        if !waiting.contains_key(target) {
            let most = asks.len() + others.jobs.len() + SPARE;
            let found = candidates::<D>(&mut reader, target, asks, most).await?;
            waiting.insert(target, found);
        }
    }
    reader.well();
    let (mut chosen, mut nothing) = (BTreeMap::new(), Vec::new());
    let _until_the_end = store.taking.take(|taking| {
        let mut gone: BTreeSet<JobId> = others.jobs.union(&taking.jobs).copied().collect();
        let mut pairs = Pairs::default();
        for n in once_each(asks) {
            let claim = &asks[n].0;
            if others.has(claim) || taking.has(claim) {
                continue;
            }
            match choose(&asks[n], &waiting, &gone) {
                Choice::Job(seen) => {
                    gone.insert(seen.id());
                    pairs.add(seen.id(), claim);
                    chosen.insert(seen.id(), (n, seen.row_version));
                }
                Choice::Nothing => nothing.push(n),
                Choice::Unclear => {}
            }
        }
        pairs
    });
    // After the look at the jobs: a claim that brings one from now on, asked elsewhere, brings one that was seen here, and
    // this claim cannot be told that there is none.
    if !nothing.is_empty() {
        let mut reader = store.reader().await?;
        for n in fresh::<D>(&mut reader, asks, nothing).await? {
            answers[n] = Some(None);
        }
        reader.well();
    }
    if chosen.is_empty() {
        return Ok(answers);
    }
    let jobs = match D::ENGINE {
        Engine::Sqlite => step_by_step(store, asks, &mut chosen).await?,
        Engine::Postgres => at_once(store, asks, &chosen).await?,
    };
    for job in jobs {
        if let Some((n, _)) = chosen.get(&job.id) {
            answers[*n] = Some(Some(job));
        }
    }
    Ok(answers)
}

/// Jobs, the places of the claims that they are for, and the row version that was seen.
type Chosen = BTreeMap<JobId, (usize, i64)>;

/// For an engine in this process, which is asked for nothing.
async fn step_by_step<D: Dialect>(
    store: &SqlStore<D>,
    asks: &[Ask],
    chosen: &mut Chosen,
) -> Result<Vec<Job>> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    let fresh = fresh::<D>(connection, asks, chosen.values().map(|(n, _)| *n).collect()).await?;
    let held = hold::<D>(connection, chosen).await?;
    chosen.retain(|id, (n, seen)| {
        fresh.contains(n) && held.get(id).is_some_and(|job| is_as_seen(job, *seen))
    });
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let jobs = take::<D>(connection, asks, chosen).await?;
    claim::before_commit();
    commit(transaction).await?;
    Ok(jobs)
}

/// For an engine that is asked over a wire.
async fn at_once<D: Dialect>(
    store: &SqlStore<D>,
    asks: &[Ask],
    chosen: &Chosen,
) -> Result<Vec<Job>> {
    let row = |(id, (n, seen)): (&JobId, &(usize, i64))| {
        let (claim, at) = &asks[*n];
        json!({
            "job": id.0, "row_version": seen, "claim": storable(&claim.claim_id),
            "client": claim.client, "boot": storable(&claim.boot), "micros": at.as_micros(),
        })
    };
    let rows: Vec<Value> = chosen.iter().map(row).collect();
    let call = Call::<D>::new(&sql::POSTGRES_CLAIM).text(&Value::from(rows).to_string());
    claim::before_commit();
    store.at_once(call, rows::job).await
}

/// The places of those that are not asked twice here.
fn once_each(asks: &[Ask]) -> impl Iterator<Item = usize> {
    let mut seen = BTreeSet::new();
    (0..asks.len()).filter(move |n| seen.insert((&asks[*n].0.claim_id, &asks[*n].0.client)))
}

/// Those of the places whose claims nobody has asked before.
async fn fresh<D: Dialect>(
    connection: &mut D::Connection,
    asks: &[Ask],
    mut places: Vec<usize>,
) -> Result<Vec<usize>> {
    let row = |n: &usize| {
        let claim = &asks[*n].0;
        json!({ "n": n, "claim": storable(&claim.claim_id), "client": claim.client })
    };
    let rows: Vec<Value> = places.iter().map(row).collect();
    let known = Call::<D>::new(&sql::CLAIMS_KNOWN)
        .text(&Value::from(rows).to_string())
        .all(connection, |c| c.int::<usize>("n"))
        .await?;
    places.retain(|n| !known.contains(n));
    Ok(places)
}

/// The first waiting jobs of a target.
struct Candidates {
    best_first: Vec<Candidate>,
    /// There are no others.
    all: bool,
}

#[derive(Clone, Copy)]
struct Seen {
    rank: (i64, i64, Reverse<JobId>),
    row_version: i64,
}

impl Seen {
    fn id(&self) -> JobId {
        self.rank.2.0
    }
}

struct Candidate {
    seen: Seen,
    /// `not_before` and `changed_at`.
    pause: (Timestamp, Timestamp),
    avoid: Option<Avoid>,
}

async fn candidates<D: Dialect>(
    connection: &mut D::Connection,
    target: &Target,
    asks: &[Ask],
    most: usize,
) -> Result<Candidates> {
    let latest = asks.iter().map(|(_, at)| *at).max().unwrap_or(Timestamp::from_micros(0));
    let earliest = asks.iter().map(|(_, at)| *at).min().unwrap_or(latest);
    let best_first = Call::<D>::new(&sql::JOBS_PEEK)
        .text(target.dist.as_str())
        .text(target.suite.as_str())
        .text(target.arch.as_str())
        .text(target.format.as_str())
        .text(target.env.as_str())
        .at(latest)
        .int(i64::try_from(most).unwrap_or(i64::MAX))
        .at(earliest.plus(CLOCK_STEP))
        .all(connection, |c| {
            let rank = (c.int("priority")?, c.int("weight")?, Reverse(JobId(c.int("id")?)));
            let seen = Seen { rank, row_version: c.int("row_version")? };
            let pause = (c.at("not_before")?, c.at("changed_at")?);
            Ok(Candidate { seen, pause, avoid: rows::avoid(c)? })
        })
        .await?;
    let all = best_first.len() < most;
    Ok(Candidates { best_first, all })
}

enum Choice {
    Job(Seen),
    Nothing,
    /// There may be one beyond those that were looked at.
    Unclear,
}

/// The best job that is not gone to another claim and that the client is not passed over for.
fn choose(
    (claim, at): &Ask,
    waiting: &BTreeMap<&Target, Candidates>,
    gone: &BTreeSet<JobId>,
) -> Choice {
    let mut best: Option<Seen> = None;
    let mut all = true;
    for (target, offered) in claim.offers.iter().filter_map(|t| waiting.get_key_value(t)) {
        let mut free = offered.best_first.iter().filter(|c| {
            let avoids = is_avoided(c.avoid.as_ref(), claim, *at);
            !gone.contains(&c.seen.id()) && !is_paused(c.pause, *at) && !avoids
        });
        match free.next() {
            Some(first) => {
                let mut seen = first.seen;
                seen.rank.1 += i64::from(claim.own_weight(target));
                if best.is_none_or(|best| best.rank < seen.rank) {
                    best = Some(seen);
                }
            }
            None => all &= offered.all,
        }
    }
    match best {
        _ if !all => Choice::Unclear,
        Some(seen) => Choice::Job(seen),
        None => Choice::Nothing,
    }
}

/// As [`Job::is_paused`].
fn is_paused((not_before, changed_at): (Timestamp, Timestamp), at: Timestamp) -> bool {
    not_before > at && changed_at <= at.plus(CLOCK_STEP)
}

fn is_avoided(avoid: Option<&Avoid>, claim: &Claim, at: Timestamp) -> bool {
    avoid.is_some_and(|avoid| avoid.client == claim.client && avoid.until > at)
}

/// The chosen jobs as they are now, held; those that another transaction holds are passed over.
async fn hold<D: Dialect>(
    connection: &mut D::Connection,
    chosen: &Chosen,
) -> Result<BTreeMap<JobId, Job>> {
    let ids: Vec<i64> = chosen.keys().map(|id| id.0).collect();
    let jobs =
        Call::<D>::new(&sql::JOBS_HOLD).text(&text(&ids)?).all(connection, rows::job).await?;
    Ok(jobs.into_iter().map(|job| (job.id, job)).collect())
}

/// What a choice goes by, priority and pause among it, never changes without the row's version.
fn is_as_seen(job: &Job, row_version: i64) -> bool {
    job.status == JobStatus::Waiting && job.row_version == row_version
}

async fn take<D: Dialect>(
    connection: &mut D::Connection,
    asks: &[Ask],
    chosen: &Chosen,
) -> Result<Vec<Job>> {
    let row = |(id, (n, _)): (&JobId, &(usize, i64))| {
        let (claim, at) = &asks[*n];
        json!({ "job": id.0, "client": claim.client, "at": at.as_micros() })
    };
    let claimed: Vec<Value> = chosen.iter().map(row).collect();
    let jobs = Call::<D>::new(&sql::JOBS_CLAIM)
        .text(&Value::from(claimed).to_string())
        .all(connection, rows::job)
        .await?;
    many::same_count(jobs.len(), chosen.len())?;
    let (mut attempts, mut events) = (Vec::new(), Vec::new());
    for job in &jobs {
        let (claim, at) = &asks[chosen[&job.id].0];
        attempts.push(json!({
            "job": job.id.0, "attempt": job.attempt, "claim": storable(&claim.claim_id),
            "client": claim.client, "boot": storable(&claim.boot), "at": at.as_micros(),
        }));
        let actor = format!("client {}", claim.client);
        events.push(many::event(job, Some(JobStatus::Waiting), &actor, "claimed", *at));
    }
    many::run::<D>(connection, &sql::ATTEMPTS_ADD, &attempts).await?;
    many::run::<D>(connection, &sql::LOGS_ADD, &attempts).await?;
    many::run::<D>(connection, &sql::EVENTS_ADD, &events).await?;
    Ok(jobs)
}
