//! The watcher.

use std::sync::Arc;

use pybit_backends::deb::{DebUploads, DebVersions};
use pybit_backends::exec::{Exec, Supervisor};
use pybit_backends::publish::{MachineTools, Reprepro, RepreproConfig};
use pybit_core::clock::SystemClock;
use pybit_core::publish::Publisher;
use pybit_core::upload::UploadReader;
use pybit_core::{Error, ErrorKind, Result};
use pybit_watch::{Publishers, RepositoryConfig, WatchConfig};
use tokio_util::sync::CancellationToken;

use super::builder::SUPERVISE;

/// The publishers of the configured repositories, by the repository's format. Their tools run under this program's own verb
/// [`SUPERVISE`].
pub fn publishers(config: &WatchConfig) -> Result<Publishers> {
    let exec = Exec::new(Supervisor::this_program(SUPERVISE)?, None);
    let named = |r: &RepositoryConfig| Ok((r.name.clone(), publisher(r, exec.clone())?));
    config.repositories.iter().map(named).collect()
}

fn publisher(repository: &RepositoryConfig, exec: Exec) -> Result<Arc<dyn Publisher>> {
    if repository.format.as_str() != "deb" {
        let message = format!(
            "no publisher makes repositories of the format {}; known is deb",
            repository.format
        );
        return Err(Error::new(ErrorKind::Unsupported, message).with_code("unknown_format"));
    }
    let (dist, suite) = (repository.dist.clone(), repository.suite.clone());
    let mut config = RepreproConfig::new(&repository.root, dist, suite, repository.arches.clone());
    config.keep_snapshots = repository.keep_snapshots;
    Ok(Arc::new(Reprepro::new(
        config,
        Arc::new(MachineTools::new(exec)),
        Arc::new(DebVersions),
        Arc::new(SystemClock),
    )?))
}

/// Runs the watcher until `shutdown`.
pub async fn run_watch(config: WatchConfig, shutdown: CancellationToken) -> Result<()> {
    let publishers = publishers(&config)?;
    let exec = Exec::new(Supervisor::this_program(SUPERVISE)?, None);
    let uploads: Arc<dyn UploadReader> = Arc::new(DebUploads::new(exec));
    pybit_watch::run(config, publishers, Some(uploads), shutdown).await
}
