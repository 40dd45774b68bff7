//! What upkeep knows of the schema is the schema.

use std::collections::BTreeSet;

use pybit_backends::sql::upkeep::tables::{KEPT_BY_THE_SCHEMA, REFERENCES, TABLES, TRIGGERS};

use crate::farm::{made, raw, rows};

#[tokio::test]
async fn every_table_column_reference_and_trigger_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = raw(&made(folder.path()).await).await;
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'
                  AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND name <> '_sqlx_migrations'";
    let there: BTreeSet<_> = rows(&mut file, tables.to_owned()).await.into_iter().collect();
    let known = TABLES.iter().map(|t| t.name).chain(KEPT_BY_THE_SCHEMA);
    let known: BTreeSet<_> = known.filter(|t| *t != "job_count_delta").map(str::to_owned).collect();
    assert_eq!(there, known);
    let mut references = BTreeSet::new();
    for table in TABLES {
        let name = table.name;
        let columns = format!("SELECT name FROM pragma_table_info('{name}')");
        let columns: BTreeSet<_> = rows(&mut file, columns).await.into_iter().collect();
        let copied: BTreeSet<_> = table.columns.iter().map(|(c, _)| (*c).to_owned()).collect();
        assert_eq!(columns, copied, "{name}");
        let key = format!("SELECT name FROM pragma_table_info('{name}') WHERE pk > 0 ORDER BY pk");
        assert_eq!(rows(&mut file, key).await, table.key, "{name}");
        let named = format!(
            "SELECT '{name}', group_concat(\"from\"), \"table\", group_concat(\"to\")
             FROM (SELECT * FROM pragma_foreign_key_list('{name}') ORDER BY id, seq) GROUP BY id"
        );
        references.extend(rows(&mut file, named).await);
    }
    let known = REFERENCES
        .iter()
        .map(|r| format!("{}|{}|{}|{}", r.table, r.columns.join(","), r.parent, r.keys.join(",")));
    assert_eq!(references, known.collect());
    let triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
    let triggers: BTreeSet<_> = rows(&mut file, triggers.to_owned()).await.into_iter().collect();
    assert_eq!(triggers, TRIGGERS.map(str::to_owned).into());
}
