//! The indices of suites: which are there, how old they are, and when they are fetched anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pybit_core::base::{BaseStatus, BaseSuite, unavailable};
use pybit_core::clock::{Clock, Timestamp};
use pybit_core::model::{Dist, FormatName, Suite};
use pybit_core::{Error, Result};

use super::PYTHON;
use super::apt::SuiteApt;
use super::config::{NamesConfig, Unavailable};
use super::index::NameIndex;
use super::public::PublicIndex;
use super::rpm::SuiteRpm;
use crate::exec::Exec;

/// The pause after a fetch that failed.
const RETRY: Duration = Duration::from_mins(10);
/// The format whose indices are fetched with apt.
const DEB: &str = "deb";
/// The format whose indices are those of configured repositories.
const RPM: &str = "rpm";

/// The indices of all suites.
#[derive(Debug)]
pub(super) struct Suites {
    pub(super) config: NamesConfig,
    /// The directory of the indices, with a directory for each suite.
    dir: PathBuf,
    /// The archives for `deb` suites that `config` names none for, as lines of `sources.list(5)`; the machine's own where there are none.
    mirror: Option<Vec<String>>,
    exec: Exec,
    pub(super) clock: Arc<dyn Clock>,
    states: Mutex<BTreeMap<Key, State>>,
    /// One fetch at a time.
    pub(super) fetching: tokio::sync::Mutex<()>,
}

type Key = (Dist, Suite, FormatName);

fn key(suite: &BaseSuite) -> Key {
    (suite.dist.clone(), suite.suite.clone(), suite.format.clone())
}

/// The index of one suite and its age.
#[derive(Debug, Clone, Default)]
struct State {
    index: Option<Arc<NameIndex>>,
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    error: Option<String>,
}

/// The archives of one suite.
enum SuiteArchive<'a> {
    Apt(SuiteApt<'a>),
    Rpm(SuiteRpm<'a>),
}

impl SuiteArchive<'_> {
    fn fetched_at(&self) -> Option<Timestamp> {
        match self {
            Self::Apt(apt) => apt.fetched_at(),
            Self::Rpm(rpm) => rpm.fetched_at(),
        }
    }

    async fn read(&self) -> Result<NameIndex> {
        match self {
            Self::Apt(apt) => apt.read().await,
            Self::Rpm(rpm) => rpm.read().await,
        }
    }

    async fn fetch(&self, now: Timestamp) -> Result<NameIndex> {
        match self {
            Self::Apt(apt) => {
                apt.fetch(now).await?;
                apt.read().await
            }
            Self::Rpm(rpm) => rpm.fetch(now).await,
        }
    }
}

