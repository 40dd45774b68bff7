//! A transport that loses, repeats, reorders and delays hints, by a seed: what the farm must live with.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{ClientName, Route};
use crate::transport::{
    Capability, Command, CommandInbox, Delivery, Hint, Inbox, Recipient, Transport,
};

/// How much goes wrong. Each chance is per mille of hints; all are drawn from the seed, in the order of the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// The same seed makes the same faults of the same calls.
    pub seed: u64,
    /// A published hint is confirmed and gone, where the transport is in health. The one fault that breaks a promise of
    /// the trait, `ok_means_held`: as a broker does that loses its disk.
    pub lost: u16,
    /// A hint is refused, `Unavailable`: nobody holds it. Breaks no promise.
    pub refused: u16,
    /// A hint is published twice. Breaks "one consumer gets it", as a repeated publication does whose confirm was lost.
    pub repeated: u16,
    /// A hint is delivered after the one behind it, where one comes within [`Faults::pause`]. Breaks no promise.
    pub reordered: u16,
    /// A publication, or a command, takes [`Faults::pause`] longer. Breaks no promise.
    pub delayed: u16,
    /// How long.
    pub pause: Duration,
}

/// What has gone wrong so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCounts {
    /// Hints that were confirmed and not published.
    pub lost: u64,
    /// Hints that were refused.
    pub refused: u64,
    /// Hints that were published twice.
    pub repeated: u64,
    /// Hints that were overtaken.
    pub reordered: u64,
    /// Publications and commands that took longer.
    pub delayed: u64,
}

/// Wraps any transport and makes [`Faults`].
pub struct Faulty {
    inner: Arc<dyn Transport>,
    dice: Arc<Dice>,
}

impl Faulty {
    /// Breaks `inner`.
    pub fn new(inner: Arc<dyn Transport>, faults: Faults) -> Self {
        let rolled = Rolled { state: faults.seed, counts: FaultCounts::default() };
        Self { inner, dice: Arc::new(Dice { faults, rolled: Mutex::new(rolled) }) }
    }

    /// What has gone wrong so far.
    pub fn counts(&self) -> FaultCounts {
        self.dice.with(|rolled| rolled.counts)
    }

    /// What becomes of a hint that is to be published: none, one or two.
    async fn astray<'a>(&self, hint: &'a Hint) -> Result<impl Iterator<Item = &'a Hint>> {
        let faults = &self.dice.faults;
        if self.dice.falls(faults.lost, |c| &mut c.lost) {
            // A broker that is away confirms nothing.
            self.inner.health().await?;
            return Ok(std::iter::repeat_n(hint, 0));
        }
        if self.dice.falls(faults.refused, |c| &mut c.refused) {
            let message = "a fault was asked for: nobody holds this hint";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let repeated = self.dice.falls(faults.repeated, |c| &mut c.repeated);
        Ok(std::iter::repeat_n(hint, 1 + usize::from(repeated)))
    }

    async fn delay(&self) {
        if self.dice.falls(self.dice.faults.delayed, |c| &mut c.delayed) {
            tokio::time::sleep(self.dice.faults.pause).await;
        }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).field("dice", &self.dice).finish()
    }
}

#[derive(Debug)]
struct Dice {
    faults: Faults,
    rolled: Mutex<Rolled>,
}

#[derive(Debug)]
struct Rolled {
    state: u64,
    counts: FaultCounts,
}

