//! Reading `.srpm-info`, pybit's description of a source package: what `describe-source.pl` has written in the build environment.

use std::collections::BTreeSet;

use pybit_core::Result;
use pybit_core::format::{MAX_BINARIES, SourceInfo};
use pybit_core::model::{PackageName, Version};
use pybit_core::version::VersionOrder;

use super::arch;
use super::versions::RpmVersions;
use crate::description::{Kind, Paragraph, files};

/// How the description's name ends.
pub(super) const SUFFIX: &str = ".srpm-info";

const INFO: Kind = Kind { name: SUFFIX, code: "invalid_srpm_info" };

/// Reads a description.
///
/// Fails with `invalid_package`, `invalid_version`, `invalid_arch` for what those fields say, with `invalid_srpm_info` for
/// everything else: it must list exactly the `.src.rpm` of its own name, version and release.
pub(super) fn read(bytes: &[u8]) -> Result<SourceInfo> {
    let paragraph = Paragraph::read(INFO, bytes)?;
    let package: PackageName = paragraph.require("Source")?.parse()?;
    let version = version(paragraph.require("Version")?)?;
    let mut arches = words(paragraph.require("BuildArch")?);
    // An `ExclusiveArch: noarch` allows what BuildArch says already.
    let exclusive = words(paragraph.get("ExclusiveArch").unwrap_or_default());
    arches.extend(exclusive.into_iter().filter(|w| w != "noarch"));
    let never = words(paragraph.get("ExcludeArch").unwrap_or_default());
    arches.extend(never.iter().map(|w| format!("!{w}")));
    arch::check_declared(&arches)?;
    let files = files::checksums(&paragraph)?;
    let text = version.as_str();
    let without_epoch = text.split_once(':').map_or(text, |(_, rest)| rest);
    let name = format!("{package}-{without_epoch}.src.rpm");
    if !without_epoch.contains('-')
        || !matches!(files.as_slice(), [one] if one.name.as_str() == name)
    {
        return Err(paragraph.refuse(
            "it must list the .src.rpm of its own name, version and release, and no other file",
        ));
    }
    let binaries = binaries(&paragraph)?;
    Ok(SourceInfo { package, version, arches, binaries, files })
}

/// The names of `Packages`; a description of an older build client has none.
fn binaries(paragraph: &Paragraph) -> Result<Vec<PackageName>> {
    let names = words(paragraph.get("Packages").unwrap_or_default());
    if names.len() > MAX_BINARIES {
        return Err(paragraph.refuse(format!("it builds more than {MAX_BINARIES} binary packages")));
    }
    let names: BTreeSet<PackageName> =
        names.iter().map(|name| name.parse()).collect::<Result<_>>()?;
    Ok(names.into_iter().collect())
}

/// A version that both pybit and rpm accept.
pub(super) fn version(text: &str) -> Result<Version> {
    RpmVersions.parse(text)?;
    text.parse()
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(head: &str, file: &str) -> String {
        format!("{head}\nChecksums-Sha256:\n {} 12 {file}\n", "ab".repeat(32))
    }

    const HEAD: &str = "Source: foo\nVersion: 2:1.0~rc1-3.fc40\nBuildArch: any noarch\nExclusiveArch: x86_64 noarch\nExcludeArch: s390x";
    const FILE: &str = "foo-1.0~rc1-3.fc40.src.rpm";

    #[test]
    fn a_description_says_name_version_architectures_and_its_one_file() {
        let read = read(info(HEAD, FILE).as_bytes()).unwrap();
        assert_eq!((read.package.as_str(), read.version.as_str()), ("foo", "2:1.0~rc1-3.fc40"));
        assert_eq!(read.arches, ["any", "noarch", "x86_64", "!s390x"]);
        assert_eq!((read.files[0].name.as_str(), read.files[0].size), (FILE, 12));
        assert_eq!(read.binaries, [], "as of an older build client");
        let head = format!("{HEAD}\nPackages: foo-libs foo foo-libs");
        let read = super::read(info(&head, FILE).as_bytes()).unwrap();
        let names: Vec<_> = read.binaries.iter().map(PackageName::as_str).collect();
        assert_eq!(names, ["foo", "foo-libs"]);
    }

    #[test]
    fn hostile_descriptions_are_refused() {
        let good = info(HEAD, FILE);
        let two = format!("{good} {} 12 bar-1-1.src.rpm\n", "ab".repeat(32));
        for (text, code) in [
            (info(HEAD, "foo-1.0~rc1-4.fc40.src.rpm"), "invalid_srpm_info"),
            (info(HEAD, "../foo-1.0~rc1-3.fc40.src.rpm"), "invalid_srpm_info"),
            (two, "invalid_srpm_info"),
            (good.replace("abab", "ABAB"), "invalid_srpm_info"),
            (good.replace("Checksums-Sha256", "Checksums-Md5"), "invalid_srpm_info"),
            (format!("{good}Source: bar\n"), "invalid_srpm_info"),
            (format!("{good}\nSource: bar\n"), "invalid_srpm_info"),
            (good.replace("Source: foo", "Source: -foo"), "invalid_package"),
            (good.replace("2:1.0", "%(id):1.0"), "invalid_version"),
            (good.replace("~rc1-3.fc40", ""), "invalid_srpm_info"),
            (good.replace("any noarch", "any;id"), "invalid_arch"),
            (good.replace("any noarch", "x86_64"), "invalid_arch"),
            (good.replace("BuildArch", "Packages: foo -id\nBuildArch"), "invalid_package"),
            ("x".repeat(2 << 20), "invalid_srpm_info"),
        ] {
            let error = read(text.as_bytes()).expect_err(&text[..text.len().min(400)]);
            assert_eq!(error.code(), code, "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_changed_description_is_refused_or_as_consistent(at in 0_usize..200, byte in any::<u8>()) {
            let mut bytes = info(HEAD, FILE).into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(read) = read(&bytes) {
                let version = read.version.as_str();
                let version = version.split_once(':').map_or(version, |(_, rest)| rest);
                prop_assert_eq!(read.files[0].name.as_str(), format!("{}-{version}.src.rpm", read.package));
            }
        }
    }
}
