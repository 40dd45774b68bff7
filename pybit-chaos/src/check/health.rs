//! I15 and I19 to I23: outbox, leftovers, slots, memory, secrets, recovery.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Outcome};
use crate::farm::config::TTL_MS;
use crate::faults::Done;
use crate::plan::Kind;

/// How late a fault may begin, and how long a decided change may take until others see it, in microseconds.
const LATE: i64 = 1_000_000;

/// I15: no hint waits at rest, and none is taken for sent while there is no broker to take it.
pub(super) fn outbox(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "the outbox is empty at rest; while the broker is away every new job's hint stays in it",
    );
    let rows = e.world.outbox;
    out.look(rows == 0, || format!("{rows} hints were never sent"));
    for deleted in &e.deleted {
        let meant = deleted.from..deleted.to - 2 * LATE;
        let firsts = e.world.events.values().filter_map(|events| events.first());
        if firsts.clone().any(|event| meant.contains(&event.at)) {
            out.look(deleted.hints > 0, || {
                "jobs came after the queues were deleted, and no queue holds a hint".to_owned()
            });
        }
    }
    for (from, to) in broker_away(e) {
        let until = to - 2 * LATE;
        let Some(last) = e.waiting.iter().rfind(|w| (until..to).contains(&w.at)) else { continue };
        for (id, events) in &e.world.events {
            let born = events.first().map(|event| event.at);
            if !born.is_some_and(|at| (from + LATE..last.at - LATE).contains(&at)) {
                continue;
            }
            out.look(last.jobs.contains(id), || {
                format!(
                    "job {id}: its hint left the outbox while the broker was away, from {} to {} ms",
                    (from - e.span.0) / 1000,
                    (to - e.span.0) / 1000
                )
            });
        }
    }
    out
}

/// When there was no broker, in microseconds by the wall clock; where two faults are about it at once, nobody knows.
fn broker_away(e: &Evidence) -> Vec<(i64, i64)> {
    let away = |f: &&Done| matches!(f.fault.kind, Kind::KillBroker | Kind::PauseBroker);
    let all: Vec<&Done> = e.faults.iter().filter(away).collect();
    let alone = |f: &&&Done| {
        let over = |o: &&&Done| o.fault.at != f.fault.at && o.from <= f.to && f.from <= o.to;
        f.hit.is_ok() && !all.iter().any(|o| over(&o))
    };
    let time = |ms: u64| e.span.0 + i64::try_from(ms * 1000).unwrap_or(0);
    all.iter().filter(alone).map(|f| (time(f.from), time(f.from + f.fault.lasts))).collect()
}

/// The diaries of the clients' stages: each line says what began or ended, and how many ran then.
fn diaries(e: &Evidence) -> impl Iterator<Item = (String, String)> + '_ {
    let name = |n: u32| format!("client-{n}");
    (1..=8).map(name).map(|n| {
        let text = std::fs::read_to_string(e.dir.join(&n).join("stage")).unwrap_or_default();
        (n, text)
    })
}

/// I19: no client built one job twice at once, and nothing is left of any attempt.
pub(super) fn nothing_left(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "no client ran two attempts of a job at once; no directory of an attempt is left",
    );
    for (client, diary) in diaries(e) {
        let mut running: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for line in diary.lines() {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["boot", ..] => running.clear(),
                ["begin", job, attempt, _] => {
                    let own = running.entry(job).or_default();
                    own.insert(attempt);
                    out.look(own.len() == 1, || {
                        format!("{client} ran {own:?} of job {job} at once")
                    });
                }
                ["end", job, attempt, _] => {
                    running.entry(job).or_default().remove(attempt);
                }
                _ => {}
            }
        }
        let left = std::fs::read_dir(e.dir.join(&client).join("jobs")).map_or(0, Iterator::count);
        out.look(left == 0, || format!("{client} has {left} directories of jobs left"));
    }
    out
}

/// What a process says of itself that no fault excuses.
pub(crate) const DEFECTS: [&str; 2] = ["panicked at", "by a defect"];

/// I20: slots.
pub(super) fn slots(e: &Evidence) -> Outcome {
    let mut out = Outcome::new("no client ran more builds at once than it has slots");
    for (client, diary) in diaries(e) {
        let most = if client.ends_with(['2', '4', '6', '8']) { 2 } else { 1 };
        for line in diary.lines().filter(|l| l.starts_with("begin")) {
            let ran = line.rsplit(' ').next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(99);
            out.look(ran <= most, || format!("{client} ran {ran} builds in {most} slots"));
        }
    }
    out
}

