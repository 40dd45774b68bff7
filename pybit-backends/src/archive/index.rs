//! The names of an archive, from its indices of packages and sources (`Packages` and `Sources`, deb822).
//!
//! An index is read as a stream, with bounds: the files have tens of megabytes, and they come from elsewhere.

use std::collections::HashMap;
use std::io::{BufRead, Read};

use pybit_core::base::BaseSource;
use pybit_core::{Error, Result};

/// The longest line, in bytes.
const MAX_LINE: usize = 1 << 20;
/// The longest value of a field that is read, in bytes.
const MAX_VALUE: usize = 4 << 20;
/// The most bytes of one index.
pub(super) const MAX_INDEX: u64 = 4 << 30;
/// The longest name or version.
const MAX_NAME: usize = 200;
/// The most versions of one source.
const MAX_VERSIONS: usize = 10_000;
/// The most names of one suite, binary packages and sources each.
const MAX_NAMES: usize = 4_000_000;

/// The names of an archive. About 100 bytes for each binary package.
#[derive(Debug, Default)]
pub(crate) struct NameIndex {
    sources: Vec<SourceEntry>,
    by_source: HashMap<Box<str>, u32>,
    by_binary: HashMap<Box<str>, u32>,
}

#[derive(Debug)]
struct SourceEntry {
    name: Box<str>,
    /// Each version with the digest of what the distribution publishes of it, where the index has that.
    versions: Vec<(Box<str>, Option<[u8; 32]>)>,
}

impl NameIndex {
    /// The source that owns the name of a binary package.
    pub(crate) fn owner(&self, binary: &str) -> Option<&str> {
        let n = *self.by_binary.get(binary)?;
        self.sources.get(n as usize).map(|entry| &*entry.name)
    }

    /// The source packages of this name.
    pub(crate) fn source(&self, name: &str) -> Vec<BaseSource> {
        let entry = self.by_source.get(name).and_then(|n| self.sources.get(*n as usize));
        let versions = entry.map(|entry| entry.versions.as_slice()).unwrap_or_default();
        let source = |(version, sha256): &(Box<str>, Option<[u8; 32]>)| BaseSource {
            version: version.to_string(),
            sha256: sha256.map(hex::encode),
        };
        versions.iter().map(source).collect()
    }

    /// The number of names of binary packages.
    pub(crate) fn names(&self) -> usize {
        self.by_binary.len()
    }

    /// The number of source packages.
    pub(crate) fn sources(&self) -> usize {
        self.sources.iter().filter(|entry| !entry.versions.is_empty()).count()
    }

    /// Adds an index of binary packages. The first owner of a name stays.
    pub(crate) fn read_packages(&mut self, index: impl BufRead) -> Result<()> {
        let mut stanzas = Stanzas::new(index, ["Package", "Source"]);
        while let Some([package, source]) = stanzas.next()? {
            // `Source: make-dfsg (4.3-4.1)`, where the versions differ; nothing, where the names are equal.
            let source = source.split(['(', ' ']).next().unwrap_or_default();
            let owner = if source.is_empty() { &package } else { source };
            self.add_binary(&package, owner)?;
        }
        Ok(())
    }

    /// Adds an index of source packages, with the binary packages that they say they build on any architecture.
    pub(crate) fn read_sources(&mut self, index: impl BufRead) -> Result<()> {
        let fields = ["Package", "Version", "Binary", "Checksums-Sha256"];
        let mut stanzas = Stanzas::new(index, fields);
        while let Some([package, version, binaries, checksums]) = stanzas.next()? {
            match digest_of_description(&checksums) {
                Some(sha256) => self.add_source(&package, &version, Some(sha256))?,
                None => drop(self.source_number(&package)?),
            }
            for binary in binaries.split([',', ' ', '\n']) {
                self.add_binary(binary, &package)?;
            }
        }
        Ok(())
    }

    /// Adds a version of a source, with the digest of its bytes where that is known. Texts that are no names are left out.
    pub(super) fn add_source(
        &mut self,
        name: &str,
        version: &str,
        sha256: Option<[u8; 32]>,
    ) -> Result<()> {
        let Some(n) = self.source_number(name)? else { return Ok(()) };
        let Some(entry) = self.sources.get_mut(n as usize).filter(|_| is_name(version)) else {
            return Ok(());
        };
        let same = |known: &&mut (Box<str>, Option<[u8; 32]>)| {
            *known.0 == *version && (known.1 == sha256 || known.1.is_none() || sha256.is_none())
        };
        if let Some(known) = entry.versions.iter_mut().find(same) {
            known.1 = known.1.or(sha256);
            return Ok(());
        }
        if entry.versions.len() >= MAX_VERSIONS {
            return Err(bad("a source of it has more than 10000 versions"));
        }
        entry.versions.push((version.into(), sha256));
        Ok(())
    }

