//! Small real packages, and a repository to publish them into.

use std::cmp::Ordering;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pybit_backends::exec::{Exec, Supervisor};
use pybit_backends::publish::{MachineTools, Reprepro, RepreproConfig, Tool};
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::model::{FileSpec, PackageName};
use pybit_core::owners::{BaseOwner, NameFacts, NameMove, NamePolicy, NoPolicy};
use pybit_core::publish::{Publication, PublishSet, Publisher, Removal};
use pybit_core::version::VersionOrder;
use pybit_core::{Error, Result};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Runs a program of the machine to its end.
#[expect(clippy::disallowed_methods, reason = "the tests build packages and read as apt does")]
pub(crate) fn run(argv: &[&str], cwd: &Path) -> std::process::Output {
    std::process::Command::new(argv[0])
        .args(&argv[1..])
        .current_dir(cwd)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|e| panic!("{argv:?}: {e}"))
}

/// Runs a program that must succeed; its output.
pub(crate) fn must(argv: &[&str], cwd: &Path) -> String {
    let output = run(argv, cwd);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{argv:?}: {out}{err}");
    out.into_owned()
}

/// Debian's order, asked of dpkg.
#[derive(Debug)]
struct Dpkg;

impl VersionOrder for Dpkg {
    fn parse(&self, version: &str) -> Result<()> {
        if version.contains('~') || version.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(());
        }
        Err(Error::invalid(format!("\"{version}\" is not a version")))
    }
    fn compare(&self, a: &str, b: &str) -> Result<Ordering> {
        let is =
            |op| run(&["dpkg", "--compare-versions", a, op, b], Path::new("/")).status.success();
        Ok(if is("lt") {
            Ordering::Less
        } else if is("gt") {
            Ordering::Greater
        } else {
            Ordering::Equal
        })
    }
    fn key(&self, _: &str) -> Result<Vec<u8>> {
        Err(Error::invalid("dpkg makes no keys"))
    }
}

/// The real tools.
pub(crate) fn tools() -> MachineTools {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_pybit-supervise"));
    MachineTools::new(Exec::new(Supervisor { program, args: vec![] }, None))
}

/// A repository in a temporary directory, and a place to build packages.
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) config: RepreproConfig,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pybit-publish-").tempdir().unwrap();
        let arches = ["amd64", "arm64"].map(|a| a.parse().unwrap()).to_vec();
        let (dist, suite) = ("Debian".parse().unwrap(), "bookworm".parse().unwrap());
        let config = RepreproConfig::new(dir.path().join("repository"), dist, suite, arches);
        Self { dir, config }
    }

    pub(crate) fn open(&self) -> Reprepro {
        self.open_with(Arc::new(tools()))
    }

    pub(crate) fn open_with(&self, tool: Arc<dyn Tool>) -> Reprepro {
        Reprepro::new(self.config.clone(), tool, Arc::new(Dpkg), Arc::new(SystemClock)).unwrap()
    }

    pub(crate) fn open_at(&self, clock: Arc<dyn Clock>) -> Reprepro {
        Reprepro::new(self.config.clone(), Arc::new(tools()), Arc::new(Dpkg), clock).unwrap()
    }

    pub(crate) async fn prepared(&self) -> Reprepro {
        let repository = self.open();
        repository.prepare().await.unwrap();
        repository
    }

    /// What readers are pointed at.
    pub(crate) fn site(&self) -> PathBuf {
        self.config.root.join("current")
    }

    /// The snapshot that readers see.
    pub(crate) fn current(&self) -> String {
        let target = fs::read_link(self.site()).unwrap();
        target.file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn bench(&self) -> TempDir {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        TempDir::with_prefix_in("bench-", dir).unwrap()
    }

    /// Builds a `.deb` with these control fields; `content` makes its bytes differ. Returns its path.
    pub(crate) fn deb(&self, control: &str, content: &str, file: &str) -> PathBuf {
        let bench = self.bench().keep();
        let tree = bench.join("tree");
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("usr/share/pybit")).unwrap();
        fs::write(tree.join("usr/share/pybit/content"), content).unwrap();
        let mut text = control.trim_end().to_owned();
        let _ = writeln!(text, "\nMaintainer: P <p@example.org>\nDescription: a test");
        fs::write(tree.join("DEBIAN/control"), text).unwrap();
        let path = bench.join(file);
        must(
            &["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", "tree", path.to_str().unwrap()],
            &bench,
        );
        path
    }

    /// Builds a native source package; its `.dsc` and tarball.
    pub(crate) fn source(&self, name: &str, version: &str) -> Vec<PathBuf> {
        let bench = self.bench().keep();
        let debian = bench.join(format!("{name}-tree")).join("debian");
        fs::create_dir_all(debian.join("source")).unwrap();
        fs::write(debian.join("source/format"), "3.0 (native)\n").unwrap();
        let entry = format!(
            "{name} ({version}) unstable; urgency=low\n\n  * A test.\n\n -- P <p@example.org>  Mon, 23 Nov 2026 \
             00:00:00 +0000\n"
        );
        fs::write(debian.join("changelog"), entry).unwrap();
        let control = format!(
            "Source: {name}\nSection: devel\nPriority: optional\nMaintainer: P <p@example.org>\n\nPackage: {name}\n\
             Architecture: any\nDescription: a test\n"
        );
        fs::write(debian.join("control"), control).unwrap();
        must(&["dpkg-source", "-b", &format!("{name}-tree")], &bench);
        let built = fs::read_dir(&bench).unwrap().map(|e| e.unwrap().path());
        built.filter(|p| p.is_file()).collect()
    }

    /// One package for amd64 and one for all machines, and their source: what one build makes.
    pub(crate) fn build(&self, name: &str, version: &str) -> PublishSet {
        self.build_with(name, version, "content")
    }

    pub(crate) fn build_with(&self, name: &str, version: &str, content: &str) -> PublishSet {
        let control = |package: &str, arch: &str| {
            format!(
                "Package: {package}\nVersion: {version}\nArchitecture: {arch}\nSource: {name}\nSection: devel\n\
                 Priority: optional\n"
            )
        };
        let file = |package: &str, arch: &str| format!("{package}_{version}_{arch}.deb");
        let (bin, doc) = (format!("{name}-bin"), format!("{name}-doc"));
        let debs = [
            self.deb(&control(&bin, "amd64"), content, &file(&bin, "amd64")),
            self.deb(&control(&doc, "all"), content, &file(&doc, "all")),
        ];
        set(name, version, &debs, &self.source(name, version))
    }
}

