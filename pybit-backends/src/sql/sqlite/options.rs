//! Where the database file is, and how it is opened.

use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use pybit_core::settings::Settings;
use pybit_core::{Error, ErrorKind, Result};
use serde::Deserialize;

/// The keys beside the URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SqliteOptions {
    /// Connections that read, 4 where left out; each is one thread. There is always one connection that writes.
    pub read_connections: u32,
    /// How long to wait for another process that writes, in milliseconds; 5000 where left out.
    pub busy_timeout_ms: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { read_connections: 4, busy_timeout_ms: 5000 }
    }
}

/// The file that a URL names: everything after `sqlite:` or `sqlite://`, taken as it is written.
pub(super) fn path(settings: &Settings) -> Result<PathBuf> {
    let rest = settings.url.strip_prefix("sqlite:").unwrap_or(&settings.url);
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let refuse = |why: &str| {
        let message = format!("the storage URL {} is refused: {why}", settings.shown());
        Err(Error::invalid(message).with_code("invalid_configuration"))
    };
    if path.is_empty() || path.ends_with('/') {
        return refuse("it must name a file, as in sqlite:///var/lib/pybit/farm.db");
    }
    if path == ":memory:" {
        return refuse("storage in memory is memory:");
    }
    if path.contains(['?', '#', '\0']) {
        return refuse("it must not hold ?, # or NUL; options have their own keys");
    }
    Ok(PathBuf::from(path))
}

/// Makes the file and its directories where they are missing; the files that SQLite makes beside it take its mode.
pub(super) async fn prepare(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        let made = tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).await;
        made.map_err(|e| unusable(parent, e))?;
    }
    let mut open = tokio::fs::OpenOptions::new();
    let opened = open.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.await.map(drop).map_err(|e| unusable(path, e))
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    let (kind, why) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => (ErrorKind::Full, "no space is left"),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => {
            (ErrorKind::Denied, "this user may not write there")
        }
        _ => (ErrorKind::Unavailable, "the path cannot be opened or made"),
    };
    Error::new(kind, format!("the database {} cannot be used: {why}", path.display()))
        .with_op("open")
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file() {
        let of = |url: &str| path(&Settings::url(url)).map(|p| p.display().to_string());
        assert_eq!(of("sqlite:///var/lib/x.db").unwrap(), "/var/lib/x.db");
        assert_eq!(of("sqlite:x.db").unwrap(), "x.db");
        assert_eq!(of("sqlite:a/b c.db").unwrap(), "a/b c.db");
        for url in
            ["sqlite:", "sqlite://", "sqlite::memory:", "sqlite:x.db?mode=ro", "sqlite:/tmp/"]
        {
            assert_eq!(of(url).unwrap_err().code(), "invalid_configuration", "{url}");
        }
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let mut settings = Settings::url("sqlite:x.db");
        settings.options.insert("journal".to_owned(), "off".into());
        let error = settings.options::<SqliteOptions>().unwrap_err();
        assert!(error.message().contains("journal"), "{error}");
    }
}
