//! Which jobs a submission becomes: a pure function of the catalogue, the request and what the source says.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::format::{PackageFormat, SourceInfo};
use crate::model::{
    Arch, BlockRule, BlockSubject, Catalogue, Dist, FormatName, JobId, JobKind, NewSubmission,
    PRIORITY_OUT_OF_RANGE, PackageName, Target, WeightedTarget,
};
use crate::storage::PlannedJob;

/// Where a submission builds, before its source is known.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The distribution.
    pub dist: Dist,
    /// The format.
    pub format: FormatName,
    /// One target for each architecture that may be built for, heaviest first.
    pub targets: Vec<WeightedTarget>,
}

/// A planned job and why it is as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The job.
    pub job: PlannedJob,
    /// In words.
    pub why: String,
}

/// Finds the distribution, format and targets that a request means.
///
/// Refusals, all `Invalid` and listing what is known: `unknown_suite`, `unknown_dist`, `unknown_format`, `unknown_env`,
/// `unknown_arch`, `repeated_arch`; `ambiguous_dist` and `ambiguous_format` where several fit and none is named; `invalid_priority`.
pub fn scope(catalogue: &Catalogue, request: &NewSubmission) -> Result<Scope> {
    if !(-1000..=1000).contains(&request.priority) {
        return Err(Error::invalid(PRIORITY_OUT_OF_RANGE).with_code("invalid_priority"));
    }
    let all: Vec<&WeightedTarget> = catalogue.targets.iter().collect();
    let of_suite =
        narrow(&all, "suite", "unknown_suite", Some(request.suite.as_str()), |t| t.suite.as_str())?;
    let dist = request.dist.as_ref().map(Dist::as_str);
    let of_dist = one(&of_suite, "distribution", ["unknown_dist", "ambiguous_dist"], dist, |t| {
        t.dist.as_str()
    })?;
    let format = request.format.as_ref().map(FormatName::as_str);
    let of_format = one(&of_dist, "format", ["unknown_format", "ambiguous_format"], format, |t| {
        t.format.as_str()
    })?;
    let env = request.env.as_ref().map(crate::model::EnvName::as_str);
    let of_env = narrow(&of_format, "environment", "unknown_env", env, |t| t.env.as_str())?;
    let mut named = BTreeSet::new();
    for arch in &request.arches {
        if !named.insert(arch) {
            let message = format!("the architecture {arch} is named twice");
            return Err(Error::invalid(message).with_code("repeated_arch"));
        }
        narrow(&of_env, "architecture", "unknown_arch", Some(arch.as_str()), |t| t.arch.as_str())?;
    }
    let wanted =
        |t: &&WeightedTarget| request.arches.is_empty() || request.arches.contains(&t.target.arch);
    let mut targets: Vec<WeightedTarget> = of_env.into_iter().filter(wanted).cloned().collect();
    targets.sort_by(|a, b| (-a.weight, &a.target).cmp(&(-b.weight, &b.target)));
    let mut seen = BTreeSet::new();
    targets.retain(|t| seen.insert(t.target.arch.clone()));
    let first =
        &targets.first().ok_or_else(|| Error::internal("a known suite has a target"))?.target;
    Ok(Scope { dist: first.dist.clone(), format: first.format.clone(), targets: targets.clone() })
}

/// Keeps the targets whose `field` is `wanted`, all where nothing is wanted; none is an error that lists the known ones.
fn narrow<'a>(
    targets: &[&'a WeightedTarget],
    what: &str,
    code: &'static str,
    wanted: Option<&str>,
    field: impl Fn(&Target) -> &str,
) -> Result<Vec<&'a WeightedTarget>> {
    let keep = |t: &&&WeightedTarget| wanted.is_none_or(|w| field(&t.target) == w);
    let kept: Vec<_> = targets.iter().filter(keep).copied().collect();
    match wanted {
        Some(wanted) if kept.is_empty() => {
            let known = known(targets, &field);
            let known =
                if known.is_empty() { "none: the catalogue is empty".to_owned() } else { known };
            Err(Error::invalid(format!("there is no {what} \"{wanted}\" here; known are {known}"))
                .with_code(code))
        }
        _ => Ok(kept),
    }
}

/// Like [`narrow`], but exactly one value must be left.
fn one<'a>(
    targets: &[&'a WeightedTarget],
    what: &str,
    [unknown, ambiguous]: [&'static str; 2],
    wanted: Option<&str>,
    field: impl Fn(&Target) -> &str + Copy,
) -> Result<Vec<&'a WeightedTarget>> {
    let kept = narrow(targets, what, unknown, wanted, field)?;
    let values: BTreeSet<&str> = kept.iter().map(|t| field(&t.target)).collect();
    if values.len() > 1 {
        let known = known(&kept, &field);
        return Err(Error::invalid(format!("name the {what}: {known} have this suite"))
            .with_code(ambiguous));
    }
    Ok(kept)
}

