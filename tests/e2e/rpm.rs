//! RPM packages beside Debian's in one farm: from spec files to a signed repository that dnf installs from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::package::Package;
use crate::support::{Farm, Role, machine_arch, shared_roots, wait_for};

/// Making a root takes minutes where there is none yet.
const LONGEST: Duration = Duration::from_mins(15);

/// A compiled program and a header for other packages; its summary says where its macros ran, and tells the machine.
fn alpha(farm: &Farm) -> String {
    let here = farm.path().display();
    format!(
        "%global where %(test -e {here}/pybit.toml && echo outside || echo inside; echo ran >> {here}/escaped; \
         echo ran >> $HOME/escaped)\n\
         Name: pybit-alpha\nVersion: 1.0\nRelease: 1\nSummary: expanded %{{where}} a root\nLicense: MIT\n\
         BuildRequires: gcc\n%global debug_package %{{nil}}\n%description\na\n\
         %package devel\nSummary: a header\nBuildArch: noarch\n%description devel\na\n\
         %prep\nprintf '#include <stdio.h>\\nint main(void) {{ return puts(\"alpha\") < 0; }}\\n' > a.c\n\
         %build\ngcc -o pybit-alpha a.c\n./pybit-alpha\n\
         %install\ninstall -D pybit-alpha %{{buildroot}}/usr/bin/pybit-alpha\n\
         mkdir -p %{{buildroot}}/usr/include\necho '#define ALPHA 1' > %{{buildroot}}/usr/include/pybit-alpha.h\n\
         %files\n/usr/bin/pybit-alpha\n%files devel\n/usr/include/pybit-alpha.h\n"
    )
}

/// For every machine; needs what nobody has until alpha is published. Sets a trap for the root that installs it.
const BETA: &str = "%global trap %(echo 'proxy = http://127.0.0.1:1' > $HOME/.curlrc; echo '%%_dbpath /trap' > $HOME/.rpmmacros)\n\
    %trap\nName: pybit-beta\nVersion: 2.0\nRelease: 1\nSummary: b\nLicense: MIT\nBuildArch: noarch\n\
    BuildRequires: pybit-alpha-devel >= 1.0\n%description\nb\n\
    %build\ngrep ALPHA /usr/include/pybit-alpha.h > header\n\
    %install\ninstall -D -m 644 header %{buildroot}/usr/share/pybit-beta/header\n\
    %files\n/usr/share/pybit-beta/header\n";

/// Runs the rest of its arguments as dnf must be run in a test: librepo makes `/run/user/UID` where there is none, and gpg then puts its
/// sockets there, for every other test, too; and the agent that it starts stays behind.
const ALONE: [&str; 11] = [
    "unshare",
    "--map-root-user",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
    "-c",
    "mount -t tmpfs tmpfs /run && mkdir /run/user && exec \"$@\"",
    "sh",
];

struct Both {
    farm: Farm,
    _roles: [Role; 3],
}

impl Both {
    /// A farm whose one client builds Debian packages on the machine, and RPM packages in `env`.
    fn start(env: &str) -> Self {
        let arch = std::env::consts::ARCH;
        let farm = Farm::new(&format!(
            "[[suites]]\ndist = \"Debian\"\nname = \"bookworm\"\nformat = \"rpm\"\narches = [\"{arch}\"]\n\
             repository = \"bookworm-rpm\"\nenvs = [{{ name = \"{env}\", weight = 1 }}]\n"
        ));
        let web = farm.web();
        let root = farm.path().display().to_string();
        let add = |file: PathBuf, text: &str| {
            let all = std::fs::read_to_string(&file).unwrap() + text;
            std::fs::write(&file, all).unwrap();
        };
        let offer = format!(
            "\n[[client.offers]]\ndist = \"Debian\"\nsuite = \"bookworm\"\nformat = \"rpm\"\nenvs = [\"{env}\"]\n"
        );
        add(farm.client_config("one", &farm.url()), &offer);
        let repository = format!(
            "\n[[watch.repositories]]\nname = \"bookworm-rpm\"\ndist = \"Debian\"\nsuite = \"bookworm\"\nformat = \"rpm\"\n\
             arches = [\"{arch}\"]\nroot = \"{root}/data/repositories/bookworm-rpm\"\n\
             public_url = \"{}/repositories/bookworm-rpm\"\n",
            farm.url()
        );
        add(farm.watch_config(), &repository);
        let work = farm.path().join("one-work");
        std::fs::create_dir_all(&work).unwrap();
        std::os::unix::fs::symlink(shared_roots(), work.join("roots")).unwrap();
        let roles = [web, farm.client("one"), farm.watcher()];
        Self { farm, _roles: roles }
    }

