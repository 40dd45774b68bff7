//! The implementation, with the storage in its plainest form, beside the model.

use pybit_core::clock::Timestamp;
use pybit_core::farm::Policy;
use pybit_core::farm::machine::{Command, Decision, Finished, Holder, Reported, Situation, decide};
use pybit_core::model::{ClientName, Failure, FailureClass, Job, JobStatus, Outcome};
use pybit_core::storage::Change;

use crate::model::{Answer, Model, Said};
use crate::support::job;

/// One operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Claim(u8),
    /// By a client, about an attempt so far behind the newest; -1 is one that was never given.
    Report(u8, i8, Said),
    Ask(Said),
    /// What the holder says, decided on, but somebody else changes the job before it takes effect.
    Raced(Said, Said),
}

impl Op {
    pub(crate) fn any(mut dice: impl FnMut(u64) -> u64) -> Self {
        use Said::{Build, DepWait, Finish, Infra, Refuse, Resume, Stopped};
        const REPORTS: [Said; 8] = [Finish, Finish, Build, Infra, DepWait, Refuse, Resume, Stopped];
        let mut report = || REPORTS[usize::try_from(dice(8)).unwrap()];
        let (said, other) = (report(), report());
        let client = u8::try_from(dice(4)).unwrap();
        let back = [0, 0, 0, 0, 1, 2, -1][usize::try_from(dice(7)).unwrap()];
        let asked = [
            Said::Lapse,
            Said::Lapse,
            Said::LapseOld,
            Said::Cancel,
            Said::Supersede,
            Said::Published(0),
            Said::Published(0),
            Said::Published(1),
            Said::Rejected(0),
            Said::Wake,
            Said::Wake,
            Said::Expire,
        ];
        let asked = asked[usize::try_from(dice(12)).unwrap()];
        match dice(16) {
            0..=4 => Self::Claim(client),
            5..=9 => Self::Report(client, back, said),
            10..=13 => Self::Ask(asked),
            14 => Self::Raced(said, asked),
            _ => Self::Raced(said, other),
        }
    }
}

/// A job, what is stored beside it, and the model.
pub(crate) struct World {
    job: Job,
    outcomes: Vec<Option<Outcome>>,
    pub(crate) edges: Vec<(JobStatus, JobStatus)>,
    policy: Policy,
    names: [ClientName; 4],
    now: i64,
    model: Model,
}

const SECOND: i64 = 1_000_000;

impl World {
    pub(crate) fn new() -> Self {
        let names = ["a", "b", "c", "d"].map(|name| name.parse().unwrap());
        let (outcomes, edges) = (Vec::new(), Vec::new());
        let policy = Policy::default();
        Self { job: job(), outcomes, edges, policy, names, now: SECOND, model: Model::new() }
    }

    /// Does it to both and compares; says what differs.
    pub(crate) fn step(&mut self, op: &Op) -> Result<(), String> {
        self.now += SECOND;
        let (before, held) = (self.job.clone(), self.outcomes.clone());
        let (mine, wanted) = match *op {
            Op::Claim(client) => {
                self.model.claim(client);
                self.claim(client);
                (Answer::Changed, Answer::Changed)
            }
            Op::Report(client, back, said) => {
                let attempt = self.job.attempt.saturating_add_signed(i32::from(-back));
                let wanted = self.model.reported(client, attempt, said);
                (self.apply(&self.report(client, attempt, said))?, wanted)
            }
            Op::Ask(said) => {
                let (command, said) = self.request(said);
                let wanted = self.model.asked(said);
                (self.apply(&command)?, wanted)
            }
            Op::Raced(said, other) => return self.raced(said, other),
        };
        if mine != wanted {
            return Err(format!(
                "{op:?} was {mine:?} and is to be {wanted:?}; before it {before:?}"
            ));
        }
        if mine == Answer::Refused && (self.job != before || self.outcomes != held) {
            return Err(format!("{op:?} was refused and has changed {before:?}"));
        }
        self.compare(&before).map_err(|why| format!("after {op:?}: {why}"))
    }

