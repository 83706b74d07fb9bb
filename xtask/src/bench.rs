//! `cargo xtask bench`: the criterion benches of every crate.

use crate::run;

/// Runs `cargo bench` over the workspace with further arguments.
pub(crate) fn run(rest: &[String]) -> anyhow::Result<()> {
    run::run(run::cargo(&["bench", "--workspace", "--benches"]).args(rest))
}
