//! Which attempt may still write.

use pybit_core::model::{JobStatus, Stream, StreamOwner, StreamRole};
use pybit_core::{Error, Result};

use crate::sql::{Call, Dialect, jobs, statements as sql};

/// Refuses a write to a stream whose attempt is not the newest, or whose job takes none any more.
pub(super) async fn check<D: Dialect>(
    connection: &mut D::Connection,
    stream: &Stream,
) -> Result<()> {
    check_owner::<D>(connection, stream.owner, stream.role).await
}

/// The same for streams of this role that are still to be made; an owner that does not exist is `NotFound`.
pub(super) async fn check_owner<D: Dialect>(
    connection: &mut D::Connection,
    owner: StreamOwner,
    role: StreamRole,
) -> Result<()> {
    let (id, attempt) = match owner {
        StreamOwner::Attempt { job, attempt } => (job, attempt),
        StreamOwner::Upload(id) => {
            let found = Call::<D>::new(&sql::UPLOAD_BY_ID)
                .int(id.0)
                .first(connection, super::rows::upload)
                .await?;
            let missing = || Error::not_found(format!("there is no upload {id}"));
            return found.map(drop).ok_or_else(missing);
        }
    };
    let job = Call::<D>::new(&sql::JOB_BY_ID).int(id.0).first(connection, jobs::job).await?;
    let job = job.ok_or_else(|| Error::not_found(format!("there is no job {id}")))?;
    let refuse = |code, what: &str| {
        let newest = job.attempt;
        let message =
            format!("attempt {attempt} of job {id} {what}; its newest attempt is {newest}");
        Err(Error::conflict(message).with_code(code))
    };
    if attempt < job.attempt {
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
