//! What the farm promises about one job, written down a second time and without looking at the first: the table of
//! `docs` and the retry policy, in the fewest words.

use pybit_core::model::JobStatus::{self, *};

/// What is reported or asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Resume,
    Finish,
    Build,
    Infra,
    DepWait,
    Refuse,
    Stopped,
    Lapse,
    LapseOld,
    Cancel,
    Supersede,
    Published(u32),
    Rejected(u32),
    Wake,
    Expire,
}

/// What the model knows of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) status: JobStatus,
    pub(crate) attempt: u32,
    pub(crate) holder: Option<u8>,
    pub(crate) version: i64,
    pub(crate) infra: u32,
    pub(crate) dep_waits: u32,
    /// How the newest attempt ended: `l`ost, `r`efused, `f`ailed, `s`ucceeded, `c`ancelled.
    pub(crate) last: Option<char>,
    pub(crate) lost_by: Vec<u8>,
    pub(crate) successes: u32,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Changed,
    Same,
    Refused,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            status: Waiting,
            attempt: 0,
            holder: None,
            version: 1,
            infra: 0,
            dep_waits: 0,
            last: None,
            lost_by: Vec::new(),
            successes: 0,
        }
    }

    pub(crate) fn claim(&mut self, client: u8) {
        if self.status == Waiting {
            self.to(Building);
            self.attempt += 1;
            self.holder = Some(client);
            self.last = None;
        }
    }

    fn to(&mut self, status: JobStatus) -> Answer {
        self.status = status;
        self.version += 1;
        Answer::Changed
    }

    fn lapsed(&self) -> bool {
        self.status == Waiting && self.last == Some('l')
    }

    /// A message of a client about an attempt.
    pub(crate) fn reported(&mut self, client: u8, attempt: u32, said: Said) -> Answer {
        if attempt != self.attempt || self.holder != Some(client) {
            return Answer::Refused;
        }
        match said {
            Said::Resume => self.resume(client),
            Said::Stopped => match self.status {
                Cancelling => self.end('c', Cancelled),
                Cancelled => Answer::Same,
                _ => Answer::Refused,
            },
            Said::Finish if matches!(self.status, Uploaded | Done) => Answer::Same,
            _ => {
                let mark = match said {
                    Said::Finish => 's',
                    Said::Refuse => 'r',
                    _ => 'f',
                };
                if self.lapsed() {
                    self.resume(client);
                }
                if self.status != Building {
                    return if self.last == Some(mark) { Answer::Same } else { Answer::Refused };
                }
                self.building_ends(said, mark)
            }
        }
    }

    fn resume(&mut self, client: u8) -> Answer {
        if matches!(self.status, Building | Cancelling) {
            return Answer::Same;
        }
        if !self.lapsed() {
            return Answer::Refused;
        }
        self.last = None;
        self.infra -= 1;
        self.lost_by.retain(|c| *c != client);
        self.to(Building)
    }

    fn building_ends(&mut self, said: Said, mark: char) -> Answer {
        match said {
            Said::Finish => {
                self.successes += 1;
                self.end(mark, Uploaded)
            }
            Said::Build => self.end(mark, Failed),
            Said::Infra => {
                self.infra += 1;
                let to = if self.infra > 3 { Failed } else { Waiting };
                self.end(mark, to)
            }
            Said::DepWait => {
                self.dep_waits += 1;
                self.end(mark, Blocked)
            }
            _ => self.end(mark, Waiting),
        }
    }

    fn end(&mut self, mark: char, to: JobStatus) -> Answer {
        self.last = Some(mark);
        self.to(to)
    }

    /// What people, the repository and time do.
    #[expect(clippy::match_same_arms, reason = "each line is a rule of its own")]
    pub(crate) fn asked(&mut self, said: Said) -> Answer {
        match (said, self.status) {
            (Said::Lapse, Building) => {
                self.infra += 1;
                let holder = self.holder.unwrap();
                if !self.lost_by.contains(&holder) {
                    self.lost_by.push(holder);
                }
                let dead = self.lost_by.len() >= 3 || self.infra > 3;
                self.end('l', if dead { Failed } else { Waiting })
            }
            (Said::Lapse, Cancelling) => self.end('l', Cancelled),
            (Said::Lapse | Said::LapseOld, _) => Answer::Same,
            (Said::Supersede, Cancelling) => Answer::Same,
            (Said::Cancel | Said::Supersede, Waiting | Blocked) => self.to(Cancelled),
            (Said::Cancel | Said::Supersede, Building) => self.to(Cancelling),
            (Said::Cancel | Said::Supersede, Cancelling | Cancelled) => Answer::Same,
            (Said::Published(n) | Said::Rejected(n), _) if n != self.attempt => Answer::Refused,
            (Said::Published(_), Uploaded) => self.to(Done),
            (Said::Published(_), Done) | (Said::Rejected(_), Failed) => Answer::Same,
            (Said::Rejected(_), Uploaded) => self.to(Failed),
            (Said::Wake, Blocked) => self.to(Waiting),
            (Said::Expire, Blocked) => self.to(Failed),
            (Said::Wake | Said::Expire, _) => Answer::Same,
            _ => Answer::Refused,
        }
    }
}
