//! A farm that has something of everything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pybit_backends::sql::SqlStore;
use pybit_core::clock::Timestamp;
use pybit_core::conformance::support::{
    Store, apply, at, attempt_of, bring, change, declare, ending, file, forced, log_of, name, part,
    planned, planned_in, planned_source, record, report, submit, submit_and_take, submit_one,
    target, target_in,
};
use pybit_core::model::{
    BlockRule, BlockSubject, Grant, Health, HookRule, JobStatus, OrderKind, OrderReport, Outcome,
    Repository, Role, RuleId, StreamOwner, WeightedTarget,
};
use pybit_core::publish::Listed;
use pybit_core::settings::Settings;
use pybit_core::storage::{
    AccountChange, NewAccount, NewOrder, NewToken, PlannedJob, SubmissionRecord,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Row, Sqlite};

pub(crate) fn settings(file: &Path) -> Settings {
    Settings::url(format!("sqlite://{}", file.display()))
}

/// Opened as no program opens it: without foreign keys.
pub(crate) async fn raw(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).foreign_keys(false);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// Runs statements on a file.
pub(crate) async fn run(file: &Path, sql: &str) {
    let mut connection = raw(file).await;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Rows of a query, each value as SQLite writes it.
pub(crate) async fn rows(connection: &mut SqliteConnection, sql: String) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await.unwrap();
    let text = |row: &sqlx::sqlite::SqliteRow| {
        let cells = (0..row.len()).map(|n| row.get::<Option<String>, _>(n).unwrap_or_default());
        cells.collect::<Vec<_>>().join("|")
    };
    rows.iter().map(text).collect()
}

/// Everything that is in a file: its schema, and every value of every table, the engine's numbering too.
pub(crate) async fn dump(file: &Path) -> String {
    let mut connection = raw(file).await;
    let schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name";
    let mut all = rows(&mut connection, schema.to_owned()).await;
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> '_sqlx_migrations' ORDER BY name";
    for table in rows(&mut connection, tables.to_owned()).await {
        let columns = format!(
            "SELECT group_concat('quote(' || name || ')') FROM pragma_table_info('{table}')"
        );
        let columns = rows(&mut connection, columns).await.remove(0);
        let values = format!("SELECT '{table}', {columns} FROM {table} ORDER BY {columns}");
        all.extend(rows(&mut connection, values).await);
    }
    connection.close().await.unwrap();
    all.join("\n")
}

/// Makes the farm in a file of this folder, and closes it.
pub(crate) async fn made(folder: &Path) -> PathBuf {
    let file = folder.join("farm.db");
    let store = Arc::new(SqlStore::<Sqlite>::open(&settings(&file)).await.unwrap());
    let shared: Store = Arc::<SqlStore<Sqlite>>::clone(&store);
    grow(&shared).await;
    store.close().await;
    run(&file, EXTREMES).await;
    file
}

/// What no method writes in a test, at the ends of what a column holds.
const EXTREMES: &str = "
    UPDATE job SET lease_epoch = 9223372036854775807 WHERE id = 1;
    UPDATE job SET lease_epoch = -9223372036854775808, version_key = x'00ff017f80', changed_at = -1,
                   not_before = 253402300799999999 WHERE id = 2;
    UPDATE job SET version_key = x'', failure_class = 'build', failure_message = 'naïve ✓ 🦀 ''quoted'' \"\\' || char(10) || char(9)
     WHERE id = 3;
    INSERT INTO repository (name, dist, suite, format, url, public_key) VALUES ('leer', 'Debian', 'sid', 'deb', '', NULL);
    DELETE FROM block_rule WHERE id = (SELECT max(id) FROM block_rule);
    DELETE FROM outbox WHERE id = (SELECT max(id) FROM outbox);
";

async fn grow(store: &Store) {
    store.farm_id("0123456789abcdef").await.unwrap();
    for status in JobStatus::ALL {
        bring(
            store,
            planned_in(&format!("in-{}", status.as_str().to_lowercase()), "1", route_of(status)),
            status,
        )
        .await;
    }
    histories(store).await;
    bytes(store).await;
    around(store).await;
    orders(store).await;
}

