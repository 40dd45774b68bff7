//! The build client's configuration: the `[client]` table of `pybit.toml`.

mod limits;
mod mock;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use pybit_core::model::{Arch, ClientName, Dist, EnvName, FormatName, Suite, Target};
use pybit_core::settings::Settings;
use pybit_core::{Error, Result};
use serde::{Deserialize, Deserializer, de};

use crate::secret::Secret;
pub use limits::LimitsConfig;
pub use mock::MockConfig;

/// How a build client is set up. `url`, `work_dir` and `offers` have no default: they are empty where left out, for a program
/// that fills them itself, and [`check`](Self::check) refuses that.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// The client's name in the farm, the one that its token was made for; the host's name where left out.
    pub name: Option<ClientName>,
    /// The farm's address: `http://farm:8080`.
    #[serde(deserialize_with = "address")]
    pub url: String,
    /// The access token; better kept in a file.
    pub token: Option<Secret>,
    /// A file that holds the access token, readable by nobody else.
    pub token_file: Option<PathBuf>,
    /// The directory for jobs under way. One client process uses it at a time.
    pub work_dir: PathBuf,
    /// Jobs that are built at once.
    pub slots: u32,
    /// The user that builds run as, where the client itself runs as root.
    pub build_user: Option<String>,
    /// Allows the environment `host`: builds that see this machine as it is.
    pub allow_host: bool,
    /// Allows `git+file://` sources: repositories of this machine, read as the build user.
    pub allow_file: bool,
    /// Hosts with private addresses that git sources may come from: names, addresses or networks such as `10.0.0.0/8`.
    /// Of the public Internet every host may.
    pub allow_hosts: Vec<String>,
    /// Fetches an upstream tarball that a git repository does not have from where its `debian/watch` says, with `uscan`.
    pub uscan: bool,
    /// What opens sources that are not for everybody, each below one address.
    pub credentials: Vec<CredentialConfig>,
    /// What is built here.
    pub offers: Vec<OfferConfig>,
    /// Where hints come from; without it the client only asks the server, which holds the question until there is work.
    pub transport: Option<Settings>,
    /// The environment `sbuild`.
    pub sbuild: SbuildConfig,
    /// The environment `mock`: what RPM packages are built for in it, besides the offers.
    pub mock: Vec<MockConfig>,
    /// Resources of this machine for one build.
    pub limits: LimitsConfig,
    /// Seconds that running builds get to end when the client is asked to; then they are given back.
    pub drain_secs: u64,
    /// The address of a small page that shows what the client does: `127.0.0.1:8081`. None where left out.
    pub status: Option<SocketAddr>,
}

impl Default for ClientConfig {
    /// One slot and no offers: nothing may be built, and nothing dangerous is allowed.
    fn default() -> Self {
        Self {
            name: None,
            url: String::new(),
            token: None,
            token_file: None,
            work_dir: PathBuf::new(),
            slots: 1,
            build_user: None,
            allow_host: false,
            allow_file: false,
            allow_hosts: Vec::new(),
            uscan: false,
            credentials: Vec::new(),
            offers: Vec::new(),
            transport: None,
            sbuild: SbuildConfig::default(),
            mock: Vec::new(),
            limits: LimitsConfig::default(),
            drain_secs: 0,
            status: None,
        }
    }
}

/// Some targets: one suite and format, on each architecture, in each environment.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferConfig {
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub suite: Suite,
    /// The package format.
    pub format: FormatName,
    /// Architectures; this machine's own where left out.
    #[serde(default)]
    pub arches: Vec<Arch>,
    /// Environments.
    pub envs: Vec<EnvName>,
    /// How much rather these are built here than others of the same priority: added to the weight of the jobs.
    #[serde(default)]
    pub weight: i32,
}

