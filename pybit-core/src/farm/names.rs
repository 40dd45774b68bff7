//! Owners of the names that a source says it builds: a source is refused before its binary jobs are built.
//!
//! The farm knows of a repository what its watcher has told, so this is early and not final: the publisher decides.

use std::collections::BTreeSet;

use super::Farm;
use super::plan::{Planned, Scope};
use crate::error::{Error, Result};
use crate::format::SourceInfo;
use crate::model::{Catalogue, PackageName, Repository};
use crate::owners::{self, Claim, NameFacts, Owners};

impl Farm {
    /// The facts outside of the repository about the names of a set of `source`: the base distribution's owners, and the moves that
    /// are allowed to `source`.
    pub async fn name_facts(
        &self,
        repository: &Repository,
        source: &PackageName,
        binaries: &[String],
    ) -> Result<NameFacts> {
        let catalogue = self.inner.storage.catalogue().await?;
        self.facts(&catalogue, repository, source, binaries).await
    }

    async fn facts(
        &self,
        catalogue: &Catalogue,
        repository: &Repository,
        source: &PackageName,
        binaries: &[String],
    ) -> Result<NameFacts> {
        let Repository { dist, suite, format, .. } = repository;
        let to_it = catalogue.all_moves().iter().filter(|m| m.is_for(dist, suite, format));
        let moves = to_it.filter(|m| m.to == *source).map(Into::into).collect();
        // Without an index nobody can say which packages are the base distribution's.
        let Some(index) = self.inner.base.get() else {
            return Ok(NameFacts { moves, essential: true, ..NameFacts::default() });
        };
        let base = index.owners(dist, suite, format, binaries).await?;
        let sources = if self.inner.policy.check_sources {
            index.source(dist, suite, format, source).await?
        } else {
            Vec::new()
        };
        Ok(NameFacts { base, moves, sources, essential: false })
    }

    /// Refuses, `Invalid`, code `name_owned`, a source that says it builds a package whose name another source owns in the repository of
    /// the scope's suite or in its base distribution. Returns the moves that allow what would be refused otherwise, in words.
    pub(super) async fn check_names(
        &self,
        catalogue: &Catalogue,
        scope: &Scope,
        source: &SourceInfo,
    ) -> Result<Vec<String>> {
        let target = scope.targets.first().map(|t| &t.target);
        let repository = target.and_then(|t| catalogue.repository(&t.dist, &t.suite, &t.format));
        let Some(repository) = repository.filter(|_| !source.binaries.is_empty()) else {
            return Ok(Vec::new());
        };
        let names: Vec<String> = source.binaries.iter().map(ToString::to_string).collect();
        let facts = self.facts(catalogue, repository, &source.package, &names).await?;
        let there = self.inner.storage.published_names(&repository.name, &names).await?;
        let strict = NameFacts { moves: Vec::new(), ..facts.clone() };
        let mut allowed = BTreeSet::new();
        for name in &names {
            // Only the publication shows which of the source's architectures stand in another's place.
            let all = there.iter().filter(|p| p.name == *name).map(|p| p.source.as_str()).collect();
            let here = Owners { all, replaced: BTreeSet::new() };
            let ask = |facts: &NameFacts| {
                owners::refusal(name, Claim::Name, source.package.as_str(), &here, facts)
            };
            if let Some(why) = ask(&facts) {
                return Err(Error::invalid(why).with_code("name_owned"));
            }
            if ask(&strict).is_some() {
                let moves = facts.moves.iter().filter(|m| m.binary.as_str() == name);
                allowed.extend(moves.map(|m| {
                    format!(
                        "the name {name} may move from {} to {}: {} allowed it ({})",
                        m.from, m.to, m.by, m.why
                    )
                }));
            }
        }
        Ok(allowed.into_iter().collect())
    }
}

/// Adds what allows the plan to the reason of each of its jobs.
pub(super) fn tell_allowed(planned: &mut [Planned], allowed: &[String]) {
    for job in planned {
        for sentence in allowed {
            job.why.push_str("; ");
            job.why.push_str(sentence);
        }
    }
}
