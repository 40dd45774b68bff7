//! Repositories that a build installs from, whatever the format.

use pybit_core::format::BuildRepository;
use pybit_core::{Error, Result};

/// The directory of a job's scratch directory that its root sees at `/` plus this name: what the root needs to know of the farm's
/// repositories.
pub(crate) const FARM_DIR: &str = "pybit-farm";

/// The repository's URL, which holds nothing that a configuration file or a tool's option could take for more than a URL.
pub(crate) fn checked_url(repository: &BuildRepository) -> Result<&str> {
    let url = &repository.url;
    let scheme_ok = ["https://", "http://", "file:/"].iter().any(|s| url.starts_with(s));
    if !scheme_ok || !url.bytes().all(|b| b.is_ascii_graphic() && !b"[]#'\"\\".contains(&b)) {
        return Err(Error::invalid(
            "a build repository's URL is refused: it must start with https://, http:// or file:/ and hold no blanks, \
             quotes or brackets",
        )
        .with_code("invalid_repository"));
    }
    Ok(url)
}
