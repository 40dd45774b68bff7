//! RPM repositories, made with the real tools and read with the real dnf and rpm.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pybit_backends::publish::{Createrepo, CreaterepoConfig, Done, Tool};
use pybit_backends::rpm::RpmVersions;
use pybit_core::Result;
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::owners::NoPolicy;
use pybit_core::publish::{Publication, PublishSet, Publisher};
use tempfile::TempDir;

use crate::fixture::{must, removal, run, set, tools};

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

/// An RPM repository in a temporary directory, and a place to build packages.
pub(crate) struct Fixture {
    dir: TempDir,
    config: CreaterepoConfig,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pybit-publish-rpm-").tempdir().unwrap();
        let arches = vec!["x86_64".parse().unwrap()];
        let (dist, suite) = ("Fedora".parse().unwrap(), "f40".parse().unwrap());
        let config = CreaterepoConfig::new(dir.path().join("repository"), dist, suite, arches);
        Self { dir, config }
    }

    fn open(&self, tool: Arc<dyn Tool>) -> Createrepo {
        let (order, clock) = (Arc::new(RpmVersions), Arc::new(SystemClock));
        Createrepo::new(self.config.clone(), tool, order, clock).unwrap()
    }

    pub(crate) async fn prepared_at(&self, clock: Arc<dyn Clock>) -> Createrepo {
        let (tools, order) = (Arc::new(tools()), Arc::new(RpmVersions));
        let repository = Createrepo::new(self.config.clone(), tools, order, clock).unwrap();
        repository.prepare().await.unwrap();
        repository
    }

    /// A copy of the state that readers see.
    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        let (site, to) = (self.config.root.join("current"), self.dir.path().join(name));
        must(&["cp", "-rL", site.to_str().unwrap(), to.to_str().unwrap()], self.dir.path());
        to
    }

    /// Runs dnf, which must succeed, on the repository.
    pub(crate) fn must_dnf(&self, key: &str, words: &[&str]) {
        self.must_dnf_at(&self.config.root.join("current"), key, words);
    }

    /// Runs dnf, which must succeed, on a copy of the repository.
    pub(crate) fn must_dnf_at(&self, site: &Path, key: &str, words: &[&str]) {
        let output = self.dnf_at(site, key, words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
    }

    /// Runs dnf, which must fail, on the repository; what it says.
    pub(crate) fn fail_dnf(&self, key: &str, words: &[&str]) -> String {
        let output = self.dnf(key, words);
        assert!(!output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    }

    pub(crate) async fn prepared(&self) -> Createrepo {
        let repository = self.open(Arc::new(tools()));
        repository.prepare().await.unwrap();
        repository
    }

    fn current(&self) -> String {
        let target = fs::read_link(self.config.root.join("current")).unwrap();
        target.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// What one build makes: a package for `x86_64`, one for all machines, and the source.
    pub(crate) fn build(&self, name: &str, version: &str, content: &str) -> PublishSet {
        let spec = format!(
            "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: s\nLicense: MIT\n%description\nd\n\
             %package doc\nSummary: s\nBuildArch: noarch\n%description doc\nd\n%install\n\
             mkdir -p %{{buildroot}}/usr/share/{name}\necho '{content}' > %{{buildroot}}/usr/share/{name}/a\n\
             echo '{content}' > %{{buildroot}}/usr/share/{name}/b\n\
             %files\n/usr/share/{name}/a\n%files doc\n/usr/share/{name}/b\n"
        );
        self.build_spec(name, version, &spec)
    }

    /// The packages that `rpmbuild` makes of this spec, whose release is 1.
    pub(crate) fn build_spec(&self, name: &str, version: &str, spec: &str) -> PublishSet {
        let bench = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        fs::write(bench.join("x.spec"), spec).unwrap();
        let define = |name: &str| format!("--define={name} {}", bench.join("out").display());
        let name_format = "--define=_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm";
        let dirs = ["_topdir", "_rpmdir", "_srcrpmdir"].map(define);
        let mut argv = vec!["rpmbuild", "-ba", "--target=x86_64", name_format];
        argv.extend(dirs.iter().map(String::as_str));
        argv.push("x.spec");
        must(&argv, &bench);
        let files = fs::read_dir(bench.join("out")).unwrap().map(|e| e.unwrap().path());
        let (sources, files): (Vec<PathBuf>, Vec<PathBuf>) =
            files.filter(|p| p.is_file()).partition(|p| p.to_str().unwrap().ends_with(".src.rpm"));
        set(name, &format!("{version}-1"), &files, &sources)
    }

    /// Runs dnf on the repository, which it must find signed with `key`; its output.
    fn dnf(&self, key: &str, words: &[&str]) -> std::process::Output {
        self.dnf_at(&self.config.root.join("current"), key, words)
    }

    fn dnf_at(&self, site: &Path, key: &str, words: &[&str]) -> std::process::Output {
        let reader = tempfile::tempdir_in(self.dir.path()).unwrap();
        fs::write(reader.path().join("key.asc"), key).unwrap();
        let at = |name: &str| reader.path().join(name).display().to_string();
        let fixed = [
            "dnf".to_owned(),
            "--assumeyes".to_owned(),
            "--quiet".to_owned(),
            "--releasever=1".to_owned(),
            "--forcearch=x86_64".to_owned(),
            "--disableplugin=*".to_owned(),
            format!("--installroot={}", at("root")),
            format!("--setopt=cachedir={}", at("cache")),
            format!("--setopt=reposdir={}", at("none")),
            format!("--repofrompath=pybit,file://{}", site.display()),
            "--repo=pybit".to_owned(),
            "--setopt=pybit.repo_gpgcheck=1".to_owned(),
            "--setopt=pybit.gpgcheck=1".to_owned(),
            "--setopt=pybit.skip_if_unavailable=0".to_owned(),
            format!("--setopt=pybit.gpgkey=file://{}", at("key.asc")),
        ];
        let argv: Vec<&str> =
            fixed.iter().map(String::as_str).chain(words.iter().copied()).collect();
        let argv = [&ALONE[..], &argv].concat();
        run(&argv, reader.path())
    }
}

async fn publish(repository: &Createrepo, set: &PublishSet) -> String {
    match repository.publish(set, &NoPolicy).await.unwrap() {
        Publication::Published(name) => name,
        Publication::Rejected(why) => panic!("rejected: {why}"),
    }
}

async fn rejection(repository: &Createrepo, set: &PublishSet) -> String {
    match repository.publish(set, &NoPolicy).await.unwrap() {
        Publication::Published(name) => panic!("published in {name}"),
        Publication::Rejected(why) => why,
    }
}

async fn listed(repository: &Createrepo) -> Vec<String> {
    let list = repository.list().await.unwrap();
    list.into_iter().map(|l| format!("{} {} {}", l.name, l.version, l.arch)).collect()
}

fn said(output: &std::process::Output) -> String {
    [&output.stdout[..], &output.stderr].map(|b| String::from_utf8_lossy(b).into_owned()).concat()
}

#[tokio::test]
#[ignore = "needs createrepo-c, dnf, gnupg and rpm"]
async fn rpm_dnf_verifies_index_and_packages_and_installs() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let key = repository.public_key().await.unwrap();
    let empty = fixture.dnf(&key, &["repoquery"]);
    assert!(empty.status.success(), "{}", said(&empty));
    assert_eq!(publish(&repository, &fixture.build("hello", "1.0", "one")).await, "000002");
    assert_eq!(
        listed(&repository).await,
        ["hello 1.0-1 source", "hello 1.0-1 x86_64", "hello-doc 1.0-1 noarch"]
    );
    let found = fixture.dnf(&key, &["repoquery", "--whatprovides", "hello-doc >= 1.0"]);
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), "hello-doc-0:1.0-1.noarch");
    let installed = fixture.dnf(&key, &["install", "hello", "hello-doc"]);
    assert!(installed.status.success(), "{}", said(&installed));

    let wrong = Fixture::new().prepared().await.public_key().await.unwrap();
    let refused = fixture.dnf(&wrong, &["repoquery", "hello"]);
    assert!(!refused.status.success() && said(&refused).contains("GPG"), "{}", said(&refused));
    let repomd = fixture.config.root.join("current/repodata/repomd.xml");
    let text = fs::read_to_string(&repomd).unwrap();
    fs::write(&repomd, text.replace("<revision>1", "<revision>2")).unwrap();
    let refused = fixture.dnf(&key, &["repoquery", "hello"]);
    assert!(!refused.status.success() && said(&refused).contains("GPG"), "{}", said(&refused));
}

