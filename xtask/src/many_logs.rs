//! `cargo xtask many-logs`: many logs in one store: made, opened again, and replicated to an empty store
//! over one connection; by this project and, fewer of them, by the reference, in the same run.
//!
//! Each phase is a process of its own; time and memory are its own, disk is what its folder takes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::interop;
use crate::run::{cargo, root, run, target};

const PHASES: [&str; 3] = ["create", "open", "replicate"];

/// Runs all phases with so many logs, and the reference with so many, and prints the table.
pub(crate) fn measure(logs: u64, reference: u64) -> anyhow::Result<()> {
    let modules = match std::env::var_os("HYPERCORE_INTEROP") {
        Some(folder) => folder.into(),
        None => {
            interop::install()?;
            interop::folder()
        }
    };
    let build = [
        "build",
        "--release",
        "-p",
        "hypercore",
        "--example",
        "many_logs",
    ];
    run(&mut cargo(&build))?;
    let dir = target().join("many-logs");
    let _ = fs::remove_dir_all(&dir);
    println!(
        "\n| who | logs | phase | seconds | logs/s | µs a log | memory, KiB a log | disk, KiB a log |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for count in [reference, logs] {
        let dir = dir.join(format!("ours-{count}"));
        for phase in PHASES {
            let program = target().join("release/examples/many_logs");
            row(
                "this project",
                phase,
                count,
                &dir,
                &mut Command::new(program),
            )?;
        }
    }
    for phase in PHASES {
        let mut node = Command::new("node");
        node.arg(root().join("xtask/interop/many-logs.js"))
            .env("HYPERCORE_INTEROP", &modules);
        row(
            "corestore 7.12.5",
            phase,
            reference,
            &dir.join("theirs"),
            &mut node,
        )?;
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

fn row(
    who: &str,
    phase: &str,
    count: u64,
    dir: &Path,
    command: &mut Command,
) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    let out = command
        .arg(phase)
        .arg(dir)
        .arg(count.to_string())
        .output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{who}, {phase}: {said}");
    let line: Value = serde_json::from_slice(&out.stdout)?;
    let number = |name: &str| line[name].as_f64().with_context(|| name.to_owned());
    #[allow(clippy::cast_precision_loss)] // a number of logs
    let logs = count as f64;
    let seconds = number("seconds")?;
    println!(
        "| {who} | {count} | {phase} | {seconds:.2} | {:.0} | {:.0} | {:.1} | {:.1} |",
        logs / seconds,
        seconds / logs * 1e6,
        number("memory")? / logs / 1024.0,
        number("disk")? / logs / 1024.0,
    );
    Ok(())
}
