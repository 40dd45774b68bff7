//! Help, refusals, and the verbs that need no server.

use crate::Lone;

const VERBS: [&str; 17] = [
    "up",
    "web",
    "client",
    "watch",
    "submit",
    "jobs",
    "job",
    "log",
    "cancel",
    "retry",
    "why",
    "clients",
    "token",
    "account",
    "doctor",
    "vercmp",
    "completions",
];

#[test]
fn every_verb_says_what_it_is_for() {
    let pybit = Lone::new();
    let listed = pybit.run(&["--help"]);
    assert_eq!((listed.code, listed.err.as_str()), (0, ""));
    for verb in VERBS {
        assert!(
            listed.out.lines().any(|l| l.trim_start().starts_with(verb)),
            "{verb} is not listed"
        );
        let said = pybit.run(&[verb, "--help"]);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{verb}");
        let usage = format!("Usage: pybit {verb}");
        assert!(
            said.out.contains(&usage) && !said.out.starts_with("Usage"),
            "{verb}: {}",
            said.out
        );
    }
    assert!(!listed.out.contains("supervise"), "what is only for pybit itself is listed");
}

#[test]
fn a_verb_that_talks_to_no_server_offers_neither_address_nor_token() {
    let pybit = Lone::new();
    for verb in ["up", "web", "client", "watch", "vercmp", "completions"] {
        let said = pybit.run(&[verb, "--help"]).out;
        assert!(!said.contains("--url") && !said.contains("--token"), "{verb}: {said}");
        assert!(said.contains("--config"), "{verb}: {said}");
    }
    for verb in ["jobs", "submit", "doctor"] {
        let said = pybit.run(&[verb, "--help"]).out;
        assert!(said.contains("--url") && said.contains("--token"), "{verb}: {said}");
    }
    // They stay what every verb takes.
    let ordered = pybit.run(&["--url", "http://farm", "vercmp", "deb", "1", "2"]);
    assert_eq!(ordered.code, 0, "{}", ordered.err);
}

#[test]
fn wrong_arguments_are_refused_in_one_line_with_exit_code_2() {
    let pybit = Lone::new();
    for (args, part) in [
        (&["submti"][..], "'submit'"),
        (&["submit"], "<SOURCE>"),
        (&["submit", "apt:hello"], "--suite"),
        (&["submit", "apt:hello", "--suite", "a b"], "--suite"),
        (&["jobs", "--status", "sleeping"], "Waiting"),
        (&["jobs", "--limit", "0"], "--limit"),
        (&["job", "0"], "'0'"),
        (&["cancel"], "<JOBS>"),
        (&["cancel", "1", "--all"], "--all"),
        (&["token", "create", "--name", "x", "--role", "king"], "king"),
        (&["account", "add", "x", "--role", "king"], "king"),
        (&["completions", "cobol"], "cobol"),
        (&["submit", "apt:hello", "--suite", "x", "--follow", "--json"], "--follow"),
    ] {
        let said = pybit.run(args);
        assert_eq!(said.code, 2, "{args:?}");
        let line = said.refused(args);
        assert!(line.contains(part), "{args:?}: {line}");
    }
}

#[test]
fn without_a_server_the_refusal_says_how_to_get_one() {
    let pybit = Lone::new();
    for args in
        [&["jobs"][..], &["clients", "--json"], &["log", "1"], &["cancel", "1"], &["why", "1"]]
    {
        let line = pybit.refused(args);
        assert!(line.contains("pybit up") && line.contains("--url"), "{line}");
    }
    let line = pybit.refused(&["jobs", "--url", "http://127.0.0.1:1"]);
    assert!(line.contains("127.0.0.1:1"), "{line}");
    pybit.refused(&["jobs", "--url", "ftp://127.0.0.1/"]);
    let line = pybit.refused(&["cancel", "--all", "--url", "http://127.0.0.1:1"]);
    assert!(line.contains("--yes"), "{line}");
}

#[test]
fn a_faulty_configuration_is_told_of_without_its_secrets() {
    let pybit = Lone::new();
    std::fs::write(pybit.path().join("pybit.toml"), "url = \"http://127.0.0.1:1\"\ntokken = 1\n")
        .unwrap();
    let line = pybit.refused(&["jobs"]);
    assert!(line.contains("tokken") && line.contains("line 2"), "{line}");
    let secret = "pbt_0123456789";
    std::fs::write(pybit.path().join("pybit.toml"), format!("token = [\"{secret}\"]\n")).unwrap();
    assert!(!pybit.refused(&["jobs"]).contains(secret));
    std::fs::write(
        pybit.path().join("pybit.toml"),
        "url = \"http://127.0.0.1:1\"\ntoken_file = \"token\"\n",
    )
    .unwrap();
    std::fs::write(pybit.path().join("token"), secret).unwrap();
    let line = pybit.refused(&["jobs"]);
    assert!(line.contains("chmod 600") && !line.contains(secret), "{line}");
}

