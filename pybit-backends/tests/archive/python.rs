//! The names of a public index of Python projects, which a server on the loopback interface plays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pybit_backends::archive::{ArchiveNames, NamesConfig, PythonArchive, Unavailable};
use pybit_backends::python::PythonFormat;
use pybit_core::base::BaseSuite;
use pybit_core::clock::{ManualClock, Timestamp};
use pybit_core::model::{Grant, Job, Role};
use pybit_core::{ErrorKind, Farm, Policy, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::made::{exec, sha256_of};
use crate::{described, farm_of, granted, status};

fn suite() -> BaseSuite {
    BaseSuite {
        dist: "Debian".parse().unwrap(),
        suite: "py".parse().unwrap(),
        format: "python".parse().unwrap(),
        arch: "x86_64".parse().unwrap(),
    }
}

type Pages = Arc<Mutex<BTreeMap<String, (u16, String)>>>;

/// An index: pages by project with their status, 404 for the others, and the paths that were asked for.
struct Index {
    pages: Pages,
    asked: Arc<Mutex<Vec<String>>>,
    port: u16,
    clock: Arc<ManualClock>,
}

impl Index {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (pages, asked): (Pages, Arc<Mutex<Vec<String>>>) = Default::default();
        let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_790_000_000_000_000)));
        let index = Self { pages, asked, port, clock };
        let wheel = "{\"name\":\"pip\",\"files\":[{\"filename\":\"pip-1-py3-none-any.whl\",\"hashes\":{}}]}";
        index.put("pip", 200, wheel);
        let (pages, asked) = (Arc::clone(&index.pages), Arc::clone(&index.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.unwrap() > 0
                {
                }
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let project = path.trim_start_matches("/simple/").trim_end_matches('/');
                let page = pages.lock().unwrap().get(project).cloned();
                let (status, body) = page.unwrap_or((404, String::new()));
                asked.lock().unwrap().push(path.clone());
                let answer = format!(
                    "HTTP/1.1 {status} S\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        index
    }

    fn put(&self, project: &str, status: u16, page: &str) {
        self.pages.lock().unwrap().insert(project.to_owned(), (status, page.to_owned()));
    }

    /// A project with this sdist of version 1.0.
    fn publish(&self, project: &str, sdist: &[u8]) {
        let page = format!(
            "{{\"files\":[{{\"filename\":\"{project}-1.0.tar.gz\",\"hashes\":{{\"sha256\":\"{}\"}}}}]}}",
            sha256_of(sdist)
        );
        self.put(project, 200, &page);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn farm(&self, unavailable: Unavailable) -> Farm {
        let python = PythonArchive {
            index: format!("http://127.0.0.1:{}/simple", self.port).parse().unwrap(),
            probe: "pip".parse().unwrap(),
            insecure: false,
        };
        let config = NamesConfig { python: Some(python), unavailable, ..NamesConfig::default() };
        let names = ArchiveNames::new(config, "/nonexistent", None, exec());
        let names = names.with_clock(Arc::clone(&self.clock) as _);
        farm_of(names, Policy::default(), suite(), Arc::new(PythonFormat::new())).await.0
    }
}

async fn submit(farm: &Farm, who: Grant, project: &str, bytes: &[u8]) -> Result<Vec<Job>> {
    let (file, main) = (format!("{project}-1.0.tar.gz"), format!("{project}-1.0.sdist-info"));
    let text = format!(
        "Source: {project}\nVersion: 1.0\nArchitecture: all\nChecksums-Sha256:\n {} {} {file}\n",
        sha256_of(bytes),
        bytes.len()
    );
    described(farm, who, (&main, &text), (&file, bytes)).await
}

#[tokio::test]
async fn a_name_of_the_public_index_is_for_its_own_bytes_and_for_principals_with_a_grant() {
    let index = Index::new().await;
    index.publish("requests", b"own");
    index.put("html", 200, "<!DOCTYPE html><html><body></body></html>");
    let farm = index.farm(Unavailable::Refuse).await;
    assert_eq!(farm.refresh_base().await.unwrap(), 1);
    let names = farm.base().unwrap();
    assert!(status(&**names).fetched_at.is_some());
    assert_eq!(submit(&farm, granted(&[]), "requests", b"own").await.unwrap().len(), 1);
    assert_eq!(submit(&farm, granted(&[]), "innocent", b"x").await.unwrap().len(), 1);
    index.put("blocked", 403, "");
    for name in ["requests", "pip", "html", "blocked"] {
        let error = submit(&farm, granted(&[]), name, b"other").await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, "name_of_distribution"));
        let told = format!("{name} is a source package of the public index 127.0.0.1");
        assert!(error.message().starts_with(&told), "{error}");
    }
    for who in [granted(&["req*@py"]), Grant::of(Role::Admin)] {
        assert_eq!(submit(&farm, who, "requests", b"other").await.unwrap().len(), 1);
    }
    // Each name was asked for once, in its one spelling.
    index
        .asked()
        .iter()
        .for_each(|path| assert!(path.starts_with("/simple/") && path.ends_with('/')));
    let s = suite();
    let binaries = ["Requests".to_owned(), "New_Name".to_owned(), "-bad-".to_owned()];
    let found = names.owners(&s.dist, &s.suite, &s.format, &binaries).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["Requests"]);
    assert_eq!(found["Requests"].source, "requests");
    assert_eq!(index.asked(), ["/simple/new-name/"]);
}

