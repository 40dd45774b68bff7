//! What a failed build means, read from how it ended and the end of its log.
//!
//! The output of the package's own code comes into the same log, so a package can at most misclassify itself. Trouble of the machine that
//! such code, or a dependency that the package chose, could have made or told is `unclear` and counts against no build client.

use pybit_core::format::{Exit, Verdict};
use pybit_core::model::{Failure, FailureClass};

use super::mock;
use crate::build_log::{machine_trouble, refused, telling_line, unmet};

/// What a failed step means. `phase` is the step's, as [`steps`](super::steps) names them.
pub(super) fn classify(phase: &str, exit: Exit, log: &str) -> Verdict {
    use FailureClass::{Build, Infra, Unclear};
    match exit {
        Exit::Code(code) if mock::is_step(phase) => mock::classify(phase, code, log),
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
    use FailureClass::{Build, Infra, Source, Unclear};
    if let Some(refused) = refused(log).filter(|_| phase == "install") {
        return verdict(Build, refused);
    }
    if let Some(trouble) = machine_trouble(log, true) {
        return verdict(Unclear, trouble);
    }
    match phase {
        "install" => {
            verdict(Unclear, explain("The farm's own repository cannot be installed from", log))
        }
        "repository" => {
            verdict(Infra, explain("The farm's own repository cannot be fetched and verified", log))
        }
        "requires" => verdict(Source, explain("The build dependencies cannot be read", log)),
        "dependencies" => dep_wait(log).unwrap_or_else(|| {
            verdict(Source, explain("The build dependencies cannot be read", log))
        }),
        "build" => in_section(log)
            .unwrap_or_else(|| verdict(Build, explain("The package does not build", log))),
        "describe" => verdict(Build, explain("The build made no packages that can be read", log)),
        "describe-source" => verdict(Source, explain("The source package cannot be read", log)),
        _ => verdict(Source, explain("The tree does not make a source package", log)),
    }
}

/// What it means that a part of the spec file failed; `None` where the log names none.
pub(super) fn in_section(log: &str) -> Option<Verdict> {
    use FailureClass::{Build, Source};
    let (class, what) = match section(log)? {
        "%prep" => (Source, "The sources cannot be prepared (%prep)".to_owned()),
        "%check" => (Build, "The package's tests fail (%check)".to_owned()),
        section => (Build, format!("The package does not build ({section})")),
    };
    Some(verdict(class, explain(&what, log)))
}

/// The part of the spec file that failed: `error: Bad exit status from /var/tmp/rpm-tmp.a1b2c3 (%build)`.
fn section(log: &str) -> Option<&'static str> {
    let line =
        log.lines().rev().find(|l| l.trim_start().starts_with("error: Bad exit status from "))?;
    let known =
        ["%prep", "%generate_buildrequires", "%conf", "%build", "%install", "%check", "%clean"];
    known.into_iter().find(|section| line.trim_end().ends_with(&format!("({section})")))
}

/// A dep-wait for the relations that lines of ours name; `None` where they name none.
pub(super) fn dep_wait(log: &str) -> Option<Verdict> {
    let unmet = unmet(log);
    let message = format!("Build dependencies are missing: {}.", unmet.join(", "));
    let failure = Failure { class: FailureClass::DepWait, message };
    (!unmet.is_empty()).then_some(Verdict { failure, unmet })
}

/// A sentence with the line of the log that says most.
pub(super) fn explain(what: &str, log: &str) -> String {
    let own = |line: &&str| {
        !["error: Bad exit status", "    Bad exit status", "RPM build errors:"]
            .iter()
            .any(|s| line.starts_with(s))
    };
    let rest: Vec<&str> = log.lines().filter(own).collect();
    telling_line(&rest.join("\n"))
        .map_or_else(|| format!("{what}."), |line| format!("{what}: {line}"))
}

pub(super) fn verdict(class: FailureClass, message: impl Into<String>) -> Verdict {
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
    fn missing_dependencies_are_named_once_each() {
        let log = "error: Failed build dependencies:\n\tfoo >= 1 is needed by x-1-1.noarch\npybit: unmet: foo >= 1\n\
                   pybit: unmet: (a if b)\npybit: unmet: foo >= 1\n";
        let (class, message, unmet) = of("dependencies", log);
        assert_eq!(class, FailureClass::DepWait);
        assert_eq!(unmet, ["foo >= 1", "(a if b)"]);
        assert_eq!(message, "Build dependencies are missing: foo >= 1, (a if b).");
        assert_eq!(of("dependencies", "error: line 3: Unknown tag").0, FailureClass::Source);
    }

    #[test]
    fn the_failed_section_decides_and_the_telling_line_is_shown() {
        let log = |section: &str| {
            format!(
                "hello.c:3:1: error: expected ';'\nerror: Bad exit status from /x/rpm-tmp.a1 ({section})\n\nRPM build errors:\n    \
                 Bad exit status from /x/rpm-tmp.a1 ({section})\n"
            )
        };
        for (section, class) in [
            ("%prep", FailureClass::Source),
            ("%build", FailureClass::Build),
            ("%install", FailureClass::Build),
            ("%check", FailureClass::Build),
        ] {
            let (found, message, _) = of("build", &log(section));
            assert_eq!(found, class, "{section}");
            assert!(
                message.contains(section) && message.ends_with("hello.c:3:1: error: expected ';'"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_machine_in_trouble_is_not_the_packages_fault() {
        for line in ["cc1: No space left on device", "fork: Cannot allocate memory"] {
            let log = format!("{line}\nerror: Bad exit status from /x (%build)\n");
            assert_eq!(of("build", &log).0, FailureClass::Unclear, "{line}");
        }
        assert_eq!(classify("build", Exit::Signal(9), "").failure.class, FailureClass::Unclear);
    }
}
