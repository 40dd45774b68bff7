//! Names of packages that several sources of a repository have, unless moves of the catalogue allow it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use pybit_core::Result;
use pybit_core::owners::without_moves;

use super::check::{Finding, Rows};
use super::engine::Upkeep;
use crate::sql::Value;
use crate::sql::error::failed;
use crate::sql::moves::StoredMove;

/// The rule's name.
pub(super) const NAME_CONFLICT: &str = "name_conflict";

const SOURCES: &str = "SELECT p.repository AS repository, p.name AS name, p.source AS word
     FROM (SELECT repository, name FROM published WHERE arch <> 'source'
           GROUP BY repository, name HAVING count(DISTINCT source) > 1) c
     JOIN published p ON p.repository = c.repository AND p.name = c.name
     WHERE p.arch <> 'source' GROUP BY p.repository, p.name, p.source";

const MOVES: &str = "SELECT r.name AS repository, '' AS name, m.move AS word FROM repository r
     JOIN name_move m ON m.dist = r.dist AND m.suite = r.suite AND m.format = r.format";

const ADVICE: &str = "nothing is broken: each source goes on where its package is, and no other source may publish under the name; remove the \
     packages of all sources but one from the repository, or allow the move in the catalogue ([[suites]] moves) and build the new owner's";

/// Finds the names.
pub(super) async fn conflicts<D: Upkeep>(
    connection: &mut D::Connection,
) -> Result<Option<Finding>> {
    let mut moves: BTreeSet<(String, String, String, String)> = BTreeSet::new();
    for [repository, _, text] in texts::<D>(connection, MOVES).await? {
        // A move that cannot be read is a finding of its own, and allows nothing.
        let Ok(stored) = serde_json::from_str::<StoredMove>(&text) else { continue };
        let [binary, from, to] = stored.names();
        moves.insert((repository, binary, from, to));
    }
    let mut names: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for [repository, name, source] in texts::<D>(connection, SOURCES).await? {
        names.entry((repository, name)).or_default().insert(source);
    }
    let mut rows = Rows::default();
    for ((repository, name), sources) in &names {
        let all = sources.iter().map(String::as_str).collect();
        let allows = |from: &str, to: &str| {
            let [repository, name] = [repository, name].map(ToOwned::to_owned);
            moves.contains(&(repository, name, from.to_owned(), to.to_owned()))
        };
        if without_moves(&all, allows).len() < 2 {
            continue;
        }
        let (Some(first), Some(last)) = (sources.first(), sources.last()) else { continue };
        let between = if sources.len() == 2 { "and" } else { "and others and" };
        rows.add(format!("{repository} {name}"), format!("from {first} {between} {last}"));
    }
    let what = "the packages of one name come from several sources of a repository";
    Ok(rows.finding(NAME_CONFLICT, Some("published"), what, ADVICE))
}

/// Rows of a query with the columns `repository`, `name` and `word`.
async fn texts<D: Upkeep>(connection: &mut D::Connection, query: &str) -> Result<Vec<[String; 3]>> {
    let mut all = Vec::new();
    let mut seen = D::rows(connection, query.to_owned());
    while let Some(row) = seen.try_next().await.map_err(|e| failed::<D>("check", e))? {
        let text =
            |column| <D as Value<String>>::read(&row, column).map_err(|e| failed::<D>("check", e));
        all.push([text("repository")?, text("name")?, text("word")?]);
    }
    Ok(all)
}
