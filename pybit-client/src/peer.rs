//! A server for tests that keeps the API's contract and breaks it on demand: it loses answers after it has acted on them,
//! is away, and expects other offsets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use poem::endpoint::make;
use poem::http::{Method, StatusCode};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{Body, Request, Response, Server};
use pybit_core::model::FileSpec;
use pybit_core::protocol::{
    Assignment, CONTENT_DIGEST, ClaimReply, ClaimRequest, DAMAGED, FileState, HeartbeatReply,
    HeartbeatRequest, LeaseTimes, Length, Manifest, Verdict, content_digest,
};
use pybit_core::storage::Claim;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::secret::Secret;

/// What goes wrong with one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 503 before anything happens.
    Away,
    /// It is accepted, and the answer is lost.
    LostAnswer,
    /// The request arrives damaged, and is refused for it.
    DamagedRequest,
    /// It is accepted, and the answer that arrives is not the one that was sent.
    DamagedAnswer,
    /// Half of what was durable is gone; the append is refused with the offset that is expected now.
    Forgot,
    /// Nothing.
    None,
}

/// The token that the peer wants.
pub(crate) const TOKEN: &str = "pbt_peer";
const LEASE: LeaseTimes = LeaseTimes { ttl_ms: 5_000, heartbeat_ms: 50 };

/// Everything that the peer holds.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) away: bool,
    pub(crate) draining: bool,
    /// How often heartbeats are wanted, where not as often as usual.
    pub(crate) heartbeat_ms: Option<u64>,
    pub(crate) jobs: VecDeque<Assignment>,
    pub(crate) claims: BTreeMap<String, Assignment>,
    /// The next so many claims are answered, and the answers are lost.
    pub(crate) lost_claims: u32,
    /// Jobs that went elsewhere after they were claimed.
    pub(crate) elsewhere: BTreeSet<i64>,
    /// A claim that may be held is given nothing: only one that wants its answer at once is.
    pub(crate) holds_back: bool,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) verdicts: BTreeMap<i64, Verdict>,
    /// Heartbeats so far.
    pub(crate) beats: u32,
    /// What the last heartbeat listed.
    pub(crate) held: Vec<(i64, u32)>,
    pub(crate) logs: BTreeMap<String, Vec<u8>>,
    pub(crate) files: BTreeMap<String, (FileSpec, Vec<u8>)>,
    /// Bytes that were accepted, repeats left out.
    pub(crate) grown: u64,
    /// `(job, kind, report)`.
    pub(crate) reports: Vec<(i64, String, Value)>,
    /// The code and status that every report, or heartbeat, is refused with, by kind.
    pub(crate) refusals: BTreeMap<String, (u16, &'static str)>,
    /// What `GET` answers: the answers for a path one after the other, the last one for ever.
    pub(crate) pages: BTreeMap<String, VecDeque<Vec<u8>>>,
    /// Query strings of the pages that were asked for.
    pub(crate) asked: Vec<String>,
}

