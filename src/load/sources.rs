//! What is submitted: uploaded source packages of one file, their `.dsc`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use pybit_client::Api;
use pybit_core::Result;
use pybit_core::model::{Arch, FileName, FileSpec, NewSubmission, Source, Target, UploadId};
use pybit_core::protocol::Manifest;
use sha2::{Digest, Sha256};

/// The version of every package.
pub(super) const VERSION: &str = "1.0-1";
/// Uploads on their way at once.
const AT_ONCE: usize = 16;

/// An uploaded source package that builds on any architecture.
#[derive(Debug, Clone)]
pub(super) struct Uploaded {
    /// The upload.
    pub(super) upload: UploadId,
    /// Its `.dsc`.
    pub(super) main: FileName,
}

impl Uploaded {
    /// Asks for builds of it: for one suite and these of its architectures.
    pub(super) fn submission(&self, target: &Target, arches: &[Arch]) -> NewSubmission {
        NewSubmission {
            source: Source::Upload { upload: self.upload, main: self.main.clone() },
            suite: target.suite.clone(),
            dist: Some(target.dist.clone()),
            format: Some(target.format.clone()),
            arches: arches.to_vec(),
            env: Some(target.env.clone()),
            priority: 0,
            force: false,
        }
    }
}

/// Uploads so many source packages, each with a name that no other has.
pub(super) async fn upload(api: &Api, count: usize) -> Result<Vec<Uploaded>> {
    let api = Arc::new(api.clone());
    let run = rand::random::<u32>();
    let all = stream::iter(0..count).map(|n| {
        let api = Arc::clone(&api);
        async move { one(&api, &format!("load-{run:08x}-{n}")).await }
    });
    all.buffer_unordered(AT_ONCE).try_collect().await
}

async fn one(api: &Api, package: &str) -> Result<Uploaded> {
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let tar = format!("{package}_1.0.orig.tar.gz");
    let content = Bytes::from(format!("the source of {package}\n"));
    let (size, sha256) = (content.len() as u64, digest(&content));
    let md5 = "0".repeat(32);
    let dsc = format!(
        "Format: 3.0 (quilt)\nSource: {package}\nBinary: {package}\nArchitecture: any\nVersion: {VERSION}\n\
         Maintainer: Load <load@example.org>\nStandards-Version: 4.6.2\nBuild-Depends: debhelper-compat (= 13)\n\
         Checksums-Sha256:\n {sha256} {size} {tar}\nFiles:\n {md5} {size} {tar}\n"
    );
    let main: FileName = format!("{package}_{VERSION}.dsc").parse()?;
    let files = [(main.clone(), Bytes::from(dsc)), (tar.parse()?, content)];
    let spec = |(name, bytes): &(FileName, Bytes)| FileSpec {
        name: name.clone(),
        size: bytes.len() as u64,
        sha256: digest(bytes),
    };
    let manifest = Manifest { attempt: 0, files: files.iter().map(spec).collect() };
    let upload = api.declare_upload(&manifest).await?.id;
    for (name, bytes) in files {
        api.append_upload(upload, &name, 0, bytes).await?;
    }
    Ok(Uploaded { upload, main })
}
