//! `PythonVersions` against `packaging`, the library that pip and build use.

use proptest::prelude::*;
use pybit_backends::python::PythonVersions;
use pybit_core::version::VersionOrder;

use crate::{agree, pairs, regex, run, valid};

/// Versions in every spelling that PEP 440 knows, and hostile ones; many of them invalid.
fn hostile() -> impl Strategy<Value = String> {
    let epoch =
        prop_oneof![5 => Just(String::new()), 1 => regex("v?[0-2]!"), 1 => Just("v".to_owned())];
    let release = prop_oneof![
        6 => regex("[0-9]{1,2}(\\.[0-9]{1,2}){0,4}"),
        1 => regex("0{1,3}[0-9]{1,19}(\\.0){0,5}"),
        1 => regex("[0-9!.a+~-]{0,5}"),
    ];
    let pre = prop_oneof![
        4 => Just(String::new()),
        3 => regex("[._-]?(a|b|c|rc|alpha|beta|pre|preview|RC)[._-]?[0-9]{0,2}"),
    ];
    let post = prop_oneof![4 => Just(String::new()), 2 => regex("[._-]?(post|rev|r)[._-]?[0-9]{0,2}"), 1 => regex("-[0-9]{1,2}")];
    let dev = prop_oneof![3 => Just(String::new()), 2 => regex("[._-]?dev[._-]?[0-9]{0,2}")];
    let local = prop_oneof![4 => Just(String::new()), 2 => regex("\\+[0-9a-cA-C]{1,3}([._-][0-9a-c]{1,3}){0,2}")];
    (epoch, release, pre, post, dev, local)
        .prop_map(|(e, r, p, o, d, l)| [e, r, p, o, d, l].concat())
}

const COMPARE: &str = "import sys
from packaging.version import Version
for line in sys.stdin:
    a, b = map(Version, line.split())
    print((a > b) - (a < b))";

const VALID: &str = "import sys
from packaging.version import InvalidVersion, Version
for line in sys.stdin:
    try:
        Version(line[:-1])
        print(1)
    except InvalidVersion:
        print(0)";

#[test]
#[ignore = "needs python3 with packaging"]
fn fifty_thousand_hostile_pairs_order_as_packaging_orders_them() {
    let pairs = valid(&PythonVersions, pairs(hostile(), 105_000));
    assert!(pairs.len() >= 50_000, "{}", pairs.len());
    let lines: Vec<String> = pairs.iter().map(|(a, b)| format!("{a} {b}")).collect();
    agree(&PythonVersions, &pairs, &run("/usr/bin/python3", &["-c", COMPARE], &lines.join("\n")));
}

#[test]
#[ignore = "needs python3 with packaging"]
fn packaging_accepts_the_same_versions() {
    let versions: Vec<String> = pairs(hostile(), 20_000).into_iter().map(|(_, b)| b).collect();
    let lines = versions.join("\n") + "\n";
    let oracle = run("/usr/bin/python3", &["-c", VALID], &lines);
    assert!(oracle.status.success(), "{}", String::from_utf8_lossy(&oracle.stderr));
    let answers = String::from_utf8(oracle.stdout).unwrap();
    assert_eq!(answers.lines().count(), versions.len());
    assert!(answers.contains('0') && answers.contains('1'));
    for (version, answer) in versions.iter().zip(answers.lines()) {
        let too_large = version
            .split(|c: char| !c.is_ascii_digit())
            .any(|n| n.parse::<u128>().is_ok_and(|n| n > u128::from(u64::MAX)));
        if !too_large {
            assert_eq!(PythonVersions.parse(version).is_ok(), answer == "1", "{version}");
        }
    }
}
