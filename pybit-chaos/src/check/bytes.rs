//! I9 to I11: logs and files, to the byte.

use std::collections::{BTreeMap, BTreeSet};

use super::world::Attempt;
use super::{Evidence, Outcome};
use crate::builder::bytes;
use crate::plan::Kind;

/// I9: logs.
pub(super) fn logs(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "parts of a log are contiguous, its digest is the client's, and it holds what the build said",
    );
    let mut parts: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    for part in &e.world.parts {
        parts.entry(part.stream).or_default().push((part.start_at, part.length));
    }
    for stream in &e.world.streams {
        let Some(own) = parts.get_mut(&stream.id) else { continue };
        own.sort_unstable();
        let end =
            own.iter().try_fold(0, |at, (start, length)| (*start == at).then_some(at + length));
        out.look(end == Some(stream.length), || {
            format!(
                "stream {} ({}) of job {:?}: parts end at {end:?}, its length is {}",
                stream.id, stream.name, stream.job, stream.length
            )
        });
    }
    for attempt in &e.world.attempts {
        log(e, attempt, &mut out);
    }
    out
}

/// The log of one attempt.
fn log(e: &Evidence, attempt: &Attempt, out: &mut Outcome) {
    let (job, number) = (attempt.job, attempt.number);
    let name = format!("job {job} attempt {number}");
    let Some(log) = e.logs.get(&(job, number)) else {
        out.look(attempt.log_sha256.is_none(), || format!("{name}: its log cannot be read"));
        return;
    };
    if let Some(digest) = &attempt.log_sha256 {
        out.look(bytes::sha256(log) == *digest, || {
            format!("{name}: {} bytes of log have another digest than the client's", log.len())
        });
    }
    let text = String::from_utf8_lossy(log);
    let known = bytes::log(job, u32::try_from(number).unwrap_or(0));
    let succeeded = attempt.outcome.as_deref() == Some("succeeded");
    if let Some(at) = text.find("chaos-begin") {
        let said = &text[at..];
        // A build that was stopped or killed ends in the middle, and pybit's own words may follow.
        let cut = known.bytes().zip(said.bytes()).take_while(|(a, b)| a == b).count();
        let whole = said.starts_with(&known);
        // A failure's sentence may name the directory of the run, `pybit-chaos-…`.
        let builds = ["chaos-begin ", "chaos-line ", "chaos-end "];
        let ended = said.get(cut..).is_some_and(|rest| !builds.iter().any(|w| rest.contains(w)));
        out.look(whole || ended, || format!("{name}: the log holds other words after {cut} bytes"));
        out.look(whole || !succeeded, || format!("{name} succeeded with a torn log"));
    } else {
        let binary = e.world.job(job).is_some_and(|j| j.kind == "binary");
        out.look(!binary || !succeeded, || format!("{name} succeeded without its words"));
    }
}

/// I10: files of results.
pub(super) fn files(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "every file of a taken result is there with its size and digest, and is what that attempt built",
    );
    for (job, attempt) in e.world.succeeded() {
        let own = e.world.streams.iter().filter(|s| {
            s.role == "file" && (s.job, s.attempt) == (Some(job.id), Some(attempt.number))
        });
        let mut count = 0;
        for stream in own {
            count += 1;
            let name = format!("job {} attempt {} {}", job.id, attempt.number, stream.name);
            let Some(object) = &stream.object else {
                out.look(false, || format!("{name} is not complete"));
                continue;
            };
            let found = std::fs::read(e.dir.join("data/blobs").join(object));
            let Ok(found) = found else {
                out.look(false, || format!("{name}: there are no bytes at {object}"));
                continue;
            };
            out.look(i64::try_from(found.len()).ok() == stream.size, || {
                format!("{name} has another size")
            });
            out.look(Some(bytes::sha256(&found)) == stream.sha256, || {
                format!("{name} has another digest")
            });
            let version = job.version.as_deref().unwrap_or_default();
            let ending = stream.name.rsplit('.').next();
            let built = if ending == Some("deb") {
                let number = u32::try_from(attempt.number).unwrap_or(0);
                bytes::binary(&job.package, version, &job.arch, job.id, number)
            } else {
                let (text, _, tarball) = bytes::source(&job.package, version);
                if ending == Some("dsc") { text.into_bytes() } else { tarball }
            };
            out.look(found == built, || format!("{name} is not what the attempt built"));
        }
        out.look(count > 0, || format!("job {}: a result without files", job.id));
    }
    out
}

/// Pieces that one interrupted server may leave without a row: its clients' slots send one each.
const IN_FLIGHT: usize = 12;

/// I11: what is stored is named. A piece whose request was cut off between bytes and row is cleared away after a day, which
/// is longer than a run: there are no more of them than requests that can have been cut off, by a fault, by a client that
/// gave its attempt up, or by one that had no patience (of these one for five attempts: up to one for eight was seen without any fault).
pub(super) fn staging(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "stored pieces are named by a row, but for those of requests that a fault cut off; none is named and not there",
    );
    let blobs = e.dir.join("data/blobs");
    let named: BTreeSet<&str> = e.world.parts.iter().map(|p| p.object.as_str()).collect();
    let mut stored = BTreeSet::new();
    for stream in std::fs::read_dir(blobs.join("parts")).into_iter().flatten().flatten() {
        for piece in std::fs::read_dir(stream.path()).into_iter().flatten().flatten() {
            let place = piece.path();
            stored.extend(place.strip_prefix(&blobs).ok().map(|p| p.display().to_string()));
        }
    }
    for object in &named {
        out.look(blobs.join(object).exists(), || format!("{object} is named and not there"));
    }
    let strays: Vec<_> = stored.iter().filter(|o| !named.contains(o.as_str())).collect();
    let cut = e.faults.iter().filter(|f| f.hit.is_ok() && cuts_requests(f.fault.kind)).count();
    let attempts = e.world.attempts.len();
    let ended = attempts - e.world.succeeded().count().min(attempts);
    out.look(strays.len() <= cut * IN_FLIGHT + ended + attempts / 5, || {
        format!("{} pieces have no row, after {cut} faults: {:?}", strays.len(), strays.first())
    });
    out.note = Some(format!("{} pieces without a row, {cut} faults that leave some", strays.len()));
    out
}

/// Whether a fault can end a request between the bytes that it stores and their row.
fn cuts_requests(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::KillClient
            | Kind::PauseClient
            | Kind::KillWatcher
            | Kind::KillTool
            | Kind::LyingTool
            | Kind::KillBroker
            | Kind::PauseBroker
            | Kind::LoseQueues
            | Kind::ClockJump
            | Kind::Garbage
    )
}
