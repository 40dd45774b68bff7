//! Roll-overs of keys, with readers of the old key and of the new one.

use std::sync::Arc;
use std::time::Duration;

use pybit_core::ErrorKind;
use pybit_core::clock::{Clock, ManualClock, SystemClock};
use pybit_core::owners::NoPolicy;
use pybit_core::publish::{KeyRoll, Publisher};

use crate::fixture::{self, outcome};
use crate::{python, rpm};

const DAY: Duration = Duration::from_hours(24);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(SystemClock.now()))
}

fn request(id: &str, dry_run: bool) -> KeyRoll {
    KeyRoll { id: id.to_owned(), dry_run }
}

/// Rolls the key over, and checks who begins a roll-over and when; the public keys before and during it.
async fn check(repository: &dyn Publisher, clock: &ManualClock) -> (String, String) {
    let old = repository.public_key().await.unwrap();
    let only = repository.keys().await.unwrap();
    assert_eq!((only.len(), only[0].signs_until), (1, None));
    assert_eq!(repository.roll_key(&request("order 1", true)).await.unwrap(), only);
    assert_eq!(repository.public_key().await.unwrap(), old, "a dry run changes nothing");

    let both = repository.roll_key(&request("order 1", false)).await.unwrap();
    assert_eq!(both[0].fingerprint, only[0].fingerprint);
    assert!(both[0].signs_until.unwrap().since(clock.now()) > 89 * DAY, "{both:?}");
    assert_eq!(both.len(), 2);
    assert_eq!(both[1].signs_until, None);
    let during = repository.public_key().await.unwrap();
    assert_ne!(during, old);
    let again = repository.roll_key(&request("order 1", false)).await.unwrap();
    assert_eq!((again, repository.public_key().await.unwrap()), (both, during.clone()));
    for dry_run in [true, false] {
        let other = repository.roll_key(&request("order 2", dry_run)).await.unwrap_err();
        assert_eq!((other.kind(), other.code()), (ErrorKind::Invalid, "roll_over_under_way"));
    }
    (old, during)
}

/// Ends the roll-over: the new key alone, and the next roll-over may begin.
async fn end(repository: &dyn Publisher, clock: &ManualClock) -> String {
    clock.advance(91 * DAY);
    assert_eq!(repository.tend().await.unwrap().trouble, None);
    let keys = repository.keys().await.unwrap();
    assert_eq!((keys.len(), keys[0].signs_until), (1, None), "{keys:?}");
    assert_eq!(repository.roll_key(&request("order 3", true)).await.unwrap(), keys);
    repository.public_key().await.unwrap()
}

#[tokio::test]
#[ignore = "needs createrepo-c, dnf, gnupg and rpm"]
async fn rpm_readers_with_the_old_key_and_with_the_new_key_are_both_served_during_a_roll_over() {
    let (fixture, clock) = (rpm::Fixture::new(), clock());
    let repository = fixture.prepared_at(Arc::clone(&clock) as Arc<dyn Clock>).await;
    outcome(&repository, &fixture.build("hello", "1.0", "one"), &NoPolicy).await.unwrap();
    let (old, during) = check(&repository, &clock).await;
    outcome(&repository, &fixture.build("hello", "1.1", "one"), &NoPolicy).await.unwrap();
    for key in [&old, &during] {
        fixture.must_dnf(key, &["install", "hello-1.1", "hello-doc-1.1"]);
    }
    let before = fixture.copy("during");
    let new = end(&repository, &clock).await;
    // The index of the roll-over bears the new key's signature, too.
    fixture.must_dnf_at(&before, &new, &["repoquery", "hello"]);
    fixture.must_dnf(&new, &["install", "hello-1.1", "hello-doc-1.1"]);
    let refused = fixture.fail_dnf(&old, &["repoquery", "hello"]);
    assert!(refused.contains("GPG"), "{refused}");
}

#[tokio::test]
#[ignore = "needs reprepro and gnupg"]
async fn deb_a_roll_over_begins_once_and_ends() {
    let (fixture, clock) = (fixture::Fixture::new(), clock());
    let repository = fixture.open_at(Arc::clone(&clock) as Arc<dyn Clock>);
    repository.prepare().await.unwrap();
    let (old, during) = check(&repository, &clock).await;
    let new = end(&repository, &clock).await;
    assert!(new != old && new != during);
}

#[tokio::test]
#[ignore = "needs gnupg and python3"]
async fn python_a_roll_over_begins_once_and_ends() {
    let (fixture, clock) = (python::Fixture::new(), clock());
    let repository = fixture.prepared_at(Arc::clone(&clock) as Arc<dyn Clock>).await;
    let (old, during) = check(&repository, &clock).await;
    let new = end(&repository, &clock).await;
    assert!(new != old && new != during);
}
