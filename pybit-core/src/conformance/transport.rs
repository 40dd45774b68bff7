//! What every [`Transport`] must do.

use super::{Case, cases};
use crate::transport::Transport;

/// Every bullet of [`Transport`]; what a transport is not capable of is left out.
pub const TRANSPORT: &[Case<dyn Transport>] = cases! {
    promises {
        another_farm_is_refused,
        a_published_hint_reaches_a_consumer_of_its_route,
        a_hint_waits_for_a_consumer if |t| t.capability().queues,
        ok_means_held,
        ok_of_many_means_each_is_held,
        credit_bounds_unacknowledged_hints if |t| t.capability().queues,
        a_wait_that_is_given_up_loses_no_hint,
        an_unacknowledged_hint_is_delivered_again if |t| t.capability().redelivers,
        commands_reach_their_client_or_all,
        depth_counts_waiting_hints if |t| t.capability().queues,
    }
};

mod promises {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::mpsc;

    use crate::conformance::support::{client, route, within};
    use crate::error::ErrorKind;
    use crate::model::{JobId, Route};
    use crate::transport::{Command, CommandInbox, Delivery, Hint, Inbox, Recipient, Transport};

    /// How long nothing must come where nothing may come; the only wait here that is not for an event.
    const QUIET: Duration = Duration::from_millis(300);

    type Wire = Arc<dyn Transport>;

    async fn publish(t: &Wire, route: &Route, job: i64) {
        t.publish(&Hint::new(route.clone(), Some(JobId(job)))).await.expect("published");
    }

    async fn consume(t: &Wire, name: &str, routes: &[Route], credit: u32) -> Box<dyn Inbox> {
        t.consume(&client(name), routes, credit).await.expect("an inbox")
    }

    async fn next(inbox: &mut dyn Inbox) -> Delivery {
        let delivery = within("a hint", inbox.next()).await.expect("an answer");
        delivery.expect("the transport is open")
    }

    /// The number of the job of the next hint, acknowledged.
    async fn next_job(inbox: &mut dyn Inbox) -> i64 {
        let delivery = next(inbox).await;
        let job = delivery.hint.job.expect("it names a job");
        delivery.receipt.ack().await.expect("acknowledged");
        job.0
    }

