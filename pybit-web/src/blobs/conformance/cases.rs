//! The cases; each is told of in the documentation of `Blobs`.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use pybit_core::ErrorKind;
use pybit_core::clock::Timestamp;
use sha2::{Digest, Sha256};

use super::Place;
use crate::blobs::Blobs;
use crate::blobs::writer::PIECE;

async fn whole(blobs: &Blobs, object: &str) -> Bytes {
    let length = blobs.length(object).await.unwrap().expect("the object is there");
    blobs.range(object, 0, length).await.unwrap()
}

async fn all(blobs: &Blobs, prefix: &'static str) -> Vec<String> {
    let names = blobs.older(prefix, Timestamp::from_micros(i64::MAX)).try_collect::<Vec<_>>();
    let mut names = names.await.unwrap();
    names.sort();
    names
}

pub(super) async fn what_was_put_is_read_back_whole_and_by_range(place: Place) {
    let blobs = &place.blobs;
    blobs.put("parts/1/0-a", Bytes::from_static(b"0123456789")).await.unwrap();
    blobs.put("parts/1/10-b", Bytes::from_static(b"abcdef")).await.unwrap();
    assert_eq!(whole(blobs, "parts/1/0-a").await, "0123456789");
    let mut joined = Vec::new();
    for (object, from, to) in
        [("parts/1/0-a", 7, 9), ("parts/1/0-a", 9, 10), ("parts/1/10-b", 0, 3)]
    {
        joined.extend_from_slice(&blobs.range(object, from, to).await.unwrap());
    }
    assert_eq!(joined, b"789abc", "ranges of neighbours join without a gap");
    assert!(blobs.range("parts/1/0-a", 4, 4).await.unwrap().is_empty());
}

pub(super) async fn an_empty_object_is_an_object(place: Place) {
    let blobs = &place.blobs;
    blobs.put("parts/1/0-a", Bytes::new()).await.unwrap();
    blobs.writer("blobs/e3/b0").finish().await.unwrap();
    for object in ["parts/1/0-a", "blobs/e3/b0"] {
        assert_eq!(blobs.length(object).await.unwrap(), Some(0), "{object}");
    }
}

pub(super) async fn a_name_that_is_taken_is_refused_unless_the_bytes_are_the_same(place: Place) {
    let blobs = &place.blobs;
    blobs.put("parts/1/0-a", Bytes::from_static(b"first")).await.unwrap();
    for other in [&b"other"[..], b"longer one", b""] {
        let error = blobs.put("parts/1/0-a", Bytes::from_static(other)).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "object_exists"));
    }
    blobs.put("parts/1/0-a", Bytes::from_static(b"first")).await.unwrap();
    assert_eq!(whole(blobs, "parts/1/0-a").await, "first");
}

/// Puts until the store has said yes or no. A store that refuses a body it has not read may break off the connection, and
/// the writer then knows as little as after any other outage.
async fn put_until_answered(blobs: &Blobs, bytes: Bytes) -> pybit_core::Result<()> {
    for _ in 0..10 {
        match blobs.put("parts/1/0-a", bytes.clone()).await {
            Err(e) if e.kind() == ErrorKind::Unavailable => {}
            answered => return answered,
        }
    }
    blobs.put("parts/1/0-a", bytes).await
}

/// Eight at once put the same name, each with its own bytes; who was told that it succeeded.
async fn race(blobs: &Blobs) -> Vec<u8> {
    let writers: Vec<_> = (0..8_u8)
        .map(|who| {
            let (blobs, bytes) = (blobs.clone(), Bytes::from(vec![who; 100_000]));
            tokio::spawn(async move { put_until_answered(&blobs, bytes).await })
        })
        .collect();
    let mut won = Vec::new();
    for (who, writer) in (0..).zip(writers) {
        match writer.await.unwrap() {
            Ok(()) => won.push(who),
            Err(e) => assert_eq!(e.code(), "object_exists", "{e:?}"),
        }
    }
    won
}

pub(super) async fn of_several_writers_of_one_name_one_wins(place: Place) {
    let won = race(&place.blobs).await;
    let [winner] = won[..] else { panic!("winners: {won:?}") };
    assert_eq!(whole(&place.blobs, "parts/1/0-a").await, vec![winner; 100_000]);
}

pub(super) async fn of_several_writers_of_one_name_the_object_is_whole(place: Place) {
    let won = race(&place.blobs).await;
    let read = whole(&place.blobs, "parts/1/0-a").await;
    assert!(won.iter().any(|who| read == vec![*who; 100_000]), "it is of none of {won:?}");
}

pub(super) async fn an_absent_object_is_told_apart(place: Place) {
    assert_eq!(place.blobs.length("parts/1/0-a").await.unwrap(), None);
    let read = place.blobs.range("parts/1/0-a", 0, 1).await.unwrap_err();
    assert_eq!((read.kind(), read.code()), (ErrorKind::NotFound, "object_missing"));
    let copied = place.blobs.copy("parts/1/0-a", "blobs/aa/bb").await.unwrap_err();
    assert_eq!(copied.code(), "object_missing");
}

