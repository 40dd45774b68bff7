//! Slots: each asks for a job, builds it, and asks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pybit_core::ErrorKind;
use pybit_core::model::JobId;
use pybit_core::protocol::{Assignment, ClaimReply, ClaimRequest, Held, RefuseRequest};
use pybit_core::storage::{Claim, ClientReport};
use pybit_core::trial;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::api::ApiResult;
use crate::backoff::Backoff;
use crate::client::Client;
use crate::journal::Entry;
use crate::machine::Event;
use crate::task::Task;

/// The server holds an empty answer this long.
const HELD_MS: u32 = 25_000;
/// A server that answers an empty claim sooner than this does not hold it: the slot waits by itself.
const AT_ONCE: Duration = Duration::from_secs(1);

/// "Ask for a job now"; dropped when the server has answered.
type Wake = oneshot::Sender<()>;

/// Carries hints to whichever slot is idle.
#[derive(Debug)]
pub(crate) struct Wakes {
    sender: mpsc::Sender<Wake>,
    receiver: Mutex<mpsc::Receiver<Wake>>,
}

impl Default for Wakes {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

impl Wakes {
    /// Wakes an idle slot and returns when its claim was answered.
    pub(crate) async fn wake(&self) {
        let (wake, answered) = oneshot::channel();
        if self.sender.send(wake).await.is_ok() {
            // Nothing is sent: the sender is dropped when the answer is there.
            let _ = answered.await;
        }
    }