#[tokio::test]
async fn an_index_that_does_not_answer_keeps_its_old_answers_and_the_rest_is_as_configured() {
    let index = Index::new().await;
    index.publish("requests", b"own");
    for unavailable in [Unavailable::Allow, Unavailable::Refuse] {
        index.put("pip", 200, "{}");
        index.put("other", 503, "");
        let farm = index.farm(unavailable).await;
        submit(&farm, granted(&[]), "requests", b"other").await.unwrap_err();
        for step in ["a name fails", "the index is away for a day"] {
            let error = submit(&farm, granted(&[]), "requests", b"other").await.unwrap_err();
            assert_eq!(error.code(), "name_of_distribution", "{step}");
            let taken = submit(&farm, granted(&[]), "other", b"x").await;
            match unavailable {
                Unavailable::Allow => assert_eq!(taken.unwrap().len(), 1, "{step}"),
                Unavailable::Refuse => {
                    let error = taken.unwrap_err();
                    let told = (error.kind(), error.code());
                    assert_eq!(told, (ErrorKind::Unavailable, "names_unavailable"), "{step}");
                }
            }
            index.put("pip", 503, "");
            index.clock.advance(Duration::from_hours(24));
        }
        farm.refresh_base().await.unwrap();
        assert!(status(&**farm.base().unwrap()).error.is_some_and(|e| e.contains("503")));
        index.asked();
        let _ = submit(&farm, granted(&[]), "third", b"x").await;
        assert!(index.asked().is_empty(), "it is not asked again at once");
        index.put("pip", 200, "{}");
        index.put("other", 404, "");
        index.clock.advance(Duration::from_mins(1));
        submit(&farm, granted(&[]), "other", b"x").await.unwrap();
        assert_eq!(farm.refresh_base().await.unwrap(), 0, "it was proved by the question");
        assert_eq!(status(&**farm.base().unwrap()).error, None);
    }
}

#[tokio::test]
async fn an_address_that_knows_no_project_is_no_public_index() {
    let index = Index::new().await;
    index.put("pip", 404, "");
    let farm = index.farm(Unavailable::Refuse).await;
    assert_eq!(farm.refresh_base().await.unwrap(), 0);
    let told = status(&**farm.base().unwrap());
    assert!(told.fetched_at.is_none() && told.error.is_some_and(|e| e.contains("pip")));
    let error = submit(&farm, granted(&[]), "requests", b"x").await.unwrap_err();
    assert_eq!(error.code(), "names_unavailable");
}
