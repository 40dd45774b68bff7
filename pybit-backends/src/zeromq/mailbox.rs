//! Words for a thread that waits in `zmq::poll`: a bounded queue, and a bell that wakes it.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use pybit_core::{Error, ErrorKind, Result};

/// Words that wait for a thread; whoever comes then is told that it is busy.
const MOST: usize = 4096;

/// Where words are put in, from anywhere, without waiting.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    words: SyncSender<T>,
    bell: Arc<UnixStream>,
    over: Arc<AtomicBool>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self {
            words: self.words.clone(),
            bell: Arc::clone(&self.bell),
            over: Arc::clone(&self.over),
        }
    }
}

impl<T> Mailbox<T> {
    /// Puts a word in and wakes the thread. `Busy` where too many wait, `Unavailable` where the thread has ended.
    pub(super) fn put(&self, word: T) -> Result<()> {
        match self.words.try_send(word) {
            Ok(()) => {
                self.ring();
                Ok(())
            }
            Err(TrySendError::Full(_)) => {
                Err(Error::new(ErrorKind::Busy, "the ZeroMQ thread has too much to do; try again"))
            }
            Err(TrySendError::Disconnected(_)) => Err(super::closed()),
        }
    }

    /// Asks the thread to end, however much waits for it.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.ring();
    }

    fn ring(&self) {
        // A bell that is full of rings rings already.
        let _ = (&*self.bell).write(&[1]);
    }
}

/// Where the thread takes them out.
#[derive(Debug)]
pub(super) struct Letters<T> {
    words: Receiver<T>,
    bell: UnixStream,
    over: Arc<AtomicBool>,
}

impl<T> Letters<T> {
    /// What to wait for.
    pub(super) fn fd(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// Whether the thread is asked to end.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The next word, where there is one.
    pub(super) fn take(&self) -> Option<T> {
        self.words.try_recv().ok()
    }

    /// Stops the ringing. To be called before the words are taken.
    pub(super) fn hush(&mut self) {
        let mut rings = [0; 256];
        while let Ok(256) = self.bell.read(&mut rings) {}
    }
}

/// A mailbox and its other end.
pub(super) fn mailbox<T>() -> Result<(Mailbox<T>, Letters<T>)> {
    let (words_in, words) = sync_channel(MOST);
    let pair = || {
        let (ring, bell) = UnixStream::pair()?;
        ring.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        Ok((ring, bell))
    };
    let (ring, bell) = pair().map_err(|e: std::io::Error| {
        Error::new(ErrorKind::Unavailable, format!("no socket pair can be made: {e}"))
    })?;
    let over = Arc::new(AtomicBool::new(false));
    let mailbox = Mailbox { words: words_in, bell: Arc::new(ring), over: Arc::clone(&over) };
    Ok((mailbox, Letters { words, bell, over }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wake_come_in_order_and_are_bounded() {
        let (mailbox, mut letters) = mailbox::<usize>().unwrap();
        let rings = |letters: &Letters<usize>| {
            let mut items = [zmq::PollItem::from_fd(letters.fd(), zmq::POLLIN)];
            zmq::poll(&mut items, 0).unwrap() == 1
        };
        assert!(!rings(&letters));
        for n in 0..MOST {
            mailbox.put(n).unwrap();
        }
        assert_eq!(mailbox.put(MOST).unwrap_err().kind(), ErrorKind::Busy);
        assert!(rings(&letters));
        letters.hush();
        assert!(!rings(&letters));
        mailbox.end();
        assert!(rings(&letters) && letters.is_over());
        assert!((0..MOST).all(|n| letters.take() == Some(n)) && letters.take().is_none());
        drop(letters);
        assert_eq!(mailbox.put(0).unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
