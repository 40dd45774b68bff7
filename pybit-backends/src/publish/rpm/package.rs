//! The packages of a set, read by `rpm`; and what of a package a signature does not change.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use pybit_core::model::{FileSpec, PackageName};
use pybit_core::publish::PublishSet;
use pybit_core::{ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::super::error;
use super::super::names::Claims;
use super::super::set::{OrRefused, Refusal, has_ending};
use super::super::slots::{Candidate, Slot};
use super::super::tool::Tool;
use super::index::{SOURCE, full_version};

/// One package of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) slot: Slot,
    /// `EPOCH:VERSION-RELEASE`; without an epoch of 0.
    pub(super) version: String,
    /// `NAME-VERSION-RELEASE.src.rpm`.
    pub(super) source: String,
    /// What is in it, by [`body`].
    pub(super) body: String,
    pub(super) file: PathBuf,
    pub(super) claims: Claims,
}

impl Candidate for Item {
    fn slot(&self) -> &Slot {
        &self.slot
    }
    fn version(&self) -> &str {
        &self.version
    }
    fn body(&self) -> &str {
        &self.body
    }
    fn claims(&self) -> &Claims {
        &self.claims
    }
}

impl Item {
    /// Where it lies below a snapshot.
    pub(super) fn path(&self) -> String {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        format!("Packages/{}/{name}", self.slot.name.get(..1).unwrap_or("_").to_lowercase())
    }
}

/// The query of rpm, a line for each value; then the names that it obsoletes, after an `O`, and provides, after a `P`.
const ASKED: &str = "%{NAME}\\n%{EPOCHNUM}\\n%{VERSION}\\n%{RELEASE}\\n%{ARCH}\\n%{SOURCERPM}\\n%{SOURCEPACKAGE}\\n\
    [O%{OBSOLETENAME}\\n][P%{PROVIDENAME}\\n]";
/// What rpm says where a package has no such field.
const NONE: &str = "(none)";

/// Reads every package among the files in `dir`; each must have been built from the set's source. rpm runs nothing that a package says.
pub(super) async fn read(
    set: &PublishSet,
    taken: &[FileSpec],
    dir: &Path,
    tool: &dyn Tool,
) -> Result<OrRefused<Vec<Item>>> {
    let mut items = Vec::new();
    for spec in taken.iter().filter(|s| has_ending(s.name.as_str(), &["rpm"])) {
        let item = read_one(spec.name.as_str(), dir, tool).await?;
        match item.and_then(|item| belongs(item, set, spec.name.as_str())) {
            Ok(item) => items.push(item),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    if items.is_empty() {
        return Ok(Err(Refusal("the set holds no package that could be published".into())));
    }
    Ok(Ok(items))
}

async fn read_one(name: &str, dir: &Path, tool: &dyn Tool) -> Result<OrRefused<Item>> {
    let (file, db) = (dir.join(name), dir.join("rpmdb").display().to_string());
    let path = file.display().to_string();
    let calls = [
        &["rpmkeys", "--dbpath", &db, "--checksig", "--nosignature", &path][..],
        &[
            "rpm",
            "--dbpath",
            &db,
            "--query",
            "--package",
            "--nosignature",
            "--queryformat",
            ASKED,
            &path,
        ],
    ];
    let mut said = String::new();
    for argv in calls {
        let argv: Vec<_> = argv.iter().map(ToString::to_string).collect();
        let done = match tool.run(&argv, dir, &BTreeMap::new()).await {
            Err(e) if e.kind() == ErrorKind::TooLarge => {
                return Ok(Err(Refusal(format!("{name} is described at unreasonable length"))));
            }
            done => done?,
        };
        if done.trouble().is_some() {
            return Err(error::tool(&argv[0], &format!("read {name}"), &done));
        }
        if done.code != 0 {
            let why = done.last_words();
            return Ok(Err(Refusal(format!("{name} is not a whole RPM package: {why}"))));
        }
        said = done.stdout;
    }
    let unnamed =
        || Refusal(format!("{name} says another name, version or architecture than its own"));
    let Some(body) = body(&file)? else { return Ok(Err(unnamed())) };
    Ok(item(&said, body, file).filter(|i| file_name(i) == name).ok_or_else(unnamed))
}

fn item(said: &str, body: String, file: PathBuf) -> Option<Item> {
    let lines: Vec<&str> = said.lines().collect();
    let [name, epoch, version, release, arch, from, source, related @ ..] = lines.as_slice() else {
        return None;
    };
    let _: PackageName = name.parse().ok()?;
    let plain =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~^".contains(&b));
    if ![epoch, version, release, arch].iter().all(|t| plain(t)) {
        return None;
    }
    let is_source = *source != NONE;
    let own = format!("{name}-{version}-{release}.src.rpm");
    Some(Item {
        slot: Slot {
            name: (*name).to_owned(),
            arch: if is_source { SOURCE } else { arch }.to_owned(),
        },
        version: full_version(epoch, version, release),
        source: if is_source { own } else { (*from).to_owned() },
        body,
        file,
        claims: Claims { places: places(name, related)?, essential: None },
    })
}

/// The names of other packages that a package obsoletes or provides: dnf takes it for them. `None` where a line is neither.
fn places(own: &str, related: &[&str]) -> Option<Vec<(String, &'static str)>> {
    let mut places = BTreeMap::new();
    for line in related {
        let (field, name) = match line.split_at_checked(1)? {
            ("O", name) => ("Obsoletes", name),
            ("P", name) => ("Provides", without_isa(name)),
            _ => return None,
        };
        // A capability is no package's name: `pkgconfig(zlib)`, `/bin/sh`, `rpmlib(Caps)`.
        if name != own && name.parse::<PackageName>().is_ok() {
            places.entry(name.to_owned()).or_insert(field);
        }
    }
    Some(places.into_iter().collect())
}

/// `NAME` of `NAME(x86-64)`, which rpm provides besides `NAME` (`%{_isa}` in rpm's `platform` macros).
fn without_isa(name: &str) -> &str {
    let Some((stem, isa)) = name.strip_suffix(')').and_then(|n| n.rsplit_once('(')) else {
        return name;
    };
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match isa.rsplit_once('-') {
        Some((cpu, "32" | "64")) if word(cpu) => stem,
        _ => name,
    }
}

/// The name that a package's file must have.
fn file_name(item: &Item) -> String {
    let Slot { name, arch } = &item.slot;
    format!("{name}-{}.{arch}.rpm", without_epoch(&item.version))
}

/// `VERSION-RELEASE`.
pub(super) fn without_epoch(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, rest)| rest)
}

