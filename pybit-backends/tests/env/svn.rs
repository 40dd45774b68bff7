//! Subversion repositories, made and fetched with the real svn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pybit_backends::source::{Credential, SvnConfig, SvnFetcher};
use pybit_core::build::{FetchRequest, Fetched, FetchedKind, SourceFetcher};
use pybit_core::model::Source;
use pybit_core::{ErrorKind, Result};

use crate::support::{self, MemoryLog, open_dir, target, users_dir};

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

/// A repository `x` with `trunk/one` in revision 1, `trunk/two` and an external in revision 2.
fn repository(dir: &Path) -> PathBuf {
    let (place, work) = (dir.join("x"), dir.join("work"));
    run("svnadmin", &["create", place.to_str().unwrap()]);
    let url = file_url(&place);
    fs::create_dir_all(work.join("trunk")).unwrap();
    fs::write(work.join("trunk/one"), "one").unwrap();
    let here = work.to_str().unwrap();
    run("svn", &["import", "-q", "-m", "one", here, &url]);
    fs::remove_dir_all(&work).unwrap();
    run("svn", &["checkout", "-q", &format!("{url}/trunk"), here]);
    fs::write(work.join("two"), "two").unwrap();
    let two = work.join("two");
    run("svn", &["add", "-q", two.to_str().unwrap()]);
    run("svn", &["propset", "-q", "svn:externals", &format!("{url}/trunk outside"), here]);
    run("svn", &["commit", "-q", "-m", "two", here]);
    place
}

fn file_url(place: &Path) -> String {
    format!("file://{}", place.display())
}

fn open(allow_hosts: &[&str]) -> SvnConfig {
    let allow_hosts = allow_hosts.iter().map(|h| h.parse().unwrap()).collect();
    let wall = Duration::from_secs(30);
    SvnConfig { allow_file: true, allow_hosts, wall, ..SvnConfig::default() }
}

async fn fetch(
    config: SvnConfig,
    url: &str,
    revision: Option<u64>,
    into: &Path,
) -> Result<Fetched> {
    if into.exists() {
        fs::remove_dir_all(into).unwrap();
    }
    let exec = support::exec();
    users_dir(into, &exec);
    let source = Source::Svn { url: url.to_owned(), revision };
    let target = target("source", "sbuild");
    let request = FetchRequest { source: &source, target: &target, inbox: into, into };
    SvnFetcher::new(config, exec).fetch(&request, &MemoryLog::default()).await
}

fn tree(fetched: &Fetched) -> &Path {
    match &fetched.kind {
        FetchedKind::Tree(tree) => tree,
        FetchedKind::Package(_) => panic!("{fetched:?}"),
    }
}

#[tokio::test]
#[ignore = "needs subversion and the user pybit-build"]
async fn a_revision_and_the_newest_are_fetched_without_externals() {
    let dir = open_dir();
    let url = format!("{}/trunk", file_url(&repository(dir.path())));
    let into = dir.path().join("into");
    for (revision, resolved, has_two) in
        [(Some(1), "r1", false), (Some(2), "r2", true), (None, "r2", true)]
    {
        let fetched = fetch(open(&[]), &url, revision, &into).await.unwrap();
        assert_eq!(fetched.resolved, resolved);
        let tree = tree(&fetched);
        assert_eq!(fs::read_to_string(tree.join("one")).unwrap(), "one");
        assert_eq!(tree.join("two").exists(), has_two);
        assert!(!tree.join(".svn").exists() && !tree.join("outside").exists());
    }
}

#[tokio::test]
#[ignore = "needs subversion and the user pybit-build"]
async fn what_is_not_there_is_the_sources_fault() {
    let dir = open_dir();
    let url = file_url(&repository(dir.path()));
    let into = dir.path().join("into");
    let cases = [
        (format!("{url}/trunk"), Some(99), "source_not_found"),
        (format!("{url}/nothing"), None, "source_not_found"),
        (format!("{url}y/trunk"), None, "source_no_repository"),
    ];
    for (url, revision, code) in cases {
        let error = fetch(open(&[]), &url, revision, &into).await.unwrap_err();
        assert_eq!(error.code(), code, "{url}: {error}");
    }
    let file = fetch(open(&[]), &format!("{url}/trunk/one"), None, &into).await.unwrap_err();
    assert_eq!(file.code(), "invalid_source", "{file}");
    let closed = SvnConfig { allow_file: false, ..open(&[]) };
    let error = fetch(closed, &format!("{url}/trunk"), None, &into).await.unwrap_err();
    assert_eq!(error.code(), "source_not_allowed");
}

/// `svnserve` over a directory, ended with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn serve(root: &Path) -> (Served, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new("svnserve")
        .args(["--daemon", "--foreground", "--listen-host", "127.0.0.1", "--listen-port"])
        .args([&port.to_string(), "--root"])
        .arg(root)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let process = Served(server);
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "svnserve answers");
        std::thread::sleep(Duration::from_millis(20));
    }
    (process, port)
}

#[tokio::test]
#[ignore = "needs subversion and the user pybit-build"]
async fn a_server_is_read_from_where_the_configuration_names_it() {
    let dir = open_dir();
    repository(dir.path());
    let (server, port) = serve(dir.path());
    let into = dir.path().join("into");
    let url = format!("svn://localhost:{port}/x/trunk");
    for hosts in [&[][..], &["svn.example.org"], &["10.0.0.0/8"]] {
        let error = fetch(open(hosts), &url, None, &into).await.unwrap_err();
        assert_eq!(error.code(), "source_not_allowed", "{error}");
    }
    for hosts in [&["localhost"][..], &["127.0.0.0/8", "::1"]] {
        let fetched = fetch(open(hosts), &url, Some(1), &into).await.unwrap();
        assert!(tree(&fetched).join("one").exists());
    }
    drop(server);
    let error = fetch(open(&["localhost"]), &url, None, &into).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "source_unreachable"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "needs subversion and the user pybit-build"]
async fn a_password_opens_what_lies_below_its_address_and_is_in_no_log() {
    let dir = open_dir();
    let place = repository(dir.path());
    let conf = "[general]\nanon-access = none\nauth-access = read\npassword-db = users\n";
    fs::write(place.join("conf/svnserve.conf"), conf).unwrap();
    fs::write(place.join("conf/users"), "[users]\nbuilder = op3n-sesame\n").unwrap();
    let (_server, port) = serve(dir.path());
    let into = dir.path().join("into");
    let url = format!("svn://localhost:{port}/x/trunk");
    let error = fetch(open(&["localhost"]), &url, None, &into).await.unwrap_err();
    assert_eq!(error.code(), "source_authentication", "{error}");
    let with = |password| SvnConfig {
        credentials: vec![
            Credential::password(&format!("svn://localhost:{port}/x"), "builder", password)
                .unwrap(),
        ],
        ..open(&["localhost"])
    };
    let fetched = fetch(with("op3n-sesame"), &url, None, &into).await.unwrap();
    assert!(tree(&fetched).join("two").exists());
    let error = fetch(with("wr0ng-sesame"), &url, None, &into).await.unwrap_err();
    assert_eq!(error.code(), "source_authentication", "{error}");
    assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
}
