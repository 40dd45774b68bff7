//! The distribution's own source packages, from the mirror that the machine's apt is configured with.
//!
//! apt runs as the build user with directories and a configuration of its own, so nothing of the machine's apt is
//! changed, and only source indices are fetched. Every file is checked against the signed index; nothing turns that off.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::build::{FetchRequest, Fetched, FetchedKind, LogSink, SourceFetcher};
use pybit_core::clock::{Clock, SystemClock, Timestamp};
use pybit_core::format::Exit;
use pybit_core::model::{PackageName, Source, Target, Version};
use pybit_core::version::VersionOrder;
use pybit_core::{Error, ErrorKind, Result};

use super::{disk, make_dir, not_found, reaching};
use crate::deb::DebVersions;
use crate::env::apt_sources::{AptSources, reaching_options};
use crate::exec::{Cmd, Exec, Tail, one_line};
use crate::lock;

/// Where source packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptConfig {
    /// Where indices are kept between jobs.
    pub cache_dir: PathBuf,
    /// Indices older than this are fetched anew.
    pub max_age: Duration,
    /// The archives as lines of `sources.list(5)`, for whatever suite is built; where left out, those that the machine's
    /// apt is configured with.
    pub mirror: Option<Vec<String>>,
    /// How long one fetch may take.
    pub wall: Duration,
}

impl AptConfig {
    /// The machine's own archives, looked at every hour.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        let hour = Duration::from_hours(1);
        Self { cache_dir: cache_dir.into(), max_age: hour, mirror: None, wall: hour }
    }
}

/// Fetches [`Source::Apt`].
#[derive(Debug, Clone)]
pub struct AptFetcher {
    config: AptConfig,
    exec: Exec,
    clock: Arc<dyn Clock>,
}

impl AptFetcher {
    /// Fetches as `config` says, with `exec`.
    pub fn new(config: AptConfig, exec: Exec) -> Self {
        Self { config, exec, clock: Arc::new(SystemClock) }
    }

    /// One apt, with its directories, for each suite. The build user owns no more of it than apt has to write to.
    fn root(&self, target: &Target) -> Result<PathBuf> {
        let cache = &self.config.cache_dir;
        std::fs::create_dir_all(cache).map_err(|e| disk("make", cache, e))?;
        let root = cache.join(format!("{}-{}", target.dist, target.suite));
        for (dir, owner) in
            [("", None), ("none", None), ("state", self.exec.user()), ("cache", self.exec.user())]
        {
            make_dir(&root.join(dir), owner)?;
        }
        Ok(root)
    }

    fn apt(&self, root: &Path, args: &[&str], cwd: &Path) -> Cmd {
        let mut cmd = Cmd::new(["apt-get", "--quiet", "--quiet"], cwd).within(self.config.wall);
        cmd.argv.extend(args.iter().map(|&a| a.to_owned()));
        cmd.vars.extend(reaching());
        cmd.var("APT_CONFIG", root.join("apt.conf").display().to_string())
    }

    /// Fetches the indices where they are older than `max_age`; one job at a time.
    async fn update(
        &self,
        root: &Path,
        target: &Target,
        max_age: Duration,
        log: &dyn LogSink,
    ) -> Result<()> {
        let lock = root.join("lock");
        let _updating = lock::take(&lock, log).await?;
        if self.is_fresh(root, max_age) {
            return Ok(());
        }
        self.configure(root, target).await?;
        let cmd = self.apt(root, &["update", "--option=APT::Update::Error-Mode=any"], root);
        let said = Tail::new(log);
        match self.exec.run(&cmd, &said).await? {
            Exit::Code(0) => {}
            exit => return Err(judge(exit, &said.text(), "the indices of the archive")),
        }
        let stamp = root.join("stamp");
        std::fs::write(&stamp, "").map_err(|e| disk("write", &stamp, e))
    }

    fn is_fresh(&self, root: &Path, max_age: Duration) -> bool {
        let Ok(meta) = std::fs::metadata(root.join("stamp")) else { return false };
        let made = Timestamp::from_micros(meta.mtime().saturating_mul(1_000_000));
        self.clock.now().since(made) < max_age
    }

