//! `cargo xtask layers`: the layer table of docs/ARCHITECTURE.md, executed.
//!
//! Owns the comparison between the table and what the manifests say, and the check that pure crates
//! say that they are pure. Knows nothing of why a layer is where it is: the document says that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::run::root;

/// One row of the table.
#[derive(Debug)]
struct Layer {
    /// What it may depend on inside the workspace.
    allowed: BTreeSet<String>,
    /// Whether it must be `no_std` and free of unsafe code.
    pure: bool,
}

/// Members of the workspace that are no crates of the house: they may use any of them.
const TOOLS: [&str; 2] = ["xtask", "peer-ours"];

/// Reads the rows between the `layers` markers: `| crate | world | may depend on | must not know |`.
fn table() -> anyhow::Result<BTreeMap<String, Layer>> {
    let path = "docs/ARCHITECTURE.md";
    let text = fs::read_to_string(root().join(path)).with_context(|| format!("no {path}"))?;
    let (_, rest) = text
        .split_once("<!-- layers -->")
        .context("no <!-- layers --> marker")?;
    let (rows, _) = rest
        .split_once("<!-- /layers -->")
        .context("no <!-- /layers --> marker")?;
    let mut layers = BTreeMap::new();
    for row in rows.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, name, world, allowed, ..] = cells.as_slice() else {
            bail!("odd row: {row}")
        };
        let names = |cell: &str| {
            cell.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        layers.insert(
            name.trim_matches('`').to_owned(),
            Layer {
                allowed: names(allowed),
                pure: *world == "pure",
            },
        );
    }
    Ok(layers)
}

/// Fails where a crate depends on what its row does not name, or a pure crate does not say so.
pub(crate) fn check() -> anyhow::Result<()> {
    let layers = table()?;
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()?;
    let members: BTreeSet<_> = metadata
        .packages
        .iter()
        .map(|p| p.name.to_string())
        .collect();
    let mut faults = Vec::new();
    for package in metadata
        .packages
        .iter()
        .filter(|p| !TOOLS.contains(&p.name.as_str()))
    {
        let Some(layer) = layers.get(package.name.as_str()) else {
            faults.push(format!("{} has no row in the layer table", package.name));
            continue;
        };
        let depends: BTreeSet<_> = package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal && members.contains(d.name.as_str()))
            .map(|d| d.name.clone())
            .collect();
        for extra in depends.difference(&layer.allowed) {
            faults.push(format!(
                "{} depends on {extra}; its row does not allow it",
                package.name
            ));
        }
        for unused in layer.allowed.difference(&depends) {
            faults.push(format!(
                "{} does not depend on {unused}, which its row names",
                package.name
            ));
        }
        if layer.pure {
            let source = fs::read_to_string(
                root()
                    .join("crates")
                    .join(package.name.as_str())
                    .join("src/lib.rs"),
            )?;
            for mark in ["#![no_std]", "#![forbid(unsafe_code)]"] {
                if !source.contains(mark) {
                    faults.push(format!("{} is pure but lacks {mark}", package.name));
                }
            }
        }
    }
    for name in layers.keys().filter(|name| !members.contains(*name)) {
        faults.push(format!("the layer table names {name}, which is no crate"));
    }
    if faults.is_empty() {
        println!("layers: {} crates stand as the table says", layers.len());
        return Ok(());
    }
    bail!("layers:\n  {}", faults.join("\n  "))
}
