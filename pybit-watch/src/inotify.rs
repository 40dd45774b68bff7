//! Waiting for a change in a directory.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use pybit_core::{Error, ErrorKind, Result};
use tokio::io::unix::AsyncFd;

struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// A directory whose changes wake the caller: files closed after writing, and files moved in.
pub(crate) struct DirectoryWatch(AsyncFd<Descriptor>);

impl DirectoryWatch {
    /// Watches `dir`, from now on.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let fail = |e: nix::Error| {
            Error::new(ErrorKind::Unavailable, format!("cannot watch {}: {e}", dir.display()))
        };
        let inotify =
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(fail)?;
        let events =
            AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ATTRIB;
        inotify.add_watch(dir, events).map_err(fail)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; this descriptor lives exactly as long as its owner here"
        )]
        let descriptor = AsyncFd::new(Descriptor(inotify))
            .map_err(|e| Error::internal("cannot wait for inotify").with_source(e))?;
        Ok(Self(descriptor))
    }

    /// Returns at the next change, or after `longest` without one: what was missed is then found by looking.
    pub(crate) async fn changed(&self, longest: Duration) {
        let readable = tokio::time::timeout(longest, self.0.readable()).await;
        if let Ok(Ok(mut guard)) = readable {
            // All events are taken: the caller looks at the whole directory afterwards.
            while self.0.get_ref().0.read_events().is_ok_and(|events| !events.is_empty()) {}
            guard.clear_ready();
        }
    }
}
