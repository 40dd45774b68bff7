//! The state machine against a model: random sequences of claims, reports and requests never break an invariant.

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed its test")]

mod support;

use proptest::prelude::*;
use pybit_core::clock::Timestamp;
use pybit_core::error::ErrorKind;
use pybit_core::farm::Policy;
use pybit_core::farm::machine::{Command, Decision, Finished, Holder, Reported, Situation, decide};
use pybit_core::model::{Failure, FailureClass, Job, JobStatus, Outcome};
use pybit_core::storage::HealthMark;
use support::job;

/// What a storage would keep, in the plainest form.
#[derive(Debug)]
struct World {
    job: Job,
    outcomes: Vec<Option<Outcome>>,
    log: Vec<(JobStatus, JobStatus)>,
    /// Whether other live clients offer the target.
    others: bool,
}

impl World {
    fn new() -> Self {
        Self { job: job(), outcomes: Vec::new(), log: Vec::new(), others: true }
    }

    fn claim(&mut self, client: &str) {
        if self.job.status == JobStatus::Waiting {
            self.log.push((JobStatus::Waiting, JobStatus::Building));
            self.job.status = JobStatus::Building;
            self.job.attempt += 1;
            self.job.row_version += 1;
            self.job.lease_epoch += 1;
            self.job.client = Some(client.parse().unwrap());
            self.outcomes.push(None);
        }
    }