/// The peer; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Peer {
    pub(crate) async fn start() -> Self {
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let url = format!("http://{}", acceptor.local_addr()[0].as_socket_addr().unwrap());
        let shared = Arc::new(Shared { state: Mutex::default(), changed: watch::Sender::new(()) });
        let served = Arc::clone(&shared);
        let endpoint = make(move |request| {
            let shared = Arc::clone(&served);
            async move { shared.answer(request).await }
        });
        let serving = Server::new_with_acceptor(acceptor).run(endpoint);
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { url, shared, task }
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(&self.url, Some(&Secret::new(TOKEN))).unwrap()
    }

    /// Looks at or changes what the peer holds.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        self.shared.with(f)
    }

    /// How many claims were answered with a job, for somebody who cannot hold the peer.
    pub(crate) fn claimed(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.with_quietly(|s| s.claims.len())
    }

    /// Waits until the condition holds, at most 20 seconds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&State) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            while !self.shared.with_quietly(|s| holds(s)) {
                changed.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "in vain for {what}: {:?}", self.with(|s| format!("{s:?}")));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let result = f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
        result
    }

    async fn answer(&self, mut request: Request) -> Response {
        let authorized = request.header("authorization") == Some(&format!("Bearer {TOKEN}"));
        let body = request.take_body().into_vec().await.unwrap_or_default();
        let uri = request.uri().clone();
        let path: Vec<_> = uri.path().trim_start_matches("/api/v1/").split('/').collect();
        let query: BTreeMap<_, _> =
            url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes())
                .into_owned()
                .collect();
        if !authorized {
            return refuse(401, "unauthenticated", None);
        }
        if self.with(|s| s.away) {
            return refuse(503, "unavailable", None);
        }
        match (request.method(), &path[..]) {
            (&Method::POST, ["client", "claim"]) => self.claim(&body).await,
            (&Method::POST, ["client", "heartbeat"]) => self.with(|s| s.heartbeat(&body)),
            (&Method::PATCH, ["client", "jobs", job, "log"]) => {
                let key = format!("{job}-{}", query["attempt"]);
                self.with(|s| s.patch_log(key, offset(&query), &body))
            }
            (&Method::POST, ["client", "jobs", job, "files"]) => {
                self.with(|s| s.declare(job, &body))
            }
            (&Method::PATCH, ["client", "jobs", job, "files", name]) => {
                let key = format!("{job}-{}/{name}", query["attempt"]);
                self.with(|s| s.patch_file(&key, offset(&query), &body))
            }
            (&Method::POST, ["client", "jobs", job, kind]) => {
                self.with(|s| s.report(job, kind, &body))
            }
            (&Method::GET, _) => self.with(|s| s.page(uri.path(), uri.query().unwrap_or(""))),
            _ => refuse(404, "not_found", None),
        }
    }

    async fn claim(&self, body: &[u8]) -> Response {
        let request: ClaimRequest = serde_json::from_slice(body).unwrap();
        let mut changed = self.changed.subscribe();
        let deadline = tokio::time::sleep(Duration::from_millis(request.wait_ms.into()));
        tokio::pin!(deadline);
        loop {
            let (assignment, lost) = self.with_quietly(|s| {
                if s.holds_back && request.wait_ms > 0 {
                    (None, false)
                } else {
                    s.claim(&request.claim_id)
                }
            });
            let job = assignment.as_ref().map(|a| a.job.id.0);
            if !lost && job.is_some_and(|job| self.with_quietly(|s| s.elsewhere.contains(&job))) {
                return refuse(409, Claim::OVER, None);
            }
            if lost {
                return lost_answer();
            }
            if assignment.is_some() {
                self.changed.send_replace(());
                return answer(&ClaimReply { assignment, lease: self.lease() });
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = &mut deadline => return answer(&ClaimReply { assignment: None, lease: self.lease() }),
            }
        }
    }

    fn lease(&self) -> LeaseTimes {
        self.with_quietly(|s| s.lease())
    }

    fn with_quietly<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn lease(&self) -> LeaseTimes {
        let heartbeat_ms = self.heartbeat_ms.unwrap_or(LEASE.heartbeat_ms);
        LeaseTimes { heartbeat_ms, ..LEASE }
    }

    fn claim(&mut self, claim_id: &str) -> (Option<Assignment>, bool) {
        if !self.claims.contains_key(claim_id)
            && let Some(job) = self.jobs.pop_front()
        {
            self.claims.insert(claim_id.to_owned(), job);
        }
        let found = self.claims.get(claim_id).cloned();
        let lost = found.is_some() && self.lost_claims > 0;
        self.lost_claims -= u32::from(lost);
        (found, lost)
    }

    fn heartbeat(&mut self, body: &[u8]) -> Response {
        let request: HeartbeatRequest = serde_json::from_slice(body).unwrap();
        if let Some((status, code)) = self.refusals.get("heartbeat") {
            return refuse(*status, code, None);
        }
        self.beats += 1;
        self.held = request.jobs.iter().map(|h| (h.job.0, h.attempt)).collect();
        let verdict = |job: i64| self.verdicts.get(&job).copied().unwrap_or(Verdict::Continue);
        let verdicts = request.jobs.iter().map(|h| verdict(h.job.0)).collect();
        answer(&HeartbeatReply { verdicts, draining: self.draining, lease: self.lease() })
    }

    fn patch_log(&mut self, key: String, offset: usize, body: &[u8]) -> Response {
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        let grown = append(self.logs.entry(key).or_default(), fault, offset, body);
        self.settle(fault, grown)
    }

    fn patch_file(&mut self, key: &str, offset: usize, body: &[u8]) -> Response {
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        let Some((spec, bytes)) = self.files.get_mut(key) else {
            return refuse(404, "not_found", None);
        };
        let grown = append(bytes, fault, offset, body);
        if bytes.len() as u64 == spec.size && hex::encode(Sha256::digest(&*bytes)) != spec.sha256 {
            bytes.clear();
            return refuse(422, "digest_mismatch", None);
        }
        self.settle(fault, grown)
    }

    fn settle(&mut self, fault: Fault, appended: Result<(u64, u64), Box<Response>>) -> Response {
        match appended {
            Err(response) => *response,
            Ok((length, new)) => {
                self.grown += new;
                match fault {
                    Fault::LostAnswer => lost_answer(),
                    Fault::DamagedAnswer => damaged_answer(&Length { length: length ^ 1 }),
                    _ => answer(&Length { length }),
                }
            }
        }
    }

    fn declare(&mut self, job: &str, body: &[u8]) -> Response {
        let manifest: Manifest = serde_json::from_slice(body).unwrap();
        let state = |spec: FileSpec| {
            let key = format!("{job}-{}/{}", manifest.attempt, spec.name);
            let (spec, bytes) = self.files.entry(key).or_insert_with(|| (spec, vec![]));
            let length = bytes.len() as u64;
            FileState { spec: spec.clone(), length, complete: length == spec.size }
        };
        answer(&manifest.files.clone().into_iter().map(state).collect::<Vec<_>>())
    }

    fn report(&mut self, job: &str, kind: &str, body: &[u8]) -> Response {
        if let Some((status, code)) = self.refusals.get(kind) {
            return refuse(*status, code, None);
        }
        let id = job.parse().unwrap();
        self.reports.push((id, kind.to_owned(), serde_json::from_slice(body).unwrap()));
        answer(&crate::samples::assignment(id, 1).job)
    }

    fn page(&mut self, path: &str, query: &str) -> Response {
        self.asked.push(query.to_owned());
        let Some(answers) = self.pages.get_mut(path) else {
            return refuse(404, "not_found", None);
        };
        let bytes = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Response::builder().body(bytes.unwrap_or_default())
    }
}

