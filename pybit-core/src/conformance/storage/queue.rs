//! What waits, and the hints that say so.

use crate::conformance::support::{
    Store, apply, at, change, ending, name, planned, planned_in, planned_source, record, route,
    submit_and_take, submit_one, take, target, within,
};
use crate::model::{JobStatus, Outcome};
use crate::storage::{Change, PlannedJob, SubmissionRecord};

use JobStatus::{Blocked, Cancelled, Done, Uploaded, Waiting};

pub(super) async fn due_routes_come_once_each(s: Store) {
    for n in 0..3 {
        submit_one(&s, planned(&format!("p{n}"), "1")).await;
    }
    let mut elsewhere = planned("p4", "1");
    elsewhere.target.env = name("host");
    submit_one(&s, elsewhere).await;
    submit_one(&s, planned_in("p5", "1", target("s390x"))).await;
    let later = submit_and_take(&s, "c", planned_in("p6", "1", target("arm64"))).await;
    let mut to = ending(&later, Waiting, Outcome::Failed);
    to.after.not_before = at(100);
    apply(&s, to).await;
    submit_and_take(&s, "c", planned_in("p7", "1", target("riscv64"))).await;
    let due = async |moment| {
        let mut routes = s.due_routes(moment).await.expect("an answer");
        routes.sort();
        routes
    };
    assert_eq!(due(at(99)).await, [route("amd64"), route("s390x")]);
    assert_eq!(due(at(100)).await, [route("amd64"), route("arm64"), route("s390x")]);
}

pub(super) async fn ahead_of_counts_what_a_claim_takes_first(s: Store) {
    let ranked = |n: usize, priority, weight| PlannedJob {
        weight,
        priority,
        ..planned(&format!("p{n}"), "1")
    };
    for (n, (priority, weight)) in
        [(0, 5), (9, 0), (0, 5), (0, 9), (-1, 100), (9, 1)].into_iter().enumerate()
    {
        submit_one(&s, ranked(n, priority, weight)).await;
    }
    submit_one(&s, PlannedJob { priority: 100, ..planned_in("x", "1", target("arm64")) }).await;
    let mut waiting = Vec::new();
    for n in 0..6 {
        let filter =
            crate::model::JobFilter { package: Some(name(&format!("p{n}"))), ..Default::default() };
        let found = s.jobs(&filter, &crate::model::Page::first(1)).await.expect("an answer");
        waiting.extend(found);
    }
    let mut ahead = Vec::new();
    for job in &waiting {
        ahead.push((s.ahead_of(job).await.expect("an answer"), job.id));
    }
    ahead.sort_unstable();
    for (place, (said, id)) in ahead.into_iter().enumerate() {
        assert_eq!(said, place as u64, "its place in the queue");
        assert_eq!(take(&s, "c", target("amd64")).await.id, id, "is the order of claims");
    }
}

pub(super) async fn outbox_rows_stay_until_marked(s: Store) {
    for n in 0..5 {
        submit_one(&s, planned(&format!("p{n}"), "1")).await;
    }
    let all = s.outbox(10).await.expect("an answer");
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted_by_key(|row| row.id), "oldest first");
    assert_eq!(s.outbox(10).await.expect("an answer"), all, "asking changes nothing");
    assert_eq!(s.outbox(2).await.expect("an answer"), all[..2], "at most the limit");
    let sent = [all[0].id, all[2].id];
    s.mark_sent(&sent).await.expect("marked");
    let left = [all[1].clone(), all[3].clone(), all[4].clone()];
    assert_eq!(s.outbox(10).await.expect("an answer"), left);
    s.mark_sent(&sent).await.expect("marking twice is harmless");
    s.mark_sent(&[]).await.expect("marking nothing too");
    assert_eq!(s.outbox(10).await.expect("an answer"), left);
}

pub(super) async fn change_to_waiting_enters_the_outbox(s: Store) {
    let sent = async || {
        let rows = s.outbox(10).await.expect("an answer");
        let ids: Vec<i64> = rows.iter().map(|r| r.id).collect();
        s.mark_sent(&ids).await.expect("marked");
        rows.into_iter().map(|r| (r.job, r.route)).collect::<Vec<_>>()
    };
    let job = submit_and_take(&s, "c", planned("hello", "1")).await;
    let hint = [(job.id, route("amd64"))];
    assert_eq!(sent().await, hint, "when it is submitted; a claim adds none");
    let job = apply(&s, ending(&job, Waiting, Outcome::Refused)).await;
    assert_eq!(sent().await, hint, "when it is given back");
    let job = apply(&s, ending(&take(&s, "c", job.target).await, Blocked, Outcome::Failed)).await;
    assert_eq!(sent().await, [], "not when it is blocked");
    let job = apply(&s, change(&job, Waiting)).await;
    assert_eq!(sent().await, hint, "when it is freed");
    apply(&s, change(&job, Cancelled)).await;
    assert_eq!(sent().await, [], "not when it is cancelled");
}

pub(super) async fn changes_move_when_they_took_effect(s: Store) {
    let mut since = *s.changes().borrow();
    let mut moved = |s: &Store| {
        let now = *s.changes().borrow();
        let moved = (now.work > since.work, now.results > since.results);
        since = now;
        moved
    };
    let keyed = SubmissionRecord {
        idempotency_key: Some("key".to_owned()),
        ..record(vec![planned("hello", "1")])
    };
    let mut waiting = s.changes();
    let job = s.record_submission(&keyed, at(0)).await.expect("accepted").jobs.remove(0);
    within("the change", waiting.changed()).await.expect("the storage is there");
    assert_eq!(moved(&s), (true, false), "after a submission");
    s.record_submission(&keyed, at(0)).await.expect("repeated");
    s.record_submission(&record(vec![planned("hello", "0")]), at(0)).await.expect_err("older");
    let job = take(&s, "c", job.target).await;
    assert_eq!(moved(&s), (false, false), "after a repetition, a refusal and a claim");
    let job = apply(&s, ending(&job, Waiting, Outcome::Refused)).await;
    assert_eq!(moved(&s), (true, false), "after it was given back");
    let job =
        apply(&s, ending(&take(&s, "c", job.target).await, Uploaded, Outcome::Succeeded)).await;
    assert_eq!(moved(&s), (false, true), "after a result");
    apply(&s, change(&job, Done)).await;
    assert_eq!(moved(&s), (false, false), "after the publication");
    let source = submit_and_take(&s, "c", planned_source("next")).await;
    moved(&s);
    let follow = vec![planned("next", "1")];
    apply(&s, Change { follow, ..ending(&source, Uploaded, Outcome::Succeeded) }).await;
    assert_eq!(moved(&s), (true, true), "after a result that other jobs follow");
}
