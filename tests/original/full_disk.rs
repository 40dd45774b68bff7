//! Disks without space: of a build client, and of the server.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::fields::submit;
use crate::support::http::{Answer, ask};
use crate::support::package::Package;
use crate::support::{DEADLINE, Farm, outcomes, wait_for};

/// A file system of 8 MiB, gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        let words = ["-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs"];
        let done = Command::new("mount").args(words).arg(&at).status().unwrap();
        assert!(done.success(), "mounting {} needs root", at.display());
        Self(at)
    }

    /// Takes all the space there is.
    fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        for size in [64 << 10, 1] {
            let block = vec![0; size];
            let full = loop {
                if let Err(e) = ballast.write_all(&block) {
                    break e;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// What the attempts failed by.
fn classes(detail: &Value) -> BTreeSet<&str> {
    let attempts = detail["attempts"].as_array().unwrap().iter();
    attempts.filter_map(|a| a["failure"]["class"].as_str()).collect()
}

fn wait_jobs_dir_empty(farm: &Farm) {
    wait_for("the client to let go of everything", DEADLINE, || {
        std::fs::read_dir(farm.jobs_dir("one")).unwrap().next().is_none().then_some(())
    });
}

/// A build that finds no space is the machine's failure and not the package's: it is tried again, and ends well when there
/// is space; its log is whole.
#[test]
#[ignore = "needs root to mount a tmpfs, dpkg-dev, debhelper and the user pybit-build"]
fn build_on_a_full_disk_is_no_build_failure_and_goes_on_when_there_is_space() {
    let farm = Farm::new("");
    let disk = SmallDisk::mount(farm.path().join("one-work"));
    let _web = farm.web();
    let _client = farm.client("one");
    let gate = farm.path().join("gate");
    let package = Package::new("pybit-full", "1.0").gate(&gate);
    let package = package.build("head --bytes=3000000 /dev/urandom > big").build("echo it-fits");
    let job = farm.binary_job(&farm.submit(&package.write(farm.path())).0);
    farm.wait_building(job, 1);
    disk.fill();
    std::fs::write(&gate, "").unwrap();
    wait_for("two attempts to fail", DEADLINE, || {
        (outcomes(&farm.job(job)).get(..2) == Some(&["failed", "failed"])).then_some(())
    });
    disk.free();
    let detail = farm.wait_status(job, "Uploaded");
    assert_eq!(outcomes(&detail).last(), Some(&"succeeded"), "{detail}");
    assert_eq!(classes(&detail), BTreeSet::from(["infra"]), "{detail}");
    assert!(farm.log(job, 1).contains("building-now"), "the log of a failed attempt is kept");
    let last = u32::try_from(detail["attempts"].as_array().unwrap().len()).unwrap();
    let log = farm.log(job, last);
    assert!(log.contains("it-fits") && log.contains("collected"), "{log}");
    wait_jobs_dir_empty(&farm);
}

/// A client that cannot even write down a job gives it back at once, and takes it again when it can.
#[test]
#[ignore = "needs root to mount a tmpfs, dpkg-dev, debhelper and the user pybit-build"]
fn client_without_any_space_gives_its_job_back_and_takes_it_when_there_is_some() {
    let farm = Farm::new("");
    let disk = SmallDisk::mount(farm.path().join("one-work"));
    let _web = farm.web();
    let client = farm.client("one");
    wait_for("the client", DEADLINE, || client.said().contains("is up").then_some(()));
    disk.fill();
    let (submission, source) = farm.submit(&Package::new("pybit-back", "1.0").write(farm.path()));
    wait_for("the job to be given back", DEADLINE, || {
        (outcomes(&farm.job(source)) == ["refused"]).then_some(())
    });
    assert_eq!(farm.job(source)["job"]["status"], "Waiting");
    disk.free();
    let detail = farm.wait_status(source, "Done");
    assert!(classes(&detail).is_empty(), "nothing failed: {detail}");
    farm.wait_status(farm.binary_job(&submission), "Uploaded");
    wait_jobs_dir_empty(&farm);
}

/// Declares and sends a file of this many bytes; the first refusal, or the last answer.
fn upload(farm: &Farm, size: usize) -> Answer {
    use sha2::Digest;
    let bytes = vec![7; size];
    let file = json!({
        "name": "x.tar.zst", "size": size, "sha256": hex::encode(sha2::Sha256::digest(&bytes)),
    });
    let bearer = format!("Authorization: Bearer {}", farm.admin_token());
    let manifest = json!({"attempt": 0, "files": [file]}).to_string();
    let headers = [bearer.as_str(), "Content-Type: application/json"];
    let made = ask(&farm.address(), "POST", "/api/v1/uploads", &headers, manifest.as_bytes());
    if made.status != 201 {
        return made;
    }
    let id = serde_json::from_str::<Value>(&made.body).unwrap()["id"].to_string();
    let path = format!("/api/v1/uploads/{id}/files/x.tar.zst?offset=0");
    ask(&farm.address(), "PATCH", &path, &[&bearer], &bytes)
}

/// Whether it is the refusal that says: no space left.
fn is_full(answer: &Answer) -> bool {
    let code = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
    let code = code["error"]["code"].as_str().unwrap_or_default().to_owned();
    answer.status == 507 && ["full", "database_full"].contains(&code.as_str())
}

/// Submits until the server has no space for more; the jobs that it took.
fn submit_until_full(farm: &Farm) -> BTreeSet<i64> {
    let mut taken = BTreeSet::new();
    for n in 0..20_000 {
        let source = json!({"method": "apt", "package": format!("package{n}")});
        // Weaker than what is built meanwhile.
        let body = json!({"suite": "bookworm", "source": source, "priority": -1000});
        let answer = submit(farm, &body);
        if answer.status != 201 {
            assert!(is_full(&answer), "{answer:?}");
            return taken;
        }
        let reply: Value = serde_json::from_str(&answer.body).unwrap();
        taken.insert(reply["jobs"][0]["id"].as_i64().unwrap());
    }
    panic!("a full disk took {} submissions", taken.len());
}

/// Every job that the farm knows.
fn all_jobs(farm: &Farm) -> BTreeSet<i64> {
    let mut all = BTreeSet::new();
    loop {
        let before = all.first().map_or(String::new(), |id| format!("&before={id}"));
        let (fine, page) = farm.get(&format!("/api/v1/jobs?limit=200{before}"));
        assert!(fine, "{page}");
        let page: Value = serde_json::from_str(&page).unwrap();
        let ids: Vec<_> =
            page.as_array().unwrap().iter().map(|j| j["id"].as_i64().unwrap()).collect();
        if ids.is_empty() {
            return all;
        }
        all.extend(ids);
    }
}

/// A server without space says so, with 507, and takes nothing by half: what it took is there, also after it was killed;
/// a build that ends meanwhile waits with log and result, and goes on when there is space.
#[test]
#[ignore = "needs root to mount a tmpfs, dpkg-dev, debhelper and the user pybit-build"]
fn server_without_space_refuses_loses_nothing_and_goes_on_when_there_is_some() {
    let farm = Farm::new("");
    let disk = SmallDisk::mount(farm.path().join("data"));
    let web = farm.web();
    let _client = farm.client("one");
    let gate = farm.path().join("gate");
    let package = Package::new("pybit-server", "1.0").gate(&gate).build("echo after-the-gate");
    let (submission, source) = farm.submit(&package.write(farm.path()));
    let binary = farm.binary_job(&submission);
    farm.wait_building(binary, 1);
    disk.fill();
    let refused = upload(&farm, 1 << 20);
    assert!(is_full(&refused), "{refused:?}");
    let taken = submit_until_full(&farm);
    let refused = upload(&farm, 1 << 20);
    assert!(is_full(&refused), "{refused:?}");
    let mut expected: BTreeSet<_> = taken.into_iter().chain([source, binary]).collect();
    assert_eq!(all_jobs(&farm), expected, "reading works, and nothing was taken by half");
    // The build ends while its log and its result can go nowhere.
    std::fs::write(&gate, "").unwrap();
    wait_for("the result to wait", DEADLINE, || said_built(&farm).then_some(()));
    disk.free();
    let detail = farm.wait_status(binary, "Uploaded");
    assert_eq!(outcomes(&detail), ["succeeded"], "{detail}");
    assert!(farm.log(binary, 1).contains("after-the-gate"));
    assert_eq!(upload(&farm, 1 << 20).status, 200);
    // A server that is killed with a full disk leaves a database that is whole: the next one checks it before it starts.
    disk.fill();
    expected.extend(submit_until_full(&farm));
    web.kill();
    disk.free();
    let _web = farm.web();
    assert_eq!(all_jobs(&farm), expected, "nothing is lost");
    let apt = json!({"method": "apt", "package": "fine"});
    let answer = submit(&farm, &json!({"suite": "bookworm", "source": apt}));
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// Whether the log on the client's own disk says that the build has ended.
fn said_built(farm: &Farm) -> bool {
    let jobs = std::fs::read_dir(farm.jobs_dir("one")).unwrap().map(|e| e.unwrap().path());
    let logs = jobs.map(|dir| std::fs::read_to_string(dir.join("log")).unwrap_or_default());
    logs.into_iter().any(|log| log.contains("collected"))
}
