//! Nothing that anybody sends reaches a shell: letter g.

use std::path::{Path, PathBuf};

use pybit::client::{Api, Destination, Retry, Secret};
use pybit::core::model::{FileSpec, NewSubmission, Source};
use pybit::core::protocol::Manifest;
use serde_json::json;

use crate::embedded::request;
use crate::fields::submit;
use crate::support::package::{Package, tagged};
use crate::support::{DEADLINE, Farm, wait_for};

/// A farm, and a file that only a shell which reads what it is sent would make.
struct Bait {
    farm: Farm,
    marks: PathBuf,
}

impl Bait {
    fn new() -> Self {
        let farm = Farm::new("");
        let marks = farm.path().join("marks");
        std::fs::create_dir(&marks).unwrap();
        // Whatever user a shell would run as: it may write here.
        std::fs::set_permissions(&marks, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        Self { farm, marks }
    }

    /// What a shell would take for commands.
    fn baits(&self) -> Vec<String> {
        let touch = format!("touch${{IFS}}{}/made", self.marks.display());
        vec![
            format!("1;{touch}"),
            format!("1$({touch})"),
            format!("1`{touch}`"),
            format!("1|{touch}"),
            format!("1&{touch}"),
            format!("1\n{touch}"),
            format!("1';{touch};'"),
            format!("1\";{touch};\""),
        ]
    }

    /// No shell has read any of it.
    fn check(&self) {
        let made: Vec<_> = std::fs::read_dir(&self.marks).unwrap().collect();
        assert!(made.is_empty(), "a shell ran: {made:?}");
    }
}

/// The original put the version that a client sent into `os.system` on the server. Ours refuses whatever is no name,
/// version, suite or reference, at the door: as the command's words, as JSON, in a `.dsc`.
#[tokio::test(flavor = "multi_thread")]
async fn g_shell_metacharacters_are_refused_at_the_door() {
    let bait = Bait::new();
    let farm = &bait.farm;
    let _web = farm.web();
    for text in bait.baits() {
        let apt = |package: &str, version: Option<&str>| json!({"suite": "bookworm", "source": {"method": "apt", "package": package, "version": version}});
        let with = |field: &str| {
            let mut body = apt("hello", None);
            body[field] = text.as_str().into();
            body
        };
        let git = |url: &str, reference: &str| json!({"suite": "bookworm", "source": {"method": "git", "url": url, "reference": reference}});
        let mut arches = apt("hello", None);
        arches["arches"] = json!([text]);
        for body in [
            apt(&text, None),
            apt("hello", Some(&text)),
            with("suite"),
            with("dist"),
            with("format"),
            with("env"),
            arches,
            git("https://example.org/x.git", &text),
            git(&text, "main"),
            json!({"suite": "bookworm", "source": {"method": "upload", "upload": 1, "main": text}}),
        ] {
            let answer = submit(farm, &body);
            assert!((400..500).contains(&answer.status), "{body}: {answer:?}");
        }
        for (source, suite) in [
            (format!("apt:{text}"), "bookworm"),
            (format!("apt:hello={text}"), "bookworm"),
            (format!("git+https://example.org/x.git#{text}"), "bookworm"),
            ("apt:hello".to_owned(), text.as_str()),
        ] {
            let output = farm.run(&["submit", &source, "--suite", suite]);
            assert!(!output.status.success(), "{source} for {suite}");
        }
        let refused = submit_dsc(farm, &text).await;
        assert!(refused.contains("version") || refused.contains(".dsc"), "{refused}");
    }
    assert_eq!(farm.jobs(""), json!([]), "nothing was taken");
    bait.check();
}

/// Uploads a source description with this version, as a client that checks nothing would; the refusal.
async fn submit_dsc(farm: &Farm, version: &str) -> String {
    let api = Api::new(&farm.url(), Some(&Secret::new(&farm.admin_token()))).unwrap();
    let sum = "0".repeat(64);
    let dsc = format!(
        "Format: 3.0 (native)\nSource: evil\nArchitecture: any\nVersion: {version}\n\
         Checksums-Sha256:\n {sum} 1 evil_1.tar.xz\nFiles:\n {} 1 evil_1.tar.xz\n",
        &sum[..32]
    );
    let path = farm.path().join("evil_1.dsc");
    std::fs::write(&path, &dsc).unwrap();
    let spec = spec_of(&path);
    let files = [(spec.clone(), path)];
    let upload = api.declare_upload(&Manifest { attempt: 0, files: vec![spec] }).await.unwrap();
    api.send_files(Destination::Upload(upload.id), &files, &Retry::patient()).await.unwrap();
    let source = Source::Upload { upload: upload.id, main: "evil_1.dsc".parse().unwrap() };
    let refused = api.submit(&NewSubmission { source, ..request("apt:hello") }, None).await;
    refused.unwrap_err().message
}

fn spec_of(path: &Path) -> FileSpec {
    use sha2::Digest;
    let bytes = std::fs::read(path).unwrap();
    FileSpec {
        name: path.file_name().unwrap().to_str().unwrap().parse().unwrap(),
        size: bytes.len() as u64,
        sha256: hex::encode(sha2::Sha256::digest(&bytes)),
    }
}

/// What only the build's own tools can read goes as far as they let it: a changelog with such a version fails its job, an
/// address that holds such words is an address, a dropped `.changes` is refused with the reason. No shell reads them.
#[test]
#[ignore = "needs git, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn g_shell_metacharacters_inside_of_sources_run_nothing() {
    let bait = Bait::new();
    let farm = &bait.farm;
    let _web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let touch = format!("touch${{IFS}}{}", bait.marks.join("made").display());
    let tree = Package::new("pybit-bait", "1.0").write(farm.path());
    let changelog = tree.join("debian/changelog");
    let text = std::fs::read_to_string(&changelog).unwrap();
    std::fs::write(&changelog, text.replace("(1.0)", &format!("(1.0$({touch}))"))).unwrap();
    let failed = farm.wait_status(farm.submit(&tree).1, "Failed");
    assert_eq!(failed["job"]["failure"]["class"], "source", "{failed}");

