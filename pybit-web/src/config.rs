//! The `[web]` and `[[suites]]` tables of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use pybit_core::model::{
    Arch, Dist, EnvName, FormatName, Repository, RepositoryName, Suite, Target, WeightedTarget,
};
use pybit_core::storage::Storage;
use pybit_core::{Error, Result};
use serde::Deserialize;

use crate::dput::DputConfig;
use crate::hooks::HookConfig;

/// How the web server listens and what it allows. Everything has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// The address to listen on; port 0 lets the system choose one.
    pub listen: SocketAddr,
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

/// A suite that the farm serves, as `[[suites]]` says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteConfig {
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub name: Suite,
    /// The package format.
    pub format: FormatName,
    /// The architectures to build for.
    pub arches: Vec<Arch>,
    /// The environments to build in.
    pub envs: Vec<EnvConfig>,
    /// Where results are published; results are `Done` when they are uploaded where left out.
    #[serde(default)]
    pub repository: Option<RepositoryName>,
}

/// A build environment of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvConfig {
    /// The environment.
    pub name: EnvName,
    /// The heaviest is the default.
    #[serde(default)]
    pub weight: i32,
}

impl SuiteConfig {
    /// Every target of the suite. `source` is no architecture to build for, and a suite without any builds nothing:
    /// both are refused, `Invalid`.
    pub fn targets(&self) -> Result<Vec<WeightedTarget>> {
        let refuse = |what: &str| {
            let message = format!("the suite {} in the configuration {what}", self.name);
            Error::invalid(message).with_code("invalid_configuration")
        };
        if self.arches.is_empty() || self.envs.is_empty() {
            return Err(refuse("needs at least one architecture and one environment"));
        }
        if self.arches.iter().any(Arch::is_source) {
            return Err(refuse("names the architecture source, which every suite has by itself"));
        }
        let pairs = self.arches.iter().flat_map(|a| self.envs.iter().map(move |e| (a, e)));
        Ok(pairs.map(|(arch, env)| self.target(arch, env)).collect())
    }

    fn target(&self, arch: &Arch, env: &EnvConfig) -> WeightedTarget {
        let target = Target {
            dist: self.dist.clone(),
            suite: self.name.clone(),
            arch: arch.clone(),
            format: self.format.clone(),
            env: env.name.clone(),
        };
        WeightedTarget { target, weight: env.weight }
    }

    fn repository(&self) -> Option<Repository> {
        let name = self.repository.clone()?;
        Some(Repository {
            name,
            dist: self.dist.clone(),
            suite: self.name.clone(),
            format: self.format.clone(),
            url: None,
            public_key: None,
        })
    }
}

/// Puts the configured suites into the catalogue: adds what is missing and changes weights; removes nothing.
pub async fn seed(storage: &dyn Storage, suites: &[SuiteConfig]) -> Result<()> {
    for suite in suites {
        for target in suite.targets()? {
            storage.put_target(&target).await?;
        }
        if let Some(repository) = suite.repository() {
            storage.put_repository(&repository).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(arches: &[&str]) -> SuiteConfig {
        serde_json::from_value(serde_json::json!({
            "dist": "Debian", "name": "bookworm", "format": "deb", "arches": arches,
            "envs": [{"name": "sbuild", "weight": 10}, {"name": "host"}],
        }))
        .unwrap()
    }

    #[test]
    fn a_suite_has_a_target_for_each_architecture_and_environment() {
        let targets = suite(&["amd64", "arm64"]).targets().unwrap();
        let shown: Vec<_> = targets
            .iter()
            .map(|t| format!("{} {} {}", t.target.arch, t.target.env, t.weight))
            .collect();
        assert_eq!(shown, ["amd64 sbuild 10", "amd64 host 0", "arm64 sbuild 10", "arm64 host 0"]);
    }

    #[test]
    fn a_suite_that_could_build_nothing_is_refused() {
        assert!(suite(&[]).targets().is_err());
        assert!(suite(&["amd64", "source"]).targets().is_err());
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(serde_json::from_str::<WebConfig>(r#"{"lissten": "127.0.0.1:1"}"#).is_err());
        assert_eq!(serde_json::from_str::<WebConfig>("{}").unwrap(), WebConfig::default());
    }
}
