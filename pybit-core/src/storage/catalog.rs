//! What the farm serves.

use async_trait::async_trait;

use crate::error::Result;
use crate::model::{BlockRule, Catalogue, Repository, RuleId, WeightedTarget};

/// Targets, repositories and rules.
#[async_trait]
pub trait CatalogStore: Send + Sync + std::fmt::Debug {
    /// All of it, read at one moment.
    async fn catalogue(&self) -> Result<Catalogue>;

    /// - `putting_a_target_twice_changes_its_weight`: adds the target, or changes its weight.
    async fn put_target(&self, target: &WeightedTarget) -> Result<()>;

    /// Adds the repository, or changes what it serves; an address and key that are absent leave the stored ones.
    async fn put_repository(&self, repository: &Repository) -> Result<()>;

    /// Adds a rule and returns it with its number; a rule that does not compile is refused.
    async fn add_rule(&self, rule: &BlockRule) -> Result<BlockRule>;

    /// Whether there was such a rule to remove.
    async fn remove_rule(&self, id: RuleId) -> Result<bool>;
}
