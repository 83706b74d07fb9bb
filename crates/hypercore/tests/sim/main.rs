//! Whole logs on one thread in virtual time, from one seed: networks that are slow, stall, go dead and
//! are cut, disks that wait, processes that die, and remotes that lie.
//!
//! First faults, then quiet. Always: what is stored and read is what the writer wrote, and what memory
//! says is what the store has. Once it is quiet: whoever is connected has the same log, and whatever
//! was asked for has come.
//!
//! `HC_SIM_SEED=7` runs one seed, twice, and tells what happens (with `--nocapture`);
//! `HC_SIM_SEEDS=0..1000000` runs a range.

mod check;
mod node;
mod oracle;
mod runtime;
mod world;

use std::ops::Range;

use world::{Seen, World};

/// Seeds that run with every test.
const SEEDS: Range<u64> = 0..2_000;

fn run(seed: u64) -> (Vec<String>, Seen) {
    let mut world = World::new(seed);
    world.faults();
    world.quiet();
    world.trace()
}

fn seeds() -> Range<u64> {
    let Ok(range) = std::env::var("HC_SIM_SEEDS") else {
        return SEEDS;
    };
    let (start, end) = range.split_once("..").expect("HC_SIM_SEEDS=from..to");
    start.parse().expect("a number")..end.parse().expect("a number")
}

/// Every seed of this process's share; a failing one is named.
fn share(of: u64, shares: u64) {
    for seed in seeds().filter(|seed| seed % shares == of) {
        let run = std::panic::catch_unwind(|| run(seed));
        assert!(
            run.is_ok(),
            "seed {seed} failed: HC_SIM_SEED={seed} runs it alone"
        );
    }
}

#[test]
fn under_faults_nothing_false_is_stored_and_after_them_everybody_has_all_even_seeds() {
    share(0, 2);
}

#[test]
fn under_faults_nothing_false_is_stored_and_after_them_everybody_has_all_odd_seeds() {
    share(1, 2);
}

#[test]
fn a_seed_always_gives_the_same_run() {
    let only = std::env::var("HC_SIM_SEED").map(|seed| seed.parse().expect("a number"));
    for seed in only.map_or(vec![3, 14, 159], |seed| vec![seed]) {
        let first = run(seed);
        assert_eq!(first, run(seed), "seed {seed}");
    }
}
