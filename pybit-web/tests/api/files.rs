//! Bytes that arrive in pieces.

use pybit_client::{Destination, Retry};
use pybit_core::model::{StreamOwner, UploadId};
use pybit_core::protocol::Manifest;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Server, on_disk, sha256, spec};

async fn declared(server: &Server, name: &str, bytes: &[u8]) -> String {
    let manifest = Manifest { attempt: 0, files: vec![spec(name, bytes)] };
    let upload = server.api(&server.submit).declare_upload(&manifest).await.unwrap();
    format!("/api/v1/uploads/{}/files/{name}", upload.id)
}

#[tokio::test]
async fn pieces_may_come_again_and_leave_no_gap() {
    let server = Server::start().await;
    let path = declared(&server, "a.tar", b"hello, world").await;
    let send = async |offset: u64, bytes: &'static [u8]| {
        let answer = server.patch(&format!("{path}?offset={offset}"), &server.submit, bytes).await;
        let length = answer.json()["length"].as_u64();
        let expected = answer.json()["error"]["expected"].as_u64();
        (answer.status, answer.code(), length.or(expected))
    };
    assert_eq!(send(0, b"hello").await, (200, String::new(), Some(5)));
    assert_eq!(send(0, b"hello").await, (200, String::new(), Some(5)), "the same again");
    // (76) A gap; other bytes at the same place; an offset beyond everything.
    assert_eq!(send(6, b"x").await, (409, "offset_mismatch".to_owned(), Some(5)));
    assert_eq!(send(0, b"jello").await, (409, "diverged".to_owned(), None));
    assert_eq!(send(4 << 30, b"x").await, (409, "offset_mismatch".to_owned(), Some(5)));
    assert_eq!(send(u64::MAX, b"x").await.0, 400);
    assert_eq!(
        send(3, b"lo, wor").await,
        (200, String::new(), Some(10)),
        "an overlap that is equal"
    );
    // (80) More than declared.
    assert_eq!(send(10, b"ld!!").await, (422, "size_exceeded".to_owned(), None));
    let got = server.send(server.request("GET", &path).bearer_auth(&server.submit)).await;
    assert_eq!((got.status, got.code().as_str()), (404, "incomplete"));
    assert_eq!(send(10, b"ld").await, (200, String::new(), Some(12)));
    assert_eq!(send(10, b"ld").await, (200, String::new(), Some(12)), "complete, and sent again");
    assert_eq!(send(12, b"").await, (200, String::new(), Some(12)));
    let got = server.send(server.request("GET", &path).bearer_auth(&server.submit)).await;
    assert_eq!(&got.bytes[..], b"hello, world");
    // (83) Whatever it is, a browser saves it and runs nothing.
    assert_eq!(got.headers["content-disposition"], "attachment; filename=\"a.tar\"");
    assert_eq!(got.headers["x-content-type-options"], "nosniff");
    assert!(got.headers["content-security-policy"].to_str().unwrap().contains("sandbox"));
}

#[tokio::test]
async fn a_file_with_another_digest_starts_again() {
    let server = Server::start().await;
    let path = declared(&server, "a.tar", b"hello").await;
    for pieces in [&["jello"][..], &["je", "llo"]] {
        let mut offset = 0;
        let mut last = None;
        for piece in pieces {
            last = Some(
                server.patch(&format!("{path}?offset={offset}"), &server.submit, *piece).await,
            );
            offset += piece.len();
        }
        let last = last.unwrap();
        assert_eq!((last.status, last.code().as_str()), (422, "digest_mismatch"));
    }
    let parts = server.blobs.join("parts");
    assert!(
        !parts.exists() || std::fs::read_dir(&parts).unwrap().next().is_none(),
        "(80) nothing is left of it"
    );
    let whole = server.patch(&format!("{path}?offset=0"), &server.submit, "hello").await;
    assert_eq!((whole.status, whole.json()["length"].as_u64()), (200, Some(5)));
}

