//! Decided changes that come at the same time, in one transaction: the usual steps of a job's life. What follows a source,
//! goes back to the queue or speaks of a client's illness goes alone, as does a change that somebody else was faster than.

use std::collections::{BTreeMap, BTreeSet};

use pybit_core::clock::Timestamp;
use pybit_core::model::{Job, JobId, JobStatus};
use pybit_core::storage::{Advance, AttemptEnd, Change, HealthMark};
use pybit_core::{Error, Result};
use serde_json::{Value, json};

use super::{advance, many, rows};
use crate::sql::call::{json as text, storable};
use crate::sql::{Call, Dialect, Engine, SqlStore, commit, statements as sql};

/// A change and when it was decided.
pub(in crate::sql) type Step = (Change, Timestamp);

/// What became of each, in order; `None` for those that go alone.
pub(super) async fn advance<D: Dialect>(
    store: &SqlStore<D>,
    steps: &[Step],
) -> Result<Vec<Option<Advance>>> {
    let mut taken = simple(steps);
    let mut answers: Vec<Option<Advance>> = steps.iter().map(|_| None).collect();
    if taken.is_empty() {
        return Ok(answers);
    }
    let after = match D::ENGINE {
        Engine::Sqlite => step_by_step(store, steps, &mut taken).await?,
        Engine::Postgres => at_once(store, steps, &taken).await?,
    };
    for job in after {
        let n = taken.get(&job.id);
        let place = n.ok_or_else(|| Error::internal("a job was changed that was not named"))?;
        answers[*place] = Some(Advance::Done(Box::new(job), Vec::new()));
    }
    Ok(answers)
}

/// For an engine in this process, which is asked for nothing.
async fn step_by_step<D: Dialect>(
    store: &SqlStore<D>,
    steps: &[Step],
    taken: &mut BTreeMap<JobId, usize>,
) -> Result<Vec<Job>> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    let before = held::<D>(connection, taken.keys().copied()).await?;
    taken.retain(|id, n| before.get(id).is_some_and(|job| still_fits(job, &steps[*n].0)));
    for incomplete in incomplete::<D>(connection, steps, taken, &before).await? {
        taken.remove(&incomplete);
    }
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let after = set::<D>(connection, steps, taken).await?;
    let (mut events, mut ends, mut well) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (id, n) in &*taken {
        let ((change, at), was) = (&steps[*n], &before[id]);
        events.push(many::event(&after[id], Some(was.status), &change.actor, &change.cause, *at));
        ends.extend(change.attempt_end.as_ref().map(|end| end_row(was, end, *at)));
        well.extend(was.client.as_ref().filter(|_| change.health == Some(HealthMark::Well)));
    }
    many::run::<D>(connection, &sql::EVENTS_ADD, &events).await?;
    many::run::<D>(connection, &sql::ATTEMPTS_END, &ends).await?;
    let well: Vec<Value> = well.into_iter().map(|client| json!({ "client": client })).collect();
    end_illness::<D>(connection, well).await?;
    advance::before_commit();
    commit(transaction).await?;
    Ok(after.into_values().collect())
}

/// For an engine that is asked over a wire. Nobody may declare files of a job that is to have all of them: it is held before
/// the statement looks for them.
async fn at_once<D: Dialect>(
    store: &SqlStore<D>,
    steps: &[Step],
    taken: &BTreeMap<JobId, usize>,
) -> Result<Vec<Job>> {
    let rows = taken.values().map(|n| whole_row(&steps[*n])).collect::<Result<Vec<_>>>()?;
    let call = Call::<D>::new(&sql::POSTGRES_ADVANCE).text(&Value::from(rows).to_string());
    if !taken.values().any(|n| steps[*n].0.needs_files) {
        advance::before_commit();
        return store.at_once(call, rows::job).await;
    }
    let jobs: Vec<i64> = taken.keys().map(|id| id.0).collect();
    let mut open = store.begin_with(sql::postgres_begin_with_jobs(&jobs)).await?;
    let after = call.all(&mut open, rows::job).await?;
    advance::before_commit();
    store.end(open).await?;
    Ok(after)
}

/// All that a change writes.
fn whole_row(step: &Step) -> Result<Value> {
    let (change, at) = step;
    let mut value = row(step)?;
    let end = change.attempt_end.as_ref();
    let failure = end.and_then(|end| end.failure.as_ref());
    value["micros"] = at.as_micros().into();
    value["expected"] = change.expected.into();
    value["lease"] = change.expected_lease.into();
    value["needs_files"] = change.needs_files.into();
    value["well"] = (change.health == Some(HealthMark::Well)).into();
    value["actor"] = storable(&change.actor).into();
    value["cause"] = storable(&change.cause).into();
    value["outcome"] = end.map(|end| end.outcome.as_str()).into();
    value["end_class"] = failure.map(|f| f.class.as_str()).into();
    value["end_message"] = failure.map(|f| storable(&f.message)).into();
    value["log_sha256"] = end.and_then(|end| end.log_sha256.clone()).into();
    Ok(value)
}

