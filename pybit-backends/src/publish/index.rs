//! What a state's own index says: the same files that readers read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use deb822_fast::Paragraph;
use pybit_core::Result;
use pybit_core::publish::Listed;

use super::{error, files};

/// The place of one package in the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    /// Which index, below the component: `binary-amd64`, `debian-installer/binary-amd64`, `source`.
    pub(super) index: String,
    /// The package.
    pub(super) name: String,
}

/// What a package is, to the byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) version: String,
    /// Its own word: `all` though it stands in `binary-amd64`; `source` for a source package.
    pub(super) arch: String,
    /// SHA-256 of its files.
    pub(super) digests: BTreeSet<String>,
}

/// One package in one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) content: Content,
    /// The source package it was built from, and that one's version.
    pub(super) source: (String, String),
    /// The component that lists it.
    pub(super) component: String,
    /// Its section, as the index has it; empty where it has none.
    pub(super) section: String,
    /// Its priority, likewise.
    pub(super) priority: String,
    /// SHA-256 of each of its files, by path below the snapshot.
    pub(super) files: BTreeMap<String, String>,
}

/// All of a state's index.
pub(super) type Index = BTreeMap<Slot, Entry>;

/// Reads all indices of the snapshot at `site`.
pub(super) fn read(site: &Path, codename: &str) -> Result<Index> {
    let dist = site.join("dists").join(codename);
    let mut index = Index::new();
    for component in directories(&dist)? {
        let top = dist.join(&component);
        for part in ["", "debian-installer"] {
            for name in directories(&top.join(part))? {
                let (file, source) = match name.as_str() {
                    "source" => ("Sources", true),
                    _ if name.starts_with("binary-") => ("Packages", false),
                    _ => continue,
                };
                let place = Path::new(part).join(&name).display().to_string();
                let place = Place { component: &component, index: &place, source };
                read_index(&top.join(part).join(&name).join(file), place, &mut index)?;
            }
        }
    }
    Ok(index)
}

/// The index that a file is.
#[derive(Clone, Copy)]
struct Place<'a> {
    component: &'a str,
    index: &'a str,
    source: bool,
}

fn directories(path: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(names),
        // `Release`, `InRelease`: files beside the components.
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(names),
        other => other.map_err(|e| error::io("read", path, e))?,
    };
    for entry in entries {
        let entry = entry.map_err(|e| error::io("read", path, e))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn read_index(path: &Path, place: Place<'_>, index: &mut Index) -> Result<()> {
    let file = match File::open(path) {
        // Nothing but old files by hash: an architecture that is served no more.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(|e| error::io("read", path, e))?,
    };
    let mut add = |paragraph: &str| -> Result<()> {
        let (name, entry) = entry(paragraph, place).ok_or_else(|| {
            error::corrupt(format!("{} holds a paragraph that is no package", path.display()))
        })?;
        let slot = Slot { index: place.index.to_owned(), name };
        if let Some(other) = index.insert(slot.clone(), entry) {
            let (name, one, two) = (slot.name, other.component, place.component);
            return Err(error::corrupt(format!("the components {one} and {two} both hold {name}")));
        }
        Ok(())
    };
    // A package's description may hold bytes that are no UTF-8; what matters here never does.
    let (mut paragraph, mut line, mut reader) = (String::new(), Vec::new(), BufReader::new(file));
    loop {
        line.clear();
        let n = reader.read_until(b'\n', &mut line).map_err(|e| error::io("read", path, e))?;
        if n > 0 && line.trim_ascii_end() != b"" {
            paragraph.push_str(&String::from_utf8_lossy(&line));
            continue;
        }
        if !paragraph.is_empty() {
            add(&paragraph)?;
            paragraph.clear();
        }
        if n == 0 {
            return Ok(());
        }
    }
}

fn entry(paragraph: &str, place: Place<'_>) -> Option<(String, Entry)> {
    let paragraph: Paragraph = paragraph.parse().ok()?;
    let field = |name: &str| paragraph.get(name).map(|v| v.trim().to_owned());
    let (name, version) = (field("Package")?, field("Version")?);
    let (source, arch, files) = if place.source {
        let directory = field("Directory")?;
        let named = checksums(&paragraph)?;
        let files = named.into_iter().map(|(n, sha)| (format!("{directory}/{n}"), sha)).collect();
        ((name.clone(), version.clone()), "source".to_owned(), files)
    } else {
        let files = BTreeMap::from([(field("Filename")?, field("SHA256")?)]);
        (source_of(&paragraph)?, field("Architecture")?, files)
    };
    let digests = files.values().cloned().collect();
    let content = Content { version, arch, digests };
    let component = place.component.to_owned();
    let word = |name| field(name).unwrap_or_default();
    let (section, priority) = (word("Section"), word("Priority"));
    Some((name, Entry { content, source, component, section, priority, files }))
}

/// The source package of a binary package, and its version (Debian Policy 5.6.1).
pub(super) fn source_of(paragraph: &Paragraph) -> Option<(String, String)> {
    let own = (paragraph.get("Package")?.trim(), paragraph.get("Version")?.trim());
    let Some(source) = paragraph.get("Source").map(str::trim).filter(|s| !s.is_empty()) else {
        return Some((own.0.to_owned(), own.1.to_owned()));
    };
    let (name, version) = match source.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end_matches(')').trim()),
        None => (source, own.1),
    };
    Some((name.to_owned(), version.to_owned()))
}

