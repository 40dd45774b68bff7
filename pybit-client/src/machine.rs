//! What a build client does with one job: a pure function from state and event to state and effects.
//!
//! ```text
//! Fetching ─► Preparing ─► Building ─► Collecting ─► Uploading ─► Reporting ─► Cleaning ─► Done
//!     └──────────┴────────────┴────────────┴─ failed ─────────────────▲
//! any of them ── cancel, stale, shutdown ──► Stopping ─► Cleaning ─► Telling ─► Done
//! ```
//!
//! What is long is one effect at a time; each ends with exactly one event. Whatever happens, the environment is destroyed
//! (`Clean`) before anybody is told that the job is stopped or given back.

use serde::{Deserialize, Serialize};

/// Where a job is on this machine. Written to the journal, so that a restarted client goes on from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its source is on the way.
    Fetching,
    /// Its environment is being made.
    Preparing,
    /// Its steps run.
    Building,
    /// Its result is gathered and checked.
    Collecting,
    /// Its result is on the way to the server.
    Uploading,
    /// The server is told how it ended.
    Reporting,
    /// Its processes are being killed.
    Stopping(End),
    /// Its environment and its files are being removed.
    Cleaning(End),
    /// The server is told that it is stopped, or given back.
    Telling(End),
    /// Nothing more is to do.
    Done,
}

/// Why a job leaves this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The server has the result.
    Reported,
    /// The server asked to stop it, and waits for the confirmation.
    Cancelled,
    /// The server does not want it from this client any more: nobody is told.
    Gone,
    /// This client gives it back.
    Refused,
}

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The source is here and is to be built.
    Fetched,
    /// The source is here, and is the result as it is: a source job of a complete source package.
    FetchedResult,
    /// The environment stands.
    Prepared,
    /// Every step ended well.
    Built,
    /// The result is complete and on record.
    Collected,
    /// The server has every file.
    Uploaded,
    /// The server took the report.
    Reported,
    /// The job failed, or the server refuses its result; why is on record.
    Failed,
    /// The server lacks files that it had confirmed.
    FilesMissing,
    /// This client lacks what the job needs; why is on record.
    Unable,
    /// No process of it is left.
    Stopped,
    /// Environment and files are gone.
    Cleaned,
    /// Something of the environment is left.
    CleanFailed,
    /// The server was told, or does not care any more.
    Told,
    /// Verdict: stop it and confirm.
    Cancel,
    /// Verdict: another has it, it has ended, or the server does not know it.
    Gone,
    /// This client ends now: give back what is not built.
    Shutdown,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Get the source: ends with `Fetched`, `FetchedResult`, `Failed` or `Unable`.
    Fetch,
    /// Make the environment: `Prepared`, `Failed` or `Unable`.
    Prepare,
    /// Run the steps: `Built` or `Failed`.
    Build,
    /// Gather the result: `Collected` or `Failed`.
    Collect,
    /// Send the result: `Uploaded`, `Failed`, `Cancel` or `Gone`.
    Upload,
    /// Send the whole log, then the report: `Reported`, `Failed`, `FilesMissing`, `Cancel` or `Gone`.
    Report,
    /// Kill what runs, drop what is under way: `Stopped`.
    Stop,
    /// Destroy the environment and remove its files, but not log and journal: `Cleaned` or `CleanFailed`.
    Clean,
    /// Confirm that it is stopped: `Told` or `Gone`.
    ConfirmStopped,
    /// Give it back: `Told`, `Cancel` or `Gone`.
    Refuse,
    /// Remove log and journal. Ends nothing.
    Forget,
    /// The slot is not used again. Ends nothing.
    RetireSlot,
}

use Effect as Do;
use State::{
    Building, Cleaning, Collecting, Done, Fetching, Preparing, Reporting, Stopping, Telling,
    Uploading,
};

/// The next state and what is to be done. An event that means nothing in a state changes nothing.
pub fn step(state: State, event: Event) -> (State, Vec<Effect>) {
    match (state, event) {
        (Fetching, Event::Fetched) => (Preparing, vec![Do::Prepare]),
        (Fetching, Event::FetchedResult) | (Building, Event::Built) => {
            (Collecting, vec![Do::Collect])
        }
        (Preparing, Event::Prepared) => (Building, vec![Do::Build]),
        (Collecting, Event::Collected) | (Reporting, Event::FilesMissing) => {
            (Uploading, vec![Do::Upload])
        }
        (Uploading, Event::Uploaded)
        | (Fetching | Preparing | Building | Collecting | Uploading | Reporting, Event::Failed) => {
            (Reporting, vec![Do::Report])
        }
        (Reporting, Event::Reported) => clean(End::Reported),
        (Fetching | Preparing, Event::Unable) => clean(End::Refused),
        (Stopping(end), Event::Stopped) => clean(end),
        (Cleaning(end), Event::Cleaned) => tell(end),
        // What is left could still run: the server is not told that nothing is.
        (Cleaning(_), Event::CleanFailed) => (Done, vec![Do::RetireSlot]),
        (Telling(_), Event::Told | Event::Gone) => forget(),
        (_, Event::Cancel) => cancel(state),
        (_, Event::Gone) => gone(state),
        (Fetching | Preparing | Building | Collecting, Event::Shutdown) => stop(End::Refused),
        _ => (state, vec![]),
    }
}

/// What a restarted client does with a job that the journal holds; its processes died with the client. `None` where the
/// job was under way: then the client's restart is its failure, and it goes on in `Reporting`.
pub fn resume(state: State) -> Option<(State, Vec<Effect>)> {
    match state {
        Fetching | Preparing | Building | Collecting => None,
        Uploading => Some((Uploading, vec![Do::Upload])),
        Reporting => Some((Reporting, vec![Do::Report])),
        Stopping(end) | Cleaning(end) => Some(clean(end)),
        Telling(end) => Some(tell(end)),
        Done => Some(clean(End::Gone)),
    }
}

fn cancel(state: State) -> (State, Vec<Effect>) {
    match state {
        Stopping(End::Refused) => (Stopping(End::Cancelled), vec![]),
        Cleaning(End::Refused) => (Cleaning(End::Cancelled), vec![]),
        Telling(End::Refused) => tell(End::Cancelled),
        Stopping(_) | Cleaning(_) | Telling(_) | Done => (state, vec![]),
        _ => stop(End::Cancelled),
    }
}

fn gone(state: State) -> (State, Vec<Effect>) {
    match state {
        Stopping(_) => (Stopping(End::Gone), vec![]),
        Cleaning(_) => (Cleaning(End::Gone), vec![]),
        Telling(_) | Done => (state, vec![]),
        _ => stop(End::Gone),
    }
}

fn stop(end: End) -> (State, Vec<Effect>) {
    (Stopping(end), vec![Do::Stop])
}

fn clean(end: End) -> (State, Vec<Effect>) {
    (Cleaning(end), vec![Do::Clean])
}

fn tell(end: End) -> (State, Vec<Effect>) {
    match end {
        End::Cancelled => (Telling(end), vec![Do::ConfirmStopped]),
        End::Refused => (Telling(end), vec![Do::Refuse]),
        End::Reported | End::Gone => forget(),
    }
}

fn forget() -> (State, Vec<Effect>) {
    (Done, vec![Do::Forget])
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
