//! `cargo xtask bench`: the criterion benches of every crate, against a baseline or not, and the
//! benchmarks beside other implementations.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use crate::peers;
use crate::run::{self, root, target};

/// What to run.
#[derive(Args)]
pub(crate) struct Options {
    /// Runs the same workloads on other implementations of Hypercore and prints a table of ratios.
    #[arg(long)]
    peers: bool,
    /// Prints how each bench compares with the stored baseline.
    #[arg(long, conflicts_with = "peers")]
    compare: bool,
    /// Stores the figures of this run as the baseline.
    #[arg(long, conflicts_with_all = ["peers", "compare"])]
    store: bool,
    #[command(flatten)]
    measure: peers::Measure,
    /// Arguments for the benches, in place of those that have all of them done in a few minutes.
    #[arg(last = true)]
    rest: Vec<String>,
}

/// What each bench is given unless something else is said: two seconds, of which a half is to warm up.
const BRIEFLY: [&str; 4] = [
    "--warm-up-time=0.5",
    "--measurement-time=1.5",
    "--sample-size=50",
    "--noplot",
];

/// Median nanoseconds of each bench, by its name.
type Figures = BTreeMap<String, f64>;

/// Runs what is asked for.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.peers {
        return peers::measure(&options.measure);
    }
    let begun = std::time::SystemTime::now();
    let mut bench = run::cargo(&["bench", "--workspace", "--bench", "*", "--"]);
    if options.rest.is_empty() {
        bench.args(BRIEFLY);
    } else {
        bench.args(&options.rest);
    }
    run::run(&mut bench)?;
    let figures = figures(begun)?;
    if options.store {
        let text = serde_json::to_string_pretty(&figures)?;
        fs::write(baseline(), text + "\n")?;
    }
    if options.compare {
        compare(&figures)?;
    }
    Ok(())
}

/// Where the baseline is kept.
fn baseline() -> PathBuf {
    root().join("xtask/baseline.json")
}

/// What criterion has written since a moment.
fn figures(since: std::time::SystemTime) -> anyhow::Result<Figures> {
    let mut figures = Figures::new();
    let mut folders = vec![target().join("criterion")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
        if folder.ends_with("new")
            && let Some((name, median)) = figure(&folder, since)?
        {
            figures.insert(name, median);
        }
    }
    Ok(figures)
}

fn figure(folder: &Path, since: std::time::SystemTime) -> anyhow::Result<Option<(String, f64)>> {
    let estimates = folder.join("estimates.json");
    if !estimates.exists() || fs::metadata(&estimates)?.modified()? < since {
        return Ok(None);
    }
    let read =
        |path: &Path| -> anyhow::Result<Value> { Ok(serde_json::from_slice(&fs::read(path)?)?) };
    let name = read(&folder.join("benchmark.json"))?["full_id"]
        .as_str()
        .map(str::to_owned);
    let median = read(&estimates)?["median"]["point_estimate"].as_f64();
    Ok(name.zip(median))
}

/// Prints the ratio of each bench to the baseline: below 1 is quicker.
fn compare(figures: &Figures) -> anyhow::Result<()> {
    let path = baseline();
    let text = fs::read_to_string(&path)
        .with_context(|| format!("no {}: store one with --store", path.display()))?;
    let before: Figures = serde_json::from_str(&text)?;
    println!("\n| bench | baseline ns | now ns | ratio |\n| --- | --- | --- | --- |");
    for (name, now) in figures {
        match before.get(name) {
            Some(was) => println!("| {name} | {was:.1} | {now:.1} | {:.2} |", now / was),
            None => println!("| {name} | – | {now:.1} | new |"),
        }
    }
    Ok(())
}
