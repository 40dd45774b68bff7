//! A client takes the best job that it can build.

use std::cmp::Reverse;

use pybit_core::clock::Timestamp;
use pybit_core::model::{CLOCK_STEP, Job, JobId, JobStatus, Target};
use pybit_core::storage::Claim;
use pybit_core::{Error, ErrorKind, Result, trial};

use super::history::{Act, note};
use super::rows;
use crate::sql::again::LOOK_AGAIN;
use crate::sql::{Call, Dialect, SqlStore, Statement, commit, statements as sql};

pub(super) async fn claim<D: Dialect>(
    store: &SqlStore<D>,
    claim: &Claim,
    at: Timestamp,
) -> Result<Option<Job>> {
    let mut transaction = store.begin().await?;
    let connection = &mut *transaction;
    if let Some((id, number)) = asked_before::<D>(connection, claim).await? {
        let job = Call::<D>::new(&sql::JOB_BY_ID).int(id.0).first(connection, rows::job).await?;
        let held = job.filter(|j| j.attempt == number && j.status.is_held());
        return held.map(Some).ok_or_else(|| Claim::over(id));
    }
    let Some(best) = best_of::<D>(connection, claim, at).await? else {
        return Ok(None);
    };
    let taken = Call::<D>::new(&sql::JOB_CLAIM)
        .int(best.0)
        .text(claim.client.as_str())
        .at(at)
        .one(connection, rows::job)
        .await?;
    begin_attempt::<D>(connection, &taken, claim, at).await?;
    let actor = format!("client {}", claim.client);
    let act = Act { actor: &actor, cause: "claimed", at };
    note::<D>(connection, &taken, Some(JobStatus::Waiting), act).await?;
    before_commit();
    commit(transaction).await?;
    Ok(Some(taken))
}

/// The job and attempt number that this claim got when it was asked the first time.
async fn asked_before<D: Dialect>(
    connection: &mut D::Connection,
    claim: &Claim,
) -> Result<Option<(JobId, u32)>> {
    Call::<D>::new(&sql::ATTEMPT_BY_CLAIM)
        .text(&claim.claim_id)
        .text(claim.client.as_str())
        .first(connection, |c| Ok((JobId(c.int("job")?), c.int("number")?)))
        .await
}

/// Highest priority, then highest weight with the client's own, then oldest, over all offers; held until the transaction ends.
///
/// Looking first and holding then keeps jobs of other offers free for other claims: a job that is held is passed over.
async fn best_of<D: Dialect>(
    connection: &mut D::Connection,
    claim: &Claim,
    at: Timestamp,
) -> Result<Option<JobId>> {
    let mut offers = Vec::with_capacity(claim.offers.len());
    for offer in &claim.offers {
        let seen = candidate::<D>(connection, &sql::JOB_PEEK, offer, claim, at).await?;
        offers.extend(seen.map(|rank| (rank, offer)));
    }
    offers.sort_by_key(|(rank, _)| Reverse(*rank));
    let seen_any = !offers.is_empty();
    let mut best = None;
    for (seen, offer) in offers {
        if best >= Some(seen) {
            break;
        }
        let held = candidate::<D>(connection, &sql::JOB_CANDIDATE, offer, claim, at).await?;
        best = best.max(held);
    }
    if best.is_none() && seen_any {
        // Whoever holds it may be about to let it go as it was: a write that was refused, for one.
        let message = "every job that this client could have is being changed at this moment";
        return Err(Error::new(ErrorKind::Busy, message).with_code(LOOK_AGAIN));
    }
    Ok(best.map(|(_, _, Reverse(id))| JobId(id)))
}

type Rank = (i64, i64, Reverse<i64>);

async fn candidate<D: Dialect>(
    connection: &mut D::Connection,
    statement: &'static Statement,
    offer: &Target,
    claim: &Claim,
    at: Timestamp,
) -> Result<Option<Rank>> {
    Call::<D>::new(statement)
        .text(offer.dist.as_str())
        .text(offer.suite.as_str())
        .text(offer.arch.as_str())
        .text(offer.format.as_str())
        .text(offer.env.as_str())
        .at(at)
        .text(claim.client.as_str())
        .at(at.plus(CLOCK_STEP))
        .first(connection, |c| {
            let weight = c.int::<i64>("weight")? + i64::from(claim.own_weight(offer));
            Ok((c.int("priority")?, weight, Reverse(c.int("id")?)))
        })
        .await
}

async fn begin_attempt<D: Dialect>(
    connection: &mut D::Connection,
    job: &Job,
    claim: &Claim,
    at: Timestamp,
) -> Result<()> {
    let added = Call::<D>::new(&sql::ATTEMPT_ADD)
        .int(job.id.0)
        .int(job.attempt)
        .text(&claim.claim_id)
        .text(claim.client.as_str())
        .text(&claim.boot)
        .at(at)
        .run_one(connection)
        .await;
    added.map_err(|error| match error.kind() {
        ErrorKind::Conflict => Error::new(ErrorKind::Busy, "this claim was made twice at once")
            .with_code(LOOK_AGAIN)
            .with_source(error),
        _ => error,
    })?;
    Call::<D>::new(&sql::STREAM_ADD)
        .maybe_int(Some(job.id.0))
        .maybe_int(Some(job.attempt))
        .maybe_int(None::<i64>)
        .text("log")
        .text("log")
        .maybe_int(None::<i64>)
        .maybe_text(None)
        .run_one(connection)
        .await
}

/// Everything is written and nothing holds yet.
pub(super) fn before_commit() {
    trial::crash_point("claim_before_commit");
}