    fn apply(&mut self, command: &Command) -> Result<Option<JobStatus>, pybit_core::Error> {
        let situation = Situation {
            job: self.job.clone(),
            last_outcome: self.outcomes.last().copied().flatten(),
            client_streak: 0,
            others: self.others,
        };
        let now = Timestamp::from_micros(2_000_000);
        match decide(&situation, command, &Policy::default(), now)? {
            Decision::Already => Ok(None),
            Decision::ResumeFirst => {
                let (Command::Finish(h, _) | Command::Fail(h, _) | Command::Refuse(h, _)) = command
                else {
                    panic!("{command:?} must not resume");
                };
                self.apply(&Command::Resume(h.clone()))?;
                self.apply(command)
            }
            Decision::Change(change) => {
                assert_eq!(change.expected, self.job.row_version);
                assert_eq!(change.after.row_version, self.job.row_version + 1);
                assert!(
                    self.job.status.may_become(change.after.status),
                    "{:?} {command:?}",
                    self.job.status
                );
                if let Some(epoch) = change.expected_lease {
                    assert_eq!(epoch, self.job.lease_epoch, "only the seen lease lapses");
                }
                self.log.push((self.job.status, change.after.status));
                self.job = change.after;
                self.job.lease_epoch += 1;
                if change.reopen_attempt {
                    *self.outcomes.last_mut().unwrap() = None;
                }
                if let Some(end) = change.attempt_end {
                    let last = self.outcomes.last_mut().unwrap();
                    assert_eq!(*last, None, "an attempt ends once");
                    *last = Some(end.outcome);
                }
                Ok(Some(self.job.status))
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Op {
    Claim(u8),
    Report { client: u8, back: u32, what: u8 },
    Lapse,
    Request(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0u8..4).prop_map(Op::Claim),
        5 => (0u8..4, 0u32..3, 0u8..7).prop_map(|(client, back, what)| Op::Report { client, back, what }),
        2 => Just(Op::Lapse),
        2 => (0u8..6).prop_map(Op::Request),
    ]
}

fn command(world: &World, op: &Op) -> Option<Command> {
    let name = |n: u8| format!("client-{n}");
    let reported = |class| Reported {
        failure: Failure { class, message: "why".to_owned() },
        unmet: vec!["libx-dev".to_owned()],
        log_sha256: None,
    };
    Some(match op {
        Op::Claim(_) => return None,
        Op::Lapse => Command::Lapse { epoch: world.job.lease_epoch, cause: "silent".to_owned() },
        Op::Report { client, back, what } => {
            let attempt = (world.job.attempt + 1).saturating_sub(*back);
            let holder = Holder { client: name(*client).parse().unwrap(), attempt };
            let finished = Finished {
                log_sha256: String::new(),
                produced: vec![],
                identity: None,
                follow: vec![],
            };
            match what {
                0 => Command::Resume(holder),
                1 => Command::Finish(holder, Box::new(finished)),
                2 => Command::Fail(holder, reported(FailureClass::Build)),
                3 => Command::Fail(holder, reported(FailureClass::Infra)),
                4 => Command::Fail(holder, reported(FailureClass::DepWait)),
                5 => Command::Refuse(holder, "no".to_owned()),
                _ => Command::Stopped(holder, None),
            }
        }
        Op::Request(n) => match n {
            0 => Command::Cancel { actor: "ann".to_owned(), reason: "why".to_owned() },
            1 | 2 => Command::Published {
                attempt: world.job.attempt,
                actor: "watcher".to_owned(),
                cause: "there".to_owned(),
            },
            3 => Command::Rejected {
                attempt: world.job.attempt,
                actor: "watcher".to_owned(),
                reason: "no".to_owned(),
            },
            4 => Command::Unblock("came".to_owned()),
            _ => Command::Expire,
        },
    })
}

fn run(ops: &[Op]) -> World {
    let mut world = World::new();
    for op in ops {
        if let Op::Claim(n) = op {
            world.claim(&format!("client-{n}"));
            continue;
        }
        let (before, ended) = (world.job.clone(), world.job.status.is_terminal());
        let command = command(&world, op).expect("all but claims are commands");
        let result = world.apply(&command);
        if ended {
            assert_eq!(world.job, before, "a terminal status absorbs");
        }
        if let Op::Report { client, back, .. } = op {
            let owner = before.client.as_ref().map(|c| c.as_str().to_owned());
            let right = *back == 1 && owner == Some(format!("client-{client}"));
            if !right {
                let error = result.expect_err("another attempt or client changes nothing");
                assert!(
                    matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Denied),
                    "{error:?}"
                );
                assert_eq!(world.job, before);
            }
        }
        assert!(world.job.infra_retries <= Policy::default().infra_retries + 1);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_breaks_the_machine(ops in prop::collection::vec(op(), 1..60)) {
        let world = run(&ops);
        let succeeded = world.outcomes.iter().filter(|o| **o == Some(Outcome::Succeeded)).count();
        prop_assert!(succeeded <= 1, "one accepted result at most");
        let has_result = matches!(world.job.status, JobStatus::Uploaded | JobStatus::Done);
        prop_assert!(!has_result || succeeded == 1);
        for (from, to) in &world.log {
            prop_assert!(from.may_become(*to));
        }
        prop_assert_eq!(
            i64::try_from(world.log.len()).unwrap() + 1,
            world.job.row_version, "events are numbered without gaps");
    }
}

fn holder(world: &World) -> Holder {
    Holder { client: world.job.client.clone().unwrap(), attempt: world.job.attempt }
}

fn finish(world: &World) -> Command {
    let result =
        Finished { log_sha256: "ab".to_owned(), produced: vec![], identity: None, follow: vec![] };
    Command::Finish(holder(world), Box::new(result))
}

fn lapse(world: &World) -> Command {
    Command::Lapse { epoch: world.job.lease_epoch, cause: "silent".to_owned() }
}

#[test]
fn a_late_result_is_accepted_while_nobody_has_claimed_the_job_again() {
    let mut world = World::new();
    world.claim("one");
    let late = finish(&world);
    world.apply(&lapse(&world)).unwrap();
    assert_eq!(world.job.status, JobStatus::Waiting);
    world.apply(&late).unwrap();
    assert_eq!(world.job.status, JobStatus::Uploaded);
    assert_eq!(world.job.infra_retries, 0, "an outage that was survived is no failure");
    assert_eq!(world.apply(&late).unwrap(), None, "repeating it changes nothing");
}

#[test]
fn a_late_result_is_refused_once_another_client_has_the_job() {
    let mut world = World::new();
    world.claim("one");
    let late = finish(&world);
    world.apply(&lapse(&world)).unwrap();
    world.claim("two");
    assert_eq!(world.apply(&late).unwrap_err().code(), "stale_attempt");
    world.apply(&finish(&world)).unwrap();
    assert_eq!((world.job.status, world.job.attempt), (JobStatus::Uploaded, 2));
}

#[test]
fn another_client_is_preferred_only_where_there_is_another() {
    for others in [true, false] {
        let mut world = World { others, ..World::new() };
        world.claim("one");
        world.apply(&lapse(&world)).unwrap();
        assert_eq!(world.job.avoid.is_some(), others, "after a loss");
        world.claim("two");
        world.apply(&Command::Refuse(holder(&world), "no".to_owned())).unwrap();
        assert!(world.job.avoid.is_some(), "who refuses does not get it again at once");
    }
}

#[test]
fn a_job_that_takes_three_clients_down_is_poison() {
    let mut world = World::new();
    for client in ["one", "two", "three"] {
        world.claim(client);
        world.apply(&lapse(&world)).unwrap();
    }
    assert_eq!(world.job.status, JobStatus::Failed);
    assert_eq!(world.job.failure.unwrap().class, FailureClass::Poison);
}

#[test]
fn a_cancelled_build_takes_no_result_and_ends_when_its_client_confirms_or_is_lost() {
    let cancel = Command::Cancel { actor: "ann".to_owned(), reason: "why".to_owned() };
    let mut world = World::new();
    world.claim("one");
    world.apply(&cancel).unwrap();
    assert_eq!(world.job.status, JobStatus::Cancelling);
    assert_eq!(world.apply(&finish(&world)).unwrap_err().code(), "not_building");
    world.apply(&Command::Stopped(holder(&world), None)).unwrap();
    assert_eq!(world.job.status, JobStatus::Cancelled);

    let mut silent = World::new();
    silent.claim("one");
    silent.apply(&cancel).unwrap();
    silent.apply(&lapse(&silent)).unwrap();
    assert_eq!(silent.job.status, JobStatus::Cancelled);
}

#[test]
fn a_build_failure_is_never_tried_again_by_itself_and_an_infrastructure_failure_three_times() {
    let report = |class| Reported {
        failure: Failure { class, message: "why".to_owned() },
        unmet: vec![],
        log_sha256: None,
    };
    let mut world = World::new();
    world.claim("one");
    world.apply(&Command::Fail(holder(&world), report(FailureClass::Build))).unwrap();
    assert_eq!(world.job.status, JobStatus::Failed);

    let mut flaky = World::new();
    for try_number in 1..=4 {
        flaky.claim("one");
        flaky.apply(&Command::Fail(holder(&flaky), report(FailureClass::Infra))).unwrap();
        let expected = if try_number < 4 { JobStatus::Waiting } else { JobStatus::Failed };
        assert_eq!(flaky.job.status, expected, "try {try_number}");
        assert!(
            try_number == 4 || flaky.job.not_before > Timestamp::from_micros(2_000_000),
            "never at once"
        );
    }
}

#[test]
fn only_the_infrastructure_counts_against_a_client() {
    let holder = Holder { client: "one".parse().unwrap(), attempt: 1 };
    for class in FailureClass::ALL.into_iter().filter(|c| *c != FailureClass::Poison) {
        let mut world = World::new();
        world.claim("one");
        let failure = Failure { class, message: "why".to_owned() };
        let report = Reported { failure, unmet: vec!["x".to_owned()], log_sha256: None };
        let situation = Situation {
            job: world.job.clone(),
            last_outcome: None,
            client_streak: 7,
            others: false,
        };
        let command = Command::Fail(holder.clone(), report);
        let now = Timestamp::from_micros(2_000_000);
        let decided = decide(&situation, &command, &Policy::default(), now).unwrap();
        let Decision::Change(change) = decided else { panic!("{class}") };
        let ill = matches!(change.health, Some(HealthMark::Ill { .. }));
        assert_eq!(ill, class == FailureClass::Infra, "{class}");
        assert_eq!(change.health.is_none(), class.is_without_blame(), "{class}");
        let paused = change.after.status == JobStatus::Waiting && change.after.not_before > now;
        assert_eq!(paused, class.is_tried_again(), "{class}");
    }
}
