//! `[names]` in the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pybit_core::model::{PackageName, Suite};
use pybit_core::{Error, Result};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The table `[names]`: the index of the base distributions' names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NamesConfig {
    /// Whether the indices are fetched. Default: yes for the command, no for a program that embeds a farm.
    pub enabled: Option<bool>,
    /// The archives of a `deb` suite as lines of `sources.list(5)`. Default: those that the roots are made from.
    pub mirror: BTreeMap<Suite, Vec<String>>,
    /// The repositories of an `rpm` suite's base distribution. Default: none, and every name is free.
    pub rpm: BTreeMap<Suite, RpmArchive>,
    /// The public index of the suites of the format `python`. Default: none, and every name is free.
    pub python: Option<PythonArchive>,
    /// The hours after which an index is fetched anew.
    pub refresh_hours: u32,
    /// The rule for questions before the first index of a suite is there.
    pub unavailable: Unavailable,
}

impl Default for NamesConfig {
    fn default() -> Self {
        Self {
            enabled: None,
            mirror: BTreeMap::new(),
            rpm: BTreeMap::new(),
            python: None,
            refresh_hours: 12,
            unavailable: Unavailable::Allow,
        }
    }
}

impl NamesConfig {
    /// Refuses, code `invalid_configuration`, repositories without an address, without a key or with an address that cannot be used.
    pub fn check(&self) -> Result<()> {
        for (suite, archive) in &self.rpm {
            archive.check().map_err(|why| refused(&format!("[names.rpm.{suite}]"), &why))?;
        }
        let python = self.python.as_ref().map_or(Ok(()), PythonArchive::check);
        python.map_err(|why| refused("[names.python]", &why))
    }

    /// The age at which an index is fetched anew.
    pub(super) fn max_age(&self) -> Duration {
        Duration::from_hours(u64::from(self.refresh_hours.max(1)))
    }
}

fn refused(table: &str, why: &str) -> Error {
    Error::invalid(format!("{table} is refused: {why}")).with_code("invalid_configuration")
}

/// The repositories of an rpm distribution, each with a `repodata/repomd.xml` below its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpmArchive {
    /// The addresses of the repositories of binary packages: `https:`, `http:` or `file:`.
    pub repositories: Vec<Url>,
    /// The addresses of the repositories of source packages. Default: none; then no bytes are the distribution's own.
    #[serde(default)]
    pub sources: Vec<Url>,
    /// The file with the public keys, armoured or not, one of which has signed each `repomd.xml` (`repomd.xml.asc`).
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// Indices without a signature are read. Default: no.
    #[serde(default)]
    pub unsigned: bool,
}

impl RpmArchive {
    fn check(&self) -> std::result::Result<(), String> {
        if self.repositories.is_empty() {
            return Err("repositories must name at least one repository".to_owned());
        }
        match (&self.key, self.unsigned) {
            (None, false) => {
                return Err("it must name the key file that verifies repomd.xml.asc: \
                            key = \"/etc/pki/rpm-gpg/…\", or say unsigned = true"
                    .to_owned());
            }
            (Some(_), true) => {
                return Err("it names a key and says unsigned = true; only one of them".to_owned());
            }
            _ => {}
        }
        let mut addresses = self.repositories.iter().chain(&self.sources);
        addresses.try_for_each(|url| check_url(url, &["https", "http", "file"]))
    }
}

/// A public index of Python projects, asked name by name (PEP 503, PEP 691).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PythonArchive {
    /// The address of the index, without a project's name: `https://index.example.org/simple/`.
    pub index: Url,
    /// A project that the index must have. An address that does not know it is no public index. Default: `pip`.
    #[serde(default = "pip")]
    pub probe: PackageName,
    /// The index may be asked without TLS on another machine. Default: no.
    #[serde(default)]
    pub insecure: bool,
}

/// # Panics
///
/// Never: `pip` is a valid name.
fn pip() -> PackageName {
    "pip".parse().expect("pip is a valid name")
}

impl PythonArchive {
    fn check(&self) -> std::result::Result<(), String> {
        check_url(&self.index, &["https", "http"])?;
        if self.index.scheme() == "http" && !self.insecure && !is_loopback(&self.index) {
            return Err(
                "answers over http: can be forged; use https:, or say insecure = true".to_owned()
            );
        }
        Ok(())
    }
}

fn check_url(url: &Url, schemes: &[&str]) -> std::result::Result<(), String> {
    if !schemes.contains(&url.scheme()) {
        return Err(format!("an address must begin with one of {}:", schemes.join(":, ")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address must not hold a user name or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("the address {url} must end with its path"));
    }
    Ok(())
}

/// True for an address of this machine itself.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The rule for questions about a suite without an index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unavailable {
    /// Every name is free.
    #[default]
    Allow,
    /// Submissions and publications wait.
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_checks_no_signature_says_so() {
        let url = |text: &str| Url::parse(text).unwrap();
        let rpm = |key: Option<&str>, unsigned, address: &str| {
            let archive = RpmArchive {
                repositories: vec![url(address)],
                sources: Vec::new(),
                key: key.map(Into::into),
                unsigned,
            };
            NamesConfig {
                rpm: [("f40".parse().unwrap(), archive)].into(),
                ..NamesConfig::default()
            }
        };
        let python = |address: &str, insecure| {
            let archive = PythonArchive { index: url(address), probe: pip(), insecure };
            NamesConfig { python: Some(archive), ..NamesConfig::default() }
        };
        for good in [
            rpm(Some("/key"), false, "https://example.org/os"),
            rpm(None, true, "file:///srv/os"),
            python("https://example.org/simple", false),
            python("http://127.0.0.1:3141/simple", false),
            python("http://index.example.org/simple", true),
        ] {
            good.check().unwrap();
        }
        for bad in [
            rpm(None, false, "https://example.org/os"),
            rpm(Some("/key"), true, "https://example.org/os"),
            rpm(Some("/key"), false, "ftp://example.org/os"),
            rpm(Some("/key"), false, "https://ann:secret@example.org/os"),
            rpm(Some("/key"), false, "https://example.org/os?a=b"),
            python("http://example.org/simple", false),
            python("file:///srv/simple", true),
        ] {
            let error = bad.check().unwrap_err();
            assert_eq!(error.code(), "invalid_configuration");
            assert!(!error.message().contains("secret"), "{error}");
        }
    }
}
