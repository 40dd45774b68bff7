//! `pybit apply` and `pybit export` against a real web server.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::support::Farm;

/// A farm without suites of its own, so that a restart would put none back.
const FARM: &str = r#"
[[suites]]
dist = "Debian"
name = "bookworm"
format = "deb"
arches = ["amd64", "arm64"]
repository = "bookworm"
envs = [{ name = "sbuild", weight = 10, weights = { arm64 = 12 } }, { name = "host" }]

[[suites]]
dist = "Debian"
name = "trixie"
format = "deb"
like = "bookworm"

[[rules]]
subject = "package"
pattern = '^linux-'
reason = "built elsewhere"

[[hooks]]
name = "forge"

[[hooks.rules]]
repository = "team/*"
tag = "v*"
suite = "trixie"
"#;

fn write(farm: &Farm, text: &str) -> PathBuf {
    let file = farm.path().join("farm.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn changes(reply: &Value) -> usize {
    reply["changes"].as_array().unwrap().len()
}

#[test]
fn what_is_exported_can_be_applied_through_a_pipe() {
    let farm = Farm::new("");
    let _web = farm.web();
    let file = write(&farm, FARM);
    farm.json(&["apply", file.to_str().unwrap(), "--yes", "--json"]);
    let piped = |text: &[u8], words: &[&str]| {
        let mut apply = farm.command(words);
        let (input, output, error) = (Stdio::piped(), Stdio::piped(), Stdio::piped());
        let mut apply = apply.stdin(input).stdout(output).stderr(error).spawn().unwrap();
        apply.stdin.take().unwrap().write_all(text).unwrap();
        apply.wait_with_output().unwrap()
    };
    let exported = farm.run(&["export"]).stdout;
    for words in [&["apply", "--dry-run"][..], &["apply", "-"]] {
        let applied = piped(&exported, words);
        let said = String::from_utf8(applied.stderr).unwrap();
        assert!(applied.status.success() && said.contains("like that already"), "{said}");
        assert!(applied.stdout.is_empty());
    }
    let wrong = piped(b"[[suites]]\nnmae = 'x'\n", &["apply"]);
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(!wrong.status.success() && said.contains("standard input, line 2"), "{said}");
}

#[test]
fn a_file_is_applied_exported_and_applied_again_without_a_change() {
    let farm = Farm::new("");
    let _web = farm.web();
    let file = write(&farm, FARM);
    let file = file.to_str().unwrap();
    let plan = farm.run(&["apply", file, "--dry-run"]);
    let shown = String::from_utf8(plan.stdout).unwrap();
    assert!(shown.contains("+ target Debian/trixie arm64 deb in sbuild, weight 12"), "{shown}");
    let before = farm.json(&["export", "--json"]);
    let applied = farm.json(&["apply", file, "--yes", "--json"]);
    assert_eq!(applied["applied"], true, "{applied}");
    assert_ne!(farm.json(&["export", "--json"]), before);
    assert_eq!(changes(&farm.json(&["apply", file, "--json"])), 0, "once more changes nothing");

    let exported = farm.run(&["export"]);
    assert!(exported.status.success());
    let again = write(&farm, &String::from_utf8(exported.stdout).unwrap());
    assert_eq!(changes(&farm.json(&["apply", again.to_str().unwrap(), "--json"])), 0);

    let plan = farm.json(&["submit", "apt:hello", "--suite", "trixie", "--dry-run", "--json"]);
    assert_eq!(plan[0]["target"]["suite"], "trixie", "{plan}");
    let refused = farm.run(&["submit", "apt:linux-x", "--suite", "trixie"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("built elsewhere"));
}

#[test]
fn what_is_taken_away_needs_a_yes_and_no_job_that_still_needs_it() {
    let farm = Farm::new("");
    let _web = farm.web();
    let file = write(&farm, FARM);
    let file = file.to_str().unwrap();
    farm.json(&["apply", file, "--yes", "--json"]);
    let job = farm.json(&["submit", "apt:hello", "--suite", "trixie", "--json"]);
    let less = FARM.replace(
        "[[suites]]\ndist = \"Debian\"\nname = \"trixie\"\nformat = \"deb\"\nlike = \"bookworm\"\n",
        "",
    );
    let less = less.replace("\nsuite = \"trixie\"", "\nsuite = \"bookworm\"");
    write(&farm, &less);

    let refused = farm.run(&["apply", file]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && said.contains("1 unfinished jobs still need it"),
        "{said}"
    );
    farm.json(&["cancel", &job["jobs"][0]["id"].to_string(), "--json"]);
    let refused = farm.run(&["apply", file]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("--yes"), "{said}");
    assert!(farm.run(&["submit", "apt:hello", "--suite", "trixie", "--dry-run"]).status.success());
    assert_eq!(changes(&farm.json(&["apply", file, "--yes", "--json"])), 6);
    assert!(!farm.run(&["submit", "apt:hello", "--suite", "trixie", "--dry-run"]).status.success());
}

#[test]
fn what_a_file_may_not_say_is_told_with_file_line_and_key() {
    let farm = Farm::new("");
    let _web = farm.web();
    for (text, line, word) in [
        (FARM.replace("weight = 10", "wieght = 10"), 8, "wieght"),
        (FARM.replace("like = \"bookworm\"", "like = \"trixie\""), 14, "a cycle"),
        (FARM.replace("\"arm64\"]", "\"amd64\"]").replace("arm64 = 12", ""), 6, "suites.arches"),
    ] {
        let file = write(&farm, &text);
        let refused = farm.run(&["apply", file.to_str().unwrap(), "--dry-run"]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains(&format!("farm.toml, line {line}: ")) && said.contains(word),
            "{said}"
        );
    }
}