    async fn configure(&self, root: &Path, target: &Target) -> Result<()> {
        let dump = Cmd::new(["apt-config", "dump", "Acquire"], Path::new("/"));
        let reaching = reaching_options(&self.exec.check(&dump, 1 << 20).await?);
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            std::fs::write(&path, text).map_err(|e| disk("write", &path, e))
        };
        write("status", "")?;
        // Of a `file:` archive apt would give links to its files; a job takes copies.
        let lines = self.sources(target)?.into_iter().map(|l| l.replace(" file:", " copy:") + "\n");
        write("sources.list", &lines.collect::<String>())?;
        write("apt.conf", &(private_apt(root) + &reaching))
    }

    fn sources(&self, target: &Target) -> Result<Vec<String>> {
        if let Some(mirror) = &self.config.mirror {
            let source = |line: &String| match line.strip_prefix("deb ") {
                Some(rest) => format!("deb-src {rest}"),
                None => line.clone(),
            };
            return Ok(mirror.iter().map(source).collect());
        }
        let archives =
            AptSources::read(Path::new("/etc")).for_suite(&target.dist, &target.suite)?;
        Ok(archives.iter().map(|a| a.line("deb-src")).collect())
    }
}

/// The configuration of an apt below `root`: everything of the machine's apt is replaced, but for its trusted keys.
pub(crate) fn private_apt(root: &Path) -> String {
    let root = root.display();
    format!(
        "Dir::Etc::main \"/dev/null\";\n\
         Dir::Etc::parts \"{root}/none\";\n\
         Dir::Etc::sourcelist \"{root}/sources.list\";\n\
         Dir::Etc::sourceparts \"{root}/none\";\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"{root}/none\";\n\
         Dir::State \"{root}/state\";\n\
         Dir::State::lists \"{root}/state\";\n\
         Dir::State::status \"{root}/status\";\n\
         Dir::Cache \"{root}/cache\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"2\";\n\
         Acquire::AllowInsecureRepositories \"false\";\n\
         APT::Get::AllowUnauthenticated \"false\";\n"
    )
}

#[async_trait]
impl SourceFetcher for AptFetcher {
    fn method(&self) -> &'static str {
        "apt"
    }

    async fn fetch(&self, request: &FetchRequest<'_>, log: &dyn LogSink) -> Result<Fetched> {
        let Source::Apt { package, version } = request.source else {
            return Err(Error::internal("the apt fetcher was given another kind of source"));
        };
        let root = self.root(request.target)?;
        if !self.is_fresh(&root, self.config.max_age) {
            self.update(&root, request.target, self.config.max_age, log).await?;
        }
        let download = Download { apt: self, root: &root, package, into: request.into, log };
        let main = match download.version(version.as_ref()).await {
            Err(e) if e.code() == NOT_IN_POOL => {
                // An index that is older than the pool names files that are gone.
                self.update(&root, request.target, JUST_NOW, log).await?;
                match version {
                    Some(version) => download.version(Some(version)).await?,
                    None => download.newest_there().await?,
                }
            }
            fetched => fetched?,
        };
        let resolved = version_of(&main)?;
        Ok(Fetched { kind: FetchedKind::Package(main), resolved })
    }
}

/// The code of a source package that the index names and the pool does not have.
const NOT_IN_POOL: &str = "source_not_in_pool";
/// Indices that are younger than this are not fetched anew because of a file that is missing.
const JUST_NOW: Duration = Duration::from_mins(1);
/// What the list of a package's versions may be long; a version takes about 3 kB.
const MOST_LISTED: usize = 4 << 20;

/// One source package on its way from an archive.
struct Download<'a> {
    apt: &'a AptFetcher,
    /// Where this apt's indices are.
    root: &'a Path,
    package: &'a PackageName,
    into: &'a Path,
    log: &'a dyn LogSink,
}

