//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Owns the rules on files: what stands on top of a module, how long it may be, words that may not
//! appear, and that documents name what exists. Knows nothing of what the code does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::run::root;
use crate::{claims, limits};

/// Lines that a source file may have.
const MAX_LINES: usize = 600;

/// Words that say that something is unfinished, or that only this machine understands.
const BANNED: [(&str, &str); 6] = [
    ("todo!(", "unfinished code"),
    ("unimplemented!(", "unfinished code"),
    ("dbg!(", "left-over debugging"),
    ("#[ignore", "a test that does not run"),
    (
        "TODO",
        "a note to self: do it, or write it into docs/STATUS.md",
    ),
    (
        "FIXME",
        "a note to self: do it, or write it into docs/STATUS.md",
    ),
];

/// Fails where a rule is broken, with every break in the message.
pub(crate) fn check() -> anyhow::Result<()> {
    let files = tracked()?;
    let mut faults = Vec::new();
    for path in &files {
        if path.extension().is_some_and(|ext| ext == "rs") {
            source(path, &mut faults)?;
        }
        if path
            .extension()
            .is_some_and(|ext| ext == "md" || ext == "toml")
        {
            prose(path, &mut faults)?;
        }
    }
    front_doors(&mut faults)?;
    if !limits::is_current()? {
        faults.push("docs/limits.md is not what the sources say: `cargo xtask limits`".to_owned());
    }
    claims::check(&files, &mut faults)?;
    if faults.is_empty() {
        println!("tidy: {} files keep the rules", files.len());
        return Ok(());
    }
    bail!("tidy:\n  {}", faults.join("\n  "))
}

/// Paths of all files that git tracks or would track, relative to the top.
pub(crate) fn tracked() -> anyhow::Result<Vec<PathBuf>> {
    let out = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("cannot start git")?;
    let text = String::from_utf8(out.stdout)?;
    Ok(text
        .lines()
        .map(PathBuf::from)
        .filter(|path| root().join(path).exists())
        .collect())
}

/// Rules on a source file.
fn source(path: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(root().join(path))?;
    let shown = path.display();
    let first = text.lines().next().unwrap_or_default();
    if !first.starts_with("//!") && !first.starts_with("#![doc = include_str!") {
        faults.push(format!("{shown}: does not begin with what it owns (`//!`)"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults.push(format!(
            "{shown}: {lines} lines; more than {MAX_LINES} is more than one idea"
        ));
    }
    if path.ends_with("tidy.rs") {
        return Ok(());
    }
    for (number, line) in text.lines().enumerate() {
        for (word, why) in BANNED {
            if line.contains(word) {
                faults.push(format!("{shown}:{}: `{word}`: {why}", number + 1));
            }
        }
    }
    Ok(())
}

/// Rules on documents and manifests: nothing that only one machine understands.
fn prose(path: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(root().join(path))?;
    for (number, line) in text.lines().enumerate() {
        for word in ["/work/", "/root/", "crates.io/api", "registry.npmjs"] {
            if line.contains(word) {
                faults.push(format!("{}:{}: names `{word}`", path.display(), number + 1));
            }
        }
    }
    Ok(())
}

/// Every crate has a README.
fn front_doors(faults: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(root().join("crates"))? {
        let folder = entry?.path();
        let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        if readme.lines().count() < 5 {
            faults.push(format!("{}: README.md says nothing", folder.display()));
        }
    }
    Ok(())
}
