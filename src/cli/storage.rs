//! `pybit storage`: what is done to the farm's database as a whole.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use pybit::config::Config;
use pybit::roles::{DataDir, data_dir};
use pybit_backends::sql::upkeep::{Checked, CopiedTable, Database, Finding, Progress, Step};
use pybit_core::settings::Settings;
use pybit_core::{ErrorKind, Result};
use serde::Serialize;

use super::context::{USUAL_DATA_DIR, Where};
use super::output;

/// Look after the farm's database: its schema, its order, its move to another engine
///
/// The database is the one that the configuration names, or farm.db in the data directory. No server is asked: run this
/// where the database can be reached, as the user that the server runs as.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Bring the schema up to the version of this program
    ///
    /// A server does so by itself when it starts; this does it beforehand, and makes the database where there is none.
    /// A schema that a newer program has changed is refused.
    Migrate {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read everything and tell what must not be
    ///
    /// Changes nothing, and may be done while servers run. Exit code 0: nothing found; 1: findings, each with the rows
    /// and what to do, or the check could not be made.
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy the whole farm into another, empty database, from SQLite to PostgreSQL or back
    ///
    /// Stop every server of the farm first; build clients and watchers may go on, and find their jobs again. All rows are
    /// copied as they were at one moment, read again in the target and compared, and only then kept: a copy that was
    /// ended half-way leaves the target empty. Logs and files are not in the database and stay where they are.
    #[command(after_help = "Examples:\n  \
        pybit storage copy --to postgres://pybit@db.example/farm\n  \
        pybit storage copy --from postgres://pybit@db.example/farm --to sqlite:///var/lib/pybit/farm.db\n\n\
        A password on a command line is seen by every user of the machine. Leave it out of the URL and give it in\n\
        PGPASSWORD or in ~/.pgpass.")]
    Copy {
        /// The database to read [default: the configured one]
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        /// The database to fill; one of PostgreSQL must be there and be empty, a SQLite file is made
        #[arg(long, value_name = "URL")]
        to: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(args: Args, place: &Where) -> Result<ExitCode> {
    let config = place.load()?;
    match args.what {
        What::Migrate { json } => migrate(&config, json).await,
        What::Check { json } => check(&config, json).await,
        What::Copy { from, to, json } => {
            let from = from.map_or_else(|| configured(&config), |url| Ok(named(&config, url)))?;
            copy(&config, &from, &named(&config, to), json).await
        }
    }
}

/// The database of this farm.
fn configured(config: &Config) -> Result<Settings> {
    let dir = config.data_dir.as_deref().unwrap_or(Path::new(USUAL_DATA_DIR));
    match &config.storage {
        Some(storage) => Ok(storage.clone()),
        None => Ok(Settings::url(DataDir::at(dir)?.storage_url())),
    }
}

/// A database by its URL; the configured one with all of its options.
fn named(config: &Config, url: String) -> Settings {
    let own = config.storage.as_ref().filter(|storage| storage.url == url);
    own.cloned().unwrap_or_else(|| Settings::url(url))
}

/// The schema versions before and after.
#[derive(Serialize)]
struct Migration<'a> {
    database: &'a str,
    from: i64,
    to: i64,
}

async fn migrate(config: &Config, json: bool) -> Result<ExitCode> {
    if config.storage.is_none() {
        data_dir(config)?;
    }
    let database = Database::open_or_make(&configured(config)?).await?;
    let migrated = database.migrate().await?;
    let (from, to, shown) = (migrated.from, migrated.to, database.shown());
    if json {
        output::json(&Migration { database: shown, from, to })?;
    } else if from == to {
        output::line(format!("{shown} has schema version {to}, as it must; nothing to do"));
    } else if from == 0 {
        output::line(format!("{shown} was empty and has schema version {to} now"));
    } else {
        output::line(format!("{shown} had schema version {from} and has {to} now"));
    }
    database.close().await;
    Ok(ExitCode::SUCCESS)
}

/// What a check tells programs.
#[derive(Serialize)]
struct Report<'a> {
    database: &'a str,
    clean: bool,
    #[serde(flatten)]
    checked: &'a Checked,
}

