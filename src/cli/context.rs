//! Which server the command talks to, and with which token.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pybit::config::Config;
use pybit_client::{Api, ApiResult, Backoff, Retry, Secret};
use pybit_core::{Error, ErrorKind, Result};
use url::{Host, Url};

/// Where the command finds its server: in this order flags, environment, configuration, data directory.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct Where {
    /// The server's address
    #[arg(long, global = true, env = "PYBIT_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The access token; better set in the environment or a file
    #[arg(long, global = true, env = "PYBIT_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    #[arg(value_parser = secret)]
    token: Option<Secret>,
    /// The configuration file [default: ./pybit.toml, /etc/pybit/pybit.toml]
    #[arg(long, global = true, env = "PYBIT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of a farm that `pybit up` runs [default: ./pybit-data]
    #[arg(long, global = true, env = "PYBIT_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// The data directory where none is named.
pub(crate) const USUAL_DATA_DIR: &str = "pybit-data";

impl Where {
    /// The configuration, with the flags on top.
    pub(crate) fn load(&self) -> Result<Config> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(dir) = &self.data_dir {
            config.data_dir = Some(dir.clone());
        }
        Ok(config)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what clap asks of a value parser")]
fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

/// A server to talk to.
#[derive(Debug)]
pub(crate) struct Context {
    /// The server.
    pub(crate) api: Api,
}

impl Context {
    /// Finds server and token.
    pub(crate) fn open(place: &Where) -> Result<Self> {
        let config = place.load()?;
        let farm = Farm::find(&config);
        let given = place.url.clone().or(config.url.clone()).filter(|u| !u.is_empty());
        let url = given.or_else(|| farm.url()).ok_or_else(|| {
            Error::invalid(format!(
                "no server is known: start one with `pybit up`, or name it with --url or PYBIT_URL (there is no {})",
                farm.dir.join("url").display()
            ))
            .with_code("no_server")
        })?;
        let token = match place.token.clone().filter(|t| !t.expose().is_empty()) {
            Some(token) => Some(token),
            None => match configured(&config)? {
                Some(token) => Some(token),
                None => farm.token(&url)?,
            },
        };
        Ok(Self { api: Api::new(&url, token.as_ref())? })
    }
}

/// The token that the configuration gives; reading needs none.
fn configured(config: &Config) -> Result<Option<Secret>> {
    match (&config.token, &config.token_file) {
        (None, None) => Ok(None),
        (Some(token), _) if token.expose().is_empty() => Ok(None),
        (Some(token), None) => Ok(Some(token.clone())),
        (None, Some(file)) => Secret::read(file).map(Some),
        (Some(_), Some(_)) => {
            Err(Error::invalid("set token or token_file, not both")
                .with_code("invalid_configuration"))
        }
    }
}

/// The data directory of a farm on this machine, which says where it listens and holds the administrator's token.
struct Farm {
    dir: PathBuf,
    /// Whether somebody named it, so that it is not merely the first one that is there.
    named: bool,
}

impl Farm {
    fn find(config: &Config) -> Self {
        if let Some(dir) = &config.data_dir {
            return Self { dir: dir.clone(), named: true };
        }
        let own = std::env::var_os("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")));
        let usual = [Some(PathBuf::from(USUAL_DATA_DIR)), own.map(|d| d.join("pybit"))];
        let usual = usual.into_iter().flatten().chain([PathBuf::from("/var/lib/pybit")]);
        let dir = usual.into_iter().find(|d| d.join("url").is_file());
        Self { dir: dir.unwrap_or_else(|| PathBuf::from(USUAL_DATA_DIR)), named: false }
    }

    fn url(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.dir.join("url")).ok()?;
        Some(text.trim().to_owned()).filter(|t| !t.is_empty())
    }

    /// The administrator's token, for the farm's own server: a directory that only happens to be there gives its token to
    /// no other machine.
    fn token(&self, url: &str) -> Result<Option<Secret>> {
        let file = self.dir.join("admin.token");
        let own = self.named || is_loopback(url) || self.url().as_deref() == Some(url);
        if !own || !is_readable(&file) {
            return Ok(None);
        }
        Secret::read(&file).map(Some)
    }
}

/// Whether the file is there for this user: another user's farm can still be read without a token.
fn is_readable(file: &Path) -> bool {
    std::fs::File::open(file).is_ok()
}

fn is_loopback(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The text of a file that is given as an argument; `-` is standard input.
pub(crate) fn read_text(file: &Path) -> Result<String> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|e| {
        Error::new(ErrorKind::Unavailable, format!("cannot read {}: {e}", file.display()))
    })
}

/// A key for a request that this command may have to send again.
pub(crate) fn fresh_key() -> String {
    format!("pybit-{:032x}", rand::random::<u128>())
}

/// A few tries: of a server that is not there at all a person is told soon.
pub(crate) fn soon() -> Retry {
    let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(1));
    Retry { tries: Some(3), backoff }
}

/// Asks again, as often as `retry` allows, while the server is away: only for calls that may be repeated.
pub(crate) async fn patiently<T>(
    mut retry: Retry,
    mut ask: impl AsyncFnMut() -> ApiResult<T>,
) -> Result<T> {
    loop {
        match ask().await {
            Err(error) if error.is_transient() && retry.again().await => {}
            other => return other.map_err(Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farm(named: bool) -> (tempfile::TempDir, Farm) {
        use std::os::unix::fs::OpenOptionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("url"), "http://farm.example:8080\n").unwrap();
        let mut token = std::fs::File::options();
        let mut token = token
            .write(true)
            .create(true)
            .mode(0o600)
            .open(dir.path().join("admin.token"))
            .unwrap();
        std::io::Write::write_all(&mut token, b"pbt_1\n").unwrap();
        let farm = Farm { dir: dir.path().to_owned(), named };
        (dir, farm)
    }

    #[test]
    fn a_farm_that_nobody_named_gives_its_token_to_no_other_machine() {
        let (_dir, found) = farm(false);
        assert_eq!(found.url().as_deref(), Some("http://farm.example:8080"));
        let given = |url| found.token(url).unwrap().is_some();
        assert!(
            given("http://farm.example:8080")
                && given("http://127.0.0.1:9")
                && given("http://[::1]:9")
        );
        assert!(!given("http://other.example:8080") && !given("http://127.0.0.1.example"));
        let (_dir, named) = farm(true);
        assert!(named.token("http://other.example:8080").unwrap().is_some());
    }

    #[test]
    fn where_is_shown_without_the_token() {
        let place = Where {
            url: None,
            token: Some(Secret::new("pbt_secret")),
            config: None,
            data_dir: None,
        };
        assert!(!format!("{place:?}").contains("pbt_secret"));
    }
}
