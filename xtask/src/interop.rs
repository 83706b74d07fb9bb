//! The JavaScript reference, for the interop tests: installs the pinned packages.
//!
//! Owns the folder `.interop` at the top of the workspace, which git does not track. Knows nothing of
//! what the tests do with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::run::{root, run};

/// Where the packages are installed.
pub(crate) fn folder() -> PathBuf {
    root().join(".interop")
}

/// Whether Node is on this machine.
pub(crate) fn node_is_here() -> bool {
    Command::new("node")
        .arg("--version")
        .output()
        .is_ok_and(|out| out.status.success())
}

/// Installs the packages that the interop tests need.
pub(crate) fn install() -> anyhow::Result<()> {
    install_from(&root().join("xtask/interop"), &folder())
}

/// Installs the packages pinned in one folder into another, unless what is there was made from the
/// same lists.
pub(crate) fn install_from(from: &Path, into: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(into)?;
    let mut same = into.join("node_modules/.complete").exists();
    for name in ["package.json", "package-lock.json"] {
        let pinned = fs::read(from.join(name)).with_context(|| format!("no {name}"))?;
        same &= fs::read(into.join(name)).is_ok_and(|have| have == pinned);
        fs::write(into.join(name), pinned)?;
    }
    if same {
        return Ok(());
    }
    run(Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(into))?;
    fs::write(into.join("node_modules/.complete"), "")?;
    Ok(())
}
