//! `cargo xtask fuzz`, and the replay of the committed corpora.
//!
//! The fuzz targets are a workspace of their own under `fuzz/`. Their bodies are plain functions, so
//! `cargo test` there replays every committed input without a fuzzer.

use anyhow::bail;

use crate::run::{cargo, root, run};

/// Replays the committed corpora on the pinned toolchain.
pub(crate) fn replay() -> anyhow::Result<()> {
    run(&mut cargo(&["test", "--manifest-path", "fuzz/Cargo.toml"]))
}

/// Names of the targets, from their files.
fn targets() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        if let (Some(stem), Some("rs")) = (
            path.file_stem(),
            path.extension().and_then(|ext| ext.to_str()),
        ) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Runs each target, or one, for so many seconds.
///
/// `cargo fuzz` wants a nightly compiler for its sanitizer flags; the pinned stable one takes them
/// with `RUSTC_BOOTSTRAP`, so that what is fuzzed is what is shipped.
pub(crate) fn targets_for(seconds: u64, only: Option<&str>) -> anyhow::Result<()> {
    if !cargo(&["fuzz", "--version"])
        .output()
        .is_ok_and(|out| out.status.success())
    {
        bail!("cargo-fuzz is missing: `cargo install cargo-fuzz`");
    }
    for target in targets()? {
        if only.is_some_and(|name| name != target) {
            continue;
        }
        run(cargo(&["fuzz", "run", &target, "--"])
            .arg(format!("-max_total_time={seconds}"))
            .arg("-rss_limit_mb=2048")
            .env("RUSTC_BOOTSTRAP", "1"))?;
    }
    Ok(())
}
