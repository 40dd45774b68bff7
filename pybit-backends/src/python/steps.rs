//! The commands of Python builds, all inside the environment: a build backend is the package's own code.
//!
//! A wheel is built without isolation, from what the environment has and what the farm's own index has; never from anywhere else.
//! Requirements from the farm's index are put into a directory of the build's own, so that they change nothing on a machine.

use std::collections::BTreeMap;
use std::path::Path;

use pybit_core::format::{BuildContext, Place, Step, Surroundings};
use pybit_core::{Error, Result};

use crate::build_repository::checked_url;
use crate::exec::PATH;

/// Unpacks an sdist, or takes a tree as it is.
const UNPACK: &str = include_str!("unpack.py");
/// Says what is missing, for [`classify`](super::classify).
const DEPENDENCIES: &str = include_str!("dependencies.py");
/// Installs what the farm's own index has of what is missing.
const INSTALL: &str = include_str!("install.py");
/// Makes the sdist, where the tree did not hold one.
const MAKE_SDIST: &str = include_str!("make-sdist.py");
/// Writes down what the sdist says of itself, for [`source`](super::source).
const DESCRIBE_SOURCE: &str = include_str!("describe-source.py");
/// Writes down what the built wheel says of itself, for [`collect`](super::collect).
const DESCRIBE: &str = include_str!("describe.py");

/// Where requirements from the farm's index go in a root: a place that the build user cannot change.
const ROOT_REQUIREMENTS: &str = "/var/lib/pybit-requirements";

/// The commands that turn a tree, with a `pyproject.toml`, a `setup.py` or one sdist, into a described sdist in `context.output`.
///
/// The wheel that is built on the way says whether it is for every machine; it is not kept.
pub(super) fn source(context: &BuildContext) -> Result<Vec<Step>> {
    let tree = text(&context.source)?;
    let mut steps = vec![script(context, "unpack", UNPACK, &[tree, "source"])];
    steps.extend(dependencies(context, "sdist")?);
    steps.push(script(context, "source", MAKE_SDIST, &["source"]));
    steps.push(script(context, "unpack", UNPACK, &[".", "probe"]));
    steps.push(wheel(context, "probe", "probe-wheel"));
    steps.push(script(context, "describe-source", DESCRIBE_SOURCE, &["probe-wheel"]));
    Ok(steps)
}

/// The commands that build a wheel from `context.source`, a `.sdist-info` with its `.tar.gz` beside it.
pub(super) fn binary(context: &BuildContext) -> Result<Vec<Step>> {
    let described = text(&context.source)?;
    let stem = described.strip_suffix(super::source::SUFFIX);
    let sdist = stem.map(|stem| format!("{stem}.tar.gz"));
    let sdist =
        sdist.ok_or_else(|| Error::internal("the source of a Python build is no .sdist-info"))?;
    let arch = if context.indep { super::source::ALL } else { context.arch.as_str() };
    let mut steps = vec![script(context, "unpack", UNPACK, &[&sdist, "source"])];
    steps.extend(dependencies(context, "wheel")?);
    steps.push(wheel(context, "source", "."));
    steps.push(script(context, "describe", DESCRIBE, &[arch]));
    Ok(steps)
}

/// Says what is missing, after what the farm's own index has was installed. A backend says what else it needs once it is there itself, so
/// the first two are done twice.
fn dependencies(context: &BuildContext, what: &str) -> Result<Vec<Step>> {
    let check = |phase, mode| script(context, phase, DEPENDENCIES, &[mode, what, "source"]);
    let mut steps = Vec::new();
    if !context.repositories.is_empty() {
        let to = requirements(context);
        let mut words = vec![to.as_str()];
        for repository in &context.repositories {
            words.extend([text(&repository.key)?, checked_url(repository)?]);
        }
        let mut install = script(context, "install", INSTALL, &words);
        (install.place, install.network) = (Place::Root, true);
        if context.place != Surroundings::Host {
            // In the build's own directory the package could have left settings for the root.
            install.vars.insert("HOME".to_owned(), "/root".to_owned());
        }
        for _ in 0..2 {
            steps.extend([check("requires", "list"), install.clone()]);
        }
    }
    steps.push(check("dependencies", "check"));
    Ok(steps)
}

/// Builds the wheel of an unpacked sdist into a directory. What is missing has been found out before.
fn wheel(context: &BuildContext, from: &str, to: &str) -> Step {
    let fixed = ["python3", "-I", "-m", "build", "--wheel", "--no-isolation"];
    let argv = [&fixed[..], &["--skip-dependency-check", "--outdir", to, from]].concat();
    step(context, "build", &argv)
}

/// A script of pybit's own; `-I` keeps it from importing what lies in the directory.
fn script(context: &BuildContext, phase: &'static str, text: &str, words: &[&str]) -> Step {
    step(context, phase, &[&["python3", "-I", "-c", text], words].concat())
}

fn step(context: &BuildContext, phase: &'static str, argv: &[&str]) -> Step {
    Step {
        phase,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        place: Place::Inside,
        cwd: context.output.clone(),
        vars: variables(context),
        network: false,
    }
}

/// One language, one time zone, one time and one order of hashes, so that logs can be read and results repeat; and where requirements
/// from the farm's index are found.
fn variables(context: &BuildContext) -> BTreeMap<String, String> {
    let home = context.output.display().to_string();
    let requirements = requirements(context);
    let path = format!("{requirements}/bin:{PATH}");
    let all = [
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("HOME", home.as_str()),
        ("PATH", path.as_str()),
        ("PYTHONPATH", requirements.as_str()),
        ("PYTHONHASHSEED", "0"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("SOURCE_DATE_EPOCH", "946684800"),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn requirements(context: &BuildContext) -> String {
    match context.place {
        Surroundings::Host => format!("{}/requirements", context.output.display()),
        Surroundings::Sbuild { .. } | Surroundings::Mock { .. } => ROOT_REQUIREMENTS.to_owned(),
    }
}

/// An absolute path as an argument, which a list of paths can hold.
fn text(path: &Path) -> Result<&str> {
    let plain = |text: &&str| !text.contains([':', '\n']);
    path.to_str().filter(|_| path.is_absolute()).filter(plain).ok_or_else(|| {
        Error::internal(format!(
            "the path {} is not absolute, or holds what a list of paths cannot",
            path.display()
        ))
    })
}
