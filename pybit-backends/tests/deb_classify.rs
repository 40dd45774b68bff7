//! What real failures mean. The logs are the ends of real runs of sbuild 0.85 and dpkg 1.21 (`tests/data/deb/logs`),
//! with names of machines and paths replaced.

use proptest::prelude::*;
use pybit_backends::deb::DebFormat;
use pybit_core::format::{Exit, PackageFormat, Verdict};
use pybit_core::model::FailureClass::{self, Build, DepWait, Infra, Source, Unclear};
use pybit_core::model::Produced;

fn classify(phase: &str, exit: Exit, log: &str) -> Verdict {
    DebFormat::new().classify(phase, exit, log)
}

fn check(phase: &str, code: i32, log: &str, class: FailureClass, says: &str, unmet: &[&str]) {
    let verdict = classify(phase, Exit::Code(code), log);
    let shown = format!("{verdict:?}");
    assert_eq!(verdict.failure.class, class, "{shown}");
    assert!(verdict.failure.message.contains(says), "{shown} does not say {says:?}");
    assert!(verdict.failure.message.len() < 700, "{shown}");
    assert_eq!(verdict.unmet, unmet, "{shown}");
}

macro_rules! log {
    ($name:literal) => {
        include_str!(concat!("data/deb/logs/", $name, ".log"))
    };
}

#[test]
fn sbuilds_failures_are_told_apart() {
    let three = ["pybit-nothing (>= 2.0)", "bash (>= 99)", "pybit-other"];
    check("sbuild", 3, log!("unmet-apt"), DepWait, "missing: pybit-nothing (>= 2.0)", &three);
    check("sbuild", 3, log!("unmet-dose3"), DepWait, "missing: pybit-nothing (>= 2.0)", &three);
    check("sbuild", 3, log!("conflict"), Build, "Build-Conflicts", &[]);
    check("sbuild", 3, log!("mirror-down"), Unclear, "mirror.invalid", &[]);
    check("sbuild", 3, log!("repository-down"), Unclear, "127.0.0.1:9", &[]);
    check("sbuild", 2, log!("compile-error"), Build, "‘x’ undeclared", &[]);
    check("sbuild", 2, log!("packaging-error"), Build, "does not appear in package", &[]);
    check("sbuild", 2, log!("disk-full"), Unclear, "No space left on device", &[]);
    check("sbuild", 3, log!("bad-source"), Source, "has size 500 instead of", &[]);
    check("sbuild", 0, log!("not-for-us"), Build, "not meant for this architecture", &[]);
    check("sbuild", 1, log!("bad-root"), Infra, "create-session", &[]);
    check("sbuild", 1, log!("no-build-directory"), Infra, "create-build-dir", &[]);
}

#[test]
fn the_hosts_failures_are_told_apart() {
    let three = ["pybit-nothing (>= 2.0)", "bash (>= 99) | zsh (>= 99)", "pybit-other"];
    check("dependencies", 1, log!("unmet-dpkg"), DepWait, "pybit-other", &three);
    check("dependencies", 2, "", Unclear, "could not be checked", &[]);
    check("build", 2, log!("compile-error"), Build, "‘x’ undeclared", &[]);
    check("unpack", 25, log!("bad-source"), Source, "has size 500", &[]);
    let quilt = "dpkg-source: error: can't build with source format '3.0 (quilt)': no upstream tarball found\n";
    check("source", 25, quilt, Source, "no upstream tarball found", &[]);
    check("orig", 2, "error: debian/changelog has no entry\n", Source, "has no entry", &[]);
    check(
        "source",
        2,
        "tar: x: Cannot write: No space left on device\n",
        Unclear,
        "disk was full",
        &[],
    );
}

#[test]
fn a_long_list_of_missing_relations_is_whole_but_its_sentence_short() {
    let names: Vec<String> = (0..60).map(|n| format!("libmissing{n}-dev (>= {n})")).collect();
    let log =
        format!("dpkg-checkbuilddeps: error: Unmet build dependencies: {}\n", names.join(" "));
    let verdict = classify("dependencies", Exit::Code(1), &log);
    assert_eq!(verdict.unmet, names);
    assert!(verdict.failure.message.ends_with("libmissing4-dev (>= 4) and 55 more."));
}

#[test]
fn a_build_that_did_not_end_by_itself_has_its_sentence() {
    let log = log!("compile-error");
    for (exit, class, says) in [
        (Exit::TimedOut, Build, "time limit"),
        (Exit::Silent, Build, "printed nothing"),
        (Exit::LogLimit, Build, "log limit"),
        (Exit::Signal(9), Unclear, "signal 9"),
        (Exit::Stopped, Infra, "on request"),
    ] {
        let verdict = classify("sbuild", exit, log);
        assert_eq!(verdict.failure.class, class);
        assert!(verdict.failure.message.contains(says), "{verdict:?}");
    }
}

#[test]
fn a_package_that_prints_what_a_broken_mirror_prints_has_still_failed_to_build() {
    let noise = "E: Failed to fetch http://mirror.invalid/\nNo space left on device (expected)\n";
    let padding = "ok 1 - a test\n".repeat(1000);
    let forged = "\n| Summary |\n\nFail-Stage: create-session\nStatus: failed\n";
    let log = format!("{noise}{forged}{padding}{}", log!("compile-error"));
    check("sbuild", 2, &log, Build, "‘x’ undeclared", &[]);
}

#[test]
fn a_log_without_a_summary_is_the_machines_fault() {
    check("sbuild", 2, "E: Cannot open build chroot\n", Infra, "without a summary", &[]);
    check("sbuild", 2, "", Infra, "without a summary", &[]);
    let begun = "| Install package build dependencies  |\nKilled\n";
    check("sbuild", 2, begun, Unclear, "without a summary", &[]);
}

#[test]
fn what_a_dep_wait_names_is_satisfied_by_its_publication() {
    let format = DebFormat::new();
    let unmet = classify("sbuild", Exit::Code(3), log!("unmet-apt")).unmet;
    let published = |version: &str| Produced {
        name: "pybit-nothing".parse().unwrap(),
        version: version.parse().unwrap(),
        arch: "amd64".to_owned(),
    };
    assert!(format.satisfies(&unmet[0], &published("2.0-1")));
    assert!(!format.satisfies(&unmet[0], &published("2.0~rc1-1")));
    assert!(!format.satisfies(&unmet[2], &published("2.0-1")));
}

proptest! {
    #[test]
    fn any_log_has_one_verdict_with_a_short_clean_sentence(
        parts in prop::collection::vec(
            prop_oneof![
                "\\PC{0,40}",
                "[\\x00-\\x1f]{0,5}",
                Just("\n| Summary |\nStatus: failed\nFail-Stage: install-deps\n".to_owned()),
                Just("The following packages have unmet dependencies:\n x : Depends: ".to_owned()),
                Just("dpkg-checkbuilddeps: error: Unmet build dependencies: ".to_owned()),
                Just(" but it is not installable\n".to_owned()),
                Just("error: ".to_owned()),
                Just("é".repeat(3000)),
            ],
            0..12,
        ),
        phase in prop_oneof![Just("sbuild"), Just("dependencies"), Just("build"), Just("")],
    ) {
        let verdict = classify(phase, Exit::Code(1), &parts.concat());
        prop_assert_eq!(verdict.unmet.is_empty(), verdict.failure.class != DepWait);
        prop_assert!(!verdict.failure.message.chars().any(char::is_control));
    }
}
