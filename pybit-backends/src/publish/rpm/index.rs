//! What a state's own index says: `repodata/`, the same files that readers read, as `createrepo_c` writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::bufread::GzDecoder;
use pybit_core::Result;
use pybit_core::model::Version;
use pybit_core::publish::{Listed, Removal};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::super::slots::{Present, Slot};
use super::super::{error, files};
use super::package::without_epoch;

/// The architecture that a source package stands under.
pub(super) const SOURCE: &str = "src";

/// One package, to the byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// `EPOCH:VERSION-RELEASE`; without an epoch of 0.
    pub(super) version: String,
    /// SHA-256 of the signed file.
    pub(super) sha256: String,
    /// The file below the snapshot.
    pub(super) path: String,
    /// The source package that it was built from, as rpm writes it: `NAME-VERSION-RELEASE.src.rpm`; its own file for a source package.
    pub(super) source: String,
}

impl Present for Entry {
    fn version(&self) -> &str {
        &self.version
    }
    fn source<'a>(&'a self, _: &'a Slot) -> &'a str {
        source_name(&self.source)
    }
}

/// The name in `NAME-VERSION-RELEASE.src.rpm`.
pub(super) fn source_name(file: &str) -> &str {
    file.rsplitn(3, '-').nth(2).unwrap_or(file)
}

/// Whether a package is to be taken out; rpm writes no epoch into the name of a source package's file.
pub(super) fn is_wanted(entry: &Entry, wanted: &Removal) -> bool {
    let name = wanted.package.as_str();
    let file = |v: &Version| format!("{name}-{}.src.rpm", without_epoch(v.as_str()));
    let same = |v: &Version| file(v) == entry.source;
    source_name(&entry.source) == name && wanted.version.as_ref().is_none_or(same)
}

/// All of a state's index.
pub(super) type Index = BTreeMap<Slot, Entry>;

/// Reads the snapshot at `site`; which packages it names, and the files below `repodata/` that its `repomd.xml` names, each found to be
/// what that says.
pub(super) fn read(site: &Path) -> Result<(Index, BTreeSet<String>)> {
    let path = site.join("repodata/repomd.xml");
    let mut parts = BTreeMap::new();
    each(&path, open(&path)?, "data", |part| {
        let (kind, href) = (part.get("data@type")?, part.get("data/location@href")?);
        parts.insert(href.clone(), (kind.clone(), part.get("data/checksum")?.clone()));
        Some(())
    })?;
    let mut index = None;
    for (href, (kind, sha256)) in &parts {
        let path = site.join(href);
        if files::digest(&path)?.0 != *sha256 {
            return Err(error::corrupt(format!("{} is not what repomd.xml says", path.display())));
        }
        if kind == "primary" {
            index = Some(primary(&path)?);
        }
    }
    let index =
        index.ok_or_else(|| error::corrupt(format!("{} names no index", path.display())))?;
    Ok((index, parts.into_keys().collect()))
}

fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path).map(BufReader::new).map_err(|e| error::io("read", path, e))
}

fn primary(path: &Path) -> Result<Index> {
    packages(path, BufReader::new(GzDecoder::new(open(path)?)))
}

/// Every package of a `primary.xml`; `path` is for messages.
pub(super) fn packages(path: &Path, text: impl BufRead) -> Result<Index> {
    let mut index = Index::new();
    each(path, text, "package", |package| {
        let get = |name: &str| package.get(name).cloned();
        let (name, arch) = (get("package/name")?, get("package/arch")?);
        let evr = ["epoch", "ver", "rel"].map(|a| get(&format!("package/version@{a}")));
        let [Some(epoch), Some(ver), Some(rel)] = evr else { return None };
        let path = get("package/location@href")?;
        let source = get("package/format/rpm:sourcerpm").filter(|s| !s.is_empty());
        let source = source.or_else(|| Some(path.rsplit('/').next()?.to_owned()))?;
        let (version, sha256) = (full_version(&epoch, &ver, &rel), get("package/checksum")?);
        index.insert(Slot { name, arch }, Entry { version, sha256, path, source });
        Some(())
    })?;
    Ok(index)
}