#[test]
fn a_token_on_the_command_line_is_never_repeated() {
    let pybit = Lone::new();
    let secret = "pbt_0123456789";
    let said = pybit.run(&["jobs", "--url", "http://127.0.0.1:1", "--token", secret]);
    assert!(said.code == 1 && !said.err.contains(secret), "{}", said.err);
    let mut command = pybit.command(&["jobs", "--help"]);
    let help = command.env("PYBIT_TOKEN", secret).output().unwrap();
    assert!(help.status.success() && !String::from_utf8_lossy(&help.stdout).contains(secret));
}

#[test]
fn doctor_says_what_is_missing_and_the_command_that_installs_it() {
    let pybit = Lone::new();
    let said = pybit.run(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let missing = checks.iter().filter(|c| c["fine"] == false).count();
    assert_eq!((said.code == 0, report["fine"] == true), (missing == 0, missing == 0), "{report}");
    assert_eq!(report["install"].is_null(), missing == 0, "{report}");
    assert!(report["server"].is_null() && report["no_server"].is_string(), "{report}");
    for role in ["web", "client", "watch"] {
        assert!(checks.iter().any(|c| c["role"] == role), "{role}");
        let said = pybit.run(&["doctor", "--role", role, "--json"]);
        let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert!(report["checks"].as_array().unwrap().iter().all(|c| c["role"] == role), "{report}");
    }
}

#[test]
fn doctor_names_a_build_user_that_is_not_there() {
    let pybit = Lone::new();
    let config = "[client]\nurl = \"http://127.0.0.1:1\"\nwork_dir = \"/nowhere\"\n\
                  build_user = \"pybit-no-such-user\"\noffers = []\n";
    std::fs::write(pybit.path().join("pybit.toml"), config).unwrap();
    let said = pybit.run(&["doctor", "--role", "client"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let last = said.out.lines().last().unwrap();
    assert!(last.contains("useradd") && last.ends_with("pybit-no-such-user"), "{}", said.out);
}

/// What the doctor looks for with a configuration, as `ROLE WHAT`.
fn looked_for(config: &str) -> Vec<String> {
    let pybit = Lone::new();
    std::fs::write(pybit.path().join("pybit.toml"), config).unwrap();
    let said = pybit.run(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|e| {
        panic!("{config}: {e}: {}{}", said.out, said.err);
    });
    let word = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap();
    checks.iter().map(|c| format!("{} {}", word(c, "role"), word(c, "what"))).collect()
}

#[test]
fn doctor_looks_for_what_the_configuration_makes_a_role_need() {
    let client = "[client]\nurl = \"http://127.0.0.1:1\"\nwork_dir = \"/nowhere\"\n";
    let offer = |format: &str| {
        format!(
            "[[client.offers]]\ndist = \"Debian\"\nsuite = \"sid\"\nformat = \"{format}\"\nenvs = [\"sbuild\"]\n"
        )
    };
    let debs = format!("{client}{}", offer("deb"));
    let rpms = format!("{client}{}", offer("rpm"));
    let uscan = format!("{client}uscan = true\n{}", offer("deb"));
    let dput = "[[web.dput.suites]]\nsuite = \"sid\"\nkeyring = \"/k.gpg\"\n".to_owned();
    let watch = "[watch]\nurl = \"http://127.0.0.1:1\"\nwork_dir = \"/w\"\nrepositories = []\n\
                 [[watch.drops]]\ndir = \"/d\"\nrepository = \"sid\"\n";
    let signed = format!("{watch}keyring = \"/k.gpg\"\n");
    let mock = format!(
        "{client}[[client.mock]]\ndist = \"Fedora\"\nsuite = \"f40\"\nconfig = \"fedora-40-x86_64\"\n"
    );
    let both = format!("{mock}{}", offer("rpm"));
    let none = String::new();
    for (tool, needed, not_needed) in [
        ("client the program mock", &mock, &rpms),
        ("client the program mock", &both, &none),
        ("client the build user pybit-build in the group mock", &mock, &rpms),
        ("client the program sbuild", &both, &mock),
        ("client the program mmdebstrap", &rpms, &mock),
        ("client the build user pybit-build with subordinate ids", &both, &mock),
        ("web the program gpgv", &dput, &none),
        ("watch the program gpgv", &signed, &watch.to_owned()),
        ("client the program pristine-tar", &debs, &rpms),
        ("client the program pristine-tar", &none, &rpms),
        ("client the program uscan", &uscan, &debs),
    ] {
        let found = |config: &str| looked_for(config).iter().any(|what| what == tool);
        assert!(found(needed), "{tool} is not looked for with\n{needed}");
        assert!(!found(not_needed), "{tool} is looked for with\n{not_needed}");
    }
}

#[test]
fn completions_and_manual_pages_are_whole() {
    let pybit = Lone::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = pybit.run(&["completions", shell]);
        assert!(said.code == 0 && said.out.contains("vercmp"), "{shell}");
    }
    for (args, title) in [(&["man"][..], ".TH pybit 1"), (&["man", "submit"], ".TH pybit-submit 1")]
    {
        let said = pybit.run(args);
        assert!(said.code == 0 && said.out.contains(title), "{args:?}: {}", said.out);
    }
    pybit.refused(&["man", "sing"]);
}

#[test]
fn a_full_disk_is_a_failure() {
    let pybit = Lone::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = pybit.command(&["vercmp", "deb", "1", "2"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
}
