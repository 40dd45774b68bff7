//! The routes of build clients.

use std::time::Duration;

use bytes::Bytes;
use pybit_core::model::{FileName, Job, JobId};
use pybit_core::protocol::{
    ClaimReply, ClaimRequest, FailRequest, FileState, FinishRequest, HeartbeatReply,
    HeartbeatRequest, Length, Manifest, RefuseRequest, StoppedRequest,
};
use reqwest::Method;
use serde::Serialize;

use super::{ANSWER, Api, ApiResult};

impl Api {
    /// Asks for a job; the server may hold the answer for `wait_ms` of the request.
    pub async fn claim(&self, claim: &ClaimRequest) -> ApiResult<ClaimReply> {
        let held = Duration::from_millis(claim.wait_ms.into());
        let request = self.request(Method::POST, &["client", "claim"]);
        self.json(request.timeout(ANSWER + held).json(claim)).await
    }

    /// Reports all jobs in hand.
    pub async fn heartbeat(&self, beat: &HeartbeatRequest) -> ApiResult<HeartbeatReply> {
        self.json(self.request(Method::POST, &["client", "heartbeat"]).json(beat)).await
    }

    /// Appends to an attempt's log, at most 1 MiB; the length that is durable now.
    pub async fn append_log(
        &self,
        job: JobId,
        attempt: u32,
        offset: u64,
        bytes: Bytes,
    ) -> ApiResult<u64> {
        let query = [("attempt", u64::from(attempt)), ("offset", offset)];
        let request = self.request(Method::PATCH, &["client", "jobs", &job.to_string(), "log"]);
        self.json::<Length>(request.query(&query).body(bytes)).await.map(|l| l.length)
    }

    /// Declares the files of an attempt; [`send_files`](Self::send_files) does so by itself.
    pub async fn declare_files(
        &self,
        job: JobId,
        manifest: &Manifest,
    ) -> ApiResult<Vec<FileState>> {
        self.json(self.of_job(job, "files").json(manifest)).await
    }

    /// Appends to a file of an attempt, at most 8 MiB; the length that is durable now.
    pub async fn append_file(
        &self,
        job: JobId,
        attempt: u32,
        name: &FileName,
        offset: u64,
        bytes: Bytes,
    ) -> ApiResult<u64> {
        let path = ["client", "jobs", &job.to_string(), "files", name.as_str()];
        let query = [("attempt", u64::from(attempt)), ("offset", offset)];
        let request = self.request(Method::PATCH, &path).query(&query).body(bytes);
        self.json::<Length>(request).await.map(|l| l.length)
    }

    /// "It is built."
    pub async fn finish(&self, job: JobId, report: &FinishRequest) -> ApiResult<Job> {
        self.report(job, "finish", report).await
    }

    /// "It did not build."
    pub async fn fail(&self, job: JobId, report: &FailRequest) -> ApiResult<Job> {
        self.report(job, "fail", report).await
    }

    /// "I cannot build this; give it to another."
    pub async fn refuse(&self, job: JobId, report: &RefuseRequest) -> ApiResult<Job> {
        self.report(job, "refuse", report).await
    }

    /// "It is stopped, and nothing of it is left."
    pub async fn stopped(&self, job: JobId, report: &StoppedRequest) -> ApiResult<Job> {
        self.report(job, "stopped", report).await
    }

    async fn report(&self, job: JobId, end: &str, report: &impl Serialize) -> ApiResult<Job> {
        self.json(self.of_job(job, end).json(report)).await
    }

    fn of_job(&self, job: JobId, what: &str) -> reqwest::RequestBuilder {
        self.request(Method::POST, &["client", "jobs", &job.to_string(), what])
    }
}
