//! Access tokens, accounts, and the farm's own name.

use std::sync::Arc;

use crate::conformance::support::{Store, at, name};
use crate::error::ErrorKind;
use crate::model::{Account, AccountName, Grant, NameGrant, PasswordHash, Role, Token, TokenId};
use crate::storage::{AccountChange, NewAccount, NewToken};

fn token(name: &str, digit: &str) -> NewToken {
    NewToken {
        name: name.to_owned(),
        sha256: digit.repeat(64),
        grant: Grant { names: vec![grant("linux*@bookworm")], ..Grant::of(Role::Submit) },
        expires_at: Some(at(900)),
    }
}

pub(super) async fn a_digest_is_kept_once(s: Store) {
    let added = s.add_token(&token("laptop", "a"), at(1)).await.expect("added");
    let again = s.add_token(&token("other", "a"), at(2)).await;
    assert_eq!(again.expect_err("the digest is there").kind(), ErrorKind::Conflict);
    let client = Grant { client: Some(name("tahr")), ..Grant::of(Role::Client) };
    let second = NewToken { grant: client.clone(), expires_at: None, ..token("laptop", "b") };
    let second = s.add_token(&second, at(3)).await.expect("names may repeat");
    assert_eq!(s.tokens().await.expect("an answer"), [added.clone(), second.clone()]);
    let expected = Token {
        id: added.id,
        name: "laptop".to_owned(),
        grant: token("", "a").grant,
        created_at: at(1),
        expires_at: Some(at(900)),
        revoked_at: None,
    };
    assert_eq!(added, expected);
    assert_eq!((second.grant, second.expires_at), (client, None));
}

pub(super) async fn a_token_is_found_by_its_digest_alone(s: Store) {
    let added = s.add_token(&token("laptop", "a"), at(1)).await.expect("added");
    let find = async |text: &str| s.token(text).await.expect("an answer");
    assert_eq!(find(&"a".repeat(64)).await, Some(added.clone()));
    for other in ["", "laptop", "%", &"a".repeat(63), &"a".repeat(65), &"A".repeat(64)] {
        assert_eq!(find(other).await, None, "{other:?}");
    }
    s.revoke_token(added.id, at(5)).await.expect("revoked");
    let found = find(&"a".repeat(64)).await.expect("revoked ones are found too");
    assert_eq!(found.revoked_at, Some(at(5)));
}

pub(super) async fn revoking_twice_keeps_the_first_time(s: Store) {
    let added = s.add_token(&token("laptop", "a"), at(1)).await.expect("added");
    let other = s.add_token(&token("desktop", "b"), at(1)).await.expect("added");
    for second in [5, 6] {
        assert!(s.revoke_token(added.id, at(second)).await.expect("an answer"));
        let revoked = Token { revoked_at: Some(at(5)), ..added.clone() };
        assert_eq!(s.tokens().await.expect("an answer"), [revoked, other.clone()]);
    }
    assert!(!s.revoke_token(TokenId(7_000_000), at(7)).await.expect("an answer"));
}

fn grant(text: &str) -> NameGrant {
    text.parse().expect("a grant")
}

fn account(text: &str, digit: &str) -> NewAccount {
    NewAccount {
        name: name(text),
        role: Role::Submit,
        names: vec![grant("linux*@bookworm"), grant("hello")],
        hash: hash(digit),
        expires_at: Some(at(900)),
    }
}

fn hash(digit: &str) -> PasswordHash {
    format!("$argon2id$v=19$m=19456,t=2,p=1${}", digit.repeat(64)).parse().expect("a hash")
}

async fn found(s: &Store, text: &str) -> Option<(Account, PasswordHash)> {
    s.account(&name(text)).await.expect("an answer")
}

async fn change(s: &Store, text: &str, change: AccountChange, when: i64) -> bool {
    s.change_account(&name(text), &change, at(when)).await.expect("an answer")
}

pub(super) async fn an_account_is_kept_once(s: Store) {
    let added = s.add_account(&account("ann", "a"), at(1)).await.expect("added");
    let expected = Account {
        name: name("ann"),
        role: Role::Submit,
        names: vec![grant("linux*@bookworm"), grant("hello")],
        created_at: at(1),
        password_at: at(1),
        expires_at: Some(at(900)),
        disabled_at: None,
    };
    assert_eq!(added, expected);
    let other = NewAccount { role: Role::Admin, expires_at: None, ..account("ann", "b") };
    let again = s.add_account(&other, at(2)).await.expect_err("the name is taken");
    assert_eq!((again.kind(), again.code()), (ErrorKind::Conflict, "account_exists"));
    assert_eq!(found(&s, "ann").await, Some((added, hash("a"))));
}

