//! A signed repository on loopback, and builds that may use it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pybit_backends::deb::DebFormat;
use pybit_core::build::{BuildEnvironment, Prepared};
use pybit_core::format::{BuildContext, BuildRepository, Exit, PackageFormat, Verdict};

use crate::support::{self, MemoryLog, limits, open_dir, target, users_dir};

/// The end of a build.
#[derive(Debug)]
pub(super) enum Ended {
    Well,
    Badly(Verdict),
}

/// A repository of small packages whose installation says so in the log.
pub(super) struct Farm {
    dir: tempfile::TempDir,
    url: String,
}

impl Farm {
    pub(super) fn new() -> Self {
        let dir = open_dir();
        fs::create_dir_all(dir.path().join("site/pool")).unwrap();
        let url = serve_dir(&dir.path().join("site"));
        Self { dir, url }
    }

    /// Adds a package; the field `Files` lists what it holds.
    pub(super) fn add(&self, fields: &str) {
        let tree = self.dir.path().join("package");
        let name = fields.lines().find_map(|l| l.strip_prefix("Package: ")).unwrap();
        let kept: Vec<&str> = fields.lines().filter(|l| !l.starts_with("Files: ")).collect();
        let mut control = kept.join("\n") + "\n";
        if !control.contains("Architecture: ") {
            control.push_str("Architecture: amd64\n");
        }
        control.push_str("Maintainer: T <t@example.org>\nDescription: x\n");
        put(&tree.join("DEBIAN/control"), &control, 0o644);
        let postinst = format!("#!/bin/sh\necho 'FROM THE FARM: {name}'\n");
        put(&tree.join("DEBIAN/postinst"), &postinst, 0o755);
        for file in fields.lines().filter_map(|l| l.strip_prefix("Files: ")) {
            put(&tree.join(file), "#!/bin/sh\n", 0o755);
        }
        let to = self.dir.path().join("site/pool");
        run(Command::new("dpkg-deb").arg("--root-owner-group").arg("-b").arg(&tree).arg(to));
        fs::remove_dir_all(tree).unwrap();
    }

    /// Writes the index and signs it.
    pub(super) fn publish(&self) {
        let site = self.dir.path().join("site");
        let scan = Command::new("dpkg-scanpackages")
            .args(["--multiversion", "pool"])
            .current_dir(&site)
            .output()
            .unwrap();
        let dists = site.join("dists/bookworm");
        put(
            &dists.join("main/binary-amd64/Packages"),
            std::str::from_utf8(&scan.stdout).unwrap(),
            0o644,
        );
        let sum = Command::new("sha256sum")
            .arg("main/binary-amd64/Packages")
            .current_dir(&dists)
            .output()
            .unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        let digest = sum.split(' ').next().unwrap();
        // As a farm of today says it: nothing that a pin could tell from the archive's own.
        let release = format!(
            "Origin: Debian\nLabel: Debian\nSuite: stable\nCodename: bookworm\nArchitectures: amd64\nComponents: main\n\
             Date: Mon, 30 Nov 2026 00:00:00 UTC\nSHA256:\n {digest} {} main/binary-amd64/Packages\n",
            scan.stdout.len()
        );
        put(&dists.join("Release"), &release, 0o644);
        let home = tempfile::Builder::new().prefix("pybit-gpg-").tempdir_in("/tmp").unwrap();
        let gpg = |args: &[&str]| {
            let fixed = ["--batch", "--quiet", "--yes", "--passphrase", "", "--armor"];
            let fixed = [&fixed[..], &["--pinentry-mode", "loopback"]].concat();
            run(Command::new("gpg").arg("--homedir").arg(home.path()).args(fixed).args(args));
        };
        gpg(&["--quick-generate-key", "farm@example.org", "rsa2048", "sign", "never"]);
        gpg(&["--output", self.key().to_str().unwrap(), "--export"]);
        let (signed, release) = (dists.join("InRelease"), dists.join("Release"));
        gpg(&["--output", signed.to_str().unwrap(), "--clearsign", release.to_str().unwrap()]);
        run(Command::new("gpgconf")
            .arg("--homedir")
            .arg(home.path())
            .args(["--kill", "gpg-agent"]));
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key.asc")
    }

