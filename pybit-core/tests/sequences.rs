//! The state machine against an independent model, over a million random sequences: `make sequences`; a tenth of them with
//! the other tests. No I/O, one seed for each sequence, printed with the shortest sequence that still fails.
//!
//! `PYBIT_TEST_SEQUENCES=N` says how many, `PYBIT_TEST_SEED=S` where to begin.

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed its test")]

#[path = "sequences/model.rs"]
mod model;
mod support;
#[path = "sequences/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use pybit_core::model::JobStatus::{self, Failed, Waiting};
use world::{Op, World};

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// The sequence of a seed: 4 to 40 operations.
fn sequence(seed: u64) -> Vec<Op> {
    let mut dice = Dice(seed);
    let length = 4 + dice.next(37);
    (0..length).map(|_| Op::any(|below| dice.next(below))).collect()
}

fn run(ops: &[Op]) -> Result<(), String> {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new();
        for op in ops {
            world.step(op)?;
        }
        Ok(())
    }));
    ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned())
    })
}

/// Leaves out whatever can be left out while it still fails.
fn shrunk(mut ops: Vec<Op>) -> Vec<Op> {
    let mut size = ops.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at + size <= ops.len() {
            let shorter = [&ops[..at], &ops[at + size..]].concat();
            if run(&shorter).is_err() {
                ops = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    ops
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_sequence_leaves_the_model() {
    let first = number("PYBIT_TEST_SEED").unwrap_or(0);
    let count = number("PYBIT_TEST_SEQUENCES").unwrap_or(100_000);
    let workers = 2_u8;
    std::thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || {
                for seed in (first + u64::from(worker)..first + count).step_by(workers.into()) {
                    let ops = sequence(seed);
                    if let Err(why) = run(&ops) {
                        let short = shrunk(ops);
                        let again = run(&short).unwrap_err();
                        panic!("seed {seed}: {why}\nshortest: {again}\n{short:#?}");
                    }
                }
            });
        }
    });
    println!("{count} sequences from seed {first}");
}

#[test]
fn the_sequences_reach_every_status_and_every_edge() {
    let mut edges = std::collections::BTreeSet::new();
    for seed in 0..5_000 {
        let mut world = World::new();
        for op in sequence(seed) {
            world.step(&op).unwrap();
        }
        edges.extend(world.edges);
    }
    let all =
        JobStatus::ALL.into_iter().flat_map(|from| from.next().iter().map(move |to| (from, *to)));
    // Nothing takes the edge that is kept for an operator's rule.
    let wanted: Vec<_> = all.filter(|edge| *edge != (Waiting, Failed)).collect();
    assert!(wanted.iter().all(|edge| edges.contains(edge)), "{edges:?}");
}