/// `EPOCH:VERSION-RELEASE`; without an epoch of 0.
pub(super) fn full_version(epoch: &str, version: &str, release: &str) -> String {
    let epoch = if epoch == "0" { String::new() } else { format!("{epoch}:") };
    format!("{epoch}{version}-{release}")
}

/// Calls `take` for every element called `wanted`, with the text of what is in it by path, `data/checksum`, and every attribute by path
/// and name, `data/location@href`. `None` says that something is missing.
fn each(
    path: &Path,
    text: impl BufRead,
    wanted: &str,
    mut take: impl FnMut(&BTreeMap<String, String>) -> Option<()>,
) -> Result<()> {
    let broken = |why: String| error::corrupt(format!("{} is unreadable: {why}", path.display()));
    let mut reader = Reader::from_reader(text);
    let (mut within, mut found, mut buffer) = (Vec::<String>::new(), BTreeMap::new(), Vec::new());
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).map_err(|e| broken(e.to_string()))?;
        match event {
            Event::Start(tag) => enter(&tag, wanted, &mut within, &mut found),
            Event::Empty(tag) => {
                enter(&tag, wanted, &mut within, &mut found);
                within.pop();
            }
            Event::Text(text) if !within.is_empty() => {
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                found.entry(within.join("/")).or_insert_with(String::new).push_str(&text);
            }
            Event::End(_) => {
                if within.len() == 1 {
                    take(&found).ok_or_else(|| broken(format!("a {wanted} is incomplete")))?;
                    found.clear();
                }
                within.pop();
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn enter(
    tag: &BytesStart<'_>,
    wanted: &str,
    within: &mut Vec<String>,
    found: &mut BTreeMap<String, String>,
) {
    let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
    if within.is_empty() && name != wanted {
        return;
    }
    within.push(name);
    for attribute in tag.attributes().flatten() {
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        let value = String::from_utf8_lossy(&attribute.value).into_owned();
        found.insert(format!("{}@{key}", within.join("/")), value);
    }
}

/// Each package of an index.
pub(super) fn listed(index: &Index) -> Vec<Listed> {
    let listed = |(slot, entry): (&Slot, &Entry)| Listed {
        name: slot.name.clone(),
        version: entry.version.clone(),
        arch: if slot.arch == SOURCE { "source".to_owned() } else { slot.arch.clone() },
        source: source_name(&entry.source).to_owned(),
    };
    index.iter().map(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOMD: &str = "<?xml version=\"1.0\"?>\n<repomd><revision>7</revision>\n<data type=\"primary\">\n <checksum \
        type=\"sha256\">ab</checksum><location href=\"repodata/ab-primary.xml.gz\"/></data><data type=\"other\"><checksum>cd\
        </checksum><location href=\"repodata/cd-other.xml.gz\"/></data></repomd>";

    #[test]
    fn elements_are_read_by_path_and_attribute() {
        let mut seen = Vec::new();
        each(Path::new("x"), REPOMD.as_bytes(), "data", |part| {
            seen.push((part["data@type"].clone(), part["data/location@href"].clone()));
            part.get("data/checksum").map(|_| ())
        })
        .unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(seen[0], pair("primary", "repodata/ab-primary.xml.gz"));
        assert_eq!(seen[1], pair("other", "repodata/cd-other.xml.gz"));
    }

    #[test]
    fn a_torn_or_incomplete_index_is_corrupt() {
        let read = |text: &str| {
            let take = |part: &BTreeMap<String, String>| part.get("data/checksum").map(|_| ());
            each(Path::new("x"), text.as_bytes(), "data", take)
        };
        read(REPOMD).unwrap();
        for text in [&REPOMD.replace("checksum", "sum"), &REPOMD[..REPOMD.len() - 20], "<a></b>"] {
            assert_eq!(read(text).unwrap_err().kind(), pybit_core::ErrorKind::Corrupt, "{text}");
        }
    }
}
