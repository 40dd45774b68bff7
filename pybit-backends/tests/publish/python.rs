//! Indices of Python distributions, made with the real tools and read with the real pip and gpgv.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pybit_backends::publish::{Done, SimpleIndex, SimpleIndexConfig, Tool};
use pybit_backends::python::PythonVersions;
use pybit_core::Result;
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::owners::NoPolicy;
use pybit_core::publish::{Publication, PublishSet, Publisher};
use tempfile::TempDir;

use crate::fixture::{must, removal, run, set, tools};

/// Writes NAME-VERSION.tar.gz, a wheel for every machine or for one platform, with a module that holds a text.
const MAKE: &str = r#"
import base64, hashlib, io, sys, tarfile, zipfile
name, version, platform, content, more = sys.argv[1:]
file = name.replace("-", "_")
metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: >=3.6\n{more}"
pure = "true" if platform == "any" else "false"
members = {
    f"{file}.py": f"content = {content!r}\n",
    f"{file}-{version}.dist-info/METADATA": metadata,
    f"{file}-{version}.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: py3-none-{platform}\n",
}
record = f"{file}-{version}.dist-info/RECORD"
digest = lambda t: base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).rstrip(b"=").decode()
members[record] = "".join(f"{n},sha256={digest(t)},{len(t)}\n" for n, t in members.items()) + f"{record},,\n"
with zipfile.ZipFile(f"{file}-{version}-py3-none-{platform}.whl", "w") as wheel:
    for member, text in members.items():
        wheel.writestr(zipfile.ZipInfo(member), text)
with tarfile.open(f"{file}-{version}.tar.gz", "w:gz") as sdist:
    for member, text in {"PKG-INFO": metadata, "setup.py": f"from setuptools import setup\nsetup(name={name!r}, version={version!r})\n# {content}\n"}.items():
        info = tarfile.TarInfo(f"{file}-{version}/{member}")
        info.size = len(text)
        sdist.addfile(info, io.BytesIO(text.encode()))
"#;

/// A repository in a temporary directory, and a place to build packages.
pub(crate) struct Fixture {
    dir: TempDir,
    config: SimpleIndexConfig,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pybit-publish-python-").tempdir().unwrap();
        let arches = vec!["x86_64".parse().unwrap()];
        let (dist, suite) = ("Debian".parse().unwrap(), "bookworm".parse().unwrap());
        let config = SimpleIndexConfig::new(dir.path().join("repository"), dist, suite, arches);
        Self { dir, config }
    }

    fn open(&self, tool: Arc<dyn Tool>) -> SimpleIndex {
        let (order, clock) = (Arc::new(PythonVersions), Arc::new(SystemClock));
        SimpleIndex::new(self.config.clone(), tool, order, clock).unwrap()
    }

    pub(crate) async fn prepared_at(&self, clock: Arc<dyn Clock>) -> SimpleIndex {
        let (tools, order) = (Arc::new(tools()), Arc::new(PythonVersions));
        let repository = SimpleIndex::new(self.config.clone(), tools, order, clock).unwrap();
        repository.prepare().await.unwrap();
        repository
    }

    pub(crate) async fn prepared(&self) -> SimpleIndex {
        let repository = self.open(Arc::new(tools()));
        repository.prepare().await.unwrap();
        repository
    }

    fn current(&self) -> String {
        let target = fs::read_link(self.config.root.join("current")).unwrap();
        target.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// What one build makes: a wheel and the sdist.
    fn built(&self, name: &str, version: &str, platform: &str, content: &str) -> PublishSet {
        self.build_saying(name, version, [platform, content, ""])
    }

    /// Platform, content, and lines that its metadata says besides.
    pub(crate) fn build_saying(&self, name: &str, version: &str, words: [&str; 3]) -> PublishSet {
        let bench = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        must(&["python3", "-I", "-c", MAKE, name, version, words[0], words[1], words[2]], &bench);
        let files = fs::read_dir(&bench).unwrap().map(|e| e.unwrap().path());
        let (sources, files): (Vec<PathBuf>, Vec<PathBuf>) =
            files.partition(|p| p.to_str().unwrap().ends_with(".tar.gz"));
        set(name, version, &files, &sources)
    }

    pub(crate) fn build(&self, name: &str, version: &str, content: &str) -> PublishSet {
        self.built(name, version, "any", content)
    }

    /// Runs pip with the index as its only one.
    fn pip(&self, words: &[&str]) -> Output {
        let index = format!("file://{}/current/simple", self.config.root.display());
        let fixed =
            ["/usr/bin/python3", "-I", "-m", "pip", "--isolated", "--disable-pip-version-check"];
        let options = ["--no-cache-dir", "--index-url", &index];
        run(&[&fixed[..], words, &options].concat(), self.dir.path())
    }

    /// Checks each file of the current state with gpgv, which knows `key` alone; how many are signed.
    fn signed(&self, key: &str) -> usize {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        fs::write(dir.path().join("key.asc"), key).unwrap();
        must(&["gpg", "--homedir", ".", "--dearmor", "--output", "ring", "key.asc"], dir.path());
        let mut count = 0;
        let packages = self.config.root.join("current/packages");
        for project in fs::read_dir(packages).unwrap() {
            for file in fs::read_dir(project.unwrap().path()).unwrap() {
                let file = file.unwrap().path().display().to_string();
                if [".asc", ".metadata"].iter().any(|e| file.ends_with(e)) {
                    continue;
                }
                must(&["gpgv", "--keyring", "./ring", &format!("{file}.asc"), &file], dir.path());
                count += 1;
            }
        }
        count
    }
}

