//! Packages that move from one component of an apt repository to another: their section, or the list of components, changed.

use std::collections::BTreeMap;
use std::path::Path;

use pybit_core::Result;

use super::config::RepreproConfig;
use super::index::{Entry, Index, Slot};
use super::judge;
use super::names::Claims;
use super::set::{self, Item, Kind};
use super::tool::Tool;
use super::transaction::Transaction;

/// Packages to take out of components, by component and index.
pub(super) type Leaving = BTreeMap<(String, String), Vec<String>>;

/// The packages that one reprepro takes out; the length of an argument vector is limited.
const AT_ONCE: usize = 500;

/// The packages that lie in another component than their section asks for.
pub(super) fn misplaced(index: &Index, config: &RepreproConfig) -> Leaving {
    let mut leaving = Leaving::new();
    for (slot, entry) in index.iter().filter(|(_, e)| !is_in_place(e, config)) {
        leaving.entry(place(slot, entry)).or_default().push(slot.name.clone());
    }
    leaving
}

/// The packages that lie in another component than the one that an item comes to.
pub(super) fn left_by(items: &[Item], index: &Index, config: &RepreproConfig) -> Leaving {
    let mut leaving = Leaving::new();
    for item in items {
        let component = config.component(&item.section);
        for slot in judge::slots(item, &config.arches) {
            if let Some(entry) = index.get(&slot).filter(|e| e.component != component) {
                leaving.entry(place(&slot, entry)).or_default().push(slot.name.clone());
            }
        }
    }
    leaving
}

/// The packages of the state at `site` that lie in another component than their section asks for, to be included again.
pub(super) fn moved(index: &Index, config: &RepreproConfig, site: &Path) -> Vec<Item> {
    let mut items: BTreeMap<_, Item> = BTreeMap::new();
    for (slot, entry) in index.iter().filter(|(_, e)| !is_in_place(e, config)) {
        let kind = judge::kind(slot);
        let Some(path) =
            entry.files.keys().find(|p| kind != Kind::Dsc || set::has_ending(p, &["dsc"]))
        else {
            continue;
        };
        let options = [("-S", &entry.section), ("-P", &entry.priority)];
        let options = options.into_iter().filter(|(_, value)| !value.is_empty());
        items.entry(path.clone()).or_insert_with(|| Item {
            kind,
            name: slot.name.clone(),
            content: entry.content.clone(),
            source: entry.source.clone(),
            section: entry.section.clone(),
            claims: Claims::default(),
            file: site.join(path),
            options: options.flat_map(|(o, value)| [o.to_owned(), value.clone()]).collect(),
        });
    }
    items.into_values().collect()
}

fn is_in_place(entry: &Entry, config: &RepreproConfig) -> bool {
    entry.component == config.component(&entry.section)
}

fn place(slot: &Slot, entry: &Entry) -> (String, String) {
    (entry.component.clone(), slot.index.clone())
}

impl Transaction {
    /// Takes packages out of components that they leave.
    pub(super) async fn leave(&self, tool: &dyn Tool, leaving: &Leaving) -> Result<()> {
        for ((component, index), names) in leaving {
            let arch = index.rsplit_once("binary-").map_or("source", |(_, arch)| arch);
            let kind = match index.as_str() {
                "source" => "dsc",
                index if index.starts_with("debian-installer/") => "udeb",
                _ => "deb",
            };
            let fixed = ["--export=silent-never", "-C", component, "-T", kind, "-A", arch];
            for names in names.chunks(AT_ONCE) {
                let mut args = fixed.to_vec();
                args.extend(["remove", self.codename()]);
                args.extend(names.iter().map(String::as_str));
                self.must(tool, &format!("take packages out of {component}"), &args).await?;
            }
        }
        Ok(())
    }
}
