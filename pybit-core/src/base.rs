//! The packages of base distributions.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::model::{Dist, FormatName, Suite};
use crate::owners::BaseOwner;

/// A verified index of the base distribution of each suite.
#[async_trait]
pub trait BaseIndex: Send + Sync + fmt::Debug {
    /// The sources that own these binary names in the base distribution of a suite; a name that it does not have is missing.
    async fn owners(
        &self,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
        binaries: &[String],
    ) -> Result<BTreeMap<String, BaseOwner>>;
}
