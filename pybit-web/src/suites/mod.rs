//! `[[suites]]`: what a farm serves, as `pybit.toml` and the file of `pybit apply` say it.

mod arch_names;
mod of_targets;

use std::collections::BTreeMap;

use pybit_core::clock::Timestamp;
use pybit_core::model::{
    Arch, Dist, EnvName, FormatName, PackageName, Repository, RepositoryName, Suite, SuiteMove,
    Target, WeightedTarget,
};
use pybit_core::storage::Storage;
use pybit_core::{Error, Result};
use serde::{Deserialize, Serialize};

pub use of_targets::suites_of;

/// A suite that the farm serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteConfig {
    /// The distribution.
    pub dist: Dist,
    /// The suite.
    pub name: Suite,
    /// The package format.
    pub format: FormatName,
    /// The suite of the same distribution and format whose architectures and environments this one has, where it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<Suite>,
    /// The architectures to build for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<Arch>,
    /// Where results are published; results are `Done` when they are uploaded where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// Whether its builds take the newest package of the distribution and of `repository`; never that of the suite that it is like.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overlay: bool,
    /// The environments to build in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub envs: Vec<EnvConfig>,
    /// The moves of binary packages' names that are allowed in it; never those of the suite that it is like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<MoveConfig>,
}

/// An allowed move of a binary package's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveConfig {
    /// The binary package: one name, no pattern.
    pub binary: PackageName,
    /// The source that owns the name.
    pub from: PackageName,
    /// The source that may publish it.
    pub to: PackageName,
    /// The reason.
    pub why: String,
}

/// A build environment of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvConfig {
    /// The environment.
    pub name: EnvName,
    /// The heaviest is the default, and the heaviest architecture builds the architecture-independent packages.
    #[serde(default)]
    pub weight: i32,
    /// The architectures that it is there for; all of the suite where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<Arch>,
    /// Other weights on some architectures.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<Arch, i32>,
}

impl EnvConfig {
    /// An environment of that weight on every architecture of its suite.
    pub fn new(name: EnvName, weight: i32) -> Self {
        Self { name, weight, arches: Vec::new(), weights: BTreeMap::new() }
    }

    fn is_for(&self, arch: &Arch) -> bool {
        self.arches.is_empty() || self.arches.contains(arch)
    }
}

/// What is wrong with which of the suites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The place of the suite in the list.
    pub place: usize,
    /// The key that is to be mended.
    pub key: &'static str,
    /// What is wrong, in words.
    pub why: String,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::invalid(format!("in [[suites]] of the configuration: {}", refused.why))
            .with_code("invalid_configuration")
    }
}

type Found<T> = std::result::Result<T, Refused>;

/// The suites with what each has of the one that it is like.
///
/// Refused are suites that are there twice, that could build nothing, that are like one that is not there or, over any number of
/// others, like themselves; architectures under another format's name; and environments and weights for architectures that the
/// suite has not.
pub fn resolve(suites: &[SuiteConfig]) -> Found<Vec<SuiteConfig>> {
    let mut resolved = Vec::with_capacity(suites.len());
    for place in 0..suites.len() {
        let twice = |other: &SuiteConfig| {
            let name = |s: &SuiteConfig| (s.dist.clone(), s.name.clone(), s.format.clone());
            name(other) == name(&suites[place])
        };
        if suites[..place].iter().any(twice) {
            let why = format!("the suite {} is there twice", shown(&suites[place]));
            return Err(Refused { place, key: "name", why });
        }
        let suite = filled(suites, place)?;
        check(&suite, place)?;
        resolved.push(suite);
    }
    Ok(resolved)
}

/// Follows `like` until both lists are there.
fn filled(suites: &[SuiteConfig], place: usize) -> Found<SuiteConfig> {
    let refuse = |why: String| Refused { place, key: "like", why };
    let mut suite = suites[place].clone();
    let mut way = vec![place];
    let mut here = place;
    while let Some(like) = &suites[here].like {
        let next = suites
            .iter()
            .position(|s| (&s.dist, &s.name, &s.format) == (&suite.dist, like, &suite.format));
        let Some(next) = next else {
            let why = format!("there is no suite {}/{like} {}", suite.dist, suite.format);
            return Err(refuse(why));
        };
        if way.contains(&next) {
            let names: Vec<_> = way.iter().map(|n| suites[*n].name.as_str()).collect();
            let why = format!("a cycle: {} is like {like}", names.join(" is like "));
            return Err(refuse(why));
        }
        if suite.arches.is_empty() {
            suite.arches.clone_from(&suites[next].arches);
        }
        if suite.envs.is_empty() {
            suite.envs.clone_from(&suites[next].envs);
        }
        way.push(next);
        here = next;
    }
    suite.like = None;
    Ok(suite)
}

