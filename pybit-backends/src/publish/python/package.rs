//! The distributions of a set, read by `python3` without running anything of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pybit_core::model::{Arch, FileSpec};
use pybit_core::publish::PublishSet;
use pybit_core::version::VersionOrder;
use pybit_core::{Error, Result};
use serde::Deserialize;

use super::super::names::Claims;
use super::super::set::{OrRefused, Refusal, has_ending};
use super::super::slots::{Candidate, Slot};
use super::super::tool::Tool;
use super::super::{error, files};
use super::index::{Entry, WORDS};
use crate::python::{WheelName, is_sdist_of, normal};

/// Says what a distribution says of itself.
const READ: &str = include_str!("read.py");
/// The longest `Requires-Python` that is shown to readers, in bytes.
const LONGEST_PYTHON: usize = 200;

/// One distribution of a set; the metadata of a wheel lies beside its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) slot: Slot,
    pub(super) entry: Entry,
    pub(super) file: PathBuf,
    pub(super) claims: Claims,
}

impl Candidate for Item {
    fn slot(&self) -> &Slot {
        &self.slot
    }
    fn version(&self) -> &str {
        &self.entry.version
    }
    fn body(&self) -> &str {
        &self.entry.sha256
    }
    fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// What [`READ`] says of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    file: String,
    name: String,
    version: String,
    python: String,
    provides: Vec<String>,
    obsoletes: Vec<String>,
    refused: Option<String>,
}

