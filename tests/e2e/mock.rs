//! RPM packages built in mock, in a farm. mock cannot be installed where these run; what stands in for it is put in its place for the one
//! process of the build client.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Farm, PYBIT, Role, wait_for};

const STAND_IN: &str = include_str!("../../pybit-backends/tests/env/mock/stand-in.py");
/// A number that no group of the machine has.
const GID: u32 = 64_999;
const LONGEST: Duration = Duration::from_mins(3);

/// Runs the rest of its arguments where `$1` is `/usr/local/bin` and `$2` the list of groups.
const IN_PLACE: &str = "mount --bind \"$1\" /usr/local/bin && mount --bind \"$2\" /etc/group && shift 2 && exec \"$@\"";

/// A farm whose one client builds in mock alone.
struct Fedora {
    farm: Farm,
    _roles: [Role; 3],
}

impl Fedora {
    fn start() -> Self {
        let arch = std::env::consts::ARCH;
        let farm = Farm::new(&format!(
            "[[suites]]\ndist = \"Fedora\"\nname = \"f40\"\nformat = \"rpm\"\narches = [\"{arch}\"]\nrepository = \"f40\"\n\
             envs = [{{ name = \"mock\", weight = 1 }}]\n"
        ));
        let web = farm.web();
        let client = Self::client(&farm);
        let repository = format!(
            "\n[[watch.repositories]]\nname = \"f40\"\ndist = \"Fedora\"\nsuite = \"f40\"\nformat = \"rpm\"\narches = [\"{arch}\"]\n\
             root = \"{}/data/repositories/f40\"\npublic_url = \"{}/repositories/f40\"\n",
            farm.path().display(),
            farm.url()
        );
        let file = farm.watch_config();
        fs::write(&file, fs::read_to_string(&file).unwrap() + &repository).unwrap();
        let watcher = farm.watcher();
        Self { farm, _roles: [web, client, watcher] }
    }

    fn client(farm: &Farm) -> Role {
        let place = farm.path().join("mock");
        let state = place.join("state");
        for dir in [&place.join("etc"), &state] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(place.join("mock"), STAND_IN).unwrap();
        fs::set_permissions(place.join("mock"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
        let known = format!(r#"{{"gid": {GID}, "installed": ["make"]}}"#);
        fs::write(place.join("etc/fedora-40-test.json"), known).unwrap();
        let groups = farm.path().join("groups");
        let own = format!("mock:x:{GID}:pybit-build\n");
        fs::write(&groups, fs::read_to_string("/etc/group").unwrap() + &own).unwrap();
        let config = farm.path().join("fedora.toml");
        let text = format!(
            "[client]\nname = \"fedora\"\nurl = \"{}\"\ntoken_file = \"{}\"\nwork_dir = \"{}/fedora-work\"\nbuild_user = \"pybit-build\"\n\
             [[client.mock]]\ndist = \"Fedora\"\nsuite = \"f40\"\nconfig = \"fedora-40-test\"\n",
            farm.url(),
            farm.token("fedora", &["--role", "client", "--client", "fedora"]).display(),
            farm.path().display(),
        );
        fs::write(&config, text).unwrap();
        let [place, groups, config] = [&place, &groups, &config].map(|p| p.to_str().unwrap());
        let argv = ["unshare", "--mount", "sh", "-c", IN_PLACE, "sh", place, groups, PYBIT];
        let argv = [&argv[..], &["--config", config, "client"]].concat();
        Role::start_as("fedora", farm.path(), &argv, &[])
    }

    fn submit(&self, name: &str, head: &str, build: &str) -> String {
        let dir = self.farm.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        let spec = format!(
            "Name: {name}\nVersion: 1.0\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n{head}\n%description\nd\n%build\n{build}\n\
             %install\ninstall -D -m 644 /dev/null %{{buildroot}}/usr/share/{name}/empty\n%files\n/usr/share/{name}\n"
        );
        fs::write(dir.join(format!("{name}.spec")), spec).unwrap();
        let words =
            ["submit", dir.to_str().unwrap(), "--suite", "f40", "--format", "rpm", "--json"];
        self.farm.json(&words)["submission"]["id"].to_string()
    }

    fn wait_binary(&self, submission: &str, status: &str) -> Value {
        self.farm.wait_binary(submission, status, LONGEST)
    }

    fn log(&self, job: &Value) -> String {
        self.farm.newest_log(job)
    }

    /// What mock was asked, in order.
    fn calls(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.farm.path().join("mock/state/calls")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
#[ignore = "needs root, rpm, createrepo-c, gnupg and the user pybit-build"]
fn packages_in_mock_wait_for_each_other_and_a_cancelled_one_leaves_no_root() {
    let fedora = Fedora::start();
    let beta = fedora.submit(
        "pybit-beta",
        "BuildRequires: make\nBuildRequires: pybit-alpha >= 1.0",
        "echo beta is built",
    );
    let blocked = fedora.wait_binary(&beta, "Blocked");
    assert_eq!(blocked["job"]["unmet"], serde_json::json!(["pybit-alpha >= 1.0"]), "{blocked}");
    let alpha = fedora.submit("pybit-alpha", "", ":");
    fedora.wait_binary(&alpha, "Done");
    let freed = fedora.wait_binary(&beta, "Done");
    let log = fedora.log(&freed["job"]);
    for line in ["fetched Packages/p/pybit-alpha-1.0-1.noarch.rpm", "\nbeta is built\n"] {
        assert!(log.contains(line), "{log}");
    }

    let slow = fedora.submit("pybit-slow", "", "echo slow has begun; sleep 1000");
    let building = fedora.wait_binary(&slow, "Building");
    wait_for("the build to begin", LONGEST, || {
        fedora.log(&building["job"]).contains("\nslow has begun\n").then_some(())
    });
    let id = building["job"]["id"].to_string();
    assert!(fedora.farm.run(&["cancel", &id]).status.success());
    fedora.farm.wait_status(id.parse().unwrap(), "Cancelled");
    let calls = fedora.calls();
    assert!(calls.iter().any(|call| call["signal"] == 15), "{calls:?}");
    assert_eq!(calls.last().unwrap()["mode"], "scrub");
    let roots = fs::read_dir(fedora.farm.path().join("mock/state/roots")).unwrap();
    assert_eq!(roots.count(), 0, "a root is left");
}

#[test]
fn a_client_whose_machine_has_no_mock_says_so_and_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("pybit.toml");
    let text = format!(
        "[client]\nurl = \"http://127.0.0.1:1\"\ntoken = \"pbt_x\"\nwork_dir = \"{}\"\n\
         [[client.mock]]\ndist = \"Fedora\"\nsuite = \"f40\"\nconfig = \"fedora-40-x86_64\"\n",
        dir.path().display()
    );
    fs::write(&config, text).unwrap();
    let mut command = std::process::Command::new(PYBIT);
    let output = command.args(["--config", config.to_str().unwrap(), "client"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("no program mock"), "{said}");
    assert!(said.contains("dnf install mock") && said.contains("[[client.mock]]"), "{said}");
}
