//! Names that are refused: by a block rule, and because another source owns them.

use pybit_core::model::{BlockRule, BlockSubject, FailureClass, JobKind, RuleId, SuiteMove};
use pybit_core::publish::Listed;

use super::*;

#[tokio::test]
async fn a_block_rule_and_an_unknown_name_are_refused_with_what_is_known() {
    let world = world().await;
    world.block("^evil").await;
    let refused = world.submit_dsc("evil-tool", "1", "any").await.unwrap_err();
    assert_eq!(refused.code(), "blocked");
    assert!(refused.message().contains("it is evil"));
    for (field, value, code, known) in [
        ("suite", "sid", "unknown_suite", "bookworm"),
        ("dist", "Ubuntu", "unknown_dist", "Debian"),
        ("env", "vm", "unknown_env", "sbuild"),
        ("format", "rpm", "unknown_format", "deb"),
    ] {
        let mut request = serde_json::to_value(submission("apt:hello".parse().unwrap())).unwrap();
        request[field] = value.into();
        let request = serde_json::from_value(request).unwrap();
        let error = world.farm.submit(&ann(), request, None, None).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.message().contains(known), "{error}");
    }
}

impl World {
    async fn block(&self, pattern: &str) {
        let rule = BlockRule {
            id: RuleId(0),
            subject: BlockSubject::Package,
            pattern: pattern.to_owned(),
            reason: "it is evil".to_owned(),
        };
        self.farm.storage().add_rule(&rule).await.unwrap();
    }

    /// The repository holds this package of that source.
    async fn holds(&self, name: &str, source: &str) {
        let listed = Listed {
            name: name.to_owned(),
            version: "1".to_owned(),
            arch: "amd64".to_owned(),
            source: source.to_owned(),
        };
        let repository = "bookworm".parse().unwrap();
        self.farm.storage().put_published(&repository, &[listed]).await.unwrap();
    }

    async fn allow(&self, binary: &str, from: &str, to: &str) {
        let moved = SuiteMove {
            dist: "Debian".parse().unwrap(),
            suite: "bookworm".parse().unwrap(),
            format: "deb".parse().unwrap(),
            binary: binary.parse().unwrap(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            why: "renamed upstream".to_owned(),
            by: "eve".to_owned(),
            at: None,
        };
        self.farm.storage().put_move(&moved).await.unwrap();
    }

    /// A source job of `package` whose source says that it builds `binaries`; as it ended.
    async fn source_of(&self, package: &str, binaries: &str, claim: &str) -> Job {
        let request = submission(format!("apt:{package}").parse().unwrap());
        self.farm.submit(&ann(), request, None, None).await.unwrap();
        let source = self.claim("one", claim).await.job;
        assert_eq!(source.kind, JobKind::Source);
        let text = dsc(package, "9", "any")
            .replace(&format!("Binary: {package}"), &format!("Binary: {binaries}"));
        let files = World::source_files(package, "9", &text);
        self.store(StreamOwner::Attempt { job: source.id, attempt: 1 }, &files).await;
        let main = format!("{package}_9.dsc").parse().unwrap();
        let source_report = SourceReport { main, resolved: "9".to_owned() };
        let request = FinishRequest {
            attempt: 1,
            log: empty_log(),
            files,
            source: Some(source_report),
            produced: vec![],
        };
        let one = "one".parse().unwrap();
        self.farm.finish(&one, source.id, &request, Some(text.as_bytes())).await.unwrap()
    }
}

fn policy(job: &Job) -> &str {
    assert_eq!(job.status, JobStatus::Failed);
    let failure = job.failure.as_ref().unwrap();
    assert_eq!(failure.class, FailureClass::Policy, "{failure:?}");
    &failure.message
}

#[tokio::test]
async fn a_source_that_says_anothers_name_fails_before_its_binary_jobs_until_the_move_is_allowed() {
    let world = world().await;
    world.holds("sec-base", "sec-base").await;
    let refused = world.source_of("sec-hijack", "sec-other,\n sec-base", "claim-0001").await;
    let message = policy(&refused);
    assert!(message.contains("sec-base belongs to the source sec-base"), "{message}");
    assert!(message.contains("sec-hijack may not publish it"), "{message}");
    let filter = JobFilter { submission: Some(refused.submission), ..JobFilter::default() };
    let jobs = world.farm.storage().jobs(&filter, &Page::first(50)).await.unwrap();
    assert_eq!(jobs.len(), 1, "nothing is built");
    let own = world.source_of("sec-base", "sec-base", "claim-0002").await;
    assert_eq!(own.status, JobStatus::Done, "its own source goes on");
    for claim in ["claim-0003", "claim-0004"] {
        world.claim("one", claim).await;
    }
    world.allow("sec-base", "sec-base", "sec-hijack").await;
    let allowed = world.source_of("sec-hijack", "sec-base", "claim-0005").await;
    assert_eq!(allowed.status, JobStatus::Done);
}

#[tokio::test]
async fn an_uploaded_source_with_anothers_name_is_refused_and_a_plan_says_which_move_allows_it() {
    let world = world().await;
    world.holds("hello", "greeter").await;
    let error = world.submit_dsc("hello", "1", "any").await.unwrap_err();
    assert_eq!(error.code(), "name_owned");
    assert!(error.message().contains("source greeter in this repository; hello may"), "{error}");
    world.allow("hello", "greeter", "hello").await;
    let (upload, text) = world.upload("hello", "1", "any").await;
    let request = submission(Source::Upload { upload, main: "hello_1.dsc".parse().unwrap() });
    let planned = world.farm.plan(&ann(), &request, Some(text.as_bytes())).await.unwrap();
    let said = "the name hello may move from greeter to hello: eve allowed it (renamed upstream)";
    assert!(planned.iter().all(|p| p.why.contains(said)), "{planned:?}");
    world.submit_dsc("hello", "1", "any").await.unwrap();
}

#[tokio::test]
async fn a_block_rule_sees_the_binary_packages_of_a_source_and_of_a_result() {
    let world = world().await;
    world.block("^evil").await;
    let refused = world.source_of("nice", "nice, evil-plugin", "claim-0001").await;
    let message = policy(&refused);
    assert!(message.contains("evil-plugin: it is evil"), "{message}");
    world.submit_dsc("hello", "1", "amd64").await.unwrap();
    let job = world.claim("one", "claim-0002").await.job;
    let built = world.finish("one", &job, &[("hello", "1"), ("evil-other", "1")]).await.unwrap();
    let message = policy(&built);
    assert!(message.contains("evil-other: it is evil"), "{message}");
}
