//! `cargo xtask vectors`: makes the golden vectors again and compares them with the committed ones.
//!
//! The generator under `xtask/vectors` runs the reference's packages; the same seed gives the same
//! bytes, but for the order of messages in recorded sessions and identifiers inside databases, which
//! are left out of the comparison.

use std::fs;
use std::process::Command;

use anyhow::{Context, bail};

use crate::run::{root, run};

/// The committed copies: which crate owns which file.
const OWNERS: [(&str, &str); 11] = [
    ("compact-encoding", "hc-encoding"),
    ("bitfield", "hc-bitfield"),
    ("crypto", "hc-merkle"),
    ("merkle", "hc-merkle"),
    ("proofs", "hc-merkle"),
    ("multisig", "hc-merkle"),
    ("messages", "hc-protocol"),
    ("protomux", "hc-protocol"),
    ("secret-stream", "hc-protocol"),
    ("encryption", "hypercore"),
    ("corestore", "hypercore"),
];

/// Fails where the reference of today makes other vectors than those that the tests use.
pub(crate) fn check() -> anyhow::Result<()> {
    let generator = root().join("xtask/vectors");
    let out = root().join(".interop/vectors");
    fs::create_dir_all(&out)?;
    run(Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(&generator))?;
    run(Command::new("node")
        .args(["generate.js", "--seed", "public", "--out"])
        .arg(&out)
        .current_dir(&generator))?;
    let mut differ = Vec::new();
    for (name, owner) in OWNERS {
        let committed = root().join(format!("crates/{owner}/tests/vectors/{name}.json"));
        let committed =
            fs::read(&committed).with_context(|| format!("{} is missing", committed.display()))?;
        if fs::read(out.join(format!("{name}.json")))? != committed {
            differ.push(name);
        }
    }
    if differ.is_empty() {
        println!(
            "vectors: {} files are what the reference makes today",
            OWNERS.len()
        );
        return Ok(());
    }
    bail!(
        "vectors differ from what the reference makes today: {}",
        differ.join(", ")
    )
}
