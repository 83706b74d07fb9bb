//! `cargo xtask test` and `cargo xtask ci`.

use crate::run::{cargo, run};
use crate::{fuzz, interop, layers, ran, tidy};

/// Every test of the workspace; what the README gives as the test command.
///
/// Where Node is present the reference's packages are installed first, and the interop tests run
/// against them. Where it is not, those tests say so and the rest still runs.
///
/// Without arguments of its own, it also fails where a test that a document names did not pass.
pub(crate) fn test(rest: &[String]) -> anyhow::Result<()> {
    let every = ["test", "--workspace", "--all-features"];
    let mut command = cargo(&every);
    if interop::node_is_here() {
        interop::install()?;
        command.env("HYPERCORE_INTEROP", interop::folder());
    } else {
        eprintln!(
            "\nNode is not on this machine: the interop tests with the reference cannot run."
        );
    }
    if !rest.is_empty() {
        return run(command.args(rest));
    }
    let mut list = cargo(&every);
    list.args(["--no-run", "--message-format=json-render-diagnostics"]);
    ran::all(command, list)
}

/// Everything that continuous integration runs.
pub(crate) fn all() -> anyhow::Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    tidy::check()?;
    layers::check()?;
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]))?;
    run(
        cargo(&["doc", "--workspace", "--no-deps", "--all-features"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    test(&[])?;
    for features in [
        &["--no-default-features"][..],
        &["--no-default-features", "--features", "tokio"],
    ] {
        run(cargo(&["check", "-p", "hypercore"]).args(features))?;
    }
    fuzz::check()
}

/// Many more seeds of the simulation than every test run has.
pub(crate) fn simulate(from: u64, seeds: u64) -> anyhow::Result<()> {
    let end = from.saturating_add(seeds);
    let mut command = cargo(&["test", "--release", "-p", "hypercore", "--all-features"]);
    command.args(["--test", "sim", "--", "--nocapture"]);
    run(command.env("HC_SIM_SEEDS", format!("{from}..{end}")))
}