async fn check(config: &Config, json: bool) -> Result<ExitCode> {
    let database = Database::open(&configured(config)?).await?;
    let checked = database.check().await?;
    database.close().await;
    let clean = checked.findings.is_empty();
    if json {
        output::json(&Report { database: database.shown(), clean, checked: &checked })?;
    } else {
        checked.findings.iter().for_each(tell);
        let rows = HumanCount(checked.rows.values().sum());
        let found = match checked.findings.len() {
            0 => "nothing is wrong".to_owned(),
            1 => "1 finding".to_owned(),
            many => format!("{many} findings"),
        };
        output::line(format!("{}: {rows} rows read, {found}", database.shown()));
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(finding: &Finding) {
    output::line(format!("{}: {}", finding.rule, output::tame(&finding.what)));
    for row in &finding.rows {
        output::line(format!("  {}: {}", output::tame(&row.row), output::tame(&row.found)));
    }
    let more = finding.count - finding.rows.len() as u64;
    if more > 0 {
        output::line(format!("  and {} more", HumanCount(more)));
    }
    output::line(format!("  what to do: {}\n", finding.advice));
}

/// What a copy tells programs.
#[derive(Serialize)]
struct Copied<'a> {
    from: &'a str,
    to: &'a str,
    rows: u64,
    tables: &'a [CopiedTable],
    /// Where logs and files are: they were not copied.
    blobs: String,
}

async fn copy(config: &Config, from: &Settings, to: &Settings, json: bool) -> Result<ExitCode> {
    let source = Database::open(from).await?;
    let target = Database::open_or_make(to).await?;
    target.migrate().await?;
    let bar = bar();
    let copied = source.copy_to(&target, &|progress| show(&bar, progress)).await;
    bar.finish_and_clear();
    let copied = copied?;
    source.close().await;
    target.close().await;
    let rows = copied.iter().map(|table| table.rows).sum();
    let blobs = blobs(config)?;
    let (from, to) = (source.shown(), target.shown());
    if json {
        output::json(&Copied { from, to, rows, tables: &copied, blobs: blobs.shown() })?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |table: &CopiedTable| {
        let digest = table.sha256.get(..12).unwrap_or_default().to_owned();
        vec![table.table.to_owned(), HumanCount(table.rows).to_string(), digest]
    };
    output::table(&["table", "rows", "sha-256"], copied.iter().map(row).collect());
    output::line(format!(
        "\ncopied {} rows from {from} to {to}; both sides were read and are equal\n\nNow:\n\
         1. Put the new URL into [storage] of pybit.toml, on every machine that runs a server.\n\
         2. {}\n\
         3. Start the servers. The old database is as it was: keep it until the farm works, and start no server on it.",
        HumanCount(rows),
        where_bytes_are(&blobs),
    ));
    Ok(ExitCode::SUCCESS)
}

/// Where the farm keeps logs and files.
fn blobs(config: &Config) -> Result<Settings> {
    let dir = config.data_dir.as_deref().unwrap_or(Path::new(USUAL_DATA_DIR));
    match &config.blobs {
        Some(blobs) => Ok(blobs.clone()),
        None => Ok(Settings::url(format!("file://{}", DataDir::at(dir)?.blobs().display()))),
    }
}

/// What becomes of logs and files, which no database holds.
fn where_bytes_are(blobs: &Settings) -> String {
    let shown = blobs.shown();
    match blobs.scheme() {
        "file" => format!(
            "Logs and files are not in the database: they are the folder {}. Servers on this machine find them there, by \
             data_dir or by [blobs]; for servers on other machines copy the folder to where they can all read and write it.",
            shown.trim_start_matches("file:").trim_start_matches("//")
        ),
        "memory" => {
            "Logs and files were kept in memory, and are gone with their server.".to_owned()
        }
        _ => format!(
            "Logs and files stay where they are, at {shown}; every server needs the same [blobs]."
        ),
    }
}

/// Shown on a terminal alone.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{msg:22} {bar:30} {human_pos}/{human_len} rows {per_sec} {eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

fn show(bar: &ProgressBar, progress: Progress) {
    let verb = match progress.step {
        Step::Copied => "copying",
        Step::Compared => "comparing",
    };
    bar.set_length(progress.total);
    bar.set_position(progress.rows);
    bar.set_message(format!("{verb} {}", progress.table));
}

/// What is known of the farm's database, for `pybit doctor`.
#[derive(Debug, Serialize)]
pub(super) struct State {
    /// Without user and password.
    url: String,
    /// The version of its schema, where it was reached; 0 where it has none.
    schema_version: Option<i64>,
    /// The version that this program makes.
    known_version: Option<i64>,
    /// Why it cannot be used as it is, or what is still to be done.
    trouble: Option<String>,
}

impl State {
    /// Asks the configured database, and changes nothing.
    pub(super) async fn of(config: &Config) -> Result<Self> {
        let settings = configured(config)?;
        let mut state = Self {
            url: settings.shown(),
            schema_version: None,
            known_version: None,
            trouble: None,
        };
        if settings.scheme() == "memory" {
            return Ok(state);
        }
        match versions(&settings).await {
            Ok((version, known)) => {
                (state.schema_version, state.known_version) = (Some(version), Some(known));
                state.trouble = pending(version, known);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                state.trouble = Some("it is not there yet; a server makes it".to_owned());
            }
            Err(error) => state.trouble = Some(error.to_string()),
        }
        Ok(state)
    }

    /// A line for people.
    pub(super) fn line(&self) -> String {
        match (&self.trouble, self.schema_version) {
            (Some(why), _) => format!("note    the storage {}: {}", self.url, output::tame(why)),
            (None, Some(version)) => {
                format!("ok      the storage {} answers, schema version {version}", self.url)
            }
            (None, None) => format!("ok      the storage {}, which keeps nothing", self.url),
        }
    }
}

async fn versions(settings: &Settings) -> Result<(i64, i64)> {
    let database = Database::open(settings).await?;
    let versions = database.versions().await;
    database.close().await;
    versions
}

fn pending(version: i64, known: i64) -> Option<String> {
    match version {
        0 => Some("it is empty; a server or `pybit storage migrate` makes its tables".to_owned()),
        older if older < known => Some(format!(
            "schema version {older}; `pybit storage migrate`, or the start of a server, brings it to {known}"
        )),
        newer if newer > known => {
            Some(format!("schema version {newer}; this program knows {known}: use a newer pybit"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_becomes_of_logs_and_files() {
        let told = |url: &str| where_bytes_are(&Settings::url(url));
        assert!(told("file:///var/lib/pybit/blobs").contains("the folder /var/lib/pybit/blobs. "));
        assert!(told("memory:").contains("in memory"));
        let elsewhere = told("s3://key:secret@depot.example/farm");
        assert!(elsewhere.contains("s3://depot.example/farm") && !elsewhere.contains("secret"));
    }

    #[test]
    fn what_is_still_to_be_done_to_a_schema_is_said() {
        assert_eq!(pending(2, 2), None);
        assert!(pending(1, 2).unwrap().contains("pybit storage migrate"));
        assert!(pending(0, 2).unwrap().contains("empty"));
        assert!(pending(3, 2).unwrap().contains("newer pybit"));
    }
}
