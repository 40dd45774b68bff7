//! The names and validity of the repositories of a farm.

use std::path::PathBuf;
use std::time::Duration;

use pybit_backends::publish::{Identity, KeyChoice};
use pybit_core::Result;
use pybit_core::model::{Arch, Dist, FormatName, RepositoryName, Suite};

use crate::config::{RepositoryConfig, refuse};

/// Names that readers know: `unattended-upgrades` installs from these without being asked.
const DISTRIBUTIONS: [&str; 3] = ["Debian", "Ubuntu", "Raspbian"];

/// The validity of a key that the watcher makes, in days.
const KEY_DAYS: u32 = 730;

impl RepositoryConfig {
    /// A repository with the usual choices.
    pub fn new(
        name: RepositoryName,
        target: (Dist, Suite, FormatName),
        arches: Vec<Arch>,
        root: PathBuf,
        public_url: String,
    ) -> Self {
        let (dist, suite, format) = target;
        Self {
            name,
            dist,
            suite,
            format,
            arches,
            root,
            public_url,
            keep_snapshots: 3,
            origin: None,
            label: None,
            description: None,
            not_automatic: false,
            but_automatic_upgrades: false,
            components: None,
            valid_days: 14,
            key_days: None,
            key: None,
        }
    }

    /// The identity of an apt repository; refuses a distribution's name that nobody has configured for it.
    pub fn identity(&self, farm: &str) -> Result<Identity> {
        let usual = Identity::new(farm, self.name.as_str());
        if self.origin.is_none() && self.is_a_distributions(farm) {
            return Err(refuse(format!(
                "the repository {} would be taken for a part of the distribution {farm}, whose name is the Origin: give \
                 watch.farm another name, or set origin in [[watch.repositories]] if that is meant",
                self.name
            )));
        }
        Ok(Identity {
            origin: self.origin.clone().unwrap_or(usual.origin),
            label: self.label.clone().unwrap_or(usual.label),
            description: self.description.clone().unwrap_or_default(),
            not_automatic: self.not_automatic,
            but_automatic_upgrades: self.but_automatic_upgrades,
        })
    }

    fn is_a_distributions(&self, name: &str) -> bool {
        let mut names = DISTRIBUTIONS.into_iter().chain([self.dist.as_str()]);
        names.any(|dist| dist.eq_ignore_ascii_case(name))
    }

    /// The package that brings the keys of an apt repository to readers. Each repository has keys of its own, and so a package of
    /// its own: readers of two repositories of a farm have both.
    pub fn keyring(&self, farm: &str) -> String {
        let name = self.name.as_str().to_ascii_lowercase().replace('_', "-");
        format!("{farm}-{name}-archive-keyring")
    }

    /// For how long readers believe an index.
    pub fn validity(&self) -> Option<Duration> {
        days(self.valid_days)
    }

    /// The validity of a key.
    pub fn key_life(&self) -> Option<Duration> {
        let usual = if self.format.as_str() == "rpm" { 0 } else { KEY_DAYS };
        days(self.key_days.unwrap_or(usual))
    }

    /// The key that signs.
    pub fn key_choice(&self) -> KeyChoice {
        self.key.clone().map_or(KeyChoice::Generate, KeyChoice::Fingerprint)
    }
}

fn days(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_hours(24 * u64::from(days)))
}

/// Refuses a name that could not begin the name of a package (Debian Policy 5.6.1).
pub(crate) fn check_farm(farm: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    let begins = farm.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if begins && (2..=60).contains(&farm.len()) && farm.chars().all(plain) {
        return Ok(());
    }
    Err(refuse(format!(
        "watch.farm is \"{farm}\": it must be 2 to 60 lower-case letters, digits, \"+\", \"-\" and \".\", and begin with a \
         letter or digit"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> RepositoryConfig {
        let target = ("Debian", "bookworm", "deb");
        let target =
            (target.0.parse().unwrap(), target.1.parse().unwrap(), target.2.parse().unwrap());
        let (name, url) = ("bookworm".parse().unwrap(), "http://h/r".to_owned());
        RepositoryConfig::new(name, target, vec![], "r".into(), url)
    }

    #[test]
    fn no_repository_bears_a_distributions_name_unless_it_is_configured_so() {
        let plain = repository().identity("acme").unwrap();
        assert_eq!((plain.origin.as_str(), plain.label.as_str()), ("acme", "acme bookworm"));
        for farm in ["debian", "Debian", "ubuntu"] {
            assert_eq!(
                repository().identity(farm).unwrap_err().code(),
                "invalid_configuration",
                "{farm}"
            );
        }
        assert_eq!(repository().keyring("acme"), "acme-bookworm-archive-keyring");
        let meant = RepositoryConfig { origin: Some("Debian".into()), ..repository() };
        assert_eq!(meant.identity("acme").unwrap().origin, "Debian");
        check_farm("acme").unwrap();
        for bad in ["", "a", "Acme", "a b", "-ab", "a\nb"] {
            assert!(check_farm(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_index_is_valid_for_two_weeks_and_a_key_for_two_years_unless_rpm_holds_it() {
        let days = |n: u64| Some(Duration::from_hours(24 * n));
        let deb = repository();
        assert_eq!((deb.validity(), deb.key_life()), (days(14), days(730)));
        let rpm = RepositoryConfig { format: "rpm".parse().unwrap(), valid_days: 0, ..deb };
        assert_eq!((rpm.validity(), rpm.key_life()), (None, None));
    }
}
