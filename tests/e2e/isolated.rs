//! Debian's own source, built in an isolated root, installed from the farm's repository.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

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

/// Installs a package with an apt and dpkg of its own, which know nothing but the repository, and runs it.
fn install(root: &Path, url: &str, key: &str, package: &str) {
    for dir in
        ["etc/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"]
    {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    std::fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    std::fs::write(root.join("key.asc"), key).unwrap();
    let line = format!("deb [signed-by={}/key.asc] {url} bookworm main\n", root.display());
    std::fs::write(root.join("etc/apt/sources.list"), line).unwrap();
    let options = [
        format!("Dir={}", root.display()),
        format!("Dir::State::status={}/var/lib/dpkg/status", root.display()),
        "Dir::Etc::parts=/dev/null".to_owned(),
        "APT::Sandbox::User=root".to_owned(),
        "APT::Update::Error-Mode=any".to_owned(),
    ];
    for words in [&["update"][..], &["download", package]] {
        let mut apt = Command::new("apt-get");
        for option in &options {
            apt.args(["-o", option]);
        }
        let output = apt.args(words).current_dir(root).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let deb = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path());
    let deb = deb.into_iter().find(|p| p.extension().is_some_and(|e| e == "deb")).unwrap();
    let target = root.join("installed");
    let status = Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&target).status().unwrap();
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
    let root = tempfile::tempdir().unwrap();
    install(root.path(), &repository, &key, "hello");
}
