//! Uploads with the tools of Debian's maintainers: what is built and published, and what is refused.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::keys::Keys;
use crate::support::http::{Answer, ask};
use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, Role, wait_for};

/// A farm whose suite `bookworm` is Ann's to upload to, and `trixie` Eve's.
struct Site {
    keys: Keys,
    ann: String,
    eve: String,
    farm: Farm,
    secret: String,
    _web: Role,
}

impl Site {
    fn new(limits: &str) -> Self {
        let keys = Keys::new();
        let (ann, eve) = (keys.make("ann@example.org"), keys.make("eve@example.org"));
        let (anns, eves) = (keys.ring("bookworm.gpg", &ann), keys.ring("trixie.gpg", &eve));
        let farm = Farm::new(&format!(
            r#"
# What dput sends is of the format deb, whatever else the suite has.
[[suites]]
dist = "Debian"
name = "bookworm"
format = "rpm"
arches = ["x86_64"]
envs = [{{ name = "host" }}]

[[suites]]
dist = "Debian"
name = "trixie"
format = "deb"
arches = ["amd64"]
envs = [{{ name = "host" }}]

[web.dput]
{limits}

[[web.dput.suites]]
suite = "bookworm"
keyring = "{}"

[[web.dput.suites]]
suite = "trixie"
dist = "Debian"
keyring = "{}"
"#,
            anns.display(),
            eves.display()
        ));
        let web = farm.web();
        let token = farm.token("ann", &["--role", "submit"]);
        let secret = std::fs::read_to_string(token).unwrap();
        Self { keys, ann, eve, farm, secret, _web: web }
    }

    /// A source-only upload for a suite, signed by a key; the path of its `.changes`.
    fn upload(&self, name: &str, version: &str, suite: &str, key: &str) -> PathBuf {
        let changes = self.unsigned(name, version, suite, "--build=source");
        self.keys.debsign(key, &changes);
        changes
    }

    fn unsigned(&self, name: &str, version: &str, suite: &str, kind: &str) -> PathBuf {
        let dir = self.farm.path().join("maintainer").join(format!("{name}-{version}-{suite}"));
        let tree = Package::new(name, version).write(&dir);
        let log = tree.join("debian/changelog");
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::write(&log, text.replace(") bookworm;", &format!(") {suite};"))).unwrap();
        let build = Command::new("dpkg-buildpackage")
            .args([kind, "--no-sign", "-d"])
            .current_dir(&tree)
            .output()
            .unwrap();
        assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
        let files = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path());
        files.into_iter().find(|p| p.extension().is_some_and(|e| e == "changes")).unwrap()
    }

    /// Runs `dput`, which asks for the password at its standard input where it has no terminal.
    fn dput(&self, changes: &Path) -> Output {
        self.dput_with(changes, &self.secret)
    }

    fn dput_with(&self, changes: &Path, password: &str) -> Output {
        let config = self.keys.path().join("dput.cf");
        let text = format!(
            "[farm]\nfqdn = {}\nmethod = http\nincoming = /dput\nlogin = ann\n",
            self.farm.address()
        );
        std::fs::write(&config, text).unwrap();
        let mut dput = self
            .keys
            .command("setsid")
            .args(["--wait", "dput", "--force", "--config"])
            .arg(&config)
            .arg("farm")
            .arg(changes)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        dput.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
        dput.wait_with_output().unwrap()
    }

    fn put(&self, name: &str, body: &[u8]) -> Answer {
        self.put_as(&self.secret, name, body)
    }

    fn put_as(&self, secret: &str, name: &str, body: &[u8]) -> Answer {
        let credentials = BASE64_STANDARD.encode(format!("anybody:{secret}"));
        let header = format!("Authorization: Basic {credentials}");
        ask(&self.farm.address(), "PUT", &format!("/dput/{name}"), &[&header], body)
    }

    /// Sends what a `.changes` lists, and it at last; the last answer.
    fn put_all(&self, changes: &Path) -> Answer {
        for file in listed(changes) {
            let answer = self.put(&name_of(&file), &std::fs::read(&file).unwrap());
            assert_eq!(answer.status, 201, "{}", answer.body);
        }
        self.put(&name_of(changes), &std::fs::read(changes).unwrap())
    }

    fn jobs(&self) -> usize {
        self.farm.jobs("").as_array().unwrap().len()
    }

    fn wait_published(&self, package: &str, version: &str) {
        wait_for("the package", DEADLINE, || {
            let failed = self.farm.jobs("status=Failed");
            assert_eq!(failed.as_array().unwrap().len(), 0, "{failed}");
            (self.farm.published(package) == [version]).then_some(())
        });
    }
}

