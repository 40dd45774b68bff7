//! Orders to watchers, and what removals took away.

use crate::conformance::support::{
    Store, at, bring, forced, name, planned, planned_in, record, refusal, submit_one, target,
    target_in, within,
};
use crate::error::ErrorKind;
use crate::model::{
    JobId, JobStatus, OrderId, OrderKind, OrderState, PackageName, PackageOrder, Repository,
    RepositoryName, SigningKey, Version,
};
use crate::publish::Listed;
use crate::storage::NewOrder;

use JobStatus::{Done, Uploaded, Waiting};

fn repository(text: &str, suite: &str) -> Repository {
    Repository {
        name: name(text),
        dist: name("Debian"),
        suite: name(suite),
        format: name("deb"),
        url: None,
        public_key: None,
        health: None,
        overlay: None,
    }
}

/// The removal of every version of `hello` from bookworm's repository.
fn removal() -> NewOrder {
    NewOrder {
        repository: repository("main", "bookworm"),
        kind: OrderKind::Remove,
        package: Some(name("hello")),
        version: None,
        reason: "it took another's name".to_owned(),
        dry_run: false,
        principal: "ann".to_owned(),
        idempotency_key: None,
    }
}

fn version(text: &str) -> (Version, Vec<u8>) {
    (name(text), text.as_bytes().to_vec())
}

async fn add(s: &Store, new: &NewOrder) -> PackageOrder {
    s.add_order(new, at(3)).await.expect("recorded").order
}

fn listed() -> Listed {
    let text = str::to_owned;
    Listed { name: text("hello"), version: text("1"), arch: text("all"), source: text("hello") }
}

fn signing_key() -> SigningKey {
    SigningKey { fingerprint: "A".repeat(40), expires_at: Some(at(99)), signs_until: None }
}

fn moved(order: &PackageOrder, state: OrderState) -> PackageOrder {
    PackageOrder {
        row_version: order.row_version + 1,
        state,
        packages: vec![listed()],
        keys: vec![signing_key()],
        message: (state == OrderState::Failed).then(|| "the disk is full".to_owned()),
        ended_at: state.is_final().then(|| at(9)),
        ..order.clone()
    }
}

/// Records an order and brings it to its end.
async fn done(s: &Store, new: &NewOrder) -> PackageOrder {
    let after = moved(&add(s, new).await, OrderState::Done);
    assert!(s.advance_order(&after).await.expect("an answer"));
    after
}

fn ids(orders: &[PackageOrder]) -> Vec<OrderId> {
    orders.iter().map(|o| o.id).collect()
}

pub(super) async fn an_order_is_kept_as_it_was_asked_for(s: Store) {
    let mut changes = s.changes();
    let before = changes.borrow_and_update().results;
    let first = add(&s, &removal()).await;
    within("the order", changes.wait_for(|c| c.results > before)).await.expect("open");
    let expected = PackageOrder {
        id: first.id,
        row_version: 1,
        repository: name("main"),
        dist: name("Debian"),
        suite: name("bookworm"),
        format: name("deb"),
        kind: OrderKind::Remove,
        package: Some(name("hello")),
        version: None,
        reason: "it took another's name".to_owned(),
        dry_run: false,
        principal: "ann".to_owned(),
        requested_at: at(3),
        state: OrderState::Pending,
        packages: Vec::new(),
        keys: Vec::new(),
        message: None,
        ended_at: None,
    };
    assert_eq!(first, expected);
    let list = NewOrder { kind: OrderKind::List, package: None, dry_run: true, ..removal() };
    let second = add(&s, &list).await;
    let third = add(&s, &NewOrder { version: Some(version("1:2-3")), ..removal() }).await;
    assert!(first.id < second.id && second.id < third.id);
    assert_eq!(third.version, Some(name("1:2-3")));
    let about_keys =
        [OrderKind::Roll, OrderKind::Keys].map(|kind| NewOrder { kind, ..list.clone() });
    let fourth = add(&s, &about_keys[0]).await;
    let fifth = add(&s, &about_keys[1]).await;
    for order in [first, second, third, fourth, fifth] {
        assert_eq!(s.order(order.id).await.expect("an answer"), Some(order));
    }
    assert_eq!(s.order(OrderId(900)).await.expect("an answer"), None);
}

