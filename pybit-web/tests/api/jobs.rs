//! Jobs as people see and end them.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn lists_page_and_narrow() {
    let server = Server::start().await;
    for n in 0..5 {
        server.source_job(&format!("p{n}")).await;
    }
    let ids = async |query: &str| -> Vec<i64> {
        let answer = server.get(&format!("/api/v1/jobs?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        answer.json().as_array().unwrap().iter().map(|j| j["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids("").await, [5, 4, 3, 2, 1]);
    assert_eq!(ids("limit=2").await, [5, 4]);
    assert_eq!(ids("limit=2&before=4").await, [3, 2]);
    assert_eq!(ids("limit=1000000000").await, [5, 4, 3, 2, 1], "(42) as many as there may be");
    assert_eq!(ids("package=p3").await, [4]);
    assert_eq!(
        ids("status=waiting&suite=bookworm&arch=source&dist=Debian&submission=2").await,
        [2]
    );
    assert!(ids("client=one").await.is_empty());
    for (query, status) in [
        ("sort=id;drop%20table%20job", 400),
        ("limit=0", 400),
        ("limit=-1", 400),
        ("limit=x", 400),
        ("before=9223372036854775808", 400),
        ("limit=1&limit=2", 400),
        ("suite=%23", 422),
        ("suite=a.b", 422),
        ("status=Sleeping", 422),
    ] {
        // (22, 37, 41, 42)
        assert_eq!(server.get(&format!("/api/v1/jobs?{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn cancelling_and_trying_again() {
    let server = Server::start().await;
    let job = server.source_job("hello").await.id;
    let path = format!("/api/v1/jobs/{job}");
    let why = server.get(&format!("{path}/why")).await.json();
    assert!(why["summary"].as_str().unwrap().contains("No build client"), "{why}");
    let early = server.post(&format!("{path}/retry"), &server.submit, &json!({})).await;
    assert_eq!((early.status, early.code().as_str()), (409, "not_retryable"));
    let cancel = server.request("POST", &format!("{path}/cancel")).bearer_auth(&server.submit);
    let cancelled = server.send(cancel).await;
    assert_eq!(
        (cancelled.status, cancelled.json()["status"].as_str()),
        (200, Some("Cancelled")),
        "without a body"
    );
    let ask = |key| {
        let request = server.request("POST", &format!("{path}/retry"));
        server.send(request.bearer_auth(&server.submit).header("idempotency-key", key))
    };
    let again = ask("k").await;
    assert_eq!((again.status, again.json()["retries_of"].as_i64()), (201, Some(job.0)));
    let lost = ask("k").await;
    assert_eq!((lost.status, &lost.json()["id"]), (201, &again.json()["id"]), "asked again");
    let other = ask("l").await;
    assert_eq!(other.status, 201, "a retry of its own");
    assert_ne!(other.json()["id"], again.json()["id"]);
    let detail = server.get(&path).await.json();
    assert_eq!(detail["events"].as_array().unwrap().len(), 2);
    assert_eq!(detail["events"][1]["actor"], "submit");
}

#[tokio::test]
async fn cancelling_many_needs_to_know_which() {
    let server = Server::start().await;
    for package in ["a1", "a1x", "b1"] {
        server.source_job(package).await;
    }
    for body in [json!({}), json!({"all": true, "package": "a1"}), json!({"all": false})] {
        let answer = server.post("/api/v1/jobs/cancel", &server.submit, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "which_jobs"));
    }
    let one = server.post("/api/v1/jobs/cancel", &server.submit, &json!({"package": "a1"})).await;
    assert_eq!(one.json().as_array().unwrap().len(), 1);
    let all = server.post("/api/v1/jobs/cancel", &server.submit, &json!({"all": true})).await;
    assert_eq!(all.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn unknown_jobs_are_not_found_and_bad_numbers_are_unreadable() {
    let server = Server::start().await;
    for (id, status) in [
        ("7", 404),
        ("0", 400),
        ("-0", 400),
        ("x", 400),
        ("9223372036854775808", 400),
        ("1e3", 400),
    ] {
        for what in ["", "/why", "/log", "/log/stream", "/files/a"] {
            let answer = server.get(&format!("/api/v1/jobs/{id}{what}")).await;
            assert_eq!(answer.status, status, "{id}{what}");
        }
    }
}

#[tokio::test]
async fn packages_and_clients_are_listed() {
    let server = Server::start().await;
    assert_eq!(server.get("/api/v1/packages?search=he&limit=5").await.json(), json!([]));
    assert_eq!(server.get("/api/v1/packages?after=a%20b").await.status, 422);
    assert_eq!(server.get("/api/v1/packages?search=%00").await.status, 400);
    server.held_job("hello").await;
    let clients = server.get("/api/v1/clients").await.json();
    assert_eq!((&clients[0]["name"], &clients[0]["holds"]), (&json!("one"), &json!(1)));
    assert_eq!(
        server.post("/api/v1/clients/one/drain", &server.admin, &json!({})).await.status,
        204
    );
    assert_eq!(server.get("/api/v1/clients").await.json()[0]["draining"], true);
    assert_eq!(
        server.post("/api/v1/clients/one/resume", &server.admin, &json!({})).await.status,
        204
    );
    assert_eq!(
        server.post("/api/v1/clients/two/drain", &server.admin, &json!({})).await.code(),
        "unknown_client"
    );
}
