//! Jobs: lists, details, ends, second tries, reasons.

use std::str::FromStr;

use poem::Response;
use pybit_core::farm::JobHistory;
use pybit_core::model::{Job, JobFilter, JobId, Page, StreamOwner};
use pybit_core::protocol::{CancelMany, CancelRequest, FileState, JobDetail};
use pybit_core::{Error, Result};
use serde::Deserialize;

use super::{file_state, limit, usual_limit};
use crate::app::AppState;
use crate::body;
use crate::call::{Call, created, ok};
use crate::error::ApiResult;

/// Which jobs, as the query says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    submission: Option<i64>,
    status: Option<String>,
    package: Option<String>,
    dist: Option<String>,
    suite: Option<String>,
    arch: Option<String>,
    client: Option<String>,
    before: Option<i64>,
    #[serde(default = "usual_limit", deserialize_with = "limit")]
    limit: u32,
}

impl Filter {
    fn read(self) -> Result<(JobFilter, Page)> {
        let filter = JobFilter {
            submission: self.submission.map(pybit_core::model::SubmissionId),
            status: some(self.status)?,
            package: some(self.package)?,
            dist: some(self.dist)?,
            suite: some(self.suite)?,
            arch: some(self.arch)?,
            client: some(self.client)?,
        };
        Ok((filter, Page { before: self.before.map(JobId), limit: self.limit }))
    }
}

fn some<T: FromStr<Err = Error>>(text: Option<String>) -> Result<Option<T>> {
    text.map(|t| t.parse()).transpose()
}

/// `GET /jobs`
pub(crate) async fn list(call: Call) -> ApiResult<Response> {
    let (filter, page) = call.query::<Filter>()?.read()?;
    ok(&call.state.farm.storage().jobs(&filter, &page).await?)
}

/// `GET /jobs/{id}`
pub(crate) async fn show(call: Call) -> ApiResult<Response> {
    let id: JobId = call.id("id")?;
    let JobHistory { job, attempts, events } = call.state.farm.history(id).await?;
    let files = file_states(&call.state, &job).await?;
    ok(&JobDetail { job, attempts, events, files })
}

/// The files of the job's newest attempt.
pub(crate) async fn file_states(state: &AppState, job: &Job) -> Result<Vec<FileState>> {
    if job.attempt == 0 {
        return Ok(Vec::new());
    }
    let owner = StreamOwner::Attempt { job: job.id, attempt: job.attempt };
    let streams = state.farm.storage().streams(owner).await?;
    Ok(streams.iter().filter_map(file_state).collect())
}

/// `POST /jobs/{id}/cancel`
pub(crate) async fn cancel(mut call: Call) -> ApiResult<Response> {
    let id: JobId = call.id("id")?;
    let request: CancelRequest = call.json_or_default().await?;
    let who = &call.who()?.name;
    let job = call.state.farm.cancel(who, id, request.reason.as_deref()).await?;
    call.state.logs.wake(id);
    ok(&job)
}

/// `POST /jobs/cancel`
pub(crate) async fn cancel_many(mut call: Call) -> ApiResult<Response> {
    let which: CancelMany = call.json_up_to(body::LIST).await?;
    let said = [which.package.is_some(), !which.submissions.is_empty(), which.all];
    if said.into_iter().filter(|said| *said).count() != 1 {
        let message =
            "say which jobs: those of a package, of submissions, or all; exactly one of the three";
        return Err(Error::invalid(message).with_code("which_jobs").into());
    }
    let (who, reason) = (call.who()?.name.clone(), which.reason.as_deref());
    let farm = &call.state.farm;
    let jobs = if which.submissions.is_empty() {
        farm.cancel_many(&who, which.package.as_ref(), reason).await?
    } else {
        farm.cancel_submissions(&who, &which.submissions, reason).await?
    };
    for job in &jobs {
        call.state.logs.wake(job.id);
    }
    ok(&jobs)
}

/// `POST /jobs/{id}/retry`
pub(crate) async fn retry(call: Call) -> ApiResult<Response> {
    let key = call.idempotency_key()?;
    created(&call.state.farm.retry(call.who()?, call.id("id")?, key.as_deref()).await?)
}

/// `GET /jobs/{id}/why`
pub(crate) async fn why(call: Call) -> ApiResult<Response> {
    ok(&call.state.farm.why(call.id("id")?).await?)
}