    /// The first is decided on the job as it was; then the second takes effect. The first must not take effect any more.
    fn raced(&mut self, first: Said, second: Said) -> Result<(), String> {
        let Some(client) = self.model.holder else { return Ok(()) };
        let decided = self.decide(&self.report(client, self.job.attempt, first));
        let version = self.job.row_version;
        let second = match second {
            Said::Lapse
            | Said::LapseOld
            | Said::Cancel
            | Said::Supersede
            | Said::Wake
            | Said::Expire
            | Said::Published(_)
            | Said::Rejected(_) => Op::Ask(second),
            _ => Op::Report(client, 0, second),
        };
        self.step(&second)?;
        if self.job.row_version == version {
            return Ok(());
        }
        let before = self.job.clone();
        if let Ok(Decision::Change(change)) = decided
            && self.store(*change)
        {
            return Err(format!(
                "{first:?} was decided before {second:?} and took effect: {before:?}"
            ));
        }
        Ok(())
    }

    fn claim(&mut self, client: u8) {
        if self.job.status != JobStatus::Waiting {
            return;
        }
        self.edges.push((JobStatus::Waiting, JobStatus::Building));
        self.job.status = JobStatus::Building;
        self.job.attempt += 1;
        self.job.row_version += 1;
        self.job.lease_epoch += 1;
        self.job.client = Some(self.names[usize::from(client)].clone());
        self.outcomes.push(None);
    }

    fn decide(&self, command: &Command) -> pybit_core::Result<Decision> {
        let situation = Situation {
            job: self.job.clone(),
            last_outcome: self.outcomes.last().copied().flatten(),
            client_streak: 0,
            others: true,
        };
        decide(&situation, command, &self.policy, Timestamp::from_micros(self.now))
    }

    fn apply(&mut self, command: &Command) -> Result<Answer, String> {
        match self.decide(command) {
            Err(_) => Ok(Answer::Refused),
            Ok(Decision::Already) => Ok(Answer::Same),
            Ok(Decision::ResumeFirst) => {
                let (Command::Finish(holder, _)
                | Command::Fail(holder, _)
                | Command::Refuse(holder, _)) = command
                else {
                    return Err(format!("{command:?} resumes"));
                };
                let holder = holder.clone();
                self.apply(&Command::Resume(holder))?;
                self.apply(command)
            }
            Ok(Decision::Change(change)) => {
                let to = change.after.status;
                if !self.job.status.may_become(to) {
                    return Err(format!("{} may not become {to}", self.job.status));
                }
                // A lease that has moved lapses no more.
                Ok(if self.store(*change) { Answer::Changed } else { Answer::Same })
            }
        }
    }

    /// The compare-and-set of a storage; `false` where the job has changed.
    fn store(&mut self, change: Change) -> bool {
        let lease = change.expected_lease.is_none_or(|epoch| epoch == self.job.lease_epoch);
        if change.expected != self.job.row_version || !lease {
            return false;
        }
        self.edges.push((self.job.status, change.after.status));
        self.job = change.after;
        self.job.lease_epoch += 1;
        let last = self.outcomes.last_mut();
        if let Some(last) = last {
            if change.reopen_attempt {
                *last = None;
            }
            if let Some(end) = change.attempt_end {
                assert_eq!(*last, None, "an attempt ends once");
                *last = Some(end.outcome);
            }
        }
        true
    }

