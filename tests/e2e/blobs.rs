//! Logs and files in an S3 store that is killed, and one that is not what it should be.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, Role, wait_for};

/// An S3 server of the test's own, to be killed: its bucket is `farm`.
struct S3 {
    dir: tempfile::TempDir,
    port: u16,
    running: Option<Child>,
}

const SECRET: &str = "e2e-secret-of-the-store";

impl S3 {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("data/farm")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut s3 = Self { dir, port, running: None };
        s3.credentials("credentials", SECRET);
        s3.run();
        s3
    }

    fn run(&mut self) {
        let program = std::env::var("PYBIT_TEST_S3_SERVER")
            .expect("PYBIT_TEST_S3_SERVER names no program: tools/services run gives it");
        let server = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--access-key", "e2e", "--secret-key", SECRET])
            .arg(self.dir.path().join("data"))
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.running = Some(server.unwrap());
        let address = ("127.0.0.1", self.port);
        wait_for("the S3 server", DEADLINE, || std::net::TcpStream::connect(address).ok());
    }

    fn kill(&mut self) {
        if let Some(mut server) = self.running.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    fn credentials(&self, name: &str, secret: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        let text =
            format!("[default]\naws_access_key_id = e2e\naws_secret_access_key = {secret}\n");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        file
    }

    /// The `[blobs]` table of a farm that keeps its bytes here.
    fn table(&self, credentials: &str) -> String {
        let (port, file) = (self.port, self.dir.path().join(credentials));
        format!(
            "[blobs]\nurl = \"s3://farm/blue\"\nendpoint = \"http://127.0.0.1:{port}\"\n\
             credentials_file = \"{}\"\n",
            file.display()
        )
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}

fn exists(file: &Path) {
    let what = format!("{} to be there", file.display());
    wait_for(&what, DEADLINE, || file.exists().then_some(()));
}

fn lines(log: &str) -> Vec<&str> {
    log.lines().filter(|l| l.starts_with("line-")).collect()
}

#[test]
#[ignore = "needs s3s-fs, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn an_s3_store_killed_mid_build_loses_nothing() {
    let mut s3 = S3::start();
    let farm = Farm::new(&s3.table("credentials"));
    let web = farm.web();
    let (_client, _watcher) = (farm.client("one"), farm.watcher());
    let open = farm.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let (gate, said, last) = (open.join("gate"), open.join("said"), open.join("last"));
    let tree = Package::new("pybit-s3", "1.0")
        .build("for i in $$(seq 1 1000); do echo line-$$i; done")
        .gate(&gate)
        .build("for i in $$(seq 1001 2000); do echo line-$$i; done")
        .build(&format!("touch {}", said.display()))
        .gate(&last)
        .build("for i in $$(seq 2001 3000); do echo line-$$i; done")
        .write(farm.path());
    let job = farm.binary_job(&farm.submit(&tree).0);
    farm.wait_building(job, 1);
    let follower = Role::start("follower", farm.path(), &["log", &job.to_string(), "--follow"]);
    wait_for("the follower", DEADLINE, || follower.said().contains("line-1000").then_some(()));

    s3.kill();
    std::fs::write(&gate, "").unwrap();
    exists(&said);
    wait_for("the server to notice", DEADLINE, || (!farm.get("/readyz").0).then_some(()));
    let service = format!("the S3 store s3://farm/blue at http://127.0.0.1:{}", s3.port);
    let refused = format!("{service} cannot be reached");
    wait_for("the service in the log", DEADLINE, || web.said().contains(&refused).then_some(()));
    s3.run();
    std::fs::write(&last, "").unwrap();

    let detail = farm.wait_status(job, "Done");
    assert_eq!(detail["attempts"].as_array().unwrap().len(), 1, "the build went on: {detail}");
    assert_eq!(farm.published("pybit-s3"), ["1.0"]);
    let expected: Vec<_> = (1..=3000).map(|i| format!("line-{i}")).collect();
    let log = farm.log(job, 1);
    assert_eq!(lines(&log), expected, "no gap, nothing twice");
    wait_for("the follower's end", DEADLINE, || {
        (lines(&follower.said()).len() >= 3000).then_some(())
    });
    assert_eq!(lines(&follower.said()), expected, "and so the follower saw it");
    assert!(!web.said().contains(SECRET));
    assert!(!farm.path().join("data/blobs").exists(), "nothing lies in the folder");
}

#[test]
#[ignore = "needs s3s-fs"]
fn a_store_that_cannot_be_used_ends_the_start_with_one_sentence() {
    let mut s3 = S3::start();
    s3.credentials("wrong", "another-secret");
    let refused = |table: &str| {
        let farm = Farm::new(table);
        let output = farm.run(&["web"]);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("another-secret") && !said.contains(SECRET), "{said}");
        said
    };
    let service = format!("the S3 store s3://farm/blue at http://127.0.0.1:{}", s3.port);
    let wrong = refused(&s3.table("wrong"));
    let sentence = format!("{service} refuses the credentials (SignatureDoesNotMatch)");
    assert!(wrong.contains(&sentence), "{wrong}");
    let unknown = refused(&format!("{}\npath_stile = true\n", s3.table("wrong")));
    for word in ["pybit.toml", "path_stile", "path_style"] {
        assert!(unknown.contains(word), "{unknown}");
    }
    let scheme = refused("[blobs]\nurl = \"gs://farm\"\n");
    assert!(scheme.contains("pybit.toml") && scheme.contains("file:, memory:, s3:"), "{scheme}");
    s3.kill();
    let away = refused(&s3.table("credentials"));
    assert!(away.contains(&format!("{service} cannot be reached")), "{away}");
}

#[test]
#[ignore = "needs s3s-fs"]
fn the_doctor_tries_the_store() {
    let mut s3 = S3::start();
    let farm = Farm::new(&s3.table("credentials"));
    let blobs = || {
        let output = farm.run(&["doctor", "--role", "web", "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["blobs"].clone()
    };
    assert_eq!(blobs(), serde_json::json!({ "url": "s3://farm/blue", "trouble": null }));
    s3.kill();
    let trouble = blobs()["trouble"].to_string();
    assert!(trouble.contains("cannot be reached") && !trouble.contains(SECRET), "{trouble}");
}
