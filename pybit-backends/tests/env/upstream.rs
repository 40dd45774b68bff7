//! Upstream tarballs out of packaging repositories, made with the real tools, up to the source package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pybit_backends::deb::DebFormat;
use pybit_backends::source::GitConfig;
use pybit_core::format::{BuildContext, Exit, PackageFormat, Surroundings};

use super::git::{allowing, fetch_by, file_url, git, source, tree};
use crate::support::{self, MemoryLog, limits, open_dir, users_dir};

const CHANGELOG: &str = "sample (2:1.0~rc1-1) unstable; urgency=low\n\n  * x\n\n -- A <a@example.org>  Mon, 02 Jan 2023 03:04:05 +0000\n";
const CONTROL: &str = "Source: sample\nMaintainer: A <a@example.org>\nStandards-Version: 4.6.2\n\nPackage: sample\nArchitecture: any\nDescription: x\n x\n";

/// A repository with the upstream's files under the tag of the version, which asks git to leave one of them out of
/// archives, and Debian's on top of it; and the tarball that upstream released, which no `git archive` makes.
struct Packaging {
    place: PathBuf,
    released: PathBuf,
}

fn packaging(dir: &Path) -> Packaging {
    let place = dir.join("packaging");
    let files = dir.join("sample-1.0~rc1");
    fs::create_dir_all(place.join("debian/source")).unwrap();
    fs::create_dir(&files).unwrap();
    git(&place, &["init", "--quiet"]);
    for (name, text) in
        [("message", "upstream\n"), ("hidden", "x\n"), (".gitattributes", "hidden export-ignore\n")]
    {
        fs::write(place.join(name), text).unwrap();
        fs::write(files.join(name), text).unwrap();
    }
    git(&place, &["add", "message", "hidden", ".gitattributes"]);
    git(&place, &["commit", "--quiet", "-m", "upstream"]);
    git(&place, &["tag", "-a", "-m", "1.0", "upstream/1.0_rc1"]);
    for (name, text) in
        [("source/format", "3.0 (quilt)\n"), ("changelog", CHANGELOG), ("control", CONTROL)]
    {
        fs::write(place.join("debian").join(name), text).unwrap();
    }
    fs::write(place.join("debian/rules"), "#!/usr/bin/make -f\n%:\n\ttrue\n").unwrap();
    commit(&place, "debian");
    let released = dir.join("sample_1.0~rc1.orig.tar.gz");
    let args = ["--mtime=@86400", "--owner=up:7", "-C", dir.to_str().unwrap(), "-czf"];
    run("tar", &place, &[&args[..], &[released.to_str().unwrap(), "sample-1.0~rc1"]].concat());
    Packaging { place, released }
}

fn commit(place: &Path, message: &str) {
    git(place, &["add", "--all"]);
    git(place, &["commit", "--quiet", "-m", message]);
}

fn run(program: &str, dir: &Path, args: &[&str]) -> String {
    let identity =
        ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];
    let output = Command::new(program)
        .args(args)
        .envs(identity.map(|v| (v, "t@example.org")))
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What is made of the repository: the files of the source package, and what the fetch said.
async fn package(place: &Path, dir: &Path) -> (Vec<PathBuf>, String) {
    package_by(allowing(), place, dir).await
}

async fn package_by(config: GitConfig, place: &Path, dir: &Path) -> (Vec<PathBuf>, String) {
    let (log, into, output) = (MemoryLog::default(), dir.join("into"), dir.join("output"));
    let fetched = fetch_by(config, &source(file_url(place), None), &into, &log).await.unwrap();
    let exec = support::exec();
    if output.exists() {
        fs::remove_dir_all(&output).unwrap();
    }
    users_dir(&output, &exec);
    let context = BuildContext {
        suite: "bookworm".parse().unwrap(),
        arch: "amd64".parse().unwrap(),
        env: "host".parse().unwrap(),
        place: Surroundings::Host,
        source: tree(&fetched).to_owned(),
        output: output.clone(),
        indep: true,
        repositories: Vec::new(),
    };
    for step in DebFormat::new().source_steps(&context).unwrap() {
        let mut cmd = pybit_backends::exec::Cmd::new(step.argv, &step.cwd).within(limits().wall);
        cmd.vars = step.vars;
        let exit = exec.run(&cmd, &log).await.unwrap();
        assert_eq!(exit, Exit::Code(0), "{}", log.text());
    }
    let collected = DebFormat::new().collect(&output, true).await.unwrap();
    (collected.files.into_iter().map(|(_, path)| path).collect(), log.text())
}

fn tarball(files: &[PathBuf]) -> &PathBuf {
    files.iter().find(|f| f.to_str().unwrap().contains(".orig.tar.")).unwrap()
}