fn check(suite: &SuiteConfig, place: usize) -> Found<()> {
    let refuse = |key, what: String| {
        Err(Refused { place, key, why: format!("the suite {} {what}", shown(suite)) })
    };
    if suite.arches.is_empty() {
        return refuse("arches", "needs at least one architecture".to_owned());
    }
    if suite.envs.is_empty() {
        return refuse("envs", "needs at least one environment".to_owned());
    }
    for (n, arch) in suite.arches.iter().enumerate() {
        if arch.is_source() {
            let what = "names the architecture source, which every suite has by itself";
            return refuse("arches", what.to_owned());
        }
        if let Some(own) = arch_names::own_name(&suite.format, arch) {
            let what = format!("names the architecture {arch}, which {} calls {own}", suite.format);
            return refuse("arches", what);
        }
        if suite.arches[..n].contains(arch) {
            return refuse("arches", format!("has the architecture {arch} twice"));
        }
        if !suite.envs.iter().any(|env| env.is_for(arch)) {
            return refuse("envs", format!("has no environment for {arch}"));
        }
    }
    for (n, env) in suite.envs.iter().enumerate() {
        if suite.envs[..n].iter().any(|e| e.name == env.name) {
            return refuse("envs", format!("has the environment {} twice", env.name));
        }
        if let Some(arch) = env.arches.iter().find(|a| !suite.arches.contains(a)) {
            let what =
                format!("has the environment {} for {arch}, which it does not build for", env.name);
            return refuse("envs", what);
        }
        let has = |arch: &Arch| suite.arches.contains(arch) && env.is_for(arch);
        if let Some(arch) = env.weights.keys().find(|a| !has(a)) {
            let what = format!("has no {arch} in {}, and yet a weight for it", env.name);
            return refuse("envs", what);
        }
    }
    if let Some(what) = cannot_overlay(suite) {
        return refuse("overlay", what.to_owned());
    }
    let moves: Vec<SuiteMove> = suite.moves();
    for (n, moved) in moves.iter().enumerate() {
        if let Err(error) = moved.check() {
            return refuse("moves", format!("has a move that is refused: {}", error.message()));
        }
        if moves[..n].iter().any(|other| other.is_same(moved)) {
            return refuse("moves", format!("has the move of {moved} twice"));
        }
    }
    Ok(())
}

/// Builds of these two formats have a distribution's packages in their roots.
fn cannot_overlay(suite: &SuiteConfig) -> Option<&'static str> {
    match suite.repository {
        None if suite.overlay => Some("overlays its distribution with a repository, and has none"),
        Some(_) if suite.overlay && !matches!(suite.format.as_str(), "deb" | "rpm") => {
            Some("overlays its distribution, which only builds of deb and rpm can")
        }
        _ => None,
    }
}

fn shown(suite: &SuiteConfig) -> String {
    format!("{}/{} {}", suite.dist, suite.name, suite.format)
}

impl SuiteConfig {
    /// Every target of a resolved suite.
    pub fn targets(&self) -> Vec<WeightedTarget> {
        let pairs = self.arches.iter().flat_map(|a| self.envs.iter().map(move |e| (a, e)));
        pairs
            .filter(|(arch, env)| env.is_for(arch))
            .map(|(arch, env)| self.target(arch, env))
            .collect()
    }

    fn target(&self, arch: &Arch, env: &EnvConfig) -> WeightedTarget {
        let target = Target {
            dist: self.dist.clone(),
            suite: self.name.clone(),
            arch: arch.clone(),
            format: self.format.clone(),
            env: env.name.clone(),
        };
        WeightedTarget { target, weight: env.weights.get(arch).copied().unwrap_or(env.weight) }
    }

    /// The allowed moves of names in it, of nobody and without a time.
    pub fn moves(&self) -> Vec<SuiteMove> {
        let moved = |m: &MoveConfig| SuiteMove {
            dist: self.dist.clone(),
            suite: self.name.clone(),
            format: self.format.clone(),
            binary: m.binary.clone(),
            from: m.from.clone(),
            to: m.to.clone(),
            why: m.why.clone(),
            by: String::new(),
            at: None,
        };
        self.moves.iter().map(moved).collect()
    }

