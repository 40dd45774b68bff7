//! The command against a real web server without build clients.

use serde_json::Value;

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, wait_for};

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_submission_is_planned_recorded_listed_explained_and_cancelled() {
    let farm = Farm::new("");
    let _web = farm.web();
    let plan = farm.json(&["submit", "apt:hello", "--suite", "bookworm", "--dry-run", "--json"]);
    assert_eq!(plan[0]["kind"], "source", "{plan}");
    assert_eq!(farm.json(&["jobs", "--json"]), Value::Array(Vec::new()), "a plan records nothing");

    let reply =
        farm.json(&["submit", "apt:hello", "--suite", "bookworm", "--priority", "-5", "--json"]);
    let id = reply["jobs"][0]["id"].to_string();
    assert_eq!(reply["jobs"][0]["status"], "Waiting", "{reply}");
    assert_eq!(farm.json(&["job", &id, "--json"])["job"]["priority"], -5);
    assert!(farm.json(&["why", &id, "--json"])["summary"].is_string());
    let listed = farm.run(&["jobs", "--package", "hello", "--status", "waiting"]);
    let table = lines(&listed.stdout);
    assert_eq!(table.len(), 2, "{table:?}");
    assert!(table[0].starts_with("JOB") && table[1].starts_with(&id) && table[1].contains("hello"));

    let cancelled = farm.json(&["cancel", &id, "--reason", "a test", "--json"]);
    assert_eq!(cancelled[0]["status"], "Cancelled");
    let again = farm.json(&["retry", &id, "--json"]);
    assert_ne!(again["id"].to_string(), id);
    let all = farm.json(&["cancel", "--all", "--yes", "--json"]);
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
}

#[test]
fn a_batch_names_its_submissions_and_says_which_lines_are_refused() {
    let farm = Farm::new("");
    let _web = farm.web();
    let file = farm.path().join("batch.txt");
    let lines_of_it = "# nightly\napt:hello\n\napt:jq=1.6-2 priority=5 arch=amd64\napt:sl suite=nowhere\n\
                       apt:cowsay colour=blue\n{\"source\": {\"method\": \"apt\", \"package\": \"sl\"}, \"suite\": \"bookworm\"}\n";
    let arch = crate::support::machine_arch();
    std::fs::write(&file, lines_of_it.replace("amd64", &arch)).unwrap();
    let file = file.to_str().unwrap();
    let output = farm.run(&["submit", "--batch", file, "--suite", "bookworm"]);
    assert_eq!(output.status.code(), Some(1), "two lines are refused");
    assert_eq!(lines(&output.stdout), ["1", "2", "3"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("batch.txt, line 5: ") && said.contains("nowhere"), "{said}");
    assert!(said.contains("batch.txt, line 6: ") && said.contains("colour=blue"), "{said}");
    assert!(said.contains("3 submitted, 2 refused"), "{said}");
    let jobs = farm.json(&["jobs", "--json"]);
    assert_eq!(jobs[1]["priority"], 5, "{jobs}");
    let why = farm.run(&["why", &jobs[1]["id"].to_string()]);
    assert!(
        String::from_utf8_lossy(&why.stdout)
            .contains("Priority 5, then weight 1 of Debian/bookworm source deb in host")
    );
    let shown = String::from_utf8(farm.run(&["job", "1"]).stdout).unwrap();
    assert!(
        shown.starts_with("job 1: hello, Debian/bookworm source deb"),
        "no version yet: {shown}"
    );
    let numbers = farm.path().join("numbers");
    std::fs::write(&numbers, "1\n3\n").unwrap();
    let from = ["cancel", "--submissions-from", numbers.to_str().unwrap(), "--json"];
    assert_eq!(farm.json(&from).as_array().unwrap().len(), 2);
    let left = farm.json(&["jobs", "--status", "waiting", "--json"]);
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    std::fs::write(&numbers, "1\n3 third\n").unwrap();
    let said = String::from_utf8(farm.run(&from).stderr).unwrap();
    assert!(said.contains("numbers, line 2: \"third\" is not a submission's number"), "{said}");
}

#[test]
fn waiting_for_a_submission_that_is_cancelled_fails() {
    let farm = Farm::new("");
    let _web = farm.web();
    let words = ["submit", "apt:hello", "--suite", "bookworm", "--wait", "--json"];
    let output = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| farm.run(&words));
        let id = wait_for("the job", DEADLINE, || farm.json(&["jobs", "--json"])[0]["id"].as_i64());
        farm.json(&["cancel", &id.to_string(), "--json"]);
        waiting.join().unwrap()
    });
    assert_eq!(output.status.code(), Some(1));
    let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(reply["jobs"][0]["status"], "Cancelled", "{reply}");
}

#[test]
fn the_same_files_with_the_same_key_are_one_submission() {
    let farm = Farm::new("");
    let _web = farm.web();
    let tree = Package::new("pybit-key", "1.0").write(farm.path());
    let tree = tree.to_str().unwrap();
    let words = ["submit", tree, "--suite", "bookworm", "--idempotency-key", "k", "--json"];
    let (first, second) = (farm.json(&words), farm.json(&words));
    assert_eq!(
        (&first["repeated"], &second["repeated"]),
        (&Value::Bool(false), &Value::Bool(true))
    );
    assert_eq!(first["submission"]["id"], second["submission"]["id"]);
    std::fs::write(std::path::Path::new(tree).join("tool"), "changed\n").unwrap();
    let refused = farm.run(&words);
    assert!(!refused.status.success(), "another source under the same key");
}

#[test]
fn tokens_are_made_listed_and_revoked_and_their_secrets_are_shown_once() {
    let farm = Farm::new("");
    let _web = farm.web();
    let made = farm.run(&["token", "create", "--name", "ci", "--role", "submit"]);
    let secret = lines(&made.stdout).concat();
    assert!(secret.starts_with("pbt_"), "standard output is the secret alone");
    let listed = farm.run(&["token", "list", "--json"]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(&secret));
    let tokens: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let token = tokens.as_array().unwrap().iter().find(|t| t["name"] == "ci").unwrap();
    let list_as_ci = ["--token", &secret, "token", "list"];
    assert!(!farm.run(&list_as_ci).status.success(), "submitting is not administering");
    let submit = ["--token", &secret, "submit", "apt:hello", "--suite", "bookworm"];
    assert!(farm.run(&submit).status.success());
    assert!(farm.run(&["token", "revoke", &token["id"].to_string()]).status.success());
    let refused = farm.run(&submit);
    assert!(!refused.status.success());
    assert_eq!(lines(&refused.stderr).len(), 1);
}

#[test]
fn what_does_not_exist_is_refused_in_one_line() {
    let farm = Farm::new("");
    let _web = farm.web();
    for args in [
        &["job", "999"][..],
        &["log", "999"],
        &["log", "999", "--follow"],
        &["why", "999"],
        &["retry", "999"],
        &["cancel", "999"],
        &["clients", "drain", "nobody"],
        &["token", "revoke", "999"],
        &["submit", "apt:hello", "--suite", "nowhere"],
        &["submit", "apt:hello", "--suite", "bookworm", "--arch", "z80"],
    ] {
        let output = farm.run(args);
        let said = lines(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said:?}");
        assert!(said.len() == 1 && said[0].starts_with("pybit: "), "{args:?}: {said:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
