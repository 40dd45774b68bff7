//! Packages as the jobs show them.

use async_trait::async_trait;

use crate::error::Result;
use crate::model::{Dist, FormatName, Job, PackageName, PackageSummary, Suite};

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
}
