//! Git repositories, made and fetched with the real git.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pybit_backends::source::{Credential, GitConfig, GitFetcher};
use pybit_core::build::{FetchRequest, Fetched, FetchedKind, SourceFetcher};
use pybit_core::format::Exit;
use pybit_core::model::{FailureClass, Source};
use pybit_core::{ErrorKind, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::files_server::{serve, serve_to};
use crate::support::{self, MemoryLog, marked, open_dir, target, users_dir};

pub(crate) fn allowing() -> GitConfig {
    let allow_hosts = vec!["127.0.0.0/8".parse().unwrap()];
    GitConfig { allow_file: true, allow_hosts, ..GitConfig::default() }
}

/// Runs git as whoever owns the test's repositories; its answer.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.org",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with two commits on `main`, a tag `v1` on the first, and a branch `other`.
fn repository(dir: &Path, name: &str) -> PathBuf {
    let place = dir.join(name);
    fs::create_dir(&place).unwrap();
    git(&place, &["init", "--quiet"]);
    for (file, after) in [("one", "tag"), ("two", "branch")] {
        fs::write(place.join(file), name).unwrap();
        git(&place, &["add", "."]);
        git(&place, &["commit", "--quiet", "-m", file]);
        match after {
            "tag" => git(&place, &["tag", "-a", "-m", "v1", "v1"]),
            _ => git(&place, &["branch", "other"]),
        };
    }
    place
}

pub(crate) fn source(url: String, reference: Option<&str>) -> Source {
    Source::Git { url, reference: reference.map(str::to_owned) }
}

pub(crate) fn file_url(place: &Path) -> String {
    format!("file://{}", place.display())
}

pub(crate) async fn fetch_by(
    config: GitConfig,
    source: &Source,
    into: &Path,
    log: &MemoryLog,
) -> Result<Fetched> {
    if into.exists() {
        fs::remove_dir_all(into).unwrap();
    }
    let exec = support::exec();
    users_dir(into, &exec);
    let target = target("source", "sbuild");
    let request = FetchRequest { source, target: &target, inbox: into, into };
    GitFetcher::new(config, exec).fetch(&request, log).await
}

async fn fetch(source: &Source, into: &Path) -> Result<Fetched> {
    fetch_by(allowing(), source, into, &MemoryLog::default()).await
}

pub(crate) fn tree(fetched: &Fetched) -> &Path {
    match &fetched.kind {
        FetchedKind::Tree(tree) => tree,
        FetchedKind::Package(_) => panic!("{fetched:?}"),
    }
}

#[tokio::test]
#[ignore = "needs git and the user pybit-build"]
async fn a_tag_a_branch_a_commit_and_the_default_branch_are_fetched() {
    let dir = open_dir();
    let place = repository(dir.path(), "x");
    let (first, second) =
        (git(&place, &["rev-parse", "v1^{}"]), git(&place, &["rev-parse", "main"]));
    let short = [("v1", &first, false), ("other", &second, true), ("refs/tags/v1", &first, false)];
    let long = [(first.as_str(), &first, false), (second.as_str(), &second, true)];
    for (reference, commit, has_two) in short.into_iter().chain(long) {
        let source = source(file_url(&place), Some(reference));
        let fetched = fetch(&source, &dir.path().join("into")).await.unwrap();
        assert_eq!(&fetched.resolved, commit, "{reference}");
        let tree = tree(&fetched);
        assert_eq!(tree.join("two").exists(), has_two, "{reference}");
        assert!(tree.join("one").exists() && !tree.join(".git").exists(), "{reference}");
    }
    let fetched = fetch(&source(file_url(&place), None), &dir.path().join("into")).await.unwrap();
    assert_eq!(fetched.resolved, second);
}

#[tokio::test]
#[ignore = "needs git and the user pybit-build"]
async fn a_server_of_plain_files_is_fetched_whole_and_a_redirect_is_not_followed() {
    let dir = open_dir();
    let place = repository(dir.path(), "x");
    git(&place, &["update-server-info"]);
    let (first, second) =
        (git(&place, &["rev-parse", "v1^{}"]), git(&place, &["rev-parse", "main"]));
    let address = serve(dir.path().to_owned()).await;
    let (url, into) = (format!("http://{address}/x/.git"), dir.path().join("into"));
    for (reference, commit) in [("other", &second), ("v1", &first), (first.as_str(), &first)] {
        let fetched = fetch(&source(url.clone(), Some(reference)), &into).await;
        assert_eq!(&fetched.unwrap().resolved, commit, "{reference}");
    }
    let unknown = source(url.clone(), Some(&"0123456789".repeat(4)));
    let moved = source(url.replace("/x/", "/moved/x/"), None);
    let missing = source(url.replace("/x/", "/y/"), None);
    for (source, code) in [
        (unknown, "source_not_found"),
        (moved, "source_not_allowed"),
        (missing, "source_not_found"),
    ] {
        assert_eq!(fetch(&source, &into).await.unwrap_err().code(), code, "{source}");
    }
}

#[tokio::test]
#[ignore = "needs git and the user pybit-build"]
async fn a_password_opens_what_lies_below_its_address_and_is_in_no_log() {
    let dir = open_dir();
    let place = repository(dir.path(), "x");
    git(&place, &["update-server-info"]);
    // builder:op3n-sesame
    let address = serve_to(dir.path().to_owned(), Some("Basic YnVpbGRlcjpvcDNuLXNlc2FtZQ==")).await;
    let (url, into) = (format!("http://{address}/x/.git"), dir.path().join("into"));
    let with = |below: String, password| GitConfig {
        credentials: vec![Credential::password(&below, "builder", password).unwrap()],
        ..allowing()
    };
    let here = format!("http://{address}/x/");
    let log = MemoryLog::default();
    fetch_by(with(here.clone(), "op3n-sesame"), &source(url.clone(), None), &into, &log)
        .await
        .unwrap();
    for config in [
        allowing(),
        with(here, "wr0ng-sesame"),
        with(format!("http://{address}/y/"), "op3n-sesame"),
    ] {
        let refused = fetch_by(config, &source(url.clone(), None), &into, &log).await.unwrap_err();
        assert_eq!(refused.code(), "source_authentication", "{refused}");
        assert!(!format!("{refused:?}").contains("sesame"), "{refused:?}");
    }
    assert!(!log.text().contains("sesame") && !log.text().contains("YnVp"), "{}", log.text());
}

#[tokio::test]
#[ignore = "needs git and the user pybit-build"]
async fn what_does_not_exist_is_not_found() {
    let dir = open_dir();
    let place = repository(dir.path(), "x");
    let missing = [
        (source(file_url(&place), Some("v2")), "source_not_found"),
        (source(file_url(&place), Some(&"0123456789".repeat(4))), "source_not_found"),
        (source(file_url(&dir.path().join("nowhere")), None), "source_no_repository"),
    ];
    for (source, code) in missing {
        let error = fetch(&source, &dir.path().join("into")).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, code), "{error}");
    }
}

