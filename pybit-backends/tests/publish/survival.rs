//! Kills, lies and crowds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pybit_backends::publish::{Done, Tool};
use pybit_core::Result;
use pybit_core::owners::NoPolicy;
use pybit_core::publish::{Publication, Publisher};

use crate::fixture::{Fixture, listed, publish, tools};
use crate::reader::{Apt, Watcher};

/// The real tools, killed (`SIGKILL`) when a run of `program` takes longer than so many microseconds.
#[derive(Debug)]
struct Killer {
    program: &'static str,
    after: AtomicU64,
    kills: AtomicUsize,
}

#[async_trait]
impl Tool for Killer {
    async fn run(
        &self,
        argv: &[String],
        cwd: &Path,
        vars: &BTreeMap<String, String>,
    ) -> Result<Done> {
        let tools = tools();
        let run = tools.run(argv, cwd, vars);
        if argv[0] != self.program {
            return run.await;
        }
        let limit = Duration::from_micros(self.after.load(Ordering::SeqCst));
        if let Ok(done) = tokio::time::timeout(limit, run).await {
            return done;
        }
        self.kills.fetch_add(1, Ordering::SeqCst);
        Ok(Done { code: -9, stdout: String::new(), stderr: "Killed".into() })
    }
}

/// Publishes `rounds` packages, each first with `program` killed at another moment, while a reader looks on.
async fn survive_kills_of(program: &'static str, rounds: u64, step: u64) {
    let fixture = Fixture::new();
    let killer = Arc::new(Killer { program, after: 0.into(), kills: 0.into() });
    let repository = fixture.prepared().await;
    let victim = fixture.open_with(Arc::clone(&killer) as Arc<dyn Tool>);
    let watcher = Watcher::start(fixture.site());
    for round in 0..rounds {
        killer.after.store(round * step, Ordering::SeqCst);
        let set = fixture.build("hello", &format!("1.{round}"));
        let (before, kills) = (fixture.current(), killer.kills.load(Ordering::SeqCst));
        let outcome = victim.publish(&set, &NoPolicy).await;
        if killer.kills.load(Ordering::SeqCst) == kills {
            assert!(matches!(outcome, Ok(Publication::Published(_))), "{outcome:?}");
        } else {
            assert!(outcome.unwrap_err().is_retryable());
            assert_eq!(fixture.current(), before);
        }
        publish(&repository, &set).await;
    }
    let states = watcher.stop();
    assert!(killer.kills.load(Ordering::SeqCst) >= 3, "the kills must have hit");
    assert!(states.len() >= 2 && states.iter().all(|n| [0, 3].contains(n)), "{states:?}");
    assert_eq!(listed(&repository).await.len(), 3);
    let key = repository.public_key().await.unwrap();
    Apt::new(&fixture.site(), "bookworm", &key).get(&["update"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_killed_reprepro_never_shows_and_never_blocks() {
    survive_kills_of("reprepro", 12, 1500).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_killed_gpg_never_shows_and_never_blocks() {
    survive_kills_of("gpg", 6, 2500).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_publication_given_up_at_any_moment_leaves_the_state_before_or_after() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let watcher = Watcher::start(fixture.site());
    let mut given_up = 0;
    for round in 0..12 {
        let set = fixture.build("hello", &format!("1.{round}"));
        let limit = Duration::from_millis(round * 25);
        let outcome = tokio::time::timeout(limit, repository.publish(&set, &NoPolicy)).await;
        given_up += u32::from(outcome.is_err());
        publish(&repository, &set).await;
        let version = format!("hello-bin 1.{round} amd64");
        assert!(listed(&repository).await.contains(&version));
    }
    assert!(given_up >= 3, "{given_up}");
    assert!(watcher.stop().iter().all(|n| [0, 3].contains(n)));
    fixture.open().prepare().await.unwrap();
    let work = std::fs::read_dir(fixture.config.root.join("work")).unwrap();
    assert_eq!(work.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs reprepro, gnupg and apt"]
async fn concurrent_publications_come_one_after_the_other() {
    let fixture = Fixture::new();
    let here = Arc::new(fixture.prepared().await);
    let elsewhere = Arc::new(fixture.open());
    let watcher = Watcher::start(fixture.site());
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let set = fixture.build(&format!("p{n}"), "1.0");
            let repository = Arc::clone(if n % 2 == 0 { &here } else { &elsewhere });
            tokio::spawn(async move { publish(&repository, &set).await })
        })
        .collect();
    let mut states = Vec::new();
    for task in tasks {
        states.push(task.await.unwrap());
    }
    states.sort();
    states.dedup();
    assert_eq!(states.len(), 6, "each has a state of its own");
    assert_eq!(listed(&here).await.len(), 18);
    let counts = watcher.stop();
    assert!(counts.is_sorted() && counts.iter().all(|n| n % 3 == 0), "{counts:?}");
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn planted_stale_locks_and_leftovers_are_cleared() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let root = &fixture.config.root;
    let leftover = root.join("work/killed/state/db");
    std::fs::create_dir_all(&leftover).unwrap();
    std::fs::create_dir(root.join("states/000009")).unwrap();
    let current = root.join("states").join(fixture.current()).join("db");
    for dir in [leftover, current] {
        std::fs::write(dir.join("lockfile"), "").unwrap();
    }
    std::fs::write(root.join("current.new"), "a link that was never turned").unwrap();
    assert_eq!(publish(&repository, &fixture.build("hello", "1.0")).await, "000010");
    assert!(!root.join("states/000009").exists() && !root.join("work/killed").exists());
}

/// The real tools, but so many inclusions are silently skipped: reprepro does so, with 0, for an older version.
#[derive(Debug)]
struct Liar(AtomicUsize);

impl Liar {
    fn new(lies: usize) -> Arc<Self> {
        Arc::new(Self(lies.into()))
    }
}

#[async_trait]
impl Tool for Liar {
    async fn run(
        &self,
        argv: &[String],
        cwd: &Path,
        vars: &BTreeMap<String, String>,
    ) -> Result<Done> {
        let includes = argv.iter().any(|a| a == "includedeb");
        let one_less = |lies: usize| lies.checked_sub(1);
        if includes && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Ok(Done { code: 0, stdout: String::new(), stderr: String::new() });
        }
        tools().run(argv, cwd, vars).await
    }
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn an_exit_code_of_zero_is_no_proof() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let set = fixture.build("hello", "1.0");
    let always = fixture.open_with(Liar::new(usize::MAX));
    let Ok(Publication::Rejected(why)) = always.publish(&set, &NoPolicy).await else {
        panic!("published");
    };
    assert!(why.contains("was to list hello-bin 1.0"), "{why}");
    assert_eq!(fixture.current(), "000001");
    publish(&repository, &set).await;
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn one_slip_of_the_tool_refuses_no_set() {
    let fixture = Fixture::new();
    fixture.prepared().await;
    let (set, liar) = (fixture.build("hello", "1.0"), Liar::new(1));
    publish(&fixture.open_with(Arc::clone(&liar) as Arc<dyn Tool>), &set).await;
    assert_eq!(liar.0.load(Ordering::SeqCst), 0);
    assert_eq!(fixture.current(), "000002");
}
