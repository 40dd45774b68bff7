//! The routes of people's tools.

use bytes::Bytes;
use pybit_core::base::BaseStatus;
use pybit_core::model::{
    Account, AccountName, BlockRule, BuildClient, Catalogue, ClientName, FileName, Job, JobFilter,
    JobId, NewSubmission, PackageName, PackageSummary, Page, RuleId, SubmissionId, Token, TokenId,
    Upload, UploadId,
};
use pybit_core::protocol::{
    BatchReply, BatchRequest, CancelMany, CancelRequest, CatalogueReply, Explanation, FileState,
    JobDetail, Length, Manifest, NewAccountRequest, NewPassword, NewTokenReply, NewTokenRequest,
    PlannedView, SubmissionReply,
};
use reqwest::{Method, RequestBuilder};

use super::{Api, ApiResult};

impl Api {
    /// `GET /healthz`: the server's process is alive.
    pub async fn health(&self) -> ApiResult<()> {
        self.done(self.open(Method::GET, &["healthz"]).timeout(super::ANSWER)).await
    }

    /// `GET /readyz`: storage and transport answer too.
    pub async fn ready(&self) -> ApiResult<()> {
        self.done(self.open(Method::GET, &["readyz"]).timeout(super::ANSWER)).await
    }

    /// `GET /metrics`, in OpenMetrics text.
    pub async fn metrics(&self) -> ApiResult<String> {
        let request = self.open(Method::GET, &["metrics"]).timeout(super::ANSWER);
        Ok(String::from_utf8_lossy(&self.bytes(request).await?).into_owned())
    }

    /// `GET /openapi.json`: the API's description.
    pub async fn openapi(&self) -> ApiResult<serde_json::Value> {
        self.json(self.request(Method::GET, &["openapi.json"])).await
    }

    /// Declares the files of an upload; [`send_files`](Self::send_files) sends them.
    pub async fn declare_upload(&self, manifest: &Manifest) -> ApiResult<Upload> {
        self.json(self.request(Method::POST, &["uploads"]).json(manifest)).await
    }

    /// How far the files of an upload have arrived.
    pub async fn upload(&self, id: UploadId) -> ApiResult<Vec<FileState>> {
        self.json(self.request(Method::GET, &["uploads", &id.to_string()])).await
    }

    /// Appends to a file of an upload; the length that is durable now.
    pub async fn append_upload(
        &self,
        id: UploadId,
        name: &FileName,
        offset: u64,
        bytes: Bytes,
    ) -> ApiResult<u64> {
        let path = ["uploads", &id.to_string(), "files", name.as_str()];
        let request = self.request(Method::PATCH, &path).query(&[("offset", offset)]).body(bytes);
        self.json::<Length>(request).await.map(|l| l.length)
    }

    /// Submits. With a key (1 to 200 printable characters) asking again returns the first answer.
    pub async fn submit(
        &self,
        submission: &NewSubmission,
        key: Option<&str>,
    ) -> ApiResult<SubmissionReply> {
        self.json(keyed(self.request(Method::POST, &["submissions"]).json(submission), key)).await
    }

    /// The same, however many jobs it becomes.
    pub async fn submit_confirmed(
        &self,
        submission: &NewSubmission,
        key: Option<&str>,
    ) -> ApiResult<SubmissionReply> {
        let request = self.request(Method::POST, &["submissions"]).query(&[("confirmed", true)]);
        self.json(keyed(request.json(submission), key)).await
    }

    /// Submits many at once; each is recorded or refused by itself. With a key asking again returns the first answer.
    pub async fn submit_batch(
        &self,
        batch: &BatchRequest,
        key: Option<&str>,
    ) -> ApiResult<BatchReply> {
        let request = self.request(Method::POST, &["submissions", "batch"]).timeout(super::SILENCE);
        self.json(keyed(request.json(batch), key)).await
    }

    /// What a submission would become; nothing is recorded.
    pub async fn plan(&self, submission: &NewSubmission) -> ApiResult<Vec<PlannedView>> {
        self.json(self.request(Method::POST, &["submissions", "plan"]).json(submission)).await
    }

    /// A submission and its jobs.
    pub async fn submission(&self, id: SubmissionId) -> ApiResult<SubmissionReply> {
        self.json(self.request(Method::GET, &["submissions", &id.to_string()])).await
    }

    /// Jobs, newest first.
    pub async fn jobs(&self, filter: &JobFilter, page: &Page) -> ApiResult<Vec<Job>> {
        let query = [("limit", Some(page.limit.to_string())), ("before", page.before.map(text))];
        self.json(self.request(Method::GET, &["jobs"]).query(filter).query(&given(query))).await
    }

    /// A job with its attempts, events and files.
    pub async fn job(&self, id: JobId) -> ApiResult<JobDetail> {
        self.json(self.request(Method::GET, &["jobs", &id.to_string()])).await
    }

    /// Cancels a job; the job as it is then, `Cancelled` or `Cancelling`.
    pub async fn cancel(&self, id: JobId, reason: Option<String>) -> ApiResult<Job> {
        let path = ["jobs", &id.to_string(), "cancel"];
        self.json(self.request(Method::POST, &path).json(&CancelRequest { reason })).await
    }

    /// Makes a new job that tries an ended one again. With a key (1 to 200 printable characters) asking again returns the
    /// job of the first time.
    pub async fn retry(&self, id: JobId, key: Option<&str>) -> ApiResult<Job> {
        let request = self.request(Method::POST, &["jobs", &id.to_string(), "retry"]);
        self.json(keyed(request, key)).await
    }

