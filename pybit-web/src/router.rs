//! Every route on one page.

use std::collections::BTreeMap;

use poem::{EndpointExt, Route, RouteMethod};
use pybit_core::base::BaseStatus;
use pybit_core::model::{
    Account, BlockRule, BuildClient, Catalogue, Job, NewSubmission, PackageOrder, PackageSummary,
    Token, Upload,
};
use pybit_core::owners::NameFacts;
use pybit_core::protocol::{
    BatchReply, BatchRequest, CancelMany, CancelRequest, CatalogueReply, ClaimReply, ClaimRequest,
    Explanation, FailRequest, FileState, FinishRequest, HeartbeatReply, HeartbeatRequest,
    HistoryEntry, JobDetail, Length, Manifest, NamesRequest, NewAccountRequest, NewPackageOrder,
    NewPassword, NewTokenReply, NewTokenRequest, OrderFailed, OrderPackages, PlannedView,
    PublishedRequest, RefuseRequest, RejectedRequest, RepositoryKey, RepositoryPackages,
    StoppedRequest, SubmissionReply, UploadedSet,
};

use crate::api::{
    accounts, batch, builder, catalogue, clients, dput, farm, files, jobs, logs, names, orders,
    packages, reports, submissions, tokens, uploads, vcshook, watcher, webhook,
};
use crate::app::AppState;
use crate::auth::Access;
use crate::front::Front;
use crate::operation::{Operation, Run};
use crate::{pages, repositories, statics};

/// A handler as the table takes it.
macro_rules! run {
    ($handler:path) => {{
        let run: Run = |call| Box::pin($handler(call));
        run
    }};
}

fn get(path: &'static str, access: Access, run: Run, summary: &'static str) -> Operation {
    Operation::new("GET", path, access, run, summary)
}

fn post(path: &'static str, access: Access, run: Run, summary: &'static str) -> Operation {
    Operation::new("POST", path, access, run, summary)
}

fn patch(path: &'static str, access: Access, run: Run, summary: &'static str) -> Operation {
    Operation::new("PATCH", path, access, run, summary).takes_bytes().gives::<Length>(200)
}

fn delete(path: &'static str, access: Access, run: Run, summary: &'static str) -> Operation {
    Operation::new("DELETE", path, access, run, summary).gives_nothing()
}

/// Every route but the pages.
pub(crate) fn operations() -> Vec<Operation> {
    [the_server(), of_sources(), of_jobs(), of_the_farm(), of_build_clients(), of_watchers()]
        .concat()
}

#[rustfmt::skip]
fn the_server() -> Vec<Operation> {
    use Access as A;
    vec![
        get("/healthz", A::All, run!(farm::alive), "Whether the process is alive").gives_raw("text/plain"),
        get("/readyz", A::All, run!(farm::ready), "Whether storage, transport and blob store work").gives::<farm::Readiness>(200),
        get("/metrics", A::All, run!(farm::metrics), "Counters, as OpenMetrics").gives_raw("application/openmetrics-text"),
        get("/api/v1/openapi.json", A::All, run!(farm::description), "This description").gives_raw("application/json"),
    ]
}

#[rustfmt::skip]
fn of_sources() -> Vec<Operation> {
    use Access as A;
    vec![
        post("/api/v1/uploads", A::SUBMIT, run!(uploads::declare), "Declares source files").takes::<Manifest>().gives::<Upload>(201),
        get("/api/v1/uploads/{id}", A::SUBMIT, run!(uploads::state), "How far an upload's files have arrived").lists::<FileState>(),
        patch("/api/v1/uploads/{id}/files/{name}", A::SUBMIT, run!(uploads::append), "Appends to a file").query(&["offset!"]),
        get("/api/v1/uploads/{id}/files/{name}", A::FETCH, run!(files::of_upload), "A complete file").gives_raw("application/octet-stream"),
        post("/api/v1/submissions", A::SUBMIT, run!(submissions::submit), "Asks for builds").query(&["confirmed"]).takes::<NewSubmission>().gives::<SubmissionReply>(201),
        post("/api/v1/submissions/batch", A::SUBMIT, run!(batch::submit), "Asks for many builds").takes::<BatchRequest>().gives::<BatchReply>(200),
        post("/api/v1/submissions/plan", A::SUBMIT, run!(submissions::plan), "What a submission would become").takes::<NewSubmission>().lists::<PlannedView>(),
        post("/job/vcshook", A::HOOK, run!(vcshook::submit), "Asks for builds as the original's hooks do").takes_form().gives::<SubmissionReply>(200),
        post("/hooks/{name}", A::Signed, run!(webhook::receive), "A push, told by GitHub, GitLab, Gitea or Forgejo").takes_json().gives::<webhook::HookReply>(200),
        Operation::new("PUT", "/dput/{path...}", A::HOOK, run!(dput::put), "A file of an upload, as dput sends it; the signed .changes last").takes_bytes().gives::<dput::DputReply>(201),
        get("/api/v1/submissions/{id}", A::All, run!(submissions::show), "A submission and its jobs").gives::<SubmissionReply>(200),
    ]
}

