//! Names of Python projects and of the files of their distributions.

use pybit_core::model::PackageName;
use pybit_core::{Error, Result};

use super::versions;

/// The longest name that is read, in bytes.
const LONGEST: usize = 200;

/// The one spelling of a project's name ([PEP 503](https://peps.python.org/pep-0503/#normalized-names)): small letters, and one `-` for
/// every run of `-`, `_` and `.`. `None` for what [PEP 508](https://peps.python.org/pep-0508/#names) takes for no name.
pub(crate) fn normal(name: &str) -> Option<String> {
    let joins = |b: u8| b"-_.".contains(&b);
    let known = name.bytes().all(|b| b.is_ascii_alphanumeric() || joins(b));
    let ends = [name.bytes().next()?, name.bytes().next_back()?];
    if !known || name.len() > LONGEST || ends.into_iter().any(joins) {
        return None;
    }
    let words = name.split(|c: char| c.is_ascii() && joins(c as u8)).filter(|w| !w.is_empty());
    Some(words.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

/// A project's name that stands in its one spelling; `Invalid`, code `invalid_package`, for every other.
pub(super) fn checked(name: &str) -> Result<PackageName> {
    if normal(name).as_deref() == Some(name) {
        return name.parse();
    }
    Err(Error::invalid("the Python project's name is not in the spelling of PEP 503: small letters, digits and single \"-\" between them")
        .with_code("invalid_package"))
}

/// Whether a file is the sdist of a project at a version: `NAME-VERSION.tar.gz`, spelled as
/// [PEP 625](https://peps.python.org/pep-0625/) wants it or in an older spelling of the same name and version.
pub(crate) fn is_sdist_of(file: &str, name: &str, version: &str) -> bool {
    let Some(stem) = file.strip_suffix(".tar.gz") else { return false };
    let splits = stem.match_indices('-').map(|(at, _)| (&stem[..at], &stem[at + 1..]));
    splits.take(50).any(|(n, v)| normal(n).as_deref() == Some(name) && same_version(v, version))
}

/// The version, as it is written, in the name of an sdist of a project.
pub(crate) fn sdist_version<'a>(file: &'a str, name: &str) -> Option<&'a str> {
    let stem = file.strip_suffix(".tar.gz")?;
    let mut splits = stem.match_indices('-').map(|(at, _)| (&stem[..at], &stem[at + 1..])).take(50);
    let is_it =
        |(n, v): &(&str, &str)| normal(n).as_deref() == Some(name) && versions::read(v).is_ok();
    splits.find(is_it).map(|(_, version)| version)
}

/// Whether a file's name is that of some sdist.
pub fn is_sdist(file: &str) -> bool {
    let Some(stem) = file.strip_suffix(".tar.gz") else { return false };
    let splits = stem.match_indices('-').map(|(at, _)| (&stem[..at], &stem[at + 1..]));
    splits.take(50).any(|(n, v)| normal(n).is_some() && versions::read(v).is_ok())
}

/// What a wheel's name says ([PEP 427](https://peps.python.org/pep-0427/#file-name-convention)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WheelName {
    /// The project in its one spelling.
    pub(crate) name: String,
    /// The version as it is written.
    pub(crate) version: String,
    /// The platforms, each a tag: `any`, `linux_x86_64`.
    platforms: Vec<String>,
}

impl WheelName {
    /// Reads `NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl`; `None` for every other name.
    pub(crate) fn read(file: &str) -> Option<Self> {
        let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
        let (name, version, tags) = match parts.as_slice() {
            [name, version, tags @ ..] if tags.len() == 3 => (name, version, tags),
            [name, version, build, tags @ ..]
                if tags.len() == 3 && build.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                (name, version, tags)
            }
            _ => return None,
        };
        let plain = |tag: &str| {
            !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !tags.iter().all(|tag| tag.split('.').all(plain)) {
            return None;
        }
        versions::read(version).ok()?;
        Some(Self {
            name: normal(name)?,
            version: (*version).to_owned(),
            platforms: tags[2].split('.').map(str::to_owned).collect(),
        })
    }

