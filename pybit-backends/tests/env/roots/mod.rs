//! The packages of the farm's own repository in a Debian build root, with the real mmdebstrap, sbuild, apt and gpg.

mod farm;
mod rpm;

use pybit_core::model::FailureClass;

use farm::{Ended, Farm};

/// The case `sec-make`: a newer package of a name that every build needs.
const MAKE: &str = "Package: make\nVersion: 99:1.0\n";

#[tokio::test]
#[ignore = "needs sbuild, mmdebstrap, the Debian archive, gpg and the user pybit-build"]
async fn a_newer_package_of_the_farm_does_not_replace_the_distributions() {
    let farm = Farm::new();
    farm.add(MAKE);
    farm.add("Package: hello\nVersion: 99\n");
    farm.add("Package: libc6\nVersion: 99\nEssential: yes\nProvides: libpybit-any\n");
    farm.add("Package: build-essential\nVersion: 99\nDepends: make (>= 99)\n");
    farm.publish();
    let (log, ended) = farm.build("Build-Depends: hello\n", false).await;
    assert!(matches!(ended, Ended::Well), "{ended:?}\n{log}");
    assert!(!log.contains("FROM THE FARM") && !log.contains("99:1.0"), "{log}");
    assert!(log.contains("nothing of the farm is installed"), "{log}");
}

#[tokio::test]
#[ignore = "needs sbuild, mmdebstrap, the Debian archive, gpg and the user pybit-build"]
async fn a_relation_that_the_archive_cannot_close_takes_the_farms_exact_version_and_no_other() {
    let farm = Farm::new();
    farm.add(MAKE);
    farm.add("Package: hello\nVersion: 99-1\nDepends: pybit-data (= 99-1), make\n");
    farm.add("Package: pybit-data\nVersion: 99-1\nArchitecture: all\n");
    farm.add("Package: pybit-dev\nVersion: 2.0-1\nMulti-Arch: same\nDepends: pybit-lib2 (= 2.0-1), libc6-dev\n");
    farm.add("Package: pybit-lib2\nVersion: 2.0-1\nDepends: debianutils (>= 90), libc6\n");
    farm.add("Package: debianutils\nVersion: 90\nReplaces: debianutils (<< 90)\n");
    farm.add("Package: make-guile\nVersion: 99\nProvides: pybit-virtual\n");
    farm.add("Package: pybit-virtual-b\nVersion: 1\nProvides: pybit-virtual (= 7)\n");
    farm.publish();
    let wanted = "Build-Depends: hello (>= 90) | bash (>= 99), pybit-dev (>= 1), pybit-virtual\n";
    let (log, ended) = farm.build(wanted, false).await;
    assert!(matches!(ended, Ended::Well), "{ended:?}\n{log}");
    let mut lines: Vec<_> =
        log.lines().filter_map(|l| l.strip_prefix("pybit: from the farm: ")).collect();
    lines.sort_unstable();
    let names: Vec<_> = lines.iter().map(|l| l.split(" (").next().unwrap()).collect();
    let taken = [
        "debianutils 90",
        "hello 99-1",
        "pybit-data 99-1",
        "pybit-dev 2.0-1",
        "pybit-lib2 2.0-1",
        "pybit-virtual-b 1",
    ];
    assert_eq!(names, taken, "{log}");
    assert!(
        lines[1].contains("the archive has 2.10-3; the build needs hello (>= 90)), http://127.")
    );
    assert!(
        lines[2].contains("the archive has none; hello needs pybit-data (= 99-1)"),
        "{lines:?}"
    );
    assert!(!log.contains("FROM THE FARM: make"), "{log}");
    for name in ["hello", "pybit-lib2", "debianutils"] {
        assert!(log.contains(&format!("FROM THE FARM: {name}\n")), "{name}: {log}");
    }
}

#[tokio::test]
#[ignore = "needs sbuild, mmdebstrap, the Debian archive, gpg and the user pybit-build"]
async fn a_package_of_the_farm_that_takes_the_place_of_the_distributions_is_refused() {
    for (fields, says) in [
        (
            "Provides: make (= 99)\nConflicts: make\nReplaces: make\n",
            "would remove the distribution's make 4.3",
        ),
        ("Replaces: make\n", "would replace files of the distribution's make 4.3"),
        (
            "Files: usr/local/bin/gcc\n",
            "holds /usr/local/bin/gcc, which programs would find before",
        ),
    ] {
        let farm = Farm::new();
        farm.add(&format!("Package: pybit-evil\nVersion: 1\n{fields}"));
        farm.publish();
        let (log, ended) = farm.build("Build-Depends: pybit-evil\n", false).await;
        let Ended::Badly(verdict) = ended else { panic!("{log}") };
        assert_eq!(verdict.failure.class, FailureClass::Build, "{verdict:?}\n{log}");
        assert!(verdict.failure.message.contains(says), "{verdict:?}");
        assert!(!log.contains("FROM THE FARM"), "{log}");
    }
}

#[tokio::test]
#[ignore = "needs sbuild, mmdebstrap, the Debian archive, gpg and the user pybit-build"]
async fn what_neither_has_is_waited_for_by_its_own_relations() {
    let farm = Farm::new();
    farm.add("Package: pybit-dev\nVersion: 1.0\n");
    farm.add("Package: pybit-other\nVersion: 1.0\nDepends: pybit-missing (>= 3)\n");
    farm.publish();
    let wanted = "Build-Depends: pybit-dev (>= 2.0), bash (>= 99), pybit-other\n";
    let (log, ended) = farm.build(wanted, false).await;
    let Ended::Badly(verdict) = ended else { panic!("{log}") };
    assert_eq!(verdict.failure.class, FailureClass::DepWait, "{verdict:?}\n{log}");
    for relation in ["pybit-dev (>= 2.0)", "bash (>= 99)"] {
        assert!(verdict.unmet.iter().any(|u| u == relation), "{verdict:?}\n{log}");
    }
}

#[tokio::test]
#[ignore = "needs sbuild, mmdebstrap, the Debian archive, gpg and the user pybit-build"]
async fn a_repository_that_overlays_replaces_what_it_has_newer_and_says_so() {
    let farm = Farm::new();
    farm.add("Package: debianutils\nVersion: 90\n");
    farm.publish();
    let (log, ended) = farm.build("", true).await;
    assert!(matches!(ended, Ended::Well), "{ended:?}\n{log}");
    assert!(log.contains("pybit: overlay: the newest of the archive and of http://127."), "{log}");
    assert!(log.contains("FROM THE FARM: debianutils"), "{log}");
}
