//! ZeroMQ keeps what the transport trait promises, inside a process, between two ends, and with keys; and what a network,
//! strangers and slow clients demand besides. Real sockets on loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "zeromq/ends.rs"]
mod ends;
#[path = "zeromq/keys.rs"]
mod keys;
#[path = "support/log.rs"]
mod log;
#[path = "zeromq/network.rs"]
mod network;
#[path = "network/proxy.rs"]
mod proxy;
#[path = "zeromq/strangers.rs"]
mod strangers;
#[path = "support/wrapped.rs"]
mod wrapped;

use std::sync::Arc;

use async_trait::async_trait;
use pybit_core::conformance::{Fixture, TRANSPORT, run};
use pybit_core::transport::Transport;

use ends::{Curve, Pair, bind};
use wrapped::{late_and_reordered, traced};

/// One transport that is server and client of the same process.
struct Inside;

#[async_trait]
impl Fixture<dyn Transport> for Inside {
    async fn fresh(&self) -> Arc<dyn Transport> {
        Arc::new(bind(&[]))
    }
}

/// Server and client as two transports.
struct Apart(Option<Curve>);

#[async_trait]
impl Fixture<dyn Transport> for Apart {
    async fn fresh(&self) -> Arc<dyn Transport> {
        Arc::new(Pair::new(self.0.as_ref()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_listens_to_itself_conforms() {
    assert_eq!(run(TRANSPORT, &Inside).await, TRANSPORT.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_ends_conform() {
    assert_eq!(run(TRANSPORT, &Apart(None)).await, TRANSPORT.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_ends_with_keys_conform() {
    // Several clients of the suite share the one connection: the list lets each in by a key of its own.
    assert_eq!(run(TRANSPORT, &Apart(Some(Curve::new()))).await, TRANSPORT.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_arrangements_conform_when_traced() {
    assert_eq!(run(TRANSPORT, &traced(Inside)).await, TRANSPORT.len());
    assert_eq!(run(TRANSPORT, &traced(Apart(None))).await, TRANSPORT.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hints_of_zeromq_that_are_delayed_and_reordered_break_no_promise() {
    assert_eq!(run(TRANSPORT, &late_and_reordered(Inside)).await, TRANSPORT.len());
    assert_eq!(run(TRANSPORT, &late_and_reordered(Apart(None))).await, TRANSPORT.len());
}
