//! One change of a repository, made beside its current state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::trial::{self, Mutation};

use super::super::draft::Draft;
use super::super::key::Keys;
use super::super::layout::Layout;
use super::super::names::Claims;
use super::super::past::Left;
use super::super::set::{OrRefused, Refusal};
use super::super::signing::Gpg;
use super::super::tool::Tool;
use super::super::{error, files};
use super::CreaterepoConfig;
use super::index::{self, Entry, Index};
use super::package::{self, Item};

/// The new state. Dropped before it is [committed](Self::commit), it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Transaction {
    draft: Draft,
    /// What stays of the current state.
    keep: Index,
    /// What comes, by its path.
    add: BTreeMap<String, Item>,
}

impl Transaction {
    /// A state of what stays and what comes; what comes is taken out of its place. Blocking.
    pub(super) fn begin(
        layout: &Layout,
        config: &CreaterepoConfig,
        keep: Index,
        add: Vec<Item>,
    ) -> Result<Self> {
        let draft = Draft::begin(layout, config)?;
        let add = add.into_iter().map(|item| (item.path(), item)).collect();
        let new = Self { draft, keep, add };
        for Entry { path, .. } in new.keep.values() {
            new.draft.stay(path)?;
        }
        for (path, item) in &new.add {
            new.draft.come(&item.file, path)?;
        }
        Ok(new)
    }

    /// Writes down which packages the new state has no longer, and which set it is the first to hold.
    pub(super) fn record(&mut self, left: &[Left], set: Option<&str>) -> Result<()> {
        self.draft.record(left, set)
    }

    fn site(&self) -> PathBuf {
        self.draft.site()
    }

    /// Signs what comes.
    pub(super) async fn sign_packages(&self, gpg: &Gpg<'_>, fingerprint: &str) -> Result<()> {
        let paths: Vec<_> = self.add.keys().map(|path| self.site().join(path)).collect();
        gpg.sign_packages(fingerprint, &paths).await
    }

    /// Writes the index of exactly these packages; what the current index says of those that stay is taken over.
    pub(super) async fn export(&self, tool: &dyn Tool) -> Result<()> {
        let list = self.draft.work().join("packages");
        let mut paths: Vec<&str> = self.keep.values().map(|e| e.path.as_str()).collect();
        paths.extend(self.add.keys().map(String::as_str));
        files::write(&list, paths.join("\n") + "\n")?;
        let mut argv = ["createrepo_c", "--quiet", "--no-database", "--checksum=sha256"]
            .map(str::to_owned)
            .to_vec();
        argv.push(format!("--pkglist={}", list.display()));
        // createrepo_c knows a file by size and time, so nothing is taken over where all are signed anew.
        if let Some(previous) = self.draft.previous().filter(|_| !self.keep.is_empty()) {
            argv.push("--update".to_owned());
            argv.push(format!("--update-md-path={}", previous.display()));
        }
        argv.push(self.site().display().to_string());
        let done = tool.run(&argv, self.draft.work(), &BTreeMap::new()).await?;
        if done.code == 0 {
            Ok(())
        } else {
            Err(error::tool("createrepo_c", "write the index", &done))
        }
    }

    /// Lets rpm verify the signature of everything that has come, with the repository's key and no other.
    pub(super) async fn check_signatures(&self, tool: &dyn Tool, key: &str) -> Result<()> {
        if self.add.is_empty() || trial::is_broken(Mutation::TrustTool) {
            return Ok(());
        }
        let (db, asc) = (self.draft.work().join("rpmdb"), self.draft.work().join("key.asc"));
        files::directory(&db)?;
        files::write(&asc, key)?;
        let rpmkeys = ["rpmkeys", "--dbpath", &db.display().to_string()].map(str::to_owned);
        let import = [&rpmkeys[..], &["--import".to_owned(), asc.display().to_string()]].concat();
        // Whoever has no key to check with says "digests OK"; only a signature that is good makes it "digests signatures OK".
        let mut check = [&rpmkeys[..], &["--checksig".to_owned()]].concat();
        check.extend(self.add.keys().map(|path| self.site().join(path).display().to_string()));
        for argv in [import, check] {
            let done = tool.run(&argv, self.draft.work(), &BTreeMap::new()).await?;
            let checked = argv.iter().any(|a| a == "--checksig");
            let good =
                done.stdout.lines().filter(|l| l.ends_with(": digests signatures OK")).count();
            if done.code != 0 || (checked && good != self.add.len()) {
                return Err(error::tool("rpmkeys", "verify what was signed", &done));
            }
        }
        Ok(())
    }

