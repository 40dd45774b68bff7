//! [`Reprepro`]: an apt repository.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pybit_core::clock::{Clock, Timestamp};
use pybit_core::model::{Health, SigningKey};
use pybit_core::owners::NamePolicy;
use pybit_core::publish::{KeyRoll, Listed, Publication, PublishSet, Publisher, Removal};
use pybit_core::version::VersionOrder;
use pybit_core::{Error, Result};

use super::components;
use super::config::RepreproConfig;
use super::index::{self, Index};
use super::judge::{self, Expected, Plan};
use super::key::{Keys, RepositoryKey, Signer, only_expired};
use super::layout::{self, Layout};
use super::memory::Memory;
use super::set::{self, Item, OrRefused, Refusal};
use super::tool::Tool;
use super::transaction::Transaction;
use super::turn::{Turn, Turns};
use super::{error, files, names, release};

/// An apt repository that `reprepro` keeps and `gpg` signs; readers are pointed at `ROOT/current`.
#[derive(Debug)]
pub struct Reprepro {
    pub(super) config: RepreproConfig,
    pub(super) layout: Layout,
    pub(super) tool: Arc<dyn Tool>,
    pub(super) order: Arc<dyn VersionOrder>,
    pub(super) clock: Arc<dyn Clock>,
    turn: Turns,
}

impl Reprepro {
    /// The repository that `config` describes; `order` is Debian's. Touches nothing before it is prepared.
    pub fn new(
        config: RepreproConfig,
        tool: Arc<dyn Tool>,
        order: Arc<dyn VersionOrder>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let config = config.checked()?;
        let layout = Layout::new(config.root.clone(), layout::APT);
        Ok(Self { config, layout, tool, order, clock, turn: Turns::default() })
    }

    /// What readers are pointed at: `ROOT/current`, a link that leads to another directory after each publication.
    pub fn site(&self) -> PathBuf {
        self.config.root.join("current")
    }

    async fn turn(&self) -> Result<Turn> {
        self.turn.take(&self.layout).await
    }