async fn publish(repository: &SimpleIndex, set: &PublishSet) -> String {
    match repository.publish(set, &NoPolicy).await.unwrap() {
        Publication::Published(name) => name,
        Publication::Rejected(why) => panic!("rejected: {why}"),
    }
}

async fn rejection(repository: &SimpleIndex, set: &PublishSet) -> String {
    match repository.publish(set, &NoPolicy).await.unwrap() {
        Publication::Published(name) => panic!("published in {name}"),
        Publication::Rejected(why) => why,
    }
}

async fn listed(repository: &SimpleIndex) -> Vec<String> {
    let list = repository.list().await.unwrap();
    list.into_iter().map(|l| format!("{} {} {}", l.name, l.version, l.arch)).collect()
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(|b| String::from_utf8_lossy(b).into_owned()).concat()
}

#[tokio::test]
#[ignore = "needs gnupg, gpgv, python3-pip and python3-setuptools"]
async fn python_pip_downloads_and_installs_and_gpgv_verifies() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let none = fixture.pip(&["download", "--no-deps", "hello-py"]);
    assert!(!none.status.success(), "{}", said(&none));
    assert_eq!(publish(&repository, &fixture.build("hello-py", "1.0", "one")).await, "000002");
    publish(&repository, &fixture.built("world", "2.0", "linux_x86_64", "two")).await;
    assert_eq!(
        listed(&repository).await,
        ["hello-py 1.0 all", "hello-py 1.0 source", "world 2.0 source", "world 2.0 x86_64"]
    );
    let (loaded, target) = (fixture.dir.path().join("loaded"), fixture.dir.path().join("target"));
    let loaded = loaded.to_str().unwrap();
    let sdist =
        ["download", "--no-deps", "--no-binary", ":all:", "--dest", loaded, "Hello.Py==1.0"];
    let output = fixture.pip(&sdist);
    assert!(
        Path::new(loaded).join("hello_py-1.0.tar.gz").is_file(),
        "it is fetched, though it cannot be built: {}",
        said(&output)
    );
    let target = target.to_str().unwrap();
    let installed = fixture.pip(&["install", "--target", target, "hello_py>=1", "world"]);
    assert!(installed.status.success(), "{}", said(&installed));
    let words = "import hello_py, world; print(hello_py.content, world.content)";
    let path = format!("import sys; sys.path.insert(0, {target:?}); {words}");
    assert_eq!(must(&["python3", "-I", "-c", &path], fixture.dir.path()), "one two\n");

    let key = repository.public_key().await.unwrap();
    assert_eq!(fixture.signed(&key), 4);
    let wheel = "current/packages/world/world-2.0-py3-none-linux_x86_64.whl";
    fs::write(fixture.config.root.join(wheel), "other").unwrap();
    let refused = fixture.pip(&["download", "--no-deps", "world"]);
    assert!(!refused.status.success() && said(&refused).contains("HASH"), "{}", said(&refused));
}

