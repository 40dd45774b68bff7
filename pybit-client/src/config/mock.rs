//! `[[client.mock]]`: what is built in the environment `mock`.

use std::collections::BTreeMap;

use pybit_backends::env::{MockName, MockRoots};
use pybit_core::Result;
use pybit_core::model::{Arch, Dist, Suite, Target};
use serde::Deserialize;

use super::{ClientConfig, machine_arch, refuse};

/// The environment's name.
const MOCK: &str = "mock";
/// The one format that mock builds.
const FORMAT: &str = "rpm";

/// What RPM packages are built for in the environment `mock`, and the configuration of mock that does it. An offer of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MockConfig {
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub suite: Suite,
    /// The architecture, as rpm names it; this machine's own where left out.
    #[serde(default)]
    pub arch: Option<Arch>,
    /// The name of a configuration of mock on this machine: `fedora-40-x86_64`.
    pub config: MockName,
    /// How much rather these are built here than others of the same priority: added to the weight of the jobs.
    #[serde(default)]
    pub weight: i32,
}

impl MockConfig {
    fn arch(&self) -> Option<Arch> {
        self.arch.clone().or_else(own_arch)
    }

    /// What is built for its architecture; source jobs too where that is this machine's own, as they are built on.
    pub(super) fn targets(&self) -> Vec<Target> {
        let mut arches: Vec<Arch> = self.arch().into_iter().collect();
        if self.arch() == own_arch() {
            arches.push(Arch::source());
        }
        arches.into_iter().filter_map(|arch| self.target(arch)).collect()
    }

    fn target(&self, arch: Arch) -> Option<Target> {
        let (format, env) = (FORMAT.parse().ok()?, MOCK.parse().ok()?);
        Some(Target { dist: self.dist.clone(), suite: self.suite.clone(), arch, format, env })
    }
}

fn own_arch() -> Option<Arch> {
    machine_arch(&FORMAT.parse().ok()?)
}

impl ClientConfig {
    /// Which configuration of mock builds for what.
    pub fn mock_roots(&self) -> MockRoots {
        let key = |mock: &MockConfig| Some((mock.dist.clone(), mock.suite.clone(), mock.arch()?));
        let all = self.mock.iter().filter_map(|mock| Some((key(mock)?, mock.config.clone())));
        all.collect::<BTreeMap<_, _>>()
    }

    /// Whether everything that is built here is built in mock.
    pub fn only_mock(&self) -> bool {
        !self.mock.is_empty() && self.targets().iter().all(|target| target.env.as_str() == MOCK)
    }

    /// Checks what stands in `[[client.mock]]` against the rest; `host` says whether builds see the machine itself.
    pub(super) fn check_mock(&self, host: bool) -> Result<()> {
        if self.offers.iter().any(|offer| offer.envs.iter().any(|env| env.as_str() == MOCK)) {
            return Err(refuse(
                "client.offers names the environment mock; a [[client.mock]] table offers it, and says which configuration of mock builds",
            ));
        }
        if self.mock_roots().len() < self.mock.len() {
            return Err(refuse(
                "client.mock names two configurations of mock for one dist, suite and arch",
            ));
        }
        if host && !self.mock.is_empty() {
            return Err(refuse(
                "client.mock and the environment host must be on two build clients: whoever may use mock can become root, \
                 and a build in host runs as a user who may",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ClientConfig, String> {
        use figment::providers::{Format, Toml};
        let base = "url = 'http://h'\nwork_dir = '/tmp/w'\n";
        figment::Figment::from(Toml::string(&format!("{base}{text}")))
            .extract()
            .map_err(|e: figment::Error| e.to_string())
    }

    fn table(rest: &str) -> String {
        format!("[[mock]]\ndist='Fedora'\nsuite='f40'\n{rest}\n")
    }

    #[test]
    fn a_configuration_of_mock_is_an_offer_and_source_jobs_go_to_the_machines_own() {
        let own = own_arch().unwrap();
        let (mine, other) = (
            table("config='fedora-40-mine'"),
            table("config='fedora-40-s390x'\narch='s390x'\nweight=3"),
        );
        let config = read(&format!("{mine}{other}")).unwrap();
        config.check().unwrap();
        let shown: Vec<_> =
            config.targets().iter().map(|t| format!("{} {} {}", t.arch, t.format, t.env)).collect();
        let mut meant =
            [format!("{own} rpm mock"), "s390x rpm mock".to_owned(), "source rpm mock".to_owned()];
        meant.sort();
        assert_eq!(shown, meant);
        let key = |arch: &Arch| ("Fedora".parse().unwrap(), "f40".parse().unwrap(), arch.clone());
        assert_eq!(config.mock_roots()[&key(&own)].as_str(), "fedora-40-mine");
        assert_eq!(
            config.mock_roots()[&key(&"s390x".parse().unwrap())].as_str(),
            "fedora-40-s390x"
        );
        assert!(config.only_mock());
        let weights = config.weights(&config.targets());
        assert_eq!(weights.iter().filter(|w| **w == 3).count(), 1, "{weights:?}");
        assert_eq!(
            read(&other).unwrap().targets().len(),
            1,
            "no source jobs where they cannot be built"
        );
    }

    #[test]
    fn a_hostile_configuration_name_is_refused() {
        for name in ["/tmp/evil", "evil.cfg", "../x", "{{x}}", "%(x)s", "a b", "--init", ""] {
            let error = read(&table(&format!("config=\"{name}\""))).expect_err(name);
            assert!(error.contains("fedora-40-x86_64"), "{error}");
        }
        for name in ["a'b", "a\\\"b"] {
            assert!(read(&table(&format!("config=\"{name}\""))).is_err(), "{name}");
        }
        assert!(read(&table("config='x'\nprogram='/bin/sh'")).is_err());
    }

    #[test]
    fn mock_is_offered_by_its_own_table_alone_and_never_beside_host() {
        let offer = |env: &str| {
            format!("[[offers]]\ndist='Debian'\nsuite='bookworm'\nformat='rpm'\nenvs=['{env}']\n")
        };
        let mine = table("config='fedora-40-x86_64'");
        let said = |text: &str| read(text).unwrap().check().unwrap_err().message().to_owned();
        assert!(said(&offer("mock")).contains("[[client.mock]]"));
        assert!(said(&format!("{mine}{mine}")).contains("two configurations"));
        assert!(
            said(&format!("allow_host = true\n{mine}{}", offer("host")))
                .contains("two build clients")
        );
        let both = read(&format!("{mine}{}", offer("sbuild"))).unwrap();
        both.check().unwrap();
        assert!(!both.only_mock());
    }
}
