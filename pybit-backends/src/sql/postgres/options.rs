//! Where the server is, and how it is spoken to.

use std::str::FromStr;
use std::time::Duration;

use pybit_core::settings::Settings;
use pybit_core::{Error, Result};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Pool, Postgres};

use crate::sql::{Engine, statements};

/// The keys beside the URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresOptions {
    /// Connections of this process at once, 16 where left out; one more listens for the changes of others.
    pub max_connections: u32,
    /// How long to wait for a connection, in milliseconds, 5000 where left out: this long a server may be away before
    /// callers are told.
    pub acquire_timeout_ms: u64,
    /// How long one method may take, in milliseconds, 30000 where left out.
    pub statement_timeout_ms: u64,
    /// The name of its sessions in `pg_stat_activity`, `pybit` where left out.
    pub application_name: String,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            max_connections: 16,
            acquire_timeout_ms: 5000,
            statement_timeout_ms: 30_000,
            application_name: "pybit".to_owned(),
        }
    }
}

/// What may follow the `?` of a URL; libpq's names.
const PARAMETERS: [&str; 9] =
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "port", "dbname", "user", "password"];

impl PostgresOptions {
    pub(super) fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }

    pub(super) fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_ms)
    }

    /// How to connect. What the URL does not say, libpq's variables and password file say.
    ///
    /// A session whose process stopped in the middle of a transaction is ended by the server: it must not keep its locks.
    pub(super) fn connect_options(&self, settings: &Settings) -> Result<PgConnectOptions> {
        let refuse = |why: String| {
            let message = format!("the storage URL {} is refused: {why}", settings.shown());
            Error::invalid(message).with_code("invalid_configuration")
        };
        // Neither parser's own words are shown: they may quote the password.
        let no_url =
            || refuse("it is not a URL; as in postgres://user:password@host/database".to_owned());
        let url = url::Url::parse(&settings.url).map_err(|_| no_url())?;
        // The driver would take a URL without `//` for a server on this machine.
        if !settings.url[url.scheme().len()..].starts_with("://") {
            return Err(no_url());
        }
        for (key, _) in url.query_pairs() {
            if !PARAMETERS.contains(&key.as_ref()) {
                let known = PARAMETERS.join(", ");
                return Err(refuse(format!("there is no parameter {key:?}; there are {known}")));
            }
        }
        if self.max_connections == 0
            || self.acquire_timeout_ms == 0
            || self.statement_timeout_ms == 0
        {
            return Err(refuse("connections and timeouts must be above 0".to_owned()));
        }
        let options = PgConnectOptions::from_str(&settings.url).map_err(|_| {
            refuse("a part of it cannot be read; special characters are written %XX".to_owned())
        })?;
        let limit = format!("{}ms", self.statement_timeout_ms);
        Ok(options
            .application_name(&self.application_name)
            .statement_cache_capacity(statements::ALL.len() + 8)
            .options([
                ("statement_timeout", limit.as_str()),
                ("lock_timeout", limit.as_str()),
                ("idle_in_transaction_session_timeout", limit.as_str()),
            ]))
    }

    /// Connections to the server, made as they are needed. One that lay idle is tried before it is used: the server may
    /// have been started anew.
    #[expect(clippy::disallowed_methods, reason = "a pool wants the driver's own error")]
    pub(super) fn pool(&self, connect: PgConnectOptions) -> Pool<Postgres> {
        const IDLE: Duration = Duration::from_millis(250);
        PgPoolOptions::new()
            .max_connections(self.max_connections.saturating_add(1))
            .acquire_timeout(self.acquire_timeout())
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                let durable = statements::POSTGRES_DURABLE.text(Engine::Postgres);
                Box::pin(async move {
                    sqlx::query(durable).execute(connection).await?;
                    Ok(())
                })
            })
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(connect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        let error = PostgresOptions::default().connect_options(&Settings::url(url)).unwrap_err();
        assert_eq!(error.code(), "invalid_configuration", "{url}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        error.message().to_owned()
    }

    #[test]
    fn a_url_that_cannot_be_read_is_refused_without_its_password() {
        assert!(refusal("postgres://me:secret@host:port/x").contains("not a URL"));
        assert!(refusal("postgres:me:secret@host/x").contains("postgres:… is refused"));
        assert!(refusal("postgres:/me:secret@host/x").contains("not a URL"));
        assert!(refusal("postgres://me:secret@host/x?sslmod=require").contains("\"sslmod\""));
        assert!(
            refusal("postgres://me:secret@host/x?sslmode=sometimes").contains("cannot be read")
        );
    }

    #[test]
    fn the_url_says_where_and_the_options_say_how() {
        let mut settings =
            Settings::url("postgres://me:p%40ss@db.example:6543/farm?sslmode=verify-full");
        settings.options.insert("application_name".to_owned(), "north".into());
        let options: PostgresOptions = settings.options().unwrap();
        let connect = options.connect_options(&settings).unwrap();
        let place = (connect.get_host(), connect.get_port(), connect.get_database());
        assert_eq!(place, ("db.example", 6543, Some("farm")));
        assert_eq!(connect.get_application_name(), Some("north"));
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let mut settings = Settings::url("postgres://localhost/x");
        settings.options.insert("pool".to_owned(), 9.into());
        let error = settings.options::<PostgresOptions>().unwrap_err();
        assert!(error.message().contains("pool"), "{error}");
    }
}
