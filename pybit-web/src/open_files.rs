//! How many files this process may have open, of which each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises how many files this process may have open to what the system allows it.
///
/// For a program that serves and starts no others: what it started would inherit that, and some programs look at every
/// number below the limit. A system that refuses is left as it is.
pub fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// The connections that may be open: `most`, and never more than half of the open files. The others are for the database
/// and stored bytes: else strangers who connect and say nothing would take those away.
pub(crate) fn seats(most: usize) -> usize {
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    let seats = within(most, files);
    if seats < most {
        tracing::warn!(
            "at most {seats} connections are open at once: web.most_connections is {most}, and this process may open {files} files"
        );
    }
    seats
}

fn within(most: usize, files: u64) -> usize {
    most.min(usize::try_from(files / 2).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn half_of_the_files_are_no_connections() {
        assert_eq!(within(4096, 1024), 512);
        assert_eq!(within(100, 1024), 100);
        assert_eq!(within(4096, u64::MAX), 4096);
        assert_eq!((within(0, 1024), within(5, 1)), (1, 1));
    }
}
