//! The files of a set, taken over and read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use deb822_fast::Paragraph;
use pybit_core::model::{FileSpec, PackageName, Version};
use pybit_core::publish::PublishSet;
use pybit_core::{Error, ErrorKind, Result};

use super::index::{Content, checksums, source_of};
use super::names::Claims;
use super::tool::Tool;
use super::{error, files};

/// Why the repository refuses a set, for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

/// What comes out, or why the set is refused.
pub(super) type OrRefused<T> = std::result::Result<T, Refusal>;

/// What reprepro calls the three kinds of package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Deb,
    Udeb,
    Dsc,
}

/// One package of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) source: (String, String),
    /// Its section; it names the component.
    pub(super) section: String,
    /// The package's file, or the `.dsc` with the files that it names beside it.
    pub(super) file: PathBuf,
    /// Options for what reprepro insists on and the package does not say: `-S SECTION`, `-P PRIORITY`.
    pub(super) options: Vec<String>,
    /// The claims of a binary package besides its name.
    pub(super) claims: Claims,
}

/// Copies the set's files into `dir` and checks the copies, so that nobody can change what was checked.
pub(super) fn take_over(set: &PublishSet, dir: &Path) -> Result<OrRefused<Vec<FileSpec>>> {
    let mut taken: BTreeMap<String, FileSpec> = BTreeMap::new();
    for (spec, path) in set.files.iter().chain(&set.source_files) {
        let name = spec.name.as_str();
        if has_ending(name, DESCRIPTIONS) {
            continue;
        }
        if let Some(other) = taken.get(name) {
            if other.sha256 != spec.sha256 {
                return Ok(Err(Refusal(format!("the set holds two different files {name}"))));
            }
            continue;
        }
        let copy = dir.join(name);
        fs::copy(path, &copy).map_err(|e| error::io("take over", path, e))?;
        if files::digest(&copy)? != (spec.sha256.clone(), spec.size) {
            let message = format!("{} is not the file that its set describes", path.display());
            return Err(Error::new(ErrorKind::Corrupt, message).with_op("publish"));
        }
        taken.insert(name.to_owned(), spec.clone());
    }
    Ok(Ok(taken.into_values().collect()))
}

/// What describes a build and is no part of a repository.
const DESCRIPTIONS: &[&str] =
    &["changes", "buildinfo", "srpm-info", "rpms-info", "sdist-info", "wheels-info"];

pub(super) fn has_ending(name: &str, endings: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(_, e)| endings.contains(&e))
}