    let fine = Package::new("pybit-fine", "1.0").write(farm.path());
    tagged(&fine, "v1");
    let odd = farm.path().join(format!("a$({})", "touch${IFS}made"));
    std::fs::rename(&fine, &odd).unwrap();
    let source = format!("git+file://{}#v1", odd.display());
    let reply = farm.json(&["submit", &source, "--suite", "bookworm", "--wait", "--json"]);
    assert_eq!(farm.published("pybit-fine"), ["1.0"], "an odd address is an address: {reply}");

    let incoming = farm.path().join("incoming");
    let changes = format!(
        "Format: 1.8\nSource: evil\nBinary: evil\nArchitecture: all\nVersion: 1;{touch}\nDistribution: bookworm\n\
         Checksums-Sha256:\n {sum} 1 evil_1_all.deb\nFiles:\n {md5} 1 misc optional evil_1_all.deb\n",
        sum = "0".repeat(64),
        md5 = "0".repeat(32),
    );
    std::fs::write(incoming.join("evil_1_all.changes"), changes).unwrap();
    let reason = incoming.join("rejected/evil_1_all.changes/reason.txt");
    wait_for("the refusal", DEADLINE, || reason.is_file().then_some(()));
    bait.check();
    for place in [farm.path().to_owned(), farm.path().join("one-work"), farm.path().join("data")] {
        assert!(!place.join("made").exists(), "{}", place.display());
    }
}

/// The sources themselves. That processes are started in few places is held by clippy (`disallowed-methods` in
/// `clippy.toml`, with warnings as errors); this test holds what clippy cannot see: that these places stay the ones that
/// are known, that none of them starts a shell, and that the Perl scripts beside them start programs by lists alone.
#[test]
fn g_no_source_file_starts_a_shell() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut starting = Vec::new();
    let mut seen = 0;
    for file in sources(top) {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(top).unwrap().display().to_string();
        seen += 1;
        let code: Vec<_> =
            text.lines().filter(|l| !l.trim_start().starts_with(['/', '#'])).collect();
        if file.extension().is_some_and(|e| e == "pl") {
            // system LIST, and system and exec with the program in a block, start no shell (perlfunc); a string, backquotes
            // and qx do.
            for line in code {
                let words = line.trim_start();
                let list = words.starts_with("system(@")
                    || words.starts_with("system {")
                    || !line.contains("system");
                let block = words.starts_with("exec {") || !line.contains("exec");
                let plain = block && !["`", "qx", "popen"].iter().any(|w| line.contains(w));
                assert!(list && plain, "{name}: {line}");
            }
            continue;
        }
        if text.contains("Command::new") {
            starting.push(name.clone());
        }
        for line in code {
            let shells = [
                "\"sh\"",
                "\"bash\"",
                "\"dash\"",
                "\"su\"",
                "\"sudo\"",
                "bin/sh\"",
                "bin/bash\"",
                "libc::system",
            ];
            let found = shells.iter().find(|s| line.contains(*s));
            // `doctor` looks for a program called sh in its own test, and starts nothing.
            let known = name == "src/cli/doctor/mod.rs" && line.contains("program(Role::Watch");
            assert!(found.is_none() || known, "{name}: {line}");
        }
    }
    assert!(seen > 150, "the sources were found: {seen}");
    starting.sort();
    assert_eq!(
        starting,
        [
            "pybit-backends/src/exec/enter.rs",
            "pybit-backends/src/exec/supervise/mod.rs",
            "pybit-backends/src/exec/tree.rs",
            // The fault harness is no part of the farm: it starts the farm's processes as an operator does.
            "pybit-chaos/src/farm/process.rs",
            "pybit-chaos/src/faults/liar.rs",
            "pybit-chaos/src/main.rs",
        ]
    );
}

/// Every Rust and Perl file below a `src` directory.
fn sources(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let crates = std::fs::read_dir(top).unwrap().map(|e| e.unwrap().path().join("src"));
    let mut dirs: Vec<_> = crates.filter(|d| d.is_dir()).chain([top.join("src")]).collect();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                dirs.push(entry);
            } else if entry.extension().is_some_and(|e| e == "rs" || e == "pl") {
                found.push(entry);
            }
        }
    }
    found
}
