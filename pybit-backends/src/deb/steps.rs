//! The commands of Debian builds. Nothing here reads the source: what it says is read inside the environment.

use std::collections::BTreeMap;
use std::path::Path;

use pybit_core::format::{BuildContext, BuildRepository, Place, Step, Surroundings};
use pybit_core::{Error, ErrorKind, Result};

use crate::build_repository::{FARM_DIR, checked_url};

/// Makes the upstream tarball that `dpkg-source` needs and a version control tree does not have.
const MAKE_ORIG: &str = include_str!("make-orig.pl");

/// The components of a farm's repository, as `sources.list(5)` names them.
const COMPONENTS: &str = "main contrib non-free non-free-firmware";
/// Chooses, in a build's root, what apt may install from the farm's repositories.
const FARM: &str = include_str!("farm.pl");
/// Puts that script, the keys and the list of the repositories where the root sees them.
const PUT_FARM: &str = include_str!("put-farm.pl");
/// The place, in the root, of the repository of the packages that were chosen.
const CHOSEN: &str = "deb [trusted=yes] file:/var/lib/pybit/farm ./";

/// Writes down what the built packages say of themselves, for [`produced`](super::produced).
const DESCRIBE: &str = include_str!("describe.pl");

/// The commands that turn a tree with `debian/` into a source package in `context.output`.
///
/// `dpkg-source` writes to the directory that it starts in and looks for upstream tarballs there and beside the tree.
/// The tree must have its patches unapplied, as version control normally has it.
pub(super) fn source(context: &BuildContext) -> Result<Vec<Step>> {
    let tree = text(&context.source)?;
    let step = |phase, argv: &[&str]| Step {
        phase,
        argv: owned(argv),
        place: Place::Inside,
        cwd: context.output.clone(),
        vars: variables(),
        network: false,
    };
    Ok(vec![
        step("orig", &["perl", "-e", MAKE_ORIG, "--", tree]),
        step("source", &["dpkg-source", "-i", "-I", "-b", tree]),
    ])
}

/// The commands that build binary packages from `context.source`, a `.dsc` with its files beside it.
pub(super) fn binary(context: &BuildContext) -> Result<Vec<Step>> {
    let mut steps = match &context.place {
        Surroundings::Sbuild { tarball, scratch } => {
            let mut steps = farm(context, scratch)?;
            steps.push(sbuild(context, tarball)?);
            steps
        }
        Surroundings::Host => host(context)?,
        Surroundings::Mock { .. } => {
            return Err(Error::new(ErrorKind::Unsupported, "mock builds no Debian packages"));
        }
    };
    steps.push(Step {
        phase: "describe",
        argv: owned(&["perl", "-e", DESCRIBE]),
        place: Place::Machine,
        cwd: context.output.clone(),
        vars: variables(),
        network: false,
    });
    Ok(steps)
}

/// One run of sbuild 0.85, which makes the environment, installs build dependencies, cuts the network and builds.
fn sbuild(context: &BuildContext, tarball: &Path) -> Result<Step> {
    let mut argv = owned(&[
        "sbuild",
        "--chroot-mode=unshare",
        &format!("--chroot={}", text(tarball)?),
        &format!("--dist={}", context.suite),
        &format!("--build={}", context.arch),
        &format!("--host={}", context.arch),
        "--arch-any",
        if context.indep { "--arch-all" } else { "--no-arch-all" },
        "--no-source",
        "--no-run-lintian",
        "--no-run-autopkgtest",
        "--no-run-piuparts",
        "--apt-update",
        "--no-apt-upgrade",
        "--apt-distupgrade",
        "--build-dep-resolver=apt",
        "--bd-uninstallable-explainer=none",
        "--purge=always",
        "--nolog",
        "--verbose",
        &format!("--build-dir={}", text(&context.output)?),
    ]);
    if context.repositories.iter().any(|repository| !repository.overlay) {
        argv.push(format!("--chroot-setup-commands=perl /{FARM_DIR}/farm.pl setup"));
        argv.push(format!("--extra-repository={CHOSEN}"));
    }
    for repository in context.repositories.iter().filter(|repository| repository.overlay) {
        argv.push(format!("--extra-repository={}", sources_line(repository)?));
        argv.push(format!("--extra-repository-key={}", text(&repository.key)?));
    }
    argv.push(text(&context.source)?.to_owned());
    Ok(Step {
        phase: "sbuild",
        argv,
        place: Place::Machine,
        cwd: context.output.clone(),
        vars: variables(),
        network: true,
    })
}

