//! Reading changes nothing: letter i.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pybit::client::{Api, Destination, Retry, Secret};
use pybit::core::model::{Failure, FailureClass, FileSpec, JobId, OrderKind};
use pybit::core::protocol::{
    Assignment, ClaimRequest, FailRequest, LogDigest, Manifest, NewPackageOrder,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::embedded::{report, request};
use crate::support::http::ask;
use crate::support::{DEADLINE, Farm, wait_for};

/// A route as the server itself describes it.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) needs_token: bool,
}

/// Every route of the API's own description.
pub(crate) fn routes(farm: &Farm) -> Vec<Route> {
    let (_, description) = farm.get("/api/v1/openapi.json");
    let description: Value = serde_json::from_str(&description).unwrap();
    let mut routes = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let needs_token = operation["security"].is_array();
            let (method, path) = (method.to_uppercase(), path.clone());
            routes.push(Route { method, path, needs_token });
        }
    }
    routes
}

/// A farm with a job in many a state, an upload, a rule and tokens; nothing in it moves by itself.
struct Still {
    farm: Farm,
    failed: JobId,
    upload: String,
}

const FILE: (&str, &[u8]) = ("notes.txt", b"notes");

impl Still {
    async fn make(farm: Farm) -> Self {
        farm.token("one", &["--role", "client", "--client", "one"]);
        let secret = std::fs::read_to_string(farm.path().join("one.token")).unwrap();
        let api = |secret: &str| Api::new(&farm.url(), Some(&Secret::new(secret))).unwrap();
        let (admin, client) = (api(&farm.admin_token()), api(&secret));
        let building = claimed(&admin, &client, "building").await;
        let cancelling = claimed(&admin, &client, "cancelling").await;
        admin.cancel(cancelling.job.id, None).await.unwrap();
        let failed = claimed(&admin, &client, "failed").await.job.id;
        fail(&client, failed, farm.path()).await;
        let cancelled = admin.submit(&request("apt:cancelled"), None).await.unwrap();
        admin.cancel(cancelled.jobs[0].id, None).await.unwrap();
        admin.submit(&request("apt:waiting"), None).await.unwrap();
        let file = on_disk(farm.path());
        let manifest = Manifest { attempt: 0, files: vec![file.0.clone()] };
        let upload = admin.declare_upload(&manifest).await.unwrap();
        let to = Destination::Upload(upload.id);
        admin.send_files(to, &[file], &Retry::patient()).await.unwrap();
        let order = NewPackageOrder {
            kind: OrderKind::List,
            package: None,
            version: None,
            reason: None,
            dry_run: false,
        };
        admin.order_packages(&"bookworm".parse().unwrap(), &order, None).await.unwrap();
        let repository = farm.path().join("data/repositories/bookworm/current");
        std::fs::create_dir_all(&repository).unwrap();
        std::fs::write(repository.join(FILE.0), FILE.1).unwrap();
        assert_eq!(building.job.attempt, 1);
        Self { failed, upload: upload.id.to_string(), farm }
    }

    /// The route's address with numbers and names of things that are there.
    fn address(&self, path: &str) -> String {
        let id = match path {
            p if p.contains("/jobs/") => self.failed.to_string(),
            p if p.contains("/uploads/") => self.upload.clone(),
            _ => "1".to_owned(),
        };
        let name = match path {
            p if p.contains("/files/") => FILE.0,
            p if p.contains("/repositories/") => "bookworm",
            _ => "one",
        };
        path.replace("{id}", &id).replace("{name}", name).replace("{path}", FILE.0)
    }

    /// All that the farm would tell, and the bytes of its database: a write of anything changes them.
    fn state(&self) -> (Value, Vec<Vec<u8>>) {
        let list = |words: &[&str]| self.farm.json(&[words, &["--json"]].concat());
        let jobs = list(&["jobs"]);
        let ids = jobs.as_array().unwrap().iter().map(|j| j["id"].as_i64().unwrap());
        let details: Vec<_> = ids.map(|id| self.farm.job(id)).collect();
        let told = json!({
            "jobs": jobs, "details": details, "clients": list(&["clients"]), "tokens": list(&["token", "list"]),
            "catalogue": self.farm.get("/api/v1/catalogue").1,
        });
        let database = ["farm.db", "farm.db-wal"].map(|f| self.farm.path().join("data").join(f));
        (told, database.map(|f| std::fs::read(f).unwrap_or_default()).to_vec())
    }
}