/// A target of its own for each status, so that a claim takes the job that is meant.
fn route_of(status: JobStatus) -> pybit_core::model::Target {
    target_in(&status.as_str().to_lowercase(), "amd64")
}

/// Superseded, retried, planned by a source job, lost and claimed again, submitted with a key.
async fn histories(store: &Store) {
    let old = submit_and_take(store, "box", planned("hello", "1")).await;
    submit_one(store, planned("hello", "2")).await;
    let old = store.job(old.id).await.unwrap().unwrap();
    assert!(old.superseded_by.is_some_and(|newer| newer > old.id));
    let failed =
        bring(store, planned_in("again", "1", target_in("again", "amd64")), JobStatus::Failed)
            .await;
    let again = planned_in("again", "1", target_in("again", "amd64"));
    submit_one(store, PlannedJob { retries_of: Some(failed.id), ..forced(again) }).await;
    let source = bring(store, planned_source("tree"), JobStatus::Done).await;
    let binary = planned_in("tree", "1", target("arm64"));
    submit_one(store, PlannedJob { source_job: Some(source.id), ..binary }).await;
    let lost = submit_and_take(store, "gone", planned_in("lost", "1", target("riscv64"))).await;
    apply(store, ending(&lost, JobStatus::Waiting, Outcome::Lost)).await;
    let keyed = SubmissionRecord {
        idempotency_key: Some("schlüssel".to_owned()),
        ..record(vec![
            planned_in("keyed", "1", target("i386")),
            planned_in("keyed", "1", target("armhf")),
        ])
    };
    store.record_submission(&keyed, at(3)).await.unwrap();
}

/// Logs that grow and one that is whole, files of results and of uploads.
async fn bytes(store: &Store) {
    let building = submit_and_take(store, "box", planned_in("grows", "1", target("s390x"))).await;
    let log = log_of(store, &building).await;
    for (from, length) in [(0, 10), (10, 7), (17, 1)] {
        store.append_part(log, &part(from, length)).await.unwrap();
    }
    declare(store, &building, "half.deb", 9).await;
    let built = submit_and_take(store, "box", planned_in("whole", "1", target("ppc64el"))).await;
    let log = log_of(store, &built).await;
    store.append_part(log, &part(0, 5)).await.unwrap();
    let deb = declare(store, &built, "whole_1_ppc64el.deb", 3).await;
    store.append_part(deb, &part(0, 3)).await.unwrap();
    assert!(store.seal(deb, 3, "blobs/aa/whole", &"a".repeat(64)).await.unwrap());
    apply(store, ending(&built, JobStatus::Uploaded, Outcome::Succeeded)).await;
    assert!(store.seal(log, 5, "logs/whole.zst", &"b".repeat(64)).await.unwrap());
    assert_eq!(store.streams(attempt_of(&built)).await.unwrap().len(), 2);
    let upload = store.new_upload("änn", &[file("x_1.dsc", 4)], at(4)).await.unwrap();
    let dsc = store.streams(StreamOwner::Upload(upload.id)).await.unwrap().remove(0);
    store.append_part(dsc.id, &part(0, 2)).await.unwrap();
}

/// An order that waits, and a removal that took a version away.
async fn orders(store: &Store) {
    let done = route_of(JobStatus::Done);
    let repository = Repository {
        name: name("main"),
        dist: done.dist,
        suite: done.suite,
        format: done.format,
        url: None,
        public_key: None,
        health: None,
        overlay: None,
    };
    let new = NewOrder {
        repository,
        kind: OrderKind::Remove,
        package: Some(name("in-done")),
        version: Some((name("1"), b"1".to_vec())),
        reason: "größer 'nein'".to_owned(),
        dry_run: false,
        principal: "änn".to_owned(),
        idempotency_key: Some("schlüssel".to_owned()),
    };
    let order = store.add_order(&new, at(7)).await.unwrap().order;
    let text = str::to_owned;
    let (name, version) = (text("in-done"), text("1"));
    let gone = Listed { name, version, arch: text("all"), source: text("in-done") };
    let done = order.after(OrderReport::Done(vec![gone]), at(8)).unwrap().unwrap();
    assert!(store.advance_order(&done).await.unwrap());
    let (package, version, idempotency_key) = (None, None, None);
    let list = NewOrder { kind: OrderKind::List, package, version, idempotency_key, ..new };
    store.add_order(&list, at(9)).await.unwrap();
}