    async fn next(&self) -> Wake {
        match self.receiver.lock().await.recv().await {
            Some(wake) => wake,
            None => std::future::pending().await,
        }
    }
}

/// One slot, until the client closes or something of a build cannot be removed.
pub(crate) async fn slot(client: Arc<Client>) {
    while let Some((assignment, claim_id)) = next_assignment(&client).await {
        if !build(&client, assignment, claim_id).await {
            tracing::error!("a slot is not used again");
            return;
        }
    }
}

/// Builds one job; whether the slot can be used again.
async fn build(client: &Client, assignment: Assignment, claim_id: String) -> bool {
    let (job, attempt) = (assignment.job.id, assignment.job.attempt);
    tracing::info!(%job, attempt, package = %assignment.job.package, target = %assignment.job.target, "claimed");
    trial::crash_point("client_claimed_before_journal");
    if client.shop.hands.has(job, attempt) {
        give_back_a_number_given_twice(client, job, attempt).await;
        return true;
    }
    let entry = Entry::new(assignment, claim_id, client.report.boot.clone());
    let opened = match client.journal.begin(&entry) {
        Ok(dir) => Task::open(&client.shop, dir, entry).await,
        Err(e) => Err(e),
    };
    trial::crash_point("client_journal_before_start");
    match opened {
        Ok(task) => {
            if client.leaving.is_cancelled() {
                client.shop.hands.tell(&Held { job, attempt }, Event::Shutdown);
            }
            task.build().await
        }
        Err(e) => {
            tracing::error!(%job, "this machine cannot take a job: {e}");
            // What was begun of it would be taken for a job in hand by the next start.
            if let Err(e) = client.journal.place(job, attempt).remove() {
                tracing::error!(%job, "a job that was not begun is left: {e}");
            }
            let report = RefuseRequest { attempt, reason: e.to_string() };
            if let Err(e) = client.shop.api.refuse(job, &report).await {
                tracing::warn!(%job, "the job cannot be given back: {e}");
            }
            Backoff::new(Duration::from_secs(20), Duration::from_secs(20)).wait().await;
            true
        }
    }
}

/// A database that was restored from an older copy gives a number again. What is in hand under it is of other times, and
/// must not speak for the new attempt.
async fn give_back_a_number_given_twice(client: &Client, job: JobId, attempt: u32) {
    let reason = format!(
        "attempt {attempt} of job {job} is in hand already: was the farm's database restored?"
    );
    tracing::error!(%job, attempt, "{reason}");
    if let Err(e) = client.shop.api.refuse(job, &RefuseRequest { attempt, reason }).await {
        tracing::warn!(%job, "the job cannot be given back: {e}");
    }
}

/// The next job, and the claim that brought it; `None` when the client closes.
async fn next_assignment(client: &Client) -> Option<(Assignment, String)> {
    let mut asker = Asker::new(client);
    let mut idle = None;
    let mut hint = None;
    loop {
        if *client.draining.borrow() {
            idle = None;
        }
        open_for_jobs(client).await?;
        idle.get_or_insert_with(|| Idle::new(&client.idle));
        let answer = if let Some(wake) = hint.take() {
            let answer = asker.ask(0).await;
            drop::<Wake>(wake);
            answer
        } else {
            tokio::select! {
                biased;
                () = client.closing.cancelled() => return None,
                wake = client.wakes.next() => {
                    hint = Some(wake);
                    continue;
                }
                answer = asker.ask(HELD_MS) => answer,
            }
        };
        let wait = match answer {
            Asked::Job(assignment, claim_id) => return Some((*assignment, claim_id)),
            Asked::Again(wait) => wait,
        };
        tokio::select! {
            () = client.closing.cancelled() => return None,
            wake = client.wakes.next() => hint = Some(wake),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Asks for one job, always under the same name. A claim that was given up, for a hint or because its answer was lost, may
/// still be held by the server: whatever it brings is then brought by the next one too, and no job is lost with it. Only
/// when the server says that the name is used up is there another.
struct Asker<'a> {
    client: &'a Client,
    claim_id: String,
    away: Backoff,
    empty: Backoff,
}

/// What came of a claim.
enum Asked {
    Job(Box<Assignment>, String),
    /// Nothing: ask again after this.
    Again(Duration),
}

impl<'a> Asker<'a> {
    fn new(client: &'a Client) -> Self {
        let empty = Backoff::new(Duration::from_secs(2), Duration::from_secs(20));
        Self { client, claim_id: unique(), away: client.shop.waits.clone(), empty }
    }

    async fn ask(&mut self, wait_ms: u32) -> Asked {
        let asked = Instant::now();
        match claim(self.client, &self.claim_id, wait_ms).await {
            Ok(ClaimReply { assignment: Some(job), .. }) => {
                Asked::Job(Box::new(job), self.claim_id.clone())
            }
            Ok(_) => {
                self.away.reset();
                if wait_ms == 0 || asked.elapsed() > AT_ONCE {
                    self.empty.reset();
                    return Asked::Again(Duration::ZERO);
                }
                Asked::Again(self.empty.next_wait())
            }
            // The server gave it a job, its answer was lost, and the job went elsewhere meanwhile.
            Err(e) if e.code == Claim::OVER => {
                tracing::info!("{e}");
                self.claim_id = unique();
                Asked::Again(Duration::ZERO)
            }
            Err(e) if e.code == ClientReport::REPLACED => {
                self.client.replaced.cancel();
                Asked::Again(patience(e.kind))
            }
            Err(e) => {
                tracing::warn!("no job can be claimed: {e}");
                Asked::Again(self.away.next_wait().max(patience(e.kind)))
            }
        }
    }
}

/// A refusal that somebody must put right is not asked about twice a second.
fn patience(kind: ErrorKind) -> Duration {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Busy | ErrorKind::Full => Duration::ZERO,
        _ => Duration::from_secs(10),
    }
}

async fn claim(client: &Client, claim_id: &str, wait_ms: u32) -> ApiResult<ClaimReply> {
    let request =
        ClaimRequest { client: client.report.clone(), claim_id: claim_id.to_owned(), wait_ms };
    let reply = client.shop.api.claim(&request).await?;
    client.lease.send_replace(reply.lease);
    Ok(reply)
}

/// Waits while the client takes no jobs; `None` when it closes.
async fn open_for_jobs(client: &Client) -> Option<()> {
    let mut draining = client.draining.subscribe();
    tokio::select! {
        biased;
        () = client.closing.cancelled() => None,
        open = draining.wait_for(|draining| !draining) => open.ok().map(|_| ()),
    }
}

/// Counts a slot as idle while it lives.
struct Idle<'a>(&'a watch::Sender<u32>);

impl<'a> Idle<'a> {
    fn new(count: &'a watch::Sender<u32>) -> Self {
        count.send_modify(|n| *n += 1);
        Self(count)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n = n.saturating_sub(1));
    }
}

/// A name that no other claim and no other process has: 128 random bits.
pub(crate) fn unique() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
