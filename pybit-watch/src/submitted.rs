//! Drops of source alone: the farm builds them, as it builds what `dput` sends it over HTTP.

use std::path::Path;

use pybit_client::api::Api;
use pybit_client::{Destination, Retry, Secret};
use pybit_core::base::NAME_OF_DISTRIBUTION;
use pybit_core::model::{FileName, FileSpec, NewSubmission, Source};
use pybit_core::protocol::Manifest;
use pybit_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use crate::config::RepositoryConfig;
use crate::dropped::Drop;

/// Submits what comes to one drop directory, for the suite of its repository.
#[derive(Debug, Clone)]
pub(crate) struct Submits {
    api: Api,
    repository: RepositoryConfig,
}

impl Submits {
    pub(crate) fn new(url: &str, token_file: &Path, repository: &RepositoryConfig) -> Result<Self> {
        let api = Api::new(url, Some(&Secret::read(token_file)?))?;
        Ok(Self { api, repository: repository.clone() })
    }

    /// Submits a complete upload; why the farm refuses it, if it does.
    ///
    /// `description` is the submission's key: a watcher that is killed before the upload is taken away submits it once, and a copy that
    /// comes later builds nothing. Fails where the farm cannot be asked, or refuses this watcher rather than the upload.
    pub(crate) async fn submit(
        &self,
        drop: &Drop,
        main: FileName,
        staged: &Path,
        description: &[u8],
    ) -> Result<Option<String>> {
        match self.ask(drop, main, staged, description).await {
            Ok(()) => Ok(None),
            Err(error) if error.code() == "idempotency_key_reused" => {
                tracing::warn!(package = %drop.package, version = %drop.version, "was here before, and was submitted then");
                Ok(None)
            }
            Err(error) if is_about_the_upload(&error) => Ok(Some(error.message().to_owned())),
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        drop: &Drop,
        main: FileName,
        staged: &Path,
        description: &[u8],
    ) -> Result<()> {
        let manifest = Manifest { attempt: 0, files: drop.files.clone() };
        let upload = self.api.declare_upload(&manifest).await?.id;
        let place = |file: &FileSpec| (file.clone(), staged.join(file.name.as_str()));
        let files: Vec<_> = drop.files.iter().map(place).collect();
        self.api.send_files(Destination::Upload(upload), &files, &Retry::patient()).await?;
        let request = NewSubmission {
            source: Source::Upload { upload, main },
            suite: self.repository.suite.clone(),
            dist: Some(self.repository.dist.clone()),
            format: Some(self.repository.format.clone()),
            arches: Vec::new(),
            env: None,
            priority: 0,
            force: false,
        };
        let key = format!("drop:{}", hex::encode(Sha256::digest(description)));
        // Nobody is there to confirm many jobs, as with hooks.
        let reply = self.api.submit_confirmed(&request, Some(&key)).await?;
        let (submission, jobs) = (reply.submission.id, reply.jobs.len());
        tracing::info!(package = %drop.package, version = %drop.version, %submission, jobs, "submitted");
        Ok(())
    }
}

/// Whether the farm has judged the upload. A refusal of the source's name is a judgement, though its kind is `Denied`. A token that it does not take and a farm that is away say nothing of it.
fn is_about_the_upload(error: &Error) -> bool {
    error.code() == NAME_OF_DISTRIBUTION
        || matches!(
            error.kind(),
            ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::TooLarge | ErrorKind::Malformed
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_distribution_is_a_judgement_and_a_refused_token_is_none() {
        let denied = Error::new(ErrorKind::Denied, "no");
        assert!(!is_about_the_upload(&denied));
        assert!(is_about_the_upload(&denied.with_code(NAME_OF_DISTRIBUTION)));
        let waits = Error::new(ErrorKind::Unavailable, "no").with_code("names_unavailable");
        assert!(!is_about_the_upload(&waits));
    }
}
