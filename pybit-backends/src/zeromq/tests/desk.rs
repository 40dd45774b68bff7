//! A client's knowledge, event by event.

use pybit_core::conformance::support::{client, route};
use pybit_core::model::JobId;
use pybit_core::transport::{Delivery, Hint};
use tokio::sync::{mpsc, oneshot};

use crate::zeromq::client::Order;
use crate::zeromq::desk::{Desk, Kind, Opening};
use crate::zeromq::inbox::ZeroReceipt;
use crate::zeromq::mailbox::{Letters, mailbox};
use crate::zeromq::wire::{InboxId, Number, ToClient};

const INBOX: InboxId = InboxId(7);

/// A desk with a way to one server and an inbox of one credit, and what its receipts say.
struct Ears {
    desk: Desk,
    hints: mpsc::Receiver<Delivery>,
    receipts: Letters<Order>,
}

impl Ears {
    fn open() -> Self {
        let (orders, receipts) = mailbox().unwrap();
        let make_receipt = move |held| ZeroReceipt { held, orders: Some(orders.clone()) };
        let mut desk = Desk::new(1, Box::new(make_receipt));
        desk.connected(0);
        let (hints_in, hints) = mpsc::channel(1);
        let kind = Kind::Hints { routes: vec![route("amd64")], credit: 1, hints: hints_in };
        let (ready, _) = oneshot::channel();
        desk.open(Opening { inbox: INBOX, client: client("tahr"), kind, ready });
        Self { desk, hints, receipts }
    }

    fn hear(&mut self, number: Number, job: i64) {
        let hint = Hint::new(route("amd64"), Some(JobId(job)));
        self.desk.hear(0, ToClient::Hint { inbox: INBOX, number, hint });
    }

    fn reconnect(&mut self) {
        self.desk.lost(0);
        self.desk.connected(0);
    }

    /// Tells the desk what the receipts have said; how many of them it passed on to the server.
    fn settle(&mut self) -> usize {
        let mut passed_on = 0;
        while let Some(order) = self.receipts.take() {
            let Order::Back(held) = order else { panic!("{order:?}") };
            passed_on += usize::from(self.desk.settle(held, false).is_some());
            self.desk.settled(held.inbox);
        }
        passed_on
    }
}

/// One whose owner has not read the hint that the lost connection brought, nor the one that came over the next.
fn behind() -> Ears {
    let mut ears = Ears::open();
    ears.hear(1, 1);
    ears.reconnect();
    ears.hear(2, 2);
    assert_eq!(ears.settle(), 0, "nothing goes back: the server would send it again at once");
    ears
}

#[test]
fn a_hint_waits_while_a_void_one_lies_unread_and_comes_when_that_is_let_go() {
    let mut ears = behind();
    let void = ears.hints.try_recv().unwrap();
    assert_eq!(void.hint.job, Some(JobId(1)));
    drop(void);
    assert_eq!(ears.settle(), 0, "the server knows nothing of it any more");
    assert_eq!(ears.hints.try_recv().unwrap().hint.job, Some(JobId(2)));
    assert_eq!(ears.settle(), 1);
}

#[test]
fn a_hint_behind_a_void_one_that_is_held_comes_with_the_next_beat() {
    let mut ears = behind();
    let _void = ears.hints.try_recv().unwrap();
    assert!(ears.hints.try_recv().is_err());
    ears.desk.beat();
    assert_eq!(ears.hints.try_recv().unwrap().hint.job, Some(JobId(2)));
}
