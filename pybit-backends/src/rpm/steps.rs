//! The commands of RPM builds, all inside the environment: reading a spec file runs its macros. Where `mock` makes the environment, the
//! commands are its own: [`mock`](super::mock).
//!
//! On a Debian machine or root rpm's own database holds next to nothing, so `rpmbuild` never judges the dependencies itself: the step before it does.

use std::collections::BTreeMap;
use std::path::Path;

use pybit_core::format::{BuildContext, Place, Step, Surroundings};
use pybit_core::{Error, Result};

use super::mock::Mock;
use crate::build_repository::checked_url;

/// Makes the `.src.rpm`.
pub(super) const MAKE_SRPM: &str = include_str!("make-srpm.pl");
/// Writes down what the `.src.rpm` says of itself, for [`source`](super::source).
pub(super) const DESCRIBE_SOURCE: &str = include_str!("describe-source.pl");
/// Says what is missing, for [`classify`](super::classify).
const DEPENDENCIES: &str = concat!(include_str!("dependencies.pl"), include_str!("debian.pl"));
/// Installs what the farm's own repositories have of what is missing.
const INSTALL: &str = concat!(include_str!("install.pl"), include_str!("debian.pl"));
/// Where rpm's database lies in a Debian root; rpm's own choice there is the home directory.
const ROOT_DATABASE: &str = "/var/lib/rpm";
/// Writes down what the built packages say of themselves, for [`collect`](super::collect).
const DESCRIBE: &str = include_str!("describe.pl");

/// The commands that turn a tree, with a spec file or a `.src.rpm`, into a described source package in `context.output`.
pub(super) fn source(context: &BuildContext) -> Result<Vec<Step>> {
    if let Some(mock) = Mock::of(context)? {
        return mock.source();
    }
    let tree = text(&context.source)?;
    Ok(vec![
        step(context, "source", &["perl", "-e", MAKE_SRPM, "--", tree]),
        step(context, "describe-source", &["perl", "-e", DESCRIBE_SOURCE]),
    ])
}

/// The commands that build binary packages from `context.source`, a `.srpm-info` with its `.src.rpm` beside it.
pub(super) fn binary(context: &BuildContext) -> Result<Vec<Step>> {
    let srpm = srpm(context)?;
    if let Some(mock) = Mock::of(context)? {
        return mock.binary(&srpm);
    }
    let output = text(&context.output)?;
    let define = |name: &str, value: &str| format!("--define={name} {value}");
    let build = [
        "rpmbuild",
        "--rebuild",
        "--nodeps",
        &format!("--target={}", context.arch),
        &define("_topdir", &format!("{output}/rpmbuild")),
        &define("_tmppath", output),
        &define("_rpmdir", output),
        &define("_rpmfilename", "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"),
        &srpm,
    ];
    let mut steps = dependencies(context, &srpm)?;
    steps.push(step(context, "build", &build));
    steps.push(describe(context));
    Ok(steps)
}

/// The `.src.rpm` beside the source description.
fn srpm(context: &BuildContext) -> Result<String> {
    let stem = text(&context.source)?.strip_suffix(super::source::SUFFIX);
    let srpm = stem.map(|stem| format!("{stem}.src.rpm"));
    srpm.ok_or_else(|| Error::internal("the source of an RPM build is no .srpm-info"))
}

/// Writes down what the packages in `context.output` say of themselves. rpm reads their headers only: no macro of theirs is run.
pub(super) fn describe(context: &BuildContext) -> Step {
    let indep = if context.indep { "1" } else { "0" };
    let argv = ["perl", "-e", DESCRIBE, "--", context.arch.as_str(), indep];
    step(context, "describe", &argv)
}

/// Says what is missing; in a root, after what the farm's own repositories have was installed. On the machine itself somebody else
/// installs build dependencies.
fn dependencies(context: &BuildContext, srpm: &str) -> Result<Vec<Step>> {
    let mut check = vec!["perl", "-e", DEPENDENCIES, "--", "check", srpm];
    if context.repositories.is_empty() || context.place == Surroundings::Host {
        return Ok(vec![step(context, "dependencies", &check)]);
    }
    check.push(ROOT_DATABASE);
    let arch = context.arch.as_str();
    let mut install = vec!["perl", "-e", INSTALL, "--", arch, ROOT_DATABASE];
    for repository in &context.repositories {
        install.extend([text(&repository.key)?, checked_url(repository)?]);
    }
    let mut install =
        Step { place: Place::Root, network: true, ..step(context, "install", &install) };
    // In the build's own directory the spec file could have left an .rpmmacros or a .curlrc for the root.
    install.vars.insert("HOME".to_owned(), "/root".to_owned());
    Ok(vec![
        step(context, "requires", &["perl", "-e", DEPENDENCIES, "--", "list", srpm]),
        install,
        step(context, "dependencies", &check),
    ])
}

pub(super) fn step(context: &BuildContext, phase: &'static str, argv: &[&str]) -> Step {
    Step {
        phase,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        place: Place::Inside,
        cwd: context.output.clone(),
        vars: variables(context),
        network: false,
    }
}

/// One language and one time zone, so that logs can be read and results repeat.
fn variables(context: &BuildContext) -> BTreeMap<String, String> {
    let home = context.output.display().to_string();
    let all = [("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("HOME", home.as_str())];
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A path as an argument and as the value of a macro: absolute, and nothing that rpm would expand.
pub(super) fn text(path: &Path) -> Result<&str> {
    let plain = |text: &&str| !text.contains(['%', '{', '}', '\\', '\n', ' ']);
    path.to_str().filter(|_| path.is_absolute()).filter(plain).ok_or_else(|| {
        Error::internal(format!(
            "the path {} is not absolute, or holds what rpm would expand",
            path.display()
        ))
    })
}