pub(super) async fn discarding_is_idempotent_and_goes_on(place: Place) {
    let blobs = &place.blobs;
    let names: Vec<_> = (0..30).map(|n| format!("parts/1/{n}-a")).collect();
    for name in names.iter().skip(1).step_by(2) {
        blobs.put(name, Bytes::from_static(b"x")).await.unwrap();
    }
    blobs.discard(names.clone()).await;
    blobs.discard(names).await;
    assert!(all(blobs, "parts").await.is_empty());
}

pub(super) async fn a_copy_is_an_object_of_its_own(place: Place) {
    let blobs = &place.blobs;
    blobs.put("parts/1/0-a", Bytes::from_static(b"bytes")).await.unwrap();
    for _ in 0..2 {
        blobs.copy("parts/1/0-a", "blobs/aa/bb").await.unwrap();
    }
    blobs.discard(vec!["parts/1/0-a".to_owned()]).await;
    assert_eq!(whole(blobs, "blobs/aa/bb").await, "bytes");
}

pub(super) async fn a_name_of_any_characters_stays_below_the_prefix(place: Place) {
    let hostile = [
        "../../two/x",
        "/etc/x",
        "a/../../x",
        "./x",
        "a//x",
        "päckchen/日本 %2e+&?#x",
        "a\\..\\x",
        "\u{1}\n",
    ];
    for name in hostile {
        place.blobs.put(name, Bytes::from_static(name.as_bytes())).await.unwrap();
    }
    for name in hostile {
        assert_eq!(whole(&place.blobs, name).await, name, "{name:?}");
    }
    assert!(all(&place.neighbour, "").await.is_empty());
    assert_eq!(all(&place.blobs, "").await.len(), hostile.len(), "each is a name of its own");
}

pub(super) async fn a_writers_object_appears_whole_or_not_at_all(place: Place) {
    let blobs = &place.blobs;
    for length in [10, PIECE, PIECE + 1] {
        let (object, bytes) = (format!("blobs/aa/{length}"), vec![7; length]);
        let mut writer = blobs.writer(&object);
        writer.write(&bytes).await.unwrap();
        assert_eq!(blobs.length(&object).await.unwrap(), None, "it has not ended");
        writer.finish().await.unwrap();
        assert!(whole(blobs, &object).await == bytes);
        let mut writer = blobs.writer("blobs/aa/never");
        writer.write(&bytes).await.unwrap();
        writer.abandon().await;
        assert_eq!(blobs.length("blobs/aa/never").await.unwrap(), None);
    }
}

pub(super) async fn a_writer_holds_a_bounded_piece(place: Place) {
    const STEP: usize = 1_000_003;
    let blobs = &place.blobs;
    let length: usize = 64 << 20;
    let mut writer = blobs.writer("blobs/aa/large");
    let (mut written, mut digest) = (0, Sha256::new());
    while written < length {
        let step = STEP.min(length - written);
        let bytes: Vec<u8> = (0..=250).cycle().skip(written % 251).take(step).collect();
        digest.update(&bytes);
        writer.write(&bytes).await.unwrap();
        assert!(writer.holds() <= 2 * PIECE, "{} bytes are held", writer.holds());
        written += step;
    }
    writer.finish().await.unwrap();
    let (mut at, mut read) = (0, Sha256::new());
    while at < length as u64 {
        let bytes =
            blobs.range("blobs/aa/large", at, (at + (4 << 20)).min(length as u64)).await.unwrap();
        at += bytes.len() as u64;
        read.update(&bytes);
    }
    assert_eq!(read.finalize(), digest.finalize());
}

pub(super) async fn objects_are_listed_by_prefix_and_age(place: Place) {
    let blobs = &place.blobs;
    for object in ["parts/1/0-a", "parts/12/0-b", "logs/1/1-c.zst"] {
        blobs.put(object, Bytes::from_static(b"x")).await.unwrap();
    }
    assert_eq!(all(blobs, "parts").await, ["parts/1/0-a", "parts/12/0-b"]);
    assert_eq!(all(blobs, "parts/1").await, ["parts/1/0-a"]);
    assert_eq!(blobs.older("parts", Timestamp::from_micros(0)).count().await, 0);
}

pub(super) async fn two_farms_do_not_see_each_other(place: Place) {
    place.blobs.put("parts/1/0-a", Bytes::from_static(b"mine")).await.unwrap();
    assert_eq!(place.neighbour.length("parts/1/0-a").await.unwrap(), None);
    place.neighbour.put("parts/1/0-a", Bytes::from_static(b"theirs")).await.unwrap();
    place.neighbour.discard(vec!["parts/1/0-a".to_owned()]).await;
    assert_eq!(whole(&place.blobs, "parts/1/0-a").await, "mine");
}

pub(super) async fn a_check_leaves_nothing(place: Place) {
    place.blobs.check().await.unwrap();
    assert!(all(&place.blobs, "").await.is_empty());
}