#[tokio::test]
#[ignore = "needs gnupg and python3"]
async fn python_the_same_again_is_harmless_and_other_bytes_and_older_versions_are_refused() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let built = fixture.build("hello", "1.0", "one");
    let state = publish(&repository, &built).await;
    assert_eq!(publish(&repository, &built).await, state);
    let why = rejection(&repository, &fixture.build("hello", "1.0", "two")).await;
    assert!(why.contains("other bytes"), "{why}");
    publish(&repository, &fixture.build("hello", "1.10", "one")).await;
    let why = rejection(&repository, &fixture.build("hello", "1.9", "one")).await;
    assert!(why.contains("1.9 is older than 1.10"), "{why}");
    let why = rejection(&repository, &fixture.built("far", "1.0", "linux_s390x", "x")).await;
    assert!(why.contains("is for linux_s390x, and the repository serves x86_64"), "{why}");
    let mut foreign = fixture.build("world", "1.0", "one");
    foreign.package = "moon".parse().unwrap();
    let why = rejection(&repository, &foreign).await;
    assert!(why.contains("is of world 1.0, but the set is of moon 1.0"), "{why}");
    for half in [false, true] {
        let torn = fixture.build("torn", "1.0", "one");
        let from = if half { &torn.source_files[0].1 } else { &torn.files[0].1 };
        let path = fixture.dir.path().join(from.file_name().unwrap());
        fs::write(&path, &fs::read(from).unwrap()[..100]).unwrap();
        let why = rejection(&repository, &set("torn", "1.0", &[path], &[])).await;
        assert!(why.contains("not a whole Python distribution"), "{why}");
    }
    assert_eq!(fixture.current(), "000003");
}

/// What a reader of this page finds behind it through `current`: every file that it names.
fn files_behind(site: &Path, page: &str) -> Vec<bool> {
    let hrefs = page.split("href=\"../../").skip(1).filter_map(|r| r.split('#').next());
    let there = |href: &str| {
        [String::new(), ".asc".to_owned()].iter().all(|e| site.join(format!("{href}{e}")).is_file())
    };
    hrefs.map(there).collect()
}

