//! One change of a repository, made on a copy of its current state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use pybit_core::Result;
use pybit_core::clock::Timestamp;
use pybit_core::publish::Removal;
use pybit_core::trial::{self, Mutation};
use tempfile::TempDir;

use super::config::RepreproConfig;
use super::index::{self, Index};
use super::judge::{self, Expected};
use super::layout::Layout;
use super::memory::{Keep, Memory};
use super::past::Left;
use super::release::{self, by_hash};
use super::set::{Item, Kind, OrRefused, Refusal};
use super::tool::{Done, Tool};
use super::{error, files};

/// The copy. Dropped before it is [committed](Self::commit), it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Transaction {
    work: TempDir,
    layout: Layout,
    config: RepreproConfig,
    before: Memory,
    previous: Option<u64>,
}

impl Transaction {
    /// Copies the current state; blocking.
    pub(super) fn begin(layout: &Layout, config: &RepreproConfig) -> Result<Self> {
        let previous = layout.current()?;
        let work = layout.workplace()?;
        let before = previous.map_or(Ok(Memory::default()), |n| Memory::read(&layout.state(n)))?;
        let new = Self { work, layout: layout.clone(), config: config.clone(), before, previous };
        for dir in [new.site().join("pool"), new.state().join("conf"), new.state().join("db")] {
            files::directory(&dir)?;
        }
        files::write(&new.state().join("conf/distributions"), config.distributions())?;
        if let Some(n) = previous {
            files::copy_database(&layout.state(n).join("db"), &new.state().join("db"))?;
            let snapshot = layout.snapshot(n);
            for path in new.before.own.iter().filter(|p| p.starts_with("pool/")) {
                if !files::link(path, &snapshot, &new.site())? {
                    let place = snapshot.display();
                    return Err(error::corrupt(format!("{path} is missing from {place}")));
                }
            }
        }
        Ok(new)
    }

    fn site(&self) -> PathBuf {
        self.work.path().join("site")
    }

    fn state(&self) -> PathBuf {
        self.work.path().join("state")
    }

    /// `dists/CODENAME` of the copy.
    pub(super) fn dist(&self) -> PathBuf {
        self.site().join("dists").join(self.config.codename.as_str())
    }

    async fn reprepro(&self, tool: &dyn Tool, command: &[&str]) -> Result<Done> {
        let (state, site) = (self.state(), self.site());
        let mut argv = vec!["reprepro".to_owned()];
        for (option, path) in [
            ("--basedir", state.clone()),
            ("--confdir", state.join("conf")),
            ("--dbdir", state.join("db")),
            ("--outdir", site),
            ("--gnupghome", self.layout.gnupg()),
        ] {
            argv.extend([option.to_owned(), path.display().to_string()]);
        }
        argv.extend(command.iter().map(ToString::to_string));
        tool.run(&argv, &state, &BTreeMap::new()).await
    }

    pub(super) fn codename(&self) -> &str {
        self.config.codename.as_str()
    }

    /// Runs reprepro, which must succeed.
    pub(super) async fn must(&self, tool: &dyn Tool, what: &str, args: &[&str]) -> Result<()> {
        let done = self.reprepro(tool, args).await?;
        if done.code == 0 { Ok(()) } else { Err(error::tool("reprepro", what, &done)) }
    }

