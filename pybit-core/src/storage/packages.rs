//! Packages as the jobs show them.

use async_trait::async_trait;

use crate::error::Result;
use crate::model::{Dist, FormatName, Job, PackageName, PackageSummary, RepositoryName, Suite};
use crate::publish::Listed;

/// Source packages and their versions.
#[async_trait]
pub trait PackageStore: Send + Sync + std::fmt::Debug {
    /// Packages that have a binary job, by name, at most `limit` names, from the first name after `after`; narrowed to
    /// names that contain `search`, ASCII case ignored, where given. A name has one row for each (dist, suite, format).
    ///
    /// - `packages_show_newest_done_and_newest_job`: each with the newest `Done` version by version order and its newest
    ///   job by number.
    /// - `packages_page_by_name_and_are_searched_literally`: pages of names join without gap or repeat; no character of
    ///   `search` is a pattern.
    async fn packages(
        &self,
        search: Option<&str>,
        after: Option<&PackageName>,
        limit: u32,
    ) -> Result<Vec<PackageSummary>>;

    /// The job with the greatest version key among the package's binary jobs in (dist, suite, format) that are neither
    /// `Failed` nor `Cancelled`/`Cancelling`.
    ///
    /// - `newest_is_the_greatest_version_that_counts`: by version key, not by number.
    async fn newest(
        &self,
        package: &PackageName,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
    ) -> Result<Option<Job>>;

    /// Makes this the list of the packages that the repository holds, as its watcher has told.
    ///
    /// - `a_repositorys_packages_are_replaced_whole`: all at once; those of other repositories stay. A package that is there twice is
    ///   there once.
    async fn put_published(&self, repository: &RepositoryName, listed: &[Listed]) -> Result<()>;

    /// The packages of the repository, in order of name, version, architecture and source; empty where its watcher has told none.
    async fn published(&self, repository: &RepositoryName) -> Result<Vec<Listed>>;

    /// The binary packages of the repository that bear one of these names.
    ///
    /// - `published_names_are_found_by_name`: source packages of that name are none of them.
    async fn published_names(
        &self,
        repository: &RepositoryName,
        names: &[String],
    ) -> Result<Vec<Listed>>;
}
