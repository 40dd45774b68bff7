//! The `[web]` table of the configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use crate::dput::DputConfig;
use crate::hooks::HookConfig;

/// How the web server listens and what it allows. Everything has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// The address to listen on; port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// Addresses of proxies whose `X-Forwarded-For` is believed: wrong passwords are counted by the address that asks.
    pub proxies: Vec<IpAddr>,
    /// The directory that holds the repositories to serve, each as `NAME/current/…`; none where left out.
    pub repositories: Option<PathBuf>,
    /// Connections that may be open at once, at most half of the files that the process may open; further ones wait.
    pub most_connections: usize,
    /// Logs that may be followed at once; further followers are told to come later.
    pub most_followers: usize,
    /// A connection on which nothing moves for this long is closed, in milliseconds. Followed logs say something every
    /// 15 s, and held requests are answered within 30 s.
    pub idle_ms: u64,
    /// Services that tell of pushes.
    pub hooks: Vec<HookConfig>,
    /// Uploads of `dput` and `dput-ng`.
    pub dput: DputConfig,
    /// How long running requests may take once the server is told to stop, in milliseconds.
    pub stop_ms: u64,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            proxies: Vec::new(),
            repositories: None,
            most_connections: 4096,
            most_followers: 1000,
            idle_ms: 75_000,
            hooks: Vec::new(),
            dput: DputConfig::default(),
            stop_ms: 5_000,
        }
    }
}

impl WebConfig {
    /// Whether only those who are on this machine reach the server: it listens on loopback, and no proxy asks it for others.
    pub fn is_private(&self) -> bool {
        self.listen.ip().is_loopback() && self.proxies.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(serde_json::from_str::<WebConfig>(r#"{"lissten": "127.0.0.1:1"}"#).is_err());
        assert_eq!(serde_json::from_str::<WebConfig>("{}").unwrap(), WebConfig::default());
    }
}
