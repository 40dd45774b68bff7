//! One project's page of an index of Python projects, as JSON (PEP 691).

use pybit_core::base::BaseSource;
use serde::Deserialize;

use crate::python::sdist_version;

/// The most sdists of one project that are kept: the last ones.
const MAX_SDISTS: usize = 5_000;

#[derive(Debug, Deserialize)]
struct Project {
    #[serde(default)]
    files: Vec<ProjectFile>,
    /// PEP 700.
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ProjectFile {
    filename: String,
    #[serde(default)]
    hashes: Hashes,
}

#[derive(Debug, Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

/// The sources of a project that the index has: never empty. What cannot be read, or lists no sdist, has one source without a digest: the
/// name is the index's own all the same.
pub(super) fn sources(name: &str, page: &[u8]) -> Vec<BaseSource> {
    let Ok(project) = serde_json::from_slice::<Project>(page) else { return vec![unknown("")] };
    let sdist = |file: ProjectFile| {
        let version = sdist_version(&file.filename, name)?.to_owned();
        let sha256 = file.hashes.sha256.filter(|d| hex::decode(d).is_ok_and(|d| d.len() == 32));
        Some(BaseSource { version, sha256 })
    };
    let mut sources: Vec<_> = project.files.into_iter().filter_map(sdist).collect();
    sources.drain(..sources.len().saturating_sub(MAX_SDISTS));
    if sources.is_empty() {
        let last = project.versions.last().map_or("", String::as_str);
        sources.push(unknown(if last.len() <= 100 { last } else { "" }));
    }
    sources
}

fn unknown(version: &str) -> BaseSource {
    BaseSource { version: version.to_owned(), sha256: None }
}

/// Reads a project's page, for the fuzzer.
///
/// # Panics
///
/// If what is read breaks a promise of the parser.
#[cfg(feature = "fuzz")]
pub fn fuzz_simple(bytes: &[u8]) {
    let found = sources("requests", bytes);
    assert!(!found.is_empty() && found.len() <= MAX_SDISTS);
    assert!(found.iter().all(|s| s.sha256.as_ref().is_none_or(|d| d.len() == 64)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_the_digests_of_its_sdists() {
        let sum = "ab".repeat(32);
        let file = |name: &str, sum: &str| {
            format!(
                "{{\"filename\":\"{name}\",\"url\":\"u\",\"hashes\":{{\"sha256\":\"{sum}\"}},\"yanked\":false}}"
            )
        };
        let page = |files: &[String]| {
            format!(
                "{{\"meta\":{{\"api-version\":\"1.1\"}},\"name\":\"Foo.Bar\",\"versions\":[\"1.0\",\"2.0\"],\"files\":[{}]}}",
                files.join(",")
            )
        };
        let own = |version: &str, sha256: Option<&str>| BaseSource {
            version: version.to_owned(),
            sha256: sha256.map(str::to_owned),
        };
        let files = [
            file("foo_bar-1.0-py3-none-any.whl", &"cd".repeat(32)),
            file("Foo.Bar-1.0.tar.gz", &sum),
            file("other-3.0.tar.gz", &sum),
            file("foo-bar-2.0rc1.tar.gz", "nothing"),
        ];
        let both = [own("1.0", Some(&sum)), own("2.0rc1", None)];
        assert_eq!(sources("foo-bar", page(&files).as_bytes()), both);
        assert_eq!(sources("foo-bar", page(&files[..1]).as_bytes()), [own("2.0", None)]);
        for page in ["<!DOCTYPE html><a href=\"x\">x</a>", "{\"files\":7}", "", "[]"] {
            assert_eq!(sources("foo-bar", page.as_bytes()), [own("", None)], "{page}");
        }
        let many: Vec<_> = (0..6000).map(|n| file(&format!("foo-bar-{n}.tar.gz"), &sum)).collect();
        let found = sources("foo-bar", page(&many).as_bytes());
        assert_eq!((found.len(), found[0].version.as_str()), (MAX_SDISTS, "1000"));
    }
}