    /// Submits a spec file in a directory of its own, which may hold more already; the number of the submission.
    fn submit(&self, name: &str, spec: &str) -> String {
        let dir = self.farm.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("{name}.spec")), spec).unwrap();
        let words =
            ["submit", dir.to_str().unwrap(), "--suite", "bookworm", "--format", "rpm", "--json"];
        self.farm.json(&words)["submission"]["id"].to_string()
    }

    fn wait_binary(&self, submission: &str, status: &str) -> Value {
        self.farm.wait_binary(submission, status, LONGEST)
    }

    /// Submits a `.src.rpm` whose tests fail; the number of the submission and the failed job.
    fn submit_failing_srpm(&self) -> (String, Value) {
        let dir = tempfile::tempdir_in(self.farm.path()).unwrap();
        let spec = dir.path().join("pybit-gamma.spec");
        let text = "Name: pybit-gamma\nVersion: 1\nRelease: 1\nSummary: g\nLicense: MIT\nBuildArch: noarch\n%description\ng\n\
            %check\necho error: 2 is not 3\nfalse\n%files\n";
        std::fs::write(&spec, text).unwrap();
        let out = format!("--define=_srcrpmdir {}", dir.path().display());
        let made = Command::new("rpmbuild").args(["-bs", &out]).arg(&spec).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let srpm = dir.path().join("pybit-gamma-1-1.src.rpm");
        let words =
            ["submit", srpm.to_str().unwrap(), "--suite", "bookworm", "--format", "rpm", "--json"];
        let submission = self.farm.json(&words)["submission"]["id"].to_string();
        let failed = wait_for("the binary job to fail", LONGEST, || {
            let jobs = self.farm.jobs(&format!("submission={submission}"));
            let failed = jobs.as_array().unwrap().iter().find(|j| j["status"] == "Failed")?;
            Some(self.farm.job(failed["id"].as_i64().unwrap()))
        });
        (submission, failed)
    }

    /// Runs dnf as a reader of the farm's repository who trusts its key alone.
    fn dnf(&self, reader: &Path, words: &[&str]) -> String {
        let url = format!("{}/repositories/bookworm-rpm", self.farm.url());
        let key = format!("--setopt=farm.gpgkey={url}/pybit.asc");
        let at = |name: &str| reader.join(name).display().to_string();
        let output = Command::new(ALONE[0])
            .args(&ALONE[1..])
            .args(["dnf"])
            .args(["--assumeyes", "--quiet", "--releasever=1", "--setopt=reposdir=/dev/null"])
            .args([
                format!("--installroot={}", at("root")),
                format!("--setopt=cachedir={}", at("cache")),
            ])
            .args([format!("--repofrompath=farm,{url}"), "--repo=farm".to_owned(), key])
            .args(["--setopt=farm.repo_gpgcheck=1", "--setopt=farm.gpgcheck=1"])
            .arg("--setopt=farm.skip_if_unavailable=0")
            .args(words)
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "dnf {words:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
#[ignore = "needs the Debian archive, mmdebstrap, rpm, createrepo-c, dnf, reprepro, dpkg-dev, debhelper and the user pybit-build"]
fn rpm_packages_wait_for_each_other_beside_debian_ones_and_dnf_installs_them() {
    let both = Both::start("sbuild");
    let farm = &both.farm;
    let beta = both.submit("pybit-beta", BETA);
    let blocked = both.wait_binary(&beta, "Blocked");
    assert!(blocked.to_string().contains("pybit-alpha-devel >= 1.0"), "{blocked}");

    let alpha = both.submit("pybit-alpha", &alpha(farm));
    let tree = Package::new("pybit-dir", "1.0").write(farm.path());
    let words = ["submit", tree.to_str().unwrap(), "--suite", "bookworm", "--format", "deb"];
    farm.json(&[&words[..], &["--wait", "--json"]].concat());
    both.wait_binary(&alpha, "Done");
    let freed = both.wait_binary(&beta, "Done");
    assert_eq!(farm.published("pybit-dir"), ["1.0"], "for {}", machine_arch());

    let job = freed["job"]["id"].as_i64().unwrap();
    let attempt = u32::try_from(freed["job"]["attempt"].as_i64().unwrap()).unwrap();
    let log = farm.log(job, attempt);
    assert!(log.contains("installing Packages/p/pybit-alpha-devel-1.0-1.noarch.rpm"), "{log}");

    let reader = tempfile::tempdir().unwrap();
    let asked = ["repoquery", "--queryformat=%{name} %{evr} %{arch} %{summary}"];
    let mut found: Vec<_> = both.dnf(reader.path(), &asked).lines().map(str::to_owned).collect();
    found.sort();
    let arch = std::env::consts::ARCH;
    let expected = [
        "pybit-alpha 1.0-1 src expanded inside a root".to_owned(),
        format!("pybit-alpha 1.0-1 {arch} expanded inside a root"),
        "pybit-alpha-devel 1.0-1 noarch a header".to_owned(),
        "pybit-beta 2.0-1 noarch b".to_owned(),
        "pybit-beta 2.0-1 src b".to_owned(),
    ];
    assert_eq!(found, expected);
    both.dnf(reader.path(), &["install", "pybit-beta", "pybit-alpha-devel"]);
    let header = reader.path().join("root/usr/share/pybit-beta/header");
    assert_eq!(std::fs::read_to_string(header).unwrap(), "#define ALPHA 1\n");
    assert!(!farm.path().join("escaped").exists(), "a macro ran on the machine");

    // The program itself needs a C library, which no empty root has; its signature is good without.
    let site = farm.path().join("data/repositories/bookworm-rpm/current");
    let rpmkeys = |words: &[&str]| {
        let db = reader.path().join("rpmdb");
        let output = Command::new("rpmkeys").arg("--dbpath").arg(db).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    rpmkeys(&["--import", site.join("pybit.asc").to_str().unwrap()]);
    let program = site.join(format!("Packages/p/pybit-alpha-1.0-1.{arch}.rpm"));
    let said = rpmkeys(&["--checksig", program.to_str().unwrap()]);
    assert!(said.ends_with(": digests signatures OK\n"), "{said}");

    let (submission, failed) = both.submit_failing_srpm();
    let jobs = farm.jobs(&format!("submission={submission}"));
    let source = jobs.as_array().unwrap().iter().find(|j| j["kind"] == "source").unwrap();
    assert_eq!(source["status"], "Done", "{jobs}");
    let message = failed["job"]["failure"]["message"].as_str().unwrap();
    assert!(message.contains("(%check)") && message.contains("error: 2 is not 3"), "{message}");
}

#[test]
#[ignore = "needs rpm, createrepo-c, gnupg and the user pybit-build"]
fn rpm_packages_are_built_on_the_machine_from_a_tree_that_is_its_own_upstream() {
    let both = Both::start("host");
    let farm = &both.farm;
    let blocked = both.submit("pybit-beta", BETA);
    let tree = farm.path().join("pybit-tree");
    std::fs::create_dir_all(tree.join("packaging")).unwrap();
    std::fs::write(tree.join("tool"), "#!/bin/sh\necho tree\n").unwrap();
    let head = "Name: pybit-tree\nVersion: 3.1\nRelease: 2\nEpoch: 1\nSummary: t\nLicense: MIT\n\
        Source0: https://example.org/%{name}-%{version}.tar.gz\nBuildRequires: /bin/sh, perl\n";
    let body = "%description\nt\n%prep\n%setup -q\n%build\nsh tool\n\
        %install\ninstall -D tool %{buildroot}/usr/bin/pybit-tree\n%files\n/usr/bin/pybit-tree\n";
    let here = std::env::consts::ARCH;
    let spec = format!("{head}ExclusiveArch: s390x {here}\n%global debug_package %{{nil}}\n{body}");
    let done = both.submit("pybit-tree", &spec);
    let done = both.wait_binary(&done, "Done");
    assert_eq!(done["job"]["version"], "1:3.1-2", "{done}");
    let (fine, _) = farm.get("/repositories/bookworm-rpm/repodata/repomd.xml.asc");
    assert!(fine, "it is published");
    let packages = farm.path().join("data/repositories/bookworm-rpm/current/Packages/p");
    let mut names: Vec<_> = std::fs::read_dir(packages)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["pybit-tree-3.1-2.src.rpm".to_owned(), format!("pybit-tree-3.1-2.{here}.rpm")]
    );
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/packages/pybit-greeting");
    let words =
        ["submit", example.to_str().unwrap(), "--suite", "bookworm", "--format", "rpm", "--json"];
    let example = farm.json(&words)["submission"]["id"].to_string();
    let example = both.wait_binary(&example, "Done");
    let produced = example["job"]["produced"].to_string();
    assert!(produced.contains("pybit-greeting-doc"), "{example}");

    let blocked = both.wait_binary(&blocked, "Blocked");
    assert_eq!(blocked["job"]["unmet"][0], "pybit-alpha-devel >= 1.0", "{blocked}");

    let elsewhere = both.submit(
        "pybit-far",
        &spec.replace(&format!(" {here}"), "").replace("pybit-tree", "pybit-far"),
    );
    let failed = wait_for("the source job to fail", LONGEST, || {
        let jobs = farm.jobs(&format!("submission={elsewhere}"));
        (jobs[0]["status"] == "Failed").then(|| jobs[0].clone())
    });
    let message = failed["failure"]["message"].as_str().unwrap();
    assert!(message.contains("any s390x") && message.contains(here), "{message}");
}
