//! Each format's order of versions against the format's own tool.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "version_oracle/deb.rs"]
mod deb;
#[path = "version_oracle/python.rs"]
mod python;
#[path = "version_oracle/rpm.rs"]
mod rpm;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use pybit_core::version::VersionOrder;

type Pairs = Vec<(String, String)>;

/// A strategy for the strings that a regular expression matches. A bare string is a strategy too, but is parsed again for
/// each value, which takes most of the time of fifty thousand pairs.
fn regex(pattern: &str) -> impl Strategy<Value = String> {
    prop::string::string_regex(pattern).unwrap()
}

/// Pairs of versions; every second pair differs in one character, so that it is close together.
fn pairs(versions: impl Strategy<Value = String>, count: usize) -> Pairs {
    let mut runner = TestRunner::deterministic();
    let changed = (any::<prop::sample::Index>(), regex("[0-9a.~^+:-]"));
    let strategy =
        (&versions, &versions, any::<bool>(), changed).prop_map(|(a, b, near, (at, c))| {
            let at = at.index(a.len() + 1);
            let b = if near {
                format!("{}{c}{}", &a[..at], a.get(at + 1..).unwrap_or_default())
            } else {
                b
            };
            (a, b)
        });
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// The pairs whose versions are both valid.
fn valid(order: &dyn VersionOrder, pairs: Pairs) -> Pairs {
    let ok = |v: &str| order.parse(v).is_ok();
    pairs.into_iter().filter(|(a, b)| ok(a) && ok(b)).collect()
}

/// Whether the order and its keys say of each pair what the oracle has printed: `-1`, `0` or `1` on a line of its own.
fn agree(order: &dyn VersionOrder, pairs: &[(String, String)], oracle: &Output) {
    assert!(oracle.status.success(), "{}", String::from_utf8_lossy(&oracle.stderr));
    let answers = std::str::from_utf8(&oracle.stdout).unwrap();
    assert_eq!(answers.trim_end().lines().count(), pairs.len());
    for ((a, b), answer) in pairs.iter().zip(answers.lines()) {
        let expected = answer.parse::<i32>().unwrap().cmp(&0);
        assert_eq!(order.compare(a, b).unwrap(), expected, "{a} {b}");
        let keys = order.key(a).unwrap().cmp(&order.key(b).unwrap());
        assert_eq!(keys, expected, "keys of {a} {b}");
    }
}

#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
fn run(program: &str, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the oracle starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the oracle ends");
    // An oracle that ends before it has read everything breaks the pipe; its exit is what counts.
    drop(writer.join().expect("the writer ends"));
    output
}
