//! How Debian versions order: a port of dpkg's algorithm (Debian Policy 5.6.12, `lib/dpkg/version.c` and `parsehelp.c`).

use std::cmp::Ordering;

use pybit_core::version::VersionOrder;
use pybit_core::{Error, Result};

/// The longest version that is read, in bytes: a digit run's length stands in two bytes of the key.
const LONGEST: usize = 65_535;

/// The order of Debian versions.
///
/// What is valid is what `dpkg --validate-version` accepts without a warning, less blanks around the version and a
/// sign before the epoch, which `dpkg` skips.
#[derive(Debug, Clone, Copy, Default)]
pub struct DebVersions;

impl VersionOrder for DebVersions {
    fn parse(&self, version: &str) -> Result<()> {
        Parts::read(version).map(|_| ())
    }

    fn compare(&self, a: &str, b: &str) -> Result<Ordering> {
        let (a, b) = (Parts::read(a)?, Parts::read(b)?);
        Ok(a.epoch
            .cmp(&b.epoch)
            .then_with(|| compare_part(a.upstream.as_bytes(), b.upstream.as_bytes()))
            .then_with(|| compare_part(a.revision.as_bytes(), b.revision.as_bytes())))
    }

    fn key(&self, version: &str) -> Result<Vec<u8>> {
        let parts = Parts::read(version)?;
        let mut key = Vec::with_capacity(version.len() * 2 + 16);
        key.extend_from_slice(&parts.epoch.to_be_bytes());
        push_part(&mut key, parts.upstream.as_bytes());
        push_part(&mut key, parts.revision.as_bytes());
        Ok(key)
    }
}

/// A version taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// 0 where none is written.
    pub(super) epoch: u32,
    /// Starts with a digit.
    pub(super) upstream: &'a str,
    /// Empty where none is written, which orders as `0`.
    pub(super) revision: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes a version apart, as `parseversion` in dpkg does.
    pub(super) fn read(version: &'a str) -> Result<Self> {
        if version.is_empty() {
            return refuse("is empty");
        }
        if version.len() > LONGEST {
            return refuse("is longer than 65535 characters");
        }
        let (epoch, rest) = match version.split_once(':') {
            Some((epoch, rest)) => (read_epoch(epoch)?, rest),
            None => (0, version),
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            Some((_, "")) => return refuse("has an empty revision after its last \"-\""),
            Some((upstream, revision)) => (upstream, revision),
            None => (rest, ""),
        };
        if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
            return refuse("has an upstream part that does not start with a digit");
        }
        if !holds_only(upstream, b".-+~:") || !holds_only(revision, b".+~") {
            return refuse("holds a character that is not a letter, a digit or one of . + ~ - :");
        }
        Ok(Self { epoch, upstream, revision })
    }
}

/// The version as file names write it: without the epoch, and the colon of no other part.
pub(super) fn without_epoch(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, rest)| rest)
}

/// The upstream's part of a version with a Debian revision; `None` for every other text.
pub(crate) fn upstream_part(version: &str) -> Option<&str> {
    Parts::read(version).ok().filter(|p| !p.revision.is_empty()).map(|p| p.upstream)
}

fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::invalid(format!("the Debian version is not valid: it {why}"))
        .with_code("invalid_version"))
}

/// An epoch is decimal digits, at most dpkg's `INT_MAX`.
fn read_epoch(text: &str) -> Result<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<i32>() {
        Ok(epoch) if digits => Ok(epoch.unsigned_abs()),
        _ => refuse("has an epoch that is not a number from 0 to 2147483647"),
    }
}

fn holds_only(text: &str, extra: &[u8]) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
}

/// dpkg's `order`: `~` before the end, the end (and a digit) before letters, letters before everything else.
fn rank(byte: Option<u8>) -> i32 {
    match byte {
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(b'~') => -1,
        Some(b) => i32::from(b) + 256,
    }
}

/// dpkg's `verrevcmp`: runs of non-digits by [`rank`], runs of digits by value, in turn.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, text_b) = (take_text(&mut a), take_text(&mut b));
        for i in 0..text_a.len().max(text_b.len()) {
            let order = rank(text_a.get(i).copied()).cmp(&rank(text_b.get(i).copied()));
            if order.is_ne() {
                return order;
            }
        }
        let (number_a, number_b) = (take_number(&mut a), take_number(&mut b));
        let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the leading run of non-digits.
