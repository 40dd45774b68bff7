//! The watcher.

use std::sync::Arc;

use pybit_backends::deb::{DebUploads, DebVersions};
use pybit_backends::exec::{Exec, Supervisor};
use pybit_backends::publish::{
    Createrepo, CreaterepoConfig, MachineTools, Reprepro, RepreproConfig, SimpleIndex,
    SimpleIndexConfig,
};
use pybit_backends::python::PythonVersions;
use pybit_backends::rpm::RpmVersions;
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
    let named =
        |r: &RepositoryConfig| Ok((r.name.clone(), publisher(r, config.farm(), exec.clone())?));
    config.repositories.iter().map(named).collect()
}

fn publisher(repository: &RepositoryConfig, farm: &str, exec: Exec) -> Result<Arc<dyn Publisher>> {
    let (tools, clock) = (Arc::new(MachineTools::new(exec)), Arc::new(SystemClock));
    let RepositoryConfig { root, dist, suite, arches, keep_snapshots, .. } = repository.clone();
    let (key, key_life) = (repository.key_choice(), repository.key_life());
    match repository.format.as_str() {
        "deb" => {
            let config = RepreproConfig::new(root, dist, suite, arches);
            let usual = config.components.clone();
            let components = repository.components.clone().unwrap_or(usual);
            let (identity, valid_until) = (repository.identity(farm)?, repository.validity());
            let own = RepreproConfig { identity, components, keep_snapshots, key, ..config };
            let keyring = Some(repository.keyring(farm));
            let config = RepreproConfig { valid_until, key_life, keyring, ..own };
            Ok(Arc::new(Reprepro::new(config, tools, Arc::new(DebVersions), clock)?))
        }
        "rpm" => {
            let config = CreaterepoConfig::new(root, dist, suite, arches);
            let config = CreaterepoConfig { keep_snapshots, key, key_life, ..config };
            Ok(Arc::new(Createrepo::new(config, tools, Arc::new(RpmVersions), clock)?))
        }
        "python" => {
            let config = SimpleIndexConfig::new(root, dist, suite, arches);
            let config = SimpleIndexConfig { keep_snapshots, key, key_life, ..config };
            Ok(Arc::new(SimpleIndex::new(config, tools, Arc::new(PythonVersions), clock)?))
        }
        other => {
            let message = format!(
                "no publisher makes repositories of the format {other}; known are deb, python and rpm"
            );
            Err(Error::new(ErrorKind::Unsupported, message).with_code("unknown_format"))
        }
    }
}

/// Runs the watcher until `shutdown`.
pub async fn run_watch(config: WatchConfig, shutdown: CancellationToken) -> Result<()> {
    let publishers = publishers(&config)?;
    let exec = Exec::new(Supervisor::this_program(SUPERVISE)?, None);
    let uploads: Arc<dyn UploadReader> = Arc::new(DebUploads::new(exec));
    pybit_watch::run(config, publishers, Some(uploads), shutdown).await
}