pub(super) async fn an_order_with_the_same_key_is_recorded_once(s: Store) {
    let keyed = |new: NewOrder| NewOrder { idempotency_key: Some("key".to_owned()), ..new };
    let (new, versioned) =
        (keyed(removal()), keyed(NewOrder { version: Some(version("2")), ..removal() }));
    let (one, two) =
        futures_util::future::join(s.add_order(&new, at(3)), s.add_order(&new, at(4))).await;
    let (one, two) = (one.expect("recorded"), two.expect("recorded"));
    assert!(one.repeated != two.repeated, "{one:?} {two:?}");
    assert_eq!(one.order, two.order);
    let started = moved(&one.order, OrderState::Started);
    assert!(s.advance_order(&started).await.expect("an answer"));
    let again = s.add_order(&new, at(5)).await.expect("recorded");
    assert_eq!((again.repeated, again.order), (true, started), "as it is now");
    let reason = "another".to_owned();
    for other in [versioned, keyed(NewOrder { reason, ..removal() })] {
        let refused = s.add_order(&other, at(6)).await;
        refusal(refused, ErrorKind::Conflict, "idempotency_key_reused");
    }
    let bob = NewOrder { principal: "bob".to_owned(), ..new };
    assert!(!s.add_order(&bob, at(7)).await.expect("recorded").repeated, "keys are a principal's");
    let unkeyed = [add(&s, &removal()).await.id, add(&s, &removal()).await.id];
    assert!(unkeyed[0] < unkeyed[1]);
}

pub(super) async fn open_orders_are_those_that_have_not_ended(s: Store) {
    let pending = add(&s, &removal()).await;
    done(&s, &removal()).await;
    let failed = moved(&add(&s, &removal()).await, OrderState::Failed);
    assert!(s.advance_order(&failed).await.expect("an answer"));
    let started = moved(&add(&s, &removal()).await, OrderState::Started);
    assert!(s.advance_order(&started).await.expect("an answer"));
    add(&s, &NewOrder { repository: repository("other", "bookworm"), ..removal() }).await;
    let main: RepositoryName = name("main");
    assert_eq!(s.open_orders(&main, 9).await.expect("an answer"), [pending.clone(), started]);
    assert_eq!(s.open_orders(&main, 1).await.expect("an answer"), [pending]);
}

pub(super) async fn removals_of_a_package_come_newest_first(s: Store) {
    let first = done(&s, &removal()).await;
    let second = add(&s, &removal()).await;
    let other = NewOrder { repository: repository("other", "bookworm"), ..removal() };
    let other = moved(&add(&s, &other).await, OrderState::Failed);
    assert!(s.advance_order(&other).await.expect("an answer"));
    add(&s, &NewOrder { dry_run: true, ..removal() }).await;
    add(&s, &NewOrder { kind: OrderKind::List, ..removal() }).await;
    add(&s, &NewOrder { package: Some(name("hello-x")), ..removal() }).await;
    let (hello, main): (PackageName, RepositoryName) = (name("hello"), name("main"));
    let all = s.removals(&hello, None, 9).await.expect("an answer");
    assert_eq!(all, [other.clone(), second.clone(), first.clone()]);
    let main = s.removals(&hello, Some(&main), 9).await.expect("an answer");
    assert_eq!(ids(&main), [second.id, first.id]);
    assert_eq!(ids(&s.removals(&hello, None, 1).await.expect("an answer")), [other.id]);
}

pub(super) async fn an_order_changes_by_compare_and_set(s: Store) {
    let order = add(&s, &removal()).await;
    let started = moved(&order, OrderState::Started);
    let mut changes = s.changes();
    let before = changes.borrow_and_update().results;
    assert!(s.advance_order(&started).await.expect("an answer"));
    within("the change", changes.wait_for(|c| c.results > before)).await.expect("open");
    assert!(!s.advance_order(&moved(&order, OrderState::Done)).await.expect("an answer"));
    assert_eq!(s.order(order.id).await.expect("an answer"), Some(started.clone()));
    let failed = moved(&started, OrderState::Failed);
    assert!(s.advance_order(&failed).await.expect("an answer"));
    assert_eq!(s.order(order.id).await.expect("an answer"), Some(failed.clone()));
    let missing = PackageOrder { id: OrderId(900), ..moved(&failed, OrderState::Done) };
    assert!(!s.advance_order(&missing).await.expect("an answer"));
}

