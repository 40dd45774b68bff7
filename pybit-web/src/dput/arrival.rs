//! A description has arrived: it is verified, its files become an upload of the farm, and that a submission.

use bytes::Bytes;
use pybit_core::model::{FileSpec, NewSubmission, Principal, Source, StreamOwner, UploadId};
use pybit_core::storage::Recorded;
use pybit_core::upload::{SignedUpload, Signer};
use pybit_core::{Error, Result};
use sha2::{Digest, Sha256};

use super::{DputSuite, Staging};
use crate::api::uploads::check_files;
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::streams;

/// The longest source description that is read, in bytes.
const LONGEST_SOURCE: u64 = 1 << 20;

/// Submits what a description and the files that came before it ask for, in the name of the key that has signed it.
///
/// The signed text is the submission's key: whoever sends it again, with whichever token, gets `Conflict`, code
/// `replayed`, and nothing is built.
pub(crate) async fn arrived(
    state: &AppState,
    staging: &Staging<'_>,
    description: &[u8],
) -> ApiResult<(SignedUpload, Recorded)> {
    let reader = state.dput.reader()?;
    let suite = state.dput.suite(&reader.claimed_suite(description)?)?;
    let upload = reader.verify(description, &suite.keyring).await?;
    if upload.suite != suite.suite {
        return Err(Error::invalid("the .changes names two suites").into());
    }
    check_kind(&upload)?;
    check_files(&upload.files, state.farm.policy())?;
    staging.check(&upload.files).await?;
    let source = source_of(staging, &upload).await?;
    reader.verify_source(&upload, &source, &suite.keyring).await?;
    let who = principal(suite, &upload.signer);
    let id = declare(state, &who, &upload.files).await?;
    for file in &upload.files {
        hand_over(state, staging, id, file).await?;
    }
    let recorded = submit(state, &who, suite, &upload, id, &source).await?;
    staging.forget(&upload.files).await;
    Ok((upload, recorded))
}

/// Source alone: the farm builds the packages itself.
fn check_kind(upload: &SignedUpload) -> Result<()> {
    if let Some(built) = upload.built.first() {
        let message = format!(
            "the upload holds the built package {built}: the farm builds packages itself; upload source alone \
             (dpkg-buildpackage --build=source), or put ready packages into a drop directory of the watcher"
        );
        return Err(Error::invalid(message).with_code("built_packages"));
    }
    if upload.source.is_none() {
        let message = "the .changes lists no .dsc: there is nothing to build";
        return Err(Error::invalid(message).with_code("no_source"));
    }
    Ok(())
}

/// Uploads and submissions carry the key's name: it, and not the token, says who is answerable.
fn principal(suite: &DputSuite, signer: &Signer) -> Principal {
    Principal { name: format!("key {signer}"), grant: suite.grant(signer) }
}

/// The source description, with the digest that the signed list gives.
async fn source_of(staging: &Staging<'_>, upload: &SignedUpload) -> Result<Bytes> {
    let listed = upload.files.iter().find(|f| Some(&f.name) == upload.source.as_ref());
    let listed = listed.ok_or_else(|| Error::internal("the source is among the files"))?;
    if listed.size > LONGEST_SOURCE {
        return Err(Error::invalid("the .dsc is refused: it is larger than 1 MiB"));
    }
    let bytes = staging.read(&listed.name, 0, listed.size).await?;
    if hex::encode(Sha256::digest(&bytes)) == listed.sha256 {
        return Ok(bytes);
    }
    let message = format!("{} has another SHA-256 than the .changes says", listed.name);
    Err(Error::invalid(message).with_code("file_differs"))
}

async fn declare(state: &AppState, who: &Principal, files: &[FileSpec]) -> Result<UploadId> {
    let now = state.farm.clock().now();
    Ok(state.farm.storage().new_upload(&who.name, files, now).await?.id)
}

/// Gives a waiting file to the upload, where its digest is compared.
async fn hand_over(
    state: &AppState,
    staging: &Staging<'_>,
    upload: UploadId,
    file: &FileSpec,
) -> ApiResult<()> {
    let owner = StreamOwner::Upload(upload);
    let stream = streams::file_of(state, owner, file.name.as_str()).await?;
    let stream = stream.ok_or_else(|| Error::internal("a declared file has a stream"))?;
    streams::adopt(state, stream, &staging.object(&file.name)).await
}

async fn submit(
    state: &AppState,
    who: &Principal,
    suite: &DputSuite,
    upload: &SignedUpload,
    id: UploadId,
    source: &[u8],
) -> ApiResult<Recorded> {
    let main = upload.source.clone().ok_or_else(|| Error::internal("there is a source"))?;
    let request = NewSubmission {
        source: Source::Upload { upload: id, main },
        suite: suite.suite.clone(),
        dist: suite.dist.clone(),
        format: Some(state.dput.reader()?.format().clone()),
        arches: Vec::new(),
        env: None,
        priority: 0,
        force: false,
    };
    let key = format!("dput:{}", upload.digest);
    let recorded = state.farm.submit(who, request, Some(&key), Some(source)).await;
    // A copy's files are another upload, so its request is another one under the same key.
    recorded.map_err(|error| match error.code() {
        "idempotency_key_reused" => ApiError::from(
            Error::conflict(
                "this .changes was here before, and what it asks for was submitted then",
            )
            .with_code("replayed"),
        ),
        _ => error.into(),
    })
}