    pub(super) async fn another_farm_is_refused(t: Wire) {
        t.serve_farm("one").await.expect("the first farm");
        t.serve_farm("one").await.expect("the same farm, another server of it");
        let refused = t.serve_farm("two").await.expect_err("another farm");
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "foreign_farm"));
        publish(&t, &route("amd64"), 1).await;
        t.health().await.expect("the refused one changes nothing for the first");
    }

    pub(super) async fn a_published_hint_reaches_a_consumer_of_its_route(t: Wire) {
        let (mine, foreign) = (route("amd64"), route("arm64"));
        let (seen, mut arrivals) = mpsc::unbounded_channel();
        let mut consumers = Vec::new();
        let listens =
            [vec![mine.clone()], vec![route("armhf"), mine.clone()], vec![foreign.clone()]];
        for (n, routes) in listens.into_iter().enumerate() {
            let mut inbox = consume(&t, &format!("c{n}"), &routes, 4).await;
            let seen = seen.clone();
            consumers.push(tokio::spawn(async move {
                while let Ok(Some(delivery)) = inbox.next().await {
                    let hint = delivery.hint;
                    assert!(routes.contains(&hint.route), "{:?} at {routes:?}", hint.route);
                    delivery.receipt.ack().await.expect("acknowledged");
                    if seen.send((n, hint)).is_err() {
                        break;
                    }
                }
            }));
        }
        for job in 1..=20 {
            publish(&t, &mine, job).await;
            publish(&t, &foreign, 100 + job).await;
        }
        let mut jobs = Vec::new();
        for _ in 0..40 {
            let (n, hint) = within("a hint", arrivals.recv()).await.expect("consumers run");
            assert_eq!(n == 2, hint.route == foreign, "no other route's consumer gets it");
            jobs.push(hint.job.expect("it names a job").0);
        }
        jobs.sort_unstable();
        let expected: Vec<i64> = (1..=20).chain(101..=120).collect();
        assert_eq!(jobs, expected, "each hint reaches one consumer, once");
        for consumer in consumers {
            consumer.abort();
            let ended = consumer.await;
            assert!(ended.is_ok() || ended.is_err_and(|e| e.is_cancelled()), "no foreign hint");
        }
    }

    pub(super) async fn a_hint_waits_for_a_consumer(t: Wire) {
        publish(&t, &route("amd64"), 1).await;
        let rehint = Hint::new(route("arm64"), None);
        t.publish(&rehint).await.expect("published");
        let mut inbox = consume(&t, "late", &[route("amd64"), route("arm64")], 4).await;
        let (one, two) = (next(&mut *inbox).await, next(&mut *inbox).await);
        let expected = [Hint::new(route("amd64"), Some(JobId(1))), rehint];
        for hint in expected {
            assert!(one.hint == hint || two.hint == hint, "{hint:?} arrives as it was sent");
        }
    }

    pub(super) async fn ok_means_held(t: Wire) {
        t.health().await.expect("it can send");
        let route = route("amd64");
        let keeps = t.capability().queues;
        for job in 1..=30 {
            publish(&t, &route, job).await;
            let depth = t.depth(&route).await.expect("an answer");
            let expected = if keeps { job.unsigned_abs() } else { 0 };
            assert_eq!(depth, expected, "{job} hints were accepted");
        }
        if keeps {
            let mut inbox = consume(&t, "c", &[route], 30).await;
            let mut jobs = BTreeSet::new();
            for _ in 0..30 {
                jobs.insert(next_job(&mut *inbox).await);
            }
            assert_eq!(jobs, (1..=30).collect(), "every one that was accepted is there");
        }
    }

    pub(super) async fn ok_of_many_means_each_is_held(t: Wire) {
        let routes = [route("amd64"), route("arm64")];
        let hint = |n: i64| {
            let at = usize::try_from(n % 2).expect("0 or 1");
            Hint::new(routes[at].clone(), Some(JobId(n)))
        };
        let hints: Vec<_> = (1..=100).map(hint).collect();
        t.publish_all(&[]).await.expect("nothing is nothing");
        if !t.capability().queues {
            return t.publish_all(&hints).await.expect("published");
        }
        t.publish_all(&hints).await.expect("published");
        for route in &routes {
            assert_eq!(t.depth(route).await.expect("an answer"), 50);
        }
        let mut inbox = consume(&t, "c", &routes, 100).await;
        let mut jobs = BTreeSet::new();
        for _ in 0..100 {
            jobs.insert(next_job(&mut *inbox).await);
        }
        assert_eq!(jobs, (1..=100).collect());
    }

    pub(super) async fn credit_bounds_unacknowledged_hints(t: Wire) {
        let route = route("amd64");
        for job in 1..=5 {
            publish(&t, &route, job).await;
        }
        let mut greedy = consume(&t, "greedy", std::slice::from_ref(&route), 2).await;
        let held = next(&mut *greedy).await;
        let second = next(&mut *greedy).await;
        let third = tokio::time::timeout(QUIET, greedy.next()).await;
        assert!(third.is_err(), "a third one before one was acknowledged: {third:?}");
        // Another consumer gets all the rest: none of it is kept back for the one whose credit is used up.
        let mut other = consume(&t, "other", std::slice::from_ref(&route), 10).await;
        let mut jobs = BTreeSet::new();
        for _ in 0..3 {
            jobs.insert(next_job(&mut *other).await);
        }
        drop(other);
        jobs.extend([&held, &second].map(|d| d.hint.job.map_or(0, |j| j.0)));
        assert_eq!(jobs, (1..=5).collect());
        held.receipt.ack().await.expect("acknowledged");
        publish(&t, &route, 6).await;
        let third = next(&mut *greedy).await;
        assert_eq!(third.hint.job, Some(JobId(6)), "credit that is given back is used again");
    }

    pub(super) async fn a_wait_that_is_given_up_loses_no_hint(t: Wire) {
        let route = route("amd64");
        let mut inbox = consume(&t, "c", std::slice::from_ref(&route), 2).await;
        for job in 1..=20 {
            // Given up before anything is there, and again while it may be on its way.
            assert!(tokio::time::timeout(Duration::ZERO, inbox.next()).await.is_err());
            publish(&t, &route, job).await;
            let found = loop {
                let soon = tokio::time::timeout(Duration::from_micros(50), inbox.next());
                if let Ok(delivery) = soon.await {
                    break delivery.expect("an answer").expect("the transport is open");
                }
            };
            assert_eq!(found.hint.job, Some(JobId(job)));
            found.receipt.ack().await.expect("acknowledged");
        }
    }

    pub(super) async fn an_unacknowledged_hint_is_delivered_again(t: Wire) {
        let route = route("amd64");
        let routes = std::slice::from_ref(&route);
        let mut first = consume(&t, "first", routes, 1).await;
        publish(&t, &route, 1).await;
        drop(next(&mut *first).await);
        let again = next(&mut *first).await;
        assert_eq!(again.hint.job, Some(JobId(1)), "its receipt was dropped");
        drop(again);
        drop(first);
        let mut second = consume(&t, "second", routes, 1).await;
        assert_eq!(next_job(&mut *second).await, 1, "its inbox was dropped");
        publish(&t, &route, 2).await;
        assert_eq!(next_job(&mut *second).await, 2, "an acknowledged one does not come again");
    }

    async fn next_command(inbox: &mut dyn CommandInbox) {
        let command = within("a command", inbox.next()).await.expect("an answer");
        assert_eq!(command, Some(Command::Beat));
    }

    async fn is_quiet(inbox: &mut dyn CommandInbox) {
        let more = tokio::time::timeout(QUIET, inbox.next()).await;
        assert!(more.is_err(), "a command for somebody else: {more:?}");
    }

    pub(super) async fn commands_reach_their_client_or_all(t: Wire) {
        let listen = async |name| t.commands(&client(name)).await.expect("an inbox");
        let send = async |to: Recipient| t.send_command(&to, &Command::Beat).await.expect("sent");
        send(Recipient::Client(client("nobody"))).await;
        // A name that another begins with.
        let (mut one, mut twin, mut other) =
            (listen("tahr").await, listen("tahr").await, listen("tahr2").await);
        send(Recipient::Client(client("tahr"))).await;
        next_command(&mut *one).await;
        next_command(&mut *twin).await;
        send(Recipient::All).await;
        for inbox in [&mut one, &mut twin, &mut other] {
            next_command(&mut **inbox).await;
        }
        is_quiet(&mut *other).await;
        send(Recipient::Client(client("tahr2"))).await;
        next_command(&mut *other).await;
        is_quiet(&mut *one).await;
        drop((one, twin));
        send(Recipient::All).await;
        next_command(&mut *other).await;
    }

    pub(super) async fn depth_counts_waiting_hints(t: Wire) {
        let route = route("amd64");
        let depth = async |route: &Route| t.depth(route).await.expect("an answer");
        assert_eq!(depth(&route).await, 0, "an unknown route is empty");
        for job in 1..=3 {
            publish(&t, &route, job).await;
        }
        publish(&t, &self::route("arm64"), 4).await;
        assert_eq!(depth(&route).await, 3);
        let mut inbox = consume(&t, "c", std::slice::from_ref(&route), 1).await;
        for _ in 0..3 {
            next_job(&mut *inbox).await;
        }
        drop(inbox);
        assert_eq!((depth(&route).await, depth(&self::route("arm64")).await), (0, 1));
    }
}