/// A password or a key for the sources below an address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialConfig {
    /// The address: `https://git.example.lan/team/`, `svn://svn.example.lan/`, `ssh://git@git.example.lan/`.
    pub url: String,
    /// The user whose password it is.
    #[serde(default)]
    pub username: Option<String>,
    /// A file that holds the password, or the token that stands for one, readable by nobody else.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// For ssh: a private key without a passphrase, which the build user can read.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// The roots that `sbuild` builds in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SbuildConfig {
    /// Days after which a root is made anew.
    pub max_age_days: u32,
    /// `sources.list` lines that a root is made from; those of this machine where left out.
    pub mirror: Option<Vec<String>>,
}

impl Default for SbuildConfig {
    fn default() -> Self {
        Self { max_age_days: 7, mirror: None }
    }
}

/// Reads the address of a server. What [`Api::new`](crate::Api::new) refuses is refused here already: a configuration that
/// was read holds no password in an address, and so cannot show one.
pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(String::deserialize(deserializer)?)
}

/// Reads the address of a server that may be left out or empty, as [`address`] does.
pub fn optional_address<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let url = String::deserialize(d)?;
    if url.is_empty() { Ok(None) } else { checked(url).map(Some) }
}

fn checked<E: de::Error>(url: String) -> Result<String, E> {
    crate::api::parse_base(&url).map_err(E::custom)?;
    Ok(url)
}

impl ClientConfig {
    /// The client's name.
    pub fn client_name(&self) -> Result<ClientName> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let host = nix::unistd::gethostname()
            .map_err(|e| refuse("the host has no name; set client.name").with_source(e))?;
        host.to_string_lossy()
            .parse()
            .map_err(|_| refuse("the host's name cannot be a build client's name; set client.name"))
    }

    /// The access token.
    ///
    /// Fails where there is none, where there are two, and where its file can be read by others.
    pub fn secret(&self) -> Result<Secret> {
        Secret::configured(self.token.as_ref(), self.token_file.as_deref(), "client")
    }

    /// Everything that is built here, source jobs among it.
    pub fn targets(&self) -> Vec<Target> {
        let mut targets: BTreeSet<_> = self.offers.iter().flat_map(OfferConfig::targets).collect();
        targets.extend(self.mock.iter().flat_map(MockConfig::targets));
        targets.into_iter().collect()
    }

    /// The configured weights of these targets, in their order; the greatest of each, and none where all are 0.
    pub fn weights(&self, targets: &[Target]) -> Vec<i32> {
        let weight = |target: &Target| {
            let offers = self.offers.iter().map(|offer| (offer.targets(), offer.weight));
            let mocks = self.mock.iter().map(|mock| (mock.targets(), mock.weight));
            let offering = offers.chain(mocks).filter(|(targets, _)| targets.contains(target));
            offering.map(|(_, weight)| weight).max().unwrap_or(0)
        };
        let weights: Vec<_> = targets.iter().map(weight).collect();
        if weights.iter().all(|weight| *weight == 0) { Vec::new() } else { weights }
    }

    /// The keys that have no default and are empty.
    pub fn missing(&self) -> Vec<&'static str> {
        let empty = [
            ("client.url", self.url.is_empty()),
            ("client.work_dir", self.work_dir.as_os_str().is_empty()),
            ("client.offers", self.offers.is_empty() && self.mock.is_empty()),
        ];
        empty.into_iter().filter_map(|(key, empty)| empty.then_some(key)).collect()
    }

    /// Checks what the types cannot say.
    pub fn check(&self) -> Result<()> {
        let missing = self.missing();
        if !missing.is_empty() {
            return Err(refuse(&format!("missing in the configuration: {}", missing.join(", "))));
        }
        if !(1..=256).contains(&self.slots) {
            return Err(refuse("client.slots must be 1 to 256"));
        }
        if self.targets().is_empty() {
            return Err(refuse("client.offers names no environment: there is nothing to build"));
        }
        if !self.work_dir.is_absolute() {
            return Err(refuse("client.work_dir must be an absolute path"));
        }
        let host = self.targets().iter().any(|t| t.env.as_str() == "host");
        if host && !self.allow_host {
            return Err(refuse(
                "client.offers names the environment host, where a build can read all that its user can; \
                 set client.allow_host = true if every source is trusted",
            ));
        }
        self.limits.check()?;
        self.check_mock(host)
    }
}