/// The files that a `.changes` lists, beside it.
fn listed(changes: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(changes).unwrap();
    let (_, files) = text.split_once("\nFiles:").unwrap();
    let lines = files.lines().skip(1).take_while(|l| l.starts_with(' '));
    let names = lines.map(|l| l.rsplit(' ').next().unwrap());
    names.map(|n| changes.with_file_name(n)).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn assert_refused(answer: &Answer, status: u16, code: &str, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    let quoted = format!("\"code\":\"{code}\"");
    assert!(answer.body.contains(&quoted) && answer.body.contains(words), "{}", answer.body);
}

#[test]
#[ignore = "needs dput, devscripts, gpg, dpkg-dev, debhelper, reprepro and the user pybit-build"]
fn what_dput_uploads_is_built_and_published() {
    let site = Site::new("");
    let (_client, _watcher) = (site.farm.client("one"), site.farm.watcher());
    let changes = site.upload("pybit-put", "1.0", "bookworm", &site.ann);
    let dput = site.dput(&changes);
    assert!(dput.status.success(), "{}", said(&dput));
    site.wait_published("pybit-put", "1.0");
    let jobs = site.farm.jobs("");
    let submission = site.farm.get(&format!("/api/v1/submissions/{}", jobs[0]["submission"])).1;
    assert!(submission.contains(&format!("key {}", site.ann)), "{submission}");

    let again = site.dput(&changes);
    let words = "was here before";
    assert!(!again.status.success() && said(&again).contains(words), "{}", said(&again));
    let older = site.upload("pybit-put", "0.9", "bookworm", &site.ann);
    site.farm.account("ann", "correct: horse");
    let older = site.dput_with(&older, "correct: horse");
    assert!(!older.status.success() && said(&older).contains("older than 1.0"), "{}", said(&older));
    let eves = site.upload("pybit-put", "1.1", "bookworm", &site.eve);
    let refused = site.dput(&eves);
    let words = format!("the key {} is not in the keyring bookworm", site.eve);
    assert!(!refused.status.success() && said(&refused).contains(&words), "{}", said(&refused));
    assert_eq!(site.jobs(), 1);
}

#[test]
#[ignore = "needs apt-get and a mirror, python3-dput, devscripts, gpg, debhelper, reprepro and the user pybit-build"]
fn what_dput_ng_uploads_is_built_and_published() {
    let site = Site::new("");
    let (_client, _watcher) = (site.farm.client("one"), site.farm.watcher());
    // It cannot be installed beside dput: unpacked, its own files as the skeleton that it looks for where it runs.
    let dir = site.keys.path().join("dput-ng");
    std::fs::create_dir(&dir).unwrap();
    let fetched =
        Command::new("apt-get").args(["download", "dput-ng"]).current_dir(&dir).output().unwrap();
    assert!(fetched.status.success(), "{}", said(&fetched));
    let package = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    assert!(Command::new("dpkg").arg("-x").args([&package, &dir]).status().unwrap().success());
    let home = dir.join("skel");
    for place in ["usr/share/dput-ng", "etc/dput.d"] {
        let copy = Command::new("cp").args(["-rT", "--"]).arg(dir.join(place)).arg(&home).status();
        assert!(copy.unwrap().success());
    }
    let profile = serde_json::json!({
        "fqdn": format!("http://ann:{}@{}", site.secret, site.farm.address()),
        "incoming": "/dput", "method": "http", "meta": "boring", "hooks": ["checksum", "gpg"],
    });
    std::fs::write(home.join("profiles/farm.json"), profile.to_string()).unwrap();
    let dput_ng = |changes: &Path| {
        let mut command = site.keys.command("/usr/bin/python3");
        command.arg(dir.join("usr/bin/dput")).arg("farm").arg(changes).stdin(Stdio::null());
        command.current_dir(&dir).output().unwrap()
    };
    let done = dput_ng(&site.upload("pybit-ng", "1.0", "bookworm", &site.ann));
    assert!(done.status.success(), "{}", said(&done));
    site.wait_published("pybit-ng", "1.0");
    let refused = dput_ng(&site.upload("pybit-ng", "1.1", "bookworm", &site.eve));
    let words = format!("the key {} is not in the keyring bookworm", site.eve);
    assert!(!refused.status.success() && said(&refused).contains(&words), "{}", said(&refused));
    assert_eq!(site.jobs(), 1);
}

#[test]
#[ignore = "needs devscripts, gpg, dpkg-dev and debhelper"]
fn an_upload_is_refused_with_the_key_and_the_reason() {
    let site = Site::new("");
    let good = site.upload("pybit-bad", "1.0", "bookworm", &site.ann);

    let unsigned = site.unsigned("pybit-bad", "1.1", "bookworm", "--build=source");
    assert_refused(&site.put_all(&unsigned), 422, "unsigned", "debsign");
    let eves = site.upload("pybit-bad", "1.2", "bookworm", &site.eve);
    assert_refused(&site.put_all(&eves), 422, "unknown_key", &site.eve);
    let anns = site.upload("pybit-bad", "1.3", "trixie", &site.ann);
    assert_refused(&site.put_all(&anns), 422, "unknown_key", &site.ann);
    let closed = site.upload("pybit-bad", "1.4", "sid", &site.ann);
    assert_refused(&site.put_all(&closed), 422, "suite_closed", "the suite sid");
    let text = std::fs::read_to_string(&good).unwrap();
    let changed = text.replace("Urgency: medium", "Urgency: high");
    let answer = site.put(&name_of(&good), changed.as_bytes());
    assert_refused(&answer, 422, "bad_signature", &site.ann[24..]);

    // The .dsc is not the one that was signed with the .changes; then it is not there; then it is right.
    let dsc = good.with_file_name("pybit-bad_1.0.dsc");
    let bytes = std::fs::read(&dsc).unwrap();
    for file in listed(&good) {
        assert_eq!(site.put(&name_of(&file), &std::fs::read(&file).unwrap()).status, 201);
    }
    let mut other = bytes.clone();
    other[0] = b'+';
    assert_eq!(site.put("pybit-bad_1.0.dsc", &other).status, 201);
    let answer = site.put(&name_of(&good), text.as_bytes());
    assert_refused(&answer, 422, "file_differs", "pybit-bad_1.0.dsc");
    assert_eq!(site.put("pybit-bad_1.0.dsc", &bytes[1..]).status, 201);
    let answer = site.put(&name_of(&good), text.as_bytes());
    assert_refused(&answer, 422, "file_differs", "pybit-bad_1.0.dsc");
    let tarball = "pybit-bad_1.0.tar.xz";
    let mut other = std::fs::read(good.with_file_name(tarball)).unwrap();
    other[99] ^= 1;
    assert_eq!(site.put("pybit-bad_1.0.dsc", &bytes).status, 201);
    assert_eq!(site.put(tarball, &other).status, 201);
    let answer = site.put(&name_of(&good), text.as_bytes());
    assert_refused(&answer, 422, "digest_mismatch", tarball);

    // Files of one token are not another's.
    let token = site.farm.token("bob", &["--role", "submit"]);
    let bob = std::fs::read_to_string(token).unwrap();
    let answer = site.put_as(&bob, &name_of(&good), text.as_bytes());
    assert_refused(&answer, 422, "files_missing", "which was not sent");

    let both = site.unsigned("pybit-bad", "1.5", "bookworm", "--build=full");
    site.keys.debsign(&site.ann, &both);
    assert_refused(&site.put_all(&both), 422, "built_packages", "--build=source");
    let binary = site.unsigned("pybit-bad", "1.6", "bookworm", "--build=binary");
    site.keys.debsign(&site.ann, &binary);
    assert_refused(&site.put_all(&binary), 422, "built_packages", ".deb");

    assert_eq!(site.jobs(), 0);
    assert_eq!(site.put_all(&good).status, 201);
    assert_eq!(site.jobs(), 1);
    // Another's token does not make a replay a new upload.
    for file in listed(&good) {
        site.put_as(&bob, &name_of(&file), &std::fs::read(&file).unwrap());
    }
    let answer = site.put_as(&bob, &name_of(&good), text.as_bytes());
    assert_refused(&answer, 409, "replayed", "was here before");
    assert_eq!(site.jobs(), 1);
}

#[test]
#[ignore = "needs gpg"]
fn a_place_for_uploads_is_no_place_for_anything_else() {
    let site = Site::new("most_bytes = 1000\nmost_files = 3");
    for name in ["../x", "a/b.dsc", "..%2fx", "%2e%2e/x.dsc", ".x", "~ann/x.dsc", "a%00b", ""] {
        let answer = site.put(name, b"x");
        assert!([400, 404, 422].contains(&answer.status), "{name}: {}", answer.body);
    }
    let client = site.farm.token("two", &["--role", "client", "--client", "two"]);
    let client = std::fs::read_to_string(client).unwrap();
    assert_eq!(site.put_as(&client, "x_1.dsc", b"x").status, 403);
    assert_eq!(site.put_as("wrong", "x_1.dsc", b"x").status, 401);
    // It has sent everything before it learns that it may not: the answer must arrive all the same.
    assert_eq!(site.put_as("wrong", "x_1.tar", &vec![0; 20 << 20]).status, 401);

    assert_eq!(site.put("x_1.tar", &[0; 900]).status, 201);
    assert_eq!(site.put("x_1.tar", &[0; 1000]).status, 201);
    assert_refused(&site.put("x_1.dsc", b"x"), 413, "staging_full", "1000 bytes");
    assert_refused(&site.put("x_1.tar", &vec![0; 20 << 20]), 413, "staging_full", "1000 bytes");
    assert_eq!(site.put("x_1.tar", b"").status, 201);
    for name in ["x_2.tar", "x_3.tar"] {
        assert_eq!(site.put(name, b"x").status, 201);
    }
    assert_refused(&site.put("x_4.tar", b""), 413, "staging_full", "3 files");
    let answer = site.put("x_1.changes", &vec![b'x'; 2 << 20]);
    assert_refused(&answer, 413, "too_large", "1048576");
    assert_refused(&site.put("x_1.changes", b"x"), 422, "invalid_changes", "");
}
