//! I8 and I12 to I14: what readers of the repositories see.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{Attempt, Job};
use super::{Evidence, Outcome};
use crate::builder::bytes;
use crate::farm::reader::Seen;
use crate::plan::{LIGHT, REAL};

fn built(job: &Job, attempt: &Attempt) -> String {
    let version = job.version.as_deref().unwrap_or_default();
    let number = u32::try_from(attempt.number).unwrap_or(0);
    bytes::sha256(&bytes::binary(&job.package, version, &job.arch, job.id, number))
}

/// I8: a cancelled job publishes nothing.
pub(super) fn cancelled_unpublished(e: &Evidence) -> Outcome {
    let mut out = Outcome::new("no reader ever saw bytes of a cancelled job").optional();
    let seen: BTreeSet<&String> = e.observed.digests.values().flatten().collect();
    for attempt in &e.world.attempts {
        let Some(job) = e.world.job(attempt.job) else { continue };
        if job.kind == "binary" && job.status == "Cancelled" {
            out.look(!seen.contains(&built(job, attempt)), || {
                format!("job {} is cancelled, its attempt {} was published", job.id, attempt.number)
            });
        }
    }
    out
}

/// I12: one content for ever.
pub(super) fn one_digest(e: &Evidence) -> Outcome {
    let mut out =
        Outcome::new("each package, version and architecture was ever seen under one digest");
    for (seen, digests) in &e.observed.digests {
        out.look(digests.len() == 1, || format!("{seen:?} was seen as {digests:?}"));
    }
    out
}

/// I13: what is Done is published, and nothing else.
pub(super) fn published(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "the repositories hold exactly the newest Done result of each package, as its accepted attempt built it",
    );
    let mut newest: BTreeMap<(String, String), (String, String, i64)> = BTreeMap::new();
    for (job, attempt) in
        e.world.succeeded().filter(|(j, _)| j.kind == "binary" && j.status == "Done")
    {
        let version = job.version.clone().unwrap_or_default();
        let entry = newest.entry((job.suite.clone(), job.package.clone())).or_default();
        if version > entry.0 {
            *entry = (version, built(job, attempt), job.id);
        }
        let done = e
            .world
            .events
            .get(&job.id)
            .map_or(0, |events| events.iter().filter(|e| e.to_status == "Done").count());
        out.look(done == 1, || format!("job {} became Done {done} times", job.id));
    }
    for ((suite, package), (version, digest, job)) in &newest {
        let suite = if suite == REAL { REAL } else { LIGHT };
        let (package, version) = (package.clone(), version.clone());
        let seen = Seen { suite, package, version, arch: e.arch.clone() };
        let there = e.observed.now.get(&seen);
        out.look(there == Some(digest), || {
            format!("job {job} is Done with {digest}, readers see {seen:?} as {there:?}")
        });
    }
    // Each apt repository brings its own keys to readers in a package that no job builds.
    let is_keyring = |seen: &&Seen| seen.package == format!("pybit-{}-archive-keyring", seen.suite);
    for seen in e.observed.now.keys().filter(|seen| !is_keyring(seen)) {
        let known = newest.get(&(seen.suite.to_owned(), seen.package.clone()));
        out.look(known.is_some_and(|(v, _, _)| *v == seen.version), || {
            format!("{seen:?} is published and no job is Done for it")
        });
    }
    out
}

/// I14: readers never meet a broken index.
pub(super) fn readable(e: &Evidence) -> Outcome {
    let mut out = Outcome::new(
        "at every poll the index was there, signed by the repository's key, and every listed file had its digest",
    );
    out.note = Some(format!("{} states with both signatures", e.observed.verified));
    out.looked_at = usize::try_from(e.observed.polls).unwrap_or(usize::MAX);
    out.findings.clone_from(&e.observed.wrong);
    let signed = e.observed.now.keys().all(|seen| seen.suite != REAL) || e.observed.verified > 0;
    out.look(signed, || "no signature was ever looked at".to_owned());
    out
}