pub(super) async fn removed_versions_do_not_count(s: Store) {
    let t = target("amd64");
    let (hello, newest) = (name::<PackageName>("hello"), async || {
        let job = s.newest(&name("hello"), &t.dist, &t.suite, &t.format).await.expect("an answer");
        job.map(|j| j.version.expect("a version").to_string())
    });
    bring(&s, planned("hello", "1"), Done).await;
    bring(&s, planned("hello", "9"), Done).await;
    assert_eq!(newest().await.as_deref(), Some("9"));
    // Written in another way, and the same version by its key.
    let nine = Some((name("0:9"), b"9".to_vec()));
    done(&s, &NewOrder { version: nine, ..removal() }).await;
    assert_eq!(newest().await.as_deref(), Some("1"), "the version that is left");
    let row = s.packages(Some("hello"), None, 9).await.expect("an answer").remove(0);
    assert_eq!((row.package, row.done), (hello, Some(name("1"))));
    // Older ones, and the same one, may come again; what is left still counts.
    bring(&s, planned("hello", "2"), Done).await;
    let again = bring(&s, planned("hello", "9"), Done).await;
    assert_eq!(newest().await.as_deref(), Some("9"), "a job that is done later counts");
    let refused = s.record_submission(&record(vec![planned("hello", "8")]), at(4)).await;
    let refused = refusal(refused, ErrorKind::Conflict, "older_version");
    assert!(refused.message().contains(&again.id.to_string()), "{refused}");
    done(&s, &removal()).await;
    assert_eq!(newest().await, None, "without a version every one is taken away");
    let row = s.packages(Some("hello"), None, 9).await.expect("an answer").remove(0);
    assert_eq!((row.newest_job, row.done), (again.id, None));
    let first = submit_one(&s, planned("hello", "1")).await;
    let same = s.record_submission(&record(vec![planned("hello", "1")]), at(4)).await;
    let same = refusal(same, ErrorKind::Conflict, "same_version");
    assert!(same.message().contains(&first.id.to_string()), "{same}");
}

pub(super) async fn a_removal_that_is_not_done_takes_nothing_away(s: Store) {
    let job = bring(&s, planned("hello", "5"), Done).await;
    let uploaded = bring(&s, planned_in("world", "5", target("arm64")), Uploaded).await;
    let waiting = bring(&s, planned_in("moon", "5", target("armhf")), Waiting).await;
    done(&s, &NewOrder { dry_run: true, ..removal() }).await;
    done(&s, &NewOrder { kind: OrderKind::List, ..removal() }).await;
    done(&s, &NewOrder { version: Some(version("4")), ..removal() }).await;
    done(&s, &NewOrder { package: Some(name("hello-x")), ..removal() }).await;
    done(&s, &NewOrder { repository: repository("sid", "sid"), ..removal() }).await;
    for package in ["world", "moon"] {
        done(&s, &NewOrder { package: Some(name(package)), ..removal() }).await;
    }
    let order = add(&s, &removal()).await;
    let started = moved(&order, OrderState::Started);
    assert!(s.advance_order(&started).await.expect("an answer"));
    assert!(s.advance_order(&moved(&started, OrderState::Failed)).await.expect("an answer"));
    let all = [job.id, uploaded.id, waiting.id];
    assert_eq!(s.withdrawn(&all).await.expect("an answer"), []);
    for package in ["hello", "world", "moon"] {
        let mut lower = planned_in(package, "4", target("s390x"));
        lower.master = false;
        let result = s.record_submission(&record(vec![lower]), at(4)).await;
        refusal(result, ErrorKind::Conflict, "older_version");
    }
}

pub(super) async fn withdrawn_jobs_are_those_that_a_removal_took_away(s: Store) {
    let old = bring(&s, planned("hello", "1"), Done).await;
    let new = bring(&s, planned("hello", "2"), Done).await;
    let other = bring(&s, planned("world", "2"), Done).await;
    let sid = bring(&s, planned_in("hello", "2", target_in("sid", "amd64")), Done).await;
    done(&s, &NewOrder { version: Some(version("2")), ..removal() }).await;
    let all = [other.id, new.id, old.id, sid.id, JobId(900)];
    assert_eq!(s.withdrawn(&all).await.expect("an answer"), [new.id]);
    // A second removal finds the first one's jobs taken away already.
    let later = bring(&s, forced(planned("hello", "3")), Done).await;
    done(&s, &removal()).await;
    let ask = [later.id, new.id, old.id, other.id];
    assert_eq!(s.withdrawn(&ask).await.expect("an answer"), [old.id, new.id, later.id]);
    assert_eq!(s.withdrawn(&[old.id]).await.expect("an answer"), [old.id]);
    assert_eq!(s.withdrawn(&[]).await.expect("an answer"), []);
}
