//! What the farm serves.

use crate::conformance::support::{Store, name, refusal, target};
use crate::error::ErrorKind;
use crate::model::{BlockRule, BlockSubject, Catalogue, Repository, RuleId, WeightedTarget};

async fn catalogue(s: &Store) -> Catalogue {
    s.catalogue().await.expect("an answer")
}

pub(super) async fn putting_a_target_twice_changes_its_weight(s: Store) {
    assert_eq!(catalogue(&s).await, Catalogue::default(), "a new farm serves nothing");
    let mut other = target("amd64");
    other.env = name("host");
    for (target, weight) in [(target("amd64"), 10), (other.clone(), 5), (target("amd64"), -3)] {
        s.put_target(&WeightedTarget { target, weight }).await.expect("put");
    }
    let mut targets = catalogue(&s).await.targets;
    targets.sort_by_key(|t| t.weight);
    let expected = [
        WeightedTarget { target: target("amd64"), weight: -3 },
        WeightedTarget { target: other, weight: 5 },
    ];
    assert_eq!(targets, expected);
}

pub(super) async fn an_absent_address_and_key_leave_the_stored_ones(s: Store) {
    let plain = Repository {
        name: name("bookworm"),
        dist: name("Debian"),
        suite: name("bookworm"),
        format: name("deb"),
        url: None,
        public_key: None,
    };
    let put = async |repository: &Repository| {
        s.put_repository(repository).await.expect("put");
        let mut all = catalogue(&s).await.repositories;
        assert_eq!(all.len(), 1, "it is added once");
        all.remove(0)
    };
    assert_eq!(put(&plain).await, plain);
    let told = Repository {
        url: Some("http://127.0.0.1/a".to_owned()),
        public_key: Some("KEY".to_owned()),
        ..plain.clone()
    };
    assert_eq!(put(&told).await, told);
    assert_eq!(put(&plain).await, told, "what the watcher has told stays");
    let moved = Repository { url: Some("http://127.0.0.1/b".to_owned()), ..plain.clone() };
    let expected = Repository { public_key: told.public_key.clone(), ..moved.clone() };
    assert_eq!(put(&moved).await, expected, "each by itself");
    let serves = Repository { suite: name("sid"), ..plain.clone() };
    assert_eq!(put(&serves).await.suite, serves.suite, "what it serves changes");
}

fn rule(pattern: &str) -> BlockRule {
    BlockRule {
        id: RuleId(0),
        subject: BlockSubject::Source,
        pattern: pattern.to_owned(),
        reason: "not here".to_owned(),
    }
}

pub(super) async fn a_rule_that_does_not_compile_is_refused(s: Store) {
    for bad in ["(", "", "(a{1000}){1000}", "[z-a]"] {
        refusal(s.add_rule(&rule(bad)).await, ErrorKind::Invalid, "invalid_pattern");
    }
    assert_eq!(catalogue(&s).await.rules, []);
    let package = BlockRule { subject: BlockSubject::Package, ..rule("^linux-") };
    let mut kept = Vec::new();
    for good in [rule("^git\\+http://"), package] {
        let added = s.add_rule(&good).await.expect("it compiles");
        assert!(added.id.0 > 0, "it has a number");
        assert_eq!(BlockRule { id: RuleId(0), ..added.clone() }, good);
        kept.push(added);
    }
    assert_ne!(kept[0].id, kept[1].id);
    let mut rules = catalogue(&s).await.rules;
    rules.sort_by_key(|r| r.id);
    assert_eq!(rules, kept);
}

pub(super) async fn removing_a_rule_says_whether_it_was_there(s: Store) {
    let first = s.add_rule(&rule("a")).await.expect("added");
    let second = s.add_rule(&rule("b")).await.expect("added");
    assert!(s.remove_rule(first.id).await.expect("an answer"));
    assert!(!s.remove_rule(first.id).await.expect("an answer"), "it is gone");
    assert!(!s.remove_rule(RuleId(7_000_000)).await.expect("an answer"));
    assert_eq!(catalogue(&s).await.rules, [second]);
}
