//! The indices of an rpm repository: `repomd.xml`, which is signed, and the `primary.xml` that it names by its SHA-256.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::bufread::GzDecoder;
use pybit_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use zstd::stream::read::Decoder;

use super::index::{MAX_INDEX, NameIndex, bad, is_name};
use super::xml::records;

/// The largest `repomd.xml`, in bytes.
pub(super) const MAX_REPOMD: u64 = 1 << 20;
/// The most bytes that one packed byte may become.
const MAX_RATIO: u64 = 200;
/// The bytes that every index may have, whatever its packed size.
const RATIO_FREE: u64 = 1 << 20;
/// The largest window of zstd, as the exponent of two: 128 MiB.
const MAX_WINDOW_LOG: u32 = 27;
/// The end of the name of a source package.
const SOURCE: &str = ".src.rpm";
/// The end of the name of a source package that may not be redistributed with all of its sources.
const NO_SOURCE: &str = ".nosrc.rpm";

/// The `primary.xml` of a repository, as its `repomd.xml` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Primary {
    /// The file below the repository's address.
    pub(super) path: String,
    /// Its SHA-256, hexadecimal.
    pub(super) sha256: String,
    /// Its length, where that is told.
    pub(super) size: Option<u64>,
    /// Its length once unpacked, where that is told.
    pub(super) open_size: Option<u64>,
    /// The number of the repository's state, where it is one; it only grows.
    pub(super) revision: Option<u64>,
}

/// Reads a `repomd.xml`.
///
/// Refused, code `invalid_index`: one that names no `primary.xml`, or names it without a SHA-256, or outside of the repository.
pub(super) fn repomd(text: &[u8]) -> Result<Primary> {
    let mut revision = None;
    records(text, MAX_REPOMD, "revision", [""], |[text]| {
        revision = text.parse().ok();
        Ok(())
    })?;
    let fields = ["@type", "location@href", "checksum@type", "checksum", "size", "open-size"];
    let mut found = None;
    records(text, MAX_REPOMD, "data", fields, |[kind, path, algorithm, sha256, size, open]| {
        if kind != "primary" {
            return Ok(());
        }
        if algorithm != "sha256" || !hex::decode(&sha256).is_ok_and(|d| d.len() == 32) {
            return Err(bad("its primary.xml has no SHA-256; only SHA-256 is taken"));
        }
        if !is_inside(&path) {
            return Err(bad("its primary.xml lies outside of the repository"));
        }
        let (size, open_size) = (size.parse().ok(), open.parse().ok());
        found = Some(Primary { path, sha256, size, open_size, revision });
        Ok(())
    })?;
    found.ok_or_else(|| bad("its repomd.xml names no primary.xml"))
}

/// True for a path that is plain and relative.
fn is_inside(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.+~^".contains(&b);
    let part = |p: &str| !p.is_empty() && !p.starts_with('.') && p.bytes().all(plain);
    path.len() <= 300 && path.split('/').all(part)
}

/// Adds the packages of a `primary.xml` file to an index: binary packages, or sources with the digests of their bytes.
pub(super) fn read_file(index: &mut NameIndex, file: &Path, told: &Primary) -> Result<()> {
    let disk = |e: std::io::Error| {
        let message = format!("cannot read {}: {e}", file.display());
        Error::new(ErrorKind::Unavailable, message).with_source(e)
    };
    let opened = File::open(file).map_err(disk)?;
    let packed = opened.metadata().map_err(disk)?.len();
    let limit = packed.saturating_mul(MAX_RATIO).saturating_add(RATIO_FREE).min(MAX_INDEX);
    // A reader that may take exactly as many bytes as are told would fail at the end of the file.
    let limit = told.open_size.map_or(limit, |told| told.saturating_add(1).min(limit));
    let opened = BufReader::with_capacity(1 << 17, opened);
    match told.path.rsplit('.').next() {
        Some("gz") => read(index, buffered(GzDecoder::new(opened)), limit),
        Some("zst") => {
            let mut decoder = Decoder::with_buffer(opened).map_err(disk)?;
            decoder.window_log_max(MAX_WINDOW_LOG).map_err(disk)?;
            read(index, buffered(decoder), limit)
        }
        Some("xml") => read(index, opened, limit),
        _ => Err(bad("its primary.xml is packed in another way than by gzip or zstd")),
    }
}

