//! What is asked about jobs.

use std::collections::BTreeMap;

use crate::conformance::support::{
    Store, apply, at, bring, change, claim, end, ending, log_of, name, part, planned, planned_in,
    submit_and_take, submit_one, take, target, target_in,
};
use crate::model::{
    Job, JobFilter, JobId, JobKind, JobStatus, Outcome, Page, Repository, StatusCounts,
    SubmissionId,
};
use crate::storage::{Change, Lease, PlannedJob};

use JobStatus::{Blocked, Building, Cancelled, Cancelling, Uploaded, Waiting};

pub(super) async fn absent_rows_are_none(s: Store) {
    submit_one(&s, planned("hello", "1")).await;
    for number in [0, -1, 7_000_000] {
        assert_eq!(s.job(JobId(number)).await.expect("an answer"), None);
        assert_eq!(s.submission(SubmissionId(number)).await.expect("an answer"), None);
        assert!(s.events(JobId(number)).await.expect("an answer").is_empty());
        assert!(s.attempts(JobId(number)).await.expect("an answer").is_empty());
    }
}

async fn list(s: &Store, filter: &JobFilter, before: Option<JobId>, limit: u32) -> Vec<Job> {
    s.jobs(filter, &Page { before, limit }).await.expect("an answer")
}

pub(super) async fn jobs_come_newest_first_and_page_without_gaps(s: Store) {
    let mut all = Vec::new();
    for n in 0..10 {
        all.push(submit_one(&s, planned(&format!("p{n}"), "1")).await.id);
    }
    all.reverse();
    let everything = JobFilter::default();
    let mut paged = Vec::new();
    let mut before = None;
    loop {
        let page = list(&s, &everything, before, 3).await;
        assert!(page.len() <= 3, "at most the limit");
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        paged.extend(page.into_iter().map(|j| j.id));
        // New jobs come before the first page; the pages that follow do not see them.
        submit_one(&s, planned(&format!("late{}", paged.len()), "1")).await;
    }
    assert_eq!(paged, all);
}

pub(super) async fn every_filter_field_narrows(s: Store) {
    let mut other = planned_in("other", "1", target_in("sid", "arm64"));
    other.target.dist = name("Devuan");
    let decoy = submit_and_take(&s, "c1", other).await;
    let wanted = submit_and_take(&s, "c2", planned("hello", "1")).await;
    let wanted = [apply(&s, change(&wanted, Cancelling)).await];
    let narrowed = [
        JobFilter { submission: Some(wanted[0].submission), ..JobFilter::default() },
        JobFilter { status: Some(Cancelling), ..JobFilter::default() },
        JobFilter { package: Some(name("hello")), ..JobFilter::default() },
        JobFilter { dist: Some(name("Debian")), ..JobFilter::default() },
        JobFilter { suite: Some(name("bookworm")), ..JobFilter::default() },
        JobFilter { arch: Some(name("amd64")), ..JobFilter::default() },
        JobFilter { client: Some(name("c2")), ..JobFilter::default() },
    ];
    for filter in &narrowed {
        assert_eq!(list(&s, filter, None, 10).await, wanted, "{filter:?}");
        assert!(list(&s, filter, Some(wanted[0].id), 10).await.is_empty(), "{filter:?}, next page");
        for two in &narrowed {
            let both = JobFilter {
                submission: filter.submission.or(two.submission),
                status: filter.status.or(two.status),
                package: filter.package.clone().or(two.package.clone()),
                dist: filter.dist.clone().or(two.dist.clone()),
                suite: filter.suite.clone().or(two.suite.clone()),
                arch: filter.arch.clone().or(two.arch.clone()),
                client: filter.client.clone().or(two.client.clone()),
            };
            assert_eq!(list(&s, &both, None, 10).await.len(), 1, "{both:?}");
            let nothing = JobFilter { submission: Some(decoy.submission), ..both };
            let agrees =
                nothing == JobFilter { submission: Some(decoy.submission), ..JobFilter::default() };
            assert_eq!(
                list(&s, &nothing, None, 10).await.len(),
                usize::from(agrees),
                "{nothing:?}"
            );
        }
    }
    assert_eq!(list(&s, &JobFilter::default(), None, 10).await.len(), 2);
}

pub(super) async fn counts_agree_with_jobs(s: Store) {
    for (n, status) in JobStatus::ALL.into_iter().enumerate() {
        for copy in 0..=n {
            bring(&s, planned(&format!("p{n}-{copy}"), "1"), status).await;
            if status == Waiting {
                // Else it would be the next to be claimed.
                s.claim(&claim("c", &[target("amd64")]), at(1)).await.expect("a claim");
            }
        }
    }
    submit_one(&s, planned("waiting", "1")).await;
    let jobs = list(&s, &JobFilter::default(), None, 200).await;
    let mut counted: BTreeMap<JobStatus, u64> = BTreeMap::new();
    for job in &jobs {
        *counted.entry(job.status).or_default() += 1;
    }
    let counts: StatusCounts = s.counts().await.expect("an answer");
    for status in JobStatus::ALL {
        assert_eq!(counts.of(status), counted.get(&status).copied().unwrap_or(0), "{status}");
        assert!(counts.of(status) > 0, "{status} is among them");
    }
}

