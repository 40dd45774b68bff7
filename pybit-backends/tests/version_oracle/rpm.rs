//! `RpmVersions` against rpm itself.

use std::io::Write;

use proptest::prelude::*;
use pybit_backends::rpm::RpmVersions;
use pybit_core::version::VersionOrder;

use crate::{agree, pairs, regex, run, valid};

/// Versions that resemble real ones, and hostile ones; many of them invalid.
fn hostile() -> impl Strategy<Value = String> {
    let epoch = prop_oneof![
        8 => Just(String::new()),
        2 => regex("[0-9]{1,2}:"),
        1 => Just("4294967295:".to_owned()),
        1 => Just("00:".to_owned()),
    ];
    let version = prop_oneof![
        4 => regex("[0-9]{1,2}(\\.[0-9]{1,2}){0,3}((~|\\^)(rc|git|20)[0-9]{0,3})?"),
        3 => regex("[0-9a-bA-B._+~^]{1,8}"),
        1 => regex("0{1,3}[0-9]{27,33}[.~^]?"),
        1 => regex("[0-9]{1,2}[!-~]"),
    ];
    let release = prop_oneof![
        3 => Just(String::new()),
        3 => regex("-[0-9]{1,2}(\\.(fc|el)[0-9]{1,2})?"),
        2 => regex("-[0-9a-c+.~^_]{1,5}"),
    ];
    (epoch, version, release).prop_map(|(e, v, r)| e + &v + &r)
}

#[test]
#[ignore = "needs rpm"]
fn fifty_thousand_hostile_pairs_order_as_rpm_orders_them() {
    let pairs = valid(&RpmVersions, pairs(hostile(), 70_000));
    assert!(pairs.len() >= 50_000, "{}", pairs.len());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for (a, b) in &pairs {
        writeln!(file, "{a} {b}").unwrap();
    }
    let path = file.path().to_str().unwrap();
    let script = format!(
        "%{{lua: for line in io.lines(\"{path}\") do local a, b = line:match(\"(%S+) (%S+)\"); print(rpm.vercmp(a, b)..\"\\n\") end}}"
    );
    agree(&RpmVersions, &pairs, &run("rpm", &["--eval", &script], ""));
}

#[test]
#[ignore = "needs rpmspec"]
fn rpmspec_accepts_the_same_characters() {
    for byte in b' '..=b'~' {
        let version = format!("1{}2", char::from(byte));
        // What rpm takes for a macro, an epoch or a release is not a character of a version.
        if b"%:-{}".contains(&byte) || byte == b' ' {
            continue;
        }
        let spec = format!(
            "Name: x\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: x\n%description\n"
        );
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(spec.as_bytes()).unwrap();
        let parsed =
            run("rpmspec", &["-q", "--qf", "%{VERSION}", file.path().to_str().unwrap()], "");
        assert_eq!(parsed.status.success(), RpmVersions.parse(&version).is_ok(), "{version}");
    }
}
