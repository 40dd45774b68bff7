//! The names of the base distributions, from their archives' signed indices.
//!
//! | to know | open |
//! |---|---|
//! | what a `[names]` table says | `config.rs` |
//! | how an index is fetched and checked | `apt.rs` |
//! | what is kept of an index | `index.rs` |
//!
//! Suites of the format `deb` have an index. Those of `rpm` and `python` have none yet: there every name is free.

mod apt;
mod config;
mod index;

pub use config::{NamesConfig, Unavailable};
#[cfg(feature = "fuzz")]
pub use index::fuzz_names;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::base::{BaseIndex, BaseSource, BaseStatus, BaseSuite, unavailable};
use pybit_core::clock::{Clock, SystemClock, Timestamp};
use pybit_core::model::{Dist, FormatName, PackageName, Suite};
use pybit_core::owners::BaseOwner;
use pybit_core::{Error, ErrorKind, Result};

use apt::SuiteApt;
use index::NameIndex;

use crate::exec::Exec;

/// The pause after a fetch that failed.
const RETRY: Duration = Duration::from_mins(10);
/// The format whose base distributions have an index.
const FORMAT: &str = "deb";

/// The indices of the archives that a farm's suites stand on.
#[derive(Debug)]
pub struct ArchiveNames {
    config: NamesConfig,
    /// The directory of the indices, with a directory for each suite.
    dir: PathBuf,
    /// The archives for suites that `config` names none for, as lines of `sources.list(5)`; the machine's own where there are none.
    mirror: Option<Vec<String>>,
    exec: Exec,
    clock: Arc<dyn Clock>,
    suites: Mutex<BTreeMap<Key, State>>,
    /// One fetch at a time.
    fetching: tokio::sync::Mutex<()>,
}

type Key = (Dist, Suite);

/// The index of one suite and its age.
#[derive(Debug, Clone, Default)]
struct State {
    index: Option<Arc<NameIndex>>,
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    error: Option<String>,
}

impl ArchiveNames {
    /// Indices in `dir`, fetched with `exec`. `mirror` is for suites that the configuration names no archives for, as the roots' are made
    /// from them. Nothing is fetched before [`refresh`](BaseIndex::refresh).
    pub fn new(
        config: NamesConfig,
        dir: impl Into<PathBuf>,
        mirror: Option<Vec<String>>,
        exec: Exec,
    ) -> Self {
        Self {
            config,
            dir: dir.into(),
            mirror,
            exec,
            clock: Arc::new(SystemClock),
            suites: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    fn suites(&self) -> MutexGuard<'_, BTreeMap<Key, State>> {
        self.suites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apt<'a>(&'a self, suite: &'a BaseSuite) -> SuiteApt<'a> {
        let own = self.config.mirror.get(&suite.suite).map(Vec::as_slice);
        SuiteApt {
            exec: &self.exec,
            root: self.dir.join(format!("{}-{}", suite.dist, suite.suite)),
            suite,
            mirror: own.or(self.mirror.as_deref()),
        }
    }

    /// The index to ask; nothing where there is none and every name is free.
    fn index(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
    ) -> Result<Option<Arc<NameIndex>>> {
        if format.as_str() != FORMAT {
            return Ok(None);
        }
        let state = self.suites().get(&(dist.clone(), suite.clone())).cloned().unwrap_or_default();
        match (state.index, self.config.unavailable) {
            (None, Unavailable::Refuse) => Err(unavailable(dist, suite, state.error.as_deref())),
            (index, _) => Ok(index),
        }
    }

    /// Brings one suite up to date where that is due; whether it was fetched.
    async fn refresh_one(&self, suite: &BaseSuite) -> Result<bool> {
        let (key, apt, now) =
            ((suite.dist.clone(), suite.suite.clone()), self.apt(suite), self.clock.now());
        let mut state = self.suites().entry(key.clone()).or_default().clone();
        if state.tried_at.is_some_and(|at| now.since(at) < RETRY) {
            return Ok(false);
        }
        if state.index.is_none()
            && let Some(at) = apt.fetched_at()
            && let Ok(index) = apt.read().await
        {
            // The server was started anew; the signatures were checked when this was fetched.
            state = State { index: Some(Arc::new(index)), fetched_at: Some(at), ..state };
            self.suites().insert(key.clone(), state.clone());
        }
        let is_fresh = |at| now.since(at) < self.config.max_age();
        if state.index.is_some() && state.fetched_at.is_some_and(is_fresh) {
            return Ok(false);
        }
        let fetched = match apt.fetch(now).await {
            Ok(()) => apt.read().await,
            Err(e) => Err(e),
        };
        let (state, outcome) = match fetched {
            Ok(index) => {
                let index = Some(Arc::new(index));
                (State { index, fetched_at: Some(now), tried_at: None, error: None }, Ok(true))
            }
            Err(e) => {
                let error = Some(e.message().to_owned());
                (State { tried_at: Some(now), error, ..state }, Err(e))
            }
        };
        self.suites().insert(key, state);
        outcome
    }

    fn tell(&self, suite: &BaseSuite, error: &Error) {
        let known = self.suites().get(&(suite.dist.clone(), suite.suite.clone())).cloned();
        let BaseSuite { dist, suite, .. } = suite;
        if known.is_some_and(|state| state.index.is_some()) {
            tracing::warn!(%dist, %suite, %error, "the index of the distribution's names is not renewed; the old one stays in use");
        } else if self.config.unavailable == Unavailable::Refuse {
            tracing::error!(%dist, %suite, %error, "there is no index of the distribution's names: submissions and publications wait for it");
        } else {
            tracing::error!(%dist, %suite, %error, "there is no index of the distribution's names: every name is taken from everybody");
        }
    }
}

#[async_trait]
impl BaseIndex for ArchiveNames {
    async fn owners(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        binaries: &[String],
    ) -> Result<BTreeMap<String, BaseOwner>> {
        let Some(index) = self.index(dist, suite, format)? else { return Ok(BTreeMap::new()) };
        let owner = |binary: &String| {
            let source = index.owner(binary)?.to_owned();
            Some((binary.clone(), BaseOwner { distribution: format!("{dist} {suite}"), source }))
        };
        Ok(binaries.iter().filter_map(owner).collect())
    }

    async fn source(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        name: &PackageName,
    ) -> Result<Vec<BaseSource>> {
        let index = self.index(dist, suite, format)?;
        Ok(index.map(|index| index.source(name.as_str())).unwrap_or_default())
    }

    fn status(&self) -> Vec<BaseStatus> {
        let Ok(format) = FORMAT.parse::<FormatName>() else { return Vec::new() };
        let count = |n: Option<usize>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
        let status = |((dist, suite), state): (&Key, &State)| BaseStatus {
            dist: dist.clone(),
            suite: suite.clone(),
            format: format.clone(),
            fetched_at: state.fetched_at,
            names: count(state.index.as_ref().map(|i| i.names())),
            sources: count(state.index.as_ref().map(|i| i.sources())),
            error: state.error.clone(),
        };
        self.suites().iter().map(status).collect()
    }

    async fn refresh(&self, suites: &[BaseSuite]) -> Result<usize> {
        let Ok(_turn) = self.fetching.try_lock() else { return Ok(0) };
        let suites = suites.iter().filter(|s| s.format.as_str() == FORMAT);
        let mut fetched = 0;
        for suite in suites {
            match self.refresh_one(suite).await {
                Ok(was_fetched) => fetched += usize::from(was_fetched),
                Err(e) if e.kind() == ErrorKind::Busy => {}
                Err(e) => self.tell(suite, &e),
            }
        }
        Ok(fetched)
    }
}