/// The steps before sbuild if the farm has repositories: those that do not overlay the archive are put where the root sees them.
fn farm(context: &BuildContext, scratch: &Path) -> Result<Vec<Step>> {
    let step = |argv| Step {
        phase: "farm",
        argv,
        place: Place::Machine,
        cwd: context.output.clone(),
        vars: variables(),
        network: false,
    };
    let (mut put, mut said) = (Vec::new(), Vec::new());
    for repository in &context.repositories {
        if repository.overlay {
            said.push(format!(
                "pybit: overlay: the newest of the archive and of {} is installed",
                checked_url(repository)?
            ));
        } else {
            put.push(text(&repository.key)?.to_owned());
            put.push(format!("{} {} {COMPONENTS}", checked_url(repository)?, repository.suite));
        }
    }
    let mut steps = Vec::new();
    if !said.is_empty() {
        steps.push(step([owned(&["printf", "%s\\n"]), said].concat()));
    }
    if !put.is_empty() {
        let dir = scratch.join(FARM_DIR);
        steps.push(step([owned(&["perl", "-e", PUT_FARM, "--", text(&dir)?, FARM]), put].concat()));
    }
    Ok(steps)
}

/// `dpkg-buildpackage` on the machine itself, whose build dependencies somebody else has installed.
///
/// The tree is unpacked inside the output directory, because results are written beside the tree.
fn host(context: &BuildContext) -> Result<Vec<Step>> {
    let tree = context.output.join("tree");
    let step = |phase, cwd: &Path, argv: &[&str]| Step {
        phase,
        argv: owned(argv),
        place: Place::Machine,
        cwd: cwd.to_owned(),
        vars: variables(),
        network: false,
    };
    let arch = context.arch.as_str();
    let check: &[&str] = &["dpkg-checkbuilddeps", "-a", arch, "-B"];
    let check = if context.indep { &check[..3] } else { check };
    let build = [
        "dpkg-buildpackage",
        "--unsigned-source",
        "--unsigned-changes",
        if context.indep { "--build=binary" } else { "--build=any" },
        &format!("--host-arch={arch}"),
        &format!("--changes-option=-DDistribution={}", context.suite),
    ];
    let unpack = ["dpkg-source", "--no-copy", "-x", text(&context.source)?, text(&tree)?];
    Ok(vec![
        step("unpack", &context.output, &unpack),
        step("dependencies", &tree, check),
        step("build", &tree, &build),
    ])
}

/// What every command runs with: one language and one time zone, so that logs can be read and results repeat.
fn variables() -> BTreeMap<String, String> {
    let all = [("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("DEBIAN_FRONTEND", "noninteractive")];
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A line of `sources.list(5)`, which a URL could add words or options to.
fn sources_line(repository: &BuildRepository) -> Result<String> {
    let url = checked_url(repository)?;
    Ok(format!("deb {url} {} {COMPONENTS}", repository.suite))
}

fn owned(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|word| (*word).to_owned()).collect()
}

/// A path as an argument: absolute, so that it is never taken for an option.
fn text(path: &Path) -> Result<&str> {
    path.to_str().filter(|_| path.is_absolute()).ok_or_else(|| {
        Error::internal(format!("the path {} is not absolute or not UTF-8", path.display()))
    })
}
