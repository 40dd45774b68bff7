//! Strangers who connect and say nothing.

use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::support::http::ask;
use crate::support::{DEADLINE, Farm, PYBIT, wait_for};

#[test]
fn a_crowd_that_says_nothing_takes_no_files_from_the_server() {
    let farm = Farm::new("");
    let config = farm.path().join("pybit.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[web]\n", "[web]\nidle_ms = 1000\n")).unwrap();
    let log = farm.path().join("web.log");
    let said = || std::fs::read_to_string(&log).unwrap();
    let mut web = Command::new("prlimit")
        .args(["--nofile=128:128", "--", PYBIT, "web"])
        .current_dir(farm.path())
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    farm.wait_ready();
    let crowd: Vec<_> = (0..120).map(|_| TcpStream::connect(farm.address()).unwrap()).collect();
    let token = format!("Authorization: Bearer {}", farm.admin_token());
    let manifest = br#"{"files":[{"name":"a","size":1,"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}]}"#;
    let headers = [token.as_str(), "Content-Type: application/json"];
    let answered = |path: &str, body: &[u8], method: &str| {
        wait_for(path, DEADLINE, || {
            let answer = ask(&farm.address(), method, path, &headers, body);
            (answer.status != 0).then_some(answer)
        })
    };
    let declared = answered("/api/v1/uploads", manifest, "POST");
    let sent = answered("/api/v1/uploads/1/files/a?offset=0", b"a", "PATCH");
    let said = said();
    drop(crowd);
    web.kill().unwrap();
    web.wait().unwrap();
    assert_eq!(
        (declared.status, sent.status),
        (201, 200),
        "{} {}\n{said}",
        declared.body,
        sent.body
    );
    assert!(said.contains("at most 64 connections"), "{said}");
    assert!(!said.contains("cannot be accepted"), "{said}");
}
