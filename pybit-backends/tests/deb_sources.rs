//! The distribution's whole source index, read by our readers and by python-debian: both must say the same of each source.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the test asks the distribution's own tools")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use deb822_fast::Deb822;
use debian_control::lossy::{Relation, Relations};
use pybit_backends::deb::DebFormat;
use pybit_core::format::PackageFormat;
use serde_json::{Value, json};

const FIELDS: [&str; 3] = ["Build-Depends", "Build-Depends-Indep", "Build-Depends-Arch"];

/// Of Debian's releases since 2013, none has fewer sources.
const FEWEST: usize = 15_000;

/// A source of the index as its `.dsc` says it: under its own name of the field, without itself among its files.
fn description(paragraph: &str) -> String {
    let itself = |l: &str| l.starts_with(' ') && l.strip_suffix(".dsc").is_some();
    let lines = paragraph.lines().filter(|l| !itself(l));
    let renamed = lines.map(|l| match l.strip_prefix("Package:") {
        Some(name) => format!("Source:{name}\n"),
        None => format!("{l}\n"),
    });
    renamed.collect()
}

/// What our readers say: name, version, architectures and build dependencies, as `sources.py` writes them.
fn ours(paragraph: &str) -> Result<Value, String> {
    let source = DebFormat::new()
        .read_source(description(paragraph).as_bytes())
        .map_err(|e| format!("refused: {e}"))?;
    let fields: Deb822 = paragraph.parse().map_err(|e| format!("no paragraph: {e}"))?;
    let fields = fields.into_iter().next().ok_or("no paragraph")?;
    let mut relations = Vec::new();
    for field in FIELDS {
        let text = fields.get(field).unwrap_or_default();
        let Relations(all) = text.parse().map_err(|e| format!("{field}: {e}"))?;
        let groups = all.iter().map(|group| group.iter().map(alternative).collect());
        relations.push(groups.collect::<Vec<Vec<Value>>>());
    }
    Ok(json!([source.package, source.version, source.arches, relations]))
}

fn alternative(one: &Relation) -> Value {
    let version = one
        .version
        .as_ref()
        .map(|(operator, version)| json!([operator.to_string(), version.to_string()]));
    let profiles: Vec<Vec<String>> =
        one.profiles.iter().map(|group| group.iter().map(ToString::to_string).collect()).collect();
    let arches = one.architectures.clone().unwrap_or_default();
    json!([one.name, one.archqual, version, arches, profiles])
}

fn index(dir: &Path) -> PathBuf {
    let file = dir.join("Sources");
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/source-index");
    let fetched = Command::new(tool).arg(&file).output().unwrap();
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    file
}

#[test]
#[ignore = "needs apt-get and a mirror, and python3-debian"]
fn every_source_of_the_distribution_reads_as_python_debian_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = index(dir.path());
    let mut python = Command::new("/usr/bin/python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/deb/sources.py"))
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut theirs = BufReader::new(python.stdout.take().unwrap()).lines();
    let text = std::fs::read_to_string(&file).unwrap();
    let (mut sources, mut relations, mut differences) = (0, 0, Vec::new());
    for paragraph in text.split("\n\n").filter(|p| !p.trim().is_empty()) {
        let expected: Value = serde_json::from_str(&theirs.next().unwrap().unwrap()).unwrap();
        let read = ours(paragraph);
        sources += 1;
        relations += expected[3]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f.as_array().unwrap().len())
            .sum::<usize>();
        if read.as_ref() != Ok(&expected) {
            differences.push(format!("{expected}\n{read:?}"));
        }
    }
    assert!(theirs.next().is_none() && python.wait().unwrap().success());
    println!(
        "{sources} sources with {relations} build dependencies: {} differences",
        differences.len()
    );
    assert!(sources >= FEWEST, "the index has {sources} sources");
    let shown = &differences[..differences.len().min(20)];
    assert!(differences.is_empty(), "{}", shown.join("\n\n"));
}
