//! Roots that `mock` makes, for RPM packages.
//!
//! | to know | open |
//! |---|---|
//! | which names a configuration may have | `name.rs` |
//! | how its commands run, are stopped and cleaned up after | `root.rs` |
//! | what becomes of roots that a killed client has left | `leftovers.rs` |
//!
//! Which commands a build consists of is the package format's own: `rpm/mock/steps.rs`.

mod leftovers;
mod name;
mod root;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use nix::unistd::{Gid, Group, geteuid};
use pybit_core::build::{BuildEnvironment, LogSink, Prepared};
use pybit_core::model::{Arch, Dist, Suite, Target};
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::home::Home;
use crate::exec::{Exec, PATH};
use leftovers::Leftovers;
pub use name::MockName;
use root::{Mock, MockRoot};

/// The one format that mock builds.
const FORMAT: &str = "rpm";

/// Which configuration of mock builds for what.
pub type MockRoots = BTreeMap<(Dist, Suite, Arch), MockName>;

/// How mock is used.
#[derive(Debug, Clone)]
pub struct MockConfig {
    /// A directory of the client's own: which roots there are, and verified packages of the farm's repositories.
    pub dir: PathBuf,
    /// Which configuration of mock builds for what.
    pub roots: MockRoots,
    /// The program: a name that is looked for where programs are, or an absolute path.
    pub program: PathBuf,
    /// The group whose members may use it.
    pub group: String,
}

impl MockConfig {
    /// The program and the group `mock`.
    pub fn new(dir: impl Into<PathBuf>, roots: MockRoots) -> Self {
        Self { dir: dir.into(), roots, program: "mock".into(), group: "mock".to_owned() }
    }
}

/// Builds RPM packages in fresh roots, with `mock`.
#[derive(Debug)]
pub struct MockEnvironment {
    roots: MockRoots,
    mock: Mock,
    store: PathBuf,
    leftovers: Leftovers,
}

impl MockEnvironment {
    /// Uses mock as `config` says, as the build user of `exec`. Touches nothing.
    ///
    /// Fails, `Unsupported`, where this machine has no mock or no group for it, and where this process is not root with a build
    /// user: mock's own processes are root's, so nobody else could end them.
    pub fn new(config: MockConfig, exec: Exec) -> Result<Self> {
        let program = find(&config.program).ok_or_else(|| {
            unsupported(
                "client.mock names configurations of mock, and there is no program mock on this machine; install it with \
                 `dnf install mock`, or take [[client.mock]] out of the configuration",
            )
        })?;
        let gid = group(&config.group)?;
        let user = exec.user().cloned().filter(|u| !u.uid.is_root() && geteuid().is_root());
        let user = user.ok_or_else(|| {
            unsupported(
                "the environment mock needs a build client that runs as root and builds as another user (client.build_user): mock's own \
                 processes are root's, and nobody else could end them",
            )
        })?;
        let leftovers = Leftovers::find(config.dir.join("roots"));
        let mock = Mock::new(program, user, gid, exec);
        Ok(Self { roots: config.roots, mock, store: config.dir.join("store"), leftovers })
    }

    fn config(&self, target: &Target) -> Result<&MockName> {
        let key = (target.dist.clone(), target.suite.clone(), target.arch.clone());
        let found = self.roots.get(&key).filter(|_| target.format.as_str() == FORMAT);
        found.ok_or_else(|| {
            let message = format!(
                "this build client's configuration names no configuration of mock for {target}; [[client.mock]] does that, for the format {FORMAT}"
            );
            Error::new(ErrorKind::Unsupported, message).with_code("no_mock_configuration")
        })
    }

    /// Makes the directory for verified packages, which belongs to the build user.
    fn make_store(&self) -> Result<()> {
        let user = self.mock.user();
        let made = std::fs::create_dir_all(&self.store).and_then(|()| {
            std::os::unix::fs::chown(&self.store, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        });
        made.map_err(|e| failed("make", &self.store, e))
    }
}

#[async_trait]
impl BuildEnvironment for MockEnvironment {
    fn name(&self) -> &'static str {
        "mock"
    }

    async fn recover(&self) {
        for left in self.leftovers.take() {
            let scrubbed = self.mock.scrub(&left.config, &left.unique).await;
            match scrubbed.and_then(|()| left.entry.forget()) {
                Ok(()) => tracing::info!(root = left.unique, "removed what was left of mock's"),
                Err(e) => tracing::warn!("an old root of mock stays until the next start: {e}"),
            }
        }
    }

    async fn prepare(
        &self,
        target: &Target,
        work: &Path,
        _: &dyn LogSink,
    ) -> Result<Box<dyn Prepared>> {
        let config = self.config(target)?.clone();
        self.make_store()?;
        let unique = unique(work);
        let entry = self.leftovers.entry(&unique);
        let home = Home::make(work, Some(self.mock.user()))?;
        let (mock, store) = (self.mock.clone(), self.store.clone());
        Ok(Box::new(MockRoot::new(mock, config, unique, entry, store, home)))
    }
}

/// A word for one job's root: the same for the same job's directory, whichever process of this client asks.
fn unique(work: &Path) -> String {
    let digest = hex::encode(Sha256::digest(work.as_os_str().as_encoded_bytes()));
    format!("pybit-{}", &digest[..16])
}

/// The program's absolute path.
fn find(program: &Path) -> Option<PathBuf> {
    let dirs = PATH.split(':').map(Path::new);
    dirs.map(|dir| dir.join(program)).find(|path| path.is_file())
}

fn group(name: &str) -> Result<Gid> {
    let found = Group::from_name(name).ok().flatten();
    found.map(|group| group.gid).ok_or_else(|| {
        unsupported(&format!("there is no group \"{name}\" on this machine, whose members may use mock; mock's own package makes it"))
    })
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, message).with_code("no_mock")
}

/// A failure of the machine's files.
fn failed(what: &str, path: &Path, e: std::io::Error) -> Error {
    let message = format!("cannot {what} {}: {e}", path.display());
    Error::new(ErrorKind::Unavailable, message).with_source(e)
}