impl Suites {
    pub(super) fn new(
        config: NamesConfig,
        dir: PathBuf,
        mirror: Option<Vec<String>>,
        exec: Exec,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (states, fetching) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { config, dir, mirror, exec, clock, states, fetching }
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<Key, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The archives of a suite; nothing where its base distribution has no index.
    fn archive<'a>(&'a self, suite: &'a BaseSuite) -> Option<SuiteArchive<'a>> {
        let (exec, named) = (&self.exec, format!("{}-{}", suite.dist, suite.suite));
        match suite.format.as_str() {
            DEB => {
                let own = self.config.mirror.get(&suite.suite).map(Vec::as_slice);
                let mirror = own.or(self.mirror.as_deref());
                Some(SuiteArchive::Apt(SuiteApt {
                    exec,
                    root: self.dir.join(named),
                    suite,
                    mirror,
                }))
            }
            RPM => {
                let archive = self.config.rpm.get(&suite.suite)?;
                let root = self.dir.join(RPM).join(named);
                Some(SuiteArchive::Rpm(SuiteRpm { exec, root, suite, archive }))
            }
            _ => None,
        }
    }

    /// The index to ask; nothing where there is none and every name is free.
    pub(super) fn index(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
    ) -> Result<Option<Arc<NameIndex>>> {
        let has_index = match format.as_str() {
            DEB => true,
            RPM => self.config.rpm.contains_key(suite),
            _ => false,
        };
        if !has_index {
            return Ok(None);
        }
        let key = (dist.clone(), suite.clone(), format.clone());
        let state = self.states().get(&key).cloned().unwrap_or_default();
        match (state.index, self.config.unavailable) {
            (None, Unavailable::Refuse) => Err(unavailable(dist, suite, state.error.as_deref())),
            (index, _) => Ok(index),
        }
    }

    /// Takes a suite into the list of [`status`](Self::status).
    pub(super) fn note(&self, suite: &BaseSuite) {
        self.states().entry(key(suite)).or_default();
    }

    /// Brings one suite up to date where that is due; whether it was fetched.
    pub(super) async fn refresh_one(&self, suite: &BaseSuite) -> Result<bool> {
        let Some(archive) = self.archive(suite) else { return Ok(false) };
        let (key, now) = (key(suite), self.clock.now());
        let mut state = self.states().entry(key.clone()).or_default().clone();
        if state.tried_at.is_some_and(|at| now.since(at) < RETRY) {
            return Ok(false);
        }
        if state.index.is_none()
            && let Some(at) = archive.fetched_at()
            && let Ok(index) = archive.read().await
        {
            // The server was started anew; the signatures were checked when this was fetched.
            state = State { index: Some(Arc::new(index)), fetched_at: Some(at), ..state };
            self.states().insert(key.clone(), state.clone());
        }
        let is_fresh = |at| now.since(at) < self.config.max_age();
        if state.index.is_some() && state.fetched_at.is_some_and(is_fresh) {
            return Ok(false);
        }
        let (state, outcome) = match archive.fetch(now).await {
            Ok(index) => {
                let index = Some(Arc::new(index));
                (State { index, fetched_at: Some(now), tried_at: None, error: None }, Ok(true))
            }
            Err(e) => {
                let error = Some(e.message().to_owned());
                (State { tried_at: Some(now), error, ..state }, Err(e))
            }
        };
        self.states().insert(key, state);
        outcome
    }

    /// The alarm about an index that is not renewed, in the log.
    pub(super) fn tell(&self, suite: &BaseSuite, error: &Error) {
        let known = self.states().get(&key(suite)).cloned();
        let BaseSuite { dist, suite, format, .. } = suite;
        if known.is_some_and(|state| state.index.is_some()) {
            tracing::warn!(%dist, %suite, %format, %error, "the index of the distribution's names is not renewed; the old one stays in use");
        } else if self.config.unavailable == Unavailable::Refuse {
            tracing::error!(%dist, %suite, %format, %error, "there is no index of the distribution's names: submissions and publications wait for it");
        } else {
            tracing::error!(%dist, %suite, %format, %error, "there is no index of the distribution's names: every name is taken from everybody");
        }
    }

    /// The state of each suite; `public` answers for those of the format `python`.
    pub(super) fn status(&self, public: Option<&PublicIndex>) -> Vec<BaseStatus> {
        let public = public.map(PublicIndex::status);
        let count = |n: usize| u64::try_from(n).unwrap_or_default();
        let status = |((dist, suite, format), state): (&Key, &State)| {
            let public = public.as_ref().filter(|_| format.as_str() == PYTHON);
            let index = state.index.as_ref();
            let (names, sources) = (index.map(|i| i.names()), index.map(|i| i.sources()));
            BaseStatus {
                dist: dist.clone(),
                suite: suite.clone(),
                format: format.clone(),
                fetched_at: public.map_or(state.fetched_at, |p| p.proved_at),
                names: count(public.map(|p| p.names).or(names).unwrap_or_default()),
                sources: count(public.map(|p| p.sources).or(sources).unwrap_or_default()),
                error: public.map_or(state.error.clone(), |p| p.error.clone()),
            }
        };
        self.states().iter().map(status).collect()
    }
}
