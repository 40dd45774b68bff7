//! What each role needs, as the configuration has it.

use std::path::Path;

use pybit::config::Config;
use pybit_backends::exec::Holds;
use pybit_core::model::{EnvName, FormatName};

use super::super::context::USUAL_DATA_DIR;
use super::{Check, Mend, Role, build_user, data_dir, mock, present, program};

/// A program, and the Debian package that has it.
type Tool = (&'static str, &'static str);

const GIT: Tool = ("git", "git");
const CLIENT_TOOLS: [Tool; 9] = [
    ("sbuild", "sbuild"),
    ("mmdebstrap", "mmdebstrap"),
    ("newuidmap", "uidmap"),
    ("unshare", "util-linux"),
    GIT,
    ("ip", "iproute2"),
    ("apt-get", "apt"),
    ("dpkg-source", "dpkg-dev"),
    ("dpkg-buildpackage", "dpkg-dev"),
];
/// Makes the upstream tarballs of git sources as the archive has them; without it they are made from a tag, and differ.
const PRISTINE_TAR: Tool = ("pristine-tar", "pristine-tar");
/// Where the client is allowed to fetch upstream tarballs.
const USCAN: Tool = ("uscan", "devscripts");
/// Verifies who has signed an upload.
const GPGV: Tool = ("gpgv", "gpgv");
const WATCH_TOOLS: [Tool; 2] = [("reprepro", "reprepro"), ("gpg", "gnupg")];
/// Where an RPM repository is configured.
const RPM_WATCH_TOOLS: [Tool; 2] = [("createrepo_c", "createrepo-c"), ("rpmsign", "rpm")];
/// Where an index of Python packages is configured.
const PYTHON_WATCH_TOOL: Tool = ("python3", "python3");

/// Where wheels are built on the machine itself: a file of each package, whatever the version of Python.
const PYTHON_CLIENT_FILES: [(&str, &str); 5] = [
    ("/usr/lib/python3/dist-packages/build/__init__.py", "python3-build"),
    ("/usr/lib/python3/dist-packages/pip/__init__.py", "python3-pip"),
    ("/usr/lib/python3/dist-packages/setuptools/__init__.py", "python3-setuptools"),
    ("/usr/lib/python3/dist-packages/wheel/__init__.py", "python3-wheel"),
    ("/usr/bin/gpgv", "gpgv"),
];

/// What the wanted roles need, each looked for on this machine.
pub(super) fn checks(config: &Config, wanted: impl Fn(Role) -> bool) -> Vec<Check> {
    let programs = |role, tools: Vec<Tool>| tools.into_iter().map(move |tool| program(role, tool));
    let mut checks = Vec::new();
    if wanted(Role::Web) {
        checks.push(data_dir(config.data_dir.as_deref().unwrap_or(Path::new(USUAL_DATA_DIR))));
        checks.extend(programs(Role::Web, web_tools(config)));
    }
    if wanted(Role::Client) {
        checks.push(limits(config, &Holds::find()));
        checks.extend(programs(Role::Client, client_tools(config)));
        let client = config.client.readable();
        let user = client.and_then(|c| c.build_user.as_deref());
        let user = user.unwrap_or(pybit::roles::up::BUILD_USER);
        if !mock::alone(config) {
            checks.push(build_user(user));
        }
        if client.is_some_and(|c| !c.mock.is_empty()) {
            checks.extend(mock::checks(user));
        }
        if builds_python_here(config) {
            checks.extend(PYTHON_CLIENT_FILES.map(|file| present(Role::Client, file)));
        }
    }
    if wanted(Role::Watch) {
        checks.extend(programs(Role::Watch, watch_tools(config)));
    }
    checks
}

/// The means that hold builds to their limits. Where that is not all of a build together, it stands in the way only if the configuration says so.
fn limits(config: &Config, holds: &Holds) -> Check {
    let required = config.client.readable().is_some_and(|client| client.limits.require);
    let mut what = format!("limits of builds, held by {holds}");
    if !holds.is_whole() {
        what = format!("{what}: {}", holds.why.join("; "));
    }
    let mend = (required && !holds.is_whole()).then(|| {
        Mend::Note("client.limits.require is set: start the client in a systemd unit with Delegate=yes, or as root".to_owned())
    });
    Check::new(Role::Client, what, mend)
}

fn web_tools(config: &Config) -> Vec<Tool> {
    if config.web.dput.suites.is_empty() { Vec::new() } else { vec![GPGV] }
}

fn client_tools(config: &Config) -> Vec<Tool> {
    if mock::alone(config) {
        return vec![GIT];
    }
    let mut tools = CLIENT_TOOLS.to_vec();
    if builds_debian(config) {
        tools.push(PRISTINE_TAR);
        if config.client.readable().is_some_and(|c| c.uscan) {
            tools.push(USCAN);
        }
    }
    tools
}

fn watch_tools(config: &Config) -> Vec<Tool> {
    let mut tools = WATCH_TOOLS.to_vec();
    if publishes(config, "rpm") {
        tools.extend(RPM_WATCH_TOOLS);
    }
    if publishes(config, "python") {
        tools.push(PYTHON_WATCH_TOOL);
    }
    let drops = config.watch.readable().into_iter().flat_map(|w| &w.drops);
    if drops.into_iter().any(|d| d.keyring.is_some()) {
        tools.push(GPGV);
    }
    tools
}

/// Whether Debian packages are built here: as the client offers, else by a suite. A farm that names neither serves the
/// machine's own suite.
fn builds_debian(config: &Config) -> bool {
    let offers = config.client.readable().into_iter().flat_map(|c| &c.offers).map(|o| &o.format);
    let mut formats: Vec<&FormatName> = offers.collect();
    if formats.is_empty() {
        formats.extend(config.suites.iter().map(|s| &s.format));
    }
    formats.is_empty() || formats.into_iter().any(|f| f.as_str() == "deb")
}

/// Whether a repository of a format is configured: by a suite, or for the watcher.
fn publishes(config: &Config, format: &str) -> bool {
    let suites = config.suites.iter().filter(|s| s.repository.is_some()).map(|s| &s.format);
    let watched = config.watch.readable().into_iter().flat_map(|w| &w.repositories);
    suites.chain(watched.map(|r| &r.format)).any(|f| f.as_str() == format)
}

/// Whether Python projects are to be built on the machine itself: by a suite, or as the client offers it.
fn builds_python_here(config: &Config) -> bool {
    let python = |format: &FormatName| format.as_str() == "python";
    let host = |env: &EnvName| env.as_str() == "host";
    let suites = config.suites.iter().filter(|s| python(&s.format));
    let offers = config.client.readable().into_iter().flat_map(|c| &c.offers);
    suites.flat_map(|s| &s.envs).any(|env| host(&env.name))
        || offers.filter(|o| python(&o.format)).flat_map(|o| &o.envs).any(host)
}
