//! PostgreSQL keeps what the storage traits promise, and what several servers on one database promise besides.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::sync::Arc;

use pybit_backends::sql::SqlStore;
use pybit_core::conformance::support::{
    at, change, planned, record, submit_one, take, target, together, within,
};
use pybit_core::model::{JobFilter, JobStatus, Page};
use pybit_core::settings::Settings;
use pybit_core::storage::{AccountStore, SubmissionRecord};
use pybit_core::{Error, ErrorKind};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Row};
use support::proxy::{Proxy, Way};
use support::{Database, server};
use tokio::net::TcpListener;

/// Ends every other connection to the database.
const END_OTHERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn what_one_server_changes_wakes_the_others() {
    let database = Database::fresh().await;
    let servers = [database.open().await, database.open().await];
    let mut heard = servers[1].changes();
    // The other server begins to listen by itself; until then it hears nothing.
    let job = loop {
        let job = submit_one(&servers[0], planned(&format!("p{}", rand_name()), "1")).await;
        let told = tokio::time::timeout(std::time::Duration::from_millis(200), heard.changed());
        if told.await.is_ok() {
            break job;
        }
        servers[0].advance(&change(&job, JobStatus::Cancelled), at(1)).await.unwrap();
    };
    assert!(heard.borrow_and_update().work > 0);
    let held = take(&servers[0], "box", target("amd64")).await;
    assert_eq!(held.id, job.id);
    let results = heard.borrow().results;
    servers[0].advance(&change(&held, JobStatus::Uploaded), at(2)).await.unwrap();
    within("the result", heard.wait_for(|c| c.results > results)).await.unwrap();
    // A listener whose connection was lost listens again, and supposes that it has missed something.
    let seen = *heard.borrow_and_update();
    database.run(END_OTHERS).await.unwrap();
    let missed = heard.wait_for(|c| c.work > seen.work && c.results > seen.results);
    within("the new listener", missed).await.unwrap();
    let work = heard.borrow().work;
    submit_one(&servers[0], planned("other", "1")).await;
    within("the change", heard.wait_for(|c| c.work > work)).await.unwrap();
}

