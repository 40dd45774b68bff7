//! Repositories: their results, keys and files.

use std::os::unix::fs::symlink;
use std::time::Duration;

use pybit_core::clock::{Clock, SystemClock};
use pybit_core::model::Health;
use pybit_core::protocol::RepositoryKey;
use serde_json::json;

use crate::support::{Answer, Server};

const KEY: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc=\n-----END PGP PUBLIC KEY BLOCK-----\n";

#[tokio::test]
async fn a_watcher_tells_key_and_address() {
    let server = Server::start().await;
    let api = server.api(&server.publish);
    let key = |public_key: &str, url: &str| RepositoryKey {
        public_key: public_key.to_owned(),
        health: None,
        url: url.to_owned(),
    };
    let name = "trixie".parse().unwrap();
    api.put_repository_key(&name, &key(KEY, "http://h:1/repositories/trixie")).await.unwrap();
    let catalogue = api.catalogue().await.unwrap();
    assert_eq!(catalogue.repositories[0].url.as_deref(), Some("http://h:1/repositories/trixie"));
    assert_eq!(catalogue.repositories[0].public_key.as_deref(), Some(KEY));
    for (public_key, url) in [
        ("a key", "http://h/"),
        (KEY, "ftp://h/"),
        (KEY, "http://h/ x"),
        (KEY, "http://u:p@h/"),
        (KEY, "http://h/\nTrusted: yes"),
        (&KEY.replace("abc=", "\u{1b}"), "http://h/"),
    ] {
        let error = api.put_repository_key(&name, &key(public_key, url)).await.unwrap_err();
        assert_eq!(error.status, Some(422), "{url}");
    }
    let none = api.put_repository_key(&"sid".parse().unwrap(), &key(KEY, "http://h/")).await;
    assert_eq!(none.unwrap_err().status, Some(404));
}

#[tokio::test]
async fn an_order_that_is_asked_for_again_with_its_key_is_the_first_one() {
    let server = Server::start().await;
    let order = async |body: serde_json::Value, key: &str| {
        let send = server.request("POST", "/api/v1/repositories/trixie/orders");
        let send = send.bearer_auth(&server.admin).header("Idempotency-Key", key);
        server.send(send.json(&body)).await
    };
    let remove = json!({"kind": "remove", "package": "hello", "reason": "broken"});
    let first = order(remove.clone(), "once").await;
    let again = order(remove.clone(), "once").await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json(), again.json());
    let other =
        order(json!({"kind": "remove", "package": "other", "reason": "broken"}), "once").await;
    assert_eq!((other.status, other.code().as_str()), (422, "idempotency_key_reused"));
    assert_ne!(order(remove, "twice").await.json()["id"], first.json()["id"]);
}

#[tokio::test]
async fn what_ends_soon_is_told_and_makes_no_server_unready() {
    let server = Server::start().await;
    let (now, day) = (SystemClock.now(), Duration::from_hours(24));
    let health = Health {
        key_expires_at: Some(now.plus(20 * day)),
        dated_at: Some(now),
        valid_until: Some(now.plus(14 * day)),
        trouble: None,
    };
    let tell = async |health: Health| {
        let key = RepositoryKey {
            public_key: KEY.to_owned(),
            url: "http://h:1/repositories/trixie".to_owned(),
            health: Some(health),
        };
        let api = server.api(&server.publish);
        api.put_repository_key(&"trixie".parse().unwrap(), &key).await.unwrap();
        let ready = server.get("/readyz").await;
        assert_eq!(ready.status, 200);
        let text = |answer: Answer| String::from_utf8(answer.bytes.to_vec()).unwrap();
        (text(ready), text(server.get("/metrics").await))
    };
    let (ready, metrics) = tell(health.clone()).await;
    assert!(ready.contains("the key of the repository trixie expires at"), "{ready}");
    for (name, days) in [("key_expires", 20), ("valid_until", 14)] {
        let name = format!("pybit_repository_{name}_seconds{{repository=\"trixie\"}} ");
        let value = metrics.lines().find_map(|l| l.strip_prefix(&name));
        let left: u64 = value.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap();
        assert!((days * 86_400 - 60..=days * 86_400).contains(&left), "{name}{left}");
    }
    let fine = Health { key_expires_at: None, ..health };
    let (ready, metrics) = tell(fine).await;
    assert!(!ready.contains("warnings") && !metrics.contains("key_expires_seconds{"), "{ready}");
}