#[rustfmt::skip]
fn of_jobs() -> Vec<Operation> {
    use Access as A;
    vec![
        get("/api/v1/jobs", A::All, run!(jobs::list), "Jobs, newest first").query(&["submission", "status", "package", "dist", "suite", "arch", "client", "before", "limit"]).lists::<Job>(),
        post("/api/v1/jobs/cancel", A::SUBMIT, run!(jobs::cancel_many), "Cancels a package's jobs, or all").takes::<CancelMany>().lists::<Job>(),
        get("/api/v1/jobs/{id}", A::All, run!(jobs::show), "A job in full").gives::<JobDetail>(200),
        post("/api/v1/jobs/{id}/cancel", A::SUBMIT, run!(jobs::cancel), "Cancels a job").takes::<CancelRequest>().gives::<Job>(200),
        post("/api/v1/jobs/{id}/retry", A::SUBMIT, run!(jobs::retry), "Tries an ended job again, as a new one").gives::<Job>(201),
        get("/api/v1/jobs/{id}/why", A::All, run!(jobs::why), "Why a job is where it is").gives::<Explanation>(200),
        get("/api/v1/jobs/{id}/log", A::All, run!(logs::read), "A log").query(&["attempt", "offset"]).gives_raw("text/plain"),
        get("/api/v1/jobs/{id}/log/stream", A::All, run!(logs::stream), "A log as it grows").query(&["attempt", "offset"]).gives_raw("text/event-stream"),
        get("/api/v1/jobs/{id}/files/{name}", A::All, run!(files::of_job), "A file of a result").gives_raw("application/octet-stream"),
        post("/api/v1/jobs/{id}/published", A::PUBLISH, run!(watcher::published), "The repository holds the result").takes::<PublishedRequest>().gives::<Job>(200),
        post("/api/v1/jobs/{id}/rejected", A::PUBLISH, run!(watcher::rejected), "The repository refuses the result").takes::<RejectedRequest>().gives::<Job>(200),
    ]
}

#[rustfmt::skip]
fn of_the_farm() -> Vec<Operation> {
    use Access as A;
    vec![
        get("/api/v1/packages", A::All, run!(packages::list), "Packages, by name").query(&["search", "after", "limit"]).lists::<PackageSummary>(),
        get("/api/v1/names", A::All, run!(farm::names), "How old the indices of the base distributions' names are").lists::<BaseStatus>(),
        get("/api/v1/packages/{name}/history", A::All, run!(packages::history), "Publications and removals of a package, oldest first").query(&["repository", "limit"]).lists::<HistoryEntry>(),
        post("/api/v1/repositories/{name}/orders", A::ADMIN, run!(orders::create), "Orders a removal, a list or a roll-over of the key from the watcher").takes::<NewPackageOrder>().gives::<PackageOrder>(201),
        get("/api/v1/repositories/{name}/orders/{id}", A::All, run!(orders::show), "An order, held until it has ended").query(&["wait_ms"]).gives::<PackageOrder>(200),
        get("/api/v1/clients", A::All, run!(clients::list), "Build clients, by name").lists::<BuildClient>(),
        post("/api/v1/clients/{name}/drain", A::ADMIN, run!(clients::drain), "Lets a client take no more jobs").gives_nothing(),
        post("/api/v1/clients/{name}/resume", A::ADMIN, run!(clients::resume), "Lets a client take jobs again").gives_nothing(),
        get("/api/v1/catalogue", A::All, run!(catalogue::show), "What the farm serves").gives::<Catalogue>(200),
        Operation::new("PUT", "/api/v1/catalogue", A::ADMIN, run!(catalogue::replace), "Makes this what the farm serves").query(&["dry_run"]).takes::<Catalogue>().gives::<CatalogueReply>(200),
        post("/api/v1/rules", A::ADMIN, run!(catalogue::add_rule), "Adds a block rule").takes::<catalogue::NewRule>().gives::<BlockRule>(201),
        delete("/api/v1/rules/{id}", A::ADMIN, run!(catalogue::remove_rule), "Removes a block rule"),
        get("/api/v1/tokens", A::ADMIN, run!(tokens::list), "Tokens, without their secrets").lists::<Token>(),
        post("/api/v1/tokens", A::ADMIN, run!(tokens::create), "Makes a token").takes::<NewTokenRequest>().gives::<NewTokenReply>(201),
        delete("/api/v1/tokens/{id}", A::ADMIN, run!(tokens::revoke), "Revokes a token"),
        get("/api/v1/accounts", A::ADMIN, run!(accounts::list), "Accounts, without their passwords").lists::<Account>(),
        post("/api/v1/accounts", A::ADMIN, run!(accounts::create), "Makes an account").takes::<NewAccountRequest>().gives::<Account>(201),
        delete("/api/v1/accounts/{name}", A::ADMIN, run!(accounts::remove), "Removes an account"),
        Operation::new("PUT", "/api/v1/accounts/{name}/password", A::ADMIN, run!(accounts::set_password), "Sets an account's password").takes::<NewPassword>().gives_nothing(),
        post("/api/v1/accounts/{name}/disable", A::ADMIN, run!(accounts::disable), "Lets an account's password open nothing").gives_nothing(),
        post("/api/v1/accounts/{name}/enable", A::ADMIN, run!(accounts::enable), "Lets an account's password open what it did").gives_nothing(),
    ]
}

