//! Requirements: `foo-bar[extra]>=1.0,!=1.3` ([PEP 508](https://peps.python.org/pep-0508/), specifiers by
//! [PEP 440](https://peps.python.org/pep-0440/#version-specifiers)).

use pep440_rs::VersionSpecifiers;
use pybit_core::model::Produced;

use super::{name, versions};

/// The longest requirement that is read, in bytes.
const LONGEST: usize = 1_000;

/// Whether a distribution satisfies a requirement; pre-releases do as well as any, as for `build`, which checks what is installed.
///
/// Extras are no matter of the distribution itself. A marker is true, as a requirement whose marker is false is never missing. One that
/// names a URL, or cannot be read, is never satisfied.
pub(super) fn satisfies(requirement: &str, package: &Produced) -> bool {
    let Some((name, specifiers)) = read(requirement) else { return false };
    let Ok(version) = versions::read(package.version.as_str()) else { return false };
    name == package.name.as_str() && specifiers.contains(&version)
}

fn read(requirement: &str) -> Option<(String, VersionSpecifiers)> {
    if requirement.len() > LONGEST || !requirement.is_ascii() {
        return None;
    }
    let requirement = requirement.split(';').next()?.trim();
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let end = requirement.bytes().position(|b| !in_name(b)).unwrap_or(requirement.len());
    let (name, mut rest) = requirement.split_at(end);
    rest = rest.trim_start();
    if let Some(extras) = rest.strip_prefix('[') {
        rest = extras.split_once(']')?.1.trim_start();
    }
    if let Some(inner) = rest.strip_prefix('(') {
        rest = inner.strip_suffix(')')?;
    }
    let specifiers = match rest.trim() {
        "" => VersionSpecifiers::empty(),
        some => some.parse().ok()?,
    };
    Some((name::normal(name)?, specifiers))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(requirement: &str, version: &str) -> bool {
        let package = Produced {
            name: "foo-bar".parse().unwrap(),
            version: version.parse().unwrap(),
            arch: "all".to_owned(),
        };
        satisfies(requirement, &package)
    }

    #[test]
    fn a_requirement_is_satisfied_by_name_and_version() {
        for (requirement, version, expected) in [
            ("foo-bar", "1.0", true),
            ("Foo_Bar", "1.0", true),
            ("foo", "1.0", false),
            ("foo-bar>=1.0", "1", true),
            ("foo.bar >= 1.1", "1.0", false),
            ("foo-bar~=1.4.2", "1.4.9", true),
            ("foo-bar~=1.4.2", "1.5", false),
            ("foo-bar==1.*", "1.9", true),
            ("foo-bar==1.*", "2.0", false),
            ("foo-bar!=1.3,<2", "1.3", false),
            ("foo-bar!=1.3,<2", "1.4", true),
            ("foo-bar===1.0", "1.0", true),
            ("foo-bar===1.1", "1.0", false),
            ("foo-bar>=1", "2.0rc1", true),
            ("foo-bar[toml,x]>=1", "1.0", true),
            ("foo-bar (>=1)", "1.0", true),
            ("foo-bar>=1; python_version >= \"3\"", "1.0", true),
            ("foo-bar @ https://example.org/foo.whl", "1.0", false),
            ("foo-bar>=", "1.0", false),
            ("foo-bar 1", "1.0", false),
            ("foo-bar[", "1.0", false),
            ("foo-bar (>=1", "1.0", false),
            ("", "1.0", false),
        ] {
            assert_eq!(holds(requirement, version), expected, "{requirement} by {version}");
        }
        assert!(!holds(&format!("foo-bar{}", " ".repeat(2_000)), "1.0"));
    }

    proptest! {
        #[test]
        fn no_requirement_panics(text in "\\PC{0,40}|foo-bar ?[<>=!~\\[\\]();0-9.*a-z]{0,12}") {
            let _ = holds(&text, "1.0");
        }

        #[test]
        fn a_version_is_at_least_itself_and_not_above(version in "[0-9]{1,2}(\\.[0-9]{1,2}){0,2}") {
            let at_least = format!("foo-bar>={version}");
            let above = format!("foo-bar>{version}");
            prop_assert!(holds(&at_least, &version));
            prop_assert!(!holds(&above, &version));
        }
    }
}