fn belongs(item: Item, set: &PublishSet, file: &str) -> OrRefused<Item> {
    let own = format!("{}-{}.src.rpm", set.package, without_epoch(set.version.as_str()));
    if item.source == own {
        return Ok(item);
    }
    Err(Refusal(format!(
        "{file} was built from {}, but the set is of {} {}",
        item.source, set.package, set.version
    )))
}

/// SHA-256 of header and payload: all that is installed, and nothing that a signature changes. `None` where the file has not the form
/// of a package (rpm's `docs/manual/format.md`: a lead of 96 bytes, the signature's header, padded to 8, then the rest).
pub(super) fn body(path: &Path) -> Result<Option<String>> {
    let read = || -> io::Result<Option<String>> {
        let mut file = File::open(path)?;
        let mut head = [0; 112];
        file.read_exact(&mut head)?;
        let number = |at: usize| head[at..at + 4].iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        if head[..4] != [0xed, 0xab, 0xee, 0xdb] || head[96..100] != [0x8e, 0xad, 0xe8, 1] {
            return Ok(None);
        }
        let signature = 16 + 16 * number(104) + number(108);
        file.seek(SeekFrom::Start(96 + signature.next_multiple_of(8)))?;
        let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 256 << 10]);
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                return Ok((size > 0).then(|| hex::encode(hash.finalize())));
            }
            hash.update(&buffer[..n]);
            size += n;
        }
    };
    match read() {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => read.map_err(|e| error::io("read", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &str) -> Option<Item> {
        item(said, "b".into(), "x".into())
    }

    #[test]
    fn a_package_is_what_rpm_says_and_nothing_that_is_not_plain() {
        let binary =
            read("foo-libs\n2\n1.0~rc1\n3.fc40\nx86_64\nfoo-1.0~rc1-3.fc40.src.rpm\n(none)\n")
                .unwrap();
        assert_eq!(
            (binary.version.as_str(), binary.slot.arch.as_str()),
            ("2:1.0~rc1-3.fc40", "x86_64")
        );
        assert_eq!(file_name(&binary), "foo-libs-1.0~rc1-3.fc40.x86_64.rpm");
        let source = read("foo\n0\n1\n1\nx86_64\n(none)\n1\n").unwrap();
        assert_eq!((source.source.as_str(), source.slot.arch.as_str()), ("foo-1-1.src.rpm", "src"));
        for hostile in [
            "../foo\n0\n1\n1\nx86_64\nf\n(none)\n",
            "foo\n0\n1/..\n1\nx86_64\nf\n(none)\n",
            "foo\n0\n1\n1\n../x\nf\n(none)\n",
            "foo\n0\n1\n%(id)\nnoarch\nf\n(none)\n",
            "foo\n0\n1\n1\nnoarch\nf\nx\n(none)\n",
            "foo\n0\n1\n1\nnoarch\nf\n(none)\nPfoo\n(none)\n",
            "foo\n0\n1\n1\nnoarch\nf\n(none)\n\n",
            "",
        ] {
            assert_eq!(read(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn a_package_takes_the_place_of_what_it_obsoletes_and_provides() {
        let said = "foo\n0\n1\n1\nx86_64\nfoo-1-1.src.rpm\n(none)\nOold\nPfoo\nPfoo(x86-64)\nPmake(x86-64)\n\
            Pperl(Foo)\nPlibfoo.so.1()(64bit)\nPpkgconfig(zlib)\nP/bin/sh\nPold\n";
        let places = read(said).unwrap().claims.places;
        assert_eq!(places, [("make".into(), "Provides"), ("old".into(), "Obsoletes")]);
        for (provided, name) in [
            ("a(x86-64)", "a"),
            ("a(aarch-64)", "a"),
            ("a(armv7hl-32)", "a"),
            ("a(-64)", "a(-64)"),
            ("perl(A-64)(x)", "perl(A-64)(x)"),
            ("a", "a"),
        ] {
            assert_eq!(without_isa(provided), name);
        }
    }

    #[test]
    fn what_has_not_the_form_of_a_package_has_no_body() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.rpm");
        let mut bytes = vec![0; 120];
        for (content, name) in [(&b"short"[..], "short"), (&[0; 400], "zeros")] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(body(&path).unwrap(), None, "{name}");
        }
        bytes[..4].copy_from_slice(&[0xed, 0xab, 0xee, 0xdb]);
        bytes[96..100].copy_from_slice(&[0x8e, 0xad, 0xe8, 1]);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(body(&path).unwrap(), Some(hex::encode(Sha256::digest([0; 8]))));
        bytes[104..112].fill(0xff);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(body(&path).unwrap(), None, "a signature beyond the file's end");
    }
}