impl Dice {
    fn with<T>(&self, f: impl FnOnce(&mut Rolled) -> T) -> T {
        f(&mut self.rolled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a fault of this chance happens now; it is counted.
    fn falls(&self, per_mille: u16, count: impl FnOnce(&mut FaultCounts) -> &mut u64) -> bool {
        if per_mille == 0 {
            return false;
        }
        self.with(|rolled| {
            let falls = rolled.next() % 1000 < u64::from(per_mille);
            *count(&mut rolled.counts) += u64::from(falls);
            falls
        })
    }
}

impl Rolled {
    /// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[async_trait]
impl Transport for Faulty {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn serve_farm(&self, farm: &str) -> Result<()> {
        self.inner.serve_farm(farm).await
    }

    async fn publish(&self, hint: &Hint) -> Result<()> {
        self.delay().await;
        for hint in self.astray(hint).await? {
            self.inner.publish(hint).await?;
        }
        Ok(())
    }

    async fn publish_all(&self, hints: &[Hint]) -> Result<()> {
        self.delay().await;
        let mut sent = Vec::with_capacity(hints.len());
        for hint in hints {
            sent.extend(self.astray(hint).await?.cloned());
        }
        if sent.is_empty() { Ok(()) } else { self.inner.publish_all(&sent).await }
    }

    async fn consume(
        &self,
        client: &ClientName,
        routes: &[Route],
        credit: u32,
    ) -> Result<Box<dyn Inbox>> {
        let inner = self.inner.consume(client, routes, credit).await?;
        Ok(Box::new(FaultyInbox {
            inner,
            dice: Arc::clone(&self.dice),
            overtaken: None,
            waits: false,
        }))
    }

    async fn send_command(&self, to: &Recipient, command: &Command) -> Result<()> {
        self.delay().await;
        self.inner.send_command(to, command).await
    }

    async fn commands(&self, client: &ClientName) -> Result<Box<dyn CommandInbox>> {
        self.inner.commands(client).await
    }

    async fn depth(&self, route: &Route) -> Result<u64> {
        self.inner.depth(route).await
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }

    fn foreign(&self) -> u64 {
        self.inner.foreign()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[derive(Debug)]
struct FaultyInbox {
    inner: Box<dyn Inbox>,
    dice: Arc<Dice>,
    /// A hint that the next one is to overtake.
    overtaken: Option<Delivery>,
    /// Nobody has overtaken it yet.
    waits: bool,
}

#[async_trait]
impl Inbox for FaultyInbox {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        if self.overtaken.is_none() {
            let Some(first) = self.inner.next().await? else { return Ok(None) };
            if !self.dice.falls(self.dice.faults.reordered, |c| &mut c.reordered) {
                return Ok(Some(first));
            }
            // Kept here, not in this future: a wait that is given up loses no hint.
            self.overtaken = Some(first);
            self.waits = true;
        }
        if self.waits {
            let second = tokio::time::timeout(self.dice.faults.pause, self.inner.next()).await;
            // Not before: a wait that was given up is made up for.
            self.waits = false;
            if let Ok(Ok(Some(second))) = second {
                return Ok(Some(second));
            }
        }
        Ok(self.overtaken.take())
    }
}

#[cfg(test)]
#[cfg(feature = "conformance")]
mod tests {
    use super::*;
    use crate::conformance::support::{client, route};
    use crate::memory::MemoryTransport;
    use crate::model::JobId;

    fn faulty(faults: Faults) -> Faulty {
        Faulty::new(Arc::new(MemoryTransport::default()), faults)
    }

    /// The jobs of 100 published hints, as they arrive.
    async fn arrivals(faults: Faults) -> (Vec<i64>, FaultCounts) {
        let transport = faulty(faults);
        for job in 0..100 {
            transport.publish(&Hint::new(route("amd64"), Some(JobId(job)))).await.unwrap();
        }
        let left = transport.depth(&route("amd64")).await.unwrap();
        let mut inbox = transport.consume(&client("c"), &[route("amd64")], 200).await.unwrap();
        let mut jobs = Vec::new();
        for _ in 0..left {
            let delivery = inbox.next().await.unwrap().unwrap();
            jobs.push(delivery.hint.job.unwrap().0);
            delivery.receipt.ack().await.unwrap();
        }
        (jobs, transport.counts())
    }

    #[tokio::test]
    async fn the_same_seed_makes_the_same_faults() {
        let faults =
            Faults { seed: 7, lost: 100, repeated: 100, reordered: 200, ..Faults::default() };
        let (jobs, counts) = arrivals(faults).await;
        assert_eq!(arrivals(faults).await, (jobs.clone(), counts));
        assert!(counts.lost > 3 && counts.repeated > 3 && counts.reordered > 3, "{counts:?}");
        let expected = 100 - counts.lost + counts.repeated;
        assert_eq!(jobs.len() as u64, expected);
        assert!(!jobs.is_sorted());
        let other = arrivals(Faults { seed: 8, ..faults }).await;
        assert_ne!(other.0, jobs);
    }

    #[tokio::test]
    async fn without_faults_nothing_goes_wrong() {
        let (jobs, counts) = arrivals(Faults::default()).await;
        assert_eq!((jobs, counts), ((0..100).collect(), FaultCounts::default()));
    }
}
