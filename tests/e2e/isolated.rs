//! Debian's own source, built in an isolated root, installed from the farm's repository.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{Farm, PYBIT, machine_arch, shared_roots, wait_for};

/// The tarball of the root of Debian packages.
fn root(roots: &Path) -> PathBuf {
    roots.join(format!("Debian-bookworm-{}.tar", machine_arch()))
}

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
        let client = dir.path().join("pybit-data/client");
        std::fs::create_dir_all(&client).unwrap();
        let roots = shared_roots();
        std::os::unix::fs::symlink(&roots, client.join("roots")).unwrap();
        // The root is made here, whatever earlier runs have left; the other tests of this run use it. It is aged and not
        // removed: a build may be about to unpack it.
        if let Ok(file) = std::fs::File::options().write(true).open(root(&roots)) {
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
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

/// Runs a command as root: entering a root needs that.
fn as_root(argv: &[&str]) -> String {
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let argv =
        if is_root { argv.to_vec() } else { [&["sudo", "--non-interactive"], argv].concat() };
    let output = Command::new(argv[0]).args(&argv[1..]).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{argv:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Installs a package into the clean root that the build client has made for itself, from the repository and nothing
/// else, with the root's own apt and dpkg; what the package's program then says there.
fn install(up: &Path, url: &str, key: &str, package: &str) -> String {
    let root = root(&up.join("pybit-data/client/roots"));
    let clean = tempfile::tempdir().unwrap();
    let place = clean.path().join("root");
    std::fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap();
    as_root(&["tar", "--extract", "--directory", place, "--file", root.to_str().unwrap()]);
    let files = [
        ("etc/apt/pybit.asc", key.to_owned()),
        (
            "etc/apt/sources.list",
            format!("deb [signed-by=/etc/apt/pybit.asc] {url} bookworm main\n"),
        ),
    ];
    as_root(&["rm", "-rf", &format!("{place}/etc/apt/sources.list.d")]);
    for (name, text) in files {
        let written = clean.path().join("file");
        std::fs::write(&written, text).unwrap();
        let to = format!("{place}/{name}");
        as_root(&["install", "--mode=644", written.to_str().unwrap(), &to]);
    }
    as_root(&["chroot", place, "apt-get", "update", "--option=APT::Update::Error-Mode=any"]);
    as_root(&["chroot", place, "apt-get", "install", "--yes", package]);
    let said = as_root(&["chroot", place, package]);
    as_root(&["rm", "-rf", "--one-file-system", place]);
    said
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
    assert_eq!(install(up.dir.path(), &repository, &key, "hello"), "Hello, world!\n");
}