fn rand_name() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn lost_connections_lose_and_double_nothing() {
    let database = Database::fresh().await;
    let store = database.open().await;
    let (done, mut over) = tokio::sync::watch::channel(false);
    let killer = tokio::spawn({
        let url = database.url();
        async move {
            let mut kills = 0;
            while !*over.borrow_and_update() {
                support::run(&url, END_OTHERS).await.unwrap();
                kills += 1;
                tokio::time::timeout(std::time::Duration::from_millis(30), over.changed())
                    .await
                    .ok();
            }
            kills
        }
    });
    together(8, |n| {
        let store = Arc::clone(&store);
        async move {
            for m in 0..15 {
                let keyed = SubmissionRecord {
                    idempotency_key: Some(format!("{n}-{m}")),
                    ..record(vec![planned(&format!("p{n}-{m}"), "1")])
                };
                // A commit whose answer was lost is the caller's to repeat: its key makes that harmless.
                loop {
                    match store.record_submission(&keyed, at(0)).await {
                        Ok(_) => break,
                        Err(error) => assert!(error.is_retryable(), "{error:?}"),
                    }
                }
            }
        }
    })
    .await;
    done.send_replace(true);
    assert!(killer.await.unwrap() > 2, "connections were lost meanwhile");
    let jobs = store.jobs(&JobFilter::default(), &Page::first(1000)).await.unwrap();
    assert_eq!(jobs.len(), 120);
    assert_eq!(store.outbox(1000).await.unwrap().len(), 120);
    assert_eq!(store.counts().await.unwrap().of(JobStatus::Waiting), 120);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn a_connection_that_ended_while_it_rested_is_nobodys_failure() {
    let database = Database::fresh().await;
    let store = database.open().await;
    submit_one(&store, planned("p", "1")).await;
    let hints: Vec<_> = store.outbox(10).await.unwrap().iter().map(|h| h.id).collect();
    database.run(END_OTHERS).await.unwrap();
    // Longer than a connection serves unasked. What is marked is a transaction of its own, and no one repeats it.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    store.mark_sent(&hints).await.unwrap();
    assert!(store.outbox(10).await.unwrap().is_empty());
}

/// A store that reaches its server through a way that can be cut, with little patience.
async fn through_a_proxy(database: &Database) -> (SqlStore<Postgres>, Proxy) {
    let mut url = url::Url::parse(&database.url()).unwrap();
    let target = url.socket_addrs(|| None).unwrap()[0];
    let proxy = Proxy::to(target).await;
    url.set_port(Some(proxy.address.port())).unwrap();
    let mut settings = Settings::url(url);
    settings.options.insert("acquire_timeout_ms".to_owned(), 300.into());
    settings.options.insert("statement_timeout_ms".to_owned(), 300.into());
    (SqlStore::<Postgres>::open(&settings).await.unwrap(), proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs PostgreSQL"]
async fn a_server_that_comes_back_is_used_again() {
    let database = Database::fresh().await;
    let (store, proxy) = through_a_proxy(&database).await;
    store.health().await.unwrap();
    for way in [Way::Cut, Way::Silent] {
        proxy.set(way);
        // The proxy may still carry an answer that was on its way.
        let error = within("the refusal", async {
            loop {
                if let Err(error) = store.health().await {
                    break error;
                }
            }
        })
        .await;
        assert!(error.is_retryable(), "{way:?}: {error:?}");
        assert!(error.message().contains("PostgreSQL"), "{error}");
        no_secret(&error);
        proxy.set(Way::Open);
        within("the server", async {
            while let Err(error) = store.health().await {
                assert!(error.is_retryable(), "{error:?}");
            }
        })
        .await;
    }
    no_secret(&store);
}

/// Neither the password nor anything else of the user part is shown.
fn no_secret(shown: &dyn std::fmt::Debug) {
    let password = url::Url::parse(&server()).unwrap().password().unwrap().to_owned();
    let text = format!("{shown:?}");
    assert!(!text.contains(&password), "{text}");
}

async fn refusal(url: &url::Url) -> Error {
    let mut settings = Settings::url(url.as_str());
    settings.options.insert("acquire_timeout_ms".to_owned(), 2000.into());
    let error = SqlStore::<Postgres>::open(&settings).await.unwrap_err();
    no_secret(&error);
    let message = error.message();
    assert!(message.contains("PostgreSQL") && !message.contains('\n'), "{message}");
    error
}

/// A database whose commits do not wait for the disk, as some are told to by default, would forget what was answered.
#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn commits_wait_for_the_disk_whatever_the_database_says() {
    let database = Database::fresh().await;
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let name = database.url().rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let setting = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    let notes = "CREATE TABLE noted (setting TEXT);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO noted VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER INSERT ON job EXECUTE FUNCTION note();";
    for text in [setting.as_str(), notes] {
        sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
    }
    let storage = database.open().await;
    submit_one(&storage, planned("p", "1")).await;
    let seen = sqlx::raw_sql("SELECT setting FROM noted").fetch_all(&mut connection).await.unwrap();
    assert_eq!(seen.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>(), ["on"]);
    connection.close().await.unwrap();
    drop(storage);
    database.drop().await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_database_that_cannot_be_used_is_one_sentence_that_says_why() {
    let good = url::Url::parse(&server()).unwrap();
    let changed = |change: &dyn Fn(&mut url::Url)| {
        let mut url = good.clone();
        change(&mut url);
        url
    };
    let wrong = changed(&|url| url.set_password(Some("wrong")).unwrap());
    let error = refusal(&wrong).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, "storage_denied"));

    let error = refusal(&changed(&|url| url.set_path("nowhere"))).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "no_such_database"));

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = refusal(&changed(&|url| url.set_port(Some(free)).unwrap())).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "storage_unreachable"));
    assert!(error.message().contains("nothing listens there"), "{error}");

    // One that listens and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = refusal(&changed(&|url| url.set_port(Some(port)).unwrap())).await;
    assert!(error.message().contains("in time"), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn tls_is_verified_as_the_url_says() {
    let authority = std::env::var("PYBIT_TEST_POSTGRES_CA").expect("`make test` sets it");
    let with = |query: &str| {
        let mut url = url::Url::parse(&server()).unwrap();
        url.set_query(Some(query));
        url
    };
    let error = refusal(&with("sslmode=verify-full")).await;
    assert_eq!(error.code(), "storage_tls", "nobody vouches for it: {error:?}");
    let database = Database::fresh().await;
    let mut url = url::Url::parse(&database.url()).unwrap();
    url.set_query(Some(&format!("sslmode=verify-full&sslrootcert={authority}")));
    let store = SqlStore::<Postgres>::open(&Settings::url(url)).await.unwrap();
    store.health().await.unwrap();
}
