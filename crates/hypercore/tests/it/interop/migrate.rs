//! Logs that the reference wrote to disk go on here, and the reference follows them from here.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use hc_testkit::Version;
use hypercore::encryption::EncryptionKey;
use hypercore::transfer::{CopyOptions, Legacy};
use hypercore::{CoreKey, Hypercore, IfMissing, Storage};
use serde_json::{Value, json};

use super::common::*;

const LENGTH: u64 = 300;
const MORE: u64 = 40;

fn secret() -> EncryptionKey {
    EncryptionKey::from_bytes([0x5a; 32])
}

/// Takes over the only log that is in a folder.
fn migrate(from: &Path, to: &Path, options: &CopyOptions) -> Result<CoreKey> {
    let legacy = Legacy::open(from)?;
    ensure!(legacy.len() == 1, "{} logs", legacy.len());
    let store = Storage::disk(to).open_store()?;
    let found = legacy.migrate(0, &*store, None, options, &mut |_| {})?;
    let copied = found.context("nothing is there")?.copied;
    store.close()?;
    ensure!(copied.has_secret_key && copied.untied.is_empty());
    ensure!(copied.length.get() == LENGTH && copied.blocks == LENGTH);
    Ok(copied.key)
}

fn goes_on(version: Version, options: &Value, encryption: Option<&EncryptionKey>) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write_with(options, encryption)?;
    js.append(&VARIED, 0..LENGTH, 17)?;
    let facts = js.facts()?;
    let from = js.left_behind()?;
    let to = tempfile::tempdir()?;
    let mut copy = CopyOptions::default();
    if encryption.is_some() {
        copy = copy.encrypted();
    }
    assert_eq!(migrate(&from, to.path(), &copy)?, key);

    let mut builder = Hypercore::builder(Storage::existing(to.path())).if_missing(IfMissing::Fail);
    if let Some(secret) = encryption {
        builder = builder.encryption_key(secret.clone());
    }
    let log = open(builder)?;
    assert_eq!(log.key(), key);
    assert_eq!(
        local_digest(&log, 0..LENGTH)?,
        digest(VARIED.blocks(0..LENGTH))?
    );
    assert_eq!(Facts::of(&log)?.tree_hash, facts.tree_hash);
    soon(log.append_batch(VARIED.blocks(LENGTH..LENGTH + MORE)))?;
    assert!(log.verify(|_| {})?.is_ok());

    // Another peer of the version that it came from takes it all from here.
    let mut js = reference!(version);
    js.read_with(key, options, encryption)?;
    let _line = js.dial(&log)?;
    js.wait_for(LENGTH + MORE, false)?;
    js.download(&json!({ "start": 0, "end": LENGTH + MORE }))?;
    assert_eq!(
        js.digest(0..LENGTH + MORE)?,
        digest(VARIED.blocks(0..LENGTH + MORE))?
    );
    assert_eq!(js.facts()?.tree_hash, Facts::of(&log)?.tree_hash);
    Ok(())
}

fn a_log_goes_on_here(version: Version) -> Result<()> {
    goes_on(version, &json!({ "compat": false }), None)
}

fn a_log_named_by_a_public_key_goes_on_here(version: Version) -> Result<()> {
    goes_on(version, &json!({ "compat": true }), None)
}

fn an_encrypted_log_goes_on_here(version: Version) -> Result<()> {
    goes_on(version, &json!({ "compat": false }), Some(&secret()))
}

against_both!(
    a_log_goes_on_here,
    a_log_named_by_a_public_key_goes_on_here,
    an_encrypted_log_goes_on_here,
);