/// Appends as the contract says; the length, and how many bytes were new.
fn append(
    to: &mut Vec<u8>,
    fault: Fault,
    offset: usize,
    body: &[u8],
) -> Result<(u64, u64), Box<Response>> {
    match fault {
        Fault::Away => return Err(Box::new(refuse(503, "unavailable", None))),
        Fault::Forgot => {
            to.truncate(to.len() / 2);
            return Err(Box::new(refuse(409, "offset_mismatch", Some(to.len()))));
        }
        Fault::DamagedRequest => return Err(Box::new(refuse(400, DAMAGED, None))),
        Fault::LostAnswer | Fault::DamagedAnswer | Fault::None => {}
    }
    if offset > to.len() {
        return Err(Box::new(refuse(409, "offset_mismatch", Some(to.len()))));
    }
    let old = body.len().min(to.len() - offset);
    if to[offset..offset + old] != body[..old] {
        return Err(Box::new(refuse(409, "diverged", None)));
    }
    to.extend_from_slice(&body[old..]);
    Ok((to.len() as u64, (body.len() - old) as u64))
}

fn offset(query: &BTreeMap<String, String>) -> usize {
    query["offset"].parse().unwrap()
}

fn answer(body: &impl Serialize) -> Response {
    Response::builder().body(serde_json::to_vec(body).unwrap())
}

fn refuse(status: u16, code: &str, expected: Option<usize>) -> Response {
    let body = json!({"error": {"code": code, "message": format!("refused: {code}"), "expected": expected}});
    Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body.to_string())
}

/// An answer with the digest of another.
fn damaged_answer(body: &impl Serialize) -> Response {
    let mut answer = answer(body);
    let digest = content_digest(b"another").parse().unwrap();
    answer.headers_mut().insert(CONTENT_DIGEST, digest);
    answer
}

/// A 200 whose body breaks off: whoever asked does not learn what became of it.
fn lost_answer() -> Response {
    let broken = futures_util::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("cut"))]);
    Response::builder().body(Body::from_bytes_stream(broken))
}