    /// Which key signs.
    pub(super) fn key(&self) -> RepositoryKey<'_> {
        RepositoryKey {
            tool: &*self.tool,
            layout: &self.layout,
            choice: &self.config.key,
            owner: format!("{} {} repository", self.config.dist, self.config.codename),
            life: self.config.key_life,
            now: self.clock.now(),
            algorithm: "ed25519",
        }
    }

    /// The current state and its index.
    pub(super) async fn current(&self) -> Result<(u64, Index)> {
        let (layout, codename) = (self.layout.clone(), self.config.codename.clone());
        let read = move || loop {
            let n = layout.current()?.ok_or_else(layout::unprepared)?;
            match index::read(&layout.snapshot(n), codename.as_str()) {
                // Pruned while it was read: there is a newer one.
                Err(_) if layout.current()? != Some(n) => {}
                index => return Ok((n, index?)),
            }
        };
        files::blocking(read).await
    }

    async fn begin(&self, turn: &Turn) -> Result<Transaction> {
        let (layout, config) = (self.layout.clone(), self.config.clone());
        turn.blocking(move || Transaction::begin(&layout, &config)).await
    }

    /// Verifies, signs and commits; the name of the new state.
    async fn finish(
        &self,
        turn: &Turn,
        transaction: Transaction,
        expected: Expected,
        added: Vec<Item>,
    ) -> Result<OrRefused<String>> {
        transaction.export(&*self.tool).await?;
        let Signer { gpg, keys: Keys { public, all, .. } } = self.key().open().await?;
        let (layout, now) = (self.layout.clone(), self.clock.now());
        let sealed = turn
            .blocking(move || {
                let index = transaction.index()?;
                if let Err(refusal) = transaction.verify(&index, &expected, &added)? {
                    return Ok(Err(refusal));
                }
                let number = layout.next()?;
                transaction.seal(&index, &public, number, now)?;
                Ok(Ok((transaction, number)))
            })
            .await;
        let signed = match &sealed {
            Ok(Ok((transaction, _))) => gpg.sign(&all, &transaction.dist()).await,
            _ => Ok(()),
        };
        gpg.close()?;
        let (transaction, number) = match sealed? {
            Ok(sealed) => sealed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        signed?;
        let (layout, keep) = (self.layout.clone(), self.config.keep_snapshots);
        turn.blocking(move || {
            transaction.commit(number)?;
            layout.tidy(keep, number);
            Ok(Ok(layout::name(number)))
        })
        .await
    }

    /// Whether the current state is what the configuration and the key make.
    fn is_up_to_date(&self, current: u64, key: &str) -> Result<bool> {
        let conf = files::text(&self.layout.state(current).join("conf/distributions"))?;
        let conf = conf.unwrap_or_default();
        let codename = format!("Codename: {}", self.config.codename);
        if !conf.lines().any(|l| l == codename) {
            return Err(Error::invalid(format!(
                "{} holds a repository of another suite than {}: give each suite a directory of its own",
                self.config.root.display(),
                self.config.codename
            ))
            .with_code("foreign_repository"));
        }
        let given = files::text(&self.layout.snapshot(current).join("pybit.asc"))?;
        let as_configured = conf == self.config.distributions() && given.as_deref() == Some(key);
        Ok(as_configured && !self.is_ending(current)?)
    }

    /// `Date` and `Valid-Until` of a state.
    fn dates(&self, n: u64) -> Result<(Option<i64>, Option<i64>)> {
        let dist = self.layout.snapshot(n).join("dists").join(self.config.codename.as_str());
        Ok(release::dates(&files::text(&dist.join("Release"))?.unwrap_or_default()))
    }

    /// Whether a third of a state's validity is over, or its validity is not the configured one.
    fn is_ending(&self, n: u64) -> Result<bool> {
        let (date, until) = self.dates(n)?;
        let Some(valid) = self.config.valid_until else { return Ok(until.is_some()) };
        let (Some(date), Some(until)) = (date, until) else { return Ok(true) };
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let configured = at(until).since(at(date)).as_secs() == valid.as_secs();
        Ok(!configured || self.clock.now().since(at(date)) >= valid / 3)
    }

    /// The state that the configuration and the key make, where the current one is another or ends.
    async fn renew_if_due(&self, turn: &Turn, current: Option<u64>) -> Result<()> {
        let keys = self.key().prepare().await?;
        match current {
            Some(n) if self.is_up_to_date(n, &keys.public)? => {
                self.layout.prune(self.config.keep_snapshots, n)?;
            }
            _ => self.renew(turn, current).await?,
        }
        self.publish_keyring(turn, &keys).await
    }

    /// The first state, or one that follows a changed configuration or key.
    async fn renew(&self, turn: &Turn, current: Option<u64>) -> Result<()> {
        let transaction = self.begin(turn).await?;
        let (mut expected, mut before) = (Expected::new(), Index::new());
        let mut moved = Vec::new();
        if let Some(n) = current {
            before = self.current().await?.1;
            expected = judge::as_is(&before);
            moved = components::moved(&before, &self.config, &self.layout.snapshot(n));
            transaction.follow_config(&*self.tool).await?;
        }
        // What is served on is unchanged, and a new architecture has exactly what is for all of them.
        transaction.export(&*self.tool).await?;
        let (mut transaction, index) = turn
            .blocking(move || {
                let index = transaction.index()?;
                Ok((transaction, index))
            })
            .await?;
        let served = |index: &str| {
            let arch = index.rsplit_once("binary-").map(|(_, a)| a);
            arch.is_none_or(|a| self.config.arches.iter().any(|s| s.as_str() == a))
        };
        expected.retain(|slot, _| served(&slot.index));
        moved.retain(|item| !judge::slots(item, &self.config.arches).is_empty());
        let known: BTreeSet<_> = expected.keys().map(|s| s.index.clone()).collect();
        let flooded = judge::as_is(&index)
            .into_iter()
            .filter(|(slot, c)| !known.contains(&slot.index) && c.arch == "all");
        expected.extend(flooded);
        for item in &moved {
            let slots = judge::slots(item, &self.config.arches).into_iter();
            expected.extend(slots.map(|slot| (slot, item.content.clone())));
        }
        let misplaced = components::misplaced(&index, &self.config);
        transaction.leave(&*self.tool, &misplaced).await?;
        let included = transaction.include(&*self.tool, &moved).await?;
        included.map_err(|r| error::corrupt(r.0))?;
        transaction.record(&judge::left(&before, &expected), None)?;
        self.finish(turn, transaction, expected, moved).await?.map_err(|r| error::corrupt(r.0))?;
        Ok(())
    }

    pub(super) async fn add(
        &self,
        turn: &Turn,
        index: &Index,
        plan: &Plan,
        set: Option<&str>,
    ) -> Result<OrRefused<String>> {
        let mut transaction = self.begin(turn).await?;
        transaction.record(&judge::left(index, &plan.expected), set)?;
        let left = components::left_by(&plan.add, index, &self.config);
        transaction.leave(&*self.tool, &left).await?;
        if let Err(refusal) = transaction.include(&*self.tool, &plan.add).await? {
            return Ok(Err(refusal));
        }
        self.finish(turn, transaction, plan.expected.clone(), plan.add.clone()).await
    }
}

