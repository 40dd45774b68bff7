//! Jobs of a farm, as the API tells of them.

use std::time::Duration;

use serde_json::Value;

use super::{DEADLINE, Farm, http, wait_for};

impl Farm {
    /// The answer of the API to a GET, which must succeed once the server is there. Tests that look again and again use
    /// this and not the command, whose start takes more processor time than what is looked at.
    pub(crate) fn api(&self, path: &str) -> Value {
        let token = format!("Authorization: Bearer {}", self.admin_token());
        let answer = wait_for("an answer of the server", DEADLINE, || {
            let answer = http::ask(&self.address(), "GET", path, &[&token], b"");
            (answer.status != 0).then_some(answer)
        });
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// A job as the API tells it.
    pub(crate) fn job(&self, id: i64) -> Value {
        self.api(&format!("/api/v1/jobs/{id}"))
    }

    /// The jobs that a query selects (`status=Failed`), newest first.
    pub(crate) fn jobs(&self, query: &str) -> Value {
        self.api(&format!("/api/v1/jobs?{query}"))
    }

    /// Waits until a job is in a status, and returns its detail.
    pub(crate) fn wait_status(&self, id: i64, status: &str) -> Value {
        wait_for(&format!("job {id} to be {status}"), DEADLINE, || {
            let detail = self.job(id);
            (detail["job"]["status"] == status).then_some(detail)
        })
    }

    /// The log of an attempt.
    pub(crate) fn log(&self, id: i64, attempt: u32) -> String {
        let token = format!("Authorization: Bearer {}", self.admin_token());
        let path = format!("/api/v1/jobs/{id}/log?attempt={attempt}");
        let answer = http::ask(&self.address(), "GET", &path, &[&token], b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// Waits for the binary job of a submission.
    pub(crate) fn binary_job(&self, submission: &str) -> i64 {
        wait_for("the binary job", DEADLINE, || {
            let jobs = self.jobs(&format!("submission={submission}"));
            jobs.as_array().unwrap().iter().find(|j| j["kind"] == "binary")?["id"].as_i64()
        })
    }

    /// Waits until the binary job of a submission is in a status, none of its jobs having failed; its detail.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every test wants it")]
    pub(crate) fn wait_binary(&self, submission: &str, status: &str, longest: Duration) -> Value {
        wait_for(&format!("the binary job to be {status}"), longest, || {
            let jobs = self.jobs(&format!("submission={submission}"));
            let jobs = jobs.as_array().unwrap();
            if let Some(failed) = jobs.iter().find(|j| j["status"] == "Failed") {
                panic!("{failed}\n{}", self.newest_log(failed));
            }
            let binary = jobs.iter().find(|j| j["kind"] == "binary" && j["status"] == status)?;
            Some(self.job(binary["id"].as_i64().unwrap()))
        })
    }

    /// The log of a listed job's newest attempt.
    #[allow(dead_code, clippy::allow_attributes, reason = "not every test wants it")]
    pub(crate) fn newest_log(&self, job: &Value) -> String {
        let attempt = u32::try_from(job["attempt"].as_i64().unwrap()).unwrap();
        self.log(job["id"].as_i64().unwrap(), attempt)
    }

    /// Waits until the build of a [gated](package::Package::gate) package has begun.
    pub(crate) fn wait_building(&self, job: i64, attempt: u32) {
        wait_for("the build to say something", DEADLINE, || {
            let detail = self.job(job);
            let status = &detail["job"]["status"];
            assert!(status != "Failed", "{detail}");
            let running = status == "Building" && detail["job"]["attempt"] == attempt;
            (running && self.log(job, attempt).contains("building-now")).then_some(())
        });
    }
}

/// The outcomes of a job's attempts, oldest first.
pub(crate) fn outcomes(detail: &Value) -> Vec<&str> {
    let attempts = detail["attempts"].as_array().unwrap();
    attempts.iter().map(|a| a["outcome"].as_str().unwrap_or("none")).collect()
}
