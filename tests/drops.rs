//! Drop directories against a real reprepro: what is published, what is waited for, what is refused.

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed its test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the tests build packages with the maintainers' tools"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pybit::roles::SUPERVISE;
use pybit_backends::deb::{DebUploads, DebVersions};
use pybit_backends::exec::{Exec, Supervisor};
use pybit_backends::publish::{MachineTools, Reprepro, RepreproConfig};
use pybit_core::clock::SystemClock;
use pybit_core::publish::Publisher;
use pybit_core::upload::UploadReader;
use pybit_watch::{Publishers, WatchConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[path = "e2e/keys.rs"]
mod keys;

use keys::Keys;

const DEADLINE: Duration = Duration::from_mins(1);

/// A watcher of one drop directory and one repository.
struct Watching {
    dir: tempfile::TempDir,
    publisher: Arc<Reprepro>,
    stop: CancellationToken,
    task: Option<JoinHandle<pybit_core::Result<()>>>,
}

impl Watching {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (dist, suite) = ("Debian".parse().unwrap(), "bookworm".parse().unwrap());
        let arches = vec!["amd64".parse().unwrap()];
        let config = RepreproConfig::new(dir.path().join("repository"), dist, suite, arches);
        let publisher = Reprepro::new(
            config,
            Arc::new(MachineTools::new(exec())),
            Arc::new(DebVersions),
            Arc::new(SystemClock),
        )
        .unwrap();
        std::fs::create_dir(dir.path().join("incoming")).unwrap();
        Self { dir, publisher: Arc::new(publisher), stop: CancellationToken::new(), task: None }
    }

    fn start(&mut self) {
        self.start_for(None);
    }

    /// Watches a directory that takes only what a key of this keyring has signed.
    fn start_for(&mut self, keyring: Option<&Path>) {
        let root = self.dir.path().display();
        let config = serde_json::json!({
            "work_dir": format!("{root}/work"),
            "repositories": [{
                "name": "bookworm", "dist": "Debian", "suite": "bookworm", "format": "deb", "arches": ["amd64"],
                "root": format!("{root}/repository"), "public_url": "http://127.0.0.1/",
            }],
            "drops": [{"dir": format!("{root}/incoming"), "repository": "bookworm", "refuse_after_secs": 1, "keyring": keyring}],
        });
        let config: WatchConfig = serde_json::from_value(config).unwrap();
        let publisher: Arc<dyn Publisher> = Arc::clone(&self.publisher) as _;
        let publishers: Publishers = [("bookworm".parse().unwrap(), publisher)].into();
        let uploads: Arc<dyn UploadReader> = Arc::new(DebUploads::new(exec()));
        let running = pybit_watch::run(config, publishers, Some(uploads), self.stop.clone());
        self.task = Some(tokio::spawn(running));
    }

    fn incoming(&self) -> PathBuf {
        self.dir.path().join("incoming")
    }

    fn drop_file(&self, file: &Path) {
        std::fs::copy(file, self.incoming().join(file.file_name().unwrap())).unwrap();
    }

    async fn wait_for(&self, what: &str, mut done: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        while !done().await {
            assert!(start.elapsed() < DEADLINE, "waited for {what}");
            tokio::task::yield_now().await;
            tokio::time::timeout(Duration::from_millis(50), std::future::pending::<()>())
                .await
                .unwrap_err();
        }
    }

    async fn versions(&self, package: &str) -> Vec<String> {
        let Ok(listed) = self.publisher.list().await else { return Vec::new() };
        let binary = listed.into_iter().filter(|l| l.name == package && l.arch != "source");
        binary.map(|l| l.version).collect()
    }

    async fn wait_published(&self, package: &str, version: &str) {
        self.wait_for(package, async || self.versions(package).await == [version]).await;
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap().unwrap();
    }
}

fn exec() -> Exec {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_pybit"));
    Exec::new(Supervisor { program, args: vec![SUPERVISE.to_owned()] }, None)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries
        .filter(|e| e.file_type().unwrap().is_file())
        .map(|e| e.file_name().into_string().unwrap())
        .collect()
}

/// A complete upload of a real package, built with dpkg: its files, the `.changes` last.
fn upload(dir: &Path, name: &str, version: &str) -> Vec<PathBuf> {
    upload_of(dir, name, version, name)
}