/// Reads every package among the taken files; each must have been built from the set's source.
pub(super) async fn read(
    set: &PublishSet,
    taken: &[FileSpec],
    dir: &Path,
    tool: &dyn Tool,
) -> Result<OrRefused<Vec<Item>>> {
    let mut items = Vec::new();
    for spec in taken {
        let name = spec.name.as_str();
        let item = if has_ending(name, &["deb", "ddeb"]) {
            read_binary(spec, Kind::Deb, dir, tool).await?
        } else if has_ending(name, &["udeb"]) {
            read_binary(spec, Kind::Udeb, dir, tool).await?
        } else if has_ending(name, &["dsc"]) {
            read_source(spec, dir)?
        } else {
            continue;
        };
        match item.and_then(|i| belongs(i, set, name)) {
            Ok(item) => items.push(item),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    if items.is_empty() {
        return Ok(Err(Refusal("the set holds no package that could be published".into())));
    }
    Ok(Ok(items))
}

fn belongs(item: Item, set: &PublishSet, file: &str) -> OrRefused<Item> {
    let (name, version) = &item.source;
    if name == set.package.as_str() && version == set.version.as_str() {
        return Ok(item);
    }
    Err(Refusal(format!(
        "{file} was built from {name} {version}, but the set is of {} {}",
        set.package, set.version
    )))
}

const FIELDS: [&str; 13] = [
    "Package",
    "Version",
    "Architecture",
    "Source",
    "Section",
    "Priority",
    "Provides",
    REPLACING[0],
    REPLACING[1],
    REPLACING[2],
    ESSENTIAL[0],
    ESSENTIAL[1],
    ESSENTIAL[2],
];
/// The fields by which a package that provides another's name stands in its place (Debian Policy 7.6.2).
const REPLACING: [&str; 3] = ["Conflicts", "Replaces", "Breaks"];
/// The fields that make apt install or keep a package without being asked (apt's `pkgcachegen.cc`).
const ESSENTIAL: [&str; 3] = ["Essential", "Protected", "Important"];

async fn read_binary(
    spec: &FileSpec,
    kind: Kind,
    dir: &Path,
    tool: &dyn Tool,
) -> Result<OrRefused<Item>> {
    let name = spec.name.as_str();
    let path = dir.join(name);
    let mut argv = vec!["dpkg-deb".to_owned(), "--field".to_owned(), path.display().to_string()];
    argv.extend(FIELDS.map(str::to_owned));
    let done = match tool.run(&argv, dir, &BTreeMap::new()).await {
        Err(e) if e.kind() == ErrorKind::TooLarge => {
            return Ok(Err(Refusal(format!("{name} is described at unreasonable length"))));
        }
        done => done?,
    };
    if done.code != 0 && done.trouble().is_some() {
        return Err(error::tool("dpkg-deb", &format!("read {name}"), &done));
    }
    let file = match name.strip_suffix(".ddeb") {
        // reprepro knows no .ddeb; it goes by the field, and only wants the other name.
        Some(stem) => dir.join(format!("{stem}.deb")),
        None => path.clone(),
    };
    let Some(mut item) = (done.code == 0).then(|| binary(&done.stdout, kind, spec)).flatten()
    else {
        return Ok(Err(Refusal(format!("{name} is not a Debian package: {}", done.last_words()))));
    };
    if file != path {
        files::rename(&path, &file)?;
    }
    item.file = file;
    Ok(Ok(item))
}

fn binary(control: &str, kind: Kind, spec: &FileSpec) -> Option<Item> {
    let paragraph: Paragraph = control.parse().ok()?;
    let (name, version) = valid(&paragraph, "Package")?;
    let mut options = Vec::new();
    for (field, option, default) in [("Section", "-S", "misc"), ("Priority", "-P", "optional")] {
        if paragraph.get(field).is_none_or(|v| v.trim().is_empty()) {
            options.extend([option.to_owned(), default.to_owned()]);
        }
    }
    let content = Content {
        version,
        arch: paragraph.get("Architecture")?.trim().to_owned(),
        digests: BTreeSet::from([spec.sha256.clone()]),
    };
    let source = source_of(&paragraph)?;
    let claims = claims(&paragraph, &name);
    let section = paragraph.get("Section").unwrap_or_default().trim().to_owned();
    Some(Item { kind, name, content, source, section, file: PathBuf::new(), options, claims })
}

/// The names that a package provides while it conflicts with, replaces or breaks what bears them; and whether it is essential.
fn claims(paragraph: &Paragraph, own: &str) -> Claims {
    let get = |field: &str| paragraph.get(field).unwrap_or_default().trim();
    let provided = related(get("Provides"));
    let fields = ["Provides and Conflicts", "Provides and Replaces", "Provides and Breaks"];
    let mut places = BTreeMap::new();
    for (field, words) in REPLACING.into_iter().zip(fields) {
        let both = related(get(field)).into_iter().filter(|n| *n != own && provided.contains(n));
        for name in both {
            places.entry(name.to_owned()).or_insert(words);
        }
    }
    let says = |field: &&str| !["", "no"].contains(&get(field).to_ascii_lowercase().as_str());
    let essential = ESSENTIAL.into_iter().find(|field| says(field));
    Claims { places: places.into_iter().collect(), essential }
}

/// The names of a relationship field, without versions, architectures and alternatives' bars (Debian Policy 7.1).
fn related(value: &str) -> BTreeSet<&str> {
    let ends = |c: char| c.is_whitespace() || "(:[<".contains(c);
    let names = value.split([',', '|']).filter_map(|relation| relation.trim().split(ends).next());
    names.filter(|name| !name.is_empty()).collect()
}

/// Name and version, where both are valid.
fn valid(paragraph: &Paragraph, field: &str) -> Option<(String, String)> {
    let name: PackageName = paragraph.get(field)?.trim().parse().ok()?;
    let version: Version = paragraph.get("Version")?.trim().parse().ok()?;
    Some((name.to_string(), version.to_string()))
}

fn read_source(spec: &FileSpec, dir: &Path) -> Result<OrRefused<Item>> {
    let file = dir.join(spec.name.as_str());
    let bytes = fs::read(&file).map_err(|e| error::io("read", &file, e))?;
    let item = source(&String::from_utf8_lossy(&bytes), spec, file);
    Ok(item.ok_or_else(|| Refusal(format!("{} is not a source description", spec.name))))
}

fn source(text: &str, spec: &FileSpec, file: PathBuf) -> Option<Item> {
    let paragraph: Paragraph = unarmoured(text).parse().ok()?;
    let (name, version) = valid(&paragraph, "Source")?;
    let mut digests: BTreeSet<_> = checksums(&paragraph)?.into_values().collect();
    digests.insert(spec.sha256.clone());
    let section = section(&paragraph).to_owned();
    let options = ["-S", &section, "-P", "optional"].map(str::to_owned).to_vec();
    let content = Content { version: version.clone(), arch: "source".into(), digests };
    let source = (name.clone(), version);
    let claims = Claims::default();
    Some(Item { kind: Kind::Dsc, name, content, source, section, file, options, claims })
}

/// The section of the first binary package. Told this, reprepro does not unpack the source to look for it.
fn section(paragraph: &Paragraph) -> &str {
    let first =
        paragraph.get("Package-List").and_then(|l| l.lines().find(|l| !l.trim().is_empty()));
    let word = first.and_then(|l| l.split_ascii_whitespace().nth(2)).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-/+.".contains(c);
    let ok = word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(plain);
    if ok { word } else { "misc" }
}

/// The text inside a clear-signed document (RFC 9580, 7), or all of it.
fn unarmoured(text: &str) -> &str {
    let Some((_, rest)) = text.split_once("-----BEGIN PGP SIGNED MESSAGE-----") else {
        return text;
    };
    let body = rest.split_once("\n\n").map_or("", |(_, body)| body);
    body.split("-----BEGIN PGP SIGNATURE-----").next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> FileSpec {
        FileSpec { name: name.parse().unwrap(), size: 1, sha256: "aa".into() }
    }

    const DSC: &str = "Format: 3.0 (quilt)\nSource: hello\nVersion: 1:2.0-1\nPackage-List:\n hello deb devel optional \
        arch=any\nChecksums-Sha256:\n bb 4 hello_2.0.orig.tar.xz\n cc 5 hello_2.0-1.debian.tar.xz\n";

    #[test]
    fn a_signed_source_description_reads_like_an_unsigned_one() {
        let plain = source(DSC, &spec("hello.dsc"), PathBuf::new()).unwrap();
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{DSC}\n-----BEGIN PGP SIGNATURE-----\n\niQ\n"
        );
        assert_eq!(source(&signed, &spec("hello.dsc"), PathBuf::new()).unwrap(), plain);
        assert_eq!(plain.content.digests, ["aa", "bb", "cc"].map(String::from).into());
        assert_eq!(plain.options, ["-S", "devel", "-P", "optional"]);
    }

    #[test]
    fn a_package_takes_the_place_of_what_it_provides_and_keeps_away() {
        let read = |more: &str| {
            let control = format!("Package: x\nVersion: 1\nArchitecture: all\n{more}");
            binary(&control, Kind::Deb, &spec("x.deb")).unwrap().claims
        };
        assert_eq!(read("Provides: make (= 99), sh\nConflicts: dash\n"), Claims::default());
        assert_eq!(read("Provides: x\nConflicts: x\nEssential: no\n"), Claims::default());
        let claims = read(
            "Provides: a (= 1), b,\n c:any\nreplaces: c, b (<< 2) | z\nBreaks: a\nProtected: yes\n",
        );
        let places = claims.places.iter().map(|(n, f)| format!("{n} {f}")).collect::<Vec<_>>();
        assert_eq!(
            places,
            ["a Provides and Breaks", "b Provides and Replaces", "c Provides and Replaces"]
        );
        assert_eq!(claims.essential, Some("Protected"));
        assert_eq!(read("important: Yes\n").essential, Some("Important"));
    }

    #[test]
    fn a_control_file_that_names_no_valid_package_is_refused() {
        let read = |control: &str| binary(control, Kind::Deb, &spec("x.deb"));
        let good = read("Package: x\nVersion: 1\nArchitecture: all\nSection: doc\n").unwrap();
        assert_eq!(good.options, ["-P", "optional"]);
        assert!(read("Package: ../x\nVersion: 1\nArchitecture: all\n").is_none());
        assert!(read("Package: x\nVersion: 1 2\nArchitecture: all\n").is_none());
        assert!(read("Package: x\nVersion: 1\n").is_none());
    }
}
