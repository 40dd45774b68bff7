//! What users install from: letters j and k.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pybit::backends::deb::DebFormat;
use pybit::backends::env::{BuildUser, SbuildConfig, SbuildEnvironment};
use pybit::backends::exec::{Exec, Supervisor};
use pybit::core::build::{BuildEnvironment, LogSink};
use pybit::core::format::{BuildContext, BuildRepository, PackageFormat, Surroundings};
use pybit::core::model::Target;
use pybit::roles;

use crate::apt::Apt;
use crate::support::package::Package;
use crate::support::upload::{built, drop_files, files_of};
use crate::support::{DEADLINE, Farm, PYBIT, machine_arch, wait_for};

/// A farm with a watcher, and its drop directory.
fn watching() -> (Farm, [crate::support::Role; 2], PathBuf) {
    let farm = Farm::new("");
    let web = farm.web();
    let watcher = farm.watcher();
    let incoming = farm.path().join("incoming");
    wait_for("the drop directory", DEADLINE, || incoming.join("rejected").is_dir().then_some(()));
    (farm, [web, watcher], incoming)
}

fn wait_published(farm: &Farm, package: &str) {
    wait_for(&format!("{package} to be published"), DEADLINE, || {
        (farm.published(package) == ["1.0"]).then_some(())
    });
}

/// Builds an upload and drops it whole.
fn publish(farm: &Farm, incoming: &Path, package: &str) {
    drop_files(&files_of(&built(farm.path(), &Package::new(package, "1.0"))), incoming);
    wait_published(farm, package);
}

fn is_deb(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "deb")
}

/// The original waited three seconds after a `.changes` appeared and took what was there. Ours publishes an upload when
/// every listed file is there whole, and not before: while one file arrives slowly, whole uploads pass it by.
#[test]
#[ignore = "needs dpkg-dev, debhelper and reprepro"]
fn j_upload_is_published_when_its_last_file_is_whole_and_not_before() {
    let (farm, _roles, incoming) = watching();
    let files = files_of(&built(farm.path(), &Package::new("pybit-arriving", "1.0")));
    let deb = files.iter().find(|f| is_deb(f)).unwrap();
    drop_files(files.iter().filter(|f| *f != deb), &incoming);
    let (whole, arriving) = (std::fs::read(deb).unwrap(), incoming.join(deb.file_name().unwrap()));
    for (n, part) in [0, whole.len() / 2, whole.len() - 1].into_iter().enumerate() {
        std::fs::write(&arriving, &whole[..part]).unwrap();
        // The watcher looks at every description in turn, `pybit-arriving` before `pybit-whole`: when it has published
        // the second, dropped after this part of the first, it has looked at the first.
        publish(&farm, &incoming, &format!("pybit-whole{n}"));
        assert!(farm.published("pybit-arriving").is_empty(), "{part} of {} bytes", whole.len());
    }
    assert!(!incoming.join("rejected/pybit-arriving_1.0_amd64.changes").exists());
    std::fs::write(&arriving, &whole).unwrap();
    wait_published(&farm, "pybit-arriving");
    let published = whole == published_deb(&farm, "pybit-arriving");
    assert!(published, "the repository holds the file as it was when it was whole");
}

fn published_deb(farm: &Farm, package: &str) -> Vec<u8> {
    let pool = farm.path().join("data/repositories/bookworm/current/pool/main/p").join(package);
    let files = files_of(&pool);
    std::fs::read(files.iter().find(|f| is_deb(f)).unwrap()).unwrap()
}

/// The original told apt to install what nobody had signed. Ours signs every repository, and an apt that has its key takes
/// it, and refuses it when an index was changed or the signature is gone.
#[test]
#[ignore = "needs apt, dpkg-dev, debhelper and reprepro"]
fn k_repository_is_signed_and_apt_refuses_it_otherwise() {
    let (farm, _roles, incoming) = watching();
    publish(&farm, &incoming, "pybit-signed");
    let root = farm.path().join("data/repositories/bookworm/current");
    let key = std::fs::read_to_string(root.join("pybit.asc")).unwrap();
    let install = |url: &str| {
        let apt = Apt::new(url, &key);
        let said = [&["update"][..], &["download", "pybit-signed"]].map(|words| apt.run(words));
        let got = files_of(apt.path()).iter().any(|f| is_deb(f));
        let text = said.iter().map(|o| String::from_utf8_lossy(&o.stderr)).collect::<String>();
        (got && said.iter().all(|o| o.status.success()), got, text)
    };
    let served = install(&format!("{}/repositories/bookworm", farm.url()));
    assert!(served.0, "{}", served.2);
    for (what, change) in TAMPERINGS {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(&root, copy.path());
        change(copy.path());
        let (fine, got, said) = install(&format!("file://{}", copy.path().display()));
        assert!(!fine && !got, "{what}, and apt takes it: {said}");
    }
    let copy = tempfile::tempdir().unwrap();
    copy_tree(&root, copy.path());
    let same = install(&format!("file://{}", copy.path().display()));
    assert!(same.0, "an unchanged copy is taken: {}", same.2);
}

