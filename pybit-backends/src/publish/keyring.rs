//! The package that brings an apt repository's keys to its readers, `…-archive-keyring`: published into the repository
//! itself, and again whenever the keys change.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pybit_core::model::FileSpec;
use pybit_core::publish::PublishSet;
use pybit_core::version::VersionOrder;
use pybit_core::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

use super::index::Index;
use super::key::Keys;
use super::memory::Memory;
use super::reprepro::Reprepro;
use super::set::{self, Item, Refusal};
use super::tool::Tool;
use super::turn::Turn;
use super::{error, files, judge};

/// The keys that the newest keyring package holds: `keyring.json` in the repository's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Published {
    /// SHA-256 of the armoured keys.
    keys: String,
    version: String,
}

impl Reprepro {
    /// Publishes the keyring package, where it is not there or holds other keys; the caller holds the turn.
    pub(super) async fn publish_keyring(&self, turn: &Turn, keys: &Keys) -> Result<()> {
        let Some(name) = &self.config.keyring else { return Ok(()) };
        let wanted = hex::encode(Sha256::digest(&keys.public));
        let record = self.config.root.join("keyring.json");
        let known: Option<Published> =
            files::text(&record)?.and_then(|text| serde_json::from_str(&text).ok());
        let (state, index) = self.current().await?;
        let there = version_of(&index, name);
        let up_to_date = known.is_some_and(|k| k.keys == wanted && there == Some(&k.version));
        if up_to_date {
            return Ok(());
        }
        let version = self.next_version(there)?;
        let place = self.layout.workplace()?;
        let file = self.build(name, &version, keys, place.path()).await?;
        let item = read(name, &version, &file, &*self.tool).await?;
        let arches = &self.config.arches;
        let past = Memory::read(&self.layout.state(state))?.past;
        let plan = judge::judge((&index, &past), vec![item], arches, &*self.order)?;
        let plan = plan.map_err(|r| error::corrupt(r.0))?;
        self.add(turn, &index, &plan, None).await?.map_err(|r| error::corrupt(r.0))?;
        let published = Published { keys: wanted, version };
        let text = serde_json::to_vec(&published)
            .map_err(|e| Error::internal("keyring.json cannot be written").with_source(e))?;
        files::write(&record, text)
    }

    /// The refusal of a set that would bring the keyring package from elsewhere.
    pub(super) fn reserved(&self, package: &str, items: &[Item]) -> Option<Refusal> {
        let name = self.config.keyring.as_deref()?;
        let taken = package == name || items.iter().any(|item| item.name == name);
        taken.then(|| {
            Refusal(format!(
                "{name} is the repository's own package, which brings its keys to readers"
            ))
        })
    }

    /// The time of day as a version, higher than the one that is there.
    fn next_version(&self, there: Option<&String>) -> Result<String> {
        let format = format_description!("[year].[month].[day].[hour][minute][second]");
        let seconds = self.clock.now().as_micros().div_euclid(1_000_000);
        let now = OffsetDateTime::from_unix_timestamp(seconds).ok();
        let now = now.and_then(|now| now.format(format).ok());
        let now = now.ok_or_else(|| Error::internal("the clock shows no date"))?;
        higher(now, there, &*self.order)
    }

    async fn build(&self, name: &str, version: &str, keys: &Keys, place: &Path) -> Result<PathBuf> {
        let tree = place.join("tree");
        let (control, shared) = (tree.join("DEBIAN"), tree.join("usr/share/keyrings"));
        for dir in [&control, &shared] {
            files::directory(dir)?;
        }
        let origin = &self.config.identity.origin;
        let text = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: {origin} <root@localhost>\n\
             Section: misc\nPriority: optional\nMulti-Arch: foreign\nDescription: OpenPGP keys of {label}\n \
             The keys that sign the package repository \"{label}\".\n .\n In sources.list, point to them with\n \
             signed-by=/usr/share/keyrings/{name}.gpg\n",
            label = self.config.identity.label,
        );
        files::write(&control.join("control"), text)?;
        files::write(&shared.join(format!("{name}.asc")), &keys.public)?;
        let binary = shared.join(format!("{name}.gpg"));
        self.key().export_binary(&keys.all, &binary).await?;
        for dir in [tree.clone(), tree.join("usr"), tree.join("usr/share"), shared.clone(), control]
        {
            mode(&dir, 0o755)?;
        }
        for ending in ["asc", "gpg"] {
            mode(&shared.join(format!("{name}.{ending}")), 0o644)?;
        }
        let file = place.join(format!("{name}_{version}_all.deb"));
        let (from, to) = (tree.display().to_string(), file.display().to_string());
        let argv = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", &from, &to];
        let argv = argv.map(str::to_owned);
        let done = self.tool.run(&argv, place, &BTreeMap::new()).await?;
        if done.code == 0 {
            return Ok(file);
        }
        Err(error::tool("dpkg-deb", "build the keyring package", &done))
    }
}

fn mode(path: &Path, mode: u32) -> Result<()> {
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).map_err(|e| error::io("protect", path, e))
}

/// The version of a package that the index lists.
fn version_of<'a>(index: &'a Index, name: &str) -> Option<&'a String> {
    index.iter().find(|(slot, _)| slot.name == name).map(|(_, e)| &e.content.version)
}

fn higher(version: String, there: Option<&String>, order: &dyn VersionOrder) -> Result<String> {
    match there {
        Some(there) if order.compare(there, &version)? != Ordering::Less => {
            Ok(format!("{there}.1"))
        }
        _ => Ok(version),
    }
}

async fn read(name: &str, version: &str, file: &Path, tool: &dyn Tool) -> Result<Item> {
    let (sha256, size) = files::digest(file)?;
    let name_of_file = file.file_name().unwrap_or_default().to_string_lossy();
    let spec = FileSpec { name: name_of_file.parse()?, size, sha256 };
    let set = PublishSet {
        id: None,
        package: name.parse()?,
        version: version.parse()?,
        files: Vec::new(),
        source_files: Vec::new(),
    };
    let dir = file.parent().unwrap_or(Path::new("/"));
    let read = set::read(&set, &[spec], dir, tool).await?;
    let item = read.map_err(|r| error::corrupt(r.0))?.into_iter().next();
    item.ok_or_else(|| error::corrupt("the keyring package cannot be read"))
}