impl Download<'_> {
    /// Fetches all files of a version, of the newest where none is named; its `.dsc`.
    async fn version(&self, version: Option<&Version>) -> Result<PathBuf> {
        empty(self.into)?;
        let _reading = lock::share(&self.root.join("lock"), self.log).await?;
        let wanted = version.map_or(self.package.to_string(), |v| format!("{}={v}", self.package));
        let args = ["source", "--download-only", "--only-source", "--", &wanted];
        let said = Tail::new(self.log);
        match self.apt.exec.run(&self.apt.apt(self.root, &args, self.into), &said).await? {
            Exit::Code(0) => description_in(self.into),
            exit => Err(judge(exit, &said.text(), &format!("the source package {wanted}"))),
        }
    }

    /// The newest version whose files are there: a mirror may carry the index of a security fix before, or without, its
    /// files. The log says which versions were passed over.
    async fn newest_there(&self) -> Result<PathBuf> {
        let mut missing = None;
        for version in self.versions().await? {
            match self.version(Some(&version)).await {
                Err(e) if e.code() == NOT_IN_POOL => {
                    let note = format!(
                        "W: the index of the archive names {}={version}, and the archive does not have its files; the next older version is tried\n",
                        self.package
                    );
                    self.log.write(note.as_bytes()).await?;
                    missing = missing.or(Some(e));
                }
                fetched => return fetched,
            }
        }
        let none = || not_found(format!("the archive does not have {}", self.package));
        Err(missing.unwrap_or_else(none))
    }

    /// The versions that the index names, the newest first.
    async fn versions(&self) -> Result<Vec<Version>> {
        let show = ["apt-cache", "showsrc", "--only-source", "--", self.package.as_str()];
        let cmd = Cmd::new(show, self.root)
            .within(self.apt.config.wall)
            .var("APT_CONFIG", self.root.join("apt.conf").display().to_string());
        let shown = self.apt.exec.check(&cmd, MOST_LISTED).await?;
        let named = shown.lines().filter_map(|l| l.strip_prefix("Version: "));
        let mut versions: Vec<(Vec<u8>, Version)> = named
            .filter_map(|v| Some((DebVersions.key(v.trim()).ok()?, v.trim().parse().ok()?)))
            .collect();
        versions.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        versions.dedup();
        Ok(versions.into_iter().map(|(_, version)| version).collect())
    }
}

/// Removes what a download that failed has left.
fn empty(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).map_err(|e| disk("read", dir, e))?.flatten() {
        let path = entry.path();
        std::fs::remove_file(&path).map_err(|e| disk("remove", &path, e))?;
    }
    Ok(())
}

/// What a failed apt means, from its words (in English: the locale is fixed).
fn judge(exit: Exit, said: &str, what: &str) -> Error {
    let why = one_line(said);
    if said.contains("Unable to find a source package for") || said.contains("Can not find version")
    {
        return not_found(format!("the archive does not have {what}: {why}"));
    }
    let missing = ["404  Not Found", "Failed to stat"].iter().any(|w| said.contains(w));
    let kind = if said.contains("No space left on device") || said.contains("enough free space") {
        ErrorKind::Full
    } else {
        ErrorKind::Unavailable
    };
    let code = if missing { NOT_IN_POOL } else { "archive_unavailable" };
    Error::new(kind, format!("apt cannot fetch {what} ({exit:?}): {why}")).with_code(code)
}

fn description_in(dir: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(dir).map_err(|e| disk("read", dir, e))?;
    let files = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_file()));
    let is_description = |path: &PathBuf| path.extension().is_some_and(|e| e == "dsc");
    let found = files.map(|e| e.path()).find(is_description);
    found.ok_or_else(|| {
        let message = "apt has fetched a source package without a .dsc file";
        Error::new(ErrorKind::Unavailable, message).with_code("archive_unavailable")
    })
}

fn version_of(description: &Path) -> Result<String> {
    let bytes = std::fs::read(description).map_err(|e| disk("read", description, e))?;
    let text = String::from_utf8_lossy(&bytes);
    let version = text.lines().find_map(|l| l.strip_prefix("Version:"));
    version.map(|v| v.trim().to_owned()).ok_or_else(|| {
        Error::invalid(format!("{} names no version", description.display()))
            .with_code("invalid_dsc")
    })
}
