//! The names of the base distributions, from their archives' signed indices.
//!
//! | to know | open |
//! |---|---|
//! | what a `[names]` table says | `config.rs` |
//! | how an index is fetched and checked | `apt.rs` (deb), `rpm.rs` with `detached.rs` and `http.rs` |
//! | how its text is read | `index.rs` (deb), `primary.rs` and `xml.rs` (rpm) |
//! | what is kept of an index | `index.rs` |
//! | how a public index of Python projects is asked | `public.rs`, `simple.rs`, `cache.rs` |
//!
//! Suites of the format `deb` have an index. Those of `rpm` and `python` have one where the configuration names its address; elsewhere
//! every name is free.

mod apt;
mod cache;
mod config;
mod detached;
mod http;
mod index;
mod primary;
mod public;
mod rpm;
mod simple;
mod suites;
mod xml;

pub use config::{NamesConfig, PythonArchive, RpmArchive, Unavailable};
#[cfg(feature = "fuzz")]
pub use {index::fuzz_names, primary::fuzz_rpm_names, simple::fuzz_simple};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use pybit_core::base::{BaseIndex, BaseSource, BaseStatus, BaseSuite, unavailable};
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::model::{Dist, FormatName, PackageName, Suite};
use pybit_core::owners::BaseOwner;
use pybit_core::{Error, ErrorKind, Result};

use public::PublicIndex;
use suites::Suites;

use crate::exec::Exec;
use crate::python::normal;

/// The format whose base distributions are asked name by name.
const PYTHON: &str = "python";
/// The most names that are asked about at a time.
const MAX_QUESTIONS: usize = 8;

/// The indices of the archives that a farm's suites stand on.
#[derive(Debug)]
pub struct ArchiveNames {
    suites: Suites,
    public: Option<PublicIndex>,
}

impl ArchiveNames {
    /// Indices in `dir`, fetched with `exec`. `mirror` is for suites that the configuration names no archives for, as the roots' are made
    /// from them. Nothing is fetched before [`refresh`](BaseIndex::refresh), and no public index is asked before it is needed.
    pub fn new(
        config: NamesConfig,
        dir: impl Into<PathBuf>,
        mirror: Option<Vec<String>>,
        exec: Exec,
    ) -> Self {
        let max_age = config.max_age();
        let public = config.python.clone().map(|archive| PublicIndex::new(archive, max_age));
        let clock = Arc::new(SystemClock);
        Self { suites: Suites::new(config, dir.into(), mirror, exec, clock), public }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.suites.clock = clock;
        self
    }

    /// The public index that answers for a format.
    fn public(&self, format: &FormatName) -> Option<&PublicIndex> {
        self.public.as_ref().filter(|_| format.as_str() == PYTHON)
    }

    fn clock(&self) -> &dyn Clock {
        &*self.suites.clock
    }

    /// The public index's sources of a name; `None` where it is free. A text that no project can be called by is free.
    async fn asked(
        &self,
        public: &PublicIndex,
        (dist, suite): (&Dist, &Suite),
        name: &str,
    ) -> Result<Option<Arc<[BaseSource]>>> {
        let Some(name) = normal(name) else { return Ok(None) };
        match public.sources(&name, self.clock()).await {
            Err(error) if self.suites.config.unavailable == Unavailable::Allow => {
                tracing::error!(%dist, %suite, name, %error, "the public index does not answer: the name is taken from everybody");
                Ok(None)
            }
            Err(error) => Err(unavailable(dist, suite, Some(error.message()))),
            answer => answer,
        }
    }
}

#[async_trait]
impl BaseIndex for ArchiveNames {
    fn described(&self, dist: &Dist, suite: &Suite, format: &FormatName) -> String {
        self.public(format).map_or_else(|| format!("{dist} {suite}"), PublicIndex::described)
    }

    async fn owners(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        binaries: &[String],
    ) -> Result<BTreeMap<String, BaseOwner>> {
        let distribution = self.described(dist, suite, format);
        let owner = |binary: &String, source: String| {
            (binary.clone(), BaseOwner { distribution: distribution.clone(), source })
        };
        let Some(public) = self.public(format) else {
            let Some(index) = self.suites.index(dist, suite, format)? else {
                return Ok(BTreeMap::new());
            };
            let known = |binary: &String| Some(owner(binary, index.owner(binary)?.to_owned()));
            return Ok(binaries.iter().filter_map(known).collect());
        };
        // A project of an index bears the name of its source.
        let ask = move |binary: String| async move {
            let known = self.asked(public, (dist, suite), &binary).await?;
            Ok::<_, Error>(known.and_then(|_| Some((normal(&binary)?, binary))))
        };
        let asked: Vec<_> =
            stream::iter(binaries.to_vec()).map(ask).buffered(MAX_QUESTIONS).try_collect().await?;
        Ok(asked.into_iter().flatten().map(|(source, binary)| owner(&binary, source)).collect())
    }

    async fn source(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        name: &PackageName,
    ) -> Result<Vec<BaseSource>> {
        if let Some(public) = self.public(format) {
            let known = self.asked(public, (dist, suite), name.as_str()).await?;
            return Ok(known.map(|known| known.to_vec()).unwrap_or_default());
        }
        let index = self.suites.index(dist, suite, format)?;
        Ok(index.map(|index| index.source(name.as_str())).unwrap_or_default())
    }

    fn status(&self) -> Vec<BaseStatus> {
        self.suites.status(self.public.as_ref())
    }

    async fn refresh(&self, suites: &[BaseSuite]) -> Result<usize> {
        let Ok(_turn) = self.suites.fetching.try_lock() else { return Ok(0) };
        let mut fetched = 0;
        for suite in suites {
            let done = match self.public(&suite.format) {
                Some(public) => {
                    self.suites.note(suite);
                    public.prove(self.clock()).await
                }
                None => self.suites.refresh_one(suite).await,
            };
            match done {
                Ok(was_fetched) => fetched += usize::from(was_fetched),
                Err(e) if e.kind() == ErrorKind::Busy => {}
                Err(e) => self.suites.tell(suite, &e),
            }
        }
        Ok(fetched)
    }
}
