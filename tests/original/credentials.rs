//! Secrets of a farm's own: letter h.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pybit::client::{Api, Secret};
use pybit::config::Config;
use pybit::core::settings::Settings;

use crate::reading::routes;
use crate::support::Farm;
use crate::support::http::ask;

/// The original came with guest/guest for its broker and admin/pass for its pages, the same in every farm. A farm of ours
/// has one token when it is new: random, in a file that only its owner reads, and nothing else opens any door.
#[test]
fn h_new_farm_has_no_credentials_that_anybody_could_know() {
    let farms = [Farm::new(""), Farm::new("")];
    let mut secrets = BTreeSet::new();
    for farm in &farms {
        let web = farm.web();
        let secret = farm.admin_token();
        let digits = secret.strip_prefix("pbt_").unwrap();
        assert!(digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{digits}");
        let file = farm.path().join("data/admin.token");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let tokens = farm.json(&["token", "list", "--json"]);
        assert_eq!(tokens.as_array().unwrap().len(), 1, "{tokens}");
        let holders = files_with(farm.path(), &secret);
        assert_eq!(holders, [file], "the secret is in its file, and in no database and no log");
        assert!(!web.said().contains(digits));
        secrets.insert(secret);
        refuses_everybody(farm);
    }
    assert_eq!(secrets.len(), farms.len(), "each farm has its own");
}

/// Names with passwords as HTTP Basic writes them: guest:guest, admin:pass, admin:admin, pybit:pybit.
const PAIRS: [&str; 4] =
    ["Z3Vlc3Q6Z3Vlc3Q=", "YWRtaW46cGFzcw==", "YWRtaW46YWRtaW4=", "cHliaXQ6cHliaXQ="];

/// Tries what people try on every route that changes something or shows secrets.
fn refuses_everybody(farm: &Farm) {
    let basic = PAIRS.map(|pair| format!("Authorization: Basic {pair}"));
    let nothing = "0".repeat(64);
    let words = ["guest", "guest:guest", "pass", "admin", "pbt_", &format!("pbt_{nothing}")];
    let bearer = words.map(|word| format!("Authorization: Bearer {word}"));
    let mut closed = 0;
    for route in routes(farm).iter().filter(|r| r.needs_token) {
        closed += 1;
        let path = route.path.replace("{id}", "1").replace("{name}", "bookworm");
        for credential in basic.iter().chain(&bearer) {
            let headers = [credential.as_str(), "Content-Type: application/json"];
            let answer = ask(&farm.address(), &route.method, &path, &headers, b"{}");
            assert_eq!(answer.status, 401, "{credential} opens {} {path}", route.method);
        }
    }
    assert!(closed > 20, "the routes were found: {closed}");
}

/// Files below a directory that hold these words.
fn files_with(dir: &Path, words: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files_with(&entry, words));
        } else if std::fs::read(&entry).unwrap().windows(words.len()).any(|w| w == words.as_bytes())
        {
            found.push(entry);
        }
    }
    found
}

/// The original logged its broker's password with the object that held it. Nothing of ours that holds a secret shows it,
/// whether as a token or inside an address, and a refusal does not repeat it.
#[test]
fn h_no_secret_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pybit.toml");
    let text = r#"
url = "http://farm:8080"
token = "pbt_hunter2"
storage = { url = "postgres://pybit:hunter2@db/farm?password=hunter2", password = "hunter2" }
transport = { url = "amqp://guest:hunter2@broker" }
blobs = { url = "s3://key:hunter2@bucket", secret = "hunter2" }

[client]
url = "http://farm:8080"
token = "pbt_hunter2"
work_dir = "/nonexistent"
offers = []

[watch]
url = "http://farm:8080"
token = "pbt_hunter2"
work_dir = "/nonexistent"
repositories = []
"#;
    std::fs::write(&file, text).unwrap();
    let config = Config::load(Some(&file)).unwrap();
    let secret = Secret::new("pbt_hunter2");
    let api = Api::new("http://farm:8080", Some(&secret)).unwrap();
    let settings = Settings::url("postgres://pybit:hunter2@db/farm?password=hunter2");
    let shown = [
        ("the configuration", format!("{config:?}")),
        ("the configuration at length", format!("{config:#?}")),
        ("the client's table", format!("{:?}", config.client)),
        ("the watcher's table", format!("{:?}", config.watch)),
        ("a secret", format!("{secret:?}")),
        ("an API", format!("{api:?}")),
        ("settings", format!("{settings:?} {}", settings.shown())),
        ("a refusal", format!("{:?}", Api::new("http://u:hunter2@farm", None).unwrap_err())),
        ("a refusal", format!("{:?}", Api::new("gopher://u:hunter2@farm", None).unwrap_err())),
    ];
    for (what, text) in shown {
        assert!(!text.contains("hunter2"), "{what} shows a secret: {text}");
    }
    // A password in the server's address is refused where it is read, in every table.
    for (n, _) in text.match_indices("http://farm") {
        let (before, after) = text.split_at(n + "http://".len());
        std::fs::write(&file, format!("{before}user:hunter2@{after}")).unwrap();
        let error = format!("{:?}", Config::load(Some(&file)).unwrap_err());
        assert!(error.contains("password") && !error.contains("hunter2"), "{error}");
    }
}
