//! Public conformance suites: what every backend of a trait must pass, ours and a third party's alike.
//!
//! Each bullet in a trait's documentation has one [`Case`] of that name in [`STORAGE`], [`ROWS`], [`TRANSPORT`]
//! or [`VERSION_ORDER`]; a test compares the two. [`run`] gives every case a fresh backend and names each that fails.
//!
//! ```
//! use std::sync::Arc;
//!
//! use pybit_core::conformance::{Fixture, STORAGE, run};
//! use pybit_core::memory::MemoryStorage;
//! use pybit_core::storage::Storage;
//!
//! struct InMemory;
//!
//! #[async_trait::async_trait]
//! impl Fixture<dyn Storage> for InMemory {
//!     async fn fresh(&self) -> Arc<dyn Storage> {
//!         Arc::new(MemoryStorage::default())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap().block_on(async {
//! assert_eq!(run(STORAGE, &InMemory).await, STORAGE.len());
//! # });
//! ```
#![expect(clippy::missing_panics_doc, reason = "a case that fails panics: that is how it says so")]

mod rows;
mod storage;
pub mod support;
mod transport;
mod version;

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use rows::ROWS;
pub use storage::STORAGE;
pub use transport::TRANSPORT;
pub use version::{VERSION_ORDER, VersionSamples};

/// A case may take this long, with a real service on a busy machine; then it has failed.
const LONGEST_CASE: Duration = Duration::from_mins(1);

/// A case at work; it panics when the backend breaks its promise.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One promise of a trait, and the way to check it.
pub struct Case<B: ?Sized> {
    /// The name of the bullet in the trait's documentation.
    pub name: &'static str,
    /// Whether this backend promises it at all; a case it does not need to pass is left out.
    pub needs: fn(&B) -> bool,
    /// Checks it on a backend that nobody else uses.
    pub run: fn(Arc<B>) -> Running,
}

impl<B: ?Sized> fmt::Debug for Case<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a suite gets its backends from.
#[async_trait]
pub trait Fixture<B: ?Sized + Send + Sync>: Send + Sync {
    /// A backend that nobody has used before and that shares nothing with the earlier ones.
    async fn fresh(&self) -> Arc<B>;
}

/// Runs every case that the backend needs to pass, each on a fresh backend, and returns how many those were.
///
/// To be called on a tokio runtime with time; one with several threads makes the concurrent cases really concurrent.
///
/// # Panics
///
/// After the last case, if any has failed: with the name of each and what it said.
pub async fn run<B: ?Sized + Send + Sync + 'static>(
    cases: &[Case<B>],
    fixture: &(impl Fixture<B> + ?Sized),
) -> usize {
    let mut ran = 0;
    let mut failed = Vec::new();
    for case in cases {
        let backend = fixture.fresh().await;
        if !(case.needs)(&backend) {
            continue;
        }
        ran += 1;
        if let Err(why) = run_one(case, backend).await {
            failed.push(format!("  {}: {why}", case.name));
        }
    }
    assert!(failed.is_empty(), "{} of {ran} cases failed:\n{}", failed.len(), failed.join("\n"));
    ran
}

async fn run_one<B: ?Sized>(case: &Case<B>, backend: Arc<B>) -> Result<(), String> {
    let mut task = tokio::spawn((case.run)(backend));
    match tokio::time::timeout(LONGEST_CASE, &mut task).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ended)) => Err(words(ended)),
        Err(_) => {
            task.abort();
            Err(format!("it did not end within {LONGEST_CASE:?}"))
        }
    }
}

/// What the panic of a case said.
fn words(ended: tokio::task::JoinError) -> String {
    let panic: Box<dyn Any + Send> = match ended.try_into_panic() {
        Ok(panic) => panic,
        Err(ended) => return ended.to_string(),
    };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked without a word").to_owned()
}

/// A list of cases, each an `async fn(Arc<B>)` of a module, under its own name; `if` says what the backend must be.
macro_rules! cases {
    ($($module:ident { $($name:ident $(if $needs:expr)?),* $(,)? })*) => {
        &[$($($crate::conformance::Case {
            name: stringify!($name),
            needs: $crate::conformance::cases!(@needs $($needs)?),
            run: |backend| Box::pin($module::$name(backend)),
        },)*)*]
    };
    (@needs) => { |_| true };
    (@needs $needs:expr) => { $needs };
}
use cases;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::Regex;

    use super::*;

    fn names<B: ?Sized>(cases: &'static [Case<B>]) -> BTreeSet<String> {
        let names: BTreeSet<_> = cases.iter().map(|c| c.name.to_owned()).collect();
        assert_eq!(names.len(), cases.len(), "a name stands twice");
        names
    }

    fn bullets(sources: &[&str]) -> BTreeSet<String> {
        let bullet = Regex::new("(?m)^ */// - `([a-z0-9_]+)`: ").unwrap();
        let all = sources.iter().flat_map(|s| bullet.captures_iter(s));
        all.map(|found| found[1].to_owned()).collect()
    }

    #[test]
    fn every_bullet_has_a_case_and_every_case_a_bullet() {
        let storage = [
            include_str!("../storage/accounts.rs"),
            include_str!("../storage/catalog.rs"),
            include_str!("../storage/clients.rs"),
            include_str!("../storage/jobs.rs"),
            include_str!("../storage/orders.rs"),
            include_str!("../storage/packages.rs"),
            include_str!("../storage/streams.rs"),
        ];
        assert!(bullets(&storage).len() > 60, "the bullets are found");
        assert_eq!(names(STORAGE), bullets(&storage));
        assert_eq!(names(ROWS), bullets(&[include_str!("../memory/rows.rs")]));
        assert_eq!(names(TRANSPORT), bullets(&[include_str!("../transport.rs")]));
        assert_eq!(names(VERSION_ORDER), bullets(&[include_str!("../version.rs")]));
    }

    struct Fresh;

    #[async_trait]
    impl Fixture<u32> for Fresh {
        async fn fresh(&self) -> Arc<u32> {
            Arc::new(7)
        }
    }

    const MIXED: &[Case<u32>] = &[
        Case {
            name: "holds",
            needs: |_| true,
            run: |n| Box::pin(async move { assert_eq!(*n, 7) }),
        },
        Case {
            name: "breaks",
            needs: |_| true,
            run: |n| Box::pin(async move { assert_eq!(*n, 8) }),
        },
        Case { name: "left_out", needs: |n| *n == 8, run: |_| Box::pin(async { panic!("ran") }) },
        Case { name: "breaks_too", needs: |_| true, run: |_| Box::pin(async { panic!("no") }) },
    ];

    #[tokio::test]
    async fn the_runner_names_every_case_that_fails_and_no_other() {
        let ended = tokio::spawn(run(MIXED, &Fresh)).await.unwrap_err();
        let said = words(ended);
        assert!(said.starts_with("2 of 3 cases failed"), "{said}");
        assert!(said.contains("  breaks: ") && said.contains("  breaks_too: no"), "{said}");
        assert!(!said.contains("holds") && !said.contains("left_out"), "{said}");
        assert_eq!(run(&MIXED[..1], &Fresh).await, 1);
    }
}