fn take_text<'a>(part: &mut &'a [u8]) -> &'a [u8] {
    let end = part.iter().position(u8::is_ascii_digit).unwrap_or(part.len());
    let (run, rest) = part.split_at(end);
    *part = rest;
    run
}

/// Takes the leading run of digits, and gives it without leading zeros.
fn take_number<'a>(part: &mut &'a [u8]) -> &'a [u8] {
    let end = part.iter().position(|b| !b.is_ascii_digit()).unwrap_or(part.len());
    let (run, rest) = part.split_at(end);
    *part = rest;
    let zeros = run.iter().position(|&b| b != b'0').unwrap_or(run.len());
    &run[zeros..]
}

/// Ends a run of non-digits and a part: above `~`, below everything else.
const END: u8 = 0x02;

/// Appends one part to a key: pairs of (non-digits, [`END`], digit count, digits), then [`END`].
///
/// The first pair is always there, and an absent number is written as zero, so `1.` is `1.0` and no revision is `0`;
/// each later pair starts with a byte other than [`END`], so no part's key is the beginning of another's.
fn push_part(key: &mut Vec<u8>, mut part: &[u8]) {
    loop {
        key.extend(take_text(&mut part).iter().map(|&b| key_byte(b)));
        key.push(END);
        let digits = take_number(&mut part);
        let count = u16::try_from(digits.len()).unwrap_or(u16::MAX);
        key.extend_from_slice(&count.to_be_bytes());
        key.extend_from_slice(digits);
        if part.is_empty() {
            key.push(END);
            return;
        }
    }
}

/// A non-digit in a key: `~` below [`END`], letters by their ASCII order, everything else above.
fn key_byte(byte: u8) -> u8 {
    match byte {
        b'~' => 0x01,
        b'A'..=b'Z' => 0x10 + (byte - b'A'),
        b'a'..=b'z' => 0x10 + 26 + (byte - b'a'),
        other => 0x80 | other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version() -> impl Strategy<Value = String> {
        "([0-9]{1,3}:)?[0-9]([0-9a-c.+~-]{0,8}|[0-9]{28,32})(-[0-9a-c+.~]{1,4})?"
            .prop_filter("the strategy can end in a bare -", |v| DebVersions.parse(v).is_ok())
    }

    proptest! {
        #[test]
        fn byte_order_of_keys_is_the_versions_order(a in version(), b in version()) {
            let keys = DebVersions.key(&a).unwrap().cmp(&DebVersions.key(&b).unwrap());
            prop_assert_eq!(keys, DebVersions.compare(&a, &b).unwrap());
        }

        #[test]
        fn the_order_is_total(a in version(), b in version(), c in version()) {
            let compare = |x: &str, y: &str| DebVersions.compare(x, y).unwrap();
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }

        #[test]
        fn invalid_versions_are_refused_everywhere(text in "\\PC{0,12}|[0-9:~.a-]{0,8}") {
            let valid = DebVersions.parse(&text).is_ok();
            prop_assert_eq!(DebVersions.key(&text).is_ok(), valid);
            prop_assert_eq!(DebVersions.compare(&text, "1").is_ok(), valid);
            prop_assert_eq!(DebVersions.compare("1", &text).is_ok(), valid);
        }
    }

    #[test]
    fn known_orders_hold() {
        let ascending = ["1~~", "1~~a", "1~", "1", "1a", "1+b1", "1.0-0.1", "1.0-1", "1:0.1"];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(DebVersions.compare(a, b).unwrap(), i.cmp(&j), "{a} {b}");
            }
        }
        for (a, b) in [("1.0", "1."), ("1.0", "1.00"), ("1-0", "1"), ("0:1", "1"), ("1a0", "1a")] {
            assert_eq!(DebVersions.compare(a, b).unwrap(), Ordering::Equal, "{a} {b}");
            assert_eq!(DebVersions.key(a).unwrap(), DebVersions.key(b).unwrap(), "{a} {b}");
        }
    }

    #[test]
    fn a_refused_version_has_its_code_and_is_not_echoed() {
        for text in ["", ":", "1;id", "-1", "1-", "a", "$(id)", "1\n", "2147483648:1", "+1:1"] {
            let error = DebVersions.parse(text).expect_err(text);
            assert_eq!(error.code(), "invalid_version");
            assert!(!error.message().contains(['\n', '$']), "{error}");
        }
        assert!(DebVersions.parse(&format!("{}:1", "9".repeat(40))).is_err());
        assert!(DebVersions.parse(&"1".repeat(LONGEST + 1)).is_err());
    }
}