    /// Builds a package with these fields in its control file. A failure of the machine is tried again, as a farm does:
    /// on a busy machine sbuild's own way into a namespace can fail (`copy() failed: Broken pipe`).
    pub(super) async fn build(&self, fields: &str, overlay: bool) -> (String, Ended) {
        for _ in 0..3 {
            let built = self.build_once(fields, overlay).await;
            let infra = |verdict: &Verdict| verdict.failure.class.is_tried_again();
            if !matches!(&built.1, Ended::Badly(verdict) if infra(verdict)) {
                return built;
            }
        }
        self.build_once(fields, overlay).await
    }

    async fn build_once(&self, fields: &str, overlay: bool) -> (String, Ended) {
        let (dir, log) = (open_dir(), MemoryLog::default());
        let (input, output) = (dir.path().join("input"), dir.path().join("output"));
        source(&input, fields);
        users_dir(&output, &support::exec());
        let environment = support::sbuild();
        let target = target("amd64", "sbuild");
        let prepared = environment.prepare(&target, dir.path(), &log).await.unwrap();
        let suite = target.suite.clone();
        let (url, key) = (self.url.clone(), self.key());
        let context = BuildContext {
            suite: suite.clone(),
            arch: target.arch.clone(),
            env: target.env.clone(),
            place: prepared.surroundings(),
            source: input.join("innocent_1.0.dsc"),
            output,
            indep: true,
            repositories: vec![BuildRepository { url, suite, key, overlay }],
        };
        let format = DebFormat::new();
        let ended = run_steps(&format, &context, &*prepared, &log).await;
        prepared.destroy().await.unwrap();
        (log.text(), ended)
    }
}

/// Runs the steps of a binary job until one fails.
pub(super) async fn run_steps(
    format: &dyn PackageFormat,
    context: &BuildContext,
    prepared: &dyn Prepared,
    log: &MemoryLog,
) -> Ended {
    for step in format.binary_steps(context).unwrap() {
        let exit = prepared.run(&step, &limits(), log).await.unwrap();
        if exit != Exit::Code(0) {
            return Ended::Badly(format.classify(step.phase, exit, &log.text()));
        }
    }
    Ended::Well
}

/// A native source package.
fn source(to: &Path, fields: &str) {
    let tree = to.join("tree");
    let control = format!(
        "Source: innocent\nMaintainer: T <t@example.org>\nStandards-Version: 4.6.2\nRules-Requires-Root: no\n{fields}\n\
         Package: innocent\nArchitecture: all\nDescription: x\n x\n"
    );
    let rules = "#!/usr/bin/make -f\nclean build build-arch build-indep binary-arch:\n\t@true\n\
                 binary binary-indep:\n\tmkdir -p debian/tmp/DEBIAN\n\tdpkg-gencontrol -Pdebian/tmp\n\t\
                 dpkg-deb --root-owner-group -b debian/tmp ..\n";
    let changelog = "innocent (1.0) bookworm; urgency=low\n\n  * x\n\n -- T <t@example.org>  Mon, 23 Nov 2026 00:00:00 +0000\n";
    put(&tree.join("debian/source/format"), "3.0 (native)\n", 0o644);
    put(&tree.join("debian/changelog"), changelog, 0o644);
    put(&tree.join("debian/control"), &control, 0o644);
    put(&tree.join("debian/rules"), rules, 0o755);
    run(Command::new("dpkg-source").args(["-b", "tree"]).current_dir(to));
}

pub(super) fn put(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(super) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Serves a directory on loopback until the test ends; its address.
pub(super) fn serve_dir(site: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let site = site.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let site = site.clone();
            std::thread::spawn(move || serve(&site, &stream));
        }
    });
    url
}

/// Answers the requests of one connection from files.
fn serve(site: &Path, stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        for header in lines.by_ref() {
            if header.is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
        let path = path.replace("%3a", ":").replace("%3A", ":");
        let file = fs::read(site.join(path));
        let status = if file.is_ok() { "200 OK" } else { "404 Not Found" };
        let body = file.unwrap_or_default();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut out = stream;
        if out.write_all(head.as_bytes()).and_then(|()| out.write_all(&body)).is_err() {
            return;
        }
    }
}
