//! `cargo xtask test` and `cargo xtask ci`.

use crate::run::{cargo, run};
use crate::{fuzz, interop, layers, tidy};

/// Every test of the workspace; what the README gives as the test command.
///
/// Where Node is present the reference's packages are installed first, and the interop tests run
/// against them. Where it is not, those tests say so and the rest still runs.
pub(crate) fn test(rest: &[String]) -> anyhow::Result<()> {
    let mut command = cargo(&["test", "--workspace", "--all-features"]);
    if interop::node_is_here() {
        interop::install()?;
        command.env("HYPERCORE_INTEROP", interop::folder());
    } else {
        eprintln!(
            "\nNode is not on this machine: the interop tests with the reference cannot run."
        );
    }
    run(command.args(rest))
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
