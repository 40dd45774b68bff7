//! The packages that repositories hold, as their watchers have told.

use std::collections::BTreeSet;

use pybit_core::Result;
use pybit_core::model::RepositoryName;
use pybit_core::publish::Listed;
use serde_json::json;

use super::{Call, Cells, Dialect, SqlStore, call, commit, statements as sql, turns};

/// Packages that one statement adds or removes.
const MAX_ROWS: usize = 1000;

/// Writes the difference between what is there and what is told.
pub(super) async fn put<D: Dialect>(
    store: &SqlStore<D>,
    repository: &RepositoryName,
    told: &[Listed],
) -> Result<()> {
    let told: BTreeSet<&Listed> = told.iter().collect();
    let mut transaction = store.begin().await?;
    turns::take::<D>(&mut transaction, [format!("published {repository}")]).await?;
    let there = Call::<D>::new(&sql::PUBLISHED).text(repository.as_str());
    let there = there.all(&mut transaction, listed).await?;
    let there: BTreeSet<&Listed> = there.iter().collect();
    let steps = [
        (&sql::PUBLISHED_REMOVE, there.difference(&told)),
        (&sql::PUBLISHED_ADD, told.difference(&there)),
    ];
    for (statement, rows) in steps {
        let rows: Vec<&Listed> = rows.copied().collect();
        for rows in rows.chunks(MAX_ROWS) {
            let call = Call::<D>::new(statement).text(&call::json(&rows)?);
            call.text(repository.as_str()).run(&mut transaction).await?;
        }
    }
    commit(transaction).await
}

pub(super) async fn all<D: Dialect>(
    store: &SqlStore<D>,
    repository: &RepositoryName,
) -> Result<Vec<Listed>> {
    store.all(Call::<D>::new(&sql::PUBLISHED).text(repository.as_str()), listed).await
}

pub(super) async fn named<D: Dialect>(
    store: &SqlStore<D>,
    repository: &RepositoryName,
    names: &[String],
) -> Result<Vec<Listed>> {
    let names: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    let call = Call::<D>::new(&sql::PUBLISHED_NAMES).text(&call::json(&names)?);
    store.all(call.text(repository.as_str()), listed).await
}

fn listed<D: Dialect>(c: &Cells<'_, D>) -> Result<Listed> {
    Ok(Listed {
        name: c.text("name")?,
        version: c.text("version")?,
        arch: c.text("arch")?,
        source: c.text("source")?,
    })
}