#[tokio::test]
#[ignore = "needs createrepo-c, gnupg and rpm"]
async fn rpm_the_same_again_is_harmless_and_other_bytes_and_older_versions_are_refused() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let built = fixture.build("hello", "1.0", "one");
    let state = publish(&repository, &built).await;
    assert_eq!(publish(&repository, &built).await, state, "signed meanwhile, and yet the same");
    let why = rejection(&repository, &fixture.build("hello", "1.0", "two")).await;
    assert!(why.contains("other bytes"), "{why}");
    publish(&repository, &fixture.build("hello", "10.0", "one")).await;
    let why = rejection(&repository, &fixture.build("hello", "9.0", "one")).await;
    assert!(why.contains("9.0-1 is older than 10.0-1"), "{why}");
    let mut foreign = fixture.build("world", "1.0", "one");
    foreign.package = "moon".parse().unwrap();
    let why = rejection(&repository, &foreign).await;
    assert!(why.contains("was built from world-1.0-1.src.rpm"), "{why}");
    let mut torn = fixture.build("torn", "1.0", "one");
    let path = fixture.dir.path().join(torn.files[0].0.name.as_str());
    fs::write(&path, &fs::read(&torn.files[0].1).unwrap()[..3000]).unwrap();
    torn = set("torn", "1.0-1", &[path], &[]);
    let why = rejection(&repository, &torn).await;
    assert!(why.contains("not a whole RPM package"), "{why}");
    assert_eq!(fixture.current(), "000003");
}

