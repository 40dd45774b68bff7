//! Failures that a submitter causes, and the client that meets them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::package::{Package, tagged};
use crate::support::{Farm, Role};

/// Answers each request with the status that its path begins with.
fn statuses() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for peer in listener.incoming().flatten() {
            let mut first = String::new();
            drop(BufReader::new(&peer).read_line(&mut first));
            let status = first.split('/').nth(1).unwrap_or("500");
            let answer =
                format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            drop((&peer).write_all(answer.as_bytes()));
        }
    });
    address
}

/// A client that may fetch from loopback.
fn client(farm: &Farm) -> Role {
    let config = farm.client_config("one", &farm.url());
    let text = std::fs::read_to_string(&config).unwrap();
    let text =
        text.replacen("allow_file = true", "allow_file = true\nallow_hosts = [\"127.0.0.0/8\"]", 1);
    std::fs::write(&config, text).unwrap();
    Role::start("one", farm.path(), &["--config", config.to_str().unwrap(), "client"])
}

/// A git repository whose `.gitmodules` names a command.
fn hostile(dir: &Path) -> String {
    let tree = dir.join("hostile");
    std::fs::create_dir(&tree).unwrap();
    let entry = "[submodule \"s\"]\n\tpath = s\n\turl = ../x\n\tupdate = !x\n";
    std::fs::write(tree.join(".gitmodules"), entry).unwrap();
    tagged(&tree, "v1");
    let git = |args: &[&str]| {
        let user = ["-c", "user.name=T", "-c", "user.email=t@example.org"];
        let output = Command::new("git").args(user).args(args).current_dir(&tree).output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let link = format!("160000,{},s", git(&["rev-parse", "HEAD"]));
    git(&["update-index", "--add", "--cacheinfo", &link]);
    git(&["commit", "--quiet", "--message=link"]);
    format!("git+file://{}", tree.display())
}

#[test]
#[ignore = "needs git, dpkg-dev, reprepro and the user pybit-build"]
fn what_a_submitter_causes_never_counts_against_a_client() {
    let farm = Farm::new("");
    let (_web, _client, _watcher) = (farm.web(), client(&farm), farm.watcher());
    let at = statuses();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hostile = hostile(farm.path());
    let sources = [
        ("git+https://no-such-host-1.invalid/x".to_owned(), "fetch-unresolved"),
        ("git+https://no-such-host-2.invalid/x".to_owned(), "fetch-unresolved"),
        (format!("git+http://{closed}/x"), "fetch-unreachable"),
        (format!("git+http://{at}/503/x"), "fetch-server"),
        (format!("git+http://{at}/404/x"), "fetch-not-found"),
        (format!("{hostile}#no-such-branch"), "fetch-not-found"),
        (format!("git+http://{at}/200/x"), "fetch-no-repository"),
        (format!("git+file://{}", farm.path().display()), "fetch-no-repository"),
        (format!("git+http://{at}/401/x"), "fetch-authentication"),
        (format!("git+https://{at}/200/x"), "fetch-tls"),
        ("git+http://10.0.0.1/x".to_owned(), "fetch-not-allowed"),
        (hostile, "fetch-broken"),
    ];
    let submit = |source: &str| {
        let reply = farm.json(&["submit", source, "--suite", "bookworm", "--json"]);
        reply["jobs"][0]["id"].as_i64().unwrap()
    };
    let jobs: Vec<(i64, &str)> = sources.iter().map(|(s, class)| (submit(s), *class)).collect();
    for (job, class) in jobs {
        let detail = farm.wait_status(job, "Failed");
        assert_eq!(detail["job"]["failure"]["class"], class, "{detail}");
        let tries = detail["attempts"].as_array().unwrap().len();
        let again = ["fetch-unresolved", "fetch-unreachable", "fetch-server"].contains(&class);
        assert_eq!(tries, if again { 4 } else { 1 }, "{detail}");
        let why = farm.json(&["why", &job.to_string(), "--json"]).to_string();
        assert!(why.contains(class), "{why}");
    }
    let clients = farm.api("/api/v1/clients");
    let streaks: BTreeSet<_> =
        clients.as_array().unwrap().iter().map(|c: &Value| c["infra_streak"].as_i64()).collect();
    assert_eq!(streaks, BTreeSet::from([Some(0)]), "{clients}");
    let innocent = farm.submit(&Package::new("pybit-innocent", "1.0").write(farm.path()));
    farm.wait_status(farm.binary_job(&innocent.0), "Done");
}