    /// Adds a binary package and the source that owns its name. The first owner of a name stays.
    pub(super) fn add_binary(&mut self, binary: &str, source: &str) -> Result<()> {
        if !is_name(binary) || self.by_binary.contains_key(binary) {
            return Ok(());
        }
        let Some(n) = self.source_number(source)? else { return Ok(()) };
        self.by_binary.insert(binary.into(), n);
        within(self.by_binary.len())
    }

    /// The number of a source's entry, made where it is not there yet; nothing for a text that is no name.
    fn source_number(&mut self, name: &str) -> Result<Option<u32>> {
        if let Some(n) = self.by_source.get(name) {
            return Ok(Some(*n));
        }
        if !is_name(name) {
            return Ok(None);
        }
        within(self.sources.len())?;
        let n =
            u32::try_from(self.sources.len()).map_err(|e| bad("too many names").with_source(e))?;
        self.sources.push(SourceEntry { name: name.into(), versions: Vec::new() });
        self.by_source.insert(name.into(), n);
        Ok(Some(n))
    }
}

fn within(names: usize) -> Result<()> {
    if names <= MAX_NAMES { Ok(()) } else { Err(bad("it has more than 4000000 names")) }
}

pub(super) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The SHA-256 of the `.dsc` among the lines `SHA256 SIZE NAME`.
fn digest_of_description(checksums: &str) -> Option<[u8; 32]> {
    let mut lines = checksums.lines().map(str::split_ascii_whitespace);
    lines.find_map(|mut words| {
        let (digest, _size, name) = (words.next()?, words.next()?, words.next()?);
        let mut sha256 = [0; 32];
        (name.strip_suffix(".dsc").is_some() && hex::decode_to_slice(digest, &mut sha256).is_ok())
            .then_some(sha256)
    })
}

pub(super) fn bad(why: &str) -> Error {
    Error::invalid(format!("the index of the archive is refused: {why}")).with_code("invalid_index")
}

/// Reads wanted fields of one stanza after the other (deb822; Debian Policy 5.1).
struct Stanzas<R, const N: usize> {
    index: R,
    fields: [&'static str; N],
    line: Vec<u8>,
    read: u64,
}

impl<R: BufRead, const N: usize> Stanzas<R, N> {
    fn new(index: R, fields: [&'static str; N]) -> Self {
        Self { index, fields, line: Vec::new(), read: 0 }
    }

    /// The values of the next stanza, in the order of the fields; empty for a field that it does not have. Nothing at the end.
    fn next(&mut self) -> Result<Option<[String; N]>> {
        let mut values = [const { String::new() }; N];
        let (mut found, mut current) = (false, None);
        while self.next_line()? {
            let line = self.line.trim_ascii_end();
            if line.is_empty() {
                if found {
                    break;
                }
                continue;
            }
            found = true;
            let value = if line[0].is_ascii_whitespace() {
                line
            } else {
                let (name, value) = split_field(line);
                current = self.fields.iter().position(|f| name.eq_ignore_ascii_case(f.as_bytes()));
                // A field that is there twice has its last value.
                if let Some(n) = current {
                    values[n].clear();
                }
                value
            };
            let Some(n) = current else { continue };
            append(&mut values[n], value)?;
        }
        Ok(found.then_some(values))
    }

    fn next_line(&mut self) -> Result<bool> {
        self.line.clear();
        let mut bounded = Read::take(&mut self.index, MAX_LINE as u64 + 1);
        let read = bounded.read_until(b'\n', &mut self.line);
        let read = read.map_err(|e| bad("it cannot be read").with_source(e))?;
        self.read += read as u64;
        if self.line.len() > MAX_LINE || self.read > MAX_INDEX {
            return Err(bad("it, or a line of it, is too long"));
        }
        Ok(read > 0)
    }
}

fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|b| *b == b':') {
        Some(colon) => (&line[..colon], &line[colon + 1..]),
        None => (line, &[]),
    }
}

/// Adds a line to a value, after a line end where there is something already.
fn append(value: &mut String, line: &[u8]) -> Result<()> {
    if value.len() + line.len() > MAX_VALUE {
        return Err(bad("a field of it is too long"));
    }
    if !value.is_empty() {
        value.push('\n');
    }
    value.push_str(String::from_utf8_lossy(line).trim());
    Ok(())
}

#[cfg(feature = "fuzz")]
impl NameIndex {
    /// Panics where what was read breaks a promise of the index.
    pub(super) fn check(&self) {
        for (binary, n) in &self.by_binary {
            assert!(is_name(binary) && self.sources.len() > *n as usize, "{binary}");
        }
        for (n, entry) in self.sources.iter().enumerate() {
            assert_eq!(self.by_source.get(&entry.name).map(|n| *n as usize), Some(n));
            let digests = self.source(&entry.name).into_iter().filter_map(|s| s.sha256);
            assert!(digests.into_iter().all(|sha256| sha256.len() == 64));
        }
    }
}