/// Answers each request with the status that its path begins with, and `/silence` never.
async fn statuses() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut request = BufReader::new(&mut peer).lines();
            let first = request.next_line().await.ok().flatten().unwrap_or_default();
            let status = first.split('/').nth(1).unwrap_or_default().to_owned();
            if status == "silence" {
                silent.push(peer);
                continue;
            }
            let answer = format!(
                "HTTP/1.1 {status} x\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<html"
            );
            // The probe hangs up before it is answered.
            drop(peer.write_all(answer.as_bytes()).await);
        }
    });
    address
}

#[tokio::test]
#[ignore = "needs git and the user pybit-build"]
async fn each_trouble_with_a_server_has_its_code_and_names_the_address() {
    let dir = open_dir();
    let at = statuses().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = || GitConfig { wall: Duration::from_secs(2), ..allowing() };
    for (url, code) in [
        ("https://no-such-host.invalid/x".to_owned(), "source_unresolved"),
        (format!("http://{closed}/x"), "source_unreachable"),
        (format!("ssh://git@{closed}/x"), "source_unreachable"),
        (format!("http://{at}/silence/x"), "source_timed_out"),
        (format!("http://{at}/503/x"), "source_unavailable"),
        (format!("http://{at}/404/x"), "source_not_found"),
        (format!("http://{at}/200/x"), "source_no_repository"),
        (format!("http://{at}/401/x"), "source_authentication"),
        (format!("http://{at}/403/x"), "source_authentication"),
        (format!("https://{at}/200/x"), "source_tls"),
        ("http://10.0.0.1/x".to_owned(), "source_not_allowed"),
    ] {
        let into = dir.path().join("into");
        let (source, log) = (source(url.clone(), None), MemoryLog::default());
        let error = fetch_by(config(), &source, &into, &log).await.unwrap_err();
        assert_eq!(error.code(), code, "{url}: {error}");
        assert!(FailureClass::of_fetch(code).is_some_and(FailureClass::is_fetch), "{code}");
        let host = url.split('/').nth(2).unwrap().trim_start_matches("git@");
        assert!(error.message().contains(host), "{url}: {error}");
    }
}

#[tokio::test]
#[ignore = "needs git and the user pybit-build"]
async fn a_broken_repository_is_the_sources_fault() {
    let dir = open_dir();
    let entry = "[submodule \"s\"]\n\tpath = s\n\turl = ../inner\n";
    repository(dir.path(), "inner");
    for (name, modules) in [
        ("command", format!("{entry}\tupdate = !x\n")),
        ("unread", "[submodule \"s\n".to_owned()),
        ("corrupt", String::new()),
    ] {
        let place = repository(dir.path(), name);
        let head = git(&place, &["rev-parse", "HEAD"]);
        fs::write(place.join(".gitmodules"), &modules).unwrap();
        git(&place, &["add", "."]);
        git(&place, &["commit", "--quiet", "-m", "modules"]);
        git(&place, &["update-index", "--add", "--cacheinfo", &format!("160000,{head},s")]);
        git(&place, &["commit", "--quiet", "-m", "link"]);
        if modules.is_empty() {
            let tree = git(&place, &["rev-parse", "HEAD^{tree}"]);
            let object = place.join(".git/objects").join(&tree[..2]).join(&tree[2..]);
            fs::remove_file(&object).unwrap();
            fs::write(&object, "junk").unwrap();
        }
        let error = fetch(&source(file_url(&place), None), &dir.path().join("into")).await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), "source_broken", "{name}: {error}");
    }
}

