//! The way back: `[[suites]]` as they would be written for targets that there are.

use std::collections::BTreeMap;

use pybit_core::model::{
    Arch, Catalogue, Dist, EnvName, FormatName, Repository, Suite, SuiteMove, WeightedTarget,
};

use super::{EnvConfig, MoveConfig, SuiteConfig};

/// The suites of this catalogue, in order of their names: what [`resolve`](super::resolve) and [`SuiteConfig::targets`] make the same
/// targets of again.
pub fn suites_of(catalogue: &Catalogue) -> Vec<SuiteConfig> {
    let mut suites: BTreeMap<(&Dist, &Suite, &FormatName), Vec<&WeightedTarget>> = BTreeMap::new();
    for t in &catalogue.targets {
        let key = (&t.target.dist, &t.target.suite, &t.target.format);
        suites.entry(key).or_default().push(t);
    }
    let made = suites.into_iter().map(|((dist, name, format), targets)| {
        let mut arches: Vec<Arch> = targets.iter().map(|t| t.target.arch.clone()).collect();
        arches.sort();
        arches.dedup();
        let repository = catalogue.repository(dist, name, format);
        let overlay = repository.is_some_and(Repository::overlays);
        let repository = repository.map(|r| r.name.clone());
        let moves = catalogue.all_moves().iter().filter(|m| m.is_for(dist, name, format));
        let moves = moves.map(of_move).collect();
        let envs = envs_of(&targets, &arches);
        SuiteConfig {
            dist: dist.clone(),
            name: name.clone(),
            format: format.clone(),
            like: None,
            arches,
            repository,
            overlay,
            envs,
            moves,
        }
    });
    made.collect()
}

fn of_move(moved: &SuiteMove) -> MoveConfig {
    let SuiteMove { binary, from, to, why, .. } = moved.clone();
    MoveConfig { binary, from, to, why }
}

/// The environments of one suite, heaviest first.
fn envs_of(targets: &[&WeightedTarget], arches: &[Arch]) -> Vec<EnvConfig> {
    let mut weights: BTreeMap<&EnvName, BTreeMap<Arch, i32>> = BTreeMap::new();
    for t in targets {
        weights.entry(&t.target.env).or_default().insert(t.target.arch.clone(), t.weight);
    }
    let env = |(name, weights): (&EnvName, BTreeMap<Arch, i32>)| {
        let weight = usual(&weights);
        let everywhere = arches.iter().all(|a| weights.contains_key(a));
        let named = if everywhere { Vec::new() } else { weights.keys().cloned().collect() };
        let weights = weights.into_iter().filter(|(_, w)| *w != weight).collect();
        EnvConfig { name: name.clone(), weight, arches: named, weights }
    };
    let mut envs: Vec<_> = weights.into_iter().map(env).collect();
    envs.sort_by_key(|e| std::cmp::Reverse(e.weight));
    envs
}

/// The weight that most architectures have; of several the heaviest.
fn usual(weights: &BTreeMap<Arch, i32>) -> i32 {
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    for weight in weights.values() {
        *counts.entry(*weight).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(weight, count)| (*count, *weight));
    most.map_or(0, |(weight, _)| weight)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::suites::resolve;

    proptest! {
        /// What is exported and read again is the same.
        #[test]
        fn targets_come_back_as_they_were(
            all in prop::collection::btree_map((0..2_u8, 0..3_u8, 0..3_u8), -2..3_i32, 0..12)
        ) {
            let targets: Vec<WeightedTarget> = all
                .into_iter()
                .map(|((suite, arch, env), weight)| {
                    let target = serde_json::json!({
                        "dist": "Debian", "suite": format!("s{suite}"), "arch": format!("a{arch}"),
                        "format": "deb", "env": format!("e{env}"),
                    });
                    WeightedTarget { target: serde_json::from_value(target).unwrap(), weight }
                })
                .collect();
            let suites = suites_of(&Catalogue { targets: targets.clone(), ..Catalogue::default() });
            let again: BTreeSet<_> = resolve(&suites)
                .unwrap()
                .iter()
                .flat_map(SuiteConfig::targets)
                .map(|t| (t.target, t.weight))
                .collect();
            prop_assert_eq!(again, targets.into_iter().map(|t| (t.target, t.weight)).collect());
        }
    }
}
