//! The store that a URL names.

use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path as FsPath;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use pybit_core::settings::Settings;
use pybit_core::{Error, ErrorKind, Result};

use super::Blobs;

/// The schemes that this program knows.
const KNOWN: &str = if cfg!(feature = "s3") { "file:, memory:, s3:" } else { "file:, memory:" };

impl Blobs {
    /// Opens what the URL names: `file:///var/lib/pybit/blobs`, `s3://bucket/prefix`, or `memory:` for a farm that keeps
    /// nothing. Nothing is asked of it yet: that is [`Blobs::check`].
    ///
    /// A folder is made where it is missing, for its owner alone. Another scheme is `Unsupported`, code `unknown_scheme`;
    /// an unknown or impossible key is `Invalid`, code `invalid_configuration`.
    pub fn open(settings: &Settings) -> Result<Self> {
        match settings.scheme() {
            "memory" => {
                let NoOptions {} = settings.options()?;
                Ok(Self::new(Arc::new(InMemory::new()), "the memory of this process"))
            }
            "file" => {
                let NoOptions {} = settings.options()?;
                Self::folder(FsPath::new(folder_of(settings)?))
            }
            #[cfg(feature = "s3")]
            "s3" => super::s3::open(settings, |name| std::env::var(name).ok()),
            _ => {
                let shown = settings.shown();
                let message =
                    format!("there is no blob store for {shown}; this program knows {KNOWN}");
                Err(Error::new(ErrorKind::Unsupported, message).with_code("unknown_scheme"))
            }
        }
    }

    /// Keeps them in a local folder; every write is flushed to the disk before it counts.
    pub fn folder(dir: &FsPath) -> Result<Self> {
        let fail = |e: &dyn fmt::Display| {
            let message = format!("cannot use the blob folder {}: {e}", dir.display());
            Error::new(ErrorKind::Unavailable, message)
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(|e| fail(&e))?;
        let store = LocalFileSystem::new_with_prefix(dir).map_err(|e| fail(&e))?;
        let store = store.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self::new(Arc::new(store), &format!("the blob folder {}", dir.display())))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// `file:///a`, `file:/a`, `file:a`; a host is refused: it would be taken for a directory.
fn folder_of(settings: &Settings) -> Result<&str> {
    let path = settings.url.strip_prefix("file:").unwrap_or_default();
    let folder = match path.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => path,
    };
    if folder.is_empty() || (path.starts_with("//") && !folder.starts_with('/')) {
        let shown = settings.shown();
        let message = format!("the blob store {shown} is refused: write file:///an/absolute/path");
        return Err(Error::invalid(message).with_code("invalid_configuration"));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_by_its_path_and_never_by_a_host() {
        for (url, folder) in [
            ("file:///srv/b", Some("/srv/b")),
            ("file:/srv/b", Some("/srv/b")),
            ("file:b", Some("b")),
            ("file://localhost/srv/b", Some("/srv/b")),
            ("file://srv/b", None),
            ("file://localhosting/b", None),
            ("file://", None),
            ("file:", None),
        ] {
            assert_eq!(folder_of(&Settings::url(url)).ok(), folder, "{url}");
        }
    }

    #[test]
    fn an_unknown_scheme_and_key_are_refused_with_what_is_known() {
        let error = Blobs::open(&Settings::url("gs://bucket")).unwrap_err();
        assert_eq!(error.code(), "unknown_scheme");
        assert!(error.message().contains(KNOWN), "{error}");
        for url in ["file:///srv/b", "memory:"] {
            let mut settings = Settings::url(url);
            settings.options.insert("endpoint".to_owned(), "http://x".into());
            let error = Blobs::open(&settings).unwrap_err();
            assert_eq!(error.code(), "invalid_configuration");
            assert!(error.message().contains("endpoint"), "{error}");
        }
    }
}
