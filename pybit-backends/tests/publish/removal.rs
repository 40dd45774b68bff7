//! Removals from a repository, and the publications after them.

use pybit_core::owners::NoPolicy;
use pybit_core::publish::{PublishSet, Publisher};

use crate::fixture::{self, outcome, removal};
use crate::{python, rpm};

/// Publishes 1.0 and 2.0, takes 2.0 out, and publishes again: `build` makes a version with some content.
async fn check(repository: &dyn Publisher, build: &dyn Fn(&str, &str) -> PublishSet, suffix: &str) {
    let full = |version: &str| format!("{version}{suffix}");
    let versions = async || {
        let listed = repository.list().await.unwrap();
        assert!(listed.iter().all(|l| l.source == "hello"));
        listed.into_iter().map(|l| l.version).collect::<std::collections::BTreeSet<_>>()
    };
    let (first, second) = (build("1.0", "one"), build("2.0", "one"));
    outcome(repository, &first, &NoPolicy).await.unwrap();
    outcome(repository, &second, &NoPolicy).await.unwrap();
    let gone = removal("hello", Some(&full("1.0")));
    assert!(repository.remove(&gone).await.unwrap().is_empty(), "2.0 has replaced it");
    let mut wanted = removal("hello", Some(&full("2.0")));
    wanted.dry_run = true;
    let would = repository.remove(&wanted).await.unwrap();
    assert_eq!(versions().await, [full("2.0")].into());
    wanted.dry_run = false;
    assert_eq!(repository.remove(&wanted).await.unwrap(), would);
    assert!(would.len() > 1 && repository.list().await.unwrap().is_empty());
    assert!(repository.remove(&wanted).await.unwrap().is_empty());

    for version in ["1.0", "2.0"] {
        let why = outcome(repository, &build(version, "other"), &NoPolicy).await.unwrap_err();
        assert!(why.contains("before, with other bytes"), "{why}");
    }
    // Preparing again, as at each start, forgets nothing.
    repository.prepare().await.unwrap();
    outcome(repository, &first, &NoPolicy).await.unwrap();
    outcome(repository, &build("1.1", "one"), &NoPolicy).await.unwrap();
    let why = outcome(repository, &build("2.0", "other"), &NoPolicy).await.unwrap_err();
    assert!(why.contains("before, with other bytes"), "{why}");
    outcome(repository, &second, &NoPolicy).await.unwrap();
    assert_eq!(versions().await, [full("2.0")].into());

    let named = |set: PublishSet, id: &str| PublishSet { id: Some(id.to_owned()), ..set };
    let third = named(build("3.0", "one"), "job 3");
    assert_eq!(repository.published("job 3").await.unwrap(), None);
    let state = outcome(repository, &third, &NoPolicy).await.unwrap();
    wanted.version = None;
    repository.remove(&wanted).await.unwrap();
    repository.prepare().await.unwrap();
    assert_eq!(repository.published("job 3").await.unwrap(), Some(state.clone()));
    assert_eq!(outcome(repository, &third, &NoPolicy).await.unwrap(), state, "its first state");
    assert!(repository.list().await.unwrap().is_empty(), "a set is published once");
    outcome(repository, &named(third.clone(), "job 4"), &NoPolicy).await.unwrap();
    assert_eq!(versions().await, [full("3.0")].into(), "the same bytes of another set");
}

#[tokio::test]
#[ignore = "needs reprepro and gnupg"]
async fn deb_a_removed_version_comes_back_with_the_same_bytes_only() {
    let fixture = fixture::Fixture::new();
    let repository = fixture.prepared().await;
    let build = |version: &str, content: &str| fixture.build_with("hello", version, content);
    check(&repository, &build, "").await;
}

#[tokio::test]
#[ignore = "needs createrepo-c, gnupg and rpm"]
async fn rpm_a_removed_version_comes_back_with_the_same_bytes_only() {
    let fixture = rpm::Fixture::new();
    let repository = fixture.prepared().await;
    let build = |version: &str, content: &str| fixture.build("hello", version, content);
    check(&repository, &build, "-1").await;
}

#[tokio::test]
#[ignore = "needs gnupg and python3"]
async fn python_a_removed_version_comes_back_with_the_same_bytes_only() {
    let fixture = python::Fixture::new();
    let repository = fixture.prepared().await;
    let build = |version: &str, content: &str| fixture.build("hello", version, content);
    check(&repository, &build, "").await;
}
