//! Debian's own source, built in an isolated root, installed from the farm's repository.

use std::process::Command;
use std::time::Duration;

use crate::support::apt::Apt;
use crate::support::upload::files_of;
use crate::support::{Farm, PYBIT, wait_for};

/// A whole farm in one process.
struct Up {
    dir: tempfile::TempDir,
    child: std::process::Child,
}

impl Up {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("pybit-up-").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(PYBIT)
            .args(["up", "--listen", "127.0.0.1:0"])
            .current_dir(dir.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let up = Self { dir, child };
        wait_for("the farm", Duration::from_mins(1), || {
            up.dir.path().join("pybit-data/url").is_file().then_some(())
        });
        up
    }

    fn run(&self, args: &[&str]) -> std::process::Output {
        Command::new(PYBIT).args(args).current_dir(self.dir.path()).output().unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs a package from a repository with an apt that knows nothing else, and runs it.
fn install(url: &str, key: &str, package: &str) {
    let apt = Apt::new(url, key);
    for words in [&["update"][..], &["download", package]] {
        let output = apt.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let files = files_of(apt.path());
    let deb = files.iter().find(|p| p.extension().is_some_and(|e| e == "deb")).unwrap();
    let target = apt.path().join("installed");
    let status = Command::new("dpkg-deb").arg("--extract").arg(deb).arg(&target).status().unwrap();
    assert!(status.success());
    let said = Command::new(target.join("usr/bin/hello")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "Hello, world!\n");
}

#[test]
#[ignore = "needs the Debian archive, sbuild, mmdebstrap, reprepro and the user pybit-build"]
fn debians_hello_goes_from_the_archive_to_an_installed_package() {
    let up = Up::start();
    let done = up.run(&["submit", "apt:hello", "--suite", "bookworm", "--wait", "--json"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stdout));
    let reply: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let jobs = reply["jobs"].as_array().unwrap();
    assert!(
        jobs.iter().all(|j| j["status"] == "Done" && j["target"]["env"] == "sbuild"),
        "{reply}"
    );
    let url = std::fs::read_to_string(up.dir.path().join("pybit-data/url")).unwrap();
    let repository = format!("{}/repositories/bookworm", url.trim());
    let address = url.trim().strip_prefix("http://").unwrap();
    let (fine, key) = Farm::get_from(address, "/repositories/bookworm/pybit.asc");
    assert!(fine);
    install(&repository, &key, "hello");
}
