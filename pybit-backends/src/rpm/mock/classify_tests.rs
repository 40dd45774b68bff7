//! Logs as mock and its package managers write them.

use pybit_core::model::FailureClass;

use super::*;

fn of(phase: &str, code: i32, log: &str) -> (FailureClass, String, Vec<String>) {
    let verdict = classify(phase, code, log);
    (verdict.failure.class, verdict.failure.message, verdict.unmet)
}

/// mock's last words about a failed command.
fn last_words(command: &str, output: &str) -> String {
    format!(
        "ERROR: Exception(/job/inbox/x-1-1.src.rpm) Config(fedora-40-x86_64) 0 minutes 7 seconds\nINFO: Results and/or logs in: /job/output\n\
         INFO: Cleaning up build root ('cleanup_on_failure=True')\nStart: clean chroot\nFinish: clean chroot\nERROR: Command failed: \n # {command}\n{output}\n"
    )
}

const BUILDDEP: &str = "/usr/bin/dnf builddep --installroot /var/lib/mock/f/root/ --releasever 40 /var/lib/mock/f/root//builddir/build/SRPMS/x-1-1.src.rpm";

#[test]
fn the_relations_that_a_package_manager_names_are_waited_for() {
    for (code, said, unmet) in [
        (
            30,
            "No matching package to install: 'foo-devel >= 1.2'\r\nNo matching package to install: 'bar'\r\nNot all dependencies satisfied\r\nError: Some packages could not be found.",
            vec!["foo-devel >= 1.2", "bar"],
        ),
        (30, "Failed to resolve the transaction:\nNo match for argument: foo", vec!["foo"]),
        (30, "No match for argument: \u{1b}[1mfoo = 2\u{1b}[m\u{1b}(B", vec!["foo = 2"]),
        (
            30,
            "Error: \n Problem: conflicting requests\n  - nothing provides libfoo >= 3 needed by foo-devel-3-1.x86_64",
            vec!["libfoo >= 3"],
        ),
        (10, "No Package found for foo >= 1", vec!["foo >= 1"]),
    ] {
        let (class, message, named) = of("mock-build", code, &last_words(BUILDDEP, said));
        assert_eq!(
            (class, named),
            (FailureClass::DepWait, unmet.iter().map(|&u| u.to_owned()).collect()),
            "{said}: {message}"
        );
    }
}

#[test]
fn a_package_manager_that_names_nothing_is_not_the_packages_fault() {
    let failed =
        "Error: Failed to download metadata for repo 'fedora': Cannot prepare internal mirrorlist";
    let (class, message, unmet) = of("mock-build", 30, &last_words(BUILDDEP, failed));
    assert_eq!((class, unmet.len()), (FailureClass::Unclear, 0));
    assert!(message.ends_with("Cannot prepare internal mirrorlist"), "{message}");
    // The root itself cannot be made: nothing that the farm publishes mends that.
    let root = last_words(
        "/usr/bin/dnf --installroot /r install @buildsys-build",
        "No match for argument: @buildsys-build",
    );
    assert_eq!(of("mock-build", 30, &root).0, FailureClass::Infra);
    // What the package printed is not the package manager's word.
    let told = format!("No matching package to install: 'evil'\n{}", last_words(BUILDDEP, failed));
    assert_eq!(of("mock-build", 30, &told).0, FailureClass::Unclear);
}

#[test]
fn a_failed_rpmbuild_is_told_by_its_log_whatever_the_code() {
    let ended = |section: &str| {
        format!(
            "hello.c:3:1: error: expected ';'\nerror: Bad exit status from /var/tmp/rpm-tmp.a1 ({section})\n\nRPM build errors:\n    \
             Bad exit status from /var/tmp/rpm-tmp.a1 ({section})\n{}",
            last_words(
                "bash --login -c /usr/bin/rpmbuild -bb --target x86_64 --nodeps /builddir/build/SPECS/x.spec",
                ""
            )
        )
    };
    for (section, class) in [
        ("%prep", FailureClass::Source),
        ("%generate_buildrequires", FailureClass::Build),
        ("%build", FailureClass::Build),
        ("%check", FailureClass::Build),
    ] {
        for code in [1, 10] {
            let (found, message, _) = of("mock-build", code, &ended(section));
            assert_eq!(found, class, "{section} {code}");
            assert!(message.contains(section) && message.ends_with("expected ';'"), "{message}");
        }
    }
    let spec = format!(
        "error: line 3: Unknown tag: Foo\n{}",
        last_words("bash --login -c /usr/bin/rpmbuild -bs --nodeps x.spec", "")
    );
    let (class, message, _) = of("mock-build", 1, &spec);
    assert_eq!(class, FailureClass::Source);
    assert!(message.ends_with("error: line 3: Unknown tag: Foo"), "{message}");
}

#[test]
fn the_codes_of_mock_itself_are_the_machines_fault() {
    for code in [2, 3, 5, 6, 20, 25, 50, 60, 65, 70, 80, 90, 110, 120, 129, 141, 143] {
        for phase in ["mock-build", "mock-init", "mock-copy-out", "mock-unpack"] {
            let (class, message, _) =
                of(phase, code, "ERROR: Build root is locked by another process.\n");
            let signal = matches!(code, 129 | 141 | 143);
            let expected = if signal { FailureClass::Unclear } else { FailureClass::Infra };
            assert_eq!(class, expected, "{phase} {code}");
            assert!(message.contains(&format!("(exit code {code})")), "{message}");
        }
    }
    let (class, message, _) =
        of("mock-build", 60, "INFO: x\nERROR: Build root is locked by another process.\n");
    assert_eq!(class, FailureClass::Infra);
    assert!(message.contains("locked by another process (exit code 60)"), "{message}");
    let group = "ERROR: Must be member of 'mock' group to run mock! (pybit-build)\n";
    let (class, message, _) = of("mock-build", 1, group);
    assert_eq!(
        (class, message.as_str()),
        (
            FailureClass::Infra,
            "mock failed (exit code 1): Must be member of 'mock' group to run mock! (pybit-build)"
        )
    );
}

#[test]
fn time_and_source_packages_are_told_apart() {
    assert_eq!(of("mock-build", 11, &last_words("rpmbuild", "")).0, FailureClass::Build);
    assert_eq!(of("mock-build", 31, "").0, FailureClass::Source);
    let none = "ERROR: Exception(x) Config(y) 0 minutes 1 seconds\nERROR: No build results found\n";
    assert_eq!(of("mock-build", 40, none).0, FailureClass::Build);
    let bad = "ERROR: Exception(x) Config(y) 0 minutes 1 seconds\nERROR: Bad srpm: x.src.rpm\n";
    let (class, message, _) = of("mock-build", 40, bad);
    assert_eq!(
        (class, message.as_str()),
        (FailureClass::Source, "mock does not take the source package: Bad srpm: x.src.rpm")
    );
}

#[test]
fn a_tree_that_makes_no_source_package_says_why() {
    let log = "error: the tree holds no .spec file\nERROR: Command failed: \n # perl /pybit/make-srpm.pl\n";
    for code in [2, 255] {
        let (class, message, _) = of("mock-source", code, log);
        assert_eq!(class, FailureClass::Source);
        assert!(message.ends_with("error: the tree holds no .spec file"), "{message}");
    }
}

#[test]
fn a_full_disk_counts_against_nobody() {
    let log = last_words(BUILDDEP, "Error: No space left on device");
    assert_eq!(of("mock-build", 30, &log).0, FailureClass::Unclear);
}
