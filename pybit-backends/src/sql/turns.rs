//! Decisions that depend on rows that are not there yet, one after the other: row locks cannot hold those.

use pybit_core::Result;
use sha2::{Digest, Sha256};

use super::dialect::Dialect;
use super::error::failed;

/// Waits until no other transaction has one of these names, and keeps them until this one ends. Whoever takes several
/// takes them in one call: they are taken in one order, so two transactions never wait for each other.
pub(super) async fn take<D: Dialect>(
    connection: &mut D::Connection,
    names: impl IntoIterator<Item = String>,
) -> Result<()> {
    let numbers = numbers(names);
    if numbers.is_empty() {
        return Ok(());
    }
    D::take_turns(connection, numbers).await.map_err(|e| failed::<D>("take_turns", e))
}

/// The numbers of these names in the one order.
pub(super) fn numbers(names: impl IntoIterator<Item = String>) -> Vec<i64> {
    let mut numbers: Vec<i64> = names.into_iter().map(|name| number(&name)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Two names with one number only wait for each other without need.
fn number(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}
