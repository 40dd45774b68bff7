//! What a failed build means, read from how it ended and the end of its log.
//!
//! The output of the package's own code comes into the same log, so a package can at most misclassify itself. Trouble of the machine that
//! such code, or a dependency that the package chose, could have made or told is `unclear` and counts against no build client.

use pybit_core::format::{Exit, Verdict};
use pybit_core::model::{Failure, FailureClass};

use crate::build_log::{machine_trouble, refused, telling_line, unmet};

/// What a failed step means. `phase` is the step's, as [`steps`](super::steps) names them.
pub(super) fn classify(phase: &str, exit: Exit, log: &str) -> Verdict {
    use FailureClass::{Build, Infra, Unclear};
    match exit {
        Exit::Code(_) => failed(phase, log),
        Exit::Signal(signal) => verdict(
            Unclear,
            format!("The {phase} step was killed by signal {signal}, which pybit did not send."),
        ),
        Exit::TimedOut => verdict(Build, "The build took longer than its time limit allows."),
        Exit::Silent => {
            verdict(Build, "The build printed nothing for longer than its limit allows.")
        }
        Exit::LogLimit => verdict(Build, "The build printed more than its log limit allows."),
        Exit::Exceeded(excess) => verdict(Build, excess.sentence()),
        Exit::Stopped => verdict(Infra, "The build was stopped on request."),
    }
}

fn failed(phase: &str, log: &str) -> Verdict {
    use FailureClass::{Build, Source, Unclear};
    if let Some(refused) = refused(log).filter(|_| phase == "install") {
        return verdict(Build, refused);
    }
    if let Some(trouble) = machine_trouble(log, true) {
        return verdict(Unclear, trouble);
    }
    match phase {
        "install" => {
            verdict(Unclear, explain("The farm's own index cannot be installed from", log))
        }
        "unpack" => verdict(Source, explain("The source cannot be unpacked", log)),
        "requires" => verdict(Source, explain("The build requirements cannot be read", log)),
        "dependencies" => dep_wait(log).unwrap_or_else(|| {
            verdict(Source, explain("The build requirements cannot be read", log))
        }),
        "build" => verdict(Build, explain("The package does not build", log)),
        "describe" => verdict(Build, explain("The build made no wheel that can be taken", log)),
        "describe-source" => verdict(Source, explain("The sdist cannot be read", log)),
        _ => verdict(Source, explain("The tree does not make an sdist", log)),
    }
}

fn dep_wait(log: &str) -> Option<Verdict> {
    let unmet = unmet(log);
    let message = format!("Build requirements are missing: {}.", unmet.join(", "));
    let failure = Failure { class: FailureClass::DepWait, message };
    (!unmet.is_empty()).then_some(Verdict { failure, unmet })
}

/// A sentence with the line of the log that says most.
fn explain(what: &str, log: &str) -> String {
    // `build` repeats in a line of its own that a hook has failed.
    let own = |line: &&str| {
        !line.to_ascii_lowercase().starts_with("error backend subprocess")
            && !line.starts_with("error: Backend subprocess")
    };
    let rest: Vec<&str> = log.lines().filter(own).collect();
    telling_line(&rest.join("\n"))
        .map_or_else(|| format!("{what}."), |line| format!("{what}: {line}"))
}

fn verdict(class: FailureClass, message: impl Into<String>) -> Verdict {
    Verdict { failure: Failure { class, message: message.into() }, unmet: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(phase: &str, log: &str) -> (FailureClass, String, Vec<String>) {
        let verdict = classify(phase, Exit::Code(1), log);
        (verdict.failure.class, verdict.failure.message, verdict.unmet)
    }

    #[test]
    fn missing_requirements_are_named_once_each() {
        let log = "pybit: unmet: foo>=1\npybit: unmet: bar\npybit: unmet: foo>=1\n";
        let (class, message, unmet) = of("dependencies", log);
        assert_eq!(class, FailureClass::DepWait);
        assert_eq!(unmet, ["foo>=1", "bar"]);
        assert_eq!(message, "Build requirements are missing: foo>=1, bar.");
        assert_eq!(of("dependencies", "error: no backend").0, FailureClass::Source);
    }

    #[test]
    fn the_phase_decides_and_the_telling_line_is_shown() {
        let log = "hello.c:3:1: error: expected ';'\nTraceback (most recent call last):\n  File x\n\nERROR Backend subprocess \
                   exited when trying to invoke build_wheel\n";
        for (phase, class) in [
            ("unpack", FailureClass::Source),
            ("source", FailureClass::Source),
            ("build", FailureClass::Build),
            ("describe", FailureClass::Build),
            ("install", FailureClass::Unclear),
        ] {
            let (found, message, _) = of(phase, log);
            assert_eq!(found, class, "{phase}");
            assert!(message.ends_with("hello.c:3:1: error: expected ';'"), "{message}");
        }
    }

    #[test]
    fn a_machine_in_trouble_is_not_the_packages_fault() {
        let log = "cc1: No space left on device\nerror: command failed\n";
        assert_eq!(of("build", log).0, FailureClass::Unclear);
        assert_eq!(classify("build", Exit::Signal(9), "").failure.class, FailureClass::Unclear);
    }
}