    /// Cancels a package's unfinished jobs, or all.
    pub async fn cancel_many(&self, which: &CancelMany) -> ApiResult<Vec<Job>> {
        let request = self.request(Method::POST, &["jobs", "cancel"]).timeout(super::SILENCE);
        self.json(request.json(which)).await
    }

    /// Why a job is where it is.
    pub async fn why(&self, id: JobId) -> ApiResult<Explanation> {
        self.json(self.request(Method::GET, &["jobs", &id.to_string(), "why"])).await
    }

    /// Packages, by name, from the first after `after`.
    pub async fn packages(
        &self,
        search: Option<&str>,
        after: Option<&PackageName>,
        limit: u32,
    ) -> ApiResult<Vec<PackageSummary>> {
        let query = [
            ("search", search.map(str::to_owned)),
            ("after", after.map(text)),
            ("limit", Some(limit.to_string())),
        ];
        self.json(self.request(Method::GET, &["packages"]).query(&given(query))).await
    }

    /// All build clients, by name.
    pub async fn clients(&self) -> ApiResult<Vec<BuildClient>> {
        self.json(self.request(Method::GET, &["clients"])).await
    }

    /// Tells a client to take no more jobs.
    pub async fn drain(&self, client: &ClientName) -> ApiResult<()> {
        self.done(self.request(Method::POST, &["clients", client.as_str(), "drain"])).await
    }

    /// Tells a client to take jobs again.
    pub async fn resume(&self, client: &ClientName) -> ApiResult<()> {
        self.done(self.request(Method::POST, &["clients", client.as_str(), "resume"])).await
    }

    /// The indices of the base distributions' names.
    pub async fn names(&self) -> ApiResult<Vec<BaseStatus>> {
        self.json(self.request(Method::GET, &["names"])).await
    }

    /// What the farm serves.
    pub async fn catalogue(&self) -> ApiResult<Catalogue> {
        self.json(self.request(Method::GET, &["catalogue"])).await
    }

    /// Makes this the catalogue; a dry run only tells what would change. Addresses and keys of repositories and numbers of
    /// rules stay as they are.
    pub async fn replace_catalogue(
        &self,
        wanted: &Catalogue,
        dry_run: bool,
    ) -> ApiResult<CatalogueReply> {
        let request = self.request(Method::PUT, &["catalogue"]).query(&[("dry_run", dry_run)]);
        self.json(request.json(wanted)).await
    }

    /// Adds a block rule; its own number is ignored.
    pub async fn add_rule(&self, rule: &BlockRule) -> ApiResult<BlockRule> {
        self.json(self.request(Method::POST, &["rules"]).json(rule)).await
    }

    /// Removes a block rule.
    pub async fn delete_rule(&self, id: RuleId) -> ApiResult<()> {
        self.done(self.request(Method::DELETE, &["rules", &id.to_string()])).await
    }

    /// All tokens, without their secrets.
    pub async fn tokens(&self) -> ApiResult<Vec<Token>> {
        self.json(self.request(Method::GET, &["tokens"])).await
    }

    /// Makes a token; its secret is shown only now.
    pub async fn new_token(&self, token: &NewTokenRequest) -> ApiResult<NewTokenReply> {
        self.json(self.request(Method::POST, &["tokens"]).json(token)).await
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, id: TokenId) -> ApiResult<()> {
        self.done(self.request(Method::DELETE, &["tokens", &id.to_string()])).await
    }

    /// All accounts, without their passwords.
    pub async fn accounts(&self) -> ApiResult<Vec<Account>> {
        self.json(self.request(Method::GET, &["accounts"])).await
    }

    /// Makes an account.
    pub async fn new_account(&self, account: &NewAccountRequest) -> ApiResult<Account> {
        self.json(self.request(Method::POST, &["accounts"]).json(account)).await
    }

    /// Sets an account's password; the former one opens nothing any more.
    pub async fn set_password(&self, name: &AccountName, password: &NewPassword) -> ApiResult<()> {
        let path = ["accounts", name.as_str(), "password"];
        self.done(self.request(Method::PUT, &path).json(password)).await
    }

    /// Lets an account's password open nothing.
    pub async fn disable_account(&self, name: &AccountName) -> ApiResult<()> {
        self.done(self.request(Method::POST, &["accounts", name.as_str(), "disable"])).await
    }

    /// Lets an account's password open again what it did.
    pub async fn enable_account(&self, name: &AccountName) -> ApiResult<()> {
        self.done(self.request(Method::POST, &["accounts", name.as_str(), "enable"])).await
    }

    /// Removes an account.
    pub async fn remove_account(&self, name: &AccountName) -> ApiResult<()> {
        self.done(self.request(Method::DELETE, &["accounts", name.as_str()])).await
    }

    /// The log of an attempt from `offset` on, as far as it is durable; the newest attempt where none is named.
    pub async fn log(&self, id: JobId, attempt: Option<u32>, offset: u64) -> ApiResult<Bytes> {
        let query = [("attempt", attempt.map(text)), ("offset", Some(offset.to_string()))];
        let path = ["api", "v1", "jobs", &id.to_string(), "log"];
        self.bytes(self.open(Method::GET, &path).query(&given(query))).await
    }
}

/// A request that asks again harmlessly, where it has a key.
pub(super) fn keyed(request: RequestBuilder, key: Option<&str>) -> RequestBuilder {
    match key {
        Some(key) => request.header("Idempotency-Key", key),
        None => request,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function argument of Option::map")]
pub(super) fn text(value: impl ToString) -> String {
    value.to_string()
}

/// The parameters that have a value.
pub(super) fn given<const N: usize>(
    query: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    query.into_iter().filter_map(|(name, value)| value.map(|v| (name, v))).collect()
}
