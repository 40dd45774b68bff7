//! What is taken from a build's output directory, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pybit_backends::deb::DebFormat;
use pybit_core::format::{Collected, PackageFormat};
use pybit_core::{Error, ErrorKind};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const CONTENT: &[u8] = b"the bytes of a package";

/// An output directory with a `.changes` that lists `names`, all with the same content.
fn output(version: &str, names: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let (mut md5, mut sha256) = (String::new(), String::new());
    for name in names {
        fs::write(dir.path().join(name), CONTENT).unwrap();
        let (size, digest) = (CONTENT.len(), hex::encode(Sha256::digest(CONTENT)));
        write!(md5, "\n {} {size} misc optional {name}", "0".repeat(32)).unwrap();
        write!(sha256, "\n {digest} {size} {name}").unwrap();
    }
    let changes = format!(
        "Format: 1.8\nSource: foo\nBinary: foo\nArchitecture: amd64 all\nVersion: {version}\n\
         Distribution: bookworm\nChecksums-Sha256:{sha256}\nFiles:{md5}\n"
    );
    fs::write(dir.path().join("foo_amd64.changes"), changes).unwrap();
    describe(dir.path(), version, names);
    dir
}

/// What the last step of a build writes: each file's own name, with the upload's version unless it has another.
fn describe(dir: &Path, version: &str, names: &[&str]) {
    let mut described = String::new();
    for file in names.iter().filter_map(|name| name.strip_suffix(".deb")) {
        let mut words = file.split('_');
        let mut word = || words.next().unwrap_or_default();
        let (name, own, arch) = (word(), word(), word());
        let own = if version.ends_with(own) { version } else { own };
        write!(
            described,
            "File: {file}.deb\nPackage: {name}\nVersion: {own}\nArchitecture: {arch}\n\
             Provides: {name}-api (= 3),\n {name}-any\n\n"
        )
        .unwrap();
    }
    fs::write(dir.join("packages.control"), described).unwrap();
}

async fn collect(dir: &Path) -> Result<Collected, Error> {
    DebFormat::new().collect(dir, false).await
}

#[tokio::test]
async fn the_listed_files_and_no_others_are_taken() {
    let dir = output(
        "2:1.0-1",
        &["foo_1.0-1_amd64.deb", "foo-doc_1.0-1_all.deb", "foo_9_amd64.buildinfo"],
    );
    fs::write(dir.path().join("core"), "unlisted").unwrap();
    fs::create_dir(dir.path().join("tree")).unwrap();
    let collected = collect(dir.path()).await.unwrap();
    assert_eq!(collected.main.as_str(), "foo_amd64.changes");
    let names: Vec<_> = collected.files.iter().map(|(spec, _)| spec.name.as_str()).collect();
    let expected = [
        "foo_amd64.changes",
        "foo-doc_1.0-1_all.deb",
        "foo_1.0-1_amd64.deb",
        "foo_9_amd64.buildinfo",
    ];
    assert_eq!(names, expected);
    for (spec, path) in &collected.files {
        let bytes = fs::read(path).unwrap();
        assert_eq!(
            (spec.size, &spec.sha256),
            (bytes.len() as u64, &hex::encode(Sha256::digest(&bytes)))
        );
    }
    assert_eq!(
        produced(&collected),
        [
            "foo-doc 2:1.0-1 all",
            "foo 2:1.0-1 amd64",
            "foo-doc-api 3 all",
            "foo-doc-any 0~ all",
            "foo-api 3 amd64",
            "foo-any 0~ amd64",
        ]
    );
}

fn produced(collected: &Collected) -> Vec<String> {
    collected.produced.iter().map(|p| format!("{} {} {}", p.name, p.version, p.arch)).collect()
}

