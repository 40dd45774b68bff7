//! The program does what it says: a real package, built and published by a farm within it.
#![expect(clippy::disallowed_methods, reason = "the test starts the program that people start")]

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
#[ignore = "needs dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_package_is_built_and_published_by_a_farm_within_the_program() {
    let dir = tempfile::tempdir().unwrap();
    // The build user enters it.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../packages/pybit-greeting");
    let data = dir.path().join("data");
    let run = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_pybit-embed"));
        let ended = program.arg(&data).arg(sample).output().unwrap();
        (ended.status.success(), String::from_utf8_lossy(&ended.stdout).into_owned(), ended.stderr)
    };
    let (fine, said, complaints) = run();
    assert!(fine, "{said}\n{}", String::from_utf8_lossy(&complaints));
    assert_eq!(said.matches("dpkg-deb: building package 'pybit-greeting'").count(), 1, "{said}");
    assert_eq!(said.matches(": Done\n").count(), 2, "a source job and a binary job: {said}");
    let line = said.lines().find(|l| l.starts_with("deb [signed-by=")).expect("where apt finds it");
    assert!(line.contains("http://127.0.0.1:") && line.ends_with(" main"), "{line}");
    let suite = line.split(' ').nth(3).unwrap();
    let index = data.join("repositories").join(format!("{suite}/current/dists/{suite}/InRelease"));
    assert!(std::fs::read_to_string(&index).unwrap().contains("BEGIN PGP SIGNED MESSAGE"));

    let (fine, said, complaints) = run();
    let complaints = String::from_utf8_lossy(&complaints);
    assert!(
        !fine && (complaints.contains("same_version") || said.contains(": Failed")),
        "the farm remembers: {said}{complaints}"
    );
}
