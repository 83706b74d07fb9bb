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

/// Whose logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Who {
    Ours,
    Theirs,
}

/// Runs all phases with so many logs, and the reference with so many, and prints the table.
pub(crate) fn measure(logs: u64, reference: u64, only: Option<Who>) -> anyhow::Result<()> {
    let dir = target().join("many-logs");
    let _ = fs::remove_dir_all(&dir);
    let build = [
        "build",
        "--release",
        "-p",
        "hypercore",
        "--example",
        "many_logs",
    ];
    if only != Some(Who::Theirs) {
        run(&mut cargo(&build))?;
    }
    println!("\n| who | logs | phase | seconds | CPU s | memory, KiB a log | disk, KiB a log |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    if only != Some(Who::Theirs) {
        ours(&dir, logs, reference)?;
    }
    if only != Some(Who::Ours) {
        theirs(&dir, reference)?;
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

fn ours(dir: &Path, logs: u64, reference: u64) -> anyhow::Result<()> {
    let mut counts = vec![reference, logs];
    counts.dedup();
    for count in counts {
        let dir = dir.join(format!("ours-{count}"));
        for phase in PHASES {
            let program = target().join("release/examples/many_logs");
            let mut command = Command::new(program);
            row("this project", phase, count, &dir, &mut command)?;
        }
    }
    Ok(())
}

fn theirs(dir: &Path, reference: u64) -> anyhow::Result<()> {
    let modules = match std::env::var_os("HYPERCORE_INTEROP") {
        Some(folder) => folder.into(),
        None => {
            interop::install()?;
            interop::folder()
        }
    };
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
    println!(
        "| {who} | {count} | {phase} | {:.2} | {:.2} | {:.1} | {:.1} |",
        number("seconds")?,
        number("cpu")?,
        number("memory")? / logs / 1024.0,
        number("disk")? / logs / 1024.0,
    );
    Ok(())
}
