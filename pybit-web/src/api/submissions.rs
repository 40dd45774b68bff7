//! Requests to build.

use bytes::Bytes;
use poem::Response;
use poem::http::StatusCode;
use pybit_core::Error;
use pybit_core::model::{JobFilter, NewSubmission, Page, Source, SubmissionId};
use pybit_core::protocol::{PlannedView, SubmissionReply};
use serde::Deserialize;

use super::uploads;
use crate::call::{Call, json, ok};
use crate::error::ApiResult;

/// The most that is read of a source description. A longer one is cut, and then its format refuses it; of a packed source
/// the format looks at the beginning alone.
pub(super) const DESCRIPTION: u64 = 4 << 20;

/// Whether so many jobs are meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    confirmed: bool,
}

/// `POST /submissions`
pub(crate) async fn submit(mut call: Call) -> ApiResult<Response> {
    let key = call.idempotency_key()?;
    let Wish { confirmed } = call.query()?;
    let request: NewSubmission = call.json().await?;
    let most = call.state.farm.most_jobs(&request).await?;
    call.state.farm.check_confirmed(most, confirmed)?;
    let main = description(&call, &request).await?;
    let farm = &call.state.farm;
    let recorded = farm.submit(call.who()?, request, key.as_deref(), main.as_deref()).await?;
    let status = if recorded.repeated { StatusCode::OK } else { StatusCode::CREATED };
    let reply = SubmissionReply {
        submission: recorded.submission,
        jobs: recorded.jobs,
        repeated: recorded.repeated,
    };
    json(status, &reply)
}

/// `POST /submissions/plan`
pub(crate) async fn plan(mut call: Call) -> ApiResult<Response> {
    let request: NewSubmission = call.json().await?;
    let main = description(&call, &request).await?;
    let planned = call.state.farm.plan(call.who()?, &request, main.as_deref()).await?;
    let view = |p: pybit_core::farm::plan::Planned| PlannedView {
        kind: p.job.kind,
        package: p.job.package,
        version: p.job.version.map(|(version, _)| version),
        target: p.job.target,
        master: p.job.master,
        why: p.why,
    };
    ok(&planned.into_iter().map(view).collect::<Vec<_>>())
}

/// `GET /submissions/{id}`
pub(crate) async fn show(call: Call) -> ApiResult<Response> {
    let id: SubmissionId = call.id("id")?;
    let storage = call.state.farm.storage();
    let unknown =
        || Error::not_found(format!("there is no submission {id}")).with_code("unknown_submission");
    let submission = storage.submission(id).await?.ok_or_else(unknown)?;
    let filter = JobFilter { submission: Some(id), ..JobFilter::default() };
    let mut jobs = Vec::new();
    let mut page = Page::first(200);
    loop {
        let more = storage.jobs(&filter, &page).await?;
        page.before = more.last().map(|j| j.id);
        jobs.extend(more);
        if page.before.is_none() {
            break;
        }
    }
    jobs.reverse();
    ok(&SubmissionReply { submission, jobs, repeated: false })
}

/// The source description that an upload is built from, where any format of the farm takes its main file for one.
pub(super) async fn description(call: &Call, request: &NewSubmission) -> ApiResult<Option<Bytes>> {
    let Source::Upload { upload, main } = &request.source else { return Ok(None) };
    let farm = &call.state.farm;
    let catalogue = farm.storage().catalogue().await?;
    let formats: std::collections::BTreeSet<_> =
        catalogue.targets.into_iter().map(|t| t.target.format).collect();
    let is_description = |f| farm.format(f).is_ok_and(|format| format.is_source_description(main));
    if !formats.iter().any(is_description) {
        return Ok(None);
    }
    Ok(uploads::main_of(call, *upload, main).await?)
}
