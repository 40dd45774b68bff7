//! Debian's `unattended-upgrades` in a root that has the farm's repository beside Debian's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pybit_backends::env::{BuildUser, SbuildConfig, SbuildEnvironment};
use pybit_backends::exec::{Exec, Supervisor};
use pybit_core::Result;
use pybit_core::build::{BuildEnvironment, LogSink};
use pybit_core::format::Surroundings;
use pybit_core::model::{FormatName, Target};
use pybit_core::publish::Publisher;

use crate::fixture::{Fixture, must, publish, run, set};

/// The directory of root tarballs that tests share, as in the tests of environments: making one takes a minute.
const ROOTS: &str = "/var/tmp/pybit-test-roots";

#[derive(Debug)]
struct Quiet;

#[async_trait]
impl LogSink for Quiet {
    async fn write(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// The commands in the root: with the configuration as the package ships it, and with the farm's origin added to it.
const LOOK: &str = r#"set -e
echo 'deb [signed-by=/farm/pybit.asc] file:/farm bookworm main' >/etc/apt/sources.list.d/farm.list
apt-get update
apt-cache policy adduser
unattended-upgrade --dry-run --debug
echo '=== with the origin of the farm'
echo 'Unattended-Upgrade::Origins-Pattern { "origin=pybit"; };' >/etc/apt/apt.conf.d/60farm
unattended-upgrade --dry-run --debug
echo '=== end'
"#;

/// Unpacks the root and looks, as root of a user namespace, whose mounts end with it.
const ENTER: &str = r#"set -e
mkdir root
tar -C root -xf "$1" --exclude='./dev/*'
mount -t proc proc root/proc
for device in null zero urandom; do
  : >"root/dev/$device"
  mount --bind "/dev/$device" "root/dev/$device"
done
cp -L /etc/resolv.conf root/etc/resolv.conf
cp -r "$2/farm" "$2/look.sh" root/
exec chroot root sh /look.sh >said 2>&1
"#;

/// A root of the shared cache that has `unattended-upgrades` in it, made as roots of builds are.
async fn root(work: &Path) -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_pybit-supervise"));
    let user = BuildUser::find("pybit-build").unwrap();
    let exec = Exec::new(Supervisor { program, args: vec![] }, Some(user));
    let format: FormatName = "unattended".parse().unwrap();
    let packages = [(format.clone(), vec!["unattended-upgrades".to_owned()])].into();
    let config = SbuildConfig { packages, ..SbuildConfig::new(ROOTS) };
    let target = Target {
        dist: "Debian".parse().unwrap(),
        suite: "bookworm".parse().unwrap(),
        arch: "amd64".parse().unwrap(),
        format,
        env: "sbuild".parse().unwrap(),
    };
    let environment = SbuildEnvironment::new(config, exec);
    let prepared = environment.prepare(&target, work, &Quiet).await.unwrap();
    let Surroundings::Sbuild { tarball, .. } = prepared.surroundings() else { panic!() };
    prepared.destroy().await.unwrap();
    tarball
}

/// The output of the commands in the root; `dir` has the farm's repository and the commands.
fn look(tarball: &Path, dir: &Path) -> String {
    let making = dir.join("making");
    fs::create_dir(&making).unwrap();
    must(&["chown", "pybit-build", making.to_str().unwrap()], dir);
    let mut argv = vec!["setpriv", "--reuid=pybit-build", "--regid=pybit-build", "--init-groups"];
    argv.extend(["unshare", "--user", "--map-auto", "--map-root-user", "--mount", "--pid"]);
    argv.extend(["--fork", "sh", "-c", ENTER, "sh", tarball.to_str().unwrap()]);
    argv.push(dir.to_str().unwrap());
    let ended = run(&argv, &making);
    let said = fs::read_to_string(making.join("said")).unwrap_or_default();
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    said
}

/// The counter-check is in the same root: there the farm's origin is allowed, and its package is taken.
#[tokio::test]
#[ignore = "needs root, reprepro, gnupg, mmdebstrap, the Debian archive and the user pybit-build"]
async fn unattended_upgrades_takes_nothing_of_the_farms_unless_its_origin_is_allowed() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let control = "Package: adduser\nVersion: 99\nArchitecture: all\nSection: admin\nPriority: important\n\
                   Depends: passwd\n";
    let file = fixture.deb(control, "ours", "adduser_99_all.deb");
    publish(&repository, &set("adduser", "99", &[file], &[])).await;
    let dir = tempfile::Builder::new().prefix("pybit-unattended-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (site, farm) = (fixture.site(), dir.path().join("farm"));
    let (site, farm) = (format!("{}/.", site.display()), farm.display().to_string());
    must(&["cp", "-rL", "--no-preserve=mode", &site, &farm], dir.path());
    must(&["chmod", "-R", "a+rX", &farm], dir.path());
    let key = repository.public_key().await.unwrap();
    fs::write(dir.path().join("farm/pybit.asc"), key).unwrap();
    fs::write(dir.path().join("look.sh"), LOOK).unwrap();

    let said = look(&root(dir.path()).await, dir.path());
    let (plain, allowed) = said.split_once("=== with the origin of the farm").unwrap();
    assert!(allowed.contains("=== end"), "{said}");
    assert!(plain.contains("Candidate: 99\n"), "apt itself would take it: {said}");
    assert!(plain.contains("Allowed origins are: origin=Debian,codename=bookworm"), "{said}");
    assert!(plain.contains("adjusting candidate version: adduser=3."), "it is seen: {said}");
    assert!(plain.contains("No packages found that can be upgraded unattended"), "{said}");
    assert!(plain.contains("Checking: adduser ([<Origin component:'main'"), "{said}");
    assert!(!plain.contains("adduser_99"), "{said}");
    let taken = allowed.lines().find(|l| l.starts_with("Packages that will be upgraded:"));
    let taken = taken.unwrap_or_default().split_once(':').unwrap_or_default().1;
    assert!(taken.split_whitespace().any(|name| name == "adduser"), "{said}");
}
