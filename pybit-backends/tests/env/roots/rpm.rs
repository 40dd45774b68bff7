//! The packages of the farm's own repository in a Debian root that RPM packages are built in, with the real rpm and dnf.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use pybit_backends::env::{SbuildConfig, SbuildEnvironment};
use pybit_backends::rpm::{ROOT_PACKAGES, RpmFormat};
use pybit_core::build::BuildEnvironment;
use pybit_core::format::{BuildContext, BuildRepository, PackageFormat};
use pybit_core::model::{FailureClass, Target};

use super::farm::{Ended, put, run, run_steps, serve_dir};
use crate::support::{self, MemoryLog, open_dir, users_dir};

/// Builds a package of that name; `more` goes into the preamble, and each of `files` is a program in it.
fn package(dir: &Path, name: &str, more: &str, files: &[&str]) {
    let install: Vec<_> =
        files.iter().map(|f| format!("install -D -m 755 /dev/null %{{buildroot}}{f}\n")).collect();
    let install = install.concat();
    let spec = format!(
        "Name: {name}\nVersion: 99\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n{more}%description\nx\n\
         %install\n{install}%files\n{}\n",
        files.join("\n")
    );
    let file = dir.join(format!("{name}.spec"));
    put(&file, &spec, 0o644);
    let (top, to) = (dir.join("top"), dir.join(format!("site/Packages/{}", &name[..1])));
    let define = |name: &str, value: &Path| format!("--define={name} {}", value.display());
    run(Command::new("rpmbuild").args(["-bb", "--quiet"]).arg(file).args([
        define("_topdir", &top),
        define("_rpmdir", &to),
        "--define=_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned(),
    ]));
}

/// Signs everything with a new key, whose public half goes to a file.
fn publish(dir: &Path) {
    let home = tempfile::Builder::new().prefix("pybit-gpg-").tempdir_in("/tmp").unwrap();
    let site = dir.join("site");
    let gpg = |args: &[&str]| {
        let fixed = ["--batch", "--quiet", "--yes", "--passphrase", "", "--armor"];
        let fixed = [&fixed[..], &["--pinentry-mode", "loopback"]].concat();
        run(Command::new("gpg").arg("--homedir").arg(home.path()).args(fixed).args(args));
    };
    gpg(&["--quick-generate-key", "farm@example.org", "rsa2048", "sign", "never"]);
    gpg(&["--output", dir.join("key.asc").to_str().unwrap(), "--export"]);
    for letter in fs::read_dir(site.join("Packages")).unwrap().flatten() {
        for rpm in fs::read_dir(letter.path()).unwrap().flatten() {
            run(Command::new("rpmsign")
                .env("GNUPGHOME", home.path())
                .args([
                    "--define=__gpg /usr/bin/gpg",
                    "--define=_gpg_name farm@example.org",
                    "--addsign",
                ])
                .arg(rpm.path()));
        }
    }
    run(Command::new("createrepo_c").arg("--quiet").arg(&site));
    let index = site.join("repodata/repomd.xml").display().to_string();
    gpg(&["--output", &format!("{index}.asc"), "--detach-sign", &index]);
    run(Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "gpg-agent"]));
}

/// Builds a package that requires these, with the farm's repository in `dir`.
async fn build(dir: &Path, requires: &str) -> (String, Ended) {
    publish(dir);
    let url = serve_dir(&dir.join("site"));
    let (job, log) = (open_dir(), MemoryLog::default());
    let (input, output) = (job.path().join("input"), job.path().join("output"));
    let spec = format!(
        "Name: innocent\nVersion: 1\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\nBuildRequires: {requires}\n\
         %description\nx\n%install\nmkdir -p %{{buildroot}}/usr/share/innocent\n%files\n/usr/share/innocent\n"
    );
    put(&input.join("innocent.spec"), &spec, 0o644);
    let define = |name: &str| format!("--define={name} {}", input.display());
    run(Command::new("rpmbuild")
        .args(["-bs", "--quiet", &define("_topdir"), &define("_srcrpmdir")])
        .arg(input.join("innocent.spec")));
    put(&input.join("innocent-1-1.srpm-info"), "", 0o644);
    users_dir(&output, &support::exec());
    let format = RpmFormat::new();
    let name = format.name().clone();
    let packages = BTreeMap::from([(name.clone(), ROOT_PACKAGES.map(str::to_owned).to_vec())]);
    let cache = support::ROOTS;
    let config = SbuildConfig { packages, ..SbuildConfig::new(cache) };
    let environment = SbuildEnvironment::new(config, support::exec());
    let target = Target { format: name, ..support::target("x86_64", "sbuild") };
    let prepared = environment.prepare(&target, job.path(), &log).await.unwrap();
    let suite = target.suite.clone();
    let key = dir.join("key.asc");
    let context = BuildContext {
        suite: suite.clone(),
        arch: target.arch.clone(),
        env: target.env.clone(),
        place: prepared.surroundings(),
        source: input.join("innocent-1-1.srpm-info"),
        output: output.clone(),
        indep: true,
        repositories: vec![BuildRepository {
            url,
            suite,
            key: job.path().join("key.asc"),
            overlay: false,
        }],
    };
    fs::copy(key, job.path().join("key.asc")).unwrap();
    let ended = run_steps(&format, &context, &*prepared, &log).await;
    prepared.destroy().await.unwrap();
    (log.text(), ended)
}

#[tokio::test]
#[ignore = "needs the Debian archive, mmdebstrap, rpm, createrepo-c, dnf and the user pybit-build"]
async fn an_rpm_of_the_farm_closes_what_the_distribution_cannot_and_no_more() {
    let dir = open_dir();
    package(dir.path(), "make", "", &["/usr/bin/make"]);
    package(
        dir.path(),
        "pybit-greedy",
        "Obsoletes: pybit-lib < 100\nProvides: pybit-lib = 100\nProvides: libc.so.6()(64bit)\n",
        &["/usr/bin/pybit-greedy"],
    );
    package(
        dir.path(),
        "pybit-lib",
        "Requires: make\nRequires: libc.so.6()(64bit)\n",
        &["/usr/bin/pybit-lib"],
    );
    let (log, ended) = build(dir.path(), "pybit-lib >= 2, make").await;
    assert!(matches!(ended, Ended::Well), "{ended:?}\n{log}");
    let lines: Vec<_> =
        log.lines().filter_map(|l| l.strip_prefix("pybit: from the farm: ")).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("pybit-lib 99-1, http://127."), "{log}");
}

#[tokio::test]
#[ignore = "needs the Debian archive, mmdebstrap, rpm, createrepo-c, dnf and the user pybit-build"]
async fn an_rpm_of_the_farm_that_takes_the_place_of_the_distributions_files_is_refused() {
    for (file, says) in [
        ("/usr/bin/make", "would overwrite /usr/bin/make of the distribution's package make"),
        ("/bin/sh", "would overwrite /bin/sh of the distribution"),
        ("/usr/local/bin/gcc", "holds /usr/local/bin/gcc, which programs would find before"),
    ] {
        let dir = open_dir();
        package(dir.path(), "pybit-evil", "", &[file]);
        let (log, ended) = build(dir.path(), "pybit-evil").await;
        let Ended::Badly(verdict) = ended else { panic!("{file}: {log}") };
        assert_eq!(verdict.failure.class, FailureClass::Build, "{verdict:?}\n{log}");
        assert!(verdict.failure.message.contains(says), "{file}: {verdict:?}\n{log}");
    }
}