    /// Reads the index back and compares it with what it must say, and the files that came with what was to come; blocking. The files of
    /// the index.
    pub(super) fn verify(&self) -> Result<OrRefused<BTreeSet<String>>> {
        let (found, mut own) = index::read(&self.site())?;
        own.extend(found.values().map(|e| e.path.clone()));
        if trial::is_broken(Mutation::TrustTool) {
            return Ok(Ok(own));
        }
        let mut expected = self.keep.clone();
        for (path, item) in &self.add {
            let file = self.site().join(path);
            if package::body(&file)?.as_ref() != Some(&item.body) {
                return Err(error::corrupt(format!("{} is not what was added", file.display())));
            }
            let entry = Entry {
                version: item.version.clone(),
                sha256: files::digest(&file)?.0,
                path: path.clone(),
                source: item.source.clone(),
            };
            expected.insert(item.slot.clone(), entry);
        }
        let wrong = expected.iter().find(|(slot, entry)| found.get(slot) != Some(entry));
        if let Some((slot, wanted)) = wrong {
            let there = found.get(slot).map_or("nothing", |e| e.version.as_str());
            return Ok(Err(Refusal(format!(
                "createrepo_c was to list {} {} for {}, and lists {there}",
                slot.name, wanted.version, slot.arch
            ))));
        }
        if let Some((slot, entry)) = found.iter().find(|(slot, _)| !expected.contains_key(slot)) {
            return Ok(Err(Refusal(format!(
                "createrepo_c lists {} {} for {}, which nobody has added",
                slot.name, entry.version, slot.arch
            ))));
        }
        Ok(Ok(own))
    }

    /// Writes the key and what is kept of older states; blocking.
    pub(super) fn seal(
        &self,
        own: BTreeSet<String>,
        keys: &Keys,
        state: u64,
        now: Timestamp,
    ) -> Result<()> {
        self.draft.seal(own, keys, state, now)
    }

    /// Signs the index.
    pub(super) async fn sign_index(&self, gpg: &Gpg<'_>, keys: &[String]) -> Result<()> {
        let repomd = self.site().join("repodata/repomd.xml");
        let signature = self.site().join("repodata/repomd.xml.asc");
        gpg.sign_file(keys, "--detach-sign", &repomd, &signature).await
    }

    /// Makes this state `number`, durable, and turns readers to it; blocking.
    pub(super) fn commit(self, number: u64) -> Result<()> {
        self.draft.commit(number)
    }

    /// Makes what stays come anew, to be signed with another key; blocking.
    pub(super) fn renew_items(
        layout: &Layout,
        index: &Index,
        place: &std::path::Path,
    ) -> Result<Vec<Item>> {
        let Some(n) = layout.current()? else { return Ok(Vec::new()) };
        let mut items = Vec::new();
        for (slot, entry) in index {
            let from = layout.snapshot(n).join(&entry.path);
            let file = place.join(from.file_name().unwrap_or_default());
            fs::copy(&from, &file).map_err(|e| error::io("copy", &from, e))?;
            let body = package::body(&file)?;
            let body =
                body.ok_or_else(|| error::corrupt(format!("{} is no package", from.display())))?;
            let (version, source) = (entry.version.clone(), entry.source.clone());
            let claims = Claims::default();
            items.push(Item { slot: slot.clone(), version, source, body, file, claims });
        }
        Ok(items)
    }
}
