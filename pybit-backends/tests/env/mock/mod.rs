//! Builds in mock: the environment, the steps, their verdicts and their results together. mock itself cannot be installed where these
//! run; [`stand-in.py`](Stage) takes its place.

mod choice;
mod repository;
mod stage;

use std::time::{Duration, Instant};

use pybit_core::ErrorKind;
use pybit_core::build::BuildEnvironment;
use pybit_core::format::{Exit, PackageFormat, Verdict};
use pybit_core::model::FailureClass;

use crate::support::{MemoryLog, marked, target};
use repository::Repository;
use stage::{Ended, Stage};

/// A spec file of a package for every machine, with these lines in its head and its `%build`.
fn spec(name: &str, head: &str, build: &str) -> String {
    format!(
        "Name: {name}\nVersion: 1.0\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n{head}\n%description\nd\n\
         %build\n{build}\n%install\ninstall -D -m 644 /dev/null %{{buildroot}}/usr/share/{name}/empty\n%files\n/usr/share/{name}\n"
    )
}

fn failed(ended: Ended) -> Verdict {
    let Ended::Badly { verdict, .. } = ended else { panic!("it did not fail: {ended:?}") };
    verdict
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build and rpmbuild"]
async fn a_tree_becomes_packages_by_commands_of_mock_alone() {
    let stage = Stage::new("{}");
    let tree = stage.tree("alpha", &spec("alpha", "", "echo built in a root"));
    std::os::unix::fs::symlink("/etc/hostname", tree.join("link")).unwrap();
    let source = stage.source(&tree).await;
    let names: Vec<_> = source.files.iter().map(|(spec, _)| spec.name.as_str()).collect();
    assert_eq!(names, ["alpha-1.0-1.srpm-info", "alpha-1.0-1.src.rpm"]);
    let log = MemoryLog::default();
    let Ended::Well(output) = stage.binary(&source, &[], &log).await else {
        panic!("{}", log.text())
    };
    assert!(
        log.text().contains("\nbuilt in a root\n"),
        "build.log is in the job's: {}",
        log.text()
    );
    let collected = stage.format.collect(&output, false).await.unwrap();
    let produced: Vec<_> =
        collected.produced.iter().map(|p| format!("{} {} {}", p.name, p.version, p.arch)).collect();
    assert_eq!(produced, ["alpha 1.0-1 noarch"]);
    for call in stage.calls() {
        assert_eq!(call["uid"], stage.user.uid.as_raw(), "{call}");
        assert_eq!(call["groups"], serde_json::json!([stage.gid]), "{call}");
        let home = call["home"].as_str().unwrap();
        assert!(std::path::Path::new(home).ends_with("home") || call["mode"] == "scrub", "{call}");
    }
    let modes: Vec<_> = stage.modes();
    assert_eq!(
        modes,
        [
            "init", "install", "copyin", "chroot", "chroot", "chroot", "chroot", "copyout",
            "scrub", "rebuild", "scrub"
        ]
    );
    stage.nothing_is_left();
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build and rpmbuild"]
async fn a_failed_build_and_a_broken_spec_are_told_apart() {
    let stage = Stage::new("{}");
    let source =
        stage.source(&stage.tree("bad", &spec("bad", "", "echo 'x.c:1: error: no'; false"))).await;
    let verdict = failed(stage.binary(&source, &[], &MemoryLog::default()).await);
    assert_eq!(verdict.failure.class, FailureClass::Build);
    assert_eq!(verdict.failure.message, "The package does not build (%build): x.c:1: error: no");
    let tree = stage.tree("worse", "Name: worse\nNo such: tag\n");
    let (ended, _) = stage.source_steps(&tree, &MemoryLog::default()).await;
    let verdict = failed(ended);
    assert_eq!(verdict.failure.class, FailureClass::Source, "{verdict:?}");
    assert!(verdict.failure.message.contains("error:"), "{verdict:?}");
    stage.nothing_is_left();
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build, rpmbuild, createrepo_c and gpg"]
async fn missing_build_requirements_are_named_and_come_from_the_verified_repository() {
    let stage = Stage::new(r#"{"installed": ["make"]}"#);
    let lib = stage.source(&stage.tree("mylib", &spec("mylib", "", ":"))).await;
    let Ended::Well(built) = stage.binary(&lib, &[], &MemoryLog::default()).await else { panic!() };
    let head = "BuildRequires: make\nBuildRequires: mylib >= 1.0\nBuildRequires: pybit-none";
    let both = stage.source(&stage.tree("both", &spec("both", head, ":"))).await;
    let head = "BuildRequires: make\nBuildRequires: mylib >= 1.0";
    let one = stage.source(&stage.tree("one", &spec("one", head, ":"))).await;
    let verdict = failed(stage.binary(&both, &[], &MemoryLog::default()).await);
    assert_eq!(verdict.failure.class, FailureClass::DepWait);
    assert_eq!(verdict.unmet, ["mylib >= 1.0", "pybit-none"]);

    let repository = Repository::new(stage.path(), &[built.join("mylib-1.0-1.noarch.rpm")]);
    let access = [repository.access()];
    let verdict = failed(stage.binary(&both, &access, &MemoryLog::default()).await);
    assert_eq!(
        (verdict.failure.class, verdict.unmet),
        (FailureClass::DepWait, vec!["pybit-none".to_owned()])
    );
    // What was fetched is used again, verified again.
    for fetched in [false, true] {
        let log = MemoryLog::default();
        if fetched {
            stage.spoil_store();
        }
        let ended = stage.binary(&one, &access, &log).await;
        assert!(matches!(ended, Ended::Well(_)), "{}", log.text());
        assert_eq!(log.text().contains("fetched Packages/m/mylib"), fetched, "{}", log.text());
    }
    stage.nothing_is_left();
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build, rpmbuild, createrepo_c and gpg"]
async fn mock_is_given_no_package_of_the_farm_that_nothing_names() {
    let stage = Stage::new(r#"{"installed": ["make"]}"#);
    let mut built = Vec::new();
    for (name, head) in [("mylib", ""), ("evil", "Obsoletes: make < 99\nProvides: gcc = 99")] {
        let source = stage.source(&stage.tree(name, &spec(name, head, ":"))).await;
        let ended = stage.binary(&source, &[], &MemoryLog::default()).await;
        let Ended::Well(output) = ended else { panic!() };
        built.push(output.join(format!("{name}-1.0-1.noarch.rpm")));
    }
    let repository = Repository::new(stage.path(), &built);
    let one = spec("one", "BuildRequires: make\nBuildRequires: mylib", ":");
    let one = stage.source(&stage.tree("one", &one)).await;
    let log = MemoryLog::default();
    let ended = stage.binary(&one, &[repository.access()], &log).await;
    assert!(matches!(ended, Ended::Well(_)), "{}", log.text());
    let given = "pybit: from the farm, for mock to choose from: ";
    let given: Vec<_> =
        log.text().lines().filter_map(|l| l.strip_prefix(given).map(str::to_owned)).collect();
    assert!(given.len() == 1 && given[0].starts_with("mylib 1.0-1, "), "{}", log.text());
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build, rpmbuild, createrepo_c and gpg"]
async fn a_repository_that_cannot_be_verified_reaches_no_build() {
    let stage = Stage::new("{}");
    let lib = stage.source(&stage.tree("mylib", &spec("mylib", "", ":"))).await;
    let Ended::Well(built) = stage.binary(&lib, &[], &MemoryLog::default()).await else { panic!() };
    let package = built.join("mylib-1.0-1.noarch.rpm");
    let one = spec("one", "BuildRequires: mylib", ":");
    let one = stage.source(&stage.tree("one", &one)).await;
    for spoil in [Repository::spoil_package, Repository::spoil_index, Repository::sign_by_another] {
        let repository = Repository::new(stage.path(), std::slice::from_ref(&package));
        spoil(&repository);
        let before = stage.modes().len();
        let verdict =
            failed(stage.binary(&one, &[repository.access()], &MemoryLog::default()).await);
        assert_eq!(verdict.failure.class, FailureClass::Infra, "{verdict:?}");
        assert!(
            verdict.failure.message.starts_with("The farm's own repository cannot be"),
            "{verdict:?}"
        );
        assert_eq!(stage.modes().len(), before, "mock was run all the same");
    }
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build and rpmbuild"]
async fn a_locked_root_and_mocks_own_trouble_are_infrastructure() {
    let stage = Stage::new("{}");
    let source = stage.source(&stage.tree("alpha", &spec("alpha", "", ":"))).await;
    let (environment, work) = (stage.environment(), stage.work());
    let log = MemoryLog::default();
    let prepared = environment.prepare(&Stage::target(), &work, &log).await.unwrap();
    let lock = stage.lock(&*prepared);
    let verdict = failed(stage.run_binary(&*prepared, &work, &source, &[], &log).await);
    assert_eq!(verdict.failure.class, FailureClass::Infra);
    assert!(
        verdict.failure.message.contains("locked by another process (exit code 60)"),
        "{verdict:?}"
    );
    drop(lock);
    prepared.destroy().await.unwrap();
    for code in [20, 30, 70, 80, 90] {
        stage.configure(&format!(r#"{{"exit": {code}}}"#));
        let verdict = failed(stage.binary(&source, &[], &log).await);
        assert_eq!(verdict.failure.class, FailureClass::Infra, "{code}");
        assert!(verdict.failure.message.contains("a test wants this"), "{verdict:?}");
    }
    stage.nothing_is_left();
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build and rpmbuild"]
async fn a_build_past_its_time_is_ended_and_cleaned_up_after() {
    let mut stage = Stage::new("{}");
    let marker = format!("pybit-test-mock-time-{}", std::process::id());
    let source = stage
        .source(&stage.tree("slow", &spec("slow", "", &format!("MARKER={marker} sleep 1000"))))
        .await;
    stage.wall = Duration::from_secs(4);
    let verdict = failed(stage.binary(&source, &[], &MemoryLog::default()).await);
    assert_eq!(verdict.failure.class, FailureClass::Build);
    assert!(verdict.failure.message.contains("time limit"), "{verdict:?}");
    assert_eq!(marked(&marker), [0; 0]);
    stage.nothing_is_left();
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build and rpmbuild"]
async fn a_cancelled_build_is_asked_to_end_and_its_root_removed_by_a_command_of_its_own() {
    let stage = Stage::new("{}");
    let marker = format!("pybit-test-mock-stop-{}", std::process::id());
    let build = format!("export MARKER={marker}; echo now building; setsid sleep 1000");
    let source = stage.source(&stage.tree("slow", &spec("slow", "", &build))).await;
    let (environment, work, log) = (stage.environment(), stage.work(), MemoryLog::default());
    let prepared = environment.prepare(&Stage::target(), &work, &log).await.unwrap();
    let cancelling = async {
        log.says("\nnow building\n").await;
        let start = Instant::now();
        prepared.stop().await.unwrap();
        start.elapsed()
    };
    let (ended, took) =
        tokio::join!(stage.run_binary(&*prepared, &work, &source, &[], &log), cancelling);
    assert!(matches!(ended, Ended::Badly { exit: Exit::Stopped, .. }), "{ended:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(marked(&marker), [0; 0]);
    assert!(stage.calls().iter().any(|call| call["signal"] == 15), "mock was killed at once");
    assert_eq!(stage.roots().len(), 2, "the job's and its bootstrap root");
    prepared.destroy().await.unwrap();
    assert_eq!(stage.modes().last().unwrap(), "scrub");
    stage.nothing_is_left();
}

#[tokio::test]
#[ignore = "needs root, the user pybit-build and rpmbuild"]
async fn a_root_that_a_killed_client_has_left_is_removed_at_the_next_start() {
    let stage = Stage::new("{}");
    let (environment, work, log) = (stage.environment(), stage.work(), MemoryLog::default());
    let prepared = environment.prepare(&Stage::target(), &work, &log).await.unwrap();
    let tree = stage.tree("worse", "nothing of a spec");
    stage.run_source(&*prepared, &work, &tree, &log).await;
    drop((prepared, environment));
    assert_eq!(stage.roots().len(), 2, "the job's and its bootstrap root");
    stage.environment().recover().await;
    stage.nothing_is_left();
    let calls = stage.calls().len();
    stage.environment().recover().await;
    assert_eq!(stage.calls().len(), calls, "nothing is removed twice");
}

#[tokio::test]
#[ignore = "needs root and the user pybit-build"]
async fn what_no_configuration_is_named_for_is_given_back() {
    let stage = Stage::new("{}");
    let log = MemoryLog::default();
    for other in [
        target("amd64", "mock"),
        Stage::target_of("s390x", "rpm"),
        Stage::target_of(std::env::consts::ARCH, "deb"),
    ] {
        let error = stage.environment().prepare(&other, &stage.work(), &log).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Unsupported, "no_mock_configuration"));
        assert!(error.message().contains("[[client.mock]]"), "{error}");
    }
    assert!(stage.calls().is_empty());
}

#[tokio::test]
#[ignore = "needs root and the user pybit-build"]
async fn a_machine_without_mock_says_what_to_do() {
    let stage = Stage::new("{}");
    let said = |change: &dyn Fn(&mut pybit_backends::env::MockConfig)| {
        let mut config = stage.config();
        change(&mut config);
        stage.open(config).unwrap_err().message().to_owned()
    };
    let missing = said(&|config| config.program = "pybit-no-such-mock".into());
    assert!(
        missing.contains("dnf install mock") && missing.contains("[[client.mock]]"),
        "{missing}"
    );
    assert!(said(&|config| config.group = "pybit-no-such-group".to_owned()).contains("no group"));
}
