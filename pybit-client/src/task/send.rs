//! Telling the server: result, report, confirmation.

use std::time::Duration;

use pybit_core::ErrorKind;
use pybit_core::model::{FailureClass, Job, JobId};
use pybit_core::protocol::{FailRequest, FinishRequest, LogDigest, RefuseRequest, StoppedRequest};
use pybit_core::trial;

use super::Work;
use crate::api::{ApiError, ApiResult, Destination};
use crate::journal::Ending;
use crate::machine::Event;

/// A confirmation waits this long for the last of the log.
const LAST_LINES: Duration = Duration::from_secs(1);
/// A server that says more often than this that it lacks files which it confirmed is wrong.
const LACKING: u32 = 3;

/// What a refusal with this code means for the job: `not_building` may be a cancellation that no heartbeat has told yet,
/// and confirming one that is none is harmless.
pub(super) fn verdict(code: &str) -> Event {
    match code {
        "not_building" => Event::Cancel,
        _ => Event::Gone,
    }
}

/// Whether the server says that this attempt is not this client's any more.
fn is_verdict(error: &ApiError) -> bool {
    let codes =
        ["not_building", "stale_attempt", "future_attempt", "not_your_job", "job_has_ended"];
    codes.contains(&error.code.as_str())
        || matches!(error.kind, ErrorKind::Denied | ErrorKind::NotFound)
}

/// Whether asking again later can help; a token that is refused may be put right.
fn is_later(error: &ApiError) -> bool {
    error.is_transient() || error.kind == ErrorKind::Unauthenticated
}

/// True where the server may have refused a report because it does not know the class: it is older than this client.
fn is_older(error: &ApiError, request: &FailRequest) -> bool {
    request.failure.class.is_without_blame()
        && matches!(error.kind, ErrorKind::Malformed | ErrorKind::Invalid)
}

fn for_older(mut request: FailRequest) -> FailRequest {
    request.failure.class = request.failure.class.for_older_servers();
    request
}

impl Work {
    pub(super) async fn upload(&self) -> Event {
        let (job, attempt) = self.numbers();
        let Some(Ending::Built { files, .. }) = self.entry().result.clone() else {
            return Event::Uploaded;
        };
        let to = Destination::Attempt { job, attempt };
        let mut backoff = self.shop.waits.clone();
        loop {
            match self.shop.api.send_files(to, &files, &self.for_ever()).await {
                Ok(()) => {
                    trial::crash_point("client_uploaded_before_report");
                    return Event::Uploaded;
                }
                Err(e) if is_later(&e) => backoff.wait().await,
                Err(e) if e.status.is_some() => return self.refused(&e).await,
                // No answer of the server: what was built cannot be read any more. Another build of this user may have removed it.
                Err(e) => return self.fail(FailureClass::Unclear, &e.message, vec![]).await,
            }
        }
    }

    pub(super) async fn report(&self) -> Event {
        let log = self.spool.digest().await;
        if let Err((code, _)) = self.shipper.durable(log.length).await {
            return verdict(&code);
        }
        trial::crash_point("client_log_stored_before_report");
        let mut backoff = self.shop.waits.clone();
        loop {
            match self.send_report(&log).await {
                Ok(job) => {
                    trial::crash_point("client_reported_before_journal");
                    tracing::info!(%job.id, status = %job.status, "reported");
                    return Event::Reported;
                }
                Err(e) if is_later(&e) => {
                    tracing::warn!("a report waits for the server: {e}");
                    backoff.wait().await;
                }
                Err(e) => return self.refused(&e).await,
            }
        }
    }

    async fn send_report(&self, log: &LogDigest) -> ApiResult<Job> {
        let ((job, attempt), api, log) = (self.numbers(), &self.shop.api, log.clone());
        let ending = self.entry().result.clone();
        match ending {
            Some(Ending::Built { files, source, produced }) => {
                let files = files.into_iter().map(|(spec, _)| spec).collect();
                api.finish(job, &FinishRequest { attempt, log, files, source, produced }).await
            }
            Some(Ending::Failed { failure, unmet }) => {
                let request = FailRequest { attempt, log, failure, unmet };
                match api.fail(job, &request).await {
                    Err(e) if is_older(&e, &request) => api.fail(job, &for_older(request)).await,
                    answered => answered,
                }
            }
            Some(Ending::Refused { reason }) => {
                api.refuse(job, &RefuseRequest { attempt, reason }).await
            }
            None => Err(ApiError::new(ErrorKind::Internal, "there is nothing to report")),
        }
    }

    /// The server does not take what it was sent: the attempt is over, or its result becomes a failure.
    async fn refused(&self, error: &ApiError) -> Event {
        if is_verdict(error) {
            return verdict(&error.code);
        }
        let built = matches!(self.entry().result, Some(Ending::Built { .. }));
        if !built {
            tracing::error!("the server refuses a report: {error}");
            return Event::Gone;
        }
        if error.is("files_incomplete") && self.lacks_files_again() {
            return Event::FilesMissing;
        }
        let class = match error.kind {
            ErrorKind::Invalid if self.is_source_job() => FailureClass::Source,
            ErrorKind::Corrupt => FailureClass::Unclear,
            _ => FailureClass::Policy,
        };
        self.fail(class, &format!("the server refuses the result: {error}"), vec![]).await
    }

    fn lacks_files_again(&self) -> bool {
        let mut found = self.found();
        found.lacking += 1;
        found.lacking <= LACKING
    }

    pub(super) async fn confirm_stopped(&self) -> Event {
        let (job, attempt) = self.numbers();
        let log = self.spool.digest().await;
        // The job is stopped whether its last lines arrive or not.
        let _ = tokio::time::timeout(LAST_LINES, self.shipper.durable(log.length)).await;
        let report = StoppedRequest { attempt, log };
        match self.tell(|| self.shop.api.stopped(job, &report)).await {
            // A job that is not being cancelled needs no confirmation.
            Event::Cancel => Event::Gone,
            event => event,
        }
    }

    pub(super) async fn refuse(&self) -> Event {
        let (job, attempt) = self.numbers();
        let reason = match &self.entry().result {
            Some(Ending::Refused { reason }) => reason.clone(),
            _ => "the build client is shutting down".to_owned(),
        };
        let report = RefuseRequest { attempt, reason };
        self.tell(|| self.shop.api.refuse(job, &report)).await
    }

    /// Tells the server until it answers.
    async fn tell<F: Future<Output = ApiResult<Job>>>(&self, say: impl Fn() -> F) -> Event {
        let mut backoff = self.shop.waits.clone();
        loop {
            match say().await {
                Ok(_) => return Event::Told,
                Err(e) if is_later(&e) => backoff.wait().await,
                Err(e) if is_verdict(&e) => return verdict(&e.code),
                Err(e) => {
                    tracing::error!("the server refuses a report: {e}");
                    return Event::Gone;
                }
            }
        }
    }

    fn numbers(&self) -> (JobId, u32) {
        let entry = self.entry();
        (entry.job(), entry.attempt())
    }
}
