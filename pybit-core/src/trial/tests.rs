use std::collections::BTreeMap;
use std::path::Path;

use super::orders::Orders;
use super::{Mutation, POINTS};

fn read(name: &str, text: &str) -> crate::Result<Orders> {
    Orders::read(|asked| (asked == name).then(|| text.to_owned()))
}

#[test]
fn orders_are_read_and_wrong_ones_refused() {
    let crash = read("PYBIT_TRIAL_CRASH", "claim_before_commit:3").unwrap().crash;
    assert_eq!(crash, Some(("claim_before_commit", 3)));
    for text in ["claim_before_commit", "claim_before_commit:0", "nowhere:1", "x"] {
        assert!(read("PYBIT_TRIAL_CRASH", text).is_err(), "{text}");
    }
    let stalls =
        read("PYBIT_TRIAL_STALL", "piece_before_blob:300:4,change_after_commit:9").unwrap().stalls;
    let words: Vec<_> = stalls.iter().map(|s| (s.point, s.pause.as_millis(), s.every)).collect();
    assert_eq!(words, [("piece_before_blob", 300, 4), ("change_after_commit", 9, 1)]);
    for text in ["piece_before_blob", "nowhere:1", "piece_before_blob:x", "piece_before_blob:1:0"] {
        assert!(read("PYBIT_TRIAL_STALL", text).is_err(), "{text}");
    }
    for mutation in Mutation::ALL {
        let found = read("PYBIT_TRIAL_MUTATION", mutation.name()).unwrap().mutation;
        assert_eq!(found, Some(mutation));
    }
    let error = read("PYBIT_TRIAL_MUTATION", "x").unwrap_err();
    assert!(error.message().contains("no-rearm"), "{error}");
    let hints = read("PYBIT_TRIAL_HINTS", "7:dup=30,reorder=20,delay=5000,drop=20").unwrap().hints;
    let hints = hints.unwrap();
    assert_eq!((hints.seed, hints.repeated, hints.reordered, hints.lost), (7, 300, 200, 200));
    assert_eq!((hints.delayed, hints.pause.as_millis()), (500, 5000));
    for text in ["dup=1", "x:dup=1", "1:dup=101", "1:dop=1", "1:dup"] {
        assert!(read("PYBIT_TRIAL_HINTS", text).is_err(), "{text}");
    }
}

/// How often each string occurs as a point in the sources of every crate.
fn used(dir: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            used(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("trial/tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for rest in text.split("crash_point(\"").skip(1) {
                let name = rest.split('"').next().unwrap_or_default();
                *found.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
}

#[test]
fn every_point_is_in_exactly_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeMap::new();
    for part in ["pybit-core", "pybit-backends", "pybit-web", "pybit-client", "pybit-watch", "."] {
        used(&root.join(part).join("src"), &mut found);
    }
    let listed: BTreeMap<_, _> = POINTS.iter().map(|name| ((*name).to_owned(), 1)).collect();
    assert_eq!(found, listed);
}

fn gather(dir: &Path, text: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[test]
fn every_rule_that_can_be_broken_is_broken_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let parts = [
        "pybit-core/src/farm",
        "pybit-core/src/protocol",
        "pybit-backends/src",
        "pybit-web/src",
        "pybit-client/src",
    ];
    let mut text = String::new();
    for dir in parts {
        gather(&root.join(dir), &mut text);
    }
    for mutation in Mutation::ALL {
        assert!(text.contains(&format!("Mutation::{mutation:?}")), "{mutation:?}");
    }
}