    /// Includes packages; what reprepro finds wrong with them is a refusal.
    pub(super) async fn include(&self, tool: &dyn Tool, items: &[Item]) -> Result<OrRefused<()>> {
        let mut groups: BTreeMap<(Kind, &str, &[String]), Vec<&Item>> = BTreeMap::new();
        for item in items {
            let component = self.config.component(&item.section);
            groups.entry((item.kind, component, &item.options)).or_default().push(item);
        }
        for ((kind, component, options), group) in groups {
            let verb = match kind {
                Kind::Deb => "includedeb",
                Kind::Udeb => "includeudeb",
                Kind::Dsc => "includedsc",
            };
            let paths: Vec<_> = group.iter().map(|i| i.file.display().to_string()).collect();
            let codename = self.config.codename.as_str();
            let mut args = vec!["--export=silent-never", "-C", component];
            args.extend(options.iter().map(String::as_str));
            args.extend([verb, codename]);
            // includedsc takes one file, the others any number.
            let calls: Vec<&[String]> =
                if kind == Kind::Dsc { paths.chunks(1).collect() } else { vec![&paths] };
            for call in calls {
                let mut args = args.clone();
                args.extend(call.iter().map(String::as_str));
                let done = self.reprepro(tool, &args).await?;
                if REFUSED.contains(&done.code) && done.trouble().is_none() {
                    let said = done.last_words();
                    return Ok(Err(Refusal(format!("reprepro refuses the set: {said}"))));
                }
                if done.code != 0 {
                    return Err(error::tool("reprepro", "include the set", &done));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Writes down which packages the new state has no longer, and which set it is the first to hold.
    pub(super) fn record(&mut self, left: &[Left], set: Option<&str>) -> Result<()> {
        self.before.past.record(left);
        if let Some(id) = set {
            self.before.publish(id, self.layout.next()?);
        }
        Ok(())
    }

    /// Takes out a source package and all that was built from it.
    pub(super) async fn exclude(&self, tool: &dyn Tool, wanted: &Removal) -> Result<()> {
        let Removal { package, version, .. } = wanted;
        let version = version.as_ref().map(|v| format!(", $SourceVersion (== {v})"));
        let formula = format!("$Source (== {package}){}", version.unwrap_or_default());
        let codename = self.config.codename.as_str();
        let args = ["--export=silent-never", "removefilter", codename, &formula];
        self.must(tool, &format!("remove {package}"), &args).await
    }

    /// Follows a changed list of architectures: drops what is served no more, and gives the new ones what is for all.
    pub(super) async fn follow_config(&self, tool: &dyn Tool) -> Result<()> {
        let codename = self.config.codename.as_str();
        let vanished = ["--export=silent-never", "--delete", "clearvanished"];
        self.must(tool, "drop architectures that are served no more", &vanished).await?;
        let flood = ["--export=silent-never", "flood", codename];
        self.must(tool, "fill the new architectures", &flood).await
    }

    /// Writes the index.
    pub(super) async fn export(&self, tool: &dyn Tool) -> Result<()> {
        self.must(tool, "write the index", &["export", self.config.codename.as_str()]).await
    }

    /// Reads the index back; blocking.
    pub(super) fn index(&self) -> Result<Index> {
        index::read(&self.site(), self.config.codename.as_str())
    }

    /// Compares the index with what it must say, and the added packages' files with their digests; blocking.
    pub(super) fn verify(
        &self,
        index: &Index,
        expected: &Expected,
        added: &[Item],
    ) -> Result<OrRefused<()>> {
        if trial::is_broken(Mutation::TrustTool) {
            return Ok(Ok(()));
        }
        let found = judge::as_is(index);
        if let Some((slot, wanted)) = expected.iter().find(|(s, c)| found.get(s) != Some(c)) {
            let there = found.get(slot).map_or("nothing", |c| c.version.as_str());
            return Ok(Err(Refusal(format!(
                "reprepro was to list {} {} in {}, and lists {there}",
                slot.name, wanted.version, slot.index
            ))));
        }
        if let Some((slot, content)) = found.iter().find(|(slot, _)| !expected.contains_key(slot)) {
            return Ok(Err(Refusal(format!(
                "reprepro lists {} {} in {}, which nobody has added",
                slot.name, content.version, slot.index
            ))));
        }
        for item in added {
            let slots = judge::slots(item, &self.config.arches);
            let Some(entry) = slots.first().and_then(|slot| index.get(slot)) else { continue };
            let component = self.config.component(&item.section);
            if entry.component != component {
                let (name, there) = (&item.name, &entry.component);
                return Err(error::corrupt(format!(
                    "reprepro was to list {name} in {component}, and lists it in {there}"
                )));
            }
            if !index::files_match(&self.site(), entry)? {
                let place = self.site().display().to_string();
                return Err(error::corrupt(format!(
                    "pool files in {place} are not what was added"
                )));
            }
        }
        Ok(Ok(()))
    }

    /// Writes `Release`, the names by hash, the key, and what is kept of older states; blocking.
    pub(super) fn seal(&self, index: &Index, key: &str, state: u64, now: Timestamp) -> Result<()> {
        let (site, dist) = (self.site(), self.dist());
        let indices = release::indices(&dist)?;
        let mut own: BTreeSet<String> = index::pool_files(index);
        for (path, (sha256, _)) in &indices {
            let name = by_hash(path, sha256);
            let target = dist.join(&name);
            if let Some(parent) = target.parent() {
                files::directory(parent)?;
            }
            if !target.exists() {
                fs::hard_link(dist.join(path), &target)
                    .map_err(|e| error::io("link", &target, e))?;
            }
            own.insert(format!("dists/{}/{name}", self.config.codename));
        }
        let keep = Keep { states: self.config.keep_snapshots as u64, time: self.config.keep_files };
        let memory = self.before.next(own, state, now, keep);
        if let Some(n) = self.previous {
            let snapshot = self.layout.snapshot(n);
            for path in memory.retired_paths() {
                files::link(path, &snapshot, &site)?;
            }
        }
        let release = release::text(&self.config, memory.date, &indices)?;
        files::write(&dist.join("Release"), release)?;
        files::write(&site.join("pybit.asc"), key)?;
        if self.config.suite != self.config.codename {
            let link = site.join("dists").join(self.config.suite.as_str());
            symlink(self.config.codename.as_str(), &link)
                .map_err(|e| error::io("create", &link, e))?;
        }
        memory.write(&self.state())
    }

    /// Makes the copy state `number`, durable, and turns readers to it; blocking.
    pub(super) fn commit(self, number: u64) -> Result<()> {
        self.layout.commit(&self.site(), &self.state(), number)
    }
}

/// Exit codes by which reprepro says that a package is wrong: -1 (an error with a message) and -2 (other bytes than a
/// file that it knows by that name); others stand for failures of the system (`error.h` and `globals.h` in its source).
const REFUSED: [i32; 2] = [255, 254];
