//! What the farm serves.

use async_trait::async_trait;

use super::MemoryStorage;
use crate::error::Result;
use crate::model::{BlockRule, Catalogue, Repository, RuleId, WeightedTarget};
use crate::storage::CatalogStore;

#[async_trait]
impl CatalogStore for MemoryStorage {
    async fn catalogue(&self) -> Result<Catalogue> {
        let state = self.read().await?;
        let weighted = |(target, weight): (&_, &i32)| WeightedTarget {
            target: Clone::clone(target),
            weight: *weight,
        };
        Ok(Catalogue {
            targets: state.targets.iter().map(weighted).collect(),
            repositories: state.repositories.values().cloned().collect(),
            rules: state.rules.values().cloned().collect(),
        })
    }

    async fn put_target(&self, target: &WeightedTarget) -> Result<()> {
        self.write(|state| {
            state.targets.insert(target.target.clone(), target.weight);
            Ok(())
        })
        .await
    }

    async fn put_repository(&self, repository: &Repository) -> Result<()> {
        self.write(|state| {
            let mut new = repository.clone();
            if let Some(old) = state.repositories.get(&repository.name) {
                new.url = new.url.or_else(|| old.url.clone());
                new.public_key = new.public_key.or_else(|| old.public_key.clone());
            }
            state.repositories.insert(new.name.clone(), new);
            Ok(())
        })
        .await
    }

    async fn add_rule(&self, rule: &BlockRule) -> Result<BlockRule> {
        rule.check()?;
        self.write(|state| {
            let rule = BlockRule { id: RuleId(state.last_rule.next()), ..rule.clone() };
            state.rules.insert(rule.id, rule.clone());
            Ok(rule)
        })
        .await
    }

    async fn remove_rule(&self, id: RuleId) -> Result<bool> {
        self.write(|state| Ok(state.rules.remove(&id).is_some())).await
    }
}