#[tokio::test]
async fn senders_that_leave_before_the_answer_lose_nothing() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = declared(&server, "a.tar", &bytes).await;
    for (n, piece) in bytes.chunks(100_000).enumerate() {
        let head = format!(
            "PATCH {path}?offset={} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            n * 100_000,
            server.submit,
            piece.len()
        );
        let mut connection = TcpStream::connect(server.address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(piece).await.unwrap();
        // Some leave at once, some while the server works, each a little later than the one before.
        for _ in 0..n {
            tokio::task::yield_now().await;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let files = on_disk(dir.path(), &[("a.tar".to_owned(), bytes.clone())]);
    let to = Destination::Upload(UploadId(1));
    server.api(&server.submit).send_files(to, &files, &Retry::patient()).await.unwrap();
    let got = server.send(server.request("GET", &path).bearer_auth(&server.submit)).await;
    assert!(got.bytes[..] == bytes[..]);
}

#[tokio::test]
async fn an_empty_file_is_completed_by_an_empty_piece() {
    let server = Server::start().await;
    let path = declared(&server, "empty", b"").await;
    assert_eq!(server.patch(&format!("{path}?offset=0"), &server.submit, "").await.status, 200);
    let got = server.send(server.request("GET", &path).bearer_auth(&server.submit)).await;
    assert_eq!((got.status, got.bytes.len()), (200, 0));
}

#[tokio::test]
async fn parallel_pieces_at_one_offset_leave_one_stream() {
    let server = Server::start().await;
    let path = declared(&server, "a.tar", &[b'1'; 1000]).await;
    // (81) Ten at once, each with other bytes: one is taken, the others are told.
    let sends = (0..10_u8).map(|n| {
        let piece = vec![b'0' + n; 500];
        let path = format!("{path}?offset=0");
        let server = &server;
        async move { server.patch(&path, &server.submit, piece).await.status }
    });
    let statuses = futures_util::future::join_all(sends).await;
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 409).count(), 9, "{statuses:?}");
}

#[tokio::test]
async fn the_same_file_sent_twice_is_kept_once() {
    let server = Server::start().await;
    for _ in 0..3 {
        for pieces in [&["hello, world"][..], &["hello", ", world"]] {
            let path = declared(&server, "a.tar", b"hello, world").await;
            let mut offset = 0;
            for piece in pieces {
                let to = format!("{path}?offset={offset}");
                offset += piece.len();
                assert_eq!(server.patch(&to, &server.submit, *piece).await.status, 200);
            }
            let got = server.send(server.request("GET", &path).bearer_auth(&server.submit)).await;
            assert_eq!(&got.bytes[..], b"hello, world");
        }
    }
    let folder = server.blobs.join("blobs").join(&sha256(b"hello, world")[..2]);
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
}

#[tokio::test]
async fn a_large_file_of_many_pieces_is_whole() {
    let server = Server::start().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = declared(&server, "big", &bytes).await;
    let mut offset = 0;
    for piece in bytes.chunks(5_000_001) {
        let to = format!("{path}?offset={offset}");
        offset += piece.len();
        assert_eq!(server.patch(&to, &server.submit, piece.to_vec()).await.status, 200);
    }
    let got = server.send(server.request("GET", &path).bearer_auth(&server.submit)).await;
    assert!(got.bytes[..] == bytes[..]);
    let streams = server.farm.storage().streams(StreamOwner::Upload(UploadId(1))).await;
    let object = streams.unwrap()[0].object.clone().unwrap();
    assert_eq!(std::fs::metadata(server.blobs.join(object)).unwrap().len(), bytes.len() as u64);
}

#[tokio::test]
async fn an_upload_is_its_owners_alone() {
    let server = Server::start().await;
    let path = declared(&server, "a.tar", b"hello").await;
    let answer = server.patch(&format!("{path}?offset=0"), &server.admin, "hello").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "unknown_upload"));
    let state =
        server.send(server.request("GET", "/api/v1/uploads/1").bearer_auth(&server.admin)).await;
    assert_eq!(state.status, 404);
    let unknown = server.patch("/api/v1/uploads/1/files/b?offset=0", &server.submit, "x").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "unknown_file"));
}

#[tokio::test]
async fn declarations_are_bounded() {
    let server = Server::start().await;
    let file =
        |name: &str, size: u64| json!({"name": name, "size": size, "sha256": "0".repeat(64)});
    let many: Vec<_> = (0..10_001).map(|n| file(&format!("f{n}"), 1)).collect();
    let table = [
        (json!([]), 422),
        // (82) More files, or bytes, than allowed.
        (json!(many), 413),
        (json!([file("a", 17 << 30)]), 413),
        (json!([file("a", u64::MAX), file("b", u64::MAX)]), 413),
        (json!([file("a", 1), file("a", 1)]), 422),
        // (80) Digests that are none.
        (json!([{"name": "a", "size": 1, "sha256": "A".repeat(64)}]), 422),
        (json!([{"name": "a", "size": 1, "sha256": "0"}]), 422),
        (json!([{"name": "a", "size": -1, "sha256": "0".repeat(64)}]), 400),
    ];
    for (files, status) in table {
        let answer = server.post("/api/v1/uploads", &server.submit, &json!({"files": files})).await;
        assert_eq!(
            answer.status,
            status,
            "{}",
            &files.to_string()[..files.to_string().len().min(100)]
        );
    }
}
