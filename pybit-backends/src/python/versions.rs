//! How Python versions order: [PEP 440](https://peps.python.org/pep-0440/), read by `pep440_rs`.

use std::cmp::Ordering;

use pep440_rs::{LocalSegment, PrereleaseKind, Version};
use pybit_core::version::VersionOrder;
use pybit_core::{Error, Result};

/// The longest version that is read, in bytes.
const LONGEST: usize = 4_096;

/// The order of Python versions.
///
/// - Valid is what Python's `packaging.version.Version` takes, less blanks around it and numbers above 2^64 - 1.
/// - Spellings that PEP 440 normalises (`1.0-RC1`, `v1`, `1.0.post.1`) are equal to their normal form, as are `1` and `1.0`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PythonVersions;

impl VersionOrder for PythonVersions {
    fn parse(&self, version: &str) -> Result<()> {
        read(version).map(drop)
    }

    fn compare(&self, a: &str, b: &str) -> Result<Ordering> {
        Ok(read(a)?.cmp(&read(b)?))
    }

    fn key(&self, version: &str) -> Result<Vec<u8>> {
        Ok(key(&read(version)?))
    }
}

/// Reads a version.
pub(crate) fn read(text: &str) -> Result<Version> {
    let blanks = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
    if text.len() > LONGEST || blanks || !text.is_ascii() {
        return refuse();
    }
    text.parse().or_else(|_| refuse())
}

fn refuse<T>() -> Result<T> {
    let message = "the Python version is not valid: PEP 440 has the form N(.N)*[{a|b|rc}N][.postN][.devN][+LOCAL]";
    Err(Error::invalid(message).with_code("invalid_version"))
}

/// The parts in the order in which PEP 440 compares them; what is absent has the place that it has among what is there.
fn key(version: &Version) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.extend_from_slice(&version.epoch().to_be_bytes());
    let release = version.release();
    let significant = release.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1);
    for number in &release[..significant] {
        push(&mut key, 1, *number);
    }
    key.push(0);
    match version.pre() {
        Some(pre) => {
            let kind = match pre.kind {
                PrereleaseKind::Alpha => 1,
                PrereleaseKind::Beta => 2,
                PrereleaseKind::Rc => 3,
            };
            push(&mut key, kind, pre.number);
        }
        None if version.post().is_none() && version.dev().is_some() => key.push(0),
        None => key.push(4),
    }
    match version.post() {
        None => key.push(0),
        Some(number) => push(&mut key, 1, number),
    }
    match version.dev() {
        Some(number) => push(&mut key, 0, number),
        None => key.push(1),
    }
    push_local(&mut key, version.local());
    key
}

fn push(key: &mut Vec<u8>, kind: u8, number: u64) {
    key.push(kind);
    key.extend_from_slice(&number.to_be_bytes());
}

/// No local version, then words, then numbers; a zero byte ends each word and the whole.
fn push_local(key: &mut Vec<u8>, local: &[LocalSegment]) {
    for segment in local {
        match segment {
            LocalSegment::String(word) => {
                key.push(1);
                key.extend_from_slice(word.as_bytes());
                key.push(0);
            }
            LocalSegment::Number(number) => push(key, 2, *number),
        }
    }
    key.push(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version() -> impl Strategy<Value = String> {
        "([01]!)?[0-9]{1,2}(\\.[0-2]){0,3}((a|b|rc)[0-2])?(\\.post[0-2])?(\\.dev[0-2])?(\\+[0-2a-b](\\.[0-2a-b]){0,2})?"
    }

    proptest! {
        #[test]
        fn byte_order_of_keys_is_the_versions_order(a in version(), b in version()) {
            let keys = PythonVersions.key(&a).unwrap().cmp(&PythonVersions.key(&b).unwrap());
            prop_assert_eq!(keys, PythonVersions.compare(&a, &b).unwrap());
        }

        #[test]
        fn the_order_is_total(a in version(), b in version(), c in version()) {
            let compare = |x: &str, y: &str| PythonVersions.compare(x, y).unwrap();
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }

        #[test]
        fn invalid_versions_are_refused_everywhere(text in "\\PC{0,12}|[0-9!.a+-]{0,8}") {
            let valid = PythonVersions.parse(&text).is_ok();
            prop_assert_eq!(PythonVersions.key(&text).is_ok(), valid);
            prop_assert_eq!(PythonVersions.compare(&text, "1").is_ok(), valid);
            prop_assert_eq!(PythonVersions.compare("1", &text).is_ok(), valid);
        }
    }

    #[test]
    fn known_orders_hold() {
        let ascending = [
            "1.dev1",
            "1a1.dev1",
            "1a1",
            "1a1.post1",
            "1b1",
            "1rc1",
            "1",
            "1+a",
            "1+a.1",
            "1+1",
            "1.post1.dev1",
            "1.post1",
            "1.0.1",
            "1!0",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(PythonVersions.compare(a, b).unwrap(), i.cmp(&j), "{a} {b}");
            }
        }
        for (a, b) in [("1", "1.0.0"), ("1.0-RC1", "1rc1"), ("v1", "1"), ("1-1", "1.post1")] {
            assert_eq!(PythonVersions.key(a).unwrap(), PythonVersions.key(b).unwrap(), "{a} {b}");
        }
    }

    #[test]
    fn a_refused_version_has_its_code_and_is_not_echoed() {
        for text in
            ["", "x", "1;id", " 1", "1\n", "1-", "1+", "$(id)", "1!", "99999999999999999999"]
        {
            let error = PythonVersions.parse(text).expect_err(text);
            assert_eq!(error.code(), "invalid_version");
            assert!(!error.message().contains(['\n', '$']), "{error}");
        }
    }
}