/// What a reader of this `repomd.xml` finds behind it through `current`: every file that it names.
fn files_behind(site: &Path, repomd: &str) -> Vec<bool> {
    let hrefs = repomd.split("location href=\"").skip(1).filter_map(|r| r.split('"').next());
    hrefs.map(|href| site.join(href).is_file()).collect()
}

#[tokio::test]
#[ignore = "needs createrepo-c, gnupg and rpm"]
async fn rpm_a_reader_of_the_previous_state_still_finds_everything_after_an_upgrade() {
    let mut fixture = Fixture::new();
    (fixture.config.keep_files, fixture.config.keep_snapshots) = (Duration::ZERO, 2);
    let repository = fixture.prepared().await;
    publish(&repository, &fixture.build("hello", "1.0", "one")).await;
    let site = repository.site();
    let old = fs::read_to_string(site.join("repodata/repomd.xml")).unwrap();
    let package = site.join("Packages/h/hello-1.0-1.x86_64.rpm");
    for (version, kept) in [("2.0", true), ("3.0", true), ("4.0", false)] {
        publish(&repository, &fixture.build("hello", version, "one")).await;
        assert_eq!(files_behind(&site, &old), [kept; 3], "{version}");
        assert_eq!(package.is_file(), kept, "{version}");
    }
    assert_eq!(listed(&repository).await.len(), 3, "what is kept is not listed");
    assert_eq!(fs::read_dir(fixture.config.root.join("snapshots")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(fixture.config.root.join("work")).unwrap().count(), 0);
}

#[tokio::test]
#[ignore = "needs createrepo-c, dnf, gnupg and rpm"]
async fn rpm_a_new_key_signs_everything_anew_and_a_dropped_architecture_goes() {
    let mut fixture = Fixture::new();
    let repository = fixture.prepared().await;
    publish(&repository, &fixture.build("hello", "1.0", "one")).await;
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
        [
            "hello 1.0-1 source",
            "hello-doc 1.0-1 noarch",
            "world 1.0-1 source",
            "world-doc 1.0-1 noarch"
        ]
    );
    let installed = fixture.dnf(&key, &["install", "hello-doc"]);
    assert!(installed.status.success(), "{}", said(&installed));
    assert!(!repository.remove(&removal("hello", None)).await.unwrap().is_empty());
    assert!(repository.remove(&removal("hello", None)).await.unwrap().is_empty());
    assert_eq!(listed(&repository).await, ["world 1.0-1 source", "world-doc 1.0-1 noarch"]);
    fixture.config.suite = "f41".parse().unwrap();
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

/// The index that readers see is whole, and signed.
fn whole(site: &Path) -> bool {
    let snapshot = fs::canonicalize(site).unwrap();
    let repomd = fs::read_to_string(snapshot.join("repodata/repomd.xml")).unwrap();
    let signature = fs::read_to_string(snapshot.join("repodata/repomd.xml.asc")).unwrap();
    files_behind(&snapshot, &repomd) == [true; 3] && signature.contains("END PGP SIGNATURE")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs createrepo-c, gnupg and rpm"]
async fn rpm_a_killed_tool_never_shows_and_never_blocks() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    for (program, step) in [("createrepo_c", 4_000), ("rpmsign", 6_000), ("rpmkeys", 3_000)] {
        let killer = hostile(program, false);
        let victim = fixture.open(Arc::clone(&killer) as Arc<dyn Tool>);
        for round in 0..5 {
            killer.after.store(round * step, Ordering::SeqCst);
            let built =
                fixture.build(&format!("{}-{round}", program.replace('_', "-")), "1.0", "one");
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
    assert_eq!(listed(&repository).await.len(), 45);
}

#[tokio::test]
#[ignore = "needs createrepo-c, gnupg and rpm"]
async fn rpm_an_exit_code_of_zero_is_no_proof() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let built = fixture.build("hello", "1.0", "one");
    for program in ["rpmsign", "rpmkeys", "createrepo_c"] {
        let liar = hostile(program, true);
        let outcome =
            fixture.open(Arc::clone(&liar) as Arc<dyn Tool>).publish(&built, &NoPolicy).await;
        assert!(outcome.is_err(), "{program}: {outcome:?}");
        assert!(liar.hits.load(Ordering::SeqCst) > 0);
        assert_eq!(fixture.current(), "000001", "{program}");
    }
    publish(&repository, &built).await;
}