#[async_trait]
impl Publisher for Reprepro {
    async fn prepare(&self) -> Result<()> {
        let layout = self.layout.clone();
        files::blocking(move || layout.claim()).await?;
        let turn = self.turn().await?;
        let current = self.layout.current()?;
        match self.renew_if_due(&turn, current).await {
            Ok(()) => Ok(()),
            Err(error) if only_expired(&error, current) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn tend(&self) -> Result<Health> {
        let turn = self.turn().await?;
        let current = self.layout.current()?.ok_or_else(layout::unprepared)?;
        let trouble = self.renew_if_due(&turn, Some(current)).await.err();
        let (date, until) = self.dates(self.layout.current()?.unwrap_or(current))?;
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        Ok(Health {
            key_expires_at: self.key().end().await?,
            dated_at: date.map(at),
            valid_until: until.map(at),
            trouble: trouble.map(|e| e.message().to_owned()),
        })
    }

    async fn publish(&self, set: &PublishSet, policy: &dyn NamePolicy) -> Result<Publication> {
        let turn = self.turn().await?;
        let (name, index) = self.current().await?;
        let (memory, id) = (Memory::read(&self.layout.state(name))?, set.id.as_deref());
        if let Some(first) = id.and_then(|id| memory.first_with(id)) {
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
        let items = match set::read(set, &taken, place.path(), &*self.tool).await? {
            Ok(items) => items,
            Err(refusal) => return refused(refusal),
        };
        if let Some(refusal) = self.reserved(set.package.as_str(), &items) {
            return refused(refusal);
        }
        let (arches, held) = (&self.config.arches, judge::held(&index));
        let brought = judge::brought(&index, &items, arches);
        let owned = names::judge(policy, &set.package, &brought, &held, "all").await?;
        if let Err(refusal) = owned {
            return refused(refusal);
        }
        let plan = match judge::judge((&index, &past), items, arches, &*self.order)? {
            Ok(plan) => plan,
            Err(refusal) => return refused(refusal),
        };
        if plan.add.is_empty() {
            return Ok(Publication::Published(layout::name(name)));
        }
        // A refusal ends a job for good, so a slip of the tool must not make one: it is believed when it comes twice.
        let mut published = self.add(&turn, &index, &plan, id).await?;
        if let Err(Refusal(reason)) = &published {
            tracing::warn!(package = %set.package, %reason, "refused; tried once more");
            published = self.add(&turn, &index, &plan, id).await?;
        }
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
        let turn = &self.turn().await?;
        let (_, before) = self.current().await?;
        let (mut going, mut staying) = (Index::new(), Index::new());
        for (slot, entry) in before.clone() {
            let goes = judge::is_wanted(&entry, wanted, &*self.order);
            if goes { &mut going } else { &mut staying }.insert(slot, entry);
        }
        if going.is_empty() || wanted.dry_run {
            return Ok(index::listed(&going));
        }
        let mut transaction = self.begin(turn).await?;
        transaction.exclude(&*self.tool, wanted).await?;
        let expected = judge::as_is(&staying);
        transaction.record(&judge::left(&before, &expected), None)?;
        let done = self.finish(turn, transaction, expected, Vec::new()).await?;
        done.map_err(|r| error::corrupt(r.0)).map(|_| index::listed(&going))
    }

    async fn keys(&self) -> Result<Vec<SigningKey>> {
        let _turn = self.turn().await?;
        self.key().signing().await
    }

    async fn roll_key(&self, wanted: &KeyRoll) -> Result<Vec<SigningKey>> {
        let turn = self.turn().await?;
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