/// An upload whose binary package bears another name than the source.
fn upload_of(dir: &Path, name: &str, version: &str, binary: &str) -> Vec<PathBuf> {
    let tree = dir.join(format!("{name}-{version}"));
    std::fs::create_dir_all(tree.join("debian/source")).unwrap();
    let put = |file: &str, text: String| std::fs::write(tree.join(file), text).unwrap();
    put("debian/source/format", "3.0 (native)\n".into());
    put(
        "debian/changelog",
        format!(
            "{name} ({version}) bookworm; urgency=low\n\n  * Test.\n\n -- T <t@example.org>  Mon, 23 Nov 2026 10:00:00 +0000\n"
        ),
    );
    put(
        "debian/control",
        format!(
            "Source: {name}\nSection: misc\nPriority: optional\nMaintainer: T <t@example.org>\nBuild-Depends: debhelper-compat (= 13)\n\n\
             Package: {binary}\nArchitecture: all\nDescription: test\n Test.\n"
        ),
    );
    put("debian/rules", "#!/usr/bin/make -f\n%:\n\tdh $@\n".into());
    std::fs::set_permissions(
        tree.join("debian/rules"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let output = Command::new("dpkg-buildpackage")
        .args(["--build=full", "--no-sign"])
        .current_dir(&tree)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| {
        let file = f.file_name().unwrap().to_string_lossy().into_owned();
        let is_of = |stem: &str| file.starts_with(&format!("{stem}_{version}"));
        f.is_file() && (is_of(name) || is_of(binary))
    });
    files.sort_by_key(|f| f.extension().is_some_and(|e| e == "changes"));
    files
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs dpkg-dev, debhelper, reprepro and gnupg"]
async fn a_drop_is_published_once_it_is_complete_and_not_before() {
    let mut watching = Watching::new();
    let files = upload(watching.dir.path(), "dropped", "1.0");
    watching.start();
    let rejected = watching.incoming().join("rejected");
    watching.wait_for("the watcher", async || rejected.is_dir()).await;
    let deb = files.iter().find(|f| f.extension().is_some_and(|e| e == "deb")).unwrap();
    for file in files.iter().filter(|f| *f != deb) {
        watching.drop_file(file);
    }
    let (whole, arriving) =
        (std::fs::read(deb).unwrap(), watching.incoming().join(deb.file_name().unwrap()));
    std::fs::write(&arriving, &whole[..whole.len() / 2]).unwrap();
    // A second, complete upload shows that the watcher has looked since.
    for file in upload(watching.dir.path(), "marker", "1.0") {
        watching.drop_file(&file);
    }
    watching.wait_published("marker", "1.0").await;
    assert!(watching.versions("dropped").await.is_empty(), "half an upload is not published");
    std::fs::write(&arriving, &whole).unwrap();
    watching.wait_published("dropped", "1.0").await;
    let incoming = watching.incoming();
    watching.wait_for("the drop to be taken away", async || names(&incoming).is_empty()).await;
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs dpkg-dev, debhelper, reprepro and gnupg"]
async fn what_arrived_while_the_watcher_was_down_is_published() {
    let mut watching = Watching::new();
    for file in upload(watching.dir.path(), "early", "1.0") {
        watching.drop_file(&file);
    }
    watching.start();
    watching.wait_published("early", "1.0").await;
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs dpkg-dev, debhelper, reprepro and gnupg"]
async fn a_refused_drop_goes_to_rejected_with_the_reason() {
    let mut watching = Watching::new();
    watching.start();
    let newer = upload(watching.dir.path(), "ordered", "2.0");
    let older = upload(watching.dir.path(), "ordered", "1.0");
    let rejected = watching.incoming().join("rejected");
    watching.wait_for("the watcher", async || rejected.is_dir()).await;
    for file in &newer {
        watching.drop_file(file);
    }
    watching.wait_published("ordered", "2.0").await;
    for file in &older {
        watching.drop_file(file);
    }
    let evil = "Format: 1.8\nSource: evil\nVersion: 1\nFiles:\n 00 1 misc optional ../../evil\n";
    std::fs::write(watching.incoming().join("evil_1_all.changes"), evil).unwrap();
    let changes = older.last().unwrap().file_name().unwrap();
    let reason = rejected.join(changes).join("reason.txt");
    watching.wait_for("the refusal of the older", async || reason.is_file()).await;
    let said = std::fs::read_to_string(&reason).unwrap();
    assert!(said.contains("1.0") && said.contains("2.0"), "{said}");
    let reason = rejected.join("evil_1_all.changes/reason.txt");
    watching.wait_for("the refusal of the evil", async || reason.is_file()).await;
    assert_eq!(watching.versions("ordered").await, ["2.0"]);
    assert!(!watching.dir.path().parent().unwrap().join("evil").exists());
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs dpkg-dev, debhelper, reprepro and gnupg"]
async fn a_drop_with_a_package_of_another_source_is_refused_with_both_names() {
    let mut watching = Watching::new();
    watching.start();
    let rejected = watching.incoming().join("rejected");
    watching.wait_for("the watcher", async || rejected.is_dir()).await;
    for file in upload(watching.dir.path(), "sec-base", "1.0") {
        watching.drop_file(&file);
    }
    watching.wait_published("sec-base", "1.0").await;
    let hijack = upload_of(watching.dir.path(), "sec-hijack", "99.0", "sec-base");
    for file in &hijack {
        watching.drop_file(file);
    }
    let reason = rejected.join(hijack.last().unwrap().file_name().unwrap()).join("reason.txt");
    watching.wait_for("the refusal", async || reason.is_file()).await;
    let said = std::fs::read_to_string(&reason).unwrap();
    assert!(said.contains("sec-base belongs to the source sec-base in this repository"), "{said}");
    assert!(said.contains("sec-hijack may not publish it"), "{said}");
    assert_eq!(watching.versions("sec-base").await, ["1.0"]);
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs dpkg-dev, debhelper, reprepro and gnupg"]
async fn a_file_with_other_bytes_and_a_link_are_never_published() {
    let mut watching = Watching::new();
    let files = upload(watching.dir.path(), "swapped", "1.0");
    let linked = upload(watching.dir.path(), "linked", "1.0");
    watching.start();
    let rejected = watching.incoming().join("rejected");
    watching.wait_for("the watcher", async || rejected.is_dir()).await;
    for file in &files {
        watching.drop_file(file);
        if file.extension().is_some_and(|e| e == "deb") {
            let there = watching.incoming().join(file.file_name().unwrap());
            let mut bytes = std::fs::read(&there).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(&there, bytes).unwrap();
        }
    }
    for file in &linked {
        let to = watching.incoming().join(file.file_name().unwrap());
        if file.extension().is_some_and(|e| e == "deb") {
            std::os::unix::fs::symlink(file, to).unwrap();
        } else {
            std::fs::copy(file, to).unwrap();
        }
    }
    for upload in [&files, &linked] {
        let reason = rejected.join(upload.last().unwrap().file_name().unwrap()).join("reason.txt");
        watching.wait_for("the refusal", async || reason.is_file()).await;
    }
    assert!(
        watching.versions("swapped").await.is_empty()
            && watching.versions("linked").await.is_empty()
    );
    watching.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs dpkg-dev, debhelper, devscripts, reprepro and gnupg"]
async fn a_directory_with_a_keyring_takes_only_what_its_keys_have_signed() {
    let keys = Keys::new();
    let (ann, eve) = (keys.make("ann@example.org"), keys.make("eve@example.org"));
    let mut watching = Watching::new();
    watching.start_for(Some(&keys.ring("uploaders.gpg", &ann)));
    let rejected = watching.incoming().join("rejected");
    watching.wait_for("the watcher", async || rejected.is_dir()).await;
    let signed = |name: &str, key: &str| {
        let files = upload(watching.dir.path(), name, "1.0");
        keys.debsign(key, files.last().unwrap());
        files
    };
    let unsigned = upload(watching.dir.path(), "unsigned", "1.0");
    let eves = signed("eves", &eve);
    let elsewhere = signed("elsewhere", &ann);
    let changes = elsewhere.last().unwrap();
    let text = std::fs::read_to_string(changes).unwrap();
    let text = text.replace("\nDistribution: bookworm", "\nDistribution: trixie");
    std::fs::write(changes, text).unwrap();
    keys.debsign(&ann, changes);
    let anns = signed("anns", &ann);
    // Ann has signed the description, and nobody the source.
    let half = upload(watching.dir.path(), "half", "1.0");
    let sign = ["--batch", "--yes", "--local-user", &ann, "--clearsign", "--output"];
    let changes = half.last().unwrap();
    let text = watching.dir.path().join("half.text");
    std::fs::copy(changes, &text).unwrap();
    assert!(keys.command("gpg").args(sign).args([changes, &text]).status().unwrap().success());
    for file in [&unsigned, &eves, &elsewhere, &half, &anns].into_iter().flatten() {
        watching.drop_file(file);
    }
    watching.wait_published("anns", "1.0").await;
    for (files, words) in [
        (&unsigned, "it is not signed"),
        (&eves, eve.as_str()),
        (&elsewhere, "it is for trixie"),
        (&half, "the .dsc is refused: it is not signed"),
    ] {
        let reason = rejected.join(files.last().unwrap().file_name().unwrap()).join("reason.txt");
        watching.wait_for("the refusal", async || reason.is_file()).await;
        let said = std::fs::read_to_string(&reason).unwrap();
        assert!(said.contains(words), "{said}");
    }
    for name in ["unsigned", "eves", "elsewhere", "half"] {
        assert!(watching.versions(name).await.is_empty(), "{name}");
    }
    watching.end().await;
}
