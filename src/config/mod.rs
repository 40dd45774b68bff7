//! `pybit.toml`: one file for every role, then `PYBIT_*` variables, then flags.

mod table;

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use figment::value::UncasedStr;
use pybit_backends::archive::NamesConfig;
use pybit_client::Secret;
use pybit_client::config::{ClientConfig, optional_address};
use pybit_core::settings::Settings;
use pybit_core::{Error, ErrorKind, Policy, Result};
use pybit_watch::WatchConfig;
use pybit_web::{SuiteConfig, WebConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use table::Table;

/// Everything that `pybit.toml` may say. A role reads its own table; what is left out has a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The server that the command talks to.
    #[serde(deserialize_with = "optional_address")]
    pub url: Option<String>,
    /// The command's access token; better kept in a file.
    pub token: Option<Secret>,
    /// A file that holds the command's access token, readable by nobody else.
    pub token_file: Option<PathBuf>,
    /// The directory of a whole farm, for `pybit up`; other roles take their defaults from it.
    pub data_dir: Option<PathBuf>,
    /// Where the farm's state is kept.
    pub storage: Option<Settings>,
    /// How hints travel.
    pub transport: Option<Settings>,
    /// Where logs and files are kept; a folder of the data directory where there is no URL.
    #[serde(deserialize_with = "table::blobs")]
    pub blobs: Option<Settings>,
    /// Times, caps and limits.
    pub policy: Policy,
    /// The names of the base distributions.
    pub names: NamesConfig,
    /// What the farm serves.
    pub suites: Vec<SuiteConfig>,
    /// The web server.
    pub web: WebConfig,
    /// The build client.
    #[serde(deserialize_with = "table::later")]
    pub client: Table<ClientConfig>,
    /// The watcher.
    #[serde(deserialize_with = "table::later")]
    pub watch: Table<WatchConfig>,
    /// The file that was read, for messages.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// The file that is read where none is named, if it is there.
const USUAL: [&str; 2] = ["pybit.toml", "/etc/pybit/pybit.toml"];

/// Variables that are not configuration keys; those of `tools/services` and the tests are none either.
const NOT_KEYS: [&str; 3] = ["CONFIG", "LOG", "SUPERVISE"];
const NOT_OURS: [&str; 3] = ["TEST_", "SERVICES_", "TRIAL_"];

impl Config {
    /// Reads the named file, or the usual one where it is there, and the environment.
    ///
    /// A named file that is not there, and a misspelt key, are refused: `Invalid`, code `invalid_configuration`, with the
    /// key, the file and the line.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        let file = match named {
            Some(file) => Some(file.to_owned()),
            None => USUAL.iter().map(PathBuf::from).find(|f| f.is_file()),
        };
        let mut figment = Figment::new();
        if let Some(file) = &file {
            check_file(file)?;
            figment = figment.merge(Toml::file_exact(file));
        }
        let ours = |key: &UncasedStr| !NOT_OURS.iter().any(|begin| key.starts_with(begin));
        let variables = Env::prefixed("PYBIT_").filter(ours).ignore(&NOT_KEYS).split("__");
        figment = figment.merge(variables);
        let mut config: Self = figment.extract().map_err(|e| refuse(describe(&e)))?;
        config.client = Table::read(&figment, file.as_deref(), |part: ClientPart| part.client)?;
        config.watch = Table::read(&figment, file.as_deref(), |part: WatchPart| part.watch)?;
        config.names.enabled.get_or_insert(true);
        config.file = file;
        Ok(config)
    }

    /// What a build client needs; refuses what is missing in its table.
    pub fn client_role(&self) -> Result<ClientConfig> {
        let client = self.client.given()?.ok_or_else(|| self.no_table("client"))?;
        self.whole(client, &client.missing())
    }

    /// What a watcher needs; refuses what is missing in its table.
    pub fn watch_role(&self) -> Result<WatchConfig> {
        let watch = self.watch.given()?.ok_or_else(|| self.no_table("watch"))?;
        self.whole(watch, &watch.missing())
    }

    fn no_table(&self, name: &str) -> Error {
        let place = place(self.file.as_deref());
        refuse(format!("{place} has no [{name}] table; docs/configuration.md shows one"))
    }

    fn whole<T: Clone>(&self, table: &T, missing: &[&str]) -> Result<T> {
        if missing.is_empty() {
            return Ok(table.clone());
        }
        Err(lacking(self.file.as_deref(), &missing.join(", ")))
    }
}

