//! Which attempt may still write.
//!
//! What makes, seals or forgets a file holds its job until the transaction ends, so that a job never becomes `Uploaded`
//! beside it. An append only looks: it is decided by its stream's own row, and a file counts when it is sealed.

use pybit_core::model::{JobStatus, Stream, StreamOwner, StreamRole};
use pybit_core::trial::{self, Mutation};
use pybit_core::{Error, Result};

use crate::sql::{Call, Dialect, Statement, jobs, statements as sql};

/// Refuses a write to a stream whose attempt is not the newest, or whose job takes none any more.
pub(super) async fn check<D: Dialect>(
    connection: &mut D::Connection,
    stream: &Stream,
) -> Result<()> {
    let (job, upload) = (&sql::JOB_BY_ID, &sql::UPLOAD_BY_ID);
    fence::<D>(connection, stream.owner, stream.role, job, upload).await
}

/// The same, and holds the owner.
pub(super) async fn hold<D: Dialect>(
    connection: &mut D::Connection,
    stream: &Stream,
) -> Result<()> {
    hold_owner::<D>(connection, stream.owner, stream.role).await
}

/// The same for streams of this role that are still to be made; an owner that does not exist is `NotFound`.
pub(super) async fn hold_owner<D: Dialect>(
    connection: &mut D::Connection,
    owner: StreamOwner,
    role: StreamRole,
) -> Result<()> {
    fence::<D>(connection, owner, role, &sql::JOB_LOCK, &sql::UPLOAD_LOCK).await
}

async fn fence<D: Dialect>(
    connection: &mut D::Connection,
    owner: StreamOwner,
    role: StreamRole,
    job: &'static Statement,
    upload: &'static Statement,
) -> Result<()> {
    let (id, attempt) = match owner {
        StreamOwner::Attempt { job, attempt } => (job, attempt),
        StreamOwner::Upload(id) => {
            let found =
                Call::<D>::new(upload).int(id.0).first(connection, super::rows::upload).await?;
            let missing = || Error::not_found(format!("there is no upload {id}"));
            return found.map(drop).ok_or_else(missing);
        }
    };
    let job = Call::<D>::new(job).int(id.0).first(connection, jobs::job).await?;
    let job = job.ok_or_else(|| Error::not_found(format!("there is no job {id}")))?;
    let refuse = |code, what: &str| {
        let newest = job.attempt;
        let message =
            format!("attempt {attempt} of job {id} {what}; its newest attempt is {newest}");
        Err(Error::conflict(message).with_code(code))
    };
    if attempt < job.attempt && !trial::is_broken(Mutation::FenceByClient) {
        return refuse("stale_attempt", "is over");
    }
    if attempt > job.attempt {
        return refuse("future_attempt", "was never given");
    }
    let takes = match job.status {
        JobStatus::Building | JobStatus::Waiting => true,
        JobStatus::Cancelling => role == StreamRole::Log,
        _ => false,
    };
    if takes {
        return Ok(());
    }
    let message = format!("job {id} is {} and takes nothing any more", job.status);
    Err(Error::conflict(message).with_code("not_building"))
}
