//! Reading `.changes`, the description of an upload (Debian Policy 5.5).

use pybit_core::Result;
use pybit_core::model::{FileSpec, PackageName, Suite, Version};

use super::arch;
use super::dsc::{package_name, version};
use crate::description::files;
use crate::description::{Kind, Paragraph};

const CHANGES: Kind = Kind { name: ".changes", code: "invalid_changes" };

/// What a `.changes` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The source package.
    pub source: PackageName,
    /// The source package's version; differs from [`version`](Self::version) for a binary-only rebuild.
    pub source_version: Version,
    /// The upload's version.
    pub version: Version,
    /// The suite that it is meant for.
    pub distribution: Suite,
    /// What it holds: `source`, `all`, `amd64`.
    pub arches: Vec<String>,
    /// The binary packages that it holds; empty for a source-only upload.
    pub binaries: Vec<PackageName>,
    /// Its files, ordered by name, without the `.changes` itself.
    pub files: Vec<ChangesFile>,
}

/// A file of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesFile {
    /// Name, size and digest.
    pub spec: FileSpec,
    /// Its archive section: `contrib/utils`.
    pub section: String,
    /// Its priority: `optional`.
    pub priority: String,
}

/// Reads a `.changes`, signed inline or not; who signed it is for the caller to check.
///
/// Fails, `Invalid`, with `invalid_package`, `invalid_version`, `invalid_arch` or `invalid_suite` for what those fields
/// say, with `invalid_changes` for everything else.
pub fn read_changes(bytes: &[u8]) -> Result<Changes> {
    let paragraph = Paragraph::read(CHANGES, bytes)?;
    let upload_version = version(paragraph.require("Version")?)?;
    let (source, source_version) = source(&paragraph, &upload_version)?;
    let arches = words(paragraph.require("Architecture")?);
    arch::check_declared(&arches)?;
    let distribution = paragraph.require("Distribution")?.parse()?;
    let binaries = words(paragraph.get("Binary").unwrap_or_default())
        .iter()
        .map(|name| package_name(name))
        .collect::<Result<_>>()?;
    let files = files::read(&paragraph, 2)?.into_iter().map(changes_file).collect();
    Ok(Changes {
        source,
        source_version,
        version: upload_version,
        distribution,
        arches,
        binaries,
        files,
    })
}

/// `Source: NAME` or, for a binary-only rebuild, `Source: NAME (VERSION)`.
fn source(paragraph: &Paragraph, upload: &Version) -> Result<(PackageName, Version)> {
    let text = paragraph.require("Source")?;
    let Some((name, rest)) = text.split_once(' ') else {
        return Ok((package_name(text)?, upload.clone()));
    };
    let inner = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')'));
    let inner = inner.ok_or_else(|| paragraph.refuse("its field Source is malformed"))?;
    Ok((package_name(name)?, version(inner)?))
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn changes_file(listed: files::Listed) -> ChangesFile {
    let mut extra = listed.extra.into_iter();
    ChangesFile {
        spec: listed.spec,
        section: extra.next().unwrap_or_default(),
        priority: extra.next().unwrap_or_default(),
    }
}
