//! Reading `.sdist-info`, pybit's description of a source distribution: what `describe-source.py` has written in the build environment.

use pep440_rs::VersionSpecifiers;
use pybit_core::format::{Expansion, SourceInfo};
use pybit_core::model::{Arch, Version};
use pybit_core::{Error, Result};

use super::{name, versions};
use crate::description::{Kind, Paragraph, files};

/// How the description's name ends.
pub(super) const SUFFIX: &str = ".sdist-info";

const INFO: Kind = Kind { name: SUFFIX, code: "invalid_sdist_info" };

/// A wheel for every machine comes of it.
pub(super) const ALL: &str = "all";
/// A wheel for each architecture comes of it.
const ANY: &str = "any";

/// Reads a description.
///
/// Fails with `invalid_package`, `invalid_version`, `invalid_arch` for what those fields say, with `invalid_sdist_info` for
/// everything else: it must list exactly the `.tar.gz` of its own name and version.
pub(super) fn read(bytes: &[u8]) -> Result<SourceInfo> {
    let paragraph = Paragraph::read(INFO, bytes)?;
    let package = name::checked(paragraph.require("Source")?)?;
    let version = version(paragraph.require("Version")?)?;
    let arches = vec![paragraph.require("Architecture")?.to_owned()];
    check_declared(&arches)?;
    check_python(&paragraph)?;
    let files = files::checksums(&paragraph)?;
    let own = |file: &str| name::is_sdist_of(file, package.as_str(), version.as_str());
    if !matches!(files.as_slice(), [one] if own(one.name.as_str())) {
        return Err(paragraph.refuse(
            "it must list the .tar.gz of its own name and version (PEP 625), and no other file",
        ));
    }
    let binaries = vec![package.clone()];
    Ok(SourceInfo { package, version, arches, binaries, files })
}

/// Refuses a `Requires-Python` that no reader could compare its version with.
pub(super) fn check_python(paragraph: &Paragraph) -> Result<()> {
    let Some(text) = paragraph.get("Requires-Python") else { return Ok(()) };
    match text.parse::<VersionSpecifiers>() {
        Ok(_) if text.len() <= 200 => Ok(()),
        _ => Err(paragraph.refuse("Requires-Python is no list of version specifiers (PEP 440)")),
    }
}

/// A version that both pybit and Python accept, in PEP 440's normal form: then a version has one spelling.
pub(super) fn version(text: &str) -> Result<Version> {
    if versions::read(text)?.to_string() == text {
        return text.parse();
    }
    Err(Error::invalid("the Python version is not in the normal form of PEP 440")
        .with_code("invalid_version"))
}

/// Which of the served architectures a declaration means: `any` all of them, `all` none but that its one wheel is built once.
pub(super) fn expand(declared: &[String], served: &[Arch]) -> Result<Expansion> {
    check_declared(declared)?;
    if declared == [ALL] {
        return Ok(Expansion { arches: Vec::new(), indep: true });
    }
    let mut arches: Vec<Arch> = Vec::new();
    for arch in served.iter().filter(|a| !a.is_source() && a.as_str() != ALL) {
        if !arches.contains(arch) {
            arches.push(arch.clone());
        }
    }
    Ok(Expansion { arches, indep: false })
}

fn check_declared(declared: &[String]) -> Result<()> {
    if declared == [ALL] || declared == [ANY] {
        return Ok(());
    }
    Err(Error::invalid("the architectures are refused: a source distribution says all or any")
        .with_code("invalid_arch"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(head: &str, file: &str) -> String {
        format!("{head}\nChecksums-Sha256:\n {} 12 {file}\n", "ab".repeat(32))
    }

    const HEAD: &str =
        "Source: foo-bar\nVersion: 1.0rc1\nArchitecture: any\nRequires-Python: >=3.8,<4";
    const FILE: &str = "foo_bar-1.0rc1.tar.gz";

    #[test]
    fn a_description_says_name_version_architectures_and_its_one_file() {
        for file in [FILE, "Foo.Bar-1.0-rc1.tar.gz"] {
            let read = read(info(HEAD, file).as_bytes()).unwrap();
            assert_eq!((read.package.as_str(), read.version.as_str()), ("foo-bar", "1.0rc1"));
            assert_eq!(read.arches, ["any"]);
            assert_eq!((read.files[0].name.as_str(), read.files[0].size), (file, 12));
        }
    }

    #[test]
    fn hostile_descriptions_are_refused() {
        let good = info(HEAD, FILE);
        let two = format!("{good} {} 12 bar-1.tar.gz\n", "ab".repeat(32));
        for (text, code) in [
            (info(HEAD, "foo_bar-1.0.tar.gz"), "invalid_sdist_info"),
            (info(HEAD, "../foo_bar-1.0rc1.tar.gz"), "invalid_sdist_info"),
            (info(HEAD, "foo_bar-1.0rc1.zip"), "invalid_sdist_info"),
            (two, "invalid_sdist_info"),
            (good.replace("abab", "ABAB"), "invalid_sdist_info"),
            (good.replace("Checksums-Sha256", "Checksums-Md5"), "invalid_sdist_info"),
            (format!("{good}Source: bar\n"), "invalid_sdist_info"),
            (format!("{good}\nSource: bar\n"), "invalid_sdist_info"),
            (good.replace(">=3.8", "$(id)"), "invalid_sdist_info"),
            (good.replace("Source: foo-bar", "Source: Foo-Bar"), "invalid_package"),
            (good.replace("Source: foo-bar", "Source: -foo"), "invalid_package"),
            (good.replace("Version: 1.0rc1", "Version: 1.0-rc1"), "invalid_version"),
            (good.replace("Version: 1.0rc1", "Version: $(id)"), "invalid_version"),
            (good.replace(": any", ": any all"), "invalid_arch"),
            (good.replace(": any", ": x86_64"), "invalid_arch"),
            ("x".repeat(2 << 20), "invalid_sdist_info"),
        ] {
            let error = read(text.as_bytes()).expect_err(&text[..text.len().min(400)]);
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn an_unserved_architecture_is_left_out() {
        let served: Vec<Arch> =
            ["x86_64", "aarch64", "x86_64", "source", "all"].map(|a| a.parse().unwrap()).to_vec();
        let any = expand(&["any".to_owned()], &served).unwrap();
        let names: Vec<_> = any.arches.iter().map(Arch::as_str).collect();
        assert_eq!((names, any.indep), (vec!["x86_64", "aarch64"], false));
        let all = expand(&["all".to_owned()], &served).unwrap();
        assert!(all.arches.is_empty() && all.indep);
        for declared in [&["any".to_owned(), "all".to_owned()][..], &[], &["x86_64".to_owned()]] {
            assert_eq!(expand(declared, &served).unwrap_err().code(), "invalid_arch");
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
                let (package, version) = (read.package.as_str(), read.version.as_str());
                prop_assert!(name::is_sdist_of(read.files[0].name.as_str(), package, version));
            }
        }
    }
}