#[rustfmt::skip]
fn of_build_clients() -> Vec<Operation> {
    use Access as A;
    vec![
        post("/api/v1/client/claim", A::CLIENT, run!(builder::claim), "Asks for a job").takes::<ClaimRequest>().gives::<ClaimReply>(200),
        post("/api/v1/client/heartbeat", A::CLIENT, run!(builder::heartbeat), "Reports all jobs in hand").takes::<HeartbeatRequest>().gives::<HeartbeatReply>(200),
        patch("/api/v1/client/jobs/{id}/log", A::CLIENT, run!(builder::append_log), "Appends to an attempt's log").query(&["attempt!", "offset!"]),
        post("/api/v1/client/jobs/{id}/files", A::CLIENT, run!(builder::declare), "Declares an attempt's files").takes::<Manifest>().lists::<FileState>(),
        patch("/api/v1/client/jobs/{id}/files/{name}", A::CLIENT, run!(builder::append_file), "Appends to a file").query(&["attempt!", "offset!"]),
        post("/api/v1/client/jobs/{id}/finish", A::CLIENT, run!(reports::finish), "It is built").takes::<FinishRequest>().gives::<Job>(200),
        post("/api/v1/client/jobs/{id}/fail", A::CLIENT, run!(reports::fail), "It did not build").takes::<FailRequest>().gives::<Job>(200),
        post("/api/v1/client/jobs/{id}/refuse", A::CLIENT, run!(reports::refuse), "Give it to another").takes::<RefuseRequest>().gives::<Job>(200),
        post("/api/v1/client/jobs/{id}/stopped", A::CLIENT, run!(reports::stopped), "It is stopped").takes::<StoppedRequest>().gives::<Job>(200),
    ]
}

#[rustfmt::skip]
fn of_watchers() -> Vec<Operation> {
    use Access as A;
    vec![
        get("/api/v1/repositories/{name}/uploaded", A::PUBLISH, run!(watcher::uploaded), "Results to publish").query(&["wait_ms", "after"]).lists::<UploadedSet>(),
        get("/api/v1/repositories/{name}/orders", A::PUBLISH, run!(orders::open), "Orders to carry out").query(&["wait_ms"]).lists::<PackageOrder>(),
        post("/api/v1/repositories/{name}/orders/{id}/started", A::PUBLISH, run!(orders::started), "What is about to be taken out").takes::<OrderPackages>().gives::<PackageOrder>(200),
        post("/api/v1/repositories/{name}/orders/{id}/done", A::PUBLISH, run!(orders::done), "What was taken out, or is listed, or which keys sign").takes::<OrderPackages>().gives::<PackageOrder>(200),
        post("/api/v1/repositories/{name}/orders/{id}/failed", A::PUBLISH, run!(orders::failed), "Why it cannot be carried out").takes::<OrderFailed>().gives::<PackageOrder>(200),
        Operation::new("PUT", "/api/v1/repositories/{name}/key", A::PUBLISH, run!(watcher::put_key), "Tells key and address of a repository").takes::<RepositoryKey>().gives_nothing(),
        get("/api/v1/repositories/{name}/packages", A::All, run!(names::packages), "The packages that a repository holds, as its watcher has told").gives::<RepositoryPackages>(200),
        Operation::new("PUT", "/api/v1/repositories/{name}/packages", A::PUBLISH, run!(names::put_packages), "Tells the packages that a repository holds").takes::<RepositoryPackages>().gives_nothing(),
        post("/api/v1/repositories/{name}/names", A::PUBLISH, run!(names::facts), "The owners of names in the base distribution, and the allowed moves").takes::<NamesRequest>().gives::<NameFacts>(200),
        get("/repositories/{name}/{path...}", A::All, run!(repositories::file), "A published repository's file").gives_raw("application/octet-stream"),
    ]
}

/// The whole server: the table above, and the pages.
pub(crate) fn app(state: &AppState) -> Front<impl poem::Endpoint + 'static> {
    let mut paths: BTreeMap<String, RouteMethod> = BTreeMap::new();
    for operation in operations() {
        let route = paths.remove(&operation.pattern()).unwrap_or_default();
        let route = route.method(operation.http_method(), operation.endpoint(state));
        paths.insert(operation.pattern(), route);
    }
    let mut app = Route::new()
        .at("/", poem::get(pages::dashboard::show))
        .at("/jobs", poem::get(pages::jobs::show))
        .at("/jobs/:id", poem::get(pages::job::show))
        .at("/packages", poem::get(pages::packages::show))
        .at("/clients", poem::get(pages::clients::show))
        .at("/static/:name", poem::get(statics::file));
    for (path, route) in paths {
        app = app.at(path, route);
    }
    Front { state: state.clone(), inner: app.data(state.clone()) }
}
