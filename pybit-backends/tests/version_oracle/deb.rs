//! `DebVersions` against dpkg itself.

use std::cmp::Ordering;

use proptest::prelude::*;
use pybit_backends::deb::DebVersions;
use pybit_core::version::VersionOrder;

use crate::{agree, pairs, regex, run, valid};

/// Versions that resemble real ones, and hostile ones; many of them invalid.
fn hostile() -> impl Strategy<Value = String> {
    let epoch = prop_oneof![
        8 => Just(String::new()),
        2 => regex("[0-9]{1,2}:"),
        1 => Just("2147483647:".to_owned()),
        1 => Just("2147483648:".to_owned()),
        1 => Just("00:".to_owned()),
        1 => regex("[0-9a-z]{0,2}:"),
    ];
    let upstream = prop_oneof![
        4 => regex("[0-9]{1,2}(\\.[0-9]{1,2}){0,3}"),
        3 => regex("[0-9][0-9a-bA-B.+~:-]{0,7}"),
        1 => regex("0{1,3}[0-9]{27,33}[.~]?"),
        1 => regex("[0-9.~+a-]{0,4}"),
        1 => regex("[0-9]{1,2}[!-/:-~]"),
    ];
    let revision = prop_oneof![
        4 => Just(String::new()),
        3 => regex("-[0-9]{1,2}(\\.[0-9])?"),
        2 => regex("-[0-9a-c+.~]{0,5}"),
        1 => regex("-0(ubuntu|~bpo|\\+deb)[0-9]{1,2}u?[0-9]"),
    ];
    (epoch, upstream, revision).prop_map(|(e, u, r)| e + &u + &r)
}

/// Compares pairs by `Dpkg::Version` in one process: `-1`, `0` or `1` for each.
const PERL: &str = r#"use Dpkg::Version; while (<STDIN>) { chomp; my ($a, $b) = split / /; print version_compare($a, $b), "\n"; }"#;

fn agree_with_perl(pairs: &[(String, String)]) {
    let lines: Vec<String> = pairs.iter().map(|(a, b)| format!("{a} {b}")).collect();
    agree(&DebVersions, pairs, &run("perl", &["-e", PERL], &lines.join("\n")));
}

/// Whether `Dpkg::Version` is an oracle for it: it compares digit runs as floating point numbers, dpkg itself does not.
fn short_numbers(version: &str) -> bool {
    version.split(|c: char| !c.is_ascii_digit()).all(|run| run.len() <= 15)
}

#[test]
#[ignore = "needs perl with libdpkg-perl"]
fn fifty_thousand_hostile_pairs_order_as_dpkg_orders_them() {
    let mut pairs = valid(&DebVersions, pairs(hostile(), 140_000));
    pairs.retain(|(a, b)| short_numbers(a) && short_numbers(b));
    assert!(pairs.len() >= 50_000, "{}", pairs.len());
    agree_with_perl(&pairs);
}

#[test]
#[ignore = "needs perl with libdpkg-perl and apt's package lists"]
fn every_neighbouring_pair_of_the_archives_versions_orders_as_dpkg_orders_it() {
    let output = run("apt-cache", &["dumpavail"], "");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let versions: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("Version: ")).collect();
    assert!(versions.len() > 10_000, "only {} versions: run apt-get update", versions.len());
    let mut sorted = versions.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let neighbours = sorted.windows(2).chain(versions.windows(2)).take(60_000);
    let pairs: Vec<_> = neighbours.map(|w| (w[0].to_owned(), w[1].to_owned())).collect();
    agree_with_perl(&pairs);
}

fn dpkg(args: &[&str]) -> Option<i32> {
    run("dpkg", args, "").status.code()
}

#[test]
#[ignore = "needs dpkg"]
fn dpkg_itself_accepts_the_same_versions_and_orders_them_the_same() {
    for (a, b) in pairs(hostile(), 2_000) {
        for version in [&a, &b] {
            // An argument that starts with `-` is an option to dpkg; a sign before an epoch is what pybit refuses.
            if version.starts_with('-') || version.starts_with('+') {
                assert!(DebVersions.parse(version).is_err(), "{version}");
                continue;
            }
            let accepted = dpkg(&["--validate-version", version]) == Some(0);
            assert_eq!(DebVersions.parse(version).is_ok(), accepted, "{version:?}");
        }
        let Ok(order) = DebVersions.compare(&a, &b) else { continue };
        let relation = match order {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        let holds = dpkg(&["--compare-versions", &a, relation, &b]) == Some(0);
        assert!(holds, "dpkg does not say {a} {relation} {b}");
    }
}
