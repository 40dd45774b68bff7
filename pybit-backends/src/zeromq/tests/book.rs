//! The server's knowledge, event by event.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use pybit_core::conformance::support::route;
use pybit_core::model::JobId;
use pybit_core::transport::{Command, Hint, Recipient};

use crate::zeromq::book::{Book, Speaker};
use crate::zeromq::wire::{InboxId, Number, ToClient, ToServer};

const PATIENCE: Duration = Duration::from_secs(6);

fn hint(job: i64) -> Hint {
    Hint::new(route("amd64"), Some(JobId(job)))
}

/// A book, its time, and what clients were handed.
struct Farm {
    book: Book,
    now: Instant,
    /// Jobs in the hands of each inbox, as its client knows them.
    hands: BTreeMap<u64, BTreeMap<Number, i64>>,
}

impl Farm {
    fn new() -> Self {
        Self { book: Book::new(PATIENCE), now: Instant::now(), hands: BTreeMap::new() }
    }

    fn say(&mut self, peer: &str, message: ToServer) -> Vec<(String, ToClient)> {
        let speaker = Speaker { peer: peer.as_bytes(), owner: None };
        self.book.hear(speaker, message, self.now);
        self.sent()
    }

    fn listen(&mut self, peer: &str, inbox: u64, credit: u32) -> Vec<(String, ToClient)> {
        let (inbox, client) = (InboxId(inbox), "tahr".parse().unwrap());
        let routes = vec![route("amd64")];
        self.say(peer, ToServer::Hints { inbox, client, routes, credit })
    }

    fn publish(&mut self, job: i64) -> Vec<(String, ToClient)> {
        self.book.publish(hint(job));
        self.sent()
    }

    /// What goes out, and into hands.
    fn sent(&mut self) -> Vec<(String, ToClient)> {
        let mut sent = Vec::new();
        while let Some((peer, message)) = self.book.next_message() {
            if let ToClient::Hint { inbox, number, hint } = &message {
                self.hands.entry(inbox.0).or_default().insert(*number, hint.job.unwrap().0);
            }
            sent.push((String::from_utf8(peer).unwrap(), message));
        }
        sent
    }
}

/// The jobs of the hints among messages, with whom they went to.
fn jobs(sent: &[(String, ToClient)]) -> Vec<(&str, i64)> {
    let mut jobs = Vec::new();
    for (peer, message) in sent {
        if let ToClient::Hint { hint, .. } = message {
            jobs.push((peer.as_str(), hint.job.unwrap().0));
        }
    }
    jobs
}

#[test]
fn hints_go_in_turn_to_those_with_room() {
    let mut farm = Farm::new();
    farm.listen("a", 1, 2);
    farm.listen("b", 2, 1);
    let mut went = Vec::new();
    for job in 1..=4 {
        let sent = farm.publish(job);
        went.extend(jobs(&sent).iter().map(|(peer, job)| (peer.to_string(), *job)));
    }
    let went: Vec<_> = went.iter().map(|(peer, job)| (peer.as_str(), *job)).collect();
    assert_eq!(went, [("a", 1), ("b", 2), ("a", 3)]);
    assert_eq!(farm.book.depth(&route("amd64")), 1);
    let sent = farm.say("b", ToServer::Done { inbox: InboxId(2), number: 2 });
    assert_eq!(jobs(&sent), [("b", 4)]);
    assert_eq!(farm.book.depth(&route("amd64")), 0);
}

#[test]
fn what_a_lost_or_silent_client_held_goes_to_the_next_one_in_order() {
    for by_silence in [true, false] {
        let mut farm = Farm::new();
        farm.listen("a", 1, 3);
        for job in 1..=3 {
            farm.publish(job);
        }
        farm.now += PATIENCE + Duration::from_millis(1);
        assert!(jobs(&farm.listen("b", 2, 3)).is_empty());
        if by_silence {
            farm.book.tick(farm.now);
        } else {
            farm.book.lost(b"a");
        }
        assert_eq!(jobs(&farm.sent()), [("b", 1), ("b", 2), ("b", 3)]);
        // The receipts of the first one mean nothing any more.
        assert!(farm.say("a", ToServer::Back { inbox: InboxId(1), number: 1 }).is_empty());
    }
}

#[test]
fn an_announcement_keeps_what_is_held_on_its_connection_and_returns_it_on_another() {
    let mut farm = Farm::new();
    farm.listen("a", 1, 1);
    farm.publish(1);
    assert!(jobs(&farm.listen("a", 1, 1)).is_empty(), "a beat");
    assert_eq!(jobs(&farm.listen("a2", 1, 1)), [("a2", 1)], "a new connection");
    assert!(jobs(&farm.publish(2)).is_empty(), "the hand is full");
}

