//! A request that lacks something says what: letter l.

use std::collections::BTreeSet;

use pybit::backends::deb::{DebFormat, read_changes};
use pybit::core::format::PackageFormat;
use serde_json::{Value, json};

use crate::support::Farm;
use crate::support::http::{Answer, ask};

/// Sends a submission as the administrator.
pub(crate) fn submit(farm: &Farm, body: &Value) -> Answer {
    post(farm, "/api/v1/submissions", body)
}

fn post(farm: &Farm, path: &str, body: &Value) -> Answer {
    let bearer = format!("Authorization: Bearer {}", farm.admin_token());
    let headers = [bearer.as_str(), "Content-Type: application/json"];
    ask(&farm.address(), "POST", path, &headers, body.to_string().as_bytes())
}

/// A complete request for each kind of source.
fn complete() -> [Value; 3] {
    let git = json!({"method": "git", "url": "https://example.org/x.git"});
    let apt = json!({"method": "apt", "package": "hello"});
    let upload = json!({"method": "upload", "upload": 1, "main": "hello_1.dsc"});
    [git, apt, upload].map(|source| json!({"suite": "bookworm", "source": source}))
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

fn strings(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// The original's hook refused a request only where all of its fields were missing, and built nonsense out of the rest.
/// Ours refuses a submission that lacks any one of the fields it needs, and names it; the fields are those that the API
/// describes as required.
#[test]
fn l_submission_without_any_one_field_is_refused_by_its_name() {
    let farm = Farm::new("");
    let _web = farm.web();
    for body in complete() {
        let refused = |body: &Value, field: &str| {
            for path in ["/api/v1/submissions", "/api/v1/submissions/plan"] {
                let answer = post(&farm, path, body);
                let said = format!("missing field `{field}`");
                assert!(answer.status == 400 && answer.body.contains(&said), "{body}: {answer:?}");
            }
        };
        for field in keys(&body) {
            let mut less = body.clone();
            less.as_object_mut().unwrap().remove(&field);
            refused(&less, &field);
        }
        for field in keys(&body["source"]) {
            let mut less = body.clone();
            less["source"].as_object_mut().unwrap().remove(&field);
            refused(&less, &field);
        }
        // Whole, it is read: what is refused then, if anything, is what it says.
        let whole = post(&farm, "/api/v1/submissions/plan", &body);
        assert!(whole.status == 200 || whole.body.contains("unknown_upload"), "{whole:?}");
    }
    let (_, description) = farm.get("/api/v1/openapi.json");
    let description: Value = serde_json::from_str(&description).unwrap();
    let schemas = &description["components"]["schemas"];
    assert_eq!(strings(&schemas["NewSubmission"]["required"]), keys(&complete()[0]));
    let described = schemas["Source"]["oneOf"].as_array().unwrap();
    let described: BTreeSet<_> = described.iter().map(|s| strings(&s["required"])).collect();
    assert_eq!(described, complete().iter().map(|body| keys(&body["source"])).collect());
    assert_eq!(farm.jobs(""), json!([]), "nothing was taken");
}

/// The same of the command's own words.
#[test]
fn l_command_without_source_or_suite_is_refused_by_its_name() {
    let farm = Farm::new("");
    let _web = farm.web();
    for (words, missing) in [
        (&["submit", "apt:hello"][..], "--suite"),
        (&["submit", "--suite", "bookworm"], "<SOURCE>"),
        (&["submit", "apt:", "--suite", "bookworm"], "package name"),
    ] {
        let output = farm.run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(missing), "{words:?}: {said}");
    }
}

/// The same of the descriptions of source packages and of uploads.
#[test]
fn l_description_without_any_one_field_is_refused_by_its_name() {
    let (sha256, md5) = ("0".repeat(64), "0".repeat(32));
    let dsc = [
        ("Source", "hello".to_owned()),
        ("Version", "1.0".to_owned()),
        ("Architecture", "any".to_owned()),
        ("Checksums-Sha256", format!("\n {sha256} 1 hello_1.0.tar.xz")),
        ("Files", format!("\n {md5} 1 hello_1.0.tar.xz")),
    ];
    let changes = [
        ("Source", "hello".to_owned()),
        ("Version", "1.0".to_owned()),
        ("Architecture", "amd64".to_owned()),
        ("Distribution", "bookworm".to_owned()),
        ("Checksums-Sha256", format!("\n {sha256} 1 hello_1.0_amd64.deb")),
        ("Files", format!("\n {md5} 1 misc optional hello_1.0_amd64.deb")),
    ];
    let read_dsc = |text: &str| DebFormat::new().read_source(text.as_bytes()).map(|_| ());
    let read_changes = |text: &str| read_changes(text.as_bytes()).map(|_| ());
    lacks_each(&dsc, read_dsc);
    lacks_each(&changes, read_changes);
}

/// Reads the paragraph whole, and without each of its fields in turn.
fn lacks_each(fields: &[(&str, String)], read: impl Fn(&str) -> pybit::Result<()>) {
    let text = |without: &str| {
        let kept = fields.iter().filter(|(name, _)| *name != without);
        kept.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
    };
    read(&text("nothing")).unwrap();
    for (missing, _) in fields {
        let error = read(&text(missing)).unwrap_err();
        assert!(error.message().contains(&format!("no field {missing}")), "{missing}: {error}");
    }
}
