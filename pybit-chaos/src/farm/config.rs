//! The configuration files of a farm's processes.

use std::path::Path;

use crate::plan::{LIGHT, REAL};

/// The farm's times are short, so that a lost client is seen within seconds; what ends a job for bad is far away, so that
/// a job that ends has met a defect.
const POLICY: &str = "[names]
enabled = false
[policy]
lease_ttl_ms = 2000
heartbeat_ms = 300
infra_retries = 40
infra_backoff_ms = 100
infra_backoff_cap_ms = 1000
avoid_ms = 300
quarantine_ms = 200
quarantine_cap_ms = 1000
poison_after = 40
rehint_ms = 500
dep_wait_ms = 1000
dep_wait_cap_ms = 2000
";

/// The most infrastructure failures, and the shortest wait for a dependency in milliseconds, of [`POLICY`].
pub(crate) const RETRIES: i64 = 40;
pub(crate) const DEP_WAIT_MS: i64 = 1000;
/// The time to live of a lease, in milliseconds.
pub(crate) const TTL_MS: u64 = 2000;

pub(crate) fn web(dir: &Path, arch: &str, port: u16, storage: &str, transport: &str) -> String {
    let suite = |name: &str| {
        format!(
            "[[suites]]\ndist = \"Debian\"\nname = \"{name}\"\nformat = \"deb\"\narches = [\"{arch}\"]\nrepository = \"{name}\"\n\
             envs = [{{ name = \"fake\", weight = 1 }}]\n"
        )
    };
    format!(
        "data_dir = \"{}/data\"\n{POLICY}\n[storage]\n{storage}\n[transport]\n{transport}\n[web]\nlisten = \"127.0.0.1:{port}\"\n{}{}",
        dir.display(),
        suite(REAL),
        suite(LIGHT)
    )
}

pub(crate) fn client(dir: &Path, name: &str, url: &str, slots: u32, transport: &str) -> String {
    let offer = |suite: &str| {
        format!(
            "[[client.offers]]\ndist = \"Debian\"\nsuite = \"{suite}\"\nformat = \"deb\"\nenvs = [\"fake\"]\n"
        )
    };
    format!(
        "[client]\nname = \"{name}\"\nurl = \"{url}\"\ntoken_file = \"{dir}/{name}.token\"\nwork_dir = \"{dir}/{name}\"\n\
         slots = {slots}\n{}{}[client.transport]\n{transport}\n",
        offer(REAL),
        offer(LIGHT),
        dir = dir.display(),
    )
}

pub(crate) fn watch(dir: &Path, name: &str, suite: &str, url: &str, arch: &str) -> String {
    format!(
        "[watch]\nurl = \"{url}\"\ntoken_file = \"{dir}/watcher.token\"\nwork_dir = \"{dir}/{name}\"\n\
         [[watch.repositories]]\nname = \"{suite}\"\ndist = \"Debian\"\nsuite = \"{suite}\"\nformat = \"deb\"\narches = [\"{arch}\"]\n\
         root = \"{dir}/repositories/{suite}\"\npublic_url = \"{url}/repositories/{suite}\"\n",
        dir = dir.display(),
    )
}
