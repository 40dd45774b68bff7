//! [`SimpleIndex`]: an index of Python distributions.

mod index;
mod package;
mod transaction;

use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::clock::Clock;
use pybit_core::model::{Health, SigningKey, Version};
use pybit_core::owners::NamePolicy;
use pybit_core::publish::{KeyRoll, Listed, Publication, PublishSet, Publisher, Removal};
use pybit_core::version::VersionOrder;

use super::draft;
use super::files;
use super::key::{Keys, RepositoryKey, Signer, only_expired};
use super::layout::{self, Layout};
use super::memory::Memory;
use super::names;
use super::past::Left;
use super::set::{self, Refusal};
use super::slots::{self, Rules, Slot};
use super::snapshot_config::SnapshotConfig;
use super::tool::Tool;
use super::turn::{Turn, Turns};
use index::{Index, WORDS};
use package::Item;
use transaction::Transaction;

/// What an index of Python distributions is.
pub type SimpleIndexConfig = SnapshotConfig;

/// A simple index ([PEP 503](https://peps.python.org/pep-0503/)) at `ROOT/current/simple/`, of sdists and wheels that `gpg` signs, each with
/// a detached signature beside it, `FILE.asc`.
///
/// As every repository of a farm it holds the newest version of each package.
#[derive(Debug)]
pub struct SimpleIndex {
    config: SnapshotConfig,
    layout: Layout,
    tool: Arc<dyn Tool>,
    order: Arc<dyn VersionOrder>,
    clock: Arc<dyn Clock>,
    turns: Turns,
}

impl SimpleIndex {
    /// The repository that `config` describes; `order` is Python's. Touches nothing before it is prepared.
    pub fn new(
        config: SnapshotConfig,
        tool: Arc<dyn Tool>,
        order: Arc<dyn VersionOrder>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let config = config.checked(WORDS.all)?;
        let layout = Layout::new(config.root.clone(), layout::PYTHON);
        Ok(Self { config, layout, tool, order, clock, turns: Turns::default() })
    }

    /// What readers are pointed at: `ROOT/current`, a link that leads to another directory after each publication.
    pub fn site(&self) -> PathBuf {
        self.config.root.join("current")
    }

    fn key(&self) -> RepositoryKey<'_> {
        RepositoryKey {
            tool: &*self.tool,
            layout: &self.layout,
            choice: &self.config.key,
            owner: format!("{} {} repository", self.config.dist, self.config.suite),
            life: self.config.key_life,
            now: self.clock.now(),
            algorithm: "ed25519",
        }
    }

    /// The current state and its index.
    async fn current(&self) -> Result<(u64, Index)> {
        let layout = self.layout.clone();
        let read = move || loop {
            let n = layout.current()?.ok_or_else(layout::unprepared)?;
            match index::read(&layout.state(n)) {
                // Pruned while it was read: there is a newer one.
                Err(_) if layout.current()? != Some(n) => {}
                read => return Ok((n, read?)),
            }
        };
        files::blocking(read).await
    }

    /// Makes, signs, verifies and commits a state of what stays and what comes; its name.
    async fn change(
        &self,
        turn: &Turn,
        (keep, add): (Index, Vec<Item>),
        set: Option<&PublishSet>,
    ) -> Result<String> {
        let (layout, config) = (self.layout.clone(), self.config.clone());
        let set = set.and_then(|set| set.id.clone());
        let begin = move || {
            let left = left(&layout, &keep, &add)?;
            let mut transaction = Transaction::begin(&layout, &config, keep, add)?;
            transaction.record(&left, set.as_deref())?;
            Ok(transaction)
        };
        let transaction = turn.blocking(begin).await?;
        let Signer { gpg, keys } = self.key().open().await?;
        let signed = transaction.sign(&gpg, keys.of_packages()).await;
        gpg.close()?;
        signed?;
        let (layout, now, keep) =
            (self.layout.clone(), self.clock.now(), self.config.keep_snapshots);
        turn.blocking(move || {
            let own = transaction.verify()?;
            let number = layout.next()?;
            transaction.seal(own, &keys, number, now)?;
            transaction.commit(number)?;
            layout.tidy(keep, number);
            Ok(layout::name(number))
        })
        .await
    }

    /// The state that the configuration and the key make, where the current one is another.
    async fn renew_if_due(&self, turn: &Turn, current: Option<u64>) -> Result<()> {
        let keys = self.key().prepare().await?;
        match current {
            Some(n) if draft::is_of(&self.layout, &self.config, n, &keys.public)? => {
                self.layout.prune(self.config.keep_snapshots, n)
            }
            _ => self.renew(turn, current, &keys).await,
        }
    }

    /// The first state, or one that follows a changed configuration or key.
    async fn renew(&self, turn: &Turn, current: Option<u64>, keys: &Keys) -> Result<()> {
        let mut keep = Index::new();
        let mut add = Vec::new();
        let place = self.layout.workplace()?;
        if let Some(n) = current {
            draft::check_place(&self.layout, &self.config, n)?;
            keep = self.current().await?.1;
            keep.retain(|slot, _| slots::serves(&self.config.arches, WORDS, &slot.arch));
            if !draft::is_signed_by(&self.layout, n, keys)? {
                let (snapshot, dir) = (self.layout.snapshot(n), place.path().to_owned());
                let all = std::mem::take(&mut keep);
                let copy = move || Transaction::renew_items(&snapshot, &all, &dir);
                add = turn.blocking(copy).await?;
            }
        }
        self.change(turn, (keep, add), None).await.map(drop)
    }
}

