//! RabbitMQ keeps what the transport trait promises, and what a network and a broker demand besides. Runs against a real
//! broker: `PYBIT_TEST_AMQP_URL` names it, with a user who may do everything on its virtual host.
//!
//! Each test is a farm of a name of its own, so that they share one virtual host and nothing else.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "rabbitmq/broker.rs"]
mod broker;
#[path = "rabbitmq/farms.rs"]
mod farms;
#[path = "rabbitmq/foreign.rs"]
mod foreign;
#[path = "support/log.rs"]
mod log;
#[path = "rabbitmq/network.rs"]
mod network;
#[path = "network/proxy.rs"]
mod proxy;
#[path = "rabbitmq/refusals.rs"]
mod refusals;
#[path = "rabbitmq/tls.rs"]
mod tls;
#[path = "support/wrapped.rs"]
mod wrapped;

use std::sync::Arc;

use async_trait::async_trait;
use pybit_backends::rabbitmq::RabbitTransport;
use pybit_core::conformance::{Fixture, TRANSPORT, run};
use pybit_core::settings::Settings;
use pybit_core::transport::Transport;

use wrapped::{late_and_reordered, traced};

/// A fresh farm on the broker for each case.
struct Farms {
    queues: &'static str,
}

#[async_trait]
impl Fixture<dyn Transport> for Farms {
    async fn fresh(&self) -> Arc<dyn Transport> {
        let mut settings = broker::farm();
        settings.options.insert("queues".to_owned(), self.queues.into());
        Arc::new(open(&settings).await)
    }
}

async fn open(settings: &Settings) -> RabbitTransport {
    RabbitTransport::open(settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs RabbitMQ"]
async fn rabbitmq_conforms() {
    assert_eq!(run(TRANSPORT, &Farms { queues: "classic" }).await, TRANSPORT.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs RabbitMQ"]
async fn quorum_queues_conform() {
    assert_eq!(run(TRANSPORT, &Farms { queues: "quorum" }).await, TRANSPORT.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs RabbitMQ"]
async fn rabbitmq_conforms_when_traced() {
    let farms = traced(Farms { queues: "classic" });
    assert_eq!(run(TRANSPORT, &farms).await, TRANSPORT.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs RabbitMQ"]
async fn hints_of_rabbitmq_that_are_delayed_and_reordered_break_no_promise() {
    let farms = late_and_reordered(Farms { queues: "classic" });
    assert_eq!(run(TRANSPORT, &farms).await, TRANSPORT.len());
}