#[tokio::test]
#[ignore = "needs gnupg and python3"]
async fn python_a_reader_of_the_previous_state_still_finds_everything_after_an_upgrade() {
    let mut fixture = Fixture::new();
    (fixture.config.keep_files, fixture.config.keep_snapshots) = (Duration::ZERO, 2);
    let repository = fixture.prepared().await;
    publish(&repository, &fixture.build("hello", "1.0", "one")).await;
    let site = repository.site();
    let old = fs::read_to_string(site.join("simple/hello/index.html")).unwrap();
    for (version, kept) in [("2.0", true), ("3.0", true), ("4.0", false)] {
        publish(&repository, &fixture.build("hello", version, "one")).await;
        assert_eq!(files_behind(&site, &old), [kept; 2], "{version}");
    }
    let metadata = site.join("packages/hello/hello-4.0-py3-none-any.whl.metadata");
    assert!(fs::read_to_string(metadata).unwrap().contains("Version: 4.0"));
    assert_eq!(listed(&repository).await.len(), 2, "what is kept is not listed");
    assert_eq!(fs::read_dir(fixture.config.root.join("snapshots")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(fixture.config.root.join("work")).unwrap().count(), 0);
}

#[tokio::test]
#[ignore = "needs gnupg, gpgv and python3"]
async fn python_a_new_key_signs_everything_anew_and_a_dropped_architecture_goes() {
    let mut fixture = Fixture::new();
    let repository = fixture.prepared().await;
    publish(&repository, &fixture.built("hello", "1.0", "linux_x86_64", "one")).await;
    publish(&repository, &fixture.build("world", "1.0", "one")).await;
    let old = repository.public_key().await.unwrap();
    for name in ["gnupg", "public.asc"] {
        let path = fixture.config.root.join(name);
        fs::rename(&path, fixture.dir.path().join(name)).unwrap();
    }
    fixture.config.arches = vec!["aarch64".parse().unwrap()];
    let repository = fixture.prepared().await;
    let key = repository.public_key().await.unwrap();
    assert_ne!(key, old);
    assert_eq!(
        listed(&repository).await,
        ["hello 1.0 source", "world 1.0 all", "world 1.0 source"]
    );
    let page = repository.site().join("simple/hello/index.html");
    let behind = files_behind(&repository.site(), &fs::read_to_string(page).unwrap());
    assert_eq!(behind, [true]);
    assert!(!repository.remove(&removal("hello", None)).await.unwrap().is_empty());
    assert!(repository.remove(&removal("hello", None)).await.unwrap().is_empty());
    assert_eq!(listed(&repository).await, ["world 1.0 all", "world 1.0 source"]);
    assert!(!repository.site().join("simple/hello").exists());
    fixture.config.suite = "trixie".parse().unwrap();
    let error = fixture.open(Arc::new(tools())).prepare().await.unwrap_err();
    assert_eq!(error.code(), "foreign_repository");
}

/// The real tools, but one is killed when it takes longer than so many microseconds, or only says that it has done its work.
#[derive(Debug)]
struct Hostile {
    program: &'static str,
    after: AtomicU64,
    hits: AtomicUsize,
    lies: bool,
}

#[async_trait]
impl Tool for Hostile {
    async fn run(
        &self,
        argv: &[String],
        cwd: &Path,
        vars: &BTreeMap<String, String>,
    ) -> Result<Done> {
        let (tools, done) =
            (tools(), |code| Done { code, stdout: String::new(), stderr: String::new() });
        if argv[0] != self.program {
            return tools.run(argv, cwd, vars).await;
        }
        if self.lies {
            self.hits.fetch_add(1, Ordering::SeqCst);
            return Ok(done(0));
        }
        let limit = Duration::from_micros(self.after.load(Ordering::SeqCst));
        if let Ok(done) = tokio::time::timeout(limit, tools.run(argv, cwd, vars)).await {
            return done;
        }
        self.hits.fetch_add(1, Ordering::SeqCst);
        Ok(done(-9))
    }
}

fn hostile(program: &'static str, lies: bool) -> Arc<Hostile> {
    Arc::new(Hostile { program, after: 0.into(), hits: 0.into(), lies })
}

/// Everything that the pages name is there, and signed.
fn whole(site: &Path) -> bool {
    let snapshot = fs::canonicalize(site).unwrap();
    let projects = fs::read_dir(snapshot.join("simple")).unwrap().map(|e| e.unwrap().path());
    projects.filter(|p| p.is_dir()).all(|project| {
        let page = fs::read_to_string(project.join("index.html")).unwrap();
        files_behind(&snapshot, &page) == [true; 2]
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs gnupg and python3"]
async fn python_a_killed_tool_never_shows_and_never_blocks() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    for (program, step) in [("python3", 8_000), ("gpg", 4_000)] {
        let killer = hostile(program, false);
        let victim = fixture.open(Arc::clone(&killer) as Arc<dyn Tool>);
        for round in 0..5 {
            killer.after.store(round * step, Ordering::SeqCst);
            let built = fixture.build(&format!("{program}-{round}"), "1.0", "one");
            let (before, hits) = (fixture.current(), killer.hits.load(Ordering::SeqCst));
            let outcome = victim.publish(&built, &NoPolicy).await;
            if killer.hits.load(Ordering::SeqCst) == hits {
                assert!(matches!(outcome, Ok(Publication::Published(_))), "{outcome:?}");
            } else {
                assert!(outcome.unwrap_err().is_retryable());
                assert_eq!(fixture.current(), before);
            }
            assert!(whole(&repository.site()));
            publish(&repository, &built).await;
        }
        assert!(killer.hits.load(Ordering::SeqCst) >= 1, "the kills of {program} must have hit");
    }
    assert_eq!(listed(&repository).await.len(), 20);
}

#[tokio::test]
#[ignore = "needs gnupg and python3"]
async fn python_an_exit_code_of_zero_is_no_proof() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let built = fixture.build("hello", "1.0", "one");
    for program in ["python3", "gpg"] {
        let liar = hostile(program, true);
        let outcome =
            fixture.open(Arc::clone(&liar) as Arc<dyn Tool>).publish(&built, &NoPolicy).await;
        assert!(outcome.is_err(), "{program}: {outcome:?}");
        assert!(liar.hits.load(Ordering::SeqCst) > 0);
        assert_eq!(fixture.current(), "000001", "{program}");
    }
    publish(&repository, &built).await;
}
