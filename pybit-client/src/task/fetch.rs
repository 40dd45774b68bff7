//! Getting the source onto this machine.

use std::path::Path;

use pybit_core::build::{FetchRequest, FetchedKind};
use pybit_core::model::{FailureClass, Source};
use pybit_core::protocol::{Input, RemoteFile};
use pybit_core::{Error, ErrorKind, Result};

use super::{Work, blocking, chain};
use crate::machine::Event;
use crate::user::make_dir;

impl Work {
    pub(super) async fn fetch(&self) -> Event {
        let input = self.entry().assignment.input.clone();
        let files = match &input {
            Input::Fetch { files, .. } | Input::Package { files, .. } => files,
        };
        if let Err(e) = self.download(files).await {
            // The server's own files are wanted here: whatever is wrong with them, the source is not to blame.
            return self.fail_by(&e, FailureClass::Infra).await;
        }
        match input {
            Input::Package { main, .. } => {
                self.found().source = self.dir.work().join("inbox").join(main.as_str());
                Event::Fetched
            }
            Input::Fetch { source, .. } => match self.fetch_source(&source).await {
                Ok(event) => event,
                Err(e) if e.kind() == ErrorKind::Unsupported => self.unable(&e).await,
                Err(e) => match FailureClass::of_fetch(e.code()) {
                    Some(class) => self.fail(class, &chain(&e), vec![]).await,
                    None => self.fail_by(&e, FailureClass::Source).await,
                },
            },
        }
    }

    /// Makes the job's directories and brings the server's files into `inbox`.
    async fn download(&self, files: &[RemoteFile]) -> Result<()> {
        let (work, user) = (self.dir.work(), self.shop.user);
        let inbox = work.join("inbox");
        blocking(move || {
            make_dir(&work, None)?;
            for (name, owner) in [("inbox", None), ("source", user), ("output", user)] {
                make_dir(&work.join(name), owner)?;
            }
            Ok(())
        })
        .await?;
        for file in files {
            self.say(&format!("downloading {} ({} bytes)", file.spec.name, file.spec.size)).await;
            let to = inbox.join(file.spec.name.as_str());
            self.shop.api.download(file, &to, self.for_ever()).await.map_err(Error::from)?;
            make_readable(&to).await?;
        }
        Ok(())
    }

    async fn fetch_source(&self, source: &Source) -> Result<Event> {
        let fetcher = self.shop.toolbox.fetcher(source.method())?;
        self.say(&format!("fetching {source}")).await;
        let (target, work) = (self.target(), self.dir.work());
        let (inbox, into) = (work.join("inbox"), work.join("source"));
        let request = FetchRequest { source, target: &target, inbox: &inbox, into: &into };
        let arrived = fetcher.fetch(&request, self.spool.as_ref()).await?;
        self.say(&format!("fetched {}", arrived.resolved)).await;
        let mut found = self.found();
        found.resolved = arrived.resolved;
        match arrived.kind {
            FetchedKind::Tree(tree) => {
                found.source = tree;
                Ok(Event::Fetched)
            }
            FetchedKind::Package(main) => {
                found.source = main;
                found.is_result = true;
                Ok(Event::FetchedResult)
            }
        }
    }
}

async fn make_readable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o644);
    let set = tokio::fs::set_permissions(path, mode).await;
    set.map_err(|e| crate::journal::failed("open up", path, e))
}
