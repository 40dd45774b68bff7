//! Source packages out of thin air.

use async_trait::async_trait;
use pybit::core::build::{FetchRequest, Fetched, FetchedKind, LogSink, SourceFetcher};
use pybit::core::model::Source;
use pybit::{Error, ErrorKind, Result};

use super::bytes;

/// Makes the source package that an `apt:` source names.
#[derive(Debug)]
pub(super) struct Courier;

#[async_trait]
impl SourceFetcher for Courier {
    fn method(&self) -> &'static str {
        "apt"
    }

    async fn fetch(&self, request: &FetchRequest<'_>, log: &dyn LogSink) -> Result<Fetched> {
        let Source::Apt { package, version: Some(version) } = request.source else {
            return Err(Error::invalid("the schedule names packages with their version"));
        };
        let (text, name, tarball) = bytes::source(package.as_str(), version.as_str());
        let main = request.into.join(format!("{package}_{version}.dsc"));
        let write = |path, bytes: Vec<u8>| async move {
            tokio::fs::write(path, bytes).await.map_err(|e| {
                Error::new(ErrorKind::Unavailable, format!("cannot write the source: {e}"))
            })
        };
        write(request.into.join(name), tarball).await?;
        write(main.clone(), text.into_bytes()).await?;
        log.write(b"the courier was here\n").await?;
        Ok(Fetched { kind: FetchedKind::Package(main), resolved: version.to_string() })
    }
}
