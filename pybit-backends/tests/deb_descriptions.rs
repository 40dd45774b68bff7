//! What `.dsc` and `.changes` may say, and what they may not.

use proptest::prelude::*;
use pybit_backends::deb::{DebFormat, read_changes};
use pybit_core::ErrorKind;
use pybit_core::format::PackageFormat;
use pybit_core::model::PackageName;

const DSC: &str = include_str!("data/deb/hello_2.10-3.dsc");
const SIGNED: &str = include_str!("data/deb/hello_2.10-3.signed.dsc");
const CHANGES: &str = include_str!("data/deb/okpkg_1.0_amd64.changes");

#[test]
fn a_plain_and_a_signed_description_say_the_same() {
    let format = DebFormat::new();
    let info = format.read_source(DSC.as_bytes()).unwrap();
    assert_eq!((info.package.as_str(), info.version.as_str()), ("hello", "2.10-3"));
    assert_eq!(info.arches, ["any"]);
    let names: Vec<_> = info.files.iter().map(|f| f.name.as_str()).collect();
    let expected =
        ["hello_2.10-3.debian.tar.xz", "hello_2.10.orig.tar.gz", "hello_2.10.orig.tar.gz.asc"];
    assert_eq!(names, expected);
    assert_eq!(info.files[1].size, 725_946);
    assert_eq!(
        info.files[1].sha256,
        "31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b"
    );
    assert_eq!(format.read_source(SIGNED.as_bytes()).unwrap(), info);
    let blank = SIGNED.replace("\n-----BEGIN PGP SIGNATURE", "\n\n-----BEGIN PGP SIGNATURE");
    assert_eq!(format.read_source(blank.as_bytes()).unwrap(), info);
}

#[test]
fn a_changes_says_what_it_holds() {
    let changes = read_changes(CHANGES.as_bytes()).unwrap();
    assert_eq!(changes.source.as_str(), "okpkg");
    assert_eq!(changes.version.as_str(), "1:1.0");
    assert_eq!(changes.source_version, changes.version);
    assert_eq!(changes.distribution.as_str(), "bookworm");
    assert_eq!(changes.arches, ["all", "amd64"]);
    let binaries: Vec<_> = changes.binaries.iter().map(PackageName::as_str).collect();
    assert_eq!(binaries, ["okpkg", "okpkg-data"]);
    let files: Vec<_> = changes.files.iter().map(|f| f.spec.name.as_str()).collect();
    let expected = ["okpkg-data_1.0_all.deb", "okpkg_1.0_amd64.buildinfo", "okpkg_1.0_amd64.deb"];
    assert_eq!(files, expected);
    assert_eq!(
        (changes.files[0].section.as_str(), changes.files[0].priority.as_str()),
        ("misc", "optional")
    );
    let rebuilt = CHANGES
        .replace("Source: okpkg", "Source: okpkg (1:0.9)")
        .replace("Version: 1:1.0", "Version: 1:0.9+b1");
    assert_eq!(read_changes(rebuilt.as_bytes()).unwrap().source_version.as_str(), "1:0.9");
}

/// What is wrong, the text, and the code it must be refused with.
type Hostile = (&'static str, String, &'static str);

/// The good description with every `from` changed.
fn change(from: &str, to: &str) -> String {
    let changed = DSC.replace(from, to);
    assert_ne!(changed, DSC, "{from:?} is not there");
    changed
}

