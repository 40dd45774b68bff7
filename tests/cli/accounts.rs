//! `pybit account`, against a real web server and at a real terminal.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::support::http::ask;
use crate::support::{DEADLINE, Farm, wait_for};
use crate::{Said, said};

/// Runs the command with this on standard input.
fn feed(farm: &Farm, args: &[&str], input: &str) -> Said {
    let mut command = farm.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    said(child.wait_with_output().unwrap())
}

fn hook(farm: &Farm, name: &str, password: &str) -> u16 {
    let credentials = BASE64_STANDARD.encode(format!("{name}:{password}"));
    let headers = [
        &format!("Authorization: Basic {credentials}"),
        "Content-Type: application/x-www-form-urlencoded",
    ];
    let body = b"method=apt&package=hello&suite=bookworm&architecture_list=any,all";
    ask(&farm.address(), "POST", "/job/vcshook", &headers, body).status
}

#[test]
fn accounts_are_made_listed_changed_and_removed_and_never_show_a_password() {
    let farm = Farm::new("");
    let _web = farm.web();
    let add = ["account", "add", "archive", "--role", "submit", "--password-file", "-"];
    let made = feed(&farm, &add, "correct horse\n");
    assert_eq!((made.code, made.err.as_str()), (0, ""));
    assert_eq!(made.out, "account archive is made, for submit\n");
    assert_eq!(hook(&farm, "archive", "correct horse"), 200);
    let listed = farm.run(&["account", "list", "--json"]);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(!text.contains("horse") && !text.contains("argon2"), "{text}");
    let accounts: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&accounts[0]["name"], &accounts[0]["role"]), (&"archive".into(), &"submit".into()));

    let file = farm.path().join("password");
    std::fs::write(&file, "another horse\r\n").unwrap();
    let passwd = ["account", "passwd", "archive", "--password-file", file.to_str().unwrap()];
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = said(farm.run(&passwd)).refused(&passwd);
    assert!(refused.contains("chmod 600"), "{refused}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(farm.run(&passwd).status.success());
    assert_eq!(hook(&farm, "archive", "correct horse"), 401);
    assert_eq!(hook(&farm, "archive", "another horse"), 200);

    let table = |args: &[&str]| {
        let done = said(farm.run(args));
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
        said(farm.run(&["account", "list"])).out
    };
    assert!(table(&["account", "disable", "archive"]).contains("disabled"));
    assert_eq!(hook(&farm, "archive", "another horse"), 401);
    assert!(!table(&["account", "enable", "archive"]).contains("disabled"));
    assert_eq!(hook(&farm, "archive", "another horse"), 200);
    assert!(!table(&["account", "remove", "archive"]).contains("archive"));
    assert_eq!(hook(&farm, "archive", "another horse"), 401);
}

#[test]
fn what_cannot_be_done_with_an_account_is_refused_in_one_line() {
    let farm = Farm::new("");
    let _web = farm.web();
    let add = ["account", "add", "ann", "--role", "submit", "--password-file", "-"];
    assert_eq!(feed(&farm, &add, "correct horse").code, 0);
    let long = "x".repeat(5000);
    for (args, input, part) in [
        (&add[..], "correct horse\n", "there is an account ann already"),
        (&["account", "passwd", "ann", "--password-file", "-"], "short\n", "at least 8 characters"),
        (&["account", "passwd", "ann", "--password-file", "-"], &long, "at most 1024 bytes"),
        (&["account", "passwd", "ann", "--password-file", "-"], "", "at least 8 characters"),
        (&["account", "passwd", "ann"], "correct horse\n", "--password-file"),
        (&["account", "passwd", "ann", "--password-file", "/nowhere"], "", "/nowhere"),
        (
            &["account", "passwd", "eve", "--password-file", "-"],
            "correct horse\n",
            "no account eve",
        ),
        (&["account", "disable", "eve"], "", "no account eve"),
        (&["account", "enable", "eve"], "", "no account eve"),
        (&["account", "remove", "eve"], "", "no account eve"),
        (
            &["account", "add", "box", "--role", "client", "--password-file", "-"],
            "correct horse\n",
            "pybit token create",
        ),
    ] {
        let line = feed(&farm, args, input).refused(args);
        assert!(line.contains(part) && !line.contains("horse"), "{args:?}: {line}");
    }
    assert_eq!(hook(&farm, "ann", "correct horse"), 200, "nothing was changed");
    let named = said(farm.run(&["account", "add", "a/b", "--role", "submit"]));
    assert!(named.code == 2 && named.err.contains("account name"), "{}", named.err);
}

/// A command line at a terminal of its own; what it shows is read until it holds a text.
struct Terminal {
    script: Child,
    shown: String,
}

impl Terminal {
    fn run(farm: &Farm, line: &str) -> Self {
        let pybit = farm.command(&[]);
        let line = line.replace("PYBIT", &format!("'{}'", pybit.get_program().display()));
        let mut script = Command::new("script");
        let environment = pybit.get_envs().filter_map(|(name, value)| Some((name, value?)));
        script.args(["-qec", &line, "/dev/null"]).envs(environment).current_dir(farm.path());
        let script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { script, shown: String::new() }
    }

    fn until(&mut self, text: &str) {
        let mut byte = [0];
        while !self.shown.contains(text) {
            let read = self.script.stdout.as_mut().unwrap().read(&mut byte).unwrap();
            assert_eq!(read, 1, "it ended before \"{text}\": {}", self.shown);
            self.shown.push(char::from(byte[0]));
        }
    }

    fn types(&mut self, text: &str) {
        self.script.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Its exit code, and all that was shown.
    fn ends(mut self) -> (Option<i32>, String) {
        let status = wait_for("its end", DEADLINE, || self.script.try_wait().unwrap());
        let mut rest = String::new();
        self.script.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        (status.code(), self.shown + &rest)
    }
}

#[test]
fn a_password_is_asked_for_twice_at_a_terminal_that_does_not_show_it() {
    let farm = Farm::new("");
    let _web = farm.web();
    let add = "PYBIT account add ann --role submit";
    for (second, code) in [("another horse\n", Some(1)), ("correct horse\n", Some(0))] {
        let mut terminal = Terminal::run(&farm, add);
        terminal.until("New password of ann: ");
        terminal.types("correct horse\n");
        terminal.until("The same again: ");
        terminal.types(second);
        let (ended, shown) = terminal.ends();
        assert_eq!(ended, code, "{shown}");
        assert!(!shown.contains("horse"), "{shown}");
    }
    assert_eq!(hook(&farm, "ann", "correct horse"), 200);
    // Ctrl-C gives the terminal back as it was.
    let mut terminal =
        Terminal::run(&farm, "trap : INT; PYBIT account passwd ann; echo code $?; stty -a");
    terminal.until("New password of ann: ");
    terminal.types("\u{3}");
    let (_, shown) = terminal.ends();
    let words: Vec<_> = shown.split_whitespace().collect();
    assert!(shown.contains("code 130") && words.contains(&"echo"), "{shown}");
    assert_eq!(hook(&farm, "ann", "correct horse"), 200, "nothing was changed");
}
