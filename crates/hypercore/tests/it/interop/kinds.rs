//! All kinds of logs that both sides can make: with a manifest, named by a public key, encrypted.

use anyhow::Result;
use hc_testkit::Version;
use hypercore::encryption::EncryptionKey;
use hypercore::{Hypercore, Storage};
use serde_json::{Value, json};

use super::common::*;

const LENGTH: u64 = 70;

fn secret() -> EncryptionKey {
    EncryptionKey::from_bytes([0x5a; 32])
}

/// Version 11 has to be told of the mode where it reads an encrypted log: it throws on the first block
/// if it learns of it from a peer.
fn reading(compat: bool) -> Value {
    json!({ "compat": compat })
}

fn from_the_reference(version: Version, options: &Value, compat: bool) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write_with(options, None)?;
    js.append(&VARIED, 0..LENGTH, 7)?;
    let log = reader(key)?;
    let _line = js.dialled_by(&log)?;
    soon(log.download(..LENGTH))?;
    assert_eq!(
        local_digest(&log, 0..LENGTH)?,
        digest(VARIED.blocks(0..LENGTH))?
    );
    assert_eq!(Facts::of(&log)?, js.facts()?);
    assert!(log.verify(|_| {})?.is_ok());
    assert_eq!(log.manifest().is_none(), compat);
    Ok(())
}

fn to_the_reference(version: Version, compat: bool) -> Result<()> {
    let mut js = reference!(version);
    let builder = Hypercore::builder(Storage::memory());
    let log = open(if compat { builder.compat() } else { builder })?;
    soon(log.append_batch(VARIED.blocks(0..LENGTH)))?;
    js.read(log.key())?;
    let _line = js.dial(&log)?;
    js.wait_for(LENGTH, false)?;
    js.download(&json!({ "start": 0, "end": LENGTH }))?;
    assert_eq!(js.digest(0..LENGTH)?, digest(VARIED.blocks(0..LENGTH))?);
    assert_eq!(js.facts()?, Facts::of(&log)?);
    Ok(())
}

fn with_a_manifest_from_the_reference(version: Version) -> Result<()> {
    from_the_reference(version, &json!({ "compat": false }), false)
}

fn with_a_manifest_to_the_reference(version: Version) -> Result<()> {
    to_the_reference(version, false)
}

fn named_by_a_public_key_from_the_reference(version: Version) -> Result<()> {
    from_the_reference(version, &json!({ "compat": true }), true)
}

fn named_by_a_public_key_to_the_reference(version: Version) -> Result<()> {
    to_the_reference(version, true)
}

/// The reference encrypts; here it is read with the key, and replicated without.
fn encrypted_by_the_reference(version: Version, compat: bool) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write_with(&json!({ "compat": compat }), Some(&secret()))?;
    js.append(&VARIED, 0..LENGTH, 7)?;
    let port = js.peer.listen()?;
    let plain = digest(VARIED.blocks(0..LENGTH))?;

    let builder = Hypercore::builder(Storage::memory()).key(key);
    let knowing = open(builder.encryption_key(secret()))?;
    let _line = dial(&knowing, port)?;
    soon(knowing.download(..LENGTH))?;
    assert_eq!(local_digest(&knowing, 0..LENGTH)?, plain);
    assert_eq!(Facts::of(&knowing)?, js.facts()?);

    let blind = reader(key)?;
    let _line = dial(&blind, port)?;
    soon(blind.download(..LENGTH))?;
    assert_ne!(local_digest(&blind, 0..LENGTH)?, plain);
    assert_eq!(Facts::of(&blind)?.tree_hash, js.facts()?.tree_hash);
    assert!(blind.verify(|_| {})?.is_ok());

    // Who cannot read it can pass it on to who can.
    let mut third = reference!(version);
    third.read_with(key, &reading(compat), Some(&secret()))?;
    let _line = third.dial(&blind)?;
    third.wait_for(LENGTH, false)?;
    assert_eq!(third.digest(0..LENGTH)?, plain);
    Ok(())
}

/// Encrypted here; the reference reads it with the key, and replicates it without.
fn encrypted_for_the_reference(version: Version, compat: bool) -> Result<()> {
    let (mut knowing, mut blind) = (reference!(version), reference!(version));
    let builder = Hypercore::builder(Storage::memory()).encryption_key(secret());
    let log = open(if compat { builder.compat() } else { builder })?;
    soon(log.append_batch(VARIED.blocks(0..LENGTH)))?;
    let plain = digest(VARIED.blocks(0..LENGTH))?;

    knowing.read_with(log.key(), &reading(compat), Some(&secret()))?;
    let _line = knowing.dial(&log)?;
    knowing.wait_for(LENGTH, false)?;
    assert_eq!(knowing.digest(0..LENGTH)?, plain);
    assert_eq!(knowing.facts()?, Facts::of(&log)?);

    blind.read(log.key())?;
    let _line = blind.dial(&log)?;
    blind.wait_for(LENGTH, false)?;
    assert_ne!(blind.digest(0..LENGTH)?, plain);
    assert_eq!(blind.facts()?.tree_hash, Facts::of(&log)?.tree_hash);
    Ok(())
}

fn encrypted_with_a_manifest_by_the_reference(version: Version) -> Result<()> {
    encrypted_by_the_reference(version, false)
}

fn encrypted_with_a_manifest_for_the_reference(version: Version) -> Result<()> {
    encrypted_for_the_reference(version, false)
}

fn encrypted_under_a_public_key_by_the_reference(version: Version) -> Result<()> {
    encrypted_by_the_reference(version, true)
}

fn encrypted_under_a_public_key_for_the_reference(version: Version) -> Result<()> {
    encrypted_for_the_reference(version, true)
}

against_both!(
    with_a_manifest_from_the_reference,
    with_a_manifest_to_the_reference,
    named_by_a_public_key_from_the_reference,
    named_by_a_public_key_to_the_reference,
    encrypted_with_a_manifest_by_the_reference,
    encrypted_with_a_manifest_for_the_reference,
    encrypted_under_a_public_key_by_the_reference,
    encrypted_under_a_public_key_for_the_reference,
);