    /// The repository that its results are published in.
    pub fn repository(&self) -> Option<Repository> {
        let name = self.repository.clone()?;
        Some(Repository {
            name,
            dist: self.dist.clone(),
            suite: self.name.clone(),
            format: self.format.clone(),
            url: None,
            public_key: None,
            health: None,
            overlay: Some(self.overlay),
        })
    }
}

/// The principal on record for moves that a server's own configuration names.
const CONFIGURATION: &str = "configuration";

/// Puts the configured suites into the catalogue: adds what is missing and changes weights; removes nothing. `now` goes on record for the
/// moves that are added.
pub async fn seed(storage: &dyn Storage, suites: &[SuiteConfig], now: Timestamp) -> Result<()> {
    for suite in resolve(suites)? {
        for target in suite.targets() {
            storage.put_target(&target).await?;
        }
        if let Some(repository) = suite.repository() {
            storage.put_repository(&repository).await?;
        }
        for moved in suite.moves() {
            let moved = SuiteMove { by: CONFIGURATION.to_owned(), at: Some(now), ..moved };
            storage.put_move(&moved).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(name: &str, arches: &[&str]) -> SuiteConfig {
        serde_json::from_value(serde_json::json!({
            "dist": "Debian", "name": name, "format": "deb", "arches": arches,
            "envs": [
                {"name": "sbuild", "weight": 10, "weights": {"arm64": 5}},
                {"name": "host", "arches": ["amd64"]},
            ],
        }))
        .unwrap()
    }

    fn like(name: &str, like: &str) -> SuiteConfig {
        serde_json::from_value(serde_json::json!({
            "dist": "Debian", "name": name, "format": "deb", "like": like,
        }))
        .unwrap()
    }

    fn shown(suites: &[SuiteConfig]) -> Vec<String> {
        let targets = suites.iter().flat_map(SuiteConfig::targets);
        targets
            .map(|t| format!("{} {} {} {}", t.target.suite, t.target.arch, t.target.env, t.weight))
            .collect()
    }

    #[test]
    fn a_suite_has_a_target_for_each_architecture_and_environment() {
        let suites = resolve(&[suite("sid", &["amd64", "arm64"])]).unwrap();
        assert_eq!(
            shown(&suites),
            ["sid amd64 sbuild 10", "sid amd64 host 0", "sid arm64 sbuild 5"]
        );
    }

    #[test]
    fn a_suite_that_is_like_another_has_what_that_has() {
        let own = SuiteConfig { arches: vec!["amd64".parse().unwrap()], ..like("c", "b") };
        let base = SuiteConfig {
            envs: vec![EnvConfig::new("sbuild".parse().unwrap(), 3)],
            ..suite("a", &["amd64", "arm64"])
        };
        let suites = resolve(&[own, like("b", "a"), base]).unwrap();
        assert_eq!(
            shown(&suites),
            [
                "c amd64 sbuild 3",
                "b amd64 sbuild 3",
                "b arm64 sbuild 3",
                "a amd64 sbuild 3",
                "a arm64 sbuild 3"
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_key() {
        let good = suite("a", &["amd64", "arm64"]);
        let cases: [(Vec<SuiteConfig>, usize, &str, &str); 8] = [
            (vec![good.clone(), good.clone()], 1, "name", "twice"),
            (
                vec![good.clone(), like("b", "c"), like("c", "b")],
                1,
                "like",
                "b is like c is like b",
            ),
            (vec![like("b", "b")], 0, "like", "cycle"),
            (vec![like("b", "nowhere")], 0, "like", "no suite Debian/nowhere deb"),
            (vec![suite("a", &[])], 0, "arches", "at least one"),
            (vec![suite("a", &["amd64", "arm64", "source"])], 0, "arches", "source"),
            (vec![suite("a", &["amd64"])], 0, "envs", "no arm64"),
            (
                vec![SuiteConfig { envs: good.envs[1..].to_vec(), ..good.clone() }],
                0,
                "envs",
                "no environment for arm64",
            ),
        ];
        for (suites, place, key, why) in cases {
            let refused = resolve(&suites).unwrap_err();
            assert_eq!((refused.place, refused.key), (place, key), "{refused:?}");
            assert!(refused.why.contains(why), "{refused:?}");
        }
    }
}
