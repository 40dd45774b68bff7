//! What a failed build means, read from how it ended and the end of its log.
//!
//! sbuild says where it stopped in the summary that ends its log (`Status:`, `Fail-Stage:`); its exit code does not tell
//! a compile error from a broken machine. What the package's own code prints comes before that summary, so it can at
//! most misclassify itself: trouble of the machine that such code, or a dependency that the package chose, could have made or
//! told is `unclear` and counts against no build client.

use pybit_core::format::{Exit, Verdict};
use pybit_core::model::{Failure, FailureClass};

use super::unmet;
use crate::build_log::{machine_trouble, refused, telling_line};

/// What a failed step means. `phase` is the step's, as [`steps`](super::steps) names them.
pub(super) fn classify(phase: &str, exit: Exit, log_tail: &str) -> Verdict {
    match exit {
        Exit::Code(_) if phase == "sbuild" => sbuild(log_tail),
        Exit::Code(_) => plain(phase, log_tail),
        Exit::Signal(signal) => unclear(format!(
            "The {phase} step was killed by signal {signal}, which pybit did not send."
        )),
        Exit::TimedOut => build("The build took longer than its time limit allows."),
        Exit::Silent => build("The build printed nothing for longer than its limit allows."),
        Exit::LogLimit => build("The build printed more than its log limit allows."),
        Exit::Exceeded(excess) => build(excess.sentence()),
        Exit::Stopped => infra("The build was stopped on request."),
    }
}

/// A step of the host environment or of a source build.
fn plain(phase: &str, log: &str) -> Verdict {
    if let Some(trouble) = machine_trouble(log, true) {
        return unclear(trouble);
    }
    match phase {
        "dependencies" => dep_wait(log).unwrap_or_else(|| {
            unclear(explain("The build dependencies could not be checked", log))
        }),
        "build" => build(explain("The package does not build", log)),
        "describe" => build(explain("The build made no packages that can be read", log)),
        "farm" => infra(explain("The farm's repositories cannot be handed to the root", log)),
        "unpack" => source(explain("The source package cannot be unpacked", log)),
        _ => source(explain("The tree does not make a source package", log)),
    }
}

fn sbuild(log: &str) -> Verdict {
    let Some(summary) = Summary::read(log) else {
        let what = explain("sbuild ended without a summary", log);
        return if has_begun(log) { unclear(what) } else { infra(what) };
    };
    let before = summary.before;
    let stage = summary.stage.unwrap_or_default();
    match stage {
        "install-deps" => install_deps(before),
        "build" | "dpkg-buildpackage" | "parse-changes" => machine_trouble(before, true)
            .map_or_else(|| build(explain("The package does not build", before)), unclear),
        "arch-check" | "check-architecture" => {
            build("The package is not meant for this architecture, says sbuild.")
        }
        "unpack" | "check-unpacked-version" => machine_trouble(before, true).map_or_else(
            || source(explain("The source package cannot be unpacked", before)),
            unclear,
        ),
        _ if summary.status == "skipped" => build(explain("sbuild skipped the package", before)),
        _ => infra(machine_trouble(before, false).unwrap_or_else(|| {
            explain(&format!("sbuild could not make the environment ({stage})"), before)
        })),
    }
}

/// The environment's own package manager failed: an index that could not be fetched makes every relation on what it
/// holds look unmet, so trouble with a mirror comes first.
fn install_deps(log: &str) -> Verdict {
    if let Some(refused) = refused(log) {
        return build(refused);
    }
    if let Some(trouble) = machine_trouble(log, false) {
        return unclear(trouble);
    }
    match dep_wait(log) {
        Some(verdict) if unmet::forbidden(log, &verdict.unmet) => build(format!(
            "The package's Build-Conflicts forbid what its build needs: {}.",
            listed(&verdict.unmet)
        )),
        Some(verdict) => verdict,
        None => unclear(explain("The build dependencies could not be installed", log)),
    }
}

/// True where something that the package chose has run: its dependencies were installed, or the log is longer than sbuild's beginning.
fn has_begun(log: &str) -> bool {
    log.len() > 128 * 1024 || log.contains("| Install package build dependencies")
}

fn dep_wait(log: &str) -> Option<Verdict> {
    let unmet = unmet::relations(log);
    if unmet.is_empty() {
        return None;
    }
    let message = format!("Build dependencies are missing: {}.", listed(&unmet));
    Some(Verdict { failure: Failure { class: FailureClass::DepWait, message }, unmet })
}

/// The first few relations, and how many more there are.
fn listed(relations: &[String]) -> String {
    let shown = &relations[..relations.len().min(5)];
    match relations.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The last summary of a log.
struct Summary<'a> {
    /// What stands before it.
    before: &'a str,
    status: &'a str,
    stage: Option<&'a str>,
}

impl<'a> Summary<'a> {
    fn read(log: &'a str) -> Option<Self> {
        let (before, summary) = log.rsplit_once("\n| Summary ")?;
        let field =
            |name: &str| summary.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Some(Self { before, status: field("Status:")?, stage: field("Fail-Stage:") })
    }
}

/// A sentence with the line of the log that says most.
fn explain(what: &str, log: &str) -> String {
    telling_line(log).map_or_else(|| format!("{what}."), |line| format!("{what}: {line}"))
}

fn verdict(class: FailureClass, message: impl Into<String>) -> Verdict {
    Verdict { failure: Failure { class, message: message.into() }, unmet: Vec::new() }
}

fn build(message: impl Into<String>) -> Verdict {
    verdict(FailureClass::Build, message)
}

fn infra(message: impl Into<String>) -> Verdict {
    verdict(FailureClass::Infra, message)
}

fn unclear(message: impl Into<String>) -> Verdict {
    verdict(FailureClass::Unclear, message)
}

fn source(message: impl Into<String>) -> Verdict {
    verdict(FailureClass::Source, message)
}