#[tokio::test]
#[ignore = "needs git, dpkg-dev and the user pybit-build"]
async fn the_tag_of_the_version_becomes_the_upstream_tarball() {
    let dir = open_dir();
    let Packaging { place, .. } = packaging(dir.path());
    let (files, log) = package(&place, dir.path()).await;
    let tarball = tarball(&files);
    assert!(tarball.ends_with("sample_1.0~rc1.orig.tar.gz"), "{files:?} {log}");
    assert!(log.contains("from refs/tags/upstream/1.0_rc1"), "{log}");
    let listing = run("tar", dir.path(), &["-tf", tarball.to_str().unwrap()]);
    let mut names: Vec<_> = listing.lines().filter(|n| !n.ends_with('/')).collect();
    names.sort_unstable();
    let expected = [".gitattributes", "hidden", "message"].map(|n| format!("sample-1.0~rc1/{n}"));
    assert_eq!(names, expected);
}

#[tokio::test]
#[ignore = "needs git, dpkg-dev and the user pybit-build"]
async fn the_tag_that_gbps_configuration_names_comes_first() {
    let dir = open_dir();
    let Packaging { place, .. } = packaging(dir.path());
    git(&place, &["tag", "sample-1.0_rc1", "upstream/1.0_rc1^{}"]);
    fs::write(place.join("debian/gbp.conf"), "[DEFAULT]\nupstream-tag = sample-%(version)s\n")
        .unwrap();
    commit(&place, "gbp");
    let (_, log) = package(&place, dir.path()).await;
    assert!(log.contains("from refs/tags/sample-1.0_rc1"), "{log}");
}

#[tokio::test]
#[ignore = "needs git, dpkg-dev and the user pybit-build"]
async fn a_tree_that_changes_upstreams_files_is_what_is_built() {
    let dir = open_dir();
    let Packaging { place, .. } = packaging(dir.path());
    fs::write(place.join("message"), "changed\n").unwrap();
    commit(&place, "change");
    let (files, log) = package(&place, dir.path()).await;
    assert!(tarball(&files).ends_with("sample_1.0~rc1.orig.tar.xz"), "{files:?}");
    assert!(log.contains("1 files of it outside debian/, the first is message"), "{log}");
}

#[tokio::test]
#[ignore = "needs git, dpkg-dev, pristine-tar and the user pybit-build"]
async fn the_released_tarball_comes_back_byte_for_byte() {
    let dir = open_dir();
    let Packaging { place, released } = packaging(dir.path());
    let docs = dir.path().join("sample_1.0~rc1.orig-docs.tar.gz");
    fs::write(dir.path().join("manual"), "read me\n").unwrap();
    let args = ["-C", dir.path().to_str().unwrap(), "-czf", docs.to_str().unwrap(), "manual"];
    run("tar", dir.path(), &args);
    for tarball in [&released, &docs] {
        run("pristine-tar", &place, &["commit", tarball.to_str().unwrap(), "upstream/1.0_rc1"]);
    }
    fs::create_dir(place.join("docs")).unwrap();
    fs::copy(dir.path().join("manual"), place.join("docs/manual")).unwrap();
    commit(&place, "docs");
    let (files, log) = package(&place, dir.path()).await;
    for released in [released, docs] {
        let name = released.file_name().unwrap();
        let ours = files.iter().find(|f| f.file_name() == Some(name));
        let ours = ours.unwrap_or_else(|| panic!("{files:?} {log}"));
        assert!(fs::read(ours).unwrap() == fs::read(&released).unwrap(), "{name:?} differs");
    }
}

/// The tree that the delta belongs to is in none of the tags and branches that were fetched so far.
#[tokio::test]
#[ignore = "needs git, dpkg-dev, pristine-tar and the user pybit-build"]
async fn the_tree_of_another_branch_is_found() {
    let dir = open_dir();
    let Packaging { place, released } = packaging(dir.path());
    git(&place, &["branch", "imports", "upstream/1.0_rc1^{}"]);
    git(&place, &["tag", "-d", "upstream/1.0_rc1"]);
    run("pristine-tar", &place, &["commit", released.to_str().unwrap(), "imports"]);
    git(&place, &["checkout", "--quiet", "imports"]);
    fs::write(place.join("message"), "later\n").unwrap();
    commit(&place, "later");
    git(&place, &["checkout", "--quiet", "main"]);
    let (files, log) = package(&place, dir.path()).await;
    assert!(fs::read(tarball(&files)).unwrap() == fs::read(released).unwrap(), "{log}");
}