/// Catalogue, rules, clients, tokens and accounts.
async fn around(store: &Store) {
    store.put_target(&WeightedTarget { target: target("amd64"), weight: -7 }).await.unwrap();
    let repository = Repository {
        name: name("main"),
        dist: name("Debian"),
        suite: name("bookworm"),
        format: name("deb"),
        url: Some("https://depot.example/bücher".to_owned()),
        public_key: Some("-----BEGIN\n\tkey-----".to_owned()),
        health: Some(Health {
            key_expires_at: Some(Timestamp::from_micros(7)),
            trouble: Some("no\tspace".to_owned()),
            ..Health::default()
        }),
        overlay: Some(true),
    };
    store.put_repository(&repository).await.unwrap();
    let mut wanted = store.catalogue().await.unwrap();
    let pushes = serde_json::json!({"repository": "é/*", "tag": "v'1", "suite": "bookworm"});
    let rule = serde_json::from_value(pushes).unwrap();
    wanted.hook_rules.push(HookRule { hook: "forge".to_owned(), rule });
    let moved = serde_json::json!({
        "dist": "Debian", "suite": "bookworm", "format": "deb", "binary": "x", "from": "a", "to": "b",
        "why": "weil 'ja'", "by": "änn", "at": null,
    });
    wanted.moves = Some(vec![serde_json::from_value(moved).unwrap()]);
    store.replace_catalogue(&wanted, false).await.unwrap();
    let listed = ["x", "y"].map(|name| Listed {
        name: name.to_owned(),
        version: "1:2~3".to_owned(),
        arch: "amd64".to_owned(),
        source: "a".to_owned(),
    });
    store.put_published(&repository.name, &listed).await.unwrap();
    for pattern in ["^evil", "gone"] {
        let rule = BlockRule {
            id: RuleId(0),
            subject: BlockSubject::Package,
            pattern: pattern.to_owned(),
            reason: "weil 'nein'".to_owned(),
        };
        store.add_rule(&rule).await.unwrap();
    }
    store.beat(&report("box", &[target("amd64"), target("s390x")]), &[], at(5)).await.unwrap();
    store.set_draining(&name("box"), true).await.unwrap();
    let grants = [
        Grant::of(Role::Admin),
        Grant { client: Some(name("box")), ..Grant::of(Role::Client) },
        Grant::of(Role::Publish),
    ];
    for (digit, grant) in ["0", "1", "2"].into_iter().zip(grants) {
        let expires_at = (digit == "1").then(|| at(1_000_000));
        let token =
            NewToken { name: format!("t{digit}"), sha256: digit.repeat(64), grant, expires_at };
        let made = store.add_token(&token, at(6)).await.unwrap();
        if digit == "2" {
            assert!(store.revoke_token(made.id, at(7)).await.unwrap());
        }
    }
    for (text, role) in [("ann", Role::Submit), ("B.o_b-1", Role::Admin)] {
        let expires_at = (role == Role::Submit).then(|| at(2_000_000));
        let hash = name(&format!("$argon2id$v=19$m=19456,t=2,p=1$salt+/${text}"));
        let new = NewAccount { name: name(text), role, names: Vec::new(), hash, expires_at };
        store.add_account(&new, at(6)).await.unwrap();
    }
    assert!(store.change_account(&name("B.o_b-1"), &AccountChange::Disable, at(8)).await.unwrap());
    let sent: Vec<_> = store.outbox(3).await.unwrap().iter().map(|row| row.id).collect();
    store.mark_sent(&sent).await.unwrap();
    // One that waits for the next start.
    submit(store, vec![planned_in("waits", "1", target("mips64el"))]).await;
    let waiting = submit_one(store, planned_in("cancelled", "1", target("mips64el"))).await;
    apply(store, change(&waiting, JobStatus::Cancelled)).await;
}