fn buffered<R: std::io::Read>(unpacked: R) -> BufReader<R> {
    BufReader::with_capacity(1 << 17, unpacked)
}

/// The fields of a package that are read.
const FIELDS: [&str; 7] =
    ["name", "arch", "version@ver", "version@rel", "checksum@type", "checksum", "format/sourcerpm"];

fn read(index: &mut NameIndex, text: impl BufRead, limit: u64) -> Result<()> {
    records(text, limit, "package", FIELDS, |[name, arch, ver, rel, algorithm, sum, source]| {
        let own = format!("{ver}-{rel}");
        if !is_name(&name) || !is_name(&own) {
            return Err(bad("a package of it has no name or no version"));
        }
        let is_source = matches!(arch.as_str(), "src" | "nosrc");
        let mut sha256 = [0; 32];
        let known =
            is_source && algorithm == "sha256" && hex::decode_to_slice(&sum, &mut sha256).is_ok();
        let from = split(&source).filter(|_| !is_source);
        let (owner, version) = from.unwrap_or((&name, &own));
        index.add_source(owner, version, known.then_some(sha256))?;
        if is_source { Ok(()) } else { index.add_binary(&name, owner) }
    })
}

/// Name and `VERSION-RELEASE` in `NAME-VERSION-RELEASE.src.rpm`.
fn split(file: &str) -> Option<(&str, &str)> {
    let stem = file.strip_suffix(SOURCE).or_else(|| file.strip_suffix(NO_SOURCE))?;
    let (at, _) = stem.rmatch_indices('-').nth(1)?;
    let (name, version) = (&stem[..at], &stem[at + 1..]);
    (is_name(name) && is_name(version)).then_some((name, version))
}

