//! The names, components, validity and keys of an apt repository.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pybit_backends::publish::{Identity, KeyChoice, Reprepro};
use pybit_core::clock::{Clock, ManualClock, SystemClock};
use pybit_core::owners::NoPolicy;
use pybit_core::publish::Publisher;

use crate::fixture::{Fixture, must, publish, rejection, set};
use crate::reader::Apt;

const DAY: Duration = Duration::from_hours(24);

fn release(fixture: &Fixture, path: &str) -> String {
    fs::read_to_string(fixture.site().join("dists/bookworm").join(path)).unwrap()
}

/// A clock that stands so many days before the machine's own.
fn clock_before(days: u32) -> Arc<ManualClock> {
    let now = SystemClock.now().as_micros();
    let days = i64::from(days) * 86_400_000_000;
    Arc::new(ManualClock::at(pybit_core::clock::Timestamp::from_micros(now - days)))
}

async fn prepared_at(fixture: &Fixture, clock: &Arc<ManualClock>) -> Reprepro {
    let repository = fixture.open_at(Arc::clone(clock) as Arc<dyn Clock>);
    repository.prepare().await.unwrap();
    repository
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_repository_bears_the_farms_name_and_never_the_distributions() {
    let mut fixture = Fixture::new();
    fixture.config.identity = Identity::new("acme", "bookworm");
    fixture.config.identity.description = "Packages of Acme".into();
    fixture.prepared().await;
    for path in ["InRelease", "main/binary-amd64/Release", "contrib/source/Release"] {
        let text = release(&fixture, path);
        assert!(text.contains("Origin: acme\nLabel: acme bookworm\n"), "{path}: {text}");
        assert!(!text.contains("Origin: Debian"), "{path}");
    }
    assert!(release(&fixture, "InRelease").contains("\nDescription: Packages of Acme\n"));
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn apt_holds_back_what_is_not_automatic() {
    for (upgrades, priority) in [(true, "100"), (false, "1")] {
        let mut fixture = Fixture::new();
        fixture.config.identity.not_automatic = true;
        fixture.config.identity.but_automatic_upgrades = upgrades;
        let repository = fixture.prepared().await;
        publish(&repository, &fixture.build("hello", "1.0")).await;
        let key = repository.public_key().await.unwrap();
        let apt = Apt::new(&fixture.site(), "bookworm", &key);
        apt.get(&["update"]);
        let policy = apt.cache(&["policy", "hello-bin"]);
        let line = policy.lines().find(|l| l.contains("copy:")).unwrap_or_default();
        assert!(line.trim_start().starts_with(&format!("{priority} ")), "{policy}");
    }
}

/// The pattern is that of unattended-upgrades' own configuration: `origin=Debian,codename=…,label=Debian`.
#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn what_takes_the_distributions_packages_takes_none_of_the_farms() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    publish(&repository, &fixture.build("hello", "1.0")).await;
    let key = repository.public_key().await.unwrap();
    let apt = Apt::new(&fixture.site(), "bookworm", &key);
    apt.get(&["update"]);
    assert!(apt.list("?origin(^pybit$)").contains("hello-bin"));
    assert!(!apt.list("?origin(Debian)").contains("hello"));
}

fn package(fixture: &Fixture, name: &str, version: &str, section: &str) -> PathBuf {
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nSection: {section}\nPriority: optional\n"
    );
    fixture.deb(&control, section, &format!("{name}_{version}_all.deb"))
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_package_is_in_the_component_of_its_section_and_moves_with_it() {
    let fixture = Fixture::new();
    let repository = fixture.prepared().await;
    let file = package(&fixture, "glue", "1.0", "contrib/devel");
    publish(&repository, &set("glue", "1.0", &[file], &[])).await;
    let key = repository.public_key().await.unwrap();
    let contrib = Apt::with(&fixture.site(), "bookworm contrib", &key);
    contrib.get(&["update"]);
    contrib.get(&["download", "glue"]);
    let main = Apt::with(&fixture.site(), "bookworm main non-free non-free-firmware", &key);
    main.get(&["update"]);
    main.fail(&["download", "glue"]);

    let file = package(&fixture, "glue", "2.0", "devel");
    publish(&repository, &set("glue", "2.0", &[file], &[])).await;
    main.get(&["update"]);
    main.get(&["download", "glue=2.0"]);
    contrib.get(&["update"]);
    contrib.fail(&["download", "glue"]);
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_repository_of_one_component_gets_the_others_when_it_is_prepared() {
    let mut fixture = Fixture::new();
    fixture.config.components = vec!["main".into()];
    let repository = fixture.prepared().await;
    let files = [
        package(&fixture, "glue", "1.0", "contrib/devel"),
        package(&fixture, "blob", "1.0", "non-free/misc"),
        package(&fixture, "tool", "1.0", "devel"),
    ];
    for (file, name) in files.into_iter().zip(["glue", "blob", "tool"]) {
        publish(&repository, &set(name, "1.0", &[file], &[])).await;
    }
    publish(&repository, &fixture.build("hello", "1.0")).await;
    let before = repository.list().await.unwrap();
    let wide = ["main", "contrib", "non-free"].map(str::to_owned).to_vec();
    for components in [wide, vec!["main".into()]] {
        fixture.config.components.clone_from(&components);
        let repository = fixture.prepared().await;
        assert_eq!(repository.list().await.unwrap(), before);
        let line = format!("bookworm {}", components.join(" "));
        let key = repository.public_key().await.unwrap();
        let apt = Apt::with(&fixture.site(), &line, &key);
        apt.get(&["update"]);
        apt.get(&["download", "glue", "blob", "tool", "hello-bin"]);
        let contrib = fixture.site().join("pool/contrib/g/glue/glue_1.0_all.deb");
        let listed = fixture.site().join("dists/bookworm/contrib/binary-amd64/Packages");
        assert_eq!(listed.exists(), components.len() == 3);
        assert!(components.len() == 1 || contrib.exists());
    }
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn an_index_is_renewed_after_a_third_of_its_validity_though_nothing_is_published() {
    let mut fixture = Fixture::new();
    fixture.config.valid_until = Some(14 * DAY);
    let clock = clock_before(0);
    let repository = prepared_at(&fixture, &clock).await;
    let first = repository.tend().await.unwrap();
    assert_eq!(fixture.current(), "000001", "not due");
    assert!(release(&fixture, "InRelease").contains("\nValid-Until: "));
    clock.advance(4 * DAY);
    assert_eq!(repository.tend().await.unwrap(), first, "not due");
    clock.advance(DAY);
    let second = repository.tend().await.unwrap();
    assert_eq!(fixture.current(), "000002");
    let (old, new) = (first.valid_until.unwrap(), second.valid_until.unwrap());
    assert_eq!((new.since(old), second.trouble), (5 * DAY, None));

    fixture.config.valid_until = None;
    let repository = prepared_at(&fixture, &clock).await;
    assert!(!release(&fixture, "InRelease").contains("Valid-Until"), "configuration is followed");
    assert_eq!(repository.tend().await.unwrap().valid_until, None);
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn apt_refuses_an_expired_index_and_takes_it_once_it_was_tended() {
    let mut fixture = Fixture::new();
    fixture.config.valid_until = Some(14 * DAY);
    let clock = clock_before(20);
    let repository = prepared_at(&fixture, &clock).await;
    let apt = Apt::new(&fixture.site(), "bookworm", &repository.public_key().await.unwrap());
    // Machines for tests may have both switched off, and the first counts only with the second.
    let check = ["-o", "Acquire::Check-Valid-Until=true", "-o", "Acquire::Check-Date=true"];
    let update = [&check[..], &["update"]].concat();
    let said = apt.fail(&update);
    assert!(said.contains("expired"), "{said}");
    clock.advance(20 * DAY);
    assert_eq!(repository.tend().await.unwrap().trouble, None);
    apt.get(&update);
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn a_key_is_renewed_before_its_end_and_given_out_again() {
    let mut fixture = Fixture::new();
    fixture.config.key_life = Some(300 * DAY);
    let clock = clock_before(0);
    let repository = prepared_at(&fixture, &clock).await;
    let old = repository.public_key().await.unwrap();
    let first = repository.tend().await.unwrap().key_expires_at.unwrap();
    assert!(first.since(clock.now()) > 299 * DAY, "{first}");
    assert_eq!(repository.public_key().await.unwrap(), old, "not due");
    clock.advance(205 * DAY);
    let second = repository.tend().await.unwrap();
    assert!(second.key_expires_at.unwrap().since(first) > 204 * DAY, "{second:?}");
    let new = repository.public_key().await.unwrap();
    assert_ne!(new, old);
    assert_eq!(fs::read_to_string(fixture.site().join("pybit.asc")).unwrap(), new);
    // A key without end gets one.
    let mut endless = Fixture::new();
    prepared_at(&endless, &clock).await;
    endless.config.key_life = Some(300 * DAY);
    let repository = prepared_at(&endless, &clock).await;
    assert!(repository.tend().await.unwrap().key_expires_at.is_some());
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn the_keyring_package_brings_the_new_key_to_readers() {
    let mut fixture = Fixture::new();
    fixture.config.keyring = Some("acme-archive-keyring".into());
    let clock = clock_before(1);
    let repository = prepared_at(&fixture, &clock).await;
    let old = repository.public_key().await.unwrap();
    let apt = Apt::new(&fixture.site(), "bookworm", &old);
    let fetched = |apt: &Apt, n: usize| {
        apt.get(&["update"]);
        let out = apt.get(&["download", "acme-archive-keyring"]);
        let debs = fs::read_dir(&out).unwrap().map(|e| e.unwrap().path());
        let mut debs: Vec<_> = debs.filter(|p| p.extension().is_some_and(|e| e == "deb")).collect();
        debs.sort();
        assert_eq!(debs.len(), n, "{debs:?}");
        let place = out.join(format!("unpacked-{n}"));
        must(&["dpkg-deb", "-x", debs[n - 1].to_str().unwrap(), place.to_str().unwrap()], &out);
        place.join("usr/share/keyrings/acme-archive-keyring")
    };
    let first = fetched(&apt, 1);
    assert_eq!(fs::read_to_string(first.with_extension("asc")).unwrap(), old);
    prepared_at(&fixture, &clock).await;
    assert_eq!(fixture.current(), "000002", "the same keys make no new package");

    clock.advance(Duration::from_hours(1));
    fs::write(fixture.config.root.join("roll-key"), "").unwrap();
    assert_eq!(repository.tend().await.unwrap().trouble, None);
    let both = fetched(&apt, 2).with_extension("gpg");
    let copy = fixture.dir.path().join("during");
    let (site, to) = (fixture.site().display().to_string(), copy.display().to_string());
    must(&["cp", "-rL", &site, &to], fixture.dir.path());
    let line = format!("deb [signed-by={}] copy:{to} bookworm main\n", both.display());
    apt.set_sources(&line);
    apt.get(&["update"]);

    let forged = package(&fixture, "acme-archive-keyring", "9999", "misc");
    let why = rejection(&repository, &set("acme-archive-keyring", "9999", &[forged], &[])).await;
    assert!(why.contains("the repository's own package"), "{why}");
}

/// Imports a key that expired in 2021; its fingerprint.
fn import_expired(fixture: &Fixture) -> String {
    let home = tempfile::Builder::new().prefix("gpg").tempdir().unwrap();
    let gnupg = fixture.config.root.join("gnupg");
    let gpg = |home: &str, args: &[&str]| {
        let fixed = ["gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback"];
        let argv = [&fixed[..], &["--passphrase", ""], args].concat();
        must(&argv, fixture.dir.path())
    };
    let (home, gnupg) = (home.path().to_str().unwrap(), gnupg.to_str().unwrap());
    let then = ["--faked-system-time", "20200101T000000"];
    gpg(home, &[&then[..], &["--quick-generate-key", "old", "ed25519", "sign", "1y"]].concat());
    let file = fixture.dir.path().join("old.asc");
    let file = file.to_str().unwrap();
    gpg(home, &["--output", file, "--armor", "--export-secret-keys"]);
    gpg(gnupg, &["--import", file]);
    let listing = gpg(home, &["--with-colons", "--list-secret-keys"]);
    for home in [home, gnupg] {
        must(&["gpgconf", "--homedir", home, "--kill", "all"], fixture.dir.path());
    }
    let fpr = listing.lines().find_map(|l| l.strip_prefix("fpr:::::::::")).unwrap();
    fpr.trim_end_matches(':').to_owned()
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn an_imported_key_that_has_ended_is_told_with_its_date_and_the_command() {
    let mut fixture = Fixture::new();
    fixture.prepared().await;
    let key = import_expired(&fixture);
    fixture.config.key = KeyChoice::Fingerprint(key.clone());
    let repository = fixture.prepared().await;
    assert_eq!(fixture.current(), "000001", "readers keep what they have");
    let error = repository.publish(&fixture.build("hello", "1.0"), &NoPolicy).await.unwrap_err();
    assert_eq!(error.code(), "key_expired");
    let command = format!("--quick-set-expire {key} 2y");
    let told = repository.tend().await.unwrap().trouble.unwrap();
    for text in [error.message(), &told] {
        assert!(text.contains(&format!("the key {key} expired at 202")), "{text}");
        assert!(text.contains(&command), "{text}");
    }
}

#[tokio::test]
#[ignore = "needs reprepro, gnupg and apt"]
async fn readers_with_the_old_key_and_with_the_new_key_are_both_served_during_a_roll_over() {
    let mut fixture = Fixture::new();
    fixture.config.key_life = Some(730 * DAY);
    let clock = clock_before(0);
    let repository = prepared_at(&fixture, &clock).await;
    let old = repository.public_key().await.unwrap();
    fs::write(fixture.config.root.join("roll-key"), "").unwrap();
    repository.tend().await.unwrap();
    assert!(!fixture.config.root.join("roll-key").exists());
    let both = repository.public_key().await.unwrap();
    assert_ne!(both, old);
    publish(&repository, &fixture.build("hello", "1.0")).await;
    for key in [&old, &both] {
        let apt = Apt::new(&fixture.site(), "bookworm", key);
        apt.get(&["update"]);
        apt.get(&["download", "hello-bin"]);
    }
    let grace = repository.public_key().await.unwrap();
    // The state of the grace time, for a reader that has the new key alone.
    let during = fixture.dir.path().join("during");
    must(
        &["cp", "-rL", fixture.site().to_str().unwrap(), during.to_str().unwrap()],
        fixture.dir.path(),
    );
    clock.advance(91 * DAY);
    assert_eq!(repository.tend().await.unwrap().trouble, None);
    let new = repository.public_key().await.unwrap();
    assert!(new != grace && new != old);
    Apt::new(&during, "bookworm", &new).get(&["update"]);
    let future = ["-o", "Acquire::Check-Date=false", "update"];
    Apt::new(&fixture.site(), "bookworm", &new).get(&future);
    let said = Apt::new(&fixture.site(), "bookworm", &old).fail(&future);
    assert!(said.contains("NO_PUBKEY") || said.contains("not signed"), "{said}");
}