/// Something that is done to a repository on its way to apt, and its name.
type Tampering = (&'static str, fn(&Path));

const TAMPERINGS: [Tampering; 4] = [
    ("the signed index was changed", |root| {
        let index = root.join("dists/bookworm/InRelease");
        let text = std::fs::read_to_string(&index).unwrap();
        std::fs::write(index, text.replacen("bookworm", "bookwurm", 1)).unwrap();
    }),
    ("the list of packages was changed", |root| {
        let dir = root.join("dists/bookworm/main").join(format!("binary-{}", machine_arch()));
        for file in tree(&dir) {
            std::fs::write(file, "Package: pybit-signed\nVersion: 9.9\n").unwrap();
        }
    }),
    ("the package was changed", |root| {
        let files = tree(&root.join("pool/main/p/pybit-signed"));
        let deb = files.iter().find(|f| is_deb(f)).unwrap();
        let mut bytes = std::fs::read(deb).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(deb, bytes).unwrap();
    }),
    ("the signatures are gone", unsign),
];

fn unsign(root: &Path) {
    for name in ["InRelease", "Release.gpg"] {
        let _ = std::fs::remove_file(root.join("dists/bookworm").join(name));
    }
}

/// Every file of a tree, the same under each of its names.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = files_of(dir);
    for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            found.extend(tree(&entry));
        }
    }
    found
}

fn copy_tree(from: &Path, to: &Path) {
    for file in tree(from) {
        let there = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(there.parent().unwrap()).unwrap();
        std::fs::copy(file, there).unwrap();
    }
}

/// What turns apt's checks off, in the words of apt, sbuild and mmdebstrap.
const UNCHECKED: [&str; 6] = [
    "trusted=yes",
    "trusted=true",
    "allow-insecure",
    "allowunauthenticated",
    "allow-unauthenticated",
    "allowinsecure",
];

/// Builds install from the farm's own repository too: the root gets its key with its address, and no word that turns a check
/// off.
#[test]
fn k_builds_get_the_repositorys_key_and_no_word_that_turns_checks_off() {
    let context = BuildContext {
        suite: "bookworm".parse().unwrap(),
        arch: "amd64".parse().unwrap(),
        env: "sbuild".parse().unwrap(),
        place: Surroundings::Sbuild { tarball: "/roots/x.tar".into(), scratch: "/work/s".into() },
        source: "/work/hello_1.dsc".into(),
        output: "/work/output".into(),
        indep: true,
        repositories: vec![BuildRepository {
            url: "http://farm/repositories/bookworm".to_owned(),
            suite: "bookworm".parse().unwrap(),
            key: "/work/keys/0.asc".into(),
            overlay: false,
        }],
    };
    let steps = DebFormat::new().binary_steps(&context).unwrap();
    let words: Vec<_> = steps.iter().flat_map(|s| &s.argv).collect();
    // The packages that were fetched and verified inside of the root lie there as files.
    let (chosen, words): (Vec<_>, Vec<_>) = words
        .into_iter()
        .partition(|w| *w == "--extra-repository=deb [trusted=yes] file:/var/lib/pybit/farm ./");
    assert_eq!(chosen.len(), 1);
    for word in &words {
        let word = word.to_lowercase();
        assert!(!UNCHECKED.iter().any(|w| word.contains(w)), "{word}");
    }
    let has = |wanted: &str| words.iter().any(|w| *w == wanted);
    assert!(has(
        "http://farm/repositories/bookworm bookworm main contrib non-free non-free-firmware"
    ));
    assert!(has("/work/keys/0.asc"));
    assert!(
        words.iter().any(|w| w.contains("deb [signed-by=")),
        "the root's own apt checks signatures"
    );
}

#[derive(Debug, Default)]
struct Log(std::sync::Mutex<Vec<u8>>);

#[async_trait]
impl LogSink for Log {
    async fn write(&self, bytes: &[u8]) -> pybit::Result<()> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }
}

/// Makes a build root from one archive, with the programs that make it for real; what they say.
async fn root_of(line: String) -> String {
    let dir = tempfile::Builder::new().prefix("pybit-root-").tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let mut config = SbuildConfig::new(dir.path().join("cache"));
    config.mirror = Some(vec![line]);
    let supervisor = Supervisor { program: PYBIT.into(), args: vec![roles::SUPERVISE.to_owned()] };
    let user = BuildUser::find("pybit-build").unwrap();
    let environment = SbuildEnvironment::new(config, Exec::new(supervisor, Some(user)));
    let target = Target {
        dist: "Debian".parse().unwrap(),
        suite: "bookworm".parse().unwrap(),
        arch: machine_arch().parse().unwrap(),
        format: "deb".parse().unwrap(),
        env: "sbuild".parse().unwrap(),
    };
    let log = Log::default();
    let error = environment.prepare(&target, dir.path(), &log).await.unwrap_err();
    assert_eq!(error.code(), "root_failed", "{error}");
    let said = log.0.lock().unwrap().clone();
    String::from_utf8_lossy(&said).into_owned()
}

/// A build root is never made from an archive that is not signed by the key that belongs to it: mmdebstrap is run for
/// real, on a repository of the farm with its key, with another key, and without signatures.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mmdebstrap, dpkg-dev, debhelper, reprepro and the user pybit-build"]
async fn k_build_root_is_not_made_from_an_unsigned_archive() {
    let (farm, _roles, incoming) = watching();
    publish(&farm, &incoming, "pybit-root");
    let root = farm.path().join("data/repositories/bookworm/current");
    let archive = tempfile::Builder::new().prefix("pybit-archive-").tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(archive.path(), open).unwrap();
    copy_tree(&root, archive.path());
    let place = archive.path().display();
    let (read, complaint) = ("downloading packages", "is not signed");
    let keyed = format!("deb [signed-by={place}/pybit.asc] copy://{place} bookworm main");
    let signed = root_of(keyed.clone()).await;
    assert!(signed.contains(read) && !signed.contains(complaint), "with its key: {signed}");
    let refused = |said: &str| said.contains(complaint) && !said.contains(read);
    let stranger = root_of(format!("deb copy://{place} bookworm main")).await;
    assert!(refused(&stranger), "without its key: {stranger}");
    unsign(archive.path());
    let bare = root_of(keyed).await;
    assert!(refused(&bare), "without signatures: {bare}");
}
