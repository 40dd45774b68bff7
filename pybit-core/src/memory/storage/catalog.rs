//! What the farm serves.

use async_trait::async_trait;

use std::collections::BTreeMap;

use super::{MemoryStorage, State};
use crate::error::Result;
use crate::model::{
    BlockRule, Catalogue, CatalogueChange, Repository, RuleId, SuiteMove, Target, WeightedTarget,
};
use crate::storage::CatalogStore;

#[async_trait]
impl CatalogStore for MemoryStorage {
    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(self.read().await?.catalogue())
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
            state.put_repository(repository);
            Ok(())
        })
        .await
    }

    async fn add_rule(&self, rule: &BlockRule) -> Result<BlockRule> {
        rule.check()?;
        self.write(|state| Ok(state.add_rule(rule))).await
    }

    async fn remove_rule(&self, id: RuleId) -> Result<bool> {
        self.write(|state| Ok(state.rules.remove(&id).is_some())).await
    }

    async fn put_move(&self, moved: &SuiteMove) -> Result<()> {
        moved.check()?;
        self.write(|state| {
            if !state.moves.values().any(|there| there.is_same(moved)) {
                state.add_move(moved);
            }
            Ok(())
        })
        .await
    }

    async fn replace_catalogue(
        &self,
        wanted: &Catalogue,
        dry_run: bool,
    ) -> Result<Vec<CatalogueChange>> {
        wanted.check()?;
        self.write(|state| {
            let changes = state.catalogue().changes_to(wanted);
            wanted.check_uses(&changes, &state.used_targets())?;
            if !dry_run {
                for change in &changes {
                    state.change_catalogue(change);
                }
            }
            Ok(changes)
        })
        .await
    }
}

impl State {
    fn catalogue(&self) -> Catalogue {
        let weighted = |(target, weight): (&_, &i32)| WeightedTarget {
            target: Clone::clone(target),
            weight: *weight,
        };
        Catalogue {
            targets: self.targets.iter().map(weighted).collect(),
            repositories: self.repositories.values().cloned().collect(),
            rules: self.rules.values().cloned().collect(),
            hook_rules: self.hook_rules.values().cloned().collect(),
            moves: Some(self.moves.values().cloned().collect()).filter(|m: &Vec<_>| !m.is_empty()),
        }
    }

    fn used_targets(&self) -> Vec<(Target, u64)> {
        let mut used: BTreeMap<&Target, u64> = BTreeMap::new();
        for row in self.jobs.values().filter(|row| !row.job.status.is_terminal()) {
            *used.entry(&row.job.target).or_default() += 1;
        }
        used.into_iter().map(|(target, jobs)| (target.clone(), jobs)).collect()
    }

    fn put_repository(&mut self, repository: &Repository) {
        let mut new = repository.clone();
        if let Some(old) = self.repositories.get(&repository.name) {
            new.url = new.url.or_else(|| old.url.clone());
            new.public_key = new.public_key.or_else(|| old.public_key.clone());
            new.health = new.health.or_else(|| old.health.clone());
            new.overlay = new.overlay.or(old.overlay);
        }
        new.overlay = new.overlay.filter(|overlay| *overlay);
        self.repositories.insert(new.name.clone(), new);
    }

    fn add_rule(&mut self, rule: &BlockRule) -> BlockRule {
        let rule = BlockRule { id: RuleId(self.last_rule.next()), ..rule.clone() };
        self.rules.insert(rule.id, rule.clone());
        rule
    }

    fn add_move(&mut self, moved: &SuiteMove) {
        let number = self.last_move.next();
        self.moves.insert(number, moved.clone());
    }

    fn change_catalogue(&mut self, change: &CatalogueChange) {
        match change {
            CatalogueChange::AddTarget { target } => {
                self.targets.insert(target.target.clone(), target.weight);
            }
            CatalogueChange::SetWeight { target, to, .. } => {
                self.targets.insert(target.clone(), *to);
            }
            CatalogueChange::RemoveTarget { target } => drop(self.targets.remove(&target.target)),
            CatalogueChange::AddRepository { repository: to }
            | CatalogueChange::ChangeRepository { to, .. }
            | CatalogueChange::SetOverlay { to } => self.put_repository(to),
            CatalogueChange::RemoveRepository { repository } => {
                drop(self.repositories.remove(&repository.name));
            }
            CatalogueChange::AddRule { rule } => drop(self.add_rule(rule)),
            CatalogueChange::RemoveRule { rule } => drop(self.rules.remove(&rule.id)),
            CatalogueChange::AddHookRule { rule } => {
                let number = self.last_hook_rule.next();
                self.hook_rules.insert(number, rule.clone());
            }
            CatalogueChange::RemoveHookRule { rule } => {
                let number = self.hook_rules.iter().find(|(_, r)| *r == rule).map(|(n, _)| *n);
                if let Some(number) = number {
                    self.hook_rules.remove(&number);
                }
            }
            CatalogueChange::AddMove { moved } => self.add_move(moved),
            CatalogueChange::RemoveMove { moved } => {
                let number = self.moves.iter().find(|(_, m)| *m == moved).map(|(n, _)| *n);
                if let Some(number) = number {
                    self.moves.remove(&number);
                }
            }
        }
    }
}
