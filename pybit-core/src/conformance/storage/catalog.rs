//! What the farm serves.

use crate::clock::Timestamp;
use crate::conformance::support::{
    Store, apply, at, change, name, planned, refusal, submit_one, target,
};
use crate::error::ErrorKind;
use crate::model::{
    BlockRule, BlockSubject, Catalogue, CatalogueChange, Health, HookRule, JobStatus, PushRule,
    Repository, RuleId, SuiteMove, WeightedTarget,
};

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
        health: None,
        overlay: None,
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
        health: Some(Health { valid_until: Some(Timestamp::from_micros(5)), ..Health::default() }),
        ..plain.clone()
    };
    assert_eq!(put(&told).await, told);
    assert_eq!(put(&plain).await, told, "what the watcher has told stays");
    let moved = Repository { url: Some("http://127.0.0.1/b".to_owned()), ..plain.clone() };
    let expected = Repository {
        public_key: told.public_key.clone(),
        health: told.health.clone(),
        ..moved.clone()
    };
    assert_eq!(put(&moved).await, expected, "each by itself");
    let health = Health { trouble: Some("no space".to_owned()), ..Health::default() };
    let worse = Repository { health: Some(health), ..moved.clone() };
    let expected = Repository { public_key: told.public_key.clone(), ..worse.clone() };
    assert_eq!(put(&worse).await, expected, "what was told of its health is replaced as a whole");
    let well = Repository { health: Some(Health::default()), ..moved.clone() };
    assert_eq!(put(&well).await.health, well.health, "trouble ends");
    let serves = Repository { suite: name("sid"), ..plain.clone() };
    assert_eq!(put(&serves).await.suite, serves.suite, "what it serves changes");
    let overlay = Repository { overlay: Some(true), ..serves.clone() };
    assert_eq!(put(&overlay).await.overlay, Some(true));
    assert!(put(&serves).await.overlays(), "a watcher's word of its key says nothing of it");
    let ended = Repository { overlay: Some(false), ..serves };
    assert_eq!(put(&ended).await.overlay, None, "false reads as absent");
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

fn wanted() -> Catalogue {
    let weighted = |arch, weight| WeightedTarget { target: target(arch), weight };
    Catalogue {
        targets: vec![weighted("amd64", 10), weighted("arm64", 5)],
        repositories: vec![Repository {
            name: name("bookworm"),
            dist: name("Debian"),
            suite: name("bookworm"),
            format: name("deb"),
            url: None,
            public_key: None,
            health: None,
            overlay: None,
        }],
        rules: vec![rule("a"), rule("b")],
        hook_rules: vec![hook_rule("debian/*"), hook_rule("main")],
        moves: None,
    }
}

fn hook_rule(branch: &str) -> HookRule {
    HookRule {
        hook: "forge".to_owned(),
        rule: PushRule {
            repository: "team/*".to_owned(),
            branch: Some(branch.to_owned()),
            tag: None,
            suite: name("bookworm"),
            dist: Some(name("Debian")),
            format: None,
            arches: vec![name("amd64"), name("arm64")],
            env: None,
            priority: -3,
            url: Some("https://git.example.org/x.git".to_owned()),
        },
    }
}

/// In an order that does not depend on the storage, without numbers.
fn sorted(mut catalogue: Catalogue) -> Catalogue {
    catalogue.targets.sort_by(|a, b| a.target.cmp(&b.target));
    catalogue.repositories.sort_by(|a, b| a.name.cmp(&b.name));
    catalogue.rules.sort_by(|a, b| a.pattern.cmp(&b.pattern));
    catalogue.rules.iter_mut().for_each(|r| r.id = RuleId(0));
    catalogue.hook_rules.sort();
    catalogue
}

pub(super) async fn a_catalogue_is_replaced_whole(s: Store) {
    let first = wanted();
    let changes = s.replace_catalogue(&first, false).await.expect("replaced");
    assert_eq!(changes.len(), 7, "{changes:?}");
    assert_eq!(sorted(catalogue(&s).await), sorted(first.clone()));
    let kept = catalogue(&s).await.rules.into_iter().find(|r| r.pattern == "b").expect("there");
    let told = Repository { url: Some("http://x".to_owned()), ..first.repositories[0].clone() };
    s.put_repository(&told).await.expect("put");
    assert_eq!(s.replace_catalogue(&first, false).await.expect("replaced"), [], "nothing to do");

    let mut second = first.clone();
    second.targets.remove(1);
    second.targets[0].weight = 11;
    second.rules = vec![rule("c"), rule("b")];
    second.hook_rules.remove(0);
    second.hook_rules.push(hook_rule("upstream"));
    let changes = s.replace_catalogue(&second, false).await.expect("replaced");
    assert_eq!(changes.len(), 6, "{changes:?}");
    let now = catalogue(&s).await;
    assert_eq!(now.repositories, [told], "what the watcher has told stays");
    assert!(now.rules.contains(&kept), "a rule that stays keeps its number");
    let plain = Catalogue { repositories: second.repositories.clone(), ..now };
    assert_eq!(sorted(plain), sorted(second));

    let changes = s.replace_catalogue(&Catalogue::default(), false).await.expect("replaced");
    assert_eq!(changes.len(), 6, "{changes:?}");
    assert!(changes.iter().all(CatalogueChange::removes));
    assert_eq!(catalogue(&s).await, Catalogue::default());
}