/// A set of these files.
pub(crate) fn set(
    name: &str,
    version: &str,
    files: &[PathBuf],
    source_files: &[PathBuf],
) -> PublishSet {
    let specs = |paths: &[PathBuf]| paths.iter().map(|p| (spec(p), p.clone())).collect();
    PublishSet {
        id: None,
        package: name.parse().unwrap(),
        version: version.parse().unwrap(),
        files: specs(files),
        source_files: specs(source_files),
    }
}

fn spec(path: &Path) -> FileSpec {
    let bytes = fs::read(path).unwrap();
    FileSpec {
        name: path.file_name().unwrap().to_str().unwrap().parse().unwrap(),
        size: bytes.len() as u64,
        sha256: sha256(&bytes),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A removal of a source package, of one version or of all.
pub(crate) fn removal(package: &str, version: Option<&str>) -> Removal {
    let version = version.map(|v| v.parse().unwrap());
    Removal { package: package.parse().unwrap(), version, dry_run: false }
}

/// The name of the state that the set was published in.
pub(crate) async fn publish(repository: &Reprepro, set: &PublishSet) -> String {
    match repository.publish(set, &NoPolicy).await.unwrap() {
        Publication::Published(name) => name,
        Publication::Rejected(why) => panic!("rejected: {why}"),
    }
}

/// Why the repository refuses the set.
pub(crate) async fn rejection(repository: &Reprepro, set: &PublishSet) -> String {
    match repository.publish(set, &NoPolicy).await.unwrap() {
        Publication::Published(name) => panic!("published in {name}"),
        Publication::Rejected(why) => why,
    }
}

/// What readers see, as lines `name version arch`.
pub(crate) async fn listed(repository: &Reprepro) -> Vec<String> {
    let list = repository.list().await.unwrap();
    list.into_iter().map(|l| format!("{} {} {}", l.name, l.version, l.arch)).collect()
}

/// The knowledge outside of the repository: a base distribution that has `make` from `make-dfsg`,
/// and the moves `(binary, from, to)`.
#[derive(Debug, Default)]
pub(crate) struct Bookworm(pub(crate) Vec<(&'static str, &'static str, &'static str)>);

#[async_trait]
impl NamePolicy for Bookworm {
    async fn facts(&self, _: &PackageName, binaries: &[String]) -> Result<NameFacts> {
        let owner =
            BaseOwner { distribution: "Debian bookworm".into(), source: "make-dfsg".into() };
        let known = binaries.iter().filter(|name| *name == "make");
        let moved = |(binary, from, to): &(&str, &str, &str)| NameMove {
            binary: binary.parse().unwrap(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            by: "ann".into(),
            why: "a test".into(),
        };
        Ok(NameFacts {
            base: known.map(|name| (name.clone(), owner.clone())).collect(),
            moves: self.0.iter().map(moved).collect(),
            ..NameFacts::default()
        })
    }
}

/// The refusal of a set, or the state that it was published in.
pub(crate) async fn outcome(
    repository: &dyn Publisher,
    set: &PublishSet,
    names: &dyn NamePolicy,
) -> std::result::Result<String, String> {
    match repository.publish(set, names).await.unwrap() {
        Publication::Published(name) => Ok(name),
        Publication::Rejected(why) => Err(why),
    }
}

/// Asserts that a refusal says all of these words.
pub(crate) fn assert_refused(outcome: std::result::Result<String, String>, words: &[&str]) {
    let why = outcome.unwrap_err();
    assert!(words.iter().all(|w| why.contains(w)), "{why}");
}