pub(super) async fn accounts_come_by_name(s: Store) {
    assert_eq!(s.accounts().await.expect("an answer"), []);
    let mut made = Vec::new();
    for (n, text) in ["b", "a.2", "Zoe", "a-1", "a_3"].into_iter().enumerate() {
        let n = i64::try_from(n).expect("a few");
        let new = NewAccount { role: Role::Publish, expires_at: None, ..account(text, "a") };
        made.push(s.add_account(&new, at(n)).await.expect("added"));
    }
    assert!(change(&s, "b", AccountChange::Disable, 50).await);
    made[0].disabled_at = Some(at(50));
    made.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(s.accounts().await.expect("an answer"), made);
}

pub(super) async fn an_account_is_found_by_its_exact_name(s: Store) {
    let new = NewAccount { expires_at: Some(at(2)), ..account("Ann_1", "a") };
    let added = s.add_account(&new, at(1)).await.expect("added");
    assert!(change(&s, "Ann_1", AccountChange::Disable, 5).await);
    let disabled = Account { disabled_at: Some(at(5)), ..added };
    assert_eq!(found(&s, "Ann_1").await, Some((disabled, hash("a"))));
    for other in ["Ann", "ann_1", "ANN_1", "Ann-1", "Ann_11"] {
        assert_eq!(found(&s, other).await, None, "{other}");
    }
}

pub(super) async fn a_new_password_replaces_the_old_one(s: Store) {
    let added = s.add_account(&account("ann", "a"), at(1)).await.expect("added");
    let bob = s.add_account(&account("bob", "a"), at(1)).await.expect("added");
    assert!(change(&s, "ann", AccountChange::Disable, 3).await);
    assert!(change(&s, "ann", AccountChange::Password(hash("b")), 7).await);
    let changed = Account { password_at: at(7), disabled_at: Some(at(3)), ..added };
    assert_eq!(found(&s, "ann").await, Some((changed, hash("b"))));
    assert_eq!(found(&s, "bob").await, Some((bob, hash("a"))));
    assert!(!change(&s, "eve", AccountChange::Password(hash("b")), 8).await);
    assert_eq!(found(&s, "eve").await, None);
}

pub(super) async fn a_rehash_needs_the_hash_that_it_replaces(s: Store) {
    let added = s.add_account(&account("ann", "a"), at(1)).await.expect("added");
    let rehash = |from: &str, to: &str| AccountChange::Rehash { from: hash(from), to: hash(to) };
    assert!(!change(&s, "ann", rehash("b", "c"), 2).await);
    assert!(!change(&s, "bob", rehash("a", "c"), 2).await);
    assert_eq!(found(&s, "ann").await, Some((added.clone(), hash("a"))));
    assert!(change(&s, "ann", rehash("a", "c"), 3).await);
    assert_eq!(found(&s, "ann").await, Some((added, hash("c"))));
    assert!(!change(&s, "ann", rehash("a", "d"), 4).await, "the other one was first");
}

pub(super) async fn disabling_twice_keeps_the_first_time(s: Store) {
    let added = s.add_account(&account("ann", "a"), at(1)).await.expect("added");
    for second in [5, 6] {
        assert!(change(&s, "ann", AccountChange::Disable, second).await);
        let disabled = Account { disabled_at: Some(at(5)), ..added.clone() };
        assert_eq!(found(&s, "ann").await, Some((disabled, hash("a"))));
    }
    for second in [7, 8] {
        assert!(change(&s, "ann", AccountChange::Enable, second).await);
        assert_eq!(found(&s, "ann").await, Some((added.clone(), hash("a"))));
    }
    assert!(!change(&s, "eve", AccountChange::Disable, 9).await);
    assert!(!change(&s, "eve", AccountChange::Enable, 9).await);
}

pub(super) async fn a_removed_account_is_gone(s: Store) {
    let ann: AccountName = name("ann");
    s.add_account(&account("ann", "a"), at(1)).await.expect("added");
    let bob = s.add_account(&account("bob", "b"), at(1)).await.expect("added");
    assert!(s.remove_account(&ann).await.expect("an answer"));
    assert!(!s.remove_account(&ann).await.expect("an answer"), "it is gone");
    assert_eq!(found(&s, "ann").await, None);
    assert_eq!(s.accounts().await.expect("an answer"), [bob]);
    let anew = s.add_account(&account("ann", "c"), at(9)).await.expect("the name is free");
    assert_eq!(found(&s, "ann").await, Some((anew, hash("c"))));
}

pub(super) async fn an_open_storage_is_healthy(s: Store) {
    s.health().await.expect("it was opened");
}

pub(super) async fn the_first_farm_id_stays(s: Store) {
    let ask = |n: u8| {
        let s = Arc::clone(&s);
        tokio::spawn(async move { s.farm_id(&format!("{n:032x}")).await.expect("an answer") })
    };
    let asked: Vec<_> = (1..=8).map(ask).collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.expect("it ended"));
    }
    let first = answers[0].clone();
    assert!(answers.iter().all(|a| *a == first), "{answers:?}");
    assert!((1..=8).any(|n: u8| first == format!("{n:032x}")), "one that was offered: {first}");
    assert_eq!(s.farm_id(&"f".repeat(32)).await.expect("an answer"), first);
}