#[tokio::test]
async fn hostile_urls_and_references_start_nothing() {
    let dir = open_dir();
    let mark = dir.path().join("mark");
    let command = format!("touch${{IFS}}{}", mark.display());
    let url = "https://127.0.0.1:9/x".to_owned();
    let hostile = [
        source(format!("ext::sh -c {command}"), None),
        source(format!("--upload-pack={command}"), None),
        source(format!("ssh://-oProxyCommand={command}/x"), None),
        source(url.clone(), Some(&format!("--upload-pack={command}"))),
        source(url, Some("--help")),
        source("https://user:secret@127.0.0.1/x".to_owned(), None),
    ];
    for source in hostile {
        let log = MemoryLog::default();
        let error =
            fetch_by(allowing(), &source, &dir.path().join("into"), &log).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{source}");
        assert!(!mark.exists() && log.text().is_empty(), "{source}");
        assert!(!error.message().contains("secret"));
    }
    let file = source("file:///etc".to_owned(), None);
    let log = MemoryLog::default();
    let error = fetch_by(GitConfig::default(), &file, &dir.path().join("into"), &log).await;
    assert_eq!(error.unwrap_err().code(), "source_not_allowed");
    let inside = source("http://127.0.0.1:9/x.git".to_owned(), None);
    let error = fetch_by(GitConfig::default(), &inside, &dir.path().join("into"), &log).await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "source_not_allowed"));
    assert!(error.message().contains("allow_hosts"), "{error}");
}

#[tokio::test]
#[ignore = "needs git and the user pybit-build"]
async fn submodules_of_submodules_come_along_and_hostile_ones_are_refused() {
    let dir = open_dir();
    let (inner, middle, outer) = (
        repository(dir.path(), "inner"),
        repository(dir.path(), "middle"),
        repository(dir.path(), "outer"),
    );
    git(&middle, &["submodule", "--quiet", "add", "../inner", "sub"]);
    git(&middle, &["config", "--file", ".gitmodules", "submodule.sub.url", "../inner"]);
    git(&middle, &["commit", "--quiet", "-am", "sub"]);
    git(&outer, &["submodule", "--quiet", "add", &file_url(&middle), "lib/middle"]);
    git(&outer, &["config", "--file", ".gitmodules", "submodule.forgotten.path", "nowhere"]);
    git(&outer, &["config", "--file", ".gitmodules", "submodule.forgotten.url", "ext::id"]);
    git(&outer, &["commit", "--quiet", "-am", "sub"]);
    let source = source(file_url(&outer), None);
    let fetched = fetch(&source, &dir.path().join("into")).await.unwrap();
    let lib = tree(&fetched).join("lib/middle");
    assert_eq!(fs::read_to_string(lib.join("sub/two")).unwrap(), "inner");
    assert!(!lib.join(".git").exists() && !lib.join("sub/.git").exists());
    assert!(inner.join(".git").exists());

    for url in [
        "http://10.0.0.1/x.git",
        "ext::touch /tmp/x",
        "-u./payload",
        "/etc",
        "../../../../../../etc",
    ] {
        git(&outer, &["config", "--file", ".gitmodules", "submodule.lib/middle.url", url]);
        git(&outer, &["commit", "--quiet", "-am", "hostile"]);
        let error = fetch(&source, &dir.path().join("into")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Invalid, "submodule_refused"),
            "{url}: {error}"
        );
    }
}

#[tokio::test]
#[ignore = "needs git and the user pybit-build"]
async fn a_repositorys_hooks_and_filters_never_run() {
    let dir = open_dir();
    let place = repository(dir.path(), "x");
    let mark = dir.path().join("mark");
    fs::write(place.join(".gitattributes"), "* filter=evil\n").unwrap();
    fs::write(
        place.join(".gitconfig"),
        format!("[filter \"evil\"]\n\tsmudge = touch {}\n", mark.display()),
    )
    .unwrap();
    git(&place, &["add", "."]);
    git(&place, &["commit", "--quiet", "-m", "evil"]);
    fetch(&source(file_url(&place), None), &dir.path().join("into")).await.unwrap();
    assert!(!mark.exists());
}

#[tokio::test]
#[ignore = "needs git and the user pybit-build"]
async fn a_server_that_is_away_or_says_nothing_is_tried_again_later() {
    let dir = open_dir();
    let away = source("http://127.0.0.1:9/x.git".to_owned(), None);
    let error = fetch(&away, &dir.path().join("into")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");

    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mute-{}.git", mute.local_addr().unwrap(), std::process::id());
    let config = GitConfig { wall: Duration::from_secs(2), ..allowing() };
    let log = MemoryLog::default();
    let error = fetch_by(config, &source(url.clone(), None), &dir.path().join("into"), &log).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains(&format!("{:?}", Exit::TimedOut)), "{error}");
    assert_eq!(marked(&url), [0; 0]);
}
