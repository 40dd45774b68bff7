//! What the farm's database holds, read past the farm.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, PgPool, Row, SqlitePool};

/// The tables that the invariants speak of.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) jobs: Vec<Job>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) events: BTreeMap<i64, Vec<Event>>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) parts: Vec<Part>,
    pub(crate) submissions: Vec<Submission>,
    pub(crate) keys: Vec<Key>,
    pub(crate) outbox: usize,
    /// Everything that was read, as text.
    pub(crate) dump: String,
}

macro_rules! table {
    // What stands behind the bar is only searched for secrets.
    ($name:ident, $table:literal, { $($field:ident: $type:ty),* $(,)? | $($other:ident),* }) => {
        #[derive(Debug, Clone, Deserialize)]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }
        impl $name {
            const TABLE: &str = $table;
            const FIELDS: &[&str] = &[$(stringify!($field),)* $(stringify!($other)),*];
        }
    };
}

table!(Job, "job", {
    id: i64, submission: i64, kind: String, package: String, version: Option<String>, suite: String, arch: String,
    status: String, row_version: i64, attempt: i64, infra_retries: i64, priority: i64, failure_class: Option<String>,
    failure_message: Option<String>, retries_of: Option<i64>,
    | unmet, produced
});
table!(Attempt, "attempt", {
    job: i64, number: i64, client: String, outcome: Option<String>, failure_class: Option<String>, log_sha256: Option<String>,
    | claim_id, boot, failure_message
});
table!(Event, "event", {
    job: i64, number: i64, attempt: i64, from_status: Option<String>, to_status: String, actor: String, cause: String, at: i64,
    |
});
table!(Stream, "stream", {
    id: i64, job: Option<i64>, attempt: Option<i64>, role: String, name: String, size: Option<i64>,
    sha256: Option<String>, length: i64, object: Option<String>,
    | upload
});
table!(Part, "stream_part", { stream: i64, start_at: i64, length: i64, object: String, | });
table!(Submission, "submission", { principal: String | id, request });
table!(Key, "idempotency", { key: String, submission: i64 | });

/// A farm's database.
#[derive(Debug)]
enum Database {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

impl Database {
    async fn open(url: &str) -> Result<Self, String> {
        let text = |e: sqlx::Error| e.to_string();
        if url.starts_with("postgres") {
            return PgPool::connect(url).await.map(Self::Postgres).map_err(text);
        }
        let url = format!("sqlite://{url}?mode=ro");
        SqlitePool::connect(&url).await.map(Self::Sqlite).map_err(text)
    }

    /// Every row of a table, as JSON.
    #[expect(clippy::disallowed_methods, reason = "the checker reads past the farm")]
    async fn rows(&self, table: &str, fields: &[&str]) -> Result<Vec<String>, String> {
        // PostgreSQL keeps times as its own type; everybody else speaks of microseconds.
        let place = |field: &str| match (self, field) {
            (Self::Postgres(_), "at") => "(extract(epoch FROM at) * 1000000)::bigint".to_owned(),
            _ => field.to_owned(),
        };
        let pairs: Vec<_> = fields.iter().map(|f| format!("'{f}', {}", place(f))).collect();
        let pairs = pairs.join(", ");
        let rows = match self {
            Self::Postgres(pool) => {
                let sql = format!("SELECT json_build_object({pairs})::text FROM {table}");
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await;
                rows.map(|rows| rows.iter().map(|r| r.get(0)).collect())
            }
            Self::Sqlite(pool) => {
                let sql = format!("SELECT json_object({pairs}) FROM {table}");
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await;
                rows.map(|rows| rows.iter().map(|r| r.get(0)).collect())
            }
        };
        rows.map_err(|e| format!("{table}: {e}"))
    }

    async fn all<T: DeserializeOwned>(
        &self,
        table: &str,
        fields: &[&str],
        dump: &mut String,
    ) -> Result<Vec<T>, String> {
        let mut all = Vec::new();
        for row in self.rows(table, fields).await? {
            all.push(serde_json::from_str(&row).map_err(|e| format!("{table}: {e}: {row}"))?);
            dump.push_str(&row);
            dump.push('\n');
        }
        Ok(all)
    }
}

/// The hints that wait to be sent.
#[derive(Debug)]
pub(crate) struct Outbox(Database);

impl Outbox {
    pub(crate) async fn open(url: &str) -> Result<Self, String> {
        Database::open(url).await.map(Self)
    }

    /// The jobs that they are for.
    pub(crate) async fn jobs(&self) -> Result<BTreeSet<i64>, String> {
        #[derive(Deserialize)]
        struct Row {
            job: i64,
        }
        let rows = self.0.all::<Row>("outbox", &["job"], &mut String::new()).await?;
        Ok(rows.into_iter().map(|row| row.job).collect())
    }
}

/// How many jobs are in each status: whether the farm has come to rest.
pub(crate) async fn statuses(url: &str) -> Result<BTreeMap<String, usize>, String> {
    #[derive(Deserialize)]
    struct Status {
        status: String,
    }
    let database = Database::open(url).await?;
    let mut counts = BTreeMap::new();
    for row in database.all::<Status>("job", &["status"], &mut String::new()).await? {
        *counts.entry(row.status).or_default() += 1;
    }
    Ok(counts)
}

impl World {
    /// Reads everything.
    pub(crate) async fn read(url: &str) -> Result<Self, String> {
        let database = Database::open(url).await?;
        let mut dump = String::new();
        let mut world = Self {
            jobs: database.all(Job::TABLE, Job::FIELDS, &mut dump).await?,
            attempts: database.all(Attempt::TABLE, Attempt::FIELDS, &mut dump).await?,
            streams: database.all(Stream::TABLE, Stream::FIELDS, &mut dump).await?,
            parts: database.all(Part::TABLE, Part::FIELDS, &mut dump).await?,
            submissions: database.all(Submission::TABLE, Submission::FIELDS, &mut dump).await?,
            keys: database.all(Key::TABLE, Key::FIELDS, &mut dump).await?,
            outbox: database.rows("outbox", &["id"]).await?.len(),
            ..Self::default()
        };
        let events: Vec<Event> = database.all(Event::TABLE, Event::FIELDS, &mut dump).await?;
        for event in events {
            world.events.entry(event.job).or_default().push(event);
        }
        for events in world.events.values_mut() {
            events.sort_by_key(|e| e.number);
        }
        world.attempts.sort_by_key(|a| (a.job, a.number));
        world.jobs.sort_by_key(|j| j.id);
        world.dump = dump;
        Ok(world)
    }

    pub(crate) fn job(&self, id: i64) -> Option<&Job> {
        self.jobs.binary_search_by_key(&id, |j| j.id).ok().map(|at| &self.jobs[at])
    }

    /// The attempt whose result was taken, with its job.
    pub(crate) fn succeeded(&self) -> impl Iterator<Item = (&Job, &Attempt)> {
        let taken = self.attempts.iter().filter(|a| a.outcome.as_deref() == Some("succeeded"));
        taken.filter_map(|a| Some((self.job(a.job)?, a)))
    }
}
