//! Fetching an archive's indices with an apt of one's own, which checks their signatures.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pybit_core::base::BaseSuite;
use pybit_core::clock::Timestamp;
use pybit_core::{Error, ErrorKind, Result};

use super::index::NameIndex;
use crate::env::apt_sources::{AptSources, reaching_options};
use crate::exec::{Cmd, Exec};
use crate::source::{make_dir, private_apt, reaching};

/// The longest fetch.
const FETCH_TIMEOUT: Duration = Duration::from_mins(30);
/// The most that apt says, in bytes.
const MAX_OUTPUT: usize = 1 << 20;
/// Options of `sources.list(5)` that turn the check of signatures off.
const UNSIGNED: [&str; 4] =
    ["trusted=", "allow-insecure=", "allow-weak=", "allow-downgrade-to-insecure="];

/// The apt of one suite.
#[derive(Debug)]
pub(super) struct SuiteApt<'a> {
    pub(super) exec: &'a Exec,
    /// Its directory.
    pub(super) root: PathBuf,
    pub(super) suite: &'a BaseSuite,
    /// The archives as lines of `sources.list(5)`; the machine's own where there are none.
    pub(super) mirror: Option<&'a [String]>,
}

impl SuiteApt<'_> {
    /// When the indices that lie here were fetched.
    pub(super) fn fetched_at(&self) -> Option<Timestamp> {
        let text = std::fs::read_to_string(self.stamp()).ok()?;
        text.trim().parse().ok().map(Timestamp::from_micros)
    }

    fn stamp(&self) -> PathBuf {
        self.root.join("stamp")
    }

    /// Fetches the indices. Those that are not signed by a trusted key are refused, and what was there before stays.
    pub(super) async fn fetch(&self, now: Timestamp) -> Result<()> {
        for dir in ["", "none", "state", "cache"] {
            make_dir(&self.root.join(dir), self.exec.user())?;
        }
        let _turn = self.lock()?;
        self.configure().await?;
        let update =
            ["apt-get", "--quiet", "--quiet", "update", "--option=APT::Update::Error-Mode=any"];
        self.run(&update).await.map_err(|e| self.failed(&e))?;
        self.write("stamp", &now.as_micros().to_string())
    }

    /// Another server of this machine may fetch the same.
    fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let file = File::create(&path).map_err(|e| self.disk("write", &path, e))?;
        file.try_lock().map_err(|e| {
            let message = format!("{} is fetched by another process: {e}", self.named());
            Error::new(ErrorKind::Busy, message)
        })?;
        Ok(file)
    }

    async fn configure(&self) -> Result<()> {
        let dump = Cmd::new(["apt-config", "dump", "Acquire"], Path::new("/"));
        let reaching = reaching_options(&self.exec.check(&dump, MAX_OUTPUT).await?);
        let arch = &self.suite.arch;
        let own = format!(
            "APT::Architecture \"{arch}\";\nAPT::Architectures {{ \"{arch}\"; }};\nAcquire::GzipIndexes \"false\";\nAcquire::PDiffs \"false\";\n\
             Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\n"
        );
        self.write("status", "")?;
        self.write("sources.list", &self.lines()?.join("\n"))?;
        self.write("apt.conf", &(private_apt(&self.root) + &own + &reaching))
    }

    /// Each archive with its index of packages and its index of sources.
    fn lines(&self) -> Result<Vec<String>> {
        let lines: Vec<String> = if let Some(lines) = self.mirror {
            lines.to_vec()
        } else {
            let archives = AptSources::read(Path::new("/etc"))
                .for_suite(&self.suite.dist, &self.suite.suite)?;
            archives.iter().map(|a| a.line("deb")).collect()
        };
        let mut both = Vec::new();
        for line in &lines {
            let Some(rest) = line.strip_prefix("deb ") else { continue };
            let options = rest.trim_start().strip_prefix('[').and_then(|r| r.split_once(']'));
            if options.is_some_and(|(o, _)| UNSIGNED.iter().any(|u| o.contains(u))) {
                let message = format!(
                    "the archive \"{line}\" is read without a check of its signature; names need a signed one: use signed-by"
                );
                return Err(Error::invalid(message).with_code("unsigned_archive"));
            }
            // Of a `file:` archive apt would give links to its files, which may change while they are read.
            let rest = rest.replace(" file:", " copy:");
            let rest = rest.strip_prefix("file:").map_or(rest.clone(), |r| format!("copy:{r}"));
            both.extend([format!("deb {rest}"), format!("deb-src {rest}")]);
        }
        both.push(String::new());
        Ok(both)
    }

    /// Reads the indices that lie here.
    pub(super) async fn read(&self) -> Result<NameIndex> {
        let show = ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(FILENAME)"];
        let shown = self.run(&show).await?;
        let files = |kind: &str| -> Vec<PathBuf> {
            let named = |l: &str| l.strip_prefix(kind)?.strip_prefix(' ').map(PathBuf::from);
            shown.lines().filter_map(named).collect()
        };
        let (packages, sources) = (files("Packages"), files("Sources"));
        let name = self.named();
        let read = tokio::task::spawn_blocking(move || read(&packages, &sources));
        let index = read
            .await
            .map_err(|e| Error::internal("reading an index panicked").with_source(e))??;
        if index.sources() == 0 || index.names() == 0 {
            let message = format!(
                "the archive of {name} lists no sources or no packages; each line must name an archive with both"
            );
            return Err(Error::invalid(message).with_code("empty_index"));
        }
        Ok(index)
    }

    async fn run(&self, argv: &[&str]) -> Result<String> {
        let mut cmd = Cmd::new(argv.iter().copied(), &self.root).within(FETCH_TIMEOUT);
        cmd.vars.extend(reaching());
        let cmd = cmd.var("APT_CONFIG", self.root.join("apt.conf").display().to_string());
        self.exec.check(&cmd, MAX_OUTPUT).await
    }

    fn named(&self) -> String {
        format!("{} {}", self.suite.dist, self.suite.suite)
    }

    fn failed(&self, error: &Error) -> Error {
        let message =
            format!("the index of {} cannot be fetched: {}", self.named(), error.message());
        Error::new(ErrorKind::Unavailable, message).with_code("names_unavailable")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.root.join(name);
        std::fs::write(&path, text).map_err(|e| self.disk("write", &path, e))
    }

    fn disk(&self, what: &str, path: &Path, e: std::io::Error) -> Error {
        let message =
            format!("the index of {}: cannot {what} {}: {e}", self.named(), path.display());
        Error::new(ErrorKind::Unavailable, message).with_source(e)
    }
}

/// Packages first: they say what is there; sources then add what they build on other architectures.
fn read(packages: &[PathBuf], sources: &[PathBuf]) -> Result<NameIndex> {
    let mut index = NameIndex::default();
    let open = |path: &PathBuf| {
        File::open(path).map(|file| BufReader::with_capacity(1 << 17, file)).map_err(|e| {
            let message = format!("cannot read {}: {e}", path.display());
            Error::new(ErrorKind::Unavailable, message).with_source(e)
        })
    };
    for path in packages {
        index.read_packages(open(path)?)?;
    }
    for path in sources {
        index.read_sources(open(path)?)?;
    }
    Ok(index)
}