/// By job: the changes that concern nothing but it, its attempt, and a client that is well. Of two to one job, the first.
fn simple(steps: &[Step]) -> BTreeMap<JobId, usize> {
    let mut taken = BTreeMap::new();
    for (n, (change, _)) in steps.iter().enumerate() {
        let ill = matches!(change.health, Some(HealthMark::Ill { .. }));
        let waits = change.after.status == JobStatus::Waiting;
        if change.follow.is_empty() && !change.reopen_attempt && !ill && !waits {
            taken.entry(change.after.id).or_insert(n);
        }
    }
    taken
}

async fn held<D: Dialect>(
    connection: &mut D::Connection,
    ids: impl Iterator<Item = JobId>,
) -> Result<BTreeMap<JobId, Job>> {
    let ids: Vec<i64> = ids.map(|id| id.0).collect();
    let jobs =
        Call::<D>::new(&sql::JOBS_LOCK).text(&text(&ids)?).all(connection, rows::job).await?;
    Ok(jobs.into_iter().map(|job| (job.id, job)).collect())
}

fn still_fits(job: &Job, change: &Change) -> bool {
    advance::still_stands(job, change)
        && job.status.may_become(change.after.status)
        && (change.attempt_end.is_none() || job.attempt > 0)
}

/// Those that need every file of their attempt and have not.
async fn incomplete<D: Dialect>(
    connection: &mut D::Connection,
    steps: &[Step],
    taken: &BTreeMap<JobId, usize>,
    jobs: &BTreeMap<JobId, Job>,
) -> Result<Vec<JobId>> {
    let asked: Vec<Value> = taken
        .iter()
        .filter(|(_, n)| steps[**n].0.needs_files)
        .map(|(id, _)| json!({ "job": id.0, "attempt": jobs[id].attempt }))
        .collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    Call::<D>::new(&sql::STREAMS_INCOMPLETE)
        .text(&Value::from(asked).to_string())
        .all(connection, |c| Ok(JobId(c.int("job")?)))
        .await
}

async fn set<D: Dialect>(
    connection: &mut D::Connection,
    steps: &[Step],
    taken: &BTreeMap<JobId, usize>,
) -> Result<BTreeMap<JobId, Job>> {
    let values = taken.values().map(|n| row(&steps[*n])).collect::<Result<Vec<_>>>()?;
    let jobs = Call::<D>::new(&sql::JOBS_ADVANCE)
        .text(&Value::from(values).to_string())
        .all(connection, rows::job)
        .await?;
    many::same_count(jobs.len(), taken.len())?;
    Ok(jobs.into_iter().map(|job| (job.id, job)).collect())
}

fn row((change, at): &Step) -> Result<Value> {
    let after = &change.after;
    let (avoid, failure) = (after.avoid.as_ref(), after.failure.as_ref());
    Ok(json!({
        "job": after.id.0,
        "status": after.status.as_str(),
        "at": at.as_micros(),
        "package": after.package,
        "version": after.version,
        "key": change.version_key.as_ref().map(hex::encode),
        "client": after.client,
        "infra_retries": after.infra_retries,
        "dep_waits": after.dep_waits,
        "lost_by": text(&after.lost_by)?,
        "avoid_client": avoid.map(|a| &a.client),
        "avoid_until": avoid.map(|a| a.until.as_micros()),
        "not_before": after.not_before.as_micros(),
        "priority": after.priority,
        "weight": after.weight,
        "unmet": text(&after.unmet)?,
        "failure_class": failure.map(|f| f.class.as_str()),
        "failure_message": failure.map(|f| storable(&f.message)),
        "produced": text(&after.produced)?,
        "superseded_by": after.superseded_by,
    }))
}

fn end_row(job: &Job, end: &AttemptEnd, at: Timestamp) -> Value {
    json!({
        "job": job.id.0,
        "attempt": job.attempt,
        "outcome": end.outcome.as_str(),
        "failure_class": end.failure.as_ref().map(|f| f.class.as_str()),
        "failure_message": end.failure.as_ref().map(|f| storable(&f.message)),
        "log_sha256": end.log_sha256,
        "at": at.as_micros(),
    })
}

/// Hardly ever does any of them have a streak to end.
async fn end_illness<D: Dialect>(connection: &mut D::Connection, well: Vec<Value>) -> Result<()> {
    if well.is_empty() {
        return Ok(());
    }
    let zero = Timestamp::from_micros(0);
    let ailing = Call::<D>::new(&sql::CLIENTS_AILING)
        .text(&Value::from(well).to_string())
        .at(zero)
        .all(connection, |c| c.text("name"))
        .await?;
    for name in ailing {
        Call::<D>::new(&sql::CLIENT_WELL).text(&name).at(zero).run(connection).await?;
    }
    Ok(())
}