/// What is asked of `[client]`, by the one verb that needs it.
#[derive(Deserialize)]
struct ClientPart {
    #[serde(default)]
    client: Option<ClientConfig>,
}

/// What is asked of `[watch]`.
#[derive(Deserialize)]
struct WatchPart {
    #[serde(default)]
    watch: Option<WatchConfig>,
}

fn place(file: Option<&Path>) -> String {
    file.map_or_else(|| "the configuration".to_owned(), |f| f.display().to_string())
}

/// Keys without a default that nobody has given.
fn lacking(file: Option<&Path>, keys: &str) -> Error {
    refuse(format!("missing in {}: {keys}; docs/configuration.md shows them", place(file)))
}

fn refuse(message: String) -> Error {
    Error::invalid(message).with_code("invalid_configuration")
}

/// Reads the file by itself first, part by part: the TOML reader knows the line of a fault, the layered one does not. A key that is
/// missing may still come from the environment.
fn check_file(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound {
            ErrorKind::NotFound
        } else {
            ErrorKind::Unavailable
        };
        Error::new(kind, format!("cannot read the configuration {}: {e}", file.display()))
            .with_code("invalid_configuration")
    })?;
    check_part::<Config>(file, &text)?;
    check_part::<ClientPart>(file, &text)?;
    check_part::<WatchPart>(file, &text)
}

fn check_part<T: DeserializeOwned>(file: &Path, text: &str) -> Result<()> {
    let Err(error) = toml::from_str::<T>(text) else { return Ok(()) };
    if error.message().starts_with("missing field") {
        return Ok(());
    }
    let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
    let message = without_value(error.message());
    Err(refuse(format!("{}, line {line}: {message}", file.display())))
}

/// The fault without the value that was read: it may be a secret.
fn without_value(message: &str) -> String {
    let faulty = message.starts_with("invalid type") || message.starts_with("invalid value");
    match message.split_once("expected ") {
        Some((_, wanted)) if faulty => format!("the value must be {}", wanted.replace('\n', " ")),
        _ => message.replace('\n', " "),
    }
}

/// The first fault of the layered configuration, with the key and where it came from, never a value.
fn describe(error: &figment::Error) -> String {
    let key = error.path.join(".");
    let from = error.metadata.as_ref().map_or_else(String::new, |m| format!(" (from {})", m.name));
    let what = match &error.kind {
        figment::error::Kind::InvalidType(_, wanted)
        | figment::error::Kind::InvalidValue(_, wanted) => format!("must be {wanted}"),
        other => other.to_string(),
    };
    if key.is_empty() {
        format!("the configuration{from}: {what}")
    } else {
        format!("the configuration key {key}{from}: {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pybit.toml");
        std::fs::write(&file, text).unwrap();
        (dir, file)
    }

    #[test]
    fn a_misspelt_key_is_named_with_file_and_line() {
        let (_dir, file) = written("[web]\nlisten = \"127.0.0.1:8080\"\nlissten = 1\n");
        let error = Config::load(Some(&file)).unwrap_err();
        assert_eq!(error.code(), "invalid_configuration");
        let message = error.message();
        assert!(
            message.contains("lissten")
                && message.contains("line 3")
                && message.contains("pybit.toml"),
            "{message}"
        );
    }

    #[test]
    fn a_named_file_that_is_not_there_is_refused() {
        let error = Config::load(Some(Path::new("nowhere.toml"))).unwrap_err();
        assert!(error.message().contains("nowhere.toml"), "{error}");
    }

    #[test]
    fn a_blob_store_without_a_url_is_the_usual_folder() {
        let read = |text: &str| {
            let (_dir, file) = written(text);
            Config::load(Some(&file)).map(|config| config.blobs.map(|b| (b.url, b.options.len())))
        };
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("[blobs]\n").unwrap(), None);
        let s3 = "[blobs]\nurl = \"s3://farm\"\nendpoint = \"https://s3.lan\"\n";
        assert_eq!(read(s3).unwrap(), Some(("s3://farm".to_owned(), 1)));
        let error = read("[blobs]\nendpoint = \"https://s3.lan\"\n").unwrap_err();
        assert!(error.message().contains("url") && error.message().contains("blobs"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_never_printed() {
        let (_dir, file) = written("token = 12345678901\n");
        let message = Config::load(Some(&file)).unwrap_err().to_string();
        assert!(!message.contains("12345678901"), "{message}");
    }
}