fn hostile_fields() -> Vec<Hostile> {
    vec![
        ("empty", String::new(), "invalid_dsc"),
        ("a control character", change("Santiago", "\u{1b}"), "invalid_dsc"),
        ("a NUL", change("Format: 3.0", "Format: \0"), "invalid_dsc"),
        ("carriage returns", DSC.replace('\n', "\r\n"), "invalid_dsc"),
        ("no Source", change("Source: hello\n", ""), "invalid_dsc"),
        ("no Version", change("Version: 2.10-3\n", ""), "invalid_dsc"),
        ("no Architecture", change("Architecture: any\n", ""), "invalid_dsc"),
        ("no Files", change("Files:", "Filez:"), "invalid_dsc"),
        ("no SHA-256", change("Checksums-Sha256:", "Checksums-Sha512:"), "invalid_dsc"),
        (
            "an option as name",
            change("Source: hello", "Source: -oDpkg::Pre-Invoke=id"),
            "invalid_package",
        ),
        ("a command as name", change("Source: hello", "Source: $(id)"), "invalid_package"),
        ("a path as name", change("Source: hello", "Source: ../../etc"), "invalid_package"),
        ("a short name", change("Source: hello", "Source: h"), "invalid_package"),
        ("an underscore", change("Source: hello", "Source: he_llo"), "invalid_package"),
        ("a command as version", change("Version: 2.10-3", "Version: 1.0;id"), "invalid_version"),
        (
            "a huge epoch",
            change("Version: 2.10-3", &format!("Version: {}:2.10-3", "9".repeat(40))),
            "invalid_version",
        ),
        ("a bare colon", change("Version: 2.10-3", "Version: :"), "invalid_version"),
        (
            "a long version",
            change("Version: 2.10-3", &format!("Version: {}", "2".repeat(300))),
            "invalid_version",
        ),
        (
            "a hostile architecture",
            change("Architecture: any", "Architecture: any;all"),
            "invalid_arch",
        ),
        (
            "10,000 architectures",
            change("Architecture: any", &format!("Architecture:{}", " amd64".repeat(10_000))),
            "invalid_arch",
        ),
    ]
}

fn hostile_files() -> Vec<Hostile> {
    let file = "hello_2.10.orig.tar.gz";
    vec![
        ("a path as file", change(file, "../hello_2.10.orig.tar.gz"), "invalid_dsc"),
        ("an absolute path", change(file, "/etc/passwd"), "invalid_dsc"),
        ("dots", change(file, ".."), "invalid_dsc"),
        ("a hidden file", change(file, ".htaccess"), "invalid_dsc"),
        ("a foreign name", change(file, "other_2.10.orig.tar.gz"), "invalid_dsc"),
        ("a foreign version", change(file, "hello_2.11.orig.tar.gz"), "invalid_dsc"),
        ("itself", change(file, "hello_2.10-3.dsc"), "invalid_dsc"),
        (
            "a file twice",
            change("hello_2.10-3.debian.tar.xz", "hello_2.10.orig.tar.gz"),
            "invalid_dsc",
        ),
        ("a negative size", change(" 725946 ", " -1 "), "invalid_dsc"),
        ("a huge size", change(" 725946 ", " 99999999999999999999 "), "invalid_dsc"),
        ("a short digest", change("31e066137a", ""), "invalid_dsc"),
        ("capital digest", change("31e066137a", "31E066137A"), "invalid_dsc"),
        ("sizes that differ", DSC.replacen(" 725946 ", " 725945 ", 1), "invalid_dsc"),
        ("a file in one list only", DSC.replacen(file, "hello_2.10.orig.tar.xz", 1), "invalid_dsc"),
        ("an extra word", DSC.replacen(" 725946 ", " 725946 x ", 1), "invalid_dsc"),
    ]
}

fn hostile_forms() -> Vec<Hostile> {
    vec![
        ("a field twice", format!("{DSC}Source: hello\n"), "invalid_dsc"),
        ("a field twice in other letters", format!("{DSC}SOURCE: hello\n"), "invalid_dsc"),
        ("two paragraphs", format!("{DSC}\nSource: other\n"), "invalid_dsc"),
        ("a paragraph after a blank", format!("{DSC} \nSource: other\n"), "invalid_dsc"),
        ("a comment", format!("# x\n{DSC}"), "invalid_dsc"),
        ("a leading blank", format!(" x\n{DSC}"), "invalid_dsc"),
        ("no field at all", "hello\n".to_owned(), "invalid_dsc"),
        ("too large", format!("{DSC}X: {}\n", "x".repeat(1 << 20)), "invalid_dsc"),
    ]
}