pub(super) async fn events_are_numbered_without_gaps(s: Store) {
    let mut job = submit_and_take(&s, "c", planned("hello", "1")).await;
    for status in [Waiting, Building, Blocked, Waiting, Building, Cancelling, Cancelled] {
        let outcome = (job.status == Building && status != Cancelling).then_some(Outcome::Refused);
        job = if status == Building {
            take(&s, "c", target("amd64")).await
        } else {
            let attempt_end = outcome.map(end);
            apply(&s, Change { attempt_end, ..change(&job, status) }).await
        };
    }
    let events = s.events(job.id).await.expect("an answer");
    let numbers: Vec<i64> = events.iter().map(|e| e.number).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    assert_eq!(job.row_version, 9, "the last number is the row version");
    assert_eq!((events[0].from, events[8].to), (None, Cancelled));
    for pair in events.windows(2) {
        assert_eq!(pair[1].from, Some(pair[0].to), "each starts where the one before ended");
    }
    let attempts: Vec<u32> = events.iter().map(|e| e.attempt).collect();
    assert_eq!(attempts, [0, 1, 1, 2, 2, 2, 3, 3, 3], "with the attempt of that moment");
}

pub(super) async fn attempts_show_the_length_of_their_log(s: Store) {
    let first = submit_and_take(&s, "c1", planned("hello", "1")).await;
    let log = log_of(&s, &first).await;
    s.append_part(log, &part(0, 10)).await.expect("appended");
    s.append_part(log, &part(10, 5)).await.expect("appended");
    apply(&s, ending(&first, Waiting, Outcome::Refused)).await;
    let second = take(&s, "c2", target("amd64")).await;
    s.append_part(log_of(&s, &second).await, &part(0, 7)).await.expect("appended");
    let attempts = s.attempts(first.id).await.expect("an answer");
    let seen: Vec<_> =
        attempts.iter().map(|a| (a.number, a.client.as_str(), a.log_length, a.outcome)).collect();
    assert_eq!(seen, [(1, "c1", 15, Some(Outcome::Refused)), (2, "c2", 7, None)]);
}

pub(super) async fn leases_are_those_of_held_jobs(s: Store) {
    let mut held = Vec::new();
    for status in JobStatus::ALL {
        let arch = status.as_str().to_ascii_lowercase();
        let job = bring(&s, planned_in("hello", "1", target(&arch)), status).await;
        if status.is_held() {
            held.push(Lease { job: job.id, epoch: job.lease_epoch });
        }
    }
    let mut leases = s.leases().await.expect("an answer");
    leases.sort_by_key(|l| l.job);
    assert_eq!(leases, held);
}

pub(super) async fn blocked_jobs_come_oldest_first(s: Store) {
    let mut blocked = Vec::new();
    for n in 0..4 {
        let job = submit_and_take(&s, "c", planned(&format!("p{n}"), "1")).await;
        let mut to = ending(&job, Blocked, Outcome::Failed);
        to.after.unmet = vec![format!("libx{n} (>= 2)"), "liby | libz".to_owned()];
        blocked.push(apply(&s, to).await);
    }
    apply(&s, change(&blocked[1], Waiting)).await;
    let left = [blocked[0].clone(), blocked[2].clone(), blocked[3].clone()];
    let ask = async |after, limit| s.blocked(after, limit).await.expect("an answer");
    assert_eq!(ask(None, 10).await, left);
    assert_eq!(left[1].unmet, ["libx2 (>= 2)", "liby | libz"]);
    assert_eq!(ask(None, 2).await, left[..2], "at most the limit");
    assert_eq!(ask(Some(left[0].id), 10).await, left[1..], "those behind one");
}

pub(super) async fn uploaded_jobs_are_those_of_the_suite(s: Store) {
    let mut here = Vec::new();
    for n in 0..3 {
        here.push(bring(&s, planned(&format!("p{n}"), "1"), Uploaded).await);
    }
    let (mut dist, mut format) = (target("amd64"), target("amd64"));
    dist.dist = name("Devuan");
    format.format = name("rpm");
    for (n, other) in [dist, format, target_in("sid", "amd64")].into_iter().enumerate() {
        bring(&s, planned_in(&format!("o{n}"), "1", other), Uploaded).await;
    }
    bring(&s, planned("done", "1"), JobStatus::Done).await;
    let t = target("amd64");
    let ask = async |after, limit| {
        s.uploaded(&t.dist, &t.suite, &t.format, after, limit).await.expect("an answer")
    };
    assert_eq!(ask(None, 10).await, here);
    assert_eq!(ask(None, 2).await, here[..2], "at most the limit");
    assert_eq!(ask(Some(here[1].id), 10).await, here[2..], "those behind one");
}

pub(super) async fn what_nobody_publishes_is_found(s: Store) {
    let repository = Repository {
        name: name("main"),
        dist: target("amd64").dist,
        suite: target("amd64").suite,
        format: target("amd64").format,
        url: None,
        public_key: None,
        health: None,
        overlay: None,
    };
    s.put_repository(&repository).await.expect("stored");
    let source = PlannedJob { kind: JobKind::Source, ..planned("source", "1") };
    let mut left = vec![bring(&s, source, Uploaded).await];
    bring(&s, planned("taken", "1"), Uploaded).await;
    left.push(bring(&s, planned_in("sid", "1", target_in("sid", "amd64")), Uploaded).await);
    bring(&s, planned_in("done", "1", target_in("sid", "i386")), JobStatus::Done).await;
    assert_eq!(s.unpublishable(10).await.expect("an answer"), left);
    assert_eq!(s.unpublishable(1).await.expect("an answer"), left[..1], "at most the limit");
}
