//! What a repository refuses, and that a refusal changes nothing.

use std::fs;

use pybit_backends::publish::KeyChoice;
use pybit_core::ErrorKind;
use pybit_core::owners::NoPolicy;
use pybit_core::publish::Publisher;

use crate::fixture::{Fixture, listed, publish, rejection, set};

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn the_same_bytes_again_are_published_and_other_bytes_or_an_older_version_are_rejected() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let built = fixture.build("hello", "2.0");
    let name = publish(&repository, &built).await;
    assert_eq!(publish(&repository, &built).await, name, "publishing twice is harmless");

    let why = rejection(&repository, &fixture.build_with("hello", "2.0", "other")).await;
    assert!(why.contains("hello-bin 2.0 for amd64 already, with other bytes"), "{why}");
    let why = rejection(&repository, &fixture.build("hello", "1.9")).await;
    assert_eq!(why, "hello 1.9 is older than 2.0, which the repository has");
    assert_eq!(fixture.current(), name);
    assert_eq!(listed(&repository).await.len(), 3);
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_second_architecture_joins_the_first() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let first = fixture.build("hello", "1.0");
    publish(&repository, &first).await;
    let control = "Package: hello-bin\nVersion: 1.0\nArchitecture: arm64\nSource: hello\nSection: devel\n\
        Priority: optional\n";
    let deb = fixture.deb(control, "content", "hello-bin_1.0_arm64.deb");
    let mut second = set("hello", "1.0", &[deb], &[]);
    second.source_files.clone_from(&first.source_files);
    publish(&repository, &second).await;
    assert_eq!(
        listed(&repository).await,
        ["hello 1.0 source", "hello-bin 1.0 amd64", "hello-bin 1.0 arm64", "hello-doc 1.0 all"]
    );
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn what_does_not_belong_to_the_set_is_rejected() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let mut foreign = fixture.build("hello", "1.0");
    foreign.package = "bash".parse().unwrap();
    let why = rejection(&repository, &foreign).await;
    assert!(why.contains("was built from hello 1.0, but the set is of bash 1.0"), "{why}");

    let control = "Package: x\nVersion: 1.0\nArchitecture: mips\nSection: a\nPriority: optional\n";
    let deb = fixture.deb(control, "x", "x_1.0_mips.deb");
    let why = rejection(&repository, &set("x", "1.0", &[deb], &[])).await;
    assert_eq!(why, "x 1.0 is for mips, and the repository serves amd64, arm64");

    let junk = fixture.dir.path().join("x_1.0_amd64.deb");
    fs::write(&junk, "no package").unwrap();
    let why = rejection(&repository, &set("x", "1.0", &[junk], &[])).await;
    assert!(why.contains("is not a Debian package"), "{why}");
    assert!(rejection(&repository, &set("x", "1.0", &[], &[])).await.contains("no package"));
    assert_eq!(fixture.current(), "000001");
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_source_whose_tarball_is_missing_is_rejected_and_a_swapped_file_is_an_error() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let mut incomplete = fixture.build("hello", "1.0");
    incomplete.source_files.retain(|(spec, _)| spec.name.as_str().contains(".dsc"));
    let why = rejection(&repository, &incomplete).await;
    assert!(why.contains("hello_1.0.tar"), "{why}");

    let swapped = fixture.build("hello", "1.0");
    fs::write(&swapped.files[0].1, "other bytes").unwrap();
    let error = repository.publish(&swapped, &NoPolicy).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(fixture.current(), "000001");
    publish(&repository, &fixture.build("hello", "1.0")).await;
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_root_that_is_not_ours_is_refused_in_one_sentence() {
    let mut fixture = Fixture::new();
    let error =
        fixture.open().publish(&fixture.build("hello", "1.0"), &NoPolicy).await.unwrap_err();
    assert!(!fixture.config.root.exists(), "{error}");
    fixture.prepared().await;
    fixture.config.codename = "trixie".parse().unwrap();
    let error = fixture.open().prepare().await.unwrap_err();
    assert_eq!(error.code(), "foreign_repository");
    assert!(error.message().contains("another suite than trixie"), "{error}");
    fixture.config.root = fixture.dir.path().to_owned();
    assert_eq!(fixture.open().prepare().await.unwrap_err().code(), "foreign_repository");
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_lost_signing_key_is_never_replaced_behind_the_readers_backs() {
    let mut fixture = Fixture::new();
    let key = fixture.prepared().await.public_key().await.unwrap();
    fs::remove_dir_all(fixture.config.root.join("gnupg")).unwrap();
    let error = fixture.open().prepare().await.unwrap_err();
    assert_eq!(error.code(), "no_signing_key");
    assert_eq!(fixture.open().public_key().await.unwrap(), key);

    fixture.config.key = KeyChoice::Fingerprint("A".repeat(40));
    let error = fixture.open().prepare().await.unwrap_err();
    assert!(error.message().contains("--import"), "{error}");
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_package_that_describes_itself_without_end_is_rejected() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let priority = "x".repeat(17 << 20);
    let control =
        format!("Package: x\nVersion: 1.0\nArchitecture: all\nSection: a\nPriority: {priority}\n");
    let deb = fixture.deb(&control, "x", "x_1.0_all.deb");
    let why = rejection(&repository, &set("x", "1.0", &[deb], &[])).await;
    assert_eq!(why, "x_1.0_all.deb is described at unreasonable length");
    assert!(listed(&repository).await.is_empty());
}