#[tokio::test]
async fn a_provided_name_satisfies_what_policy_says_it_satisfies() {
    let collected = collect(output("1.0", &["foo_1.0_amd64.deb"]).path()).await.unwrap();
    let format = DebFormat::new();
    let any = |relation: &str| collected.produced.iter().any(|p| format.satisfies(relation, p));
    for relation in ["foo", "foo (= 1.0)", "foo-api (>= 3)", "foo-any", "bar | foo-any"] {
        assert!(any(relation), "{relation}");
    }
    for relation in ["foo-api (>= 4)", "foo-any (>= 0)", "foo (>> 1.0)", "bar"] {
        assert!(!any(relation), "{relation}");
    }
}

#[tokio::test]
async fn a_package_with_a_version_of_its_own_keeps_it() {
    let dir = output("2:1.0-1", &["libfoo5_5.1-1_amd64.deb"]);
    assert_eq!(produced(&collect(dir.path()).await.unwrap())[0], "libfoo5 5.1-1 amd64");
}

/// What is done to a good output directory before it is collected.
type Harm = fn(&Path);

#[tokio::test]
async fn what_is_not_exactly_what_is_listed_is_refused() {
    const DEB: &str = "foo_1.0_amd64.deb";
    let harms: [(&str, Harm); 14] = [
        ("missing", |d| fs::remove_file(d.join(DEB)).unwrap()),
        ("shorter", |d| fs::write(d.join(DEB), &CONTENT[1..]).unwrap()),
        ("longer", |d| fs::write(d.join(DEB), [CONTENT, b"x"].concat()).unwrap()),
        ("changed", |d| fs::write(d.join(DEB), CONTENT.to_ascii_uppercase()).unwrap()),
        ("a symbolic link", |d| {
            fs::rename(d.join(DEB), d.join("real")).unwrap();
            std::os::unix::fs::symlink("real", d.join(DEB)).unwrap();
        }),
        ("hard-linked", |d| fs::hard_link(d.join(DEB), d.join("other")).unwrap()),
        ("a directory", |d| {
            fs::remove_file(d.join(DEB)).unwrap();
            fs::create_dir(d.join(DEB)).unwrap();
        }),
        ("a pipe", |d| {
            fs::remove_file(d.join(DEB)).unwrap();
            nix::unistd::mkfifo(&d.join(DEB), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("no description", |d| fs::remove_file(d.join("foo_amd64.changes")).unwrap()),
        ("not described", |d| fs::remove_file(d.join("packages.control")).unwrap()),
        ("another described", |d| describe(d, "1.0", &["bar_1.0_amd64.deb"])),
        ("described with another version", |d| {
            let text = fs::read_to_string(d.join("packages.control")).unwrap();
            fs::write(d.join("packages.control"), text.replace("Version: 1.0", "Version: 1.1"))
                .unwrap();
        }),
        ("two descriptions", |d| fs::write(d.join("bar.changes"), "x").unwrap()),
        ("a linked description", |d| {
            fs::rename(d.join("foo_amd64.changes"), d.join("real")).unwrap();
            std::os::unix::fs::symlink("real", d.join("foo_amd64.changes")).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let dir = output("1.0", &[DEB]);
        collect(dir.path()).await.expect("good before");
        harm(dir.path());
        let error = collect(dir.path()).await.expect_err(what);
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Invalid, "invalid_artifact"),
            "{what}: {error}"
        );
    }
}

#[tokio::test]
async fn hostile_package_names_are_refused() {
    for name in [
        "foo_1.0.deb",
        "foo_1.0_arm64.deb",
        "foo_1.0_amd64_x.deb",
        "f_1.0_amd64.deb",
        "foo_x_amd64.deb",
    ] {
        let dir = output("1.0", &[name]);
        assert_eq!(collect(dir.path()).await.expect_err(name).kind(), ErrorKind::Invalid, "{name}");
    }
    let dir = output("1.0", &["foo_1.0_amd64.buildinfo"]);
    assert_eq!(collect(dir.path()).await.expect_err("no package").code(), "invalid_artifact");
}
