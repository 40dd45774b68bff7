//! Which server the command talks to, and with which token.

use std::path::{Path, PathBuf};

use pybit::config::Config;
use pybit_client::{Api, Secret};
use pybit_core::{Error, Result};

/// Where the command finds its server: in this order flags, environment, configuration, data directory.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct Where {
    /// The server's address
    #[arg(long, global = true, env = "PYBIT_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The access token; better set in the environment or a file
    #[arg(long, global = true, env = "PYBIT_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
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
        let dir = config.data_dir.clone().unwrap_or_else(|| PathBuf::from(USUAL_DATA_DIR));
        let url = place.url.clone().or(config.url.clone()).or_else(|| line_of(&dir.join("url")));
        let url = url.ok_or_else(|| {
            Error::invalid(format!(
                "no server is known: start one with `pybit up`, or name it with --url or PYBIT_URL (there is no {})",
                dir.join("url").display()
            ))
            .with_code("no_server")
        })?;
        let token = match &place.token {
            Some(token) => Some(Secret::new(token)),
            None => config_token(&config, &dir)?,
        };
        Ok(Self { api: Api::new(&url, token.as_ref())? })
    }
}

/// The token of the configuration, else the administrator's in the data directory; reading needs none.
fn config_token(config: &Config, dir: &Path) -> Result<Option<Secret>> {
    if config.token.is_some() || config.token_file.is_some() {
        return Secret::configured(config.token.as_ref(), config.token_file.as_deref(), "").map(Some);
    }
    let file = dir.join("admin.token");
    if file.is_file() { Secret::read(&file).map(Some) } else { Ok(None) }
}

fn line_of(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}
