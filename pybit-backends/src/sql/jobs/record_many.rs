//! Submissions that come at the same time, in one transaction: those that are new in every respect. One that repeats a key,
//! that the version rules may refuse, or that supersedes anything goes alone.

use std::collections::{BTreeMap, BTreeSet};

use pybit_core::clock::Timestamp;
use pybit_core::model::{Job, JobId, JobKind, Submission, SubmissionId};
use pybit_core::storage::{PlannedJob, Recorded, SubmissionRecord};
use pybit_core::{Error, Result};
use serde_json::{Value, json};

use super::{many, prepare, record, rows};
use crate::sql::call::storable;
use crate::sql::{Call, Dialect, Engine, SqlStore, commit, statements as sql, turns};

/// A submission and when it came.
pub(in crate::sql) type Wish = (SubmissionRecord, Timestamp);

/// What became of each, in order; `None` for those that go alone.
pub(super) async fn record<D: Dialect>(
    store: &SqlStore<D>,
    wishes: &[Wish],
) -> Result<Vec<Option<Recorded>>> {
    let mut taken = simple(wishes);
    let mut answers: Vec<Option<Recorded>> = wishes.iter().map(|_| None).collect();
    if taken.is_empty() {
        return Ok(answers);
    }
    let planted = match D::ENGINE {
        Engine::Sqlite => step_by_step(store, wishes, &mut taken).await?,
        Engine::Postgres => at_once(store, wishes, &taken).await?,
    };
    for (n, id, jobs) in planted {
        let (record, at) = &wishes[n];
        let submission = Submission {
            id,
            request: record.request.clone(),
            principal: storable(&record.principal),
            names: record.names.clone(),
            created_at: *at,
        };
        answers[n] = Some(Recorded { submission, jobs, repeated: false });
    }
    Ok(answers)
}

/// A wish's place, the submission that it became, and its jobs.
type Planted = (usize, SubmissionId, Vec<Job>);

/// For an engine in this process, which is asked for nothing.
async fn step_by_step<D: Dialect>(
    store: &SqlStore<D>,
    wishes: &[Wish],
    taken: &mut BTreeSet<usize>,
) -> Result<Vec<Planted>> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    for contested in contested::<D>(connection, wishes, taken).await? {
        taken.remove(&contested);
    }
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let submissions = add_submissions::<D>(connection, wishes, taken).await?;
    let jobs = add_jobs::<D>(connection, wishes, &submissions).await?;
    add_keys::<D>(connection, wishes, &submissions).await?;
    record::before_commit();
    commit(transaction).await?;
    Ok(submissions.into_iter().zip(jobs).map(|((n, id), jobs)| (n, id, jobs)).collect())
}

/// For an engine that is asked over a wire.
async fn at_once<D: Dialect>(
    store: &SqlStore<D>,
    wishes: &[Wish],
    taken: &BTreeSet<usize>,
) -> Result<Vec<Planted>> {
    let (mut submissions, mut jobs) = (Vec::new(), Vec::new());
    for &n in taken {
        let wish = &wishes[n];
        let mut submission = submission_row(n, wish)?;
        submission["key"] = wish.0.idempotency_key.as_deref().map(storable).into();
        submission["planned"] = wish.0.jobs.len().into();
        submissions.push(submission);
        jobs.extend(wish.0.jobs.iter().enumerate().map(|(m, job)| {
            let mut row = row(n, job);
            row["m"] = m.into();
            row
        }));
    }
    let turns = turns::numbers(taken.iter().flat_map(|n| names(&wishes[*n].0)));
    let mut open = store.begin_with(sql::postgres_begin_in_turn(&turns)).await?;
    let planted = Call::<D>::new(&sql::POSTGRES_SUBMIT)
        .text(&Value::from(submissions).to_string())
        .text(&Value::from(jobs).to_string())
        .all(&mut open, |c| {
            let place = (c.int::<usize>("n")?, c.int::<usize>("m")?);
            Ok((place, SubmissionId(c.int("submission")?), JobId(c.int("id")?)))
        })
        .await?;
    record::before_commit();
    store.end(open).await?;
    let mut found: BTreeMap<usize, Planted> = BTreeMap::new();
    for ((n, m), submission, id) in planted {
        let (record, at) = &wishes[n];
        let job = record.jobs[m].job(id, submission, *at);
        found.entry(n).or_insert((n, submission, Vec::new())).2.push(job);
    }
    Ok(found.into_values().collect())
}

/// Those with jobs and without force of which no two decide on the same package or key.
fn simple(wishes: &[Wish]) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for (n, (record, _)) in wishes.iter().enumerate() {
        let names: BTreeSet<String> = names(record).collect();
        let forced = record.jobs.iter().any(|job| job.force);
        if !forced && !record.jobs.is_empty() && names.is_disjoint(&seen) {
            seen.extend(names);
            taken.insert(n);
        }
    }
    taken
}

/// What a submission decides on and waits its turn for.
fn names(record: &SubmissionRecord) -> impl Iterator<Item = String> {
    let key = record.idempotency_key.as_ref().map(|key| record::turn(record, key));
    record.jobs.iter().filter_map(prepare::turn).chain(key)
}