impl OfferConfig {
    fn targets(&self) -> Vec<Target> {
        let mut arches = self.arches.clone();
        if arches.is_empty() {
            arches.extend(machine_arch(&self.format));
        }
        arches.push(Arch::source());
        let pairs = arches.iter().flat_map(|arch| self.envs.iter().map(move |env| (arch, env)));
        pairs.map(|(arch, env)| self.target(arch, env)).collect()
    }

    fn target(&self, arch: &Arch, env: &EnvName) -> Target {
        Target {
            dist: self.dist.clone(),
            suite: self.suite.clone(),
            arch: arch.clone(),
            format: self.format.clone(),
            env: env.clone(),
        }
    }
}

/// This machine's architecture in the words of a format: Debian's (`dpkg --print-architecture`) for `deb`, the kernel's
/// (`uname -m`) for others.
pub fn machine_arch(format: &FormatName) -> Option<Arch> {
    let kernel = std::env::consts::ARCH;
    let name = match (format.as_str(), kernel) {
        ("deb", "x86_64") => "amd64",
        ("deb", "aarch64") => "arm64",
        ("deb", "x86") => "i386",
        ("deb", "arm") => "armhf",
        ("deb", "powerpc64") => "ppc64el",
        ("deb", "loongarch64") => "loong64",
        (_, "x86") => "i686",
        (_, "powerpc64") => "ppc64le",
        (_, other) => other,
    };
    name.parse().ok()
}

fn refuse(why: &str) -> Error {
    Error::invalid(why).with_code("invalid_configuration")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(text: &str) -> ClientConfig {
        use figment::providers::{Format, Toml};
        let base = "url = 'http://h'\nwork_dir = '/tmp/w'\n";
        figment::Figment::from(Toml::string(&format!("{base}{text}"))).extract().unwrap()
    }

    const OFFER: &str = "[[offers]]\ndist='Debian'\nsuite='bookworm'\nformat='deb'\narches=['amd64','arm64']\nenvs=['sbuild','host']";

    #[test]
    fn an_offer_is_every_architecture_and_source_in_every_environment() {
        let config = config(OFFER);
        let shown: Vec<_> =
            config.targets().iter().map(|t| format!("{}/{}", t.arch, t.env)).collect();
        let meant = [
            "amd64/host",
            "amd64/sbuild",
            "arm64/host",
            "arm64/sbuild",
            "source/host",
            "source/sbuild",
        ];
        assert_eq!(shown, meant);
        assert_eq!((config.slots, config.sbuild.max_age_days), (1, 7));
    }

    #[test]
    fn the_host_is_built_on_only_where_that_is_allowed() {
        assert!(config(OFFER).check().unwrap_err().message().contains("allow_host"));
        config(&format!("allow_host = true\n{OFFER}")).check().unwrap();
    }

    #[test]
    fn what_has_no_default_must_be_given() {
        let bare = ClientConfig::default();
        assert_eq!(bare.missing(), ["client.url", "client.work_dir", "client.offers"]);
        assert!(bare.check().unwrap_err().message().contains("client.url, client.work_dir"));
        assert!(config("").check().unwrap_err().message().ends_with(": client.offers"));
    }

    #[test]
    fn a_token_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "pbt_1\n").unwrap();
        let config = config(&format!("token_file = '{}'\n{OFFER}", file.display()));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(config.secret().unwrap_err().message().contains("chmod 600"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(config.secret().unwrap().expose(), "pbt_1");
        assert!(!format!("{:?}", config.secret()).contains("pbt_1"));
    }
}