/// Reads an index of sources and of packages, for the fuzzer.
///
/// # Panics
///
/// If the result breaks a promise of the parser.
#[cfg(feature = "fuzz")]
pub fn fuzz_names(bytes: &[u8]) {
    let mut index = NameIndex::default();
    let _ = (index.read_sources(bytes), index.read_packages(bytes));
    index.check();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOURCES: &str = "Package: make-dfsg\nBinary: make, make-guile,\n  make-doc\nVersion: 4.3-4.1\nFiles:\n 0 1 make-dfsg_4.3-4.1.dsc\n\
        Checksums-Sha256:\n aa 2 make-dfsg_4.3.orig.tar.gz\n \
        00000000000000000000000000000000000000000000000000000000000000ff 1 make-dfsg_4.3-4.1.dsc\n\n\n\
        package: hello\nVersion: 2.10-3\nBinary: hello\n";
    const PACKAGES: &str = "Package: make\nSource: make-dfsg (4.3-4)\nProvides: virtual\nDescription: x\n Package: evil\n\n\
        Package: linux-image-amd64\nSource: linux-signed-amd64 (6.1+1)\n\nPackage: hello\n\nPackage: make\nSource: other\n";

    fn index() -> NameIndex {
        let mut index = NameIndex::default();
        index.read_packages(PACKAGES.as_bytes()).unwrap();
        index.read_sources(SOURCES.as_bytes()).unwrap();
        index
    }

    #[test]
    fn a_name_belongs_to_its_source_and_virtual_packages_have_none() {
        let index = index();
        for (binary, source) in [
            ("make", Some("make-dfsg")),
            ("make-guile", Some("make-dfsg")),
            ("make-doc", Some("make-dfsg")),
            ("linux-image-amd64", Some("linux-signed-amd64")),
            ("hello", Some("hello")),
            ("virtual", None),
            ("evil", None),
            ("make-dfsg", None),
        ] {
            assert_eq!(index.owner(binary), source, "{binary}");
        }
        assert_eq!((index.names(), index.sources()), (5, 1));
    }

    #[test]
    fn a_source_has_the_digest_of_its_description_in_every_version() {
        let mut index = index();
        let newer = SOURCES.replace("4.3-4.1", "4.3-4.1+deb12u1").replace("00ff", "00fe");
        index.read_sources(newer.as_bytes()).unwrap();
        index.read_sources(newer.as_bytes()).unwrap();
        let found = index.source("make-dfsg");
        let versions: Vec<_> = found.iter().map(|s| s.version.as_str()).collect();
        assert_eq!(versions, ["4.3-4.1", "4.3-4.1+deb12u1"]);
        let ends = |n: usize, end: &str| found[n].sha256.as_ref().unwrap().ends_with(end);
        assert!(ends(0, "00ff") && ends(1, "00fe"));
        assert_eq!((index.source("make"), index.source("linux-signed-amd64")), (vec![], vec![]));
    }

    #[test]
    fn an_index_that_has_no_end_is_refused() {
        let line = format!("Package: {}\n", "a".repeat(MAX_LINE));
        let error = NameIndex::default().read_sources(line.as_bytes()).unwrap_err();
        assert_eq!(error.code(), "invalid_index");
        let folded = "Binary: a\n".to_owned() + &format!(" {}\n", "b, ".repeat(1 << 18)).repeat(6);
        assert!(NameIndex::default().read_sources(folded.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut index = NameIndex::default();
            let _ = (index.read_sources(&*bytes), index.read_packages(&*bytes));
        }

        #[test]
        fn what_is_written_is_read(
            names in proptest::collection::btree_map("[a-z0-9][a-z0-9+.-]{1,12}", "[a-z0-9]{1,6}", 1..20),
            gap in "\n{1,3}",
        ) {
            let digest = |name: &str| hex::encode(sha2::Sha256::digest(name));
            let stanza = |(name, version): (&String, &String)| format!(
                "Package: {name}\nVersion: {version}\nBinary: b-{name}\nChecksums-Sha256:\n {} 1 {name}.dsc\n", digest(name)
            );
            let text: Vec<String> = names.iter().map(stanza).collect();
            let mut index = NameIndex::default();
            index.read_sources(text.join(&gap).as_bytes()).unwrap();
            for (name, version) in &names {
                let expected = BaseSource { version: version.clone(), sha256: Some(digest(name)) };
                prop_assert_eq!(index.source(name), vec![expected]);
                prop_assert_eq!(index.owner(&format!("b-{name}")), Some(name.as_str()));
            }
        }
    }

    use sha2::Digest;
}
