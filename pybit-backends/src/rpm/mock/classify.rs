//! What mock's exit codes mean (`exception.py` of mock), with what its log says.
//!
//! A command of mock's that fails itself gives mock its own code, so a failed `rpmbuild` is 1 as a rule, like anything unforeseen: then the
//! log decides. What the package's own code prints comes before mock's last words, so a package can at most misclassify itself.

use std::borrow::Cow;

use pybit_core::format::Verdict;
use pybit_core::model::FailureClass::{Build, Infra, Source, Unclear};

use super::super::classify::{dep_wait, explain, in_section, verdict};
use crate::build_log::{UNMET, machine_trouble, shown};

/// How mock's own account of a failure begins.
const LAST_WORDS: &str = "ERROR: Exception(";

/// Whether a step of this phase is a command of mock's.
pub(in super::super) fn is_step(phase: &str) -> bool {
    phase.starts_with("mock-")
}

/// What a failed command of mock's means.
pub(in super::super) fn classify(phase: &str, code: i32, log: &str) -> Verdict {
    if let Some(trouble) = machine_trouble(log, true) {
        return verdict(Unclear, trouble);
    }
    let (said, last_words) = log.rfind(LAST_WORDS).map_or((log, ""), |at| log.split_at(at));
    let others = said.lines().filter(|line| !line.starts_with("ERROR: "));
    let said = &others.collect::<Vec<_>>().join("\n");
    match phase {
        "mock-build" => build(code, said, last_words)
            .unwrap_or_else(|| trouble(code, log, last_words.contains("builddep"))),
        "mock-source" | "mock-describe-source"
            if said.lines().any(|l| l.starts_with("error: ")) =>
        {
            verdict(Source, explain("The tree does not make a source package", said))
        }
        "mock-unpack" if own_trouble(code).is_none() => {
            verdict(Source, explain("The tree cannot be unpacked", said))
        }
        _ => trouble(code, log, false),
    }
}

/// What a failed build says of the package; `None` where it says nothing of it.
fn build(code: i32, said: &str, last_words: &str) -> Option<Verdict> {
    if let Some(waiting) = missing(code, last_words) {
        return Some(waiting);
    }
    match code {
        11 => Some(verdict(Build, "The build took longer than mock's configuration allows.")),
        31 => Some(verdict(
            Source,
            "The package requires a kind of dependency that mock does not know.",
        )),
        40 if last_words.contains("No build results found") => {
            Some(verdict(Build, "The build made no packages."))
        }
        40 => Some(verdict(Source, told("mock does not take the source package", last_words))),
        _ if own_trouble(code).is_some() => None,
        _ => rpmbuild(code, said, last_words),
    }
}

fn rpmbuild(code: i32, said: &str, last_words: &str) -> Option<Verdict> {
    let spec = || {
        let read = last_words.contains("rpmbuild -bs");
        read.then(|| verdict(Source, explain("The spec file cannot be read", said)))
    };
    let other = || {
        let failed = code == 10 || said.contains("RPM build errors:");
        failed.then(|| verdict(Build, explain("The package does not build", said)))
    };
    in_section(said).or_else(spec).or_else(other)
}

/// A dep-wait, where the package manager named what the build requires and nobody has. It says the same words where it cannot make the root.
fn missing(code: i32, last_words: &str) -> Option<Verdict> {
    let asked = last_words.contains("builddep") || code == 10;
    let named = last_words.lines().filter(|_| asked).filter_map(|line| relation(&bare(line)));
    dep_wait(&named.fold(String::new(), |lines, name| lines + UNMET + &name + "\n"))
}

/// The relation that a line of yum, dnf or dnf5 names.
fn relation(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches("ERROR: ").trim_start_matches("Error: ");
    if let Some((_, rest)) = line.split_once("nothing provides ") {
        return Some(rest.split_once(" needed by ")?.0.to_owned());
    }
    let begins = [
        "No matching package to install: ",
        "No match for argument: ",
        "No package found for ",
        "No Package found for ",
    ];
    let named = begins.iter().find_map(|begin| line.strip_prefix(begin))?;
    Some(named.trim_matches(['\'', '"']).to_owned())
}

/// A line without what makes a terminal print it bold.
fn bare(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut plain = String::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('[') => drop(rest.find(char::is_ascii_alphabetic)),
            Some('(') => drop(rest.next()),
            _ => {}
        }
    }
    Cow::Owned(plain)
}

/// What a code of mock's own says of the machine.
fn own_trouble(code: i32) -> Option<&'static str> {
    Some(match code {
        2 => "mock was started without its privileges",
        3 => "mock's configuration is not valid",
        5 => "mock does not take its arguments",
        6 => "mock's configuration is for another architecture than this machine's",
        20 => "mock's root cannot be made",
        25 | 65 => "mock cannot use its volumes",
        30 => "mock's package manager failed",
        50 => "mock refuses the command",
        60 => "mock's root is locked by another process",
        70 => "mock cannot write to the directory for its results",
        80 => "mock is not given namespaces of its own",
        90 => "mock's bootstrap root cannot be made",
        110 => "mock lost count of its own states",
        120 => "mock misses a program of the package manager",
        129 | 141 | 143 => "mock was ended by a signal that pybit did not send",
        _ => return None,
    })
}

/// Trouble of mock's own; it is unclear whose fault where it came while what the package `chose` was installed, or by a signal.
fn trouble(code: i32, log: &str, chose: bool) -> Verdict {
    let what = own_trouble(code).unwrap_or("mock failed");
    let unclear = chose || matches!(code, 129 | 141 | 143);
    verdict(if unclear { Unclear } else { Infra }, told(&format!("{what} (exit code {code})"), log))
}

/// A sentence with what mock itself said last.
fn told(what: &str, log: &str) -> String {
    let noise = |line: &str| {
        ["INFO:", "DEBUG:", "Start:", "Finish:", "# ", LAST_WORDS, "ERROR: Command failed"]
            .iter()
            .any(|s| line.starts_with(s))
    };
    let line =
        log.lines().rev().map(|line| shown(&bare(line))).find(|l| !l.is_empty() && !noise(l));
    line.map_or_else(
        || format!("{what}."),
        |line| format!("{what}: {}", line.trim_start_matches("ERROR: ")),
    )
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
