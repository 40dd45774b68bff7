//! A real server on a port of its own, over storage and transport in memory and blobs in a directory of its own.

#![expect(unreachable_pub, reason = "shared by test programs, not by crates")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pybit_backends::deb::DebFormat;
use pybit_backends::sql::SqliteFactory;
use pybit_client::{Api, Secret};
use pybit_core::clock::SystemClock;
use pybit_core::format::PackageFormat;
use pybit_core::memory::{MemoryStorage, MemoryTransport};
use pybit_core::model::{
    FileSpec, Grant, Job, JobId, NewSubmission, Role, Source, StreamOwner, Suite, Target,
};
use pybit_core::protocol::{Assignment, ClaimRequest, LogDigest};
use pybit_core::settings::{Factory, Settings};
use pybit_core::storage::{ClientReport, NewToken, Storage};
use pybit_core::{Farm, Policy};
use pybit_web::{Blobs, SuiteConfig, WebConfig, WebParts, seed, serve};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The longest that anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub struct Server {
    pub farm: Farm,
    pub address: SocketAddr,
    pub url: String,
    /// Tokens of the roles; the build client's is that of `one`.
    pub admin: String,
    pub submit: String,
    pub client: String,
    pub publish: String,
    pub blobs: PathBuf,
    pub repositories: PathBuf,
    http: reqwest::Client,
    stop: CancellationToken,
    task: Option<JoinHandle<pybit_core::Result<()>>>,
    _dir: tempfile::TempDir,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The error's code; empty where there is none.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Server {
    /// With suites `bookworm` (no repository) and `trixie` (repository `trixie`), both amd64 and arm64.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join("blobs");
        Self::start_with(dir, blobs, Policy::default()).await
    }

    pub async fn start_with(dir: tempfile::TempDir, blobs: PathBuf, policy: Policy) -> Self {
        Self::start_as(dir, blobs, policy, WebConfig::default()).await
    }

    /// On SQLite, as `pybit up` runs it.
    pub async fn start_on_sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("farm.db").display());
        let storage = SqliteFactory.open(&Settings::url(url)).await.unwrap();
        let blobs = dir.path().join("blobs");
        Self::on_storage(storage, dir, blobs, Policy::default(), WebConfig::default()).await
    }

    /// With another `[web]` table; address and repositories are the test's own.
    pub async fn start_as(
        dir: tempfile::TempDir,
        blobs: PathBuf,
        policy: Policy,
        config: WebConfig,
    ) -> Self {
        Self::on_storage(Arc::new(MemoryStorage::default()), dir, blobs, policy, config).await
    }

    async fn on_storage(
        storage: Arc<dyn Storage>,
        dir: tempfile::TempDir,
        blobs: PathBuf,
        policy: Policy,
        config: WebConfig,
    ) -> Self {
        let formats: [Arc<dyn PackageFormat>; 1] = [Arc::new(DebFormat::new())];
        let transport = Arc::new(MemoryTransport::default());
        let farm = Farm::with_policy(storage, transport, formats, Arc::new(SystemClock), policy);
        seed(farm.storage().as_ref(), &suites(), farm.clock().now()).await.unwrap();
        let parts = WebParts { farm, blobs: Blobs::folder(&blobs).unwrap(), uploads: None };
        Self::on(dir, blobs, parts, config).await
    }

    async fn on(
        dir: tempfile::TempDir,
        blobs: PathBuf,
        parts: WebParts,
        config: WebConfig,
    ) -> Self {
        let farm = parts.farm.clone();
        let repositories = dir.path().join("repositories");
        let config = WebConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            repositories: Some(repositories.clone()),
            stop_ms: 2_000,
            ..config
        };
        let (ready, address) = oneshot::channel();
        let stop = CancellationToken::new();
        let task = Some(tokio::spawn(serve(config, parts, ready, stop.clone())));
        let address = address.await.unwrap();
        let _ = rustls_provider();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut tokens = Vec::new();
        for role in [Role::Admin, Role::Submit, Role::Client, Role::Publish] {
            let client = (role == Role::Client).then(|| "one".parse().unwrap());
            tokens.push(new_token(&farm, role.as_str(), Grant { client, ..Grant::of(role) }).await);
        }
        let [admin, submit, client, publish] = tokens.try_into().unwrap();
        let url = format!("http://{address}");
        Self {
            farm,
            address,
            url,
            admin,
            submit,
            client,
            publish,
            blobs,
            repositories,
            http,
            stop,
            task,
            _dir: dir,
        }
    }

    /// A build client's token of another name.
    pub async fn other_client(&self, name: &str) -> String {
        let grant = Grant { client: Some(name.parse().unwrap()), ..Grant::of(Role::Client) };
        new_token(&self.farm, name, grant).await
    }

    /// The typed client with a token.
    pub fn api(&self, token: &str) -> Api {
        Api::new(&self.url, Some(&Secret::new(token))).unwrap()
    }

    /// A request as it is.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = tokio::time::timeout(DEADLINE, request.send()).await.unwrap().unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.bytes().await.unwrap();
        assert!(headers.contains_key("x-request-id"), "{status} without X-Request-Id");
        Answer { status: status.as_u16(), headers, bytes }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path).bearer_auth(token).json(body)).await
    }

    pub async fn patch(&self, path: &str, token: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.request("PATCH", path).bearer_auth(token).body(body)).await
    }

    /// Stops the server and waits for its end.
    pub async fn stop(mut self) -> pybit_core::Result<()> {
        self.stop.cancel();
        let task = self.task.take().unwrap();
        tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap()
    }

    /// A submission of an apt source, whose source job waits.
    pub async fn source_job(&self, package: &str) -> Job {
        let request = apt(package, "bookworm");
        let reply = self.api(&self.submit).submit(&request, None).await.unwrap();
        reply.jobs.into_iter().next().unwrap()
    }

    /// Another server on the same farm and the same blobs.
    pub async fn beside(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let parts = WebParts {
            farm: self.farm.clone(),
            blobs: Blobs::folder(&self.blobs).unwrap(),
            uploads: None,
        };
        Self::on(dir, self.blobs.clone(), parts, WebConfig::default()).await
    }

    /// A source job that the build client `one` holds.
    pub async fn held_job(&self, package: &str) -> Assignment {
        self.source_job(package).await;
        let reply = self.api(&self.client).claim(&claim("one", package)).await.unwrap();
        reply.assignment.expect("the job is free")
    }

    /// Waits until the log of an attempt is archived.
    pub async fn archived(&self, job: JobId, attempt: u32) {
        let start = tokio::time::Instant::now();
        loop {
            let owner = StreamOwner::Attempt { job, attempt };
            let streams = self.farm.storage().streams(owner).await.unwrap();
            if streams.iter().any(|s| s.size.is_none() && s.object.is_some()) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "the log of job {job} was never archived");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn rustls_provider() -> Result<(), String> {
    // The typed client installs the provider that reqwest needs.
    Api::new("http://127.0.0.1:1", None).map(|_| ()).map_err(|e| e.to_string())
}

fn suites() -> Vec<SuiteConfig> {
    let suite = |name: &str, repository: Option<&str>| {
        json!({
            "dist": "Debian", "name": name, "format": "deb", "arches": ["amd64", "arm64"],
            "envs": [{"name": "host", "weight": 1}], "repository": repository,
        })
    };
    let suites = [suite("bookworm", None), suite("trixie", Some("trixie"))];
    suites.into_iter().map(|s| serde_json::from_value(s).unwrap()).collect()
}

async fn new_token(farm: &Farm, name: &str, grant: Grant) -> String {
    let secret =
        format!("pbt_{}", sha256(format!("{name}{:?}", std::time::Instant::now()).as_bytes()));
    let new = NewToken {
        name: name.to_owned(),
        sha256: sha256(secret.as_bytes()),
        grant,
        expires_at: None,
    };
    farm.storage().add_token(&new, farm.clock().now()).await.unwrap();
    secret
}

/// The SHA-256 as declarations write it.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A declaration of these bytes.
pub fn spec(name: &str, bytes: &[u8]) -> FileSpec {
    FileSpec { name: name.parse().unwrap(), size: bytes.len() as u64, sha256: sha256(bytes) }
}

/// The digest of a whole log.
pub fn digest(log: &[u8]) -> LogDigest {
    LogDigest { length: log.len() as u64, sha256: sha256(log) }
}

/// A submission of the distribution's own source.
pub fn apt(package: &str, suite: &str) -> NewSubmission {
    NewSubmission {
        source: Source::Apt { package: package.parse().unwrap(), version: None },
        suite: suite.parse::<Suite>().unwrap(),
        dist: None,
        format: None,
        arches: Vec::new(),
        env: None,
        priority: 0,
        force: false,
    }
}

/// What a build client says of itself: it builds everything.
pub fn report(name: &str) -> ClientReport {
    let offers = ["bookworm", "trixie"].into_iter().flat_map(|suite| {
        ["source", "amd64", "arm64"].map(|arch| Target {
            dist: "Debian".parse().unwrap(),
            suite: suite.parse().unwrap(),
            arch: arch.parse().unwrap(),
            format: "deb".parse().unwrap(),
            env: "host".parse().unwrap(),
        })
    });
    ClientReport {
        name: name.parse().unwrap(),
        boot: "boot-1".to_owned(),
        version: "0.1.0".to_owned(),
        slots: 4,
        offers: offers.collect(),
        weights: Vec::new(),
    }
}

/// A claim that is not held.
pub fn claim(name: &str, id: &str) -> ClaimRequest {
    ClaimRequest { client: report(name), claim_id: format!("claim-{id}"), wait_ms: 0 }
}

/// A source package of one file besides its description: names and contents.
pub fn source_package(package: &str, version: &str) -> [(String, Vec<u8>); 2] {
    let tarball =
        (format!("{package}_{version}.tar.xz"), format!("the source of {package}").into_bytes());
    let (name, size) = (&tarball.0, tarball.1.len());
    let dsc = format!(
        "Format: 3.0 (native)\nSource: {package}\nBinary: {package}\nArchitecture: any\nVersion: {version}\n\
         Maintainer: T <t@example.org>\nChecksums-Sha256:\n {} {size} {name}\nFiles:\n {:032x} {size} {name}\n",
        sha256(&tarball.1),
        0
    );
    [(format!("{package}_{version}.dsc"), dsc.into_bytes()), tarball]
}

/// Writes bytes as files, for the typed client to send.
pub fn on_disk(dir: &Path, files: &[(String, Vec<u8>)]) -> Vec<(FileSpec, PathBuf)> {
    let write = |(name, bytes): &(String, Vec<u8>)| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        (spec(name, bytes), path)
    };
    files.iter().map(write).collect()
}
