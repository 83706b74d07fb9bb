//! `cargo xtask soak`: the tests that kill, tear and compare with a model, for as long as one likes.

use crate::run::{cargo, run};

/// Kills writers so many times at each level, from a seed on, and plays as many sequences against the
/// models.
pub(crate) fn soak(rounds: u64, seed: u64) -> anyhow::Result<()> {
    let tests = ["kill::", "model::", "branch_model::"];
    let test = [
        "test",
        "--release",
        "-p",
        "hc-storage",
        "--test",
        "it",
        "--",
    ];
    run(cargo(&[&test[..], &tests[..]].concat())
        .env("HC_KILL_ROUNDS", rounds.to_string())
        .env("HC_SEED", seed.to_string())
        .env("PROPTEST_CASES", rounds.to_string()))
}
