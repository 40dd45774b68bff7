//! Sources that bear names of the base distribution.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Farm;
use super::plan::Scope;
use crate::base::{self, BaseIndex, BaseSuite};
use crate::error::Result;
use crate::format::SourceInfo;
use crate::model::NameGrant;

impl Farm {
    /// The same farm with an index of its base distributions. Without one, every name is free. The first index of a farm stays.
    #[must_use]
    pub fn with_base(self, index: Arc<dyn BaseIndex>) -> Self {
        // A farm has one index, as it has one storage.
        drop(self.inner.base.set(index));
        self
    }

    /// The index of the base distributions, where the farm has one.
    pub fn base(&self) -> Option<&Arc<dyn BaseIndex>> {
        self.inner.base.get()
    }

    /// Fetches the indices of the catalogue's suites that are due; how many were fetched.
    pub async fn refresh_base(&self) -> Result<usize> {
        let Some(index) = self.base() else { return Ok(0) };
        let catalogue = self.inner.storage.catalogue().await?;
        let mut suites = BTreeMap::new();
        for target in catalogue.targets.into_iter().map(|t| t.target) {
            let key = (target.dist.clone(), target.suite.clone(), target.format.clone());
            let suite = BaseSuite {
                dist: target.dist,
                suite: target.suite,
                format: target.format,
                arch: target.arch,
            };
            suites.entry(key).or_insert(suite);
        }
        index.refresh(&suites.into_values().collect::<Vec<_>>()).await
    }

    /// Refuses, `Denied`, code `name_of_distribution`, a source that bears a name of the base distribution, is not the distribution's own
    /// and comes from a principal without a grant for the name. `sha256` is the digest of the source description as the server has it.
    pub(super) async fn check_name(
        &self,
        scope: &Scope,
        grants: &[NameGrant],
        source: &SourceInfo,
        sha256: &str,
    ) -> Result<()> {
        let Some(index) = self.base().filter(|_| self.inner.policy.check_sources) else {
            return Ok(());
        };
        let Some(target) = scope.targets.first().map(|t| &t.target) else { return Ok(()) };
        if grants.iter().any(|grant| grant.covers(&source.package, &target.suite)) {
            return Ok(());
        }
        let (dist, suite, format) = (&target.dist, &target.suite, &target.format);
        let known = index.source(dist, suite, format, &source.package).await?;
        let submitted = (&source.package, source.version.as_str());
        let reader = self.format(format)?;
        let sha256 = reader.published_digest(source, sha256);
        let distribution = index.described(dist, suite, format);
        base::refusal(&distribution, submitted, sha256, &known).map_or(Ok(()), Err)
    }
}
