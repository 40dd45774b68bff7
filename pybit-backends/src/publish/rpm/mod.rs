//! [`Createrepo`]: an RPM repository.

mod index;
mod package;
mod transaction;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::clock::Clock;
use pybit_core::model::{Health, SigningKey};
use pybit_core::owners::NamePolicy;
use pybit_core::publish::{KeyRoll, Listed, Publication, PublishSet, Publisher, Removal};
use pybit_core::version::VersionOrder;

use super::draft;
use super::key::{Keys, RepositoryKey, Signer, only_expired};
use super::layout::{self, Layout};
use super::memory::Memory;
use super::past::Left;
use super::set::{self, OrRefused, Refusal};
use super::slots::{self, Rules, Words};
use super::tool::Tool;
use super::turn::{Turn, Turns};
use super::{error, files, names};
use index::Index;
use package::Item;
use transaction::Transaction;

/// What an RPM repository is.
pub type CreaterepoConfig = super::snapshot_config::SnapshotConfig;

/// How rpm names what is for no architecture.
const WORDS: Words = Words { source: index::SOURCE, all: "noarch" };

/// An RPM repository that `createrepo_c` indexes, and whose index and packages `gpg` signs; readers are pointed at `ROOT/current`.
///
/// A package is known by what is in it: its signature is the repository's own, in place of any that it came with.
#[derive(Debug)]
pub struct Createrepo {
    config: CreaterepoConfig,
    layout: Layout,
    tool: Arc<dyn Tool>,
    order: Arc<dyn VersionOrder>,
    clock: Arc<dyn Clock>,
    turns: Turns,
}

impl Createrepo {
    /// The repository that `config` describes; `order` is rpm's. Touches nothing before it is prepared.
    pub fn new(
        config: CreaterepoConfig,
        tool: Arc<dyn Tool>,
        order: Arc<dyn VersionOrder>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let config = config.checked(WORDS.all)?;
        let layout = Layout::new(config.root.clone(), layout::RPM);
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
            algorithm: "rsa4096",
        }
    }

    /// The current state and its index.
    async fn current(&self) -> Result<(u64, Index)> {
        let layout = self.layout.clone();
        let read = move || loop {
            let n = layout.current()?.ok_or_else(layout::unprepared)?;
            match index::read(&layout.snapshot(n)) {
                // Pruned while it was read: there is a newer one.
                Err(_) if layout.current()? != Some(n) => {}
                read => return Ok((n, read?.0)),
            }
        };
        files::blocking(read).await
    }

    /// Makes, verifies, signs and commits a state of what stays and what comes; its name.
    async fn change(
        &self,
        turn: &Turn,
        (keep, add): (Index, Vec<Item>),
        set: Option<&PublishSet>,
    ) -> Result<OrRefused<String>> {
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
        let made = async {
            transaction.sign_packages(&gpg, keys.of_packages()).await?;
            transaction.export(&*self.tool).await?;
            transaction.sign_index(&gpg, &keys.all).await
        };
        let made = made.await;
        gpg.close()?;
        made?;
        transaction.check_signatures(&*self.tool, &keys.public).await?;
        let (layout, now, keep) =
            (self.layout.clone(), self.clock.now(), self.config.keep_snapshots);
        turn.blocking(move || {
            let own = match transaction.verify()? {
                Ok(own) => own,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let number = layout.next()?;
            transaction.seal(own, &keys, number, now)?;
            transaction.commit(number)?;
            layout.tidy(keep, number);
            Ok(Ok(layout::name(number)))
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
                let (layout, dir) = (self.layout.clone(), place.path().to_owned());
                let all = std::mem::take(&mut keep);
                let copy = move || Transaction::renew_items(&layout, &all, &dir);
                add = turn.blocking(copy).await?;
            }
        }
        self.change(turn, (keep, add), None).await?.map_err(|r| error::corrupt(r.0))?;
        Ok(())
    }
}

#[async_trait]
impl Publisher for Createrepo {
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
        let items = match package::read(set, &taken, place.path(), &*self.tool).await? {
            Ok(items) => items,
            Err(refusal) => return refused(refusal),
        };
        let held = slots::held(&index, Some(WORDS.source));
        let brought = slots::brought(&index, &items, Some(WORDS.source));
        let owned = names::judge(policy, &set.package, &brought, &held, WORDS.all).await?;
        if let Err(refusal) = owned {
            return refused(refusal);
        }
        let (snapshot, arches) = (self.layout.snapshot(state), self.config.arches.clone());
        let order = Arc::clone(&self.order);
        let judge = move || {
            let body = |entry: &index::Entry| package::body(&snapshot.join(&entry.path));
            let rules = Rules { arches: &arches, words: WORDS, order: &*order };
            rules.judge((&index, &past), items, &body)
        };
        let plan = match turn.blocking(judge).await? {
            Ok(plan) => plan,
            Err(refusal) => return refused(refusal),
        };
        if plan.add.is_empty() {
            return Ok(Publication::Published(layout::name(state)));
        }
        let published = self.change(&turn, (plan.keep, plan.add), Some(set)).await?;
        published.map_or_else(refused, |name| Ok(Publication::Published(name)))
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
        let (going, staying): (Index, Index) =
            index.into_iter().partition(|(_, entry)| index::is_wanted(entry, wanted));
        if going.is_empty() || wanted.dry_run {
            return Ok(index::listed(&going));
        }
        let done = self.change(&turn, (staying, Vec::new()), None).await?;
        done.map_err(|r| error::corrupt(r.0)).map(|_| index::listed(&going))
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

/// An index as `createrepo_c` writes it, from any bytes.
///
/// # Panics
///
/// Where what it took breaks a promise: that is what it is for.
#[cfg(feature = "fuzz")]
pub fn fuzz_primary(bytes: &[u8]) {
    if let Ok(index) = index::packages(std::path::Path::new("primary.xml"), bytes) {
        assert_eq!(index::listed(&index).len(), index.len());
    }
}

/// The packages that a state of these has no longer; blocking.
fn left(layout: &Layout, keep: &Index, add: &[Item]) -> Result<Vec<Left>> {
    let Some(n) = layout.current()? else { return Ok(Vec::new()) };
    let snapshot = layout.snapshot(n);
    let body = |entry: &index::Entry| package::body(&snapshot.join(&entry.path));
    slots::left(&index::read(&snapshot)?.0, (keep, add), WORDS, &body)
}