#[tokio::test]
async fn nothing_uploaded_is_an_empty_list_after_the_wait() {
    let server = Server::start().await;
    let api = server.api(&server.publish);
    assert!(api.uploaded(&"trixie".parse().unwrap(), None, 50).await.unwrap().is_empty());
    for (what, body) in [
        ("published", json!({"attempt": 1, "snapshot": "1"})),
        ("rejected", json!({"attempt": 1, "reason": "x"})),
    ] {
        let job = server.source_job(&format!("p{what}")).await.id;
        let answer =
            server.post(&format!("/api/v1/jobs/{job}/{what}"), &server.publish, &body).await;
        assert_eq!(answer.status, 409, "{what}: it is not built");
    }
}

#[tokio::test]
async fn a_repository_is_served_from_its_current_snapshot() {
    let server = Server::start().await;
    let root = server.repositories.join("trixie");
    for n in ["1", "2"] {
        let dists = root.join("snapshots").join(n).join("dists/trixie");
        std::fs::create_dir_all(dists.join("by-hash/SHA256")).unwrap();
        std::fs::write(dists.join("InRelease"), format!("Release {n}")).unwrap();
    }
    std::fs::create_dir_all(root.join("gnupg")).unwrap();
    std::fs::write(root.join("gnupg/secret"), "secret").unwrap();
    std::fs::write(server.repositories.join("outside"), "secret").unwrap();
    symlink("snapshots/1", root.join("current")).unwrap();
    symlink("../../gnupg/secret", root.join("snapshots/1/leak")).unwrap();
    let path = "/repositories/trixie/dists/trixie/InRelease";
    let first = server.get(path).await;
    assert_eq!((first.status, &first.bytes[..]), (200, &b"Release 1"[..]));
    assert_eq!(first.headers["content-length"], "9");
    assert!(first.headers.contains_key("last-modified"));
    let tag = first.headers["etag"].clone();
    let again = server.send(server.request("GET", path).header("If-None-Match", &tag)).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    let head = server.send(server.request("HEAD", path)).await;
    assert_eq!(
        (head.status, head.bytes.len(), &head.headers["content-length"]),
        (200, 0, &first.headers["content-length"])
    );
    std::fs::remove_file(root.join("current")).unwrap();
    symlink("snapshots/2", root.join("current")).unwrap();
    let second = server.send(server.request("GET", path).header("If-None-Match", &tag)).await;
    assert_eq!((second.status, &second.bytes[..]), (200, &b"Release 2"[..]));
    std::fs::remove_file(root.join("current")).unwrap();
    symlink("snapshots/1", root.join("current")).unwrap();
    for path in [
        "/repositories/trixie/leak",
        "/repositories/trixie/..%2f..%2fgnupg%2fsecret",
        "/repositories/trixie/%2e%2e/gnupg/secret",
        "/repositories/..%2foutside/x",
        "/repositories/trixie/dists",
        "/repositories/trixie/dists/",
        "/repositories/trixie/dists/trixie/InRelease/x",
        "/repositories/trixie/%00",
        "/repositories/sid/x",
        "/repositories/trixie/nothing",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!String::from_utf8_lossy(&answer.bytes).contains("secret"));
    }
}

#[tokio::test]
async fn a_directory_with_a_page_is_served_as_it_and_is_named_with_a_slash() {
    let server = Server::start().await;
    let header = |answer: &Answer, name: &str| answer.headers[name].to_str().unwrap().to_owned();
    let root = server.repositories.join("trixie");
    let simple = root.join("snapshots/1/simple/hello");
    std::fs::create_dir_all(&simple).unwrap();
    let page = "<a href=\"../x\">x</a>";
    std::fs::write(simple.join("index.html"), page).unwrap();
    for file in ["x.whl", "x.whl.metadata", "x.tar.gz", "x.whl.asc"] {
        std::fs::write(simple.join(file), file).unwrap();
    }
    symlink("snapshots/1", root.join("current")).unwrap();
    for (file, kind) in [
        ("", "text/html; charset=utf-8"),
        ("index.html", "text/html; charset=utf-8"),
        ("x.whl", "application/zip"),
        ("x.tar.gz", "application/gzip"),
        ("x.whl.metadata", "text/plain; charset=utf-8"),
        ("x.whl.asc", "text/plain; charset=utf-8"),
    ] {
        let answer = server.get(&format!("/repositories/trixie/simple/hello/{file}")).await;
        assert_eq!(
            (answer.status, header(&answer, "content-type")),
            (200, kind.to_owned()),
            "{file}"
        );
        assert!(header(&answer, "content-security-policy").contains("sandbox"), "{file}");
    }
    // Whose links are relative: it must come from the address with the slash, which the client is led to.
    let moved = server.get("/repositories/trixie/simple/hello").await;
    assert_eq!((moved.status, moved.bytes), (200, page.into()));
    for absent in ["simple/", "simple", "simple/hello//", "simple/hello/x.whl/"] {
        assert_eq!(
            server.get(&format!("/repositories/trixie/{absent}")).await.status,
            404,
            "{absent}"
        );
    }
}