/// I21: memory and open files. In runs of 40 to 200 jobs the greatest growth was 12 MiB, of a web server.
pub(super) fn usage(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "at rest no process has 10 % more files open than after the start (16 are spare), nor 32 MiB more memory",
    );
    let (mut most, mut whose) = (0, "nobody");
    for (name, [before, after]) in &e.usage {
        let (Some((rss, files)), Some((rss_now, files_now))) = (before, after) else {
            out.look(false, || format!("{name} was not there to be looked at"));
            continue;
        };
        if rss_now.saturating_sub(*rss) > most {
            (most, whose) = (rss_now - rss, name);
        }
        out.look(*files_now <= files + files / 10 + 16, || {
            format!("{name}: {files} files, now {files_now}")
        });
        out.look(*rss_now <= rss + rss / 10 + 32 * 1024, || {
            format!("{name}: {rss} KiB, now {rss_now}")
        });
    }
    out.note = Some(format!("{whose} grew most, by {most} KiB"));
    out
}

/// I25: what the program itself holds for impossible: a panic, a request that fails by a defect, an edge that the database refuses.
pub(super) fn defects(e: &Evidence) -> Outcome {
    let mut out = Outcome::new("no process panicked, and no request failed by a defect");
    out.looked_at = e.usage.len();
    let defects = e.surprises.iter().filter(|s| DEFECTS.iter().any(|d| s.contains(d)));
    out.findings.extend(defects.cloned());
    out
}

/// I22: secrets stay where they belong.
pub(super) fn secrets(e: &Evidence) -> Outcome {
    let mut out = Outcome::new("no token or password is in any output, job log or database row");
    let mut texts: Vec<(String, String)> = vec![("the database".to_owned(), e.world.dump.clone())];
    for entry in std::fs::read_dir(&e.dir).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|x| x == "log") {
            let text = std::fs::read(entry.path()).unwrap_or_default();
            texts.push((
                entry.file_name().display().to_string(),
                String::from_utf8_lossy(&text).into_owned(),
            ));
        }
    }
    for ((job, attempt), log) in &e.logs {
        texts.push((format!("log {job}-{attempt}"), String::from_utf8_lossy(log).into_owned()));
    }
    for (name, text) in texts {
        let shown = e.secrets.iter().filter(|s| text.contains(s.as_str())).count();
        out.look(shown == 0, || format!("{name} shows {shown} secrets"));
    }
    out
}

/// A fault that lasted takes effect on those who must notice it; after its end this is too long.
const TOO_LONG: u64 = 2 * TTL_MS;

/// I23: the farm goes on soon after it is whole.
pub(super) fn recovery(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "after a heal that no other fault follows, the next event comes within two leases",
    );
    // Some of those that were to be alone hit nobody, or heal late.
    out.must_see = e.plan.lone > 2;
    let mut at: Vec<i64> = e.world.events.values().flatten().map(|e| e.at).collect();
    at.sort_unstable();
    let mut longest = 0;
    for fault in &e.faults {
        let alone = !e.faults.iter().any(|f| {
            let around = f.from < fault.to + TOO_LONG && f.to > fault.to;
            // Events cannot be timed while a clock is wrong.
            let counts = f.fault.kind.stalls() || f.fault.kind == Kind::ClockJump;
            around && counts && f.fault.at != fault.fault.at
        });
        let counts = fault.fault.kind.stalls() && fault.hit.is_ok() && alone;
        if !counts || fault.to + TOO_LONG > e.plan.window {
            continue;
        }
        let heal = e.span.0 + i64::try_from(fault.to * 1000).unwrap_or(0);
        let Some(next) = at.iter().find(|t| **t >= heal) else { continue };
        let took = u64::try_from((next - heal) / 1000).unwrap_or(0);
        longest = longest.max(took);
        out.look(took <= TOO_LONG, || {
            format!("{:?} at {} ms: {took} ms until the next event", fault.fault.kind, fault.from)
        });
    }
    let rest =
        e.rest.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms after the last heal"));
    out.note = Some(format!("longest {longest} ms; at rest {rest}"));
    out
}
