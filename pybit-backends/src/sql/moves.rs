//! The allowed moves of names.

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::model::{PackageName, SuiteMove};
use serde::{Deserialize, Serialize};
use sqlx::Transaction;

use super::{Call, Cells, Dialect, call, statements as sql};

/// The column `move`.
#[derive(Serialize, Deserialize)]
pub(in crate::sql) struct StoredMove {
    binary: PackageName,
    from: PackageName,
    to: PackageName,
    why: String,
    by: String,
    at: Option<Timestamp>,
}

impl StoredMove {
    /// Binary package, owner and the source that may publish it.
    pub(in crate::sql) fn names(&self) -> [String; 3] {
        [&self.binary, &self.from, &self.to].map(|name| name.as_str().to_owned())
    }
}

pub(super) async fn all<D: Dialect>(
    transaction: &mut Transaction<'static, D>,
) -> Result<Vec<SuiteMove>> {
    Ok(numbered::<D>(transaction).await?.into_iter().map(|(_, moved)| moved).collect())
}

async fn numbered<D: Dialect>(
    transaction: &mut Transaction<'static, D>,
) -> Result<Vec<(i64, SuiteMove)>> {
    Call::<D>::new(&sql::NAME_MOVES).all(transaction, name_move).await
}

/// Adds a move that is not there yet.
pub(super) async fn put<D: Dialect>(
    transaction: &mut Transaction<'static, D>,
    moved: &SuiteMove,
) -> Result<()> {
    if all::<D>(transaction).await?.iter().any(|there| there.is_same(moved)) {
        return Ok(());
    }
    add::<D>(transaction, moved).await
}

pub(super) async fn add<D: Dialect>(
    transaction: &mut Transaction<'static, D>,
    moved: &SuiteMove,
) -> Result<()> {
    let SuiteMove { dist, suite, format, binary, from, to, why, by, at } = moved.clone();
    let stored = StoredMove { binary, from, to, why, by, at };
    Call::<D>::new(&sql::NAME_MOVE_ADD)
        .text(dist.as_str())
        .text(suite.as_str())
        .text(format.as_str())
        .text(&call::json(&stored)?)
        .run_one(transaction)
        .await
}

pub(super) async fn remove<D: Dialect>(
    transaction: &mut Transaction<'static, D>,
    moved: &SuiteMove,
) -> Result<()> {
    let there = numbered::<D>(transaction).await?;
    let Some((id, _)) = there.into_iter().find(|(_, m)| m == moved) else { return Ok(()) };
    Call::<D>::new(&sql::NAME_MOVE_REMOVE).int(id).run_one(transaction).await
}

fn name_move<D: Dialect>(c: &Cells<'_, D>) -> Result<(i64, SuiteMove)> {
    let StoredMove { binary, from, to, why, by, at } = c.json("move")?;
    let (dist, suite, format) = (c.parsed("dist")?, c.parsed("suite")?, c.parsed("format")?);
    Ok((c.int("id")?, SuiteMove { dist, suite, format, binary, from, to, why, by, at }))
}
