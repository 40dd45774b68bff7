//! What this machine knows of each job, written so that a client that is killed at any instant goes on when it starts again.
//!
//! Each attempt has a directory, `<work_dir>/jobs/<job>-<attempt>/`:
//!
//! | entry | what |
//! |---|---|
//! | `journal.json` | the [`Entry`], replaced atomically and synchronised at each change of state |
//! | `log` | the build's whole log |
//! | `work/` | all that the build sees: `inbox/`, `source/`, `output/`, and what its environment makes |

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pybit_core::model::Failure;
use pybit_core::model::{FileSpec, JobId, Produced};
use pybit_core::protocol::{Assignment, SourceReport};
use pybit_core::{Error, ErrorKind, Result, trial};
use serde::{Deserialize, Serialize};

use crate::machine::State;
use crate::user::make_dir;

/// The version of the journal that this program writes.
const VERSION: u32 = 1;
const JOURNAL: &str = "journal.json";

/// One attempt, as the journal keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    version: u32,
    /// The claim that brought it.
    pub claim_id: String,
    /// The client process that claimed it.
    pub boot: String,
    /// What the server assigned.
    pub assignment: Assignment,
    /// Where it is.
    pub state: State,
    /// How it ended, once it has.
    pub result: Option<Ending>,
}

impl Entry {
    /// A job that was just claimed.
    pub fn new(assignment: Assignment, claim_id: String, boot: String) -> Self {
        Self { version: VERSION, claim_id, boot, assignment, state: State::Fetching, result: None }
    }

    /// The job.
    pub fn job(&self) -> JobId {
        self.assignment.job.id
    }

    /// The attempt: the fencing token.
    pub fn attempt(&self) -> u32 {
        self.assignment.job.attempt
    }
}

/// How a build ended, as the server is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It has a result.
    Built {
        /// Every file with its place on this machine.
        files: Vec<(FileSpec, PathBuf)>,
        /// What a source job has made.
        source: Option<SourceReport>,
        /// The binary packages among the files.
        produced: Vec<Produced>,
    },
    /// It has none.
    Failed {
        /// Why.
        failure: Failure,
        /// For a dep-wait, the missing relations.
        unmet: Vec<String>,
    },
    /// It was not tried.
    Refused {
        /// Why.
        reason: String,
    },
}

/// The jobs' directories. One process at a time: opening it again fails while this one lives.
#[derive(Debug)]
pub struct Journal {
    jobs: PathBuf,
    _lock: File,
}

impl Journal {
    /// Opens the journal below `work_dir`, and makes it where there is none.
    ///
    /// Fails, `Conflict`, while another process has it open.
    pub fn open(work_dir: &Path) -> Result<Self> {
        let jobs = work_dir.join("jobs");
        if !work_dir.exists() {
            make_dir(work_dir, None)?;
        }
        make_dir(&jobs, None)?;
        let path = work_dir.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|e| failed("open", &path, e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { jobs, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(Error::conflict(format!(
                "another build client uses {}; stop it, or give this one a work_dir of its own",
                work_dir.display()
            ))),
            Err(fs::TryLockError::Error(e)) => Err(failed("lock", &path, e)),
        }
    }

    /// The directory of an attempt; it need not exist.
    pub fn place(&self, job: JobId, attempt: u32) -> JobDir {
        JobDir { root: self.jobs.join(format!("{job}-{attempt}")) }
    }

    /// Records a new attempt, in an empty directory of its own.
    pub fn begin(&self, entry: &Entry) -> Result<JobDir> {
        let dir = self.place(entry.job(), entry.attempt());
        dir.remove()?;
        make_dir(&dir.root, None)?;
        sync_dir(&self.jobs)?;
        dir.write(entry)?;
        Ok(dir)
    }

    /// What an earlier process has left: each directory with its entry, or with why it cannot be read.
    pub fn recover(&self) -> Result<Vec<(JobDir, Result<Entry>)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.jobs).map_err(|e| failed("read", &self.jobs, e))? {
            let dir = JobDir { root: entry.map_err(|e| failed("read", &self.jobs, e))?.path() };
            let entry = dir.read();
            found.push((dir, entry));
        }
        found.sort_by(|(a, _), (b, _)| a.root.cmp(&b.root));
        Ok(found)
    }
}

