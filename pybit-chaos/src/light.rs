//! A repository without tools: a pool of files and one index, replaced at once. It makes a thousand publications cheap; the
//! other suite's repository is made by reprepro.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pybit::backends::deb::DebVersions;
use pybit::config::Config;
use pybit::core::owners::NamePolicy;
use pybit::core::publish::{Listed, Publication, PublishSet, Publisher, Removal};
use pybit::core::version::VersionOrder;
use pybit::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::builder::bytes::sha256;

/// The file that readers begin with.
pub(crate) const INDEX: &str = "index.json";

/// What the index says of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) version: String,
    pub(crate) arch: String,
    pub(crate) file: String,
    pub(crate) sha256: String,
}

/// By package.
pub(crate) type Index = BTreeMap<String, Entry>;

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    one: Mutex<()>,
}

fn failed(e: &std::io::Error) -> Error {
    let full = matches!(e.kind(), std::io::ErrorKind::StorageFull);
    let kind = if full { ErrorKind::Full } else { ErrorKind::Unavailable };
    Error::new(kind, format!("the light repository: {e}"))
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

impl Folder {
    fn index(&self) -> Result<Index> {
        match fs::read(self.root.join(INDEX)) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|e| Error::new(ErrorKind::Corrupt, format!("{INDEX}: {e}"))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Index::new()),
            Err(e) => Err(failed(&e)),
        }
    }

    fn add(&self, set: &PublishSet) -> Result<Publication> {
        let mut index = self.index()?;
        let package = set.package.as_str();
        for (spec, path) in &set.files {
            let arch = spec.name.as_str().trim_end_matches(".deb").rsplit('_').next();
            let entry = Entry {
                version: set.version.to_string(),
                arch: arch.unwrap_or_default().to_owned(),
                file: format!("{}-{}", &spec.sha256[..12], spec.name),
                sha256: spec.sha256.clone(),
            };
            if let Some(there) = index.get(package) {
                let order = DebVersions.compare(&there.version, &entry.version)?;
                if order.is_gt() || (order.is_eq() && there != &entry) {
                    return Ok(Publication::Rejected(format!(
                        "{package} is there in another form"
                    )));
                }
            }
            let bytes = fs::read(path).map_err(|e| failed(&e))?;
            if sha256(&bytes) != spec.sha256 {
                return Err(Error::new(ErrorKind::Corrupt, "fetched bytes differ from their set"));
            }
            write(&self.root.join(&entry.file), &bytes).map_err(|e| failed(&e))?;
            index.insert(package.to_owned(), entry);
        }
        let text = serde_json::to_vec(&index)
            .map_err(|e| Error::internal("an index is JSON").with_source(e))?;
        write(&self.root.join(INDEX), &text).map_err(|e| failed(&e))?;
        Ok(Publication::Published(index.len().to_string()))
    }
}

#[async_trait]
impl Publisher for Folder {
    async fn prepare(&self) -> Result<()> {
        fs::create_dir_all(&self.root).map_err(|e| failed(&e))?;
        if self.root.join(INDEX).exists() {
            return Ok(());
        }
        write(&self.root.join(INDEX), b"{}").map_err(|e| failed(&e))
    }

    async fn publish(&self, set: &PublishSet, _: &dyn NamePolicy) -> Result<Publication> {
        let _one = self.one.lock().await;
        self.add(set)
    }

    async fn list(&self) -> Result<Vec<Listed>> {
        let listed = |(name, e): (String, Entry)| {
            let source = name.clone();
            Listed { name, version: e.version, arch: e.arch, source }
        };
        Ok(self.index()?.into_iter().map(listed).collect())
    }

    async fn remove(&self, _: &Removal) -> Result<Vec<Listed>> {
        Err(Error::new(ErrorKind::Unsupported, "nothing is taken out of a chaos run"))
    }

    async fn public_key(&self) -> Result<String> {
        // The farm wants to be shown a key; nobody installs from here, so that nobody checks one.
        let (begin, end) =
            ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----");
        Ok(format!("{begin}\n\nbm90IHNpZ25lZA==\n{end}\n"))
    }
}

/// Runs the ordinary watcher over such repositories.
pub(crate) async fn run(config: &Path) -> Result<()> {
    let config = Config::load(Some(config))?.watch_role()?;
    let folder = |root: &Path| -> Arc<dyn Publisher> {
        Arc::new(Folder { root: root.to_owned(), one: Mutex::default() })
    };
    let publishers =
        config.repositories.iter().map(|r| (r.name.clone(), folder(&r.root))).collect();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        let _ = pybit::client::signalled(std::time::Duration::ZERO).await;
        stop.cancel();
    });
    pybit::watch::run(config, publishers, None, shutdown).await
}
