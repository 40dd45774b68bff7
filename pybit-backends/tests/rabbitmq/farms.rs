//! Several farms, and several servers of one, on a virtual host.

use pybit_core::ErrorKind;
use pybit_core::conformance::support::route;
use pybit_core::transport::{Hint, Transport};

use super::network::{through_proxy, until_healthy};
use super::{broker, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn two_farms_on_one_virtual_host_are_refused_unless_named_apart() {
    let settings = broker::farm();
    let (first, second, foreign) =
        (open(&settings).await, open(&settings).await, open(&settings).await);
    first.serve_farm("aaaa").await.unwrap();
    second.serve_farm("aaaa").await.expect("another server of the same farm");
    let refused = foreign.serve_farm("bbbb").await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "foreign_farm"));
    let said = refused.to_string();
    let marker = format!("{}.farm", broker::name(&settings));
    assert!(said.contains("transport.name") && said.contains(&marker), "{said}");
    open(&broker::farm()).await.serve_farm("bbbb").await.expect("a name of its own");
    // The farm that is gone has left its marker; who deletes it frees the name.
    let (_connection, channel) = broker::look().await;
    broker::delete(&channel, &marker).await;
    foreign.serve_farm("bbbb").await.expect("the name is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs RabbitMQ"]
async fn a_farm_that_started_without_the_broker_is_refused_before_it_sends() {
    let settings = broker::farm();
    open(&settings).await.serve_farm("aaaa").await.unwrap();
    let (proxy, near) = through_proxy(&settings).await;
    proxy.down();
    let foreign = open(&near).await;
    foreign.serve_farm("bbbb").await.expect("it cannot be asked now");
    proxy.mend();
    let refused = async {
        loop {
            let error = foreign.publish(&Hint::new(route("amd64"), None)).await.unwrap_err();
            if error.code() == "foreign_farm" {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(broker::DEADLINE, refused).await.expect("it is refused in time");
    assert!(until_healthy(&foreign, false).await.contains("another farm"));
}
