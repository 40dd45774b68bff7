//! A public index of Python projects, asked name by name.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use pybit_core::base::BaseSource;
use pybit_core::clock::{Clock, Timestamp};
use pybit_core::{Error, ErrorKind, Result};
use reqwest::StatusCode;
use tokio::sync::Semaphore;
use url::Url;

use super::cache::{Answer, Cache};
use super::config::PythonArchive;
use super::http::{Http, broken, unavailable};
use super::simple;

/// The longest answer about one name.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest page of one project, in bytes.
const MAX_PAGE: usize = 32 << 20;
/// The pause after a question that was not answered.
const RETRY: Duration = Duration::from_secs(30);
/// The most questions at a time.
const MAX_QUESTIONS: usize = 8;
/// JSON first; the page of an index that has none says at least that the name is its own.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";

/// The public index and its answers.
#[derive(Debug)]
pub(super) struct PublicIndex {
    archive: PythonArchive,
    max_age: Duration,
    http: OnceLock<Http>,
    questions: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cache: Cache,
    /// When the index was last found to know the project that it must have.
    proved_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    error: Option<String>,
}

/// The state of the index, for people.
#[derive(Debug)]
pub(super) struct PublicStatus {
    pub(super) proved_at: Option<Timestamp>,
    pub(super) names: usize,
    pub(super) sources: usize,
    pub(super) error: Option<String>,
}

impl PublicIndex {
    pub(super) fn new(archive: PythonArchive, max_age: Duration) -> Self {
        Self {
            archive,
            max_age,
            http: OnceLock::new(),
            questions: Semaphore::new(MAX_QUESTIONS),
            state: Mutex::default(),
        }
    }

    pub(super) fn described(&self) -> String {
        format!("the public index {}", self.archive.index.host_str().unwrap_or_default())
    }

    pub(super) fn status(&self) -> PublicStatus {
        let state = self.state();
        let (names, sources) = state.cache.counts();
        PublicStatus { proved_at: state.proved_at, names, sources, error: state.error.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for the project that the index must have, where the last such answer is old; whether that was done.
    pub(super) async fn prove(&self, clock: &dyn Clock) -> Result<bool> {
        let fresh = |at| clock.now().since(at) < self.max_age;
        if self.state().proved_at.is_some_and(fresh) {
            return Ok(false);
        }
        let probe = self.archive.probe.as_str();
        let known = self.ask(probe, clock).await?;
        if known.is_none() {
            let why = format!("it does not know {probe}, so it is no public index (probe)");
            return Err(self.failed(clock, &unavailable(&self.archive.index, &why)));
        }
        self.state().proved_at = Some(clock.now());
        Ok(true)
    }

    /// The index's sources of a name in its normal form; `None` where the name is free. An old answer serves while there is no new one.
    pub(super) async fn sources(
        &self,
        name: &str,
        clock: &dyn Clock,
    ) -> Result<Option<Arc<[BaseSource]>>> {
        let old = self.state().cache.get(name).cloned();
        if let Some(old) = old.as_ref().filter(|old| clock.now().since(old.at) < self.max_age) {
            return Ok(old.sources.clone());
        }
        let asked = match self.prove(clock).await {
            Ok(_) => self.ask(name, clock).await,
            Err(e) => Err(e),
        };
        match (asked, old) {
            (Err(error), Some(old)) => {
                tracing::warn!(name, %error, "the public index does not answer; its old answer stays in use");
                Ok(old.sources)
            }
            (asked, _) => asked,
        }
    }

    /// Asks the index, unless it did not answer a moment ago.
    async fn ask(&self, name: &str, clock: &dyn Clock) -> Result<Option<Arc<[BaseSource]>>> {
        let _turn = self.questions.acquire().await.map_err(|e| {
            Error::internal("the questions of the public index have ended").with_source(e)
        })?;
        let (failed_at, error) = {
            let state = self.state();
            (state.failed_at, state.error.clone())
        };
        if let Some(error) =
            error.filter(|_| failed_at.is_some_and(|at| clock.now().since(at) < RETRY))
        {
            return Err(Error::new(ErrorKind::Unavailable, error));
        }
        let sources = self.get(name).await.map_err(|e| self.failed(clock, &e))?;
        let mut state = self.state();
        (state.failed_at, state.error) = (None, None);
        state.cache.insert(name, Answer { at: clock.now(), sources: sources.clone() });
        Ok(sources)
    }

    fn failed(&self, clock: &dyn Clock, error: &Error) -> Error {
        let mut state = self.state();
        state.failed_at = Some(clock.now());
        state.error = Some(error.message().to_owned());
        Error::new(ErrorKind::Unavailable, error.message().to_owned())
    }

    async fn get(&self, name: &str) -> Result<Option<Arc<[BaseSource]>>> {
        let url = self.page(name)?;
        let http = match self.http.get() {
            Some(http) => http,
            None => self.http.get_or_init({
                let http = Http::new(&self.archive.index)?;
                || http
            }),
        };
        let mut answer = http.get(&url, ACCEPT, ANSWER_TIMEOUT).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            // A project that is blocked or gone: nobody else may take its name. A busy index is asked again.
            StatusCode::FORBIDDEN
            | StatusCode::GONE
            | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS
                if name != self.archive.probe.as_str() =>
            {
                return Ok(Some(simple::sources(name, b"").into()));
            }
            status => return Err(unavailable(&url, &format!("the answer is {status}"))),
        }
        let mut page = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|e| broken(&url, e))? {
            if page.len() + part.len() > MAX_PAGE {
                tracing::warn!(
                    name,
                    "the public index has a page of this name that is too large; nothing of it is its own bytes"
                );
                page.clear();
                break;
            }
            page.extend_from_slice(&part);
        }
        Ok(Some(simple::sources(name, &page).into()))
    }

    fn page(&self, name: &str) -> Result<Url> {
        let mut url = self.archive.index.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend([name, ""]),
            Err(()) => return Err(unavailable(&self.archive.index, "it is no address of files")),
        };
        Ok(url)
    }
}
