//! How versions order.

use std::cmp::Ordering;
use std::fmt;

use crate::error::Result;

/// The order of one format's versions; pure.
///
/// - `versions_order_as_their_format_says`: [`compare`](Self::compare) agrees with the format's own tool.
/// - `equal_keys_mean_equal_versions`: byte order of [`key`](Self::key) equals [`compare`](Self::compare).
/// - `the_order_is_total`: antisymmetric and transitive over all valid versions.
/// - `invalid_versions_are_refused_everywhere`: what `parse` refuses, `compare` and `key` refuse too.
pub trait VersionOrder: Send + Sync + fmt::Debug {
    /// Whether the version is valid; says what is wrong with it.
    fn parse(&self, version: &str) -> Result<()>;

    /// Which comes first.
    fn compare(&self, a: &str, b: &str) -> Result<Ordering>;

    /// Bytes whose order is the versions' order, so that a database can order versions by an index.
    fn key(&self, version: &str) -> Result<Vec<u8>>;
}
