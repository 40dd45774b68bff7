//! What a state holds: `index.json` among what pybit knows of it, and the pages of the simple index that are written from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use pybit_core::publish::Listed;
use pybit_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::super::slots::{Present, Slot, Words};
use super::super::{error, files};

/// How the format names what is for no architecture.
pub(super) const WORDS: Words = Words { source: "source", all: "all" };

/// One distribution, to the byte.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// In PEP 440's normal form.
    pub(super) version: String,
    /// The file's name.
    pub(super) file: String,
    /// SHA-256 of the file.
    pub(super) sha256: String,
    /// `Requires-Python`; empty where there is none.
    pub(super) python: String,
    /// SHA-256 of the `.metadata` beside it; a wheel has one.
    pub(super) metadata: Option<String>,
}

impl Present for Entry {
    fn version(&self) -> &str {
        &self.version
    }
    fn source<'a>(&'a self, slot: &'a Slot) -> &'a str {
        &slot.name
    }
}

/// All of a state's distributions.
pub(super) type Index = BTreeMap<Slot, Entry>;

/// Where a distribution lies below a snapshot.
pub(super) fn path(slot: &Slot, file: &str) -> String {
    format!("packages/{}/{file}", slot.name)
}

/// Its files below a snapshot: itself, its signature and, of a wheel, its metadata.
pub(super) fn paths(slot: &Slot, entry: &Entry) -> Vec<String> {
    let own = path(slot, &entry.file);
    let metadata = entry.metadata.iter().map(|_| format!("{own}.metadata"));
    let mut all: Vec<String> = metadata.collect();
    all.extend([format!("{own}.asc"), own]);
    all
}

/// Reads the index of a state.
pub(super) fn read(state: &Path) -> Result<Index> {
    let path = state.join("index.json");
    let broken = |why: String| error::corrupt(format!("{} {why}", path.display()));
    let text = files::text(&path)?.ok_or_else(|| broken("is missing".into()))?;
    let all: Vec<(Slot, Entry)> =
        serde_json::from_str(&text).map_err(|e| broken(format!("is unreadable: {e}")))?;
    Ok(all.into_iter().collect())
}

/// Writes the index and its pages: `simple/index.html`, `simple/NAME/index.html`.
pub(super) fn write(state: &Path, site: &Path, index: &Index) -> Result<()> {
    let all: Vec<_> = index.iter().collect();
    let text = serde_json::to_vec(&all)
        .map_err(|e| Error::internal("a state's index cannot be written").with_source(e))?;
    files::write(&state.join("index.json"), text)?;
    let simple = site.join("simple");
    files::directory(&simple)?;
    let names: BTreeSet<&str> = index.keys().map(|slot| slot.name.as_str()).collect();
    let mut root = String::new();
    for name in names {
        let _ = writeln!(root, "<a href=\"{name}/\">{name}</a><br>");
        let own = index.iter().filter(|(slot, _)| slot.name == name);
        let anchors: String = own.map(|(slot, entry)| anchor(slot, entry)).collect();
        files::directory(&simple.join(name))?;
        files::write(&simple.join(name).join("index.html"), page(name, &anchors))?;
    }
    files::write(&simple.join("index.html"), page("Simple index", &root))
}

/// [PEP 503](https://peps.python.org/pep-0503/), with what PEP 629 adds.
fn page(title: &str, anchors: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"pypi:repository-version\" content=\"1.0\">\n<title>{title}</title>\n</head>\n<body>\n{anchors}</body>\n</html>\n"
    )
}

/// A file's line: PEP 503, and where the metadata is (PEP 658, under the name of PEP 714).
fn anchor(slot: &Slot, entry: &Entry) -> String {
    let file = escaped(&entry.file);
    let mut line = format!(
        "<a href=\"../../{}#sha256={}\" data-gpg-sig=\"true\"",
        escaped(&path(slot, &entry.file)),
        entry.sha256
    );
    if !entry.python.is_empty() {
        let _ = write!(line, " data-requires-python=\"{}\"", escaped(&entry.python));
    }
    if let Some(sha256) = &entry.metadata {
        // Not under the name of PEP 658: pip 23.0, which reads it there, refuses a name that is not in its normal form.
        let _ = write!(line, " data-core-metadata=\"sha256={sha256}\"");
    }
    let _ = writeln!(line, ">{file}</a><br>");
    line
}

fn escaped(text: &str) -> String {
    let pairs = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];
    let word = |c: char| {
        let known = pairs.iter().find(|(from, _)| *from == c);
        known.map_or_else(|| c.to_string(), |(_, to)| (*to).to_owned())
    };
    text.chars().map(word).collect()
}

/// Each distribution of an index.
pub(super) fn listed(index: &Index) -> Vec<Listed> {
    let listed = |(slot, entry): (&Slot, &Entry)| Listed {
        name: slot.name.clone(),
        version: entry.version.clone(),
        arch: slot.arch.clone(),
        source: slot.name.clone(),
    };
    index.iter().map(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_digest_metadata_and_python_and_nothing_breaks_out_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot { name: "foo-bar".into(), arch: "all".into() };
        let entry = Entry {
            version: "1.0".into(),
            file: "foo_bar-1.0-py3-none-any.whl".into(),
            sha256: "ab".into(),
            python: ">=3.8,<4\"><script>".into(),
            metadata: Some("cd".into()),
        };
        let index = Index::from([(slot, entry)]);
        write(dir.path(), dir.path(), &index).unwrap();
        assert_eq!(read(dir.path()).unwrap(), index);
        let page = std::fs::read_to_string(dir.path().join("simple/foo-bar/index.html")).unwrap();
        assert!(
            page.contains("<a href=\"../../packages/foo-bar/foo_bar-1.0-py3-none-any.whl#sha256=ab\" data-gpg-sig=\"true\" data-requires-python=\"&gt;=3.8,&lt;4&quot;&gt;&lt;script&gt;\" data-core-metadata=\"sha256=cd\">"),
            "{page}"
        );
        let root = std::fs::read_to_string(dir.path().join("simple/index.html")).unwrap();
        assert!(root.contains("<a href=\"foo-bar/\">foo-bar</a>"), "{root}");
    }
}
