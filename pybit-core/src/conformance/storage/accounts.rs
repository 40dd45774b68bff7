//! Access tokens, and the farm's own name.

use std::sync::Arc;

use crate::conformance::support::{Store, at, name};
use crate::error::ErrorKind;
use crate::model::{Grant, Role, Token, TokenId};
use crate::storage::NewToken;

fn token(name: &str, digit: &str) -> NewToken {
    NewToken {
        name: name.to_owned(),
        sha256: digit.repeat(64),
        grant: Grant { role: Role::Submit, client: None },
        expires_at: Some(at(900)),
    }
}

pub(super) async fn a_digest_is_kept_once(s: Store) {
    let added = s.add_token(&token("laptop", "a"), at(1)).await.expect("added");
    let again = s.add_token(&token("other", "a"), at(2)).await;
    assert_eq!(again.expect_err("the digest is there").kind(), ErrorKind::Conflict);
    let client = Grant { role: Role::Client, client: Some(name("tahr")) };
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