    fn compare(&self, before: &Job) -> Result<(), String> {
        let (job, model) = (&self.job, &self.model);
        let holder = model.holder.map(|n| self.names[usize::from(n)].clone());
        let last = self.outcomes.last().copied().flatten().map(|outcome| match outcome {
            Outcome::Lost => 'l',
            Outcome::Refused => 'r',
            Outcome::Failed => 'f',
            Outcome::Succeeded => 's',
            Outcome::Cancelled => 'c',
        });
        let mine = (job.status, job.attempt, &job.client, job.row_version, job.infra_retries);
        let theirs = (model.status, model.attempt, &holder, model.version, model.infra);
        if mine != theirs || job.dep_waits != model.dep_waits || last != model.last {
            return Err(format!(
                "{mine:?} {last:?}, and the model says {theirs:?} {:?}",
                model.last
            ));
        }
        let rule = |holds: bool, name: &str| {
            if holds { Ok(()) } else { Err(format!("{name} does not hold: {job:?}")) }
        };
        let accepted = self.outcomes.iter().filter(|o| **o == Some(Outcome::Succeeded)).count();
        let has_result = matches!(job.status, JobStatus::Uploaded | JobStatus::Done);
        let moved = job.row_version > before.row_version;
        rule(job.row_version == i64::try_from(self.edges.len()).unwrap() + 1, "I2, gap-free")?;
        rule(self.edges.iter().all(|(from, to)| from.may_become(*to)), "I2, legal edges")?;
        rule(accepted <= 1 && (!has_result || accepted == 1), "I3, one accepted attempt")?;
        rule(!before.status.is_terminal() || !moved, "I4, an end is the end")?;
        rule(job.attempt >= before.attempt, "I6, attempts rise")?;
        rule(self.outcomes.len() == job.attempt as usize, "I6, one outcome an attempt")?;
        rule(job.infra_retries <= self.policy.infra_retries + 1, "I16, retries have a cap")?;
        rule(job.row_version >= before.row_version, "I24, versions never go back")?;
        let waits = job.status == JobStatus::Blocked && moved;
        let pause = job.not_before.since(Timestamp::from_micros(self.now));
        rule(!waits || pause.as_millis() >= 900_000, "I17, a wait is a pause")
    }

    fn report(&self, client: u8, attempt: u32, said: Said) -> Command {
        let holder = Holder { client: self.names[usize::from(client)].clone(), attempt };
        let failed = |class| Reported {
            failure: Failure { class, message: String::new() },
            unmet: vec!["libx-dev".to_owned()],
            log_sha256: None,
        };
        match said {
            Said::Resume => Command::Resume(holder),
            Said::Build => Command::Fail(holder, failed(FailureClass::Build)),
            Said::Infra => Command::Fail(holder, failed(FailureClass::Infra)),
            Said::DepWait => Command::Fail(holder, failed(FailureClass::DepWait)),
            Said::Refuse => Command::Refuse(holder, String::new()),
            Said::Stopped => Command::Stopped(holder, None),
            _ => Command::Finish(
                holder,
                Box::new(Finished {
                    log_sha256: String::new(),
                    produced: vec![],
                    identity: None,
                    follow: vec![],
                }),
            ),
        }
    }

    /// The command, and what it is to the model: attempts are told from the newest backwards.
    fn request(&self, said: Said) -> (Command, Said) {
        let (actor, text) = (String::new(), String::new);
        let attempt = |back: u32| self.job.attempt.saturating_sub(back);
        let lapse = |epoch| Command::Lapse { epoch, cause: text() };
        match said {
            Said::Lapse => (lapse(self.job.lease_epoch), said),
            Said::LapseOld => (lapse(self.job.lease_epoch - 1), said),
            Said::Published(back) => {
                let attempt = attempt(back);
                (Command::Published { attempt, actor, cause: text() }, Said::Published(attempt))
            }
            Said::Rejected(back) => {
                let attempt = attempt(back);
                (Command::Rejected { attempt, actor, reason: text() }, Said::Rejected(attempt))
            }
            Said::Wake => (Command::Unblock(text()), said),
            Said::Expire => (Command::Expire, said),
            _ => (Command::Cancel { actor, reason: text() }, said),
        }
    }
}
