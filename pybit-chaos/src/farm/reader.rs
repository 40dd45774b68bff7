//! An outsider who reads the repositories all the time, as apt would, and remembers every package he ever saw.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::signature::Keyring;
use crate::builder::bytes::sha256;
use crate::light::{INDEX, Index};
use crate::plan::{LIGHT, REAL};

/// A package in a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) suite: &'static str,
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) arch: String,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) polls: u64,
    /// States of the repository whose signatures were verified.
    pub(crate) verified: u64,
    /// Digests under which each package was ever listed.
    pub(crate) digests: BTreeMap<Seen, BTreeSet<String>>,
    /// The packages of the last poll.
    pub(crate) now: BTreeMap<Seen, String>,
    /// What was not as it must be.
    pub(crate) wrong: Vec<String>,
}

/// Reads until told to stop, and once more then.
pub(crate) async fn watch(dir: PathBuf, arch: String, stop: CancellationToken) -> Observed {
    let mut observed = Observed::default();
    let mut real =
        Real { begun: false, verified: PathBuf::new(), states: 0, keyring: Keyring::new(&dir) };
    let mut light = false;
    loop {
        let last = stop.is_cancelled();
        let root = dir.join("repositories");
        let mut now = BTreeMap::new();
        real.poll(&root.join(REAL), &arch, &mut now, &mut observed.wrong);
        let there = poll_light(&root.join(LIGHT), &mut now, &mut observed.wrong);
        if light && !there {
            observed.wrong.push(format!("{LIGHT}: the index is gone"));
        }
        light |= there;
        for (seen, digest) in &now {
            observed.digests.entry(seen.clone()).or_default().insert(digest.clone());
        }
        observed.polls += 1;
        observed.verified = real.states;
        observed.now = now;
        observed.wrong.truncate(50);
        if last {
            return observed;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
}

/// Whether there was an index.
fn poll_light(root: &Path, now: &mut BTreeMap<Seen, String>, wrong: &mut Vec<String>) -> bool {
    let Ok(text) = std::fs::read(root.join(INDEX)) else { return false };
    let index: Index = match serde_json::from_slice(&text) {
        Ok(index) => index,
        Err(e) => {
            wrong.push(format!("{LIGHT}: the index is no index: {e}"));
            return true;
        }
    };
    for (package, entry) in index {
        match std::fs::read(root.join(&entry.file)) {
            Ok(bytes) if sha256(&bytes) == entry.sha256 => {}
            Ok(_) => wrong.push(format!("{LIGHT}: {} has other bytes", entry.file)),
            Err(e) => wrong.push(format!("{LIGHT}: {} is listed: {e}", entry.file)),
        }
        let seen = Seen { suite: LIGHT, package, version: entry.version, arch: entry.arch };
        now.insert(seen, entry.sha256);
    }
    true
}

/// The reader of the repository that reprepro makes.
struct Real {
    /// Whether there ever was a state: from then on there always is.
    begun: bool,
    /// The state whose signatures were looked at last.
    verified: PathBuf,
    states: u64,
    keyring: Keyring,
}

impl Real {
    fn poll(
        &mut self,
        root: &Path,
        arch: &str,
        now: &mut BTreeMap<Seen, String>,
        wrong: &mut Vec<String>,
    ) {
        let Ok(target) = std::fs::read_link(root.join("current")) else {
            if self.begun {
                wrong.push(format!("{REAL}: readers are led nowhere"));
            }
            return;
        };
        self.begun = true;
        let state = root.join(target);
        poll_real(root, &state, arch, now, wrong);
        if self.verified == state {
            return;
        }
        match self.keyring.check(&state, &state.join(format!("dists/{REAL}"))) {
            Ok(()) => {
                self.states += 1;
                self.verified = state;
            }
            // A reader that is so late that the state is gone begins anew.
            Err(e) if state.exists() => wrong.push(format!("{REAL}: the signature: {e}")),
            Err(_) => {}
        }
    }
}

/// Reads one state: the link that a reader's directory hangs on is read once.
fn poll_real(
    root: &Path,
    state: &Path,
    arch: &str,
    now: &mut BTreeMap<Seen, String>,
    wrong: &mut Vec<String>,
) {
    let Ok(release) = std::fs::read_to_string(state.join(format!("dists/{REAL}/Release"))) else {
        // A reader that is so late that the state is gone begins anew.
        if root.join("current").read_link().is_ok_and(|t| root.join(t) == state) {
            wrong.push(format!("{REAL}: there is no Release in {}", state.display()));
        }
        return;
    };
    let name = format!("main/binary-{arch}/Packages");
    let Ok(packages) = std::fs::read_to_string(state.join(format!("dists/{REAL}/{name}"))) else {
        if state.exists() {
            wrong.push(format!("{REAL}: there is no {name}"));
        }
        return;
    };
    let digest = sha256(packages.as_bytes());
    if !release.contains(&digest) {
        wrong.push(format!("{REAL}: Release does not name {name} by its digest"));
    }
    for paragraph in packages.split("\n\n").filter(|p| !p.trim().is_empty()) {
        let field = |name: &str| {
            let line = paragraph.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        let (file, digest) = (field("Filename"), field("SHA256"));
        match std::fs::read(state.join(&file)) {
            Ok(bytes) if sha256(&bytes) == digest => {}
            Ok(_) => wrong.push(format!("{REAL}: {file} has other bytes")),
            Err(e) if state.exists() => wrong.push(format!("{REAL}: {file} is listed: {e}")),
            Err(_) => return,
        }
        let seen = Seen {
            suite: REAL,
            package: field("Package"),
            version: field("Version"),
            arch: field("Architecture"),
        };
        now.insert(seen, digest);
    }
}