#[test]
fn an_inbox_belongs_to_its_client_and_its_key() {
    let mut farm = Farm::new();
    let announce =
        |client: &str| ToServer::Commands { inbox: InboxId(1), client: client.parse().unwrap() };
    let mut say = |owner: Option<&'static str>, message| {
        farm.book.hear(Speaker { peer: b"p", owner }, message, farm.now);
        farm.sent().pop().map(|(_, message)| matches!(message, ToClient::Heard { .. }))
    };
    assert_eq!(say(Some("tahr"), announce("emu")), Some(false), "another's key");
    assert_eq!(say(Some("tahr"), announce("tahr")), Some(true));
    assert_eq!(say(Some("emu"), announce("emu")), Some(false), "another's inbox");
    assert_eq!(say(Some("emu"), ToServer::Bye { inbox: InboxId(1) }), None);
    assert_eq!(say(Some("tahr"), announce("tahr")), Some(true), "it is still there");
}

#[test]
fn commands_go_to_listeners_only() {
    let mut farm = Farm::new();
    farm.listen("a", 1, 1);
    let listen = |inbox, client: &str| ToServer::Commands {
        inbox: InboxId(inbox),
        client: client.parse().unwrap(),
    };
    farm.say("a", listen(2, "tahr"));
    farm.say("b", listen(3, "emu"));
    let mut tell = |to: Recipient| {
        farm.book.command(&to, &Command::Beat);
        farm.sent().into_iter().map(|(peer, _)| peer).collect::<Vec<_>>()
    };
    assert_eq!(tell(Recipient::Client("emu".parse().unwrap())), ["b"]);
    assert_eq!(tell(Recipient::Client("gnu".parse().unwrap())), [""; 0]);
    assert_eq!(tell(Recipient::All), ["a", "b"]);
}

#[derive(Debug, Clone)]
enum Step {
    Publish,
    Listen { inbox: u64, peer: u8, credit: u32 },
    Settle { inbox: u64, done: bool },
    Bye { inbox: u64 },
    Lost { peer: u8 },
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Publish),
        3 => (0..4u64, 0..3u8, 0..4u32)
            .prop_map(|(inbox, peer, credit)| Step::Listen { inbox, peer, credit }),
        4 => (0..4u64, any::<bool>()).prop_map(|(inbox, done)| Step::Settle { inbox, done }),
        1 => (0..4u64).prop_map(|inbox| Step::Bye { inbox }),
        1 => (0..3u8).prop_map(|peer| Step::Lost { peer }),
        1 => Just(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, every published hint that nobody has finished reaches whoever listens at the end.
    #[test]
    fn no_hint_is_lost_or_finished_twice(steps in prop::collection::vec(step(), 1..200)) {
        let mut farm = Farm::new();
        let mut unfinished = std::collections::BTreeSet::new();
        let mut published = 0;
        for step in steps {
            match step {
                Step::Publish => {
                    published += 1;
                    unfinished.insert(published);
                    farm.publish(published);
                }
                Step::Listen { inbox, peer, credit } => {
                    farm.listen(&peer.to_string(), inbox, credit);
                }
                Step::Settle { inbox, done } => {
                    let Some((number, job)) = farm.hands.entry(inbox).or_default().pop_first()
                    else { continue };
                    let id = InboxId(inbox);
                    let held = farm.book.holds(id, number);
                    if done && held {
                        prop_assert!(unfinished.remove(&job), "job {} was finished before", job);
                    }
                    let word = if done {
                        ToServer::Done { inbox: id, number }
                    } else {
                        ToServer::Back { inbox: id, number }
                    };
                    farm.say("0", word);
                }
                Step::Bye { inbox } => {
                    farm.say("0", ToServer::Bye { inbox: InboxId(inbox) });
                }
                Step::Lost { peer } => {
                    farm.book.lost(peer.to_string().as_bytes());
                    farm.sent();
                }
                Step::Pass => {
                    farm.now += PATIENCE / 2;
                    farm.book.tick(farm.now);
                    farm.sent();
                }
            }
        }
        for inbox in 0..4 {
            farm.say("0", ToServer::Bye { inbox: InboxId(inbox) });
        }
        farm.hands.clear();
        let found = farm.listen("end", 99, 1000);
        let mut found: Vec<_> = jobs(&found).into_iter().map(|(_, job)| job).collect();
        found.sort_unstable();
        prop_assert_eq!(found, unfinished.into_iter().collect::<Vec<_>>());
    }
}