/// Reads a `repomd.xml` and a `primary.xml`, for the fuzzer.
///
/// # Panics
///
/// If what is taken breaks a promise of the parser.
#[cfg(feature = "fuzz")]
pub fn fuzz_rpm_names(bytes: &[u8]) {
    if let Ok(primary) = repomd(bytes) {
        assert!(!primary.path.contains("..") && !primary.path.starts_with('/'));
    }
    let mut index = NameIndex::default();
    let _ = read(&mut index, bytes, 1 << 20);
    index.check();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPOMD: &str = "<repomd><revision>7</revision><data type=\"filelists\"><checksum type=\"sha256\">00</checksum></data>\
        <data type=\"primary\"><checksum type=\"sha256\">SUM</checksum><location href=\"repodata/a-primary.xml.gz\"/>\
        <size>5</size><open-size>50</open-size></data></repomd>";

    fn repomd_text() -> String {
        REPOMD.replace("SUM", &"ab".repeat(32))
    }

    const PRIMARY: &str = "<metadata><package type=\"rpm\"><name>nano</name><arch>x86_64</arch><version epoch=\"0\" ver=\"5.2\" rel=\"1\"/>\
        <format><rpm:sourcerpm>nano-5.2-1.src.rpm</rpm:sourcerpm><rpm:provides><rpm:entry name=\"editor\"/></rpm:provides></format></package>\
        <package><name>libfoo-devel</name><arch>noarch</arch><version ver=\"3\" rel=\"1\"/><format><rpm:sourcerpm>foo-bar-1.0-2.fc40.src.rpm</rpm:sourcerpm></format></package>\
        <package><name>odd</name><arch>noarch</arch><version ver=\"3\" rel=\"1\"/><format><rpm:sourcerpm/></format></package>\
        <package><name>nano</name><arch>src</arch><checksum type=\"sha256\" pkgid=\"YES\">SUM</checksum><version \
        ver=\"5.2\" rel=\"1\"/></package></metadata>";

    fn index(text: &str) -> Result<NameIndex> {
        let mut index = NameIndex::default();
        read(&mut index, text.as_bytes(), 1 << 20).map(|()| index)
    }

    #[test]
    fn a_repomd_names_its_primary_by_sha256() {
        let primary = repomd(repomd_text().as_bytes()).unwrap();
        assert_eq!(
            (primary.path.as_str(), primary.revision),
            ("repodata/a-primary.xml.gz", Some(7))
        );
        assert_eq!((primary.size, primary.open_size), (Some(5), Some(50)));
        let text = repomd_text();
        for (from, to) in [
            ("repodata/a", "../a"),
            ("repodata/a", "/etc/a"),
            ("repodata/a", "https://example.org/a"),
            ("repodata/a", "a?b"),
            ("type=\"sha256\">ab", "type=\"sha\">ab"),
            ("type=\"sha256\">ab", "type=\"sha256\">"),
            ("\"primary\"", "\"secondary\""),
        ] {
            let text = text.replace(from, to);
            assert_eq!(repomd(text.as_bytes()).expect_err(to).code(), "invalid_index");
        }
    }

    #[test]
    fn a_name_belongs_to_its_source_and_provides_have_none() {
        let sum = "cd".repeat(32);
        let read = index(&PRIMARY.replace("SUM", &sum)).unwrap();
        for (binary, owner) in [
            ("nano", Some("nano")),
            ("libfoo-devel", Some("foo-bar")),
            ("odd", Some("odd")),
            ("editor", None),
            ("foo-bar", None),
        ] {
            assert_eq!(read.owner(binary), owner, "{binary}");
        }
        let known = |name: &str| -> Vec<_> {
            read.source(name).into_iter().map(|s| (s.version, s.sha256)).collect()
        };
        assert_eq!(known("nano"), [("5.2-1".to_owned(), Some(sum))]);
        assert_eq!(known("foo-bar"), [("1.0-2.fc40".to_owned(), None)]);
        let other = index(&PRIMARY.replace("\"sha256\"", "\"sha512\"")).unwrap();
        assert_eq!(other.source("nano")[0].sha256, None, "only SHA-256 is a digest");
        assert!(index(&PRIMARY.replace("<name>odd</name>", "")).is_err());
    }

    #[test]
    fn a_file_that_unpacks_to_far_more_than_it_is_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let bomb = format!("<metadata>{}</metadata>", " ".repeat(64 << 20));
        let told = |kind: &str, open_size| Primary {
            path: format!("repodata/primary.xml{kind}"),
            open_size,
            ..repomd(repomd_text().as_bytes()).unwrap()
        };
        let file = dir.path().join("primary");
        std::fs::write(&file, zstd::encode_all(bomb.as_bytes(), 1).unwrap()).unwrap();
        let take = |told: &Primary| read_file(&mut NameIndex::default(), &file, told);
        assert_eq!(take(&told(".zst", None)).unwrap_err().code(), "invalid_index");
        assert_eq!(take(&told(".xz", None)).unwrap_err().code(), "invalid_index");
        let small = PRIMARY.replace("SUM", &"cd".repeat(32));
        std::fs::write(&file, &small).unwrap();
        take(&told("", Some(small.len() as u64))).unwrap();
        let error = take(&told("", Some(small.len() as u64 - 1))).unwrap_err();
        assert_eq!(error.code(), "invalid_index");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[a-z][a-z0-9+.-]{0,9}[a-z]", version in "[0-9][0-9a-z.~^]{0,5}", release in "[0-9a-z._]{1,6}") {
            let file = format!("{name}-{version}-{release}.src.rpm");
            let version = format!("{version}-{release}");
            prop_assert_eq!(split(&file), Some((name.as_str(), version.as_str())));
        }
    }
}
