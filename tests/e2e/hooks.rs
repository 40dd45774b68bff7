//! The hooks of `examples/hooks/`, in real repositories.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, wait_for};

fn run(dir: &Path, program: &str, args: &[&str]) -> Output {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("GIT_AUTHOR_NAME", "T")
        .env("GIT_AUTHOR_EMAIL", "t@example.org")
        .env("GIT_COMMITTER_NAME", "T")
        .env("GIT_COMMITTER_EMAIL", "t@example.org")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    output
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hooks").join(name)
}

fn install(hook: &str, to: &Path) {
    std::fs::copy(example(hook), to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A password that a shell, curl and HTTP could each take for something else.
const PASSWORD: &str = r#" p"a:s\s 'w$(id)ör%64 "#;

/// The principals of all submissions, the newest first.
fn principals(farm: &Farm) -> Vec<String> {
    let jobs = farm.jobs("");
    let of = |job: &serde_json::Value| {
        let shown = farm.get(&format!("/api/v1/submissions/{}", job["submission"])).1;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        shown["submission"]["principal"].as_str().unwrap().to_owned()
    };
    jobs.as_array().unwrap().iter().map(of).collect()
}

/// Waits for a published package, and says how long that took since `start`.
fn published(farm: &Farm, package: &str, version: &str, start: Instant) {
    wait_for("the package", DEADLINE, || {
        let failed = farm.jobs("status=Failed");
        assert_eq!(failed.as_array().unwrap().len(), 0, "{failed}");
        (farm.published(package) == [version]).then_some(())
    });
    println!("{package}: published {:.1} s after the push", start.elapsed().as_secs_f64());
}

#[test]
#[ignore = "needs git, curl, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_git_push_becomes_a_published_package() {
    let farm = Farm::new("");
    let _web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let bare = farm.path().join("hello.git");
    run(farm.path(), "git", &["init", "--quiet", "--bare", "-b", "main", bare.to_str().unwrap()]);
    install("git-post-receive", &bare.join("hooks/post-receive"));
    let token = farm.token("hook", &["--role", "submit"]);
    let source = format!("file://{}", bare.display());
    let settings = [
        ("farm", farm.url()),
        ("tokenFile", token.display().to_string()),
        ("source", source),
        ("suite", "bookworm".to_owned()),
    ];
    for (name, value) in &settings {
        run(&bare, "git", &["config", &format!("pybit.{name}"), value]);
    }
    let tree = Package::new("pybit-pushed", "1.0").write(farm.path());
    run(&tree, "git", &["init", "--quiet", "-b", "main"]);
    run(&tree, "git", &["add", "."]);
    run(&tree, "git", &["commit", "--quiet", "-m", "one"]);
    let start = Instant::now();
    let pushed =
        run(&tree, "git", &["push", "--quiet", bare.to_str().unwrap(), "main", "main:other"]);
    let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(said.contains("refs/heads/main submitted (200)"), "{said}");
    assert!(!said.contains("other"), "{said}");
    published(&farm, "pybit-pushed", "1.0", start);
    // An account's password does as well.
    let password = farm.account("forge", PASSWORD).display().to_string();
    for (name, value) in [("user", "forge"), ("tokenFile", &password)] {
        run(&bare, "git", &["config", &format!("pybit.{name}"), value]);
    }
    run(&tree, "git", &["tag", "v1"]);
    let pushed = run(&tree, "git", &["push", "--quiet", bare.to_str().unwrap(), "v1"]);
    let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(said.contains("refs/tags/v1 submitted (200)"), "{said}");
    assert_eq!(principals(&farm)[0], "account forge");
}

#[test]
#[ignore = "needs subversion, curl, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn a_subversion_commit_becomes_a_published_package() {
    let farm = Farm::new("");
    let _web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let repository = farm.path().join("svn");
    let (place, source) =
        (repository.to_str().unwrap(), format!("file://{}", repository.display()));
    run(farm.path(), "svnadmin", &["create", place]);
    install("svn-post-commit", &repository.join("hooks/post-commit"));
    let token = farm.token("hook", &["--role", "submit"]);
    let settings = format!(
        "farm={}\ntoken_file={}\nsource={source}\nsuite=bookworm\n",
        farm.url(),
        token.display()
    );
    std::fs::write(repository.join("conf/pybit"), settings).unwrap();
    let tree = Package::new("pybit-committed", "1.0").write(farm.path());
    let start = Instant::now();
    let to = format!("{source}/pybit-committed/trunk");
    run(farm.path(), "svn", &["import", "-q", "-m", "one", tree.to_str().unwrap(), &to]);
    published(&farm, "pybit-committed", "1.0", start);
    let jobs = farm.jobs("");
    assert_eq!(jobs.as_array().unwrap().len(), 2, "{jobs}");
    // An account's password does as well.
    let password = farm.account("forge", PASSWORD);
    let settings = format!(
        "farm={}\nuser=forge\ntoken_file={}\nsource={source}\nsuite=bookworm\n",
        farm.url(),
        password.display()
    );
    std::fs::write(repository.join("conf/pybit"), settings).unwrap();
    let to = format!("{source}/pybit-another/trunk");
    run(farm.path(), "svn", &["import", "-q", "-m", "two", tree.to_str().unwrap(), &to]);
    assert_eq!(principals(&farm)[0], "account forge");
}

#[test]
#[ignore = "needs python3"]
fn an_archives_mail_becomes_a_submission_of_its_source() {
    let farm = Farm::new("");
    let _web = farm.web();
    let token = farm.token("hook", &["--role", "submit"]);
    let deliver_as = |words: &[&str], url: &str, mail: &str| {
        let mut hook = Command::new(example("changes-mail"))
            .args(["--farm", url, "--suite", "bookworm"])
            .args(words)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        hook.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
        let output = hook.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let with_token = ["--token-file", token.to_str().unwrap()];
    let deliver = |url: &str, mail: &str| deliver_as(&with_token, url, mail);
    let mail = "From: archive@example.org\nSubject: hello_2.10-3_source.changes ACCEPTED\n\nAccepted:\n\nFormat: 1.8\n\
        Date: Mon, 23 Nov 2026 10:00:00 +0000\nSource: hello\nArchitecture: source\nVersion: 2.10-3\n\
        Distribution: unstable\nDescription:\n hello - a greeting\n";
    assert_eq!(deliver(&farm.url(), mail), (Some(0), String::new()));
    let jobs = farm.jobs("");
    assert_eq!((jobs.as_array().unwrap().len(), jobs[0]["package"].as_str()), (1, Some("hello")));
    let submission = farm.get(&format!("/api/v1/submissions/{}", jobs[0]["submission"])).1;
    assert!(submission.contains(r#""version":"2.10-3""#), "{submission}");
    let binary = mail.replace("Architecture: source", "Architecture: amd64");
    assert_eq!(deliver(&farm.url(), &binary).0, Some(65));
    let (code, said) = deliver(&farm.url(), &mail.replace("Source: hello", "Source: ../x"));
    assert!(code == Some(65) && said.contains("invalid_package"), "{said}");
    let (code, said) = deliver("http://127.0.0.1:9", mail);
    assert!(code == Some(75) && said.contains("cannot be reached"), "{said}");
    let password = farm.account("archive", PASSWORD);
    let with_password = ["--user", "archive", "--token-file", password.to_str().unwrap()];
    let newer = mail.replace("2.10-3", "2.10-4");
    assert_eq!(deliver_as(&with_password, &farm.url(), &newer), (Some(0), String::new()));
    assert_eq!(principals(&farm)[0], "account archive");
}
