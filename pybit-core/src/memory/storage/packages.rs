//! Packages as their jobs show them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::submit::rank;
use super::{JobRow, MemoryStorage, State, first};
use crate::error::Result;
use crate::model::{
    Dist, FormatName, Job, JobKind, JobStatus, PackageName, PackageSummary, RepositoryName, Suite,
};
use crate::publish::Listed;
use crate::storage::PackageStore;

#[async_trait]
impl PackageStore for MemoryStorage {
    async fn packages(
        &self,
        search: Option<&str>,
        after: Option<&PackageName>,
        limit: u32,
    ) -> Result<Vec<PackageSummary>> {
        let state = self.read().await?;
        let search = search.map(str::to_ascii_lowercase);
        let asked = |name: &&PackageName| {
            let found = |s: &String| name.as_str().to_ascii_lowercase().contains(s);
            after.is_none_or(|after| *name > after) && search.as_ref().is_none_or(found)
        };
        let binary = || state.jobs.values().filter(|row| row.job.kind == JobKind::Binary);
        let names: BTreeSet<&PackageName> = binary().map(|row| &row.job.package).collect();
        let names: BTreeSet<_> =
            first(names.into_iter().filter(asked), limit).into_iter().collect();
        let mut newest = BTreeMap::new();
        for row in binary().filter(|row| names.contains(&row.job.package)) {
            let target = &row.job.target;
            newest.insert((&row.job.package, &target.dist, &target.suite, &target.format), row);
        }
        Ok(newest.into_values().filter_map(|row| state.summary(row)).collect())
    }

    async fn newest(
        &self,
        package: &PackageName,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
    ) -> Result<Option<Job>> {
        let state = self.read().await?;
        let newest = state.versions(package, dist, suite, format).max_by_key(rank);
        Ok(newest.map(|(row, _)| row.job.clone()))
    }

    async fn put_published(&self, repository: &RepositoryName, listed: &[Listed]) -> Result<()> {
        let sorted: BTreeSet<&Listed> = listed.iter().collect();
        let sorted = sorted.into_iter().cloned().collect();
        self.write(|state| {
            state.published.insert(repository.clone(), sorted);
            Ok(())
        })
        .await
    }

    async fn published(&self, repository: &RepositoryName) -> Result<Vec<Listed>> {
        Ok(self.read().await?.published.get(repository).cloned().unwrap_or_default())
    }

    async fn published_names(
        &self,
        repository: &RepositoryName,
        names: &[String],
    ) -> Result<Vec<Listed>> {
        let all = self.published(repository).await?;
        let asked = |p: &Listed| p.arch != "source" && names.contains(&p.name);
        Ok(all.into_iter().filter(asked).collect())
    }
}

impl State {
    /// What the package of this job, its newest, looks like in its suite.
    fn summary(&self, newest: &JobRow) -> Option<PackageSummary> {
        let Job { package, target, .. } = &newest.job;
        let done = self
            .versions(package, &target.dist, &target.suite, &target.format)
            .filter(|(row, _)| row.job.status == JobStatus::Done)
            .max_by_key(rank);
        Some(PackageSummary {
            package: package.clone(),
            dist: target.dist.clone(),
            suite: target.suite.clone(),
            format: target.format.clone(),
            done: done.and_then(|(row, _)| row.job.version.clone()),
            newest_job: newest.job.id,
            newest_version: newest.job.version.clone()?,
            newest_status: newest.job.status,
        })
    }
}
