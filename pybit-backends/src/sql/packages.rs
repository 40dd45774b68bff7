//! Packages as their jobs show them.

use async_trait::async_trait;
use pybit_core::Result;
use pybit_core::model::{
    Dist, FormatName, Job, JobId, PackageName, PackageSummary, RepositoryName, Suite,
};
use pybit_core::publish::Listed;
use pybit_core::storage::PackageStore;

use super::{Call, Cells, Dialect, SqlStore, jobs, published, statements as sql};

#[async_trait]
impl<D: Dialect> PackageStore for SqlStore<D> {
    async fn packages(
        &self,
        search: Option<&str>,
        after: Option<&PackageName>,
        limit: u32,
    ) -> Result<Vec<PackageSummary>> {
        self.again(|| {
            self.all(
                Call::<D>::new(&sql::PACKAGES)
                    .text(after.map_or("", |p| p.as_str()))
                    .maybe_text(search.map(containing).as_deref())
                    .int(limit),
                summary,
            )
        })
        .await
    }

    async fn newest(
        &self,
        package: &PackageName,
        dist: &Dist,
        suite: &Suite,
        format: &FormatName,
    ) -> Result<Option<Job>> {
        self.again(|| {
            self.first(
                Call::<D>::new(&sql::PACKAGE_NEWEST)
                    .text(package.as_str())
                    .text(dist.as_str())
                    .text(suite.as_str())
                    .text(format.as_str()),
                jobs::job,
            )
        })
        .await
    }

    async fn put_published(&self, repository: &RepositoryName, listed: &[Listed]) -> Result<()> {
        self.again(|| published::put(self, repository, listed)).await
    }

    async fn published(&self, repository: &RepositoryName) -> Result<Vec<Listed>> {
        self.again(|| published::all(self, repository)).await
    }

    async fn published_names(
        &self,
        repository: &RepositoryName,
        names: &[String],
    ) -> Result<Vec<Listed>> {
        self.again(|| published::named(self, repository, names)).await
    }
}

/// The `LIKE` pattern, with `!` as its escape, of texts that contain `text`; in lower case.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_ascii_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn summary<D: Dialect>(c: &Cells<'_, D>) -> Result<PackageSummary> {
    Ok(PackageSummary {
        package: c.parsed("package")?,
        dist: c.parsed("dist")?,
        suite: c.parsed("suite")?,
        format: c.parsed("format")?,
        done: c.maybe_parsed("done")?,
        newest_job: JobId(c.int("newest_job")?),
        newest_version: c.parsed("newest_version")?,
        newest_status: c.parsed("newest_status")?,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_search_text_is_never_a_pattern() {
        assert_eq!(super::containing("Lib_X%!"), "%lib!_x!%!!%");
    }
}
