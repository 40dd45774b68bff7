//! Where the state in memory can be kept: what an outside storage has to bring.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;

/// What becomes of one row in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The row has this value from now on, whether it was there or not.
    Put {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
    /// The row is there no more.
    Remove {
        /// Its key.
        key: String,
    },
}

/// Rows of text that outlive the process: the whole of what a backend brings so that
/// [`MemoryStorage::kept_in`](super::MemoryStorage::kept_in) makes a [`Storage`](crate::storage::Storage) of it.
///
/// A key is at most a few hundred bytes long, a value usually below 10 KiB; both are UTF-8 and mean nothing to the
/// backend. All rows are in memory too, and are read from the backend only when it is opened and after a failure.
///
/// A backend keeps another process from opening the same rows while it has them (an exclusive lock): two farms that
/// write through to the same rows would each overwrite what the other knows. It fails then, `Busy` or `Unavailable`.
///
/// `conformance::ROWS` holds a case of the same name for each of the promises.
#[async_trait]
pub trait Rows: Send + Sync + fmt::Debug {
    /// Every row, as (key, value), in any order.
    ///
    /// - `a_load_returns_what_was_put_last`: every key once, with the value that it was last put with, none that was removed.
    /// - `any_text_comes_back`: control characters, quotes, NUL, any length up to 1 MiB.
    /// - `a_load_settles_what_was_begun`: of a commit whose end nobody awaited it shows all or nothing, and what it does not
    ///   show does not come later.
    async fn load(&self) -> Result<Vec<(String, String)>>;

    /// Keeps all of these writes or none of them; no key stands twice. Nothing else is committed at the same time.
    ///
    /// When it returns `Ok` they survive the end of the process and of the machine. When it fails they may be kept or not:
    /// the next `load` says which.
    ///
    /// - `a_batch_is_kept_whole`: however many writes it has, and no other row changes.
    /// - `removing_what_is_not_there_is_no_failure`: and changes nothing.
    async fn commit(&self, batch: Vec<Write>) -> Result<()>;

    /// Whether the backend answers. Not needed where there is nothing to ask.
    async fn health(&self) -> Result<()> {
        Ok(())
    }
}