#[test]
fn hostile_descriptions_are_refused() {
    let all = [hostile_fields(), hostile_files(), hostile_forms()].concat();
    for (what, text, code) in all {
        let error = DebFormat::new().read_source(text.as_bytes()).expect_err(what);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, code), "{what}: {error}");
        assert!(!error.message().contains(['\n', '\0', '\u{1b}']), "{what}: {error}");
    }
    assert!(DebFormat::new().read_source(b"Source: \xff\n").is_err());
}

#[test]
fn only_the_signed_bytes_of_a_signed_description_are_read() {
    let end = "-----END PGP SIGNATURE-----\n";
    let begin = "-----BEGIN PGP SIGNATURE-----\n";
    let cases = [
        ("data before", format!("Source: evil\n{SIGNED}")),
        ("a paragraph before", format!("Source: evil\n\n{SIGNED}")),
        ("data after", format!("{SIGNED}Source: evil\n")),
        ("two blocks", format!("{SIGNED}{SIGNED}")),
        ("two blocks apart", format!("{SIGNED}\n{SIGNED}")),
        (
            "a nested block",
            SIGNED.replacen("Source:", "-----BEGIN PGP SIGNED MESSAGE-----\n\nSource:", 1),
        ),
        ("a dash-escaped line", SIGNED.replacen("Source:", "- -----BEGIN PGP\nSource:", 1)),
        ("two signatures", SIGNED.replace(end, &format!("{end}{begin}\nx\n{end}"))),
        ("no end", SIGNED.replace(end, "")),
        ("no signature", SIGNED.split(begin).next().unwrap_or_default().to_owned()),
        ("fields as armour headers", SIGNED.replacen("Hash: ", "Source: evil\nHash: ", 1)),
        ("unsigned, with an armour line", format!("{DSC}-----BEGIN PGP SIGNATURE-----\n")),
    ];
    for (what, text) in cases {
        let error = DebFormat::new().read_source(text.as_bytes()).expect_err(what);
        assert_eq!(error.code(), "invalid_dsc", "{what}");
    }
}

#[test]
fn hostile_changes_are_refused() {
    let cases = [
        ("no distribution", "Distribution: bookworm\n", "", "invalid_changes"),
        ("two distributions", "Distribution: bookworm", "Distribution: a b", "invalid_suite"),
        ("a path", "Distribution: bookworm", "Distribution: ../x", "invalid_suite"),
        ("a broken source", "Source: okpkg", "Source: okpkg 1.0", "invalid_changes"),
        ("a hostile binary", "Binary: okpkg", "Binary: --force", "invalid_package"),
        ("a hostile version", "Version: 1:1.0", "Version: 1:1.0|tee", "invalid_version"),
        ("no section", " misc optional okpkg_", " optional okpkg_", "invalid_changes"),
        (
            "a path as file",
            "okpkg-data_1.0_all.deb",
            "../okpkg-data_1.0_all.deb",
            "invalid_changes",
        ),
        ("md5 only", "Checksums-Sha256:", "Checksums-Foo:", "invalid_changes"),
    ];
    for (what, from, to, code) in cases {
        let text = CHANGES.replace(from, to);
        assert_ne!(text, CHANGES, "{what}");
        let error = read_changes(text.as_bytes()).expect_err(what);
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, code), "{what}: {error}");
    }
}

proptest! {
    #[test]
    fn mutated_descriptions_never_panic(
        which in 0..3_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let mut bytes = [DSC, SIGNED, CHANGES][which].as_bytes().to_vec();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        for error in [DebFormat::new().read_source(&bytes).err(), read_changes(&bytes).err()].into_iter().flatten() {
            prop_assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }
}