/// Reads every distribution among the files in `dir`; each must be of the set's project and version.
pub(super) async fn read(
    set: &PublishSet,
    taken: &[FileSpec],
    dir: &Path,
    arches: &[Arch],
    tool: &dyn Tool,
    order: &dyn VersionOrder,
) -> Result<OrRefused<Vec<Item>>> {
    let ours = |s: &&FileSpec| {
        has_ending(s.name.as_str(), &["whl"]) || s.name.as_str().ends_with(".tar.gz")
    };
    let specs: Vec<&FileSpec> = taken.iter().filter(ours).collect();
    if specs.is_empty() {
        return Ok(Err(Refusal("the set holds no package that could be published".into())));
    }
    let mut argv = ["python3", "-I", "-c", READ].map(str::to_owned).to_vec();
    argv.extend(specs.iter().map(|s| dir.join(s.name.as_str()).display().to_string()));
    let done = tool.run(&argv, dir, &BTreeMap::new()).await?;
    if done.code != 0 {
        return Err(error::tool("python3", "read the distributions", &done));
    }
    let said: Vec<&str> = done.stdout.lines().collect();
    if said.len() != specs.len() {
        return Err(Error::internal("python3 did not say what every distribution is"));
    }
    let mut items = Vec::new();
    for (spec, line) in specs.into_iter().zip(said) {
        let said: Said = serde_json::from_str(line)
            .map_err(|e| Error::internal("python3 said what is no JSON").with_source(e))?;
        match item(set, spec, said, arches, order).map(|item| located(item, dir)) {
            Ok(item) => items.push(item?),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok(items))
}

/// With its place and, of a wheel, the digest of its metadata.
fn located(mut item: Item, dir: &Path) -> Result<Item> {
    item.file = dir.join(&item.entry.file);
    if item.slot.arch != WORDS.source {
        let metadata = dir.join(format!("{}.metadata", item.entry.file));
        item.entry.metadata = Some(files::digest(&metadata)?.0);
    }
    Ok(item)
}

fn item(
    set: &PublishSet,
    spec: &FileSpec,
    said: Said,
    arches: &[Arch],
    order: &dyn VersionOrder,
) -> OrRefused<Item> {
    let file = spec.name.as_str();
    let refuse = |why: String| Err(Refusal(why));
    if let Some(why) = said.refused {
        return refuse(format!("{file} is not a whole Python distribution: {why}"));
    }
    let (package, version) = (set.package.as_str(), set.version.as_str());
    let same = order.compare(&said.version, version).is_ok_and(std::cmp::Ordering::is_eq);
    if said.file != file || normal(&said.name).as_deref() != Some(package) || !same {
        let shown: String = format!("{} {}", said.name, said.version)
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        return refuse(format!("{file} is of {shown}, but the set is of {package} {version}"));
    }
    let arch = if has_ending(file, &["whl"]) {
        WheelName::read(file).filter(|w| w.is_of(package, version)).map(|w| arch_of(&w, arches))
    } else {
        is_sdist_of(file, package, version).then(|| WORDS.source.to_owned())
    };
    let Some(arch) = arch else {
        return refuse(format!("{file} is named for another project or version than its own"));
    };
    // What is no printable line would not be understood by any reader.
    let plain = |p: &String| p.len() <= LONGEST_PYTHON && !p.contains(char::is_control);
    let claims = Claims { places: places(package, &said), essential: None };
    let entry = Entry {
        version: version.to_owned(),
        file: file.to_owned(),
        sha256: spec.sha256.clone(),
        python: Some(said.python).filter(plain).unwrap_or_default(),
        metadata: None,
    };
    let slot = Slot { name: package.to_owned(), arch };
    Ok(Item { slot, entry, file: PathBuf::new(), claims })
}

/// The other projects that a distribution says it stands for (`Obsoletes-Dist` and `Provides-Dist` of the core metadata). pip ignores both
/// fields; other installers take the project for what it names.
fn places(own: &str, said: &Said) -> Vec<(String, &'static str)> {
    let project = |relation: &String| {
        let ends = |c: char| c.is_whitespace() || "(;[<>=!~@".contains(c);
        normal(relation.trim().split(ends).next()?).filter(|name| name != own)
    };
    let mut places = BTreeMap::new();
    for (field, relations) in
        [("Obsoletes-Dist", &said.obsoletes), ("Provides-Dist", &said.provides)]
    {
        for name in relations.iter().filter_map(project) {
            places.entry(name).or_insert(field);
        }
    }
    places.into_iter().collect()
}

/// The served architecture that a wheel is for; its platform tags where it is for none.
fn arch_of(wheel: &WheelName, arches: &[Arch]) -> String {
    if wheel.is_for_all() {
        return WORDS.all.to_owned();
    }
    let served = arches.iter().find(|a| wheel.is_for(a.as_str()));
    served.map_or_else(|| wheel.platforms(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::PythonVersions;

    fn judged(
        file: &str,
        name: &str,
        version: &str,
    ) -> std::result::Result<(String, String), String> {
        let set = PublishSet {
            id: None,
            package: "foo-bar".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            files: vec![],
            source_files: vec![],
        };
        let spec = FileSpec { name: file.parse().unwrap(), size: 1, sha256: "aa".into() };
        let said = Said {
            file: file.into(),
            name: name.into(),
            version: version.into(),
            python: ">=3\nx".into(),
            provides: vec!["Foo_Bar (1.0)".into(), "Old.Name>=1".into(), "(x".into()],
            obsoletes: vec!["older; python_version > '3'".into(), "Old-Name".into()],
            refused: None,
        };
        let claimed = places("foo-bar", &said);
        assert_eq!(
            claimed,
            [("old-name".into(), "Obsoletes-Dist"), ("older".into(), "Obsoletes-Dist")]
        );
        let arches = ["x86_64".parse().unwrap()];
        let item = item(&set, &spec, said, &arches, &PythonVersions);
        item.map(|i| (i.slot.arch, i.entry.python)).map_err(|r| r.0)
    }

    #[test]
    fn a_distribution_is_what_it_says_and_what_its_name_says() {
        let arch = |file: &str| judged(file, "Foo.Bar", "1.0").unwrap();
        assert_eq!(arch("foo_bar-1.0-py3-none-any.whl"), ("all".into(), String::new()));
        assert_eq!(arch("foo_bar-1.0-cp311-cp311-linux_x86_64.whl").0, "x86_64");
        assert_eq!(arch("foo_bar-1.0-cp311-cp311-linux_s390x.whl").0, "linux_s390x");
        assert_eq!(arch("Foo.Bar-1.0.tar.gz").0, "source");
        for (file, name, version, why) in [
            ("foo_bar-1.0.tar.gz", "foo-baz", "1.0", "is of foo-baz 1.0"),
            ("foo_bar-1.0.tar.gz", "foo-bar", "1.1", "is of foo-bar 1.1"),
            ("foo_bar-1.0.tar.gz", "", "", "is of"),
            ("foo_baz-1.0.tar.gz", "foo-bar", "1.0", "named for another"),
            ("foo_bar-1.1-py3-none-any.whl", "foo-bar", "1.0", "named for another"),
        ] {
            let refusal = judged(file, name, version).unwrap_err();
            assert!(refusal.contains(why), "{refusal}");
        }
    }
}
