//! A fresh root of the suite for each job, in namespaces of the build user: nothing of it runs as the machine's root.
//!
//! The root's tarball is made once by `mmdebstrap` and renewed when it is old ([`roots`]). `sbuild` unpacks it by itself
//! for a binary build; steps that run [inside](pybit_core::format::Place::Inside) go into a root that is unpacked for them
//! ([`prepared`]).

mod namespace;
mod prepared;
mod roots;
mod trash;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pybit_core::build::{BuildEnvironment, LogSink, Prepared};
use pybit_core::clock::{Clock, SystemClock};
use pybit_core::model::{FormatName, Target};
use pybit_core::{Error, ErrorKind, Result};

use super::BuildUser;
use crate::exec::helper::closed_dir;
use crate::exec::{Cmd, Exec};
use namespace::Namespace;
use prepared::SbuildRoot;
use roots::Roots;
use trash::Trash;

/// How roots are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbuildConfig {
    /// Where root tarballs are kept, some 450 MB for each suite and architecture.
    pub cache_dir: PathBuf,
    /// A tarball older than this is made anew.
    pub max_age: Duration,
    /// The archives as lines of `sources.list(5)`, for whatever suite is built; where left out, those that the machine's
    /// apt is configured with.
    pub mirror: Option<Vec<String>>,
    /// Packages that the roots of a format hold besides the build-essential ones; such a format has roots of its own.
    pub packages: BTreeMap<FormatName, Vec<String>>,
}

impl SbuildConfig {
    /// Roots of the machine's own archives, renewed every week.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        let week = Duration::from_hours(7 * 24);
        Self { cache_dir: cache_dir.into(), max_age: week, mirror: None, packages: BTreeMap::new() }
    }
}

/// Builds in fresh roots, with `sbuild --chroot-mode=unshare`.
#[derive(Debug, Clone)]
pub struct SbuildEnvironment {
    exec: Exec,
    roots: Arc<Roots>,
    trash: Arc<Trash>,
}

impl SbuildEnvironment {
    /// Makes roots as `config` says and runs steps with `exec`.
    pub fn new(config: SbuildConfig, exec: Exec) -> Self {
        Self::with_clock(config, exec, Arc::new(SystemClock))
    }

    /// The same, by another clock.
    pub fn with_clock(config: SbuildConfig, exec: Exec, clock: Arc<dyn Clock>) -> Self {
        let trash = Arc::new(Trash::new(config.cache_dir.join("trash")));
        Self { roots: Arc::new(Roots { config, exec: exec.clone(), clock }), trash, exec }
    }

    fn user(&self) -> Result<BuildUser> {
        let user = self.exec.user().cloned().map_or_else(BuildUser::current, Ok)?;
        if user.uid.is_root() {
            let message = "the environment sbuild needs a build user; make one with `useradd --create-home --shell \
                           /usr/sbin/nologin pybit-build` and name it in the client's configuration";
            return Err(Error::new(ErrorKind::Unsupported, message).with_code("no_build_user"));
        }
        Ok(user)
    }

    async fn arch(&self, target: &Target) -> Result<String> {
        if !target.arch.is_source() {
            return Ok(debian_arch(target.arch.as_str()).to_owned());
        }
        let cmd = Cmd::new(["dpkg", "--print-architecture"], Path::new("/"));
        Ok(self.exec.check(&cmd, 100).await?.trim().to_owned())
    }
}

#[async_trait]
impl BuildEnvironment for SbuildEnvironment {
    fn name(&self) -> &'static str {
        "sbuild"
    }

    async fn prepare(
        &self,
        target: &Target,
        work: &Path,
        log: &dyn LogSink,
    ) -> Result<Box<dyn Prepared>> {
        let user = self.user()?;
        let namespace = Namespace::of(&user)?;
        reachable(work)?;
        let arch = self.arch(target).await?;
        let tarball = self.roots.tarball(&namespace, target, &arch, log).await?;
        self.trash.empty(&self.exec, namespace);
        let trash = Arc::clone(&self.trash);
        let root = SbuildRoot::new(self.exec.clone(), namespace, tarball, work, trash);
        root.make_scratch().await?;
        Ok(Box::new(root))
    }
}

/// What Debian calls an architecture that rpm has another name for.
fn debian_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i586" | "i686" => "i386",
        "armv7hl" => "armhf",
        "ppc64le" => "ppc64el",
        other => other,
    }
}

/// The users of a build user's namespaces are nobody on the machine: they need the way to be open for all.
fn reachable(path: &Path) -> Result<()> {
    let Some(dir) = closed_dir(path) else { return Ok(()) };
    let message = format!(
        "the users of a build's namespaces cannot get into {0}; open the way with `chmod o+x {0}`",
        dir.display()
    );
    Err(Error::new(ErrorKind::Unsupported, message).with_code("unreachable_dir"))
}

/// A failure of the machine's files.
fn disk(what: &str, path: &Path, e: std::io::Error) -> Error {
    let kind = match e.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {what} {}: {e}", path.display())).with_source(e)
}

/// Makes a directory that is open to the users of namespaces; it must not be there yet.
fn make_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)))
        .map_err(|e| disk("make", path, e))
}

/// Gives a directory to the build user. From then on nothing is done in it as anybody else: that user could have put a
/// link there.
fn give(path: &Path, user: Option<&BuildUser>) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    std::os::unix::fs::lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .map_err(|e| disk("give away", path, e))
}
