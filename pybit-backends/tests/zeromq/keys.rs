//! CURVE: who may connect, and as whom.

use pybit_core::ErrorKind;
use pybit_core::conformance::support::{client, route};
use pybit_core::model::JobId;
use pybit_core::transport::Transport;

use super::ends::{
    Curve, DEADLINE, address, bind, connect, hint, next, until_depth, until_healthy,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_listed_is_refused_until_it_is() {
    let curve = Curve::new();
    let server = bind(&curve.server_options());
    let remote = connect(address(&server), &curve.client_options("tahr"));
    let mut hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    let said = async {
        loop {
            let said = until_healthy(&remote, false).await;
            if !said.contains("does not answer") {
                return said;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let said = tokio::time::timeout(DEADLINE, said).await.expect("the server says why in time");
    assert!(said.contains("refuses this client's key"), "{said}");
    server.publish(&hint(1)).await.unwrap();
    assert_eq!(server.depth(&route("amd64")).await.unwrap(), 1, "nobody has come");
    curve.list("tahr", "tahr");
    // Neither end starts again.
    assert_eq!(next(&mut *hints).await.hint.job, Some(JobId(1)));
    until_healthy(&remote, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_key_is_not_believed() {
    let (curve, other) = (Curve::new(), Curve::new());
    curve.client_options("tahr");
    curve.list("tahr", "tahr");
    let server = bind(&curve.server_options());
    let mut options = curve.client_options("tahr");
    options[1] = other.client_options("tahr").swap_remove(1);
    let remote = connect(address(&server), &options);
    let _hints = remote.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    server.publish(&hint(1)).await.unwrap();
    let said = until_healthy(&remote, false).await;
    assert!(said.contains("the ZeroMQ server tcp://127.0.0.1"), "{said}");
    assert_eq!(server.depth(&route("amd64")).await.unwrap(), 1, "nobody has come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_key_and_one_with_anothers_are_kept_out() {
    let curve = Curve::new();
    let server = bind(&curve.server_options());
    let plain = connect(address(&server), &[]);
    let _silent = plain.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    server.publish(&hint(1)).await.unwrap();
    until_healthy(&plain, false).await;
    assert_eq!(server.depth(&route("amd64")).await.unwrap(), 1, "nobody has come");

    let options = curve.client_options("tahr");
    curve.list("tahr", "tahr");
    let tahr = connect(address(&server), &options);
    let stolen = tahr.consume(&client("emu"), &[route("amd64")], 1).await.unwrap_err();
    assert_eq!(stolen.kind(), ErrorKind::Denied);
    assert!(stolen.to_string().contains("does not belong to the client emu"), "{stolen}");
    let stolen = tahr.commands(&client("emu")).await.unwrap_err();
    assert_eq!(stolen.kind(), ErrorKind::Denied);
    let mut own = tahr.consume(&client("tahr"), &[route("amd64")], 1).await.unwrap();
    assert_eq!(next(&mut *own).await.hint.job, Some(JobId(1)));
    until_depth(&server, &route("amd64"), 0).await;
}
