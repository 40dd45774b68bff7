//! I16 to I18 and I24: retries, pauses, priorities, clocks.

use super::world::Event;
use super::{Evidence, Outcome};
use crate::farm::config::{DEP_WAIT_MS, RETRIES};
use crate::plan::{Backends, Kind};

/// Events whose server went by an honest clock: the others cannot be put into an order of time.
fn honest<'a>(e: &'a Evidence, event: &'a Event) -> bool {
    (e.span.0 - 1_000_000..=e.span.1 + 1_000_000).contains(&event.at)
}

/// I16: retries.
pub(super) fn retries(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "infrastructure retries stay below their cap and have a cause; a build failure is not retried by itself",
    );
    for job in &e.world.jobs {
        out.look(job.infra_retries <= RETRIES, || {
            format!("job {}: {} retries", job.id, job.infra_retries)
        });
    }
    for attempt in e.world.attempts.iter().filter(|a| a.failure_class.as_deref() == Some("build")) {
        let last = e.world.job(attempt.job).is_some_and(|j| j.attempt == attempt.number);
        out.look(last, || format!("job {}: tried again after its build failed", attempt.job));
    }
    if e.faults.iter().all(|f| f.hit.is_err() || takes_no_lease(f.fault.kind, e.plan.backends)) {
        // A client that is heard of before anybody else has claimed its job goes on: the attempt does not show that.
        let lapsed =
            e.world.events.values().flatten().filter(|e| e.cause.starts_with(LAPSED)).count();
        out.look(lapsed <= STUMBLES, || {
            format!("{lapsed} leases have lapsed, and nothing has held up a client")
        });
    }
    out
}

/// What the farm says of a job whose client it has not heard of for too long.
const LAPSED: &str = "its client was silent";

/// Leases that a crowded machine may lose by itself: a client that gets no processor for two seconds looks dead.
const STUMBLES: usize = 2;

/// Whether a fault leaves every lease alone: clients reach a server that is there. On `SQLite` the one server is also the one
/// that judges, and what it missed while it stood still is nobody's fault.
fn takes_no_lease(kind: Kind, backends: Backends) -> bool {
    match kind {
        Kind::ClockJump
        | Kind::Garbage
        | Kind::KillWatcher
        | Kind::KillTool
        | Kind::LyingTool
        | Kind::Diverge
        | Kind::FlipByte
        | Kind::Duplicate => true,
        Kind::PauseServer | Kind::KillServer => backends == Backends::SqliteZero,
        _ => false,
    }
}

/// I17: pauses of blocked jobs.
pub(super) fn dep_waits(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "a blocked job waits at least its pause, unless something was published for it",
    )
    .optional();
    for events in e.world.events.values() {
        for pair in events.windows(2) {
            let [before, after] = pair else { continue };
            let woken = before.to_status == "Blocked" && after.to_status == "Waiting";
            if woken && honest(e, before) && honest(e, after) && !after.cause.contains("published")
            {
                let pause = (after.at - before.at) / 1000;
                out.look(pause >= DEP_WAIT_MS - 50, || {
                    format!("job {}: woken after {pause} ms", after.job)
                });
            }
        }
    }
    out
}

/// Around each claim, what is a matter of microseconds on two servers is left alone.
const RACE: i64 = 1_500_000;

/// A change is dated before it is sent to the database; what stands still meanwhile holds back its commit.
const DATED: i64 = 1_000_000;

/// From when on others saw what an event of this date did: where it met a fault that holds commits back, not before its end.
fn seen_from(e: &Evidence, at: i64) -> i64 {
    let time = |ms: u64| e.span.0 + i64::try_from(ms * 1000).unwrap_or(0);
    let held = |kind: Kind| {
        matches!(
            kind,
            Kind::PauseServer
                | Kind::PauseDatabase
                | Kind::KillDatabase
                | Kind::Blackhole
                | Kind::HalfOpen
                | Kind::Delay
                | Kind::Trickle
                | Kind::DiskFull
                | Kind::FsyncFails
                | Kind::SlowDisk
        )
    };
    let over = e.faults.iter().filter(|f| f.hit.is_ok() && held(f.fault.kind));
    let over = over.filter(|f| (time(f.from) - DATED..=time(f.to)).contains(&at));
    over.map(|f| time(f.to)).max().unwrap_or(at).max(at)
}

/// I18: the highest priority first.
pub(super) fn priorities(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "no claim passed over a job of the same target with a higher priority that had waited since before",
    );
    // When jobs that were never tried, blocked or paused waited: between their first and their second event.
    let waits: Vec<_> = e
        .world
        .jobs
        .iter()
        .filter_map(|job| {
            let events = e.world.events.get(&job.id)?;
            let (first, second) = (events.first()?, events.get(1)?);
            let honest = honest(e, first) && honest(e, second);
            honest.then_some((job, seen_from(e, first.at), second.at))
        })
        .collect();
    for (job, _, claimed) in waits.iter().filter(|(j, _, _)| j.attempt > 0) {
        let passed = waits.iter().find(|(other, since, until)| {
            other.priority > job.priority
                && (&other.suite, &other.arch) == (&job.suite, &job.arch)
                && since + RACE < *claimed
                && *until > claimed + RACE
        });
        out.look(passed.is_none(), || {
            let other = passed.map_or(0, |(o, _, _)| o.id);
            format!("job {} (priority {}) was claimed before job {other}", job.id, job.priority)
        });
    }
    out
}

/// I24: clocks may go back, versions may not.
pub(super) fn clocks(e: &Evidence) -> Outcome {
    let mut out = Outcome::new("event times may go back; event numbers and attempts never do");
    let mut back = 0;
    for events in e.world.events.values() {
        for pair in events.windows(2) {
            let [before, after] = pair else { continue };
            back += usize::from(after.at < before.at);
            out.look(after.number > before.number && after.attempt >= before.attempt, || {
                format!("job {}: event {} went back", after.job, after.number)
            });
        }
    }
    out.note = Some(format!("{back} events are earlier than the one before"));
    out
}
