//! A listener that goes from one connection to the next.

use std::sync::Arc;
use std::time::Duration;

use pybit_core::Result;
use tokio::sync::oneshot;

use super::link::{Link, Session, State};

/// The first wait before a channel is opened again that was lost while its connection lives; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What listens on a connection as long as that lasts, and then on the next one.
pub(super) trait Listener: Send {
    /// What it is called in errors.
    const OP: &'static str;

    /// Listens; calls `ready` when the broker delivers. `Ok` when its owner is gone, else why the channel is lost. Dropped
    /// at any point when the connection is.
    fn serve(
        &mut self,
        session: &Session,
        ready: &mut Ready,
    ) -> impl Future<Output = lapin::Result<()>> + Send;

    /// The channel is gone, and all that was delivered over it comes again.
    fn void(&mut self) {}

    /// Waits, while there is no channel, until its owner is gone.
    fn until_unwanted(&mut self) -> impl Future<Output = ()> + Send;
}

/// Tells whoever opens a listener, once, what became of it.
pub(super) struct Ready(Option<oneshot::Sender<Result<()>>>);

impl Ready {
    pub(super) fn yes(&mut self) {
        self.tell(Ok(()));
    }

    fn tell(&mut self, outcome: Result<()>) {
        if let Some(teller) = self.0.take() {
            let _ = teller.send(outcome);
        }
    }
}

/// Starts a listener. Returns when the broker delivers to it, and at once while there is no broker; fails where the broker
/// is there and refuses.
pub(super) async fn start(link: &Arc<Link>, listener: impl Listener + 'static) -> Result<()> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(attend(Arc::clone(link), listener, Ready(Some(tell))));
    told.await.unwrap_or(Ok(()))
}

async fn attend<L: Listener>(link: Arc<Link>, mut listener: L, mut ready: Ready) {
    let mut state = link.watch();
    let mut failures = 0_u32;
    loop {
        let now = state.borrow_and_update().clone();
        let session = match now {
            State::Up(session) => session,
            State::Away(_) => {
                ready.yes();
                tokio::select! {
                    changed = state.changed() => if changed.is_err() { return },
                    () = listener.until_unwanted() => return,
                }
                continue;
            }
            State::Closed => return,
        };
        let served = tokio::select! {
            served = listener.serve(&session, &mut ready) => served,
            () = link.ended(&session) => Err(ended()),
        };
        listener.void();
        let Err(why) = served else { return };
        if session.status().connected() && ready.0.is_some() {
            return ready.tell(Err(link.failed(L::OP, &why)));
        }
        ready.yes();
        tracing::debug!("{} lost its channel: {why}", L::OP);
        failures += 1;
        let wait = FIRST_WAIT.saturating_mul(1 << failures.min(10)).min(LONGEST_WAIT);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = link.ended(&session) => failures = 0,
            () = listener.until_unwanted() => return,
        }
    }
}

/// The broker has ended a consumer: its queue was deleted, or its node has failed.
pub(super) fn ended() -> lapin::Error {
    lapin::ErrorKind::InvalidChannelState(lapin::ChannelState::Closed, "its consumer was ended")
        .into()
}
