//! Getting sources onto the machine, as the build user: git and Subversion repositories, the
//! distribution's own packages, uploads.

mod apt;
mod credentials;
mod gateway;
mod git;
mod probe;
mod reach;
mod refs;
mod submodules;
mod svn;
mod trouble;
pub(crate) mod unpack;
mod upload;
mod upstream;
mod uscan;

pub(crate) use apt::private_apt;
pub use apt::{AptConfig, AptFetcher};
pub use credentials::Credential;
#[cfg(feature = "fuzz")]
pub use gateway::fuzz_head;
pub use git::{GitConfig, GitFetcher};
pub use reach::AllowedHost;
#[cfg(feature = "fuzz")]
pub use submodules::fuzz_submodules;
pub use svn::{SvnConfig, SvnFetcher};
pub use upload::{UploadConfig, UploadFetcher};
#[cfg(feature = "fuzz")]
pub use uscan::fuzz_watch;

use std::path::Path;

use pybit_core::{Error, ErrorKind, Result};

use crate::env::BuildUser;

/// The source does not exist as it is named.
fn not_found(message: String) -> Error {
    Error::not_found(message).with_code("source_not_found")
}

/// A failure of the machine's files.
fn disk(what: &str, path: &Path, e: std::io::Error) -> Error {
    let kind = match e.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {what} {}: {e}", path.display())).with_source(e)
}

/// Makes a directory that others can read; its parent must not be one that the build user can change.
pub(crate) fn make_dir(path: &Path, user: Option<&BuildUser>) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)))
        .map_err(|e| disk("make", path, e))?;
    let Some(user) = user else { return Ok(()) };
    std::os::unix::fs::lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .map_err(|e| disk("give away", path, e))
}

/// Variables that say how this machine reaches the network; taken over from pybit's own environment.
const REACHING: [&str; 11] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
];

/// Whether requests of this scheme go to a proxy that this machine is told to use.
fn is_proxied(scheme: &str) -> bool {
    let names: &[&str] = match scheme {
        "http" => &["http_proxy", "all_proxy", "ALL_PROXY"],
        "https" => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        _ => &[],
    };
    names.iter().any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()))
}

pub(crate) fn reaching() -> impl Iterator<Item = (String, String)> {
    REACHING.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
}
