//! What exchanges, queues and keys are called.

use pybit_core::model::{ClientName, Route};

/// The names of one farm. No two routes, and no two farms of different names, share one.
#[derive(Debug, Clone)]
pub(super) struct Names {
    farm: String,
}

impl Names {
    /// The farm's name where none is configured; its queues are called as the original pybit called them.
    pub(super) const USUAL: &str = "pybit";

    /// Names that begin with `farm`: at most 24 letters, digits, `_` and `-`, so that no name becomes longer than the 255
    /// bytes that AMQP allows.
    pub(super) fn new(farm: &str) -> Result<Self, &'static str> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if (1..=24).contains(&farm.len()) && farm.chars().all(fits) {
            return Ok(Self { farm: farm.to_owned() });
        }
        Err("its name must be 1 to 24 letters, digits, _ and -")
    }

    /// Where hints go; direct.
    pub(super) fn hints(&self) -> String {
        self.farm.clone()
    }

    /// The key of a route: `dist.arch.suite.format`.
    pub(super) fn key(route: &Route) -> String {
        route.to_string()
    }

    /// The queue of a route: `dist_arch_suite_format`. An architecture may hold `_` (`x86_64`): the other three parts then
    /// still tell where it begins and ends. A route where another part holds one is written with dots, which no part can
    /// hold. A farm of another name puts that name and a dot before it.
    pub(super) fn queue(&self, route: &Route) -> String {
        let Route { dist, arch, suite, format } = route;
        let plain =
            ![dist.as_str(), suite.as_str(), format.as_str()].iter().any(|p| p.contains('_'));
        let queue =
            if plain { format!("{dist}_{arch}_{suite}_{format}") } else { Self::key(route) };
        if self.farm == Self::USUAL { queue } else { format!("{}.{queue}", self.farm) }
    }

    /// Where commands for one client go, by its name; direct.
    pub(super) fn commands(&self) -> String {
        format!("{}.commands", self.farm)
    }

    /// Where commands for every client go; fanout.
    pub(super) fn broadcast(&self) -> String {
        format!("{}.broadcast", self.farm)
    }

    /// The queue of one listener of a client; another for each time it listens.
    pub(super) fn listener(&self, client: &ClientName) -> String {
        format!("{}.client.{client}.{:08x}", self.farm, rand::random::<u32>())
    }

    /// The exchange and the queue of messages that are not pybit's.
    pub(super) fn dead(&self) -> String {
        format!("{}.dead", self.farm)
    }

    /// The queue that says which farm these names belong to.
    pub(super) fn marker(&self) -> String {
        format!("{}.farm", self.farm)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn route(dist: &str, arch: &str, suite: &str, format: &str) -> Route {
        Route {
            dist: dist.parse().unwrap(),
            arch: arch.parse().unwrap(),
            suite: suite.parse().unwrap(),
            format: format.parse().unwrap(),
        }
    }

    #[test]
    fn a_queue_is_named_as_the_original_named_it() {
        let names = Names::new("pybit").unwrap();
        let debian = route("Debian", "amd64", "bookworm", "deb");
        assert_eq!(names.queue(&debian), "Debian_amd64_bookworm_deb");
        assert_eq!(Names::key(&debian), "Debian.amd64.bookworm.deb");
        assert_eq!(names.hints(), "pybit");
        let fedora = route("Fedora", "x86_64", "f42", "rpm");
        assert_eq!(names.queue(&fedora), "Fedora_x86_64_f42_rpm");
        let other = Names::new("blue").unwrap();
        assert_eq!(other.queue(&debian), "blue.Debian_amd64_bookworm_deb");
    }

    #[test]
    fn no_two_routes_and_no_two_farms_share_a_queue() {
        let parts = ["a", "b", "a_b", "b_a", "a_b_a"];
        let mut queues = BTreeSet::new();
        let mut count = 0;
        for farm in ["pybit", "a", "a_b", "b"] {
            let names = Names::new(farm).unwrap();
            for dist in parts {
                for arch in parts {
                    for suite in parts {
                        for format in parts {
                            queues.insert(names.queue(&route(dist, arch, suite, format)));
                            count += 1;
                        }
                    }
                }
            }
            queues.extend([
                names.hints(),
                names.commands(),
                names.broadcast(),
                names.dead(),
                names.marker(),
            ]);
            count += 5;
        }
        assert_eq!(queues.len(), count);
    }

    #[test]
    fn the_longest_names_fit_into_a_short_string() {
        let names = Names::new(&"n".repeat(24)).unwrap();
        let long = "x".repeat(64);
        let queue = names.queue(&route(&long, &long, &long, &"f".repeat(32)));
        assert!(queue.len() <= 255, "{}", queue.len());
        assert!(Names::new(&"n".repeat(25)).is_err() && Names::new("").is_err());
        assert!(Names::new("a.b").is_err() && Names::new("a b").is_err());
    }
}
