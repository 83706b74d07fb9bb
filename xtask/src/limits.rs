//! `cargo xtask limits`: docs/limits.md, made from every `limits.rs`.
//!
//! Owns the table of all bounds. `tidy` fails where the file is not what the sources say.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::run::root;
use crate::tidy::tracked;

const PATH: &str = "docs/limits.md";

const TOP: &str = "\
# Limits

Every bound on what a remote, a file or a caller can make this workspace hold or do, by crate. Made from
the `limits.rs` files by `cargo xtask limits`; each bound is tested at its value and one past it.
";

/// Writes the document.
pub(crate) fn write() -> anyhow::Result<()> {
    fs::write(root().join(PATH), render()?)?;
    println!("limits: wrote {PATH}");
    Ok(())
}

/// Whether the document is what the sources say.
pub(crate) fn is_current() -> anyhow::Result<bool> {
    Ok(fs::read_to_string(root().join(PATH)).unwrap_or_default() == render()?)
}

fn render() -> anyhow::Result<String> {
    let mut files: Vec<PathBuf> = tracked()?
        .into_iter()
        .filter(|path| path.ends_with("limits.rs"))
        .collect();
    files.retain(|path| path.starts_with("crates"));
    files.sort();
    let mut out = TOP.to_owned();
    for path in files {
        let module = path
            .to_string_lossy()
            .trim_start_matches("crates/")
            .trim_end_matches(".rs")
            .replace("/src/", "::")
            .replace('/', "::");
        writeln!(
            out,
            "\n## `{module}`\n\n| limit | value | what it bounds |\n| --- | --- | --- |"
        )?;
        let text = fs::read_to_string(root().join(&path))?;
        for (name, value, about) in constants(&text) {
            writeln!(out, "| `{name}` | `{value}` | {about} |")?;
        }
    }
    Ok(out)
}

/// Name, value and documentation of each public constant.
fn constants(text: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut about: Vec<&str> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if let Some(doc) = trimmed.strip_prefix("///") {
            about.push(doc.trim());
            continue;
        }
        if let Ok((name, mut value)) = constant(trimmed) {
            while !value.ends_with(';') {
                let Some(next) = lines.next() else { break };
                value = format!("{value} {}", next.trim()).trim().to_owned();
            }
            let value = value.trim_end_matches(';').to_owned();
            let about = plain(&about.join(" "));
            found.push((name.to_owned(), value, about));
        }
        about.clear();
    }
    found
}

fn constant(line: &str) -> anyhow::Result<(&str, String)> {
    let rest = line.strip_prefix("pub const ").context("no constant")?;
    let (name, rest) = rest.split_once(':').context("no type")?;
    let (_, value) = rest.split_once('=').context("no value")?;
    anyhow::ensure!(!name.contains('('), "a function");
    Ok((name, value.trim().to_owned()))
}

/// Links without their targets: `[text](target)` and `[text]` are text.
fn plain(about: &str) -> String {
    let mut out = String::new();
    let mut rest = about;
    while let Some((before, after)) = rest.split_once('[') {
        out += before;
        let Some((text, after)) = after.split_once(']') else {
            rest = after;
            continue;
        };
        out += text;
        rest = after
            .strip_prefix('(')
            .and_then(|target| target.split_once(')'))
            .map_or(after, |(_, after)| after);
    }
    (out + rest).replace('|', "\\|")
}