/// Those that meet something that is there.
async fn contested<D: Dialect>(
    connection: &mut D::Connection,
    wishes: &[Wish],
    taken: &BTreeSet<usize>,
) -> Result<Vec<usize>> {
    let mut planned = Vec::new();
    let mut keys = Vec::new();
    for &n in taken {
        let record = &wishes[n].0;
        planned.extend(record.jobs.iter().filter(|j| j.version.is_some()).map(|j| row(n, j)));
        keys.extend(key_row(n, record));
    }
    let mut found = Vec::new();
    for (statement, rows) in [(&sql::JOBS_CONTESTED, planned), (&sql::KEYS_KNOWN, keys)] {
        if !rows.is_empty() {
            let call = Call::<D>::new(statement).text(&Value::from(rows).to_string());
            found.extend(call.all(connection, |c| c.int::<usize>("n")).await?);
        }
    }
    Ok(found)
}

async fn add_submissions<D: Dialect>(
    connection: &mut D::Connection,
    wishes: &[Wish],
    taken: &BTreeSet<usize>,
) -> Result<Vec<(usize, SubmissionId)>> {
    let mut values = Vec::with_capacity(taken.len());
    for &n in taken {
        values.push(submission_row(n, &wishes[n])?);
    }
    let mut ids = Call::<D>::new(&sql::SUBMISSIONS_ADD)
        .text(&Value::from(values).to_string())
        .all(connection, |c| Ok(SubmissionId(c.int("id")?)))
        .await?;
    ids.sort_unstable();
    many::same_count(ids.len(), taken.len())?;
    Ok(taken.iter().copied().zip(ids).collect())
}

/// The jobs of each submission, with their events, hints and packages.
async fn add_jobs<D: Dialect>(
    connection: &mut D::Connection,
    wishes: &[Wish],
    submissions: &[(usize, SubmissionId)],
) -> Result<Vec<Vec<Job>>> {
    let mut planned: Vec<(SubmissionId, &Wish, &PlannedJob)> = Vec::new();
    for (n, id) in submissions {
        planned.extend(wishes[*n].0.jobs.iter().map(|job| (*id, &wishes[*n], job)));
    }
    let mut values = Vec::with_capacity(planned.len());
    for (n, (submission, (_, at), job)) in planned.iter().enumerate() {
        let mut value = row(n, job);
        value["submission"] = submission.0.into();
        value["at"] = at.as_micros().into();
        values.push(value);
    }
    let mut jobs = Call::<D>::new(&sql::JOBS_ADD)
        .text(&Value::from(values).to_string())
        .all(connection, rows::job)
        .await?;
    jobs.sort_unstable_by_key(|job| job.id);
    many::same_count(jobs.len(), planned.len())?;
    let mut events = Vec::with_capacity(jobs.len());
    let mut heads = BTreeMap::new();
    for (job, (submission, (record, at), plan)) in jobs.iter().zip(&planned) {
        if (job.submission, &job.target) != (*submission, &plan.target) {
            return Err(Error::internal("rows were not added in the order of their list"));
        }
        events.push(many::event(job, None, &record.principal, "submitted", *at));
        if job.kind == JobKind::Binary {
            let t = &job.target;
            let head = (&job.package, &t.dist, &t.suite, &t.format);
            let value = json!({ "package": job.package, "dist": t.dist, "suite": t.suite, "format": t.format, "job": job.id.0 });
            heads.insert(head, value);
        }
    }
    let heads: Vec<Value> = heads.into_values().collect();
    many::run::<D>(connection, &sql::EVENTS_ADD, &events).await?;
    many::run::<D>(connection, &sql::OUTBOX_ADD_ALL, &events).await?;
    many::run::<D>(connection, &sql::PACKAGE_HEADS, &heads).await?;
    let mut jobs = jobs.into_iter();
    Ok(submissions
        .iter()
        .map(|(n, _)| jobs.by_ref().take(wishes[*n].0.jobs.len()).collect())
        .collect())
}

async fn add_keys<D: Dialect>(
    connection: &mut D::Connection,
    wishes: &[Wish],
    submissions: &[(usize, SubmissionId)],
) -> Result<()> {
    let key = |(n, id): &(usize, SubmissionId)| {
        let mut value = key_row(*n, &wishes[*n].0)?;
        value["submission"] = id.0.into();
        value["planned"] = wishes[*n].0.jobs.len().into();
        Some(value)
    };
    let keys: Vec<Value> = submissions.iter().filter_map(key).collect();
    many::run::<D>(connection, &sql::KEYS_ADD, &keys).await
}

fn key_row(n: usize, record: &SubmissionRecord) -> Option<Value> {
    let key = record.idempotency_key.as_ref()?;
    Some(json!({ "n": n, "principal": storable(&record.principal), "key": storable(key) }))
}

fn submission_row(n: usize, (record, at): &Wish) -> Result<Value> {
    let request = crate::sql::call::json(&record.request)?;
    let principal = storable(&record.principal);
    let names = crate::sql::call::json(&record.names)?;
    let at = at.as_micros();
    Ok(json!({ "n": n, "request": request, "principal": principal, "names": names, "at": at }))
}

fn row(n: usize, planned: &PlannedJob) -> Value {
    let (target, version) = (&planned.target, planned.version.as_ref());
    json!({
        "n": n,
        "kind": planned.kind.as_str(),
        "package": planned.package,
        "version": version.map(|(version, _)| version),
        "key": version.map(|(_, key)| hex::encode(key)),
        "dist": target.dist, "suite": target.suite, "arch": target.arch,
        "format": target.format, "env": target.env,
        "master": planned.master,
        "weight": planned.weight,
        "priority": planned.priority,
        "source_job": planned.source_job,
        "retries_of": planned.retries_of,
    })
}
