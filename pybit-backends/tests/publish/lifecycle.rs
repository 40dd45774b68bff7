//! What readers get: first state, publication, upgrade, removal, changed configuration.

use std::fs;
use std::time::Duration;

use pybit_core::publish::Publisher;

use crate::fixture::{Fixture, listed, must, publish, removal, set};
use crate::reader::{Apt, indices, read_all};

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn an_empty_repository_is_readable_and_preparing_again_changes_nothing() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let key = repository.public_key().await.unwrap();
    Apt::new(&fixture.site(), "bookworm", &key).get(&["update"]);
    fixture.open().prepare().await.unwrap();
    assert_eq!(fixture.current(), "000001");
    assert_eq!(repository.public_key().await.unwrap(), key);
    assert!(listed(&repository).await.is_empty());
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn apt_verifies_and_downloads_what_was_published() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let built = fixture.build("hello", "1.0");
    assert_eq!(publish(&repository, &built).await, "000002");
    assert_eq!(
        listed(&repository).await,
        ["hello 1.0 source", "hello-bin 1.0 amd64", "hello-doc 1.0 all"]
    );
    let key = repository.public_key().await.unwrap();
    let apt = Apt::new(&fixture.site(), "bookworm", &key);
    apt.get(&["update"]);
    let out = apt.get(&["download", "hello-bin", "hello-doc"]);
    apt.get(&["source", "--download-only", "hello"]);
    for (spec, path) in built.files.iter().chain(&built.source_files) {
        let got = fs::read(out.join(spec.name.as_str())).unwrap();
        assert_eq!(got, fs::read(path).unwrap(), "{}", spec.name);
    }
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn apt_refuses_the_repository_with_another_key_and_with_a_changed_byte() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let repository = fixture.prepared().await;
    let wrong = other.prepared().await.public_key().await.unwrap();
    let said = Apt::new(&fixture.site(), "bookworm", &wrong).fail(&["update"]);
    assert!(said.contains("NO_PUBKEY") || said.contains("not signed"), "{said}");

    let path = fixture.site().join("dists/bookworm/InRelease");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("Origin: pybit", "Origin: pybif")).unwrap();
    let key = repository.public_key().await.unwrap();
    let said = Apt::new(&fixture.site(), "bookworm", &key).fail(&["update"]);
    assert!(said.contains("BADSIG") || said.contains("invalid"), "{said}");
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_reader_of_the_previous_state_still_finds_everything_after_an_upgrade() {
    let mut fixture = Fixture::new();
    fixture.config.keep_files = Duration::ZERO;
    fixture.config.keep_snapshots = 2;
    let repository = fixture.prepared().await;
    publish(&repository, &fixture.build("hello", "1.0")).await;
    let site = fixture.site();
    let release = || fs::read_to_string(site.join("dists/bookworm/InRelease")).unwrap();
    let old = release();

    publish(&repository, &fixture.build("hello", "2.0")).await;
    assert_ne!(indices(&old), indices(&release()));
    assert_eq!(read_all(&site, &old), Ok(3), "1.0 through current, which is 2.0");
    assert_eq!(read_all(&site, &release()), Ok(3));

    publish(&repository, &fixture.build("world", "1.0")).await;
    assert_eq!(read_all(&site, &old), Ok(3), "kept for two states");
    publish(&repository, &fixture.build("more", "1.0")).await;
    assert!(read_all(&site, &old).is_err(), "and no longer");
    let kept = fs::read_dir(fixture.config.root.join("snapshots")).unwrap().count();
    assert_eq!(kept, 2);
    assert_eq!(fs::read_dir(fixture.config.root.join("states")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(fixture.config.root.join("work")).unwrap().count(), 0);
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn removing_takes_a_source_and_all_that_was_built_from_it() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    publish(&repository, &fixture.build("libhello++", "1.0")).await;
    publish(&repository, &fixture.build("world", "1.0")).await;
    assert!(!repository.remove(&removal("libhello++", None)).await.unwrap().is_empty());
    assert_eq!(
        listed(&repository).await,
        ["world 1.0 source", "world-bin 1.0 amd64", "world-doc 1.0 all"]
    );
    let before = fixture.current();
    assert!(repository.remove(&removal("libhello++", None)).await.unwrap().is_empty());
    assert_eq!(fixture.current(), before);
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_new_architecture_gets_what_is_for_all_and_a_dropped_one_goes() {
    let mut fixture = Fixture::new();
    publish(&fixture.prepared().await, &fixture.build("hello", "1.0")).await;
    fixture.config.arches = ["arm64", "riscv64"].map(|a| a.parse().unwrap()).to_vec();
    fixture.config.suite = "stable".parse().unwrap();
    let repository = fixture.prepared().await;
    let top = fixture.site().join("dists/bookworm/main");
    let packages = fs::read_to_string(top.join("binary-riscv64/Packages")).unwrap();
    assert!(packages.contains("Package: hello-doc\n"), "{packages}");
    assert!(!top.join("binary-amd64/Packages").exists());
    assert_eq!(listed(&repository).await, ["hello 1.0 source", "hello-doc 1.0 all"]);
    let key = repository.public_key().await.unwrap();
    let apt = Apt::new(&fixture.site(), "stable", &key);
    apt.get(&["-o", "APT::Architecture=riscv64", "-o", "APT::Architectures=riscv64", "update"]);

    fixture.prepared().await;
    assert_eq!(fixture.current(), "000003", "nothing has changed again");
    assert!(!repository.remove(&removal("hello", None)).await.unwrap().is_empty());
    assert!(listed(&repository).await.is_empty());
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn packages_without_a_section_debug_packages_and_installer_packages_are_published() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let fields = |name: &str, more: &str| {
        format!("Package: {name}\nVersion: 1:1.0\nArchitecture: amd64\nSource: odd (1.0)\n{more}")
    };
    let files = [
        fixture.deb(&fields("odd", ""), "x", "odd_1.0_amd64.deb"),
        fixture.deb(
            &fields("odd-dbgsym", "Package-Type: ddeb\nSection: debug\nPriority: optional\n"),
            "x",
            "odd-dbgsym_1.0_amd64.ddeb",
        ),
        fixture.deb(
            &fields("odd-udeb", "Section: debian-installer\nPriority: optional\n"),
            "x",
            "odd-udeb_1.0_amd64.udeb",
        ),
    ];
    publish(&repository, &set("odd", "1.0", &files, &[])).await;
    assert_eq!(
        listed(&repository).await,
        ["odd 1:1.0 amd64", "odd-dbgsym 1:1.0 amd64", "odd-udeb 1:1.0 amd64"]
    );
    publish(&repository, &fixture.build("hello", "1.0")).await;
    assert!(!repository.remove(&removal("odd", None)).await.unwrap().is_empty());
    assert_eq!(listed(&repository).await.len(), 3);
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_long_path_and_a_limited_validity_are_no_obstacle() {
    let mut fixture = Fixture::new();
    fixture.config.root = fixture.dir.path().join("deep/".repeat(30)).join("repository");
    fixture.config.valid_until = Some(Duration::from_hours(24));
    let repository = fixture.prepared().await;
    let key = repository.public_key().await.unwrap();
    Apt::new(&fixture.site(), "bookworm", &key).get(&["update"]);
    let release = fs::read_to_string(fixture.site().join("dists/bookworm/Release")).unwrap();
    assert!(release.contains("\nValid-Until: "), "{release}");
    let gnupg = fixture.config.root.join("gnupg");
    let shown = must(&["stat", "-c", "%a", gnupg.to_str().unwrap()], fixture.dir.path());
    assert_eq!(shown.trim(), "700");
    let session = gnupg.join("session");
    assert!(!session.exists(), "no agent stays behind");
    let abandoned = fixture.dir.path().join("pybit-gpg-killed");
    fs::create_dir(&abandoned).unwrap();
    fs::write(&session, abandoned.to_str().unwrap()).unwrap();
    fixture.open().prepare().await.unwrap();
    assert!(!abandoned.exists() && !session.exists());
}