/// A source job that the client `one` holds.
async fn claimed(admin: &Api, client: &Api, package: &str) -> Assignment {
    admin.submit(&request(&format!("apt:{package}")), None).await.unwrap();
    let claim_id = format!("claim-{package}");
    let claim = ClaimRequest { client: report("one"), claim_id, wait_ms: 0 };
    client.claim(&claim).await.unwrap().assignment.expect("the job is free")
}

fn on_disk(dir: &Path) -> (FileSpec, std::path::PathBuf) {
    let path = dir.join(FILE.0);
    std::fs::write(&path, FILE.1).unwrap();
    let sha256 = hex::encode(Sha256::digest(FILE.1));
    (FileSpec { name: FILE.0.parse().unwrap(), size: FILE.1.len() as u64, sha256 }, path)
}

/// Ends a job, with a log and a file.
async fn fail(client: &Api, job: JobId, dir: &Path) {
    const LOG: &[u8] = b"it does not build\n";
    client.append_log(job, 1, 0, LOG.into()).await.unwrap();
    let to = Destination::Attempt { job, attempt: 1 };
    client.send_files(to, &[on_disk(dir)], &Retry::patient()).await.unwrap();
    let log = LogDigest { length: LOG.len() as u64, sha256: hex::encode(Sha256::digest(LOG)) };
    let failure = Failure { class: FailureClass::Build, message: "no".to_owned() };
    let report = FailRequest { attempt: 1, log, failure, unmet: Vec::new() };
    client.fail(job, &report).await.unwrap();
}

/// Local addresses that a page leads to.
fn links(page: &str) -> BTreeSet<String> {
    let quoted = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let local = quoted.filter(|l| l.starts_with('/')).map(|l| l.replace("&amp;", "&"));
    local.map(|l| l.split('#').next().unwrap_or_default().to_owned()).collect()
}

/// The original cancelled, retried and deleted jobs for whoever followed a link: `GET job/7/cancel`. Ours changes nothing
/// for any GET or HEAD: those of every route that it describes, asked as the administrator about things that are there,
/// those of every route that takes another method, and those of every page and link.
#[tokio::test(flavor = "multi_thread")]
async fn i_no_get_changes_anything() {
    let farm = Farm::with_lease(Duration::from_hours(1), "");
    let _web = farm.web();
    let still = Still::make(farm).await;
    let farm = &still.farm;
    wait_for("the log to be archived", DEADLINE, || {
        (farm.path().join("data/blobs/logs").is_dir()
            && !farm.path().join("data/blobs/parts").exists())
        .then_some(())
    });
    let before = still.state();
    let bearer = format!("Authorization: Bearer {}", farm.admin_token());
    let (mut read, mut refused) = (0, 0);
    let all = routes(farm);
    let readable: BTreeSet<_> = all.iter().filter(|r| r.method == "GET").map(|r| &r.path).collect();
    for route in &all {
        let address = still.address(&route.path);
        for method in ["GET", "HEAD"] {
            let answer = ask(&farm.address(), method, &address, &[&bearer], b"");
            if readable.contains(&route.path) {
                read += 1;
                let fine = answer.status == 200 || method == "HEAD";
                assert!(fine, "{method} {address} reads nothing: {answer:?}");
            } else {
                refused += 1;
                let wrong = [404, 405].contains(&answer.status);
                assert!(wrong, "{method} {address} is answered: {answer:?}");
            }
        }
    }
    let mut pages: BTreeSet<_> = ["/", "/jobs", "/packages", "/clients"].map(str::to_owned).into();
    let mut done = BTreeSet::new();
    while let Some(page) = pages.pop_first() {
        let answer = ask(&farm.address(), "GET", &page, &[&bearer], b"");
        assert_eq!(answer.status, 200, "{page}");
        ask(&farm.address(), "HEAD", &page, &[&bearer], b"");
        done.insert(page);
        pages.extend(links(&answer.body).difference(&done).cloned());
    }
    assert!(read > 30 && refused > 30 && done.len() > 8, "{read} {refused} {done:?}");
    let after = still.state();
    assert_eq!(after.0, before.0);
    assert!(after.1 == before.1, "the database was written");
    // The comparison sees the smallest change.
    farm.json(&["cancel", "--package", "waiting", "--yes", "--json"]);
    let changed = still.state();
    assert!(changed.0 != before.0 && changed.1 != before.1);
}