/// Names and SHA-256 of `Checksums-Sha256` (Debian Policy 5.6.24).
pub(super) fn checksums(paragraph: &Paragraph) -> Option<BTreeMap<String, String>> {
    let lines = paragraph.get("Checksums-Sha256")?.lines().map(str::trim);
    lines
        .filter(|l| !l.is_empty())
        .map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (sha, _size, name) = (words.next()?, words.next()?, words.next()?);
            Some((name.to_owned(), sha.to_owned()))
        })
        .collect()
}

/// Each package once, however many indices name it.
pub(super) fn listed(index: &Index) -> Vec<Listed> {
    let unique: BTreeSet<_> = index
        .iter()
        .map(|(slot, e)| {
            let Content { version, arch, .. } = e.content.clone();
            (slot.name.clone(), version, arch, e.source.0.clone())
        })
        .collect();
    let listed = |(name, version, arch, source)| Listed { name, version, arch, source };
    unique.into_iter().map(listed).collect()
}

/// The pool files that an index names.
pub(super) fn pool_files(index: &Index) -> BTreeSet<String> {
    index.values().flat_map(|e| e.files.keys().cloned()).collect()
}

/// Whether the files of an entry lie in the snapshot with the bytes that the index says.
pub(super) fn files_match(site: &Path, entry: &Entry) -> Result<bool> {
    for (path, sha256) in &entry.files {
        if files::digest(&site.join(path))?.0 != *sha256 {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_names_its_source_where_it_differs() {
        let of = |text: &str| source_of(&text.parse().unwrap()).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(of("Package: a\nVersion: 1\n"), pair("a", "1"));
        assert_eq!(of("Package: a\nVersion: 1\nSource: b\n"), pair("b", "1"));
        assert_eq!(of("Package: a\nVersion: 1+b1\nSource: b (1:1)\n"), pair("b", "1:1"));
    }

    #[test]
    fn bytes_that_are_no_utf8_do_not_hide_the_packages_after_them() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("dists/x/main/binary-amd64");
        fs::create_dir_all(&place).unwrap();
        let text = b"Package: a\nVersion: 1\nArchitecture: all\nFilename: pool/a\nSHA256: 00\nDescription: \xff\n \
            more\n\nPackage: b\nVersion: 2\nArchitecture: amd64\nFilename: pool/b\nSHA256: 01\n";
        fs::write(place.join("Packages"), text).unwrap();
        let index = read(dir.path(), "x").unwrap();
        let names: Vec<_> = listed(&index).into_iter().map(|l| (l.name, l.arch)).collect();
        assert_eq!(names, [("a".into(), "all".into()), ("b".into(), "amd64".into())]);
    }
}