/// The directory of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDir {
    root: PathBuf,
}

impl JobDir {
    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The log's file.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// All that the build and its environment see.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Replaces the entry; when this returns, it survives the end of the process and of the machine.
    pub fn write(&self, entry: &Entry) -> Result<()> {
        let path = self.root.join(JOURNAL);
        let new = self.root.join("journal.new");
        let text = serde_json::to_vec(entry)
            .map_err(|e| Error::internal("a journal entry cannot be written").with_source(e))?;
        let mut file = File::create(&new).map_err(|e| failed("write", &new, e))?;
        file.write_all(&text)
            .and_then(|()| file.sync_all())
            .map_err(|e| failed("write", &new, e))?;
        trial::crash_point("client_journal_written_before_rename");
        fs::rename(&new, &path).map_err(|e| failed("write", &path, e))?;
        sync_dir(&self.root)
    }

    /// The entry.
    pub fn read(&self) -> Result<Entry> {
        let path = self.root.join(JOURNAL);
        let text = fs::read(&path).map_err(|e| failed("read", &path, e))?;
        let entry: Entry = serde_json::from_slice(&text).map_err(|e| {
            let message = format!("{} is not a journal entry", path.display());
            Error::new(ErrorKind::Corrupt, message).with_source(e)
        })?;
        if entry.version == VERSION {
            return Ok(entry);
        }
        let message = format!("{} is of version {}", path.display(), entry.version);
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    /// Removes what the build has seen; log and journal stay.
    pub fn remove_work(&self) -> Result<()> {
        remove(&self.work())
    }

    /// Removes the directory with all that is in it. The journal goes last: what is killed half-way is cleaned again.
    pub fn remove(&self) -> Result<()> {
        self.remove_work()?;
        remove(&self.root)
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, e)),
        _ => Ok(()),
    }
}

fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).map_err(|e| failed("synchronise", path, e))
}

/// A failure of this machine's disk.
pub(crate) fn failed(what: &str, path: &Path, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {what} {}: {cause}", path.display())).with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::End;
    use crate::samples::assignment;

    fn entry() -> Entry {
        Entry::new(assignment(7, 2), "claim-1".to_owned(), "boot-1".to_owned())
    }

    #[test]
    fn a_second_process_is_refused_the_same_work_dir() {
        let dir = tempfile::tempdir().unwrap();
        let first = Journal::open(dir.path()).unwrap();
        let error = Journal::open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        drop(first);
        Journal::open(dir.path()).unwrap();
    }

    #[test]
    fn a_client_that_starts_again_finds_each_job_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let ending = Ending::Failed {
            failure: Failure {
                class: pybit_core::model::FailureClass::Build,
                message: "no".to_owned(),
            },
            unmet: vec![],
        };
        {
            let journal = Journal::open(dir.path()).unwrap();
            let mut entry = entry();
            let place = journal.begin(&entry).unwrap();
            entry.state = State::Stopping(End::Cancelled);
            entry.result = Some(ending.clone());
            place.write(&entry).unwrap();
        }
        let journal = Journal::open(dir.path()).unwrap();
        let found = journal.recover().unwrap();
        let [(place, Ok(entry))] = &found[..] else { panic!("{found:?}") };
        assert_eq!((entry.job().0, entry.attempt()), (7, 2));
        assert_eq!(entry.state, State::Stopping(End::Cancelled));
        assert_eq!(entry.result.as_ref(), Some(&ending));
        place.remove().unwrap();
        assert!(journal.recover().unwrap().is_empty());
    }

    #[test]
    fn a_write_that_was_cut_off_leaves_the_entry_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let place = journal.begin(&entry()).unwrap();
        fs::write(place.path().join("journal.new"), b"{\"version\":1,\"cl").unwrap();
        assert_eq!(place.read().unwrap().claim_id, "claim-1");
    }

    #[test]
    fn a_directory_without_a_readable_entry_is_found_too() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let place = journal.place(JobId(9), 1);
        fs::create_dir_all(place.work()).unwrap();
        fs::write(place.path().join(JOURNAL), b"").unwrap();
        let found = journal.recover().unwrap();
        assert!(matches!(&found[..], [(_, Err(e))] if e.kind() == ErrorKind::Corrupt), "{found:?}");
    }
}