#[async_trait]
impl Publisher for SimpleIndex {
    async fn prepare(&self) -> Result<()> {
        let layout = self.layout.clone();
        files::blocking(move || layout.claim()).await?;
        let turn = self.turns.take(&self.layout).await?;
        let current = self.layout.current()?;
        match self.renew_if_due(&turn, current).await {
            Ok(()) => Ok(()),
            Err(error) if only_expired(&error, current) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn tend(&self) -> Result<Health> {
        let turn = self.turns.take(&self.layout).await?;
        let current = self.layout.current()?.ok_or_else(layout::unprepared)?;
        let trouble = self.renew_if_due(&turn, Some(current)).await.err();
        let n = self.layout.current()?.unwrap_or(current);
        draft::health(&self.layout, n, self.key().end().await?, trouble.as_ref())
    }

    async fn publish(&self, set: &PublishSet, policy: &dyn NamePolicy) -> Result<Publication> {
        let turn = self.turns.take(&self.layout).await?;
        let (state, index) = self.current().await?;
        let memory = Memory::read(&self.layout.state(state))?;
        if let Some(first) = set.id.as_deref().and_then(|id| memory.first_with(id)) {
            return Ok(Publication::Published(layout::name(first)));
        }
        let past = memory.past;
        let place = self.layout.workplace()?;
        let refused = |r: Refusal| Ok(Publication::Rejected(r.0));
        let (copy, dir) = (set.clone(), place.path().to_owned());
        let taken = match turn.blocking(move || set::take_over(&copy, &dir)).await? {
            Ok(taken) => taken,
            Err(refusal) => return refused(refusal),
        };
        let (arches, order) = (&self.config.arches, &*self.order);
        let items = package::read(set, &taken, place.path(), arches, &*self.tool, order).await?;
        let items = match items {
            Ok(items) => items,
            Err(refusal) => return refused(refusal),
        };
        // An sdist is installed as a wheel is.
        let held = slots::held(&index, None);
        let brought = slots::brought(&index, &items, None);
        let owned = names::judge(policy, &set.package, &brought, &held, WORDS.all).await?;
        if let Err(refusal) = owned {
            return refused(refusal);
        }
        let rules = Rules { arches, words: WORDS, order };
        let plan = match rules.judge((&index, &past), items, &body)? {
            Ok(plan) => plan,
            Err(refusal) => return refused(refusal),
        };
        if plan.add.is_empty() {
            return Ok(Publication::Published(layout::name(state)));
        }
        self.change(&turn, (plan.keep, plan.add), Some(set)).await.map(Publication::Published)
    }

    async fn published(&self, id: &str) -> Result<Option<String>> {
        let (state, _) = self.current().await?;
        let memory = Memory::read(&self.layout.state(state))?;
        Ok(memory.first_with(id).map(layout::name))
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        Ok(index::listed(&self.current().await?.1))
    }

    async fn remove(&self, wanted: &Removal) -> Result<Vec<Listed>> {
        let turn = self.turns.take(&self.layout).await?;
        let (_, index) = self.current().await?;
        let goes = |slot: &Slot, entry: &index::Entry| {
            let order = |v: &Version| self.order.compare(&entry.version, v.as_str());
            let same = |v: &Version| order(v).is_ok_and(Ordering::is_eq);
            slot.name == wanted.package.as_str() && wanted.version.as_ref().is_none_or(same)
        };
        let (going, staying): (Index, Index) =
            index.into_iter().partition(|(slot, entry)| goes(slot, entry));
        if !going.is_empty() && !wanted.dry_run {
            self.change(&turn, (staying, Vec::new()), None).await?;
        }
        Ok(index::listed(&going))
    }

    async fn keys(&self) -> Result<Vec<SigningKey>> {
        let _turn = self.turns.take(&self.layout).await?;
        self.key().signing().await
    }

    async fn roll_key(&self, wanted: &KeyRoll) -> Result<Vec<SigningKey>> {
        let turn = self.turns.take(&self.layout).await?;
        let current = self.layout.current()?.ok_or_else(layout::unprepared)?;
        self.key().begin_roll(wanted).await?;
        if !wanted.dry_run {
            self.renew_if_due(&turn, Some(current)).await?;
        }
        self.key().signing().await
    }

    async fn public_key(&self) -> Result<String> {
        files::text(&self.layout.public_key())?.ok_or_else(layout::unprepared)
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "formats whose files are signed in place have to read them"
)]
fn body(entry: &index::Entry) -> Result<Option<String>> {
    Ok(Some(entry.sha256.clone()))
}

/// The distributions that a state of these has no longer; blocking.
fn left(layout: &Layout, keep: &Index, add: &[Item]) -> Result<Vec<Left>> {
    let Some(n) = layout.current()? else { return Ok(Vec::new()) };
    slots::left(&index::read(&layout.state(n))?, (keep, add), WORDS, &body)
}
