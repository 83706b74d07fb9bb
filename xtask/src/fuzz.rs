//! `cargo xtask fuzz`.
//!
//! The fuzz targets are a workspace of their own under `fuzz/`. Their bodies are plain functions in
//! `hc-testkit`, whose tests replay every committed input without a fuzzer.

use anyhow::bail;

use crate::run::{cargo, root, run};

/// Compiles every target on the pinned toolchain, so that none rots.
pub(crate) fn check() -> anyhow::Result<()> {
    run(&mut cargo(&[
        "check",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--bins",
    ]))
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