#[tokio::test]
#[ignore = "needs git, dpkg-dev, pristine-tar and the user pybit-build"]
async fn a_hostile_pristine_tar_branch_runs_nothing_and_the_tag_is_used() {
    let dir = open_dir();
    let Packaging { place, released } = packaging(dir.path());
    run("pristine-tar", &place, &["commit", released.to_str().unwrap(), "upstream/1.0_rc1"]);
    let mark = dir.path().join("into/mark");
    let hostile = format!("{}'; touch {}; '", "a".repeat(40), mark.display());
    for id in [hostile, "a".repeat(40)] {
        git(&place, &["checkout", "--quiet", "pristine-tar"]);
        fs::write(place.join("sample_1.0~rc1.orig.tar.gz.id"), id).unwrap();
        commit(&place, "hostile");
        git(&place, &["checkout", "--quiet", "main"]);
        let (_, log) = package(&place, dir.path()).await;
        assert!(log.contains("names no tree") && log.contains("from refs/tags/upstream/"), "{log}");
        assert!(!mark.exists());
    }
}

#[tokio::test]
#[ignore = "needs git, dpkg-dev, pristine-tar and the user pybit-build"]
async fn a_delta_that_fits_nothing_is_said_and_the_tag_is_used() {
    let dir = open_dir();
    let Packaging { place, released } = packaging(dir.path());
    run("pristine-tar", &place, &["commit", released.to_str().unwrap(), "upstream/1.0_rc1"]);
    git(&place, &["checkout", "--quiet", "pristine-tar"]);
    fs::write(place.join("sample_1.0~rc1.orig.tar.gz.delta"), "no delta").unwrap();
    commit(&place, "broken");
    git(&place, &["checkout", "--quiet", "main"]);
    let (_, log) = package(&place, dir.path()).await;
    assert!(log.contains("pristine-tar does not make sample_1.0~rc1.orig.tar.gz"), "{log}");
    assert!(log.contains("from refs/tags/upstream/"), "{log}");
}

/// A repository without the upstream's files anywhere but in its tree, and a site that has the tarball of an older version,
/// of this one and of a newer one. Its watch file wants a program to be run, too.
async fn watched(dir: &Path) -> (PathBuf, PathBuf) {
    let Packaging { place, released } = packaging(dir);
    git(&place, &["tag", "-d", "upstream/1.0_rc1"]);
    let site = dir.join("site");
    fs::create_dir(&site).unwrap();
    let names = ["0.9", "1.0rc1", "1.0rc2"].map(|version| format!("sample-{version}.tar.gz"));
    for name in &names {
        fs::copy(&released, site.join(name)).unwrap();
    }
    let page = names.map(|name| format!("<a href=\"{name}\">{name}</a>\n")).concat();
    fs::write(site.join("index.html"), page).unwrap();
    let address = super::files_server::serve(site).await;
    let ran = dir.join("ran");
    let watch = format!(
        "version=4\n# upstream\nopts=\"uversionmangle=s/rc/~rc/,pgpmode=none\" \\\n http://{address}/index.html \\\n \
         sample-(.+)\\.tar\\.gz debian touch {}\n",
        ran.display()
    );
    fs::write(place.join("debian/watch"), watch).unwrap();
    commit(&place, "watch");
    (place, ran)
}

#[tokio::test]
#[ignore = "needs git, devscripts, dpkg-dev and the user pybit-build"]
async fn uscan_fetches_the_tarball_of_the_version_and_runs_nothing() {
    let dir = open_dir();
    let (place, ran) = watched(dir.path()).await;
    let config = GitConfig { uscan: true, ..allowing() };
    let (files, log) = package_by(config, &place, dir.path()).await;
    assert!(log.contains("uscan has fetched sample_1.0~rc1.orig.tar.gz"), "{log}");
    let (got, released) = (tarball(&files), dir.path().join("sample_1.0~rc1.orig.tar.gz"));
    assert_eq!(fs::read(got).unwrap(), fs::read(released).unwrap());
    assert!(!ran.exists());
}

#[tokio::test]
#[ignore = "needs git, devscripts, dpkg-dev and the user pybit-build"]
async fn uscan_reaches_no_host_that_git_may_not_reach_and_is_off_by_itself() {
    let dir = open_dir();
    let (place, _) = watched(dir.path()).await;
    let config = GitConfig { uscan: true, allow_hosts: Vec::new(), ..allowing() };
    let (files, log) = package_by(config, &place, dir.path()).await;
    assert!(
        log.contains("127.0.0.1 has the address 127.0.0.1, which is not a public one"),
        "{log}"
    );
    assert!(log.contains("No upstream tarball by uscan"), "{log}");
    let made = fs::read(tarball(&files)).unwrap();
    let (files, log) = package(&place, dir.path()).await;
    assert!(log.contains("The repository has no upstream tarball of this version"), "{log}");
    assert_eq!(fs::read(tarball(&files)).unwrap().len(), made.len());
}