    /// Whether it belongs to a project at a version.
    pub(crate) fn is_of(&self, name: &str, version: &str) -> bool {
        self.name == name && same_version(&self.version, version)
    }

    /// Whether it is for every machine.
    pub(crate) fn is_for_all(&self) -> bool {
        self.platforms == ["any"]
    }

    /// Its platform tags.
    pub(crate) fn platforms(&self) -> String {
        self.platforms.join(".")
    }

    /// Whether each of its platforms is of an architecture as the tags name it: `linux_x86_64`, `manylinux_2_36_x86_64`.
    pub(crate) fn is_for(&self, arch: &str) -> bool {
        let suffix = format!("_{arch}");
        self.platforms.iter().all(|tag| tag.ends_with(&suffix))
    }
}

fn same_version(one: &str, other: &str) -> bool {
    match (versions::read(one), versions::read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_name_is_one_name() {
        for name in ["Friendly-Bard", "friendly.bard", "FRIENDLY_BARD", "friendly--._bard"] {
            assert_eq!(normal(name).as_deref(), Some("friendly-bard"), "{name}");
        }
        for name in ["", "-a", "a-", "a b", "a/b", "..", "é", "a;b", "_"] {
            assert_eq!(normal(name), None, "{name}");
        }
        assert_eq!(checked("Foo").unwrap_err().code(), "invalid_package");
    }

    #[test]
    fn an_sdist_is_named_by_name_and_version_in_any_spelling() {
        for file in ["foo_bar-1.0rc1.tar.gz", "Foo.Bar-1.0rc1.tar.gz", "foo-bar-1.0-rc1.tar.gz"] {
            assert!(is_sdist_of(file, "foo-bar", "1.0rc1") && is_sdist(file), "{file}");
        }
        for file in [
            "foo_bar-1.0.tar.gz",
            "foo-1.0rc1.tar.gz",
            "foo_bar-1.0rc1.zip",
            "../foo_bar-1.0rc1.tar.gz",
            "foo_bar.tar.gz",
            ".tar.gz",
        ] {
            assert!(!is_sdist_of(file, "foo-bar", "1.0rc1"), "{file}");
        }
        assert!(!is_sdist("hello.tar.gz") && !is_sdist("tree-latest.tar.gz"));
    }

    #[test]
    fn a_wheel_says_name_version_and_platforms() {
        let pure = WheelName::read("Foo_Bar-1.0-py2.py3-none-any.whl").unwrap();
        assert!(pure.is_of("foo-bar", "1") && pure.is_for_all() && !pure.is_for("x86_64"));
        let built = WheelName::read(
            "foo-1.0-1build-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        )
        .unwrap();
        assert!(built.is_for("x86_64") && !built.is_for("aarch64") && !built.is_for_all());
        let mixed = WheelName::read("foo-1.0-py3-none-any.linux_x86_64.whl").unwrap();
        assert!(!mixed.is_for_all() && !mixed.is_for("x86_64"));
        for file in [
            "foo-1.0.whl",
            "foo-1.0-py3-none.whl",
            "foo-x-py3-none-any.whl",
            "foo-1.0-b1-py3-none-any.whl",
            "foo-1.0-py3-none-a/b.whl",
            "foo-1.0-py3--any.whl",
            "foo-1.0-py3-none-any.tar.gz",
        ] {
            assert_eq!(WheelName::read(file), None, "{file}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_name_is_its_own_normal_form_and_a_valid_package(name in "[A-Za-z0-9._-]{1,12}|\\PC{0,9}") {
            if let Some(once) = normal(&name) {
                let again = normal(&once);
                prop_assert_eq!(again.as_ref(), Some(&once));
                prop_assert!(checked(&once).is_ok());
            }
        }

        #[test]
        fn no_file_name_panics(name in "\\PC{0,40}|[a-z0-9._-]{0,30}\\.(whl|tar\\.gz)") {
            let _ = (WheelName::read(&name), is_sdist(&name), is_sdist_of(&name, "a", "1"));
        }
    }
}