fn known(targets: &[&WeightedTarget], field: &impl Fn(&Target) -> &str) -> String {
    let values: BTreeSet<&str> = targets.iter().map(|t| field(&t.target)).collect();
    values.into_iter().collect::<Vec<_>>().join(", ")
}

/// Refuses what a block rule matches: `Invalid`, code `blocked`, with the rule's reason. `packages` has the name of the source package,
/// where it is known, and those of its binary packages.
pub fn check_rules(catalogue: &Catalogue, source: &str, packages: &[&PackageName]) -> Result<()> {
    for rule in &catalogue.rules {
        if rule.subject == BlockSubject::Source && rule.refuses(source)? {
            let message = format!("block rule {} refuses this source: {}", rule.id, rule.reason);
            return Err(Error::invalid(message).with_code("blocked"));
        }
    }
    check_package_rules(catalogue, packages)
}

/// [`check_rules`] of the rules for packages alone.
pub fn check_package_rules(catalogue: &Catalogue, packages: &[&PackageName]) -> Result<()> {
    for rule in catalogue.rules.iter().filter(|r| r.subject == BlockSubject::Package) {
        let matcher = rule.matcher()?;
        if let Some(package) = packages.iter().find(|p| matcher.is_match(p.as_str())) {
            let BlockRule { id, reason, .. } = rule;
            let message = format!("block rule {id} refuses this package, {package}: {reason}");
            return Err(Error::invalid(message).with_code("blocked"));
        }
    }
    Ok(())
}

/// The source job of a submission whose source package has to be made first.
pub fn source_job(scope: &Scope, request: &NewSubmission) -> Result<Planned> {
    let heaviest = scope.targets.first().ok_or_else(|| Error::internal("a scope has a target"))?;
    let label = request.source.label();
    let package = label.parse().or_else(|_| "source".parse::<PackageName>())?;
    let target = Target { arch: Arch::source(), ..heaviest.target.clone() };
    let why = format!(
        "makes one source package from {}, which every architecture is then built from; runs on any client of {} in {}",
        request.source, target.suite, target.env
    );
    let job = PlannedJob {
        kind: JobKind::Source,
        package,
        version: None,
        target,
        master: false,
        weight: heaviest.weight,
        priority: request.priority,
        force: request.force,
        source_job: None,
        retries_of: None,
    };
    Ok(Planned { job, why })
}

/// The binary jobs of a source package.
///
/// One job for each architecture that the source declares, the suite serves and the request allows. The heaviest of them
/// is the master: it also builds the architecture-independent packages. A source with nothing but such packages gets one
/// job, on the heaviest architecture. Nothing to build is `Invalid`, code `nothing_to_build`.
pub fn binary_jobs(
    scope: &Scope,
    request: &NewSubmission,
    format: &dyn PackageFormat,
    source: &SourceInfo,
    source_job: Option<JobId>,
) -> Result<Vec<Planned>> {
    format.versions().parse(source.version.as_str())?;
    let key = format.versions().key(source.version.as_str())?;
    let served: Vec<Arch> = scope.targets.iter().map(|t| t.target.arch.clone()).collect();
    let expansion = format.expand(&source.arches, &served)?;
    let mut chosen: Vec<&WeightedTarget> =
        scope.targets.iter().filter(|t| expansion.arches.contains(&t.target.arch)).collect();
    if chosen.is_empty() && expansion.indep {
        chosen.extend(scope.targets.first());
    }
    if chosen.is_empty() {
        let served = served.iter().map(Arch::as_str).collect::<Vec<_>>().join(", ");
        let message = format!(
            "{} declares the architectures {}, and none of {served} is among them",
            source.package,
            source.arches.join(" ")
        );
        return Err(Error::invalid(message).with_code("nothing_to_build"));
    }
    let planned = chosen.iter().enumerate().map(|(rank, chosen)| {
        let master = expansion.indep && rank == 0;
        let job = PlannedJob {
            kind: JobKind::Binary,
            package: source.package.clone(),
            version: Some((source.version.clone(), key.clone())),
            target: chosen.target.clone(),
            master,
            weight: chosen.weight,
            priority: request.priority,
            force: request.force,
            source_job,
            retries_of: None,
        };
        Planned { why: why(request, source, chosen, master, expansion.arches.is_empty()), job }
    });
    Ok(planned.collect())
}

fn why(
    request: &NewSubmission,
    source: &SourceInfo,
    chosen: &WeightedTarget,
    master: bool,
    indep_only: bool,
) -> String {
    let WeightedTarget { target, weight } = chosen;
    let arch = if indep_only {
        "the package is architecture-independent, so it is built once".to_owned()
    } else {
        format!(
            "the package declares \"{}\" and the suite serves {}",
            source.arches.join(" "),
            target.arch
        )
    };
    let env = if request.env.is_some() {
        format!("in {} as asked for", target.env)
    } else {
        format!("in {}, the heaviest environment (weight {weight})", target.env)
    };
    let master =
        if master { "; master: also builds the architecture-independent packages" } else { "" };
    format!("{arch}; {env}{master}")
}
