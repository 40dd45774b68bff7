//! What this watcher knows about names outside of its repositories.

use std::sync::Arc;

use pybit_core::Result;
use pybit_core::owners::{NamePolicy, NoPolicy};

use crate::config::{RepositoryConfig, WatchConfig};

/// The policy of one repository.
///
/// Every repository stands alone today: its own names are guarded, and those of a base distribution are not known.
#[expect(
    clippy::unnecessary_wraps,
    reason = "a policy that asks the farm needs its address and token"
)]
pub(crate) fn policy(_: &WatchConfig, _: &RepositoryConfig) -> Result<Arc<dyn NamePolicy>> {
    Ok(Arc::new(NoPolicy))
}
