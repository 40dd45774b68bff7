//! A farm whose processes end and come back.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::check;
use crate::course::{Course, role_of};
use crate::support::package::{Package, tagged};
use crate::support::{DEADLINE, Farm, Role, http, wait_for};

/// The signal of `abort(3)`.
const ABORTED: i32 = 6;

/// The farm, its three processes, and the one of them that is to end.
pub(crate) struct Stage {
    /// Before the farm: what they said is shown while its directory is there.
    roles: [(&'static str, Option<Role>); 3],
    pub(crate) farm: Farm,
    client_extra: String,
    round: u32,
    /// The role that was told to end, until it has.
    armed: Option<&'static str>,
    ended: bool,
}

impl Stage {
    pub(crate) fn new(extra: &str, client_extra: &str) -> Self {
        let farm = Farm::with_lease(Duration::from_millis(1500), extra);
        let roles = [("web", None), ("client", None), ("watcher", None)];
        let client_extra = client_extra.to_owned();
        let mut stage = Self { farm, roles, client_extra, round: 0, armed: None, ended: false };
        for role in ["web", "client", "watcher"] {
            stage.start(role, &[]);
            stage.farm.wait_ready();
        }
        stage
    }

    fn start(&mut self, role: &'static str, vars: &[(&str, &str)]) {
        let path = self.farm.path().to_owned();
        let started = match role {
            "web" => Role::start_with("web", &path, &["web"], vars),
            "client" => {
                let config = self.client_config();
                Role::start_with("one", &path, &["--config", config.to_str().unwrap(), role], vars)
            }
            _ => {
                let config = self.farm.watch_config();
                let words = ["--config", config.to_str().unwrap(), "watch"];
                Role::start_with("watcher", &path, &words, vars)
            }
        };
        *self.slot(role) = Some(started);
    }

    fn client_config(&self) -> PathBuf {
        let config = self.farm.path().join("one.toml");
        if !config.exists() {
            self.farm.client_config("one", &self.farm.url());
            let text = std::fs::read_to_string(&config).unwrap();
            std::fs::write(&config, format!("{text}\n{}", self.client_extra)).unwrap();
        }
        config
    }

    fn slot(&mut self, role: &str) -> &mut Option<Role> {
        &mut self.roles.iter_mut().find(|(name, _)| *name == role).unwrap().1
    }

    /// Starts the armed process again once it has ended as it was told; any other end is a failure.
    fn tend(&mut self) {
        let Some(role) = self.armed else { return };
        let Some(status) = self.slot(role).as_mut().and_then(|r| r.child.try_wait().unwrap())
        else {
            return;
        };
        assert_eq!(status.signal(), Some(ABORTED), "{role} ended by itself: {status}");
        self.armed = None;
        self.ended = true;
        self.start(role, &[]);
    }

    /// Waits for an answer while the armed process may end and come back.
    pub(crate) fn wait<T>(&mut self, what: &str, mut ask: impl FnMut(&Farm) -> Option<T>) -> T {
        let what = format!("{what} in round {}", self.round);
        wait_for(&what, DEADLINE, || {
            self.tend();
            ask(&self.farm)
        })
    }

    /// Asks the server until it says that it has done it.
    pub(crate) fn post(&mut self, path: &str, key: Option<&str>, body: &Value) -> Value {
        let token = format!("Authorization: Bearer {}", self.farm.admin_token());
        let key = key.map(|k| format!("Idempotency-Key: {k}"));
        let mut headers = vec![token.as_str(), "Content-Type: application/json"];
        headers.extend(key.as_deref());
        let body = body.to_string();
        self.wait(path, |farm| {
            let answer = http::ask(&farm.address(), "POST", path, &headers, body.as_bytes());
            if answer.status == 409 && path.ends_with("/retry") {
                // A retry has no key: where its answer was lost, the job that it made is in the way of another.
                return serde_json::from_str(&answer.body).ok();
            }
            assert!(
                !(400..500).contains(&answer.status),
                "{path}: {} {}",
                answer.status,
                answer.body
            );
            ((200..300).contains(&answer.status))
                .then(|| serde_json::from_str(&answer.body).ok())
                .flatten()
        })
    }

    /// What the server says; `None` while it does not.
    pub(crate) fn ask(farm: &Farm, path: &str) -> Option<Value> {
        let token = format!("Authorization: Bearer {}", farm.admin_token());
        let answer = http::ask(&farm.address(), "GET", path, &[&token], b"");
        (answer.status == 200).then(|| serde_json::from_str(&answer.body).ok()).flatten()
    }

    /// Goes through `course` with the process of `point` told to end there the `nth` time; whether it did. Whatever happened,
    /// the farm is whole afterwards.
    pub(crate) fn survives(&mut self, point: &'static str, nth: u32, course: Course) -> bool {
        self.round += 1;
        let role = role_of(point);
        if let Some(running) = self.slot(role).take() {
            running.kill();
        }
        self.ended = false;
        self.armed = Some(role);
        self.start(role, &[("PYBIT_TRIAL_CRASH", &format!("{point}:{nth}"))]);
        let submissions = match course {
            Course::Build => self.build(),
            Course::Cancel => self.cancel(),
            Course::Lapse => self.lapse(),
            Course::Leave => self.leave(),
            Course::Wait => self.wait_for_another(),
            Course::Late => self.late(),
            Course::Remove => self.remove(),
        };
        if point == "log_after_archive_before_seal" || point == "file_after_seal_before_discard" {
            self.wait_archived(&submissions);
        }
        let ended = self.ended;
        self.armed = None;
        if !ended {
            // Work that comes later would reach the point, and nobody would start the process again.
            self.slot(role).take().unwrap().kill();
            self.start(role, &[]);
        }
        check::submissions(self, &submissions);
        ended
    }

    fn wait_archived(&mut self, submissions: &[String]) {
        let last = submissions[0].clone();
        self.wait("the archived logs", |farm| {
            let reply = Self::ask(farm, &format!("/api/v1/submissions/{last}"))?;
            let jobs = reply["jobs"].as_array()?.clone();
            let archived =
                |job: &Value| farm.path().join(format!("data/blobs/logs/{}", job["id"])).is_dir();
            jobs.iter().all(archived).then_some(())
        });
    }

    /// Submits a package of this round; the number of the submission.
    fn submit(&mut self, package: &Package) -> String {
        let tree = package.write(self.farm.path());
        tagged(&tree, "one");
        let source = json!({"method": "git", "url": format!("file://{}", tree.display()),
                            "reference": "one"});
        let body = json!({"source": source, "suite": "bookworm"});
        let key = format!("sweep-{}-{}", self.round, package.name);
        let reply = self.post("/api/v1/submissions", Some(&key), &body);
        reply["submission"]["id"].to_string()
    }

    /// Waits until the binary job of a submission is as wanted.
    fn binary(&mut self, submission: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/submissions/{submission}");
        self.wait(what, |farm| {
            let reply = Self::ask(farm, &path)?;
            let jobs = reply["jobs"].as_array()?;
            for job in jobs {
                assert!(job["status"] != "Failed", "{job}");
            }
            jobs.iter().find(|job| job["kind"] == "binary" && is(job)).cloned()
        })
    }

    fn building(&mut self, submission: &str) -> Value {
        let job = self.binary(submission, "the build", |job| job["status"] == "Building");
        let path = format!("/api/v1/jobs/{}/log", job["id"]);
        self.wait("the build's first words", |farm| {
            let answer = http::ask(&farm.address(), "GET", &path, &[], b"");
            answer.body.contains("building-now").then_some(())
        });
        job
    }

    fn package(&self) -> Package {
        Package::new(&format!("sweep-{}", self.round), "1.0")
    }

    fn done(&mut self, submission: &str) {
        self.binary(submission, "the package", |job| job["status"] == "Done");
    }

    fn build(&mut self) -> Vec<String> {
        let submission = self.submit(&self.package());
        self.done(&submission);
        vec![submission]
    }

    fn gated(&mut self) -> (String, PathBuf, Value) {
        let gate = self.farm.path().join(format!("gate-{}", self.round));
        let submission = self.submit(&self.package().gate(&gate));
        let job = self.building(&submission);
        (submission, gate, job)
    }

    fn cancel(&mut self) -> Vec<String> {
        let (submission, gate, job) = self.gated();
        self.post(&format!("/api/v1/jobs/{}/cancel", job["id"]), None, &json!({}));
        self.binary(&submission, "the end", |job| job["status"] == "Cancelled");
        std::fs::write(gate, "").unwrap();
        let again = self.post(&format!("/api/v1/jobs/{}/retry", job["id"]), None, &json!({}));
        let again = match again["submission"].as_i64() {
            Some(submission) => submission.to_string(),
            None => self.wait("the job that tries it again", |farm| {
                let jobs = Self::ask(farm, "/api/v1/jobs?limit=20")?;
                let again = jobs.as_array()?.iter().find(|j| j["retries_of"] == job["id"])?;
                Some(again["submission"].to_string())
            }),
        };
        self.done(&again);
        vec![submission, again]
    }

    fn lapse(&mut self) -> Vec<String> {
        let (submission, gate, _) = self.gated();
        self.slot("client").take().unwrap().kill();
        self.binary(&submission, "the lapse", |job| job["status"] == "Waiting");
        std::fs::write(gate, "").unwrap();
        self.start("client", &[]);
        self.done(&submission);
        vec![submission]
    }

    fn leave(&mut self) -> Vec<String> {
        let (submission, gate, _) = self.gated();
        let client = self.slot("client").as_mut().unwrap();
        client.signal("TERM");
        client.signal("TERM");
        let mut client = self.slot("client").take().unwrap();
        self.wait("the client's end", |_| client.child.try_wait().unwrap());
        std::fs::write(gate, "").unwrap();
        self.start("client", &[]);
        self.done(&submission);
        vec![submission]
    }

    fn restart_client(&mut self, vars: &[(&str, &str)]) {
        if let Some(running) = self.slot("client").take() {
            running.kill();
        }
        self.start("client", vars);
    }

    fn late(&mut self) -> Vec<String> {
        // With one thread, which stands still, the report comes before the heartbeat that would call it off.
        let stall = ("PYBIT_TRIAL_STALL", "client_log_stored_before_report:1500");
        self.restart_client(&[stall, ("TOKIO_WORKER_THREADS", "1")]);
        let mut submissions = Vec::new();
        while !self.ended && submissions.len() < 10 {
            let name = format!("sweep-{}-{}", self.round, submissions.len());
            let submission = self.submit(&Package::new(&name, "1.0"));
            let job = self.binary(&submission, "the build", |job| job["status"] == "Building");
            let claimed = format!("claimed job={} ", job["id"]);
            self.wait("the pause before the report", |farm| {
                let said = std::fs::read_to_string(farm.path().join("one.log")).unwrap();
                let since = said.rfind(&claimed)?;
                said[since..].contains("TRIAL: stands still").then_some(())
            });
            self.slot("client").as_mut().unwrap().signal("STOP");
            self.binary(&submission, "the lapse", |job| job["status"] != "Building");
            self.slot("client").as_mut().unwrap().signal("CONT");
            self.done(&submission);
            submissions.push(submission);
        }
        self.restart_client(&[]);
        submissions
    }

    /// The package is checked while it is published; afterwards nothing of it is left but the record.
    fn remove(&mut self) -> Vec<String> {
        let submission = self.submit(&self.package());
        self.done(&submission);
        check::submissions(self, std::slice::from_ref(&submission));
        let name = format!("sweep-{}", self.round);
        let body = json!({"kind": "remove", "package": name, "reason": "the sweep"});
        let orders = "/api/v1/repositories/bookworm/orders";
        let order = self.post(orders, None, &body);
        let path = format!("{orders}/{}", order["id"]);
        self.wait("the removal", |farm| {
            Self::ask(farm, &path).filter(|order| order["state"] == "done")
        });
        let told = self.wait("the history", |farm| {
            Self::ask(farm, &format!("/api/v1/packages/{name}/history"))
        });
        let gone = |entry: &Value| entry["removal"]["packages"][0]["name"] == name.as_str();
        assert!(told.as_array().unwrap().iter().any(gone), "{told}");
        assert!(self.farm.published(&name).is_empty(), "{name}");
        Vec::new()
    }

    fn wait_for_another(&mut self) -> Vec<String> {
        let library = format!("sweep-lib-{}", self.round);
        let mut package = self.package();
        package.build_depends = format!(", {library}");
        let waiting = self.submit(&package);
        self.binary(&waiting, "the first wait", |job| job["status"] == "Blocked");
        let there = self.submit(&Package::new(&library, "1.0"));
        self.done(&there);
        // The machine itself does not get the library, so it waits a second time.
        let woken = |job: &Value| job["status"] == "Blocked" && job["attempt"] == 2;
        let job = self.binary(&waiting, "the second wait", woken);
        self.post(&format!("/api/v1/jobs/{}/cancel", job["id"]), None, &json!({}));
        vec![there, waiting]
    }
}