fn moved(binary: &str, by: &str) -> SuiteMove {
    SuiteMove {
        dist: name("Debian"),
        suite: name("bookworm"),
        format: name("deb"),
        binary: name(binary),
        from: name("old"),
        to: name("new"),
        why: "renamed upstream".to_owned(),
        by: by.to_owned(),
        at: Some(at(7)),
    }
}

pub(super) async fn putting_a_move_twice_keeps_the_first(s: Store) {
    let first = moved("x", "ann");
    s.put_move(&first).await.expect("put");
    s.put_move(&moved("x", "bob")).await.expect("put");
    assert_eq!(catalogue(&s).await.moves, Some(vec![first]));
    let mute = SuiteMove { why: " ".to_owned(), ..moved("y", "ann") };
    refusal(s.put_move(&mute).await, ErrorKind::Invalid, "invalid_move");
    assert_eq!(catalogue(&s).await.all_moves().len(), 1);
}

pub(super) async fn moves_stay_where_none_are_spoken_of(s: Store) {
    let with = |moves| Catalogue { moves, ..wanted() };
    let both = vec![moved("x", "ann"), moved("y", "ann")];
    s.replace_catalogue(&with(Some(both.clone())), false).await.expect("replaced");
    assert_eq!(catalogue(&s).await.moves, Some(both));
    assert_eq!(s.replace_catalogue(&with(None), false).await.expect("replaced"), []);
    assert_eq!(catalogue(&s).await.all_moves().len(), 2);
    let one = vec![moved("y", "bob")];
    let changes = s.replace_catalogue(&with(Some(one)), false).await.expect("replaced");
    assert_eq!(changes, [CatalogueChange::RemoveMove { moved: moved("x", "ann") }]);
    assert_eq!(catalogue(&s).await.moves, Some(vec![moved("y", "ann")]), "on record as it was");
    s.replace_catalogue(&with(Some(Vec::new())), false).await.expect("replaced");
    assert_eq!(catalogue(&s).await.moves, None);
}

pub(super) async fn an_overlay_stays_where_it_is_not_spoken_of(s: Store) {
    let with = |overlay| {
        let repositories = vec![Repository { overlay, ..wanted().repositories[0].clone() }];
        Catalogue { repositories, ..wanted() }
    };
    s.replace_catalogue(&with(None), false).await.expect("replaced");
    let overlay = async || catalogue(&s).await.repositories[0].overlay;
    assert_eq!(overlay().await, None, "no overlay unless somebody says so");
    // A job stands in the way of another suite, and not of this.
    submit_one(&s, planned("pkg", "1.0")).await;
    let changes = s.replace_catalogue(&with(Some(true)), false).await.expect("replaced");
    let to = with(Some(true)).repositories[0].clone();
    assert_eq!(changes, [CatalogueChange::SetOverlay { to }]);
    assert_eq!(s.replace_catalogue(&with(None), false).await.expect("replaced"), []);
    assert_eq!(overlay().await, Some(true));
    let changes = s.replace_catalogue(&with(Some(false)), false).await.expect("replaced");
    assert_eq!((changes.len(), overlay().await), (1, None));
}

pub(super) async fn a_catalogue_that_no_farm_can_serve_is_refused(s: Store) {
    let good = wanted();
    s.replace_catalogue(&good, false).await.expect("replaced");
    let mut twice = Catalogue { targets: good.targets[..1].to_vec(), ..good.clone() };
    twice.targets.push(good.targets[0].clone());
    refusal(s.replace_catalogue(&twice, false).await, ErrorKind::Invalid, "invalid_catalogue");
    let mut bad = good.clone();
    bad.rules.push(rule("("));
    refusal(s.replace_catalogue(&bad, false).await, ErrorKind::Invalid, "invalid_pattern");
    assert_eq!(sorted(catalogue(&s).await), sorted(good));
}

pub(super) async fn what_unfinished_jobs_need_is_not_removed(s: Store) {
    s.replace_catalogue(&wanted(), false).await.expect("replaced");
    let job = submit_one(&s, planned("pkg", "1.0")).await;
    for kept in [
        Catalogue { targets: wanted().targets[1..].to_vec(), ..wanted() },
        Catalogue { repositories: Vec::new(), ..wanted() },
    ] {
        for dry_run in [true, false] {
            let refused = s.replace_catalogue(&kept, dry_run).await;
            refusal(refused, ErrorKind::Conflict, "in_use");
        }
        assert_eq!(sorted(catalogue(&s).await), sorted(wanted()));
    }
    apply(&s, change(&job, JobStatus::Cancelled)).await;
    let none = s.replace_catalogue(&Catalogue::default(), false).await.expect("nobody needs it");
    assert_eq!(none.len(), 7);
}

pub(super) async fn a_dry_run_changes_nothing(s: Store) {
    let planned = s.replace_catalogue(&wanted(), true).await.expect("planned");
    assert_eq!(catalogue(&s).await, Catalogue::default());
    let done = s.replace_catalogue(&wanted(), false).await.expect("replaced");
    assert_eq!(planned, done);
}
