//! Source files on their way in, before the submission that builds from them.

use futures_util::future::try_join;
use poem::Response;
use pybit_core::model::{FileName, FileSpec, StreamOwner, Upload, UploadId};
use pybit_core::protocol::{FileState, Length, Manifest};
use pybit_core::{Error, ErrorKind, Policy, Result};

use super::{Offset, file_state};
use crate::body;
use crate::call::{Call, created, ok};
use crate::error::ApiResult;
use crate::streams;

/// `POST /uploads`
pub(crate) async fn declare(mut call: Call) -> ApiResult<Response> {
    let manifest: Manifest = call.json().await?;
    let farm = &call.state.farm;
    if manifest.attempt != 0 {
        return Err(Error::invalid("an upload belongs to no attempt").into());
    }
    if manifest.files.is_empty() {
        return Err(Error::invalid("an upload has at least one file").with_code("no_files").into());
    }
    check_files(&manifest.files, farm.policy())?;
    let now = farm.clock().now();
    created(&farm.storage().new_upload(&call.who()?.name, &manifest.files, now).await?)
}

/// `GET /uploads/{id}`
pub(crate) async fn state(call: Call) -> ApiResult<Response> {
    let upload = own(&call).await?;
    let streams = call.state.farm.storage().streams(StreamOwner::Upload(upload.id)).await?;
    ok(&streams.iter().filter_map(file_state).collect::<Vec<FileState>>())
}

/// `PATCH /uploads/{id}/files/{name}`
pub(crate) async fn append(mut call: Call) -> ApiResult<Response> {
    let upload = own(&call).await?;
    let name: FileName = call.name("name")?;
    let Offset { offset } = call.query()?;
    let owner = StreamOwner::Upload(upload.id);
    let stream = streams::file_of(&call.state, owner, name.as_str()).await?;
    let stream = stream.ok_or_else(|| unknown_file(&name))?;
    let bytes = call.bytes(body::PIECE).await?;
    let length = streams::append(&call.state, stream, offset, &bytes).await?;
    ok(&Length { length })
}

/// The upload in the path, where it is the caller's own; another's is as unknown as one that does not exist.
async fn own(call: &Call) -> ApiResult<Upload> {
    let id: UploadId = call.id("id")?;
    let upload = call.state.farm.storage().upload(id).await?;
    let upload = upload.filter(|u| call.who().is_ok_and(|who| who.name == u.principal));
    let unknown =
        || Error::not_found(format!("there is no upload {id}")).with_code("unknown_upload");
    Ok(upload.ok_or_else(unknown)?)
}

pub(super) fn unknown_file(name: &FileName) -> Error {
    Error::not_found(format!("{name} was not declared")).with_code("unknown_file")
}

/// Checks declared files against the farm's limits: 413 before any byte is sent.
pub(crate) fn check_files(files: &[FileSpec], policy: &Policy) -> Result<()> {
    let too_large = |what: String| Error::new(ErrorKind::TooLarge, what).with_code("too_large");
    if files.len() > policy.files_count as usize {
        return Err(too_large(format!("at most {} files may be sent at once", policy.files_count)));
    }
    let total = files.iter().fold(0_u64, |sum, f| sum.saturating_add(f.size));
    if total > policy.files_bytes {
        return Err(too_large(format!("at most {} bytes may be sent at once", policy.files_bytes)));
    }
    let mut names = std::collections::BTreeSet::new();
    for file in files {
        let digits = file.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if file.sha256.len() != 64 || !digits {
            let message =
                format!("the SHA-256 of {} must be 64 lower-case hexadecimal digits", file.name);
            return Err(Error::invalid(message).with_code("invalid_digest"));
        }
        if !names.insert(file.name.as_str()) {
            let message = format!("{} is declared twice", file.name);
            return Err(Error::invalid(message).with_code("declared_twice"));
        }
    }
    Ok(())
}

/// The first bytes of an uploaded file that is the caller's and complete.
pub(super) async fn main_of(
    call: &Call,
    upload: UploadId,
    name: &FileName,
) -> Result<Option<bytes::Bytes>> {
    let owner = StreamOwner::Upload(upload);
    let (upload, stream) = try_join(
        call.state.farm.storage().upload(upload),
        streams::file_of(&call.state, owner, name.as_str()),
    )
    .await?;
    let is_own = upload.is_some_and(|u| call.who().is_ok_and(|who| who.name == u.principal));
    match stream.filter(|s| is_own && s.object.is_some()) {
        Some(stream) => {
            let bytes =
                streams::read_range(&call.state, &stream, 0, super::submissions::DESCRIPTION);
            bytes.await.map(Some)
        }
        None => Ok(None),
    }
}
