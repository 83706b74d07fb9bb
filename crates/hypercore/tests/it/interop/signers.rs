//! Logs that several sign, and logs with a beginning that is fixed.

use anyhow::{Context, Result};
use futures_lite::future::block_on;
use hc_testkit::Version;
use hypercore::manifest::{Manifest, ManifestVersion, Prologue, Signer};
use hypercore::{Hypercore, KeyPair, Length, Storage, Verifier};
use serde_json::json;

use super::common::*;

const LENGTH: u64 = 40;

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

fn log_of(blocks: u64) -> Result<Hypercore> {
    let log = writer()?;
    soon(log.append_batch(VARIED.blocks(0..blocks)))?;
    Ok(log)
}

/// A log that two of three have signed, one of them at a greater length.
fn signed_by_two(version: ManifestVersion) -> Result<Hypercore> {
    let signers = [1, 2, 3].map(|seed| Signer::new(pair(seed).public_key()));
    let manifest = Manifest::new(signers).with_patches().with_version(version);
    let verifier = Verifier::from_manifest(manifest.clone())?;
    let log = open(Hypercore::builder(Storage::memory()).manifest(manifest))?;
    let (slow, fast) = (log_of(LENGTH)?, log_of(LENGTH + 23)?);
    let parts = [
        soon(fast.sign_part(&verifier, &pair(3), LENGTH))?,
        soon(slow.sign_part(&verifier, &pair(1), LENGTH))?,
    ];
    let batch = log.append_batch(VARIED.blocks(0..LENGTH));
    soon(batch.signature(verifier.assemble(&parts)))?;
    Ok(log)
}

fn of_several_to_the_reference(version: Version) -> Result<()> {
    for manifest in [ManifestVersion::V0, ManifestVersion::V1] {
        let mut js = reference!(version);
        let log = signed_by_two(manifest)?;
        js.read(log.key())?;
        let _line = js.dial(&log)?;
        js.download(&json!({ "start": 0, "end": LENGTH }))?;
        assert_eq!(js.digest(0..LENGTH)?, digest(VARIED.blocks(0..LENGTH))?);
        assert_eq!(js.facts()?, Facts::of(&log)?);

        // And from there to one that knows nothing but the key.
        let to = reader(log.key())?;
        let _far = js.dialled_by(&to)?;
        soon(to.download(..LENGTH))?;
        assert_eq!(to.head(), log.head());
        assert_eq!(to.manifest(), log.manifest());
    }
    Ok(())
}

/// The log that begins with these blocks; nobody signs it, or one key pair does.
fn beginning_with(source: &Hypercore, signers: &[KeyPair]) -> Result<Hypercore> {
    let head = source.head();
    let fixed = Prologue {
        hash: head.tree_hash(),
        length: head.length(),
    };
    let list: Vec<_> = signers
        .iter()
        .map(|pair| Signer::new(pair.public_key()))
        .collect();
    let mut builder = Hypercore::builder(Storage::memory());
    builder = builder.manifest(Manifest::new(list).with_prologue(fixed));
    if let [only] = signers {
        builder = builder.key_pair(only.clone());
    }
    let log = open(builder)?;
    assert_eq!(soon(log.copy_prologue(source))?, head.length().get());
    Ok(log)
}

fn a_prologue_to_the_reference(version: Version) -> Result<()> {
    let source = log_of(5)?;
    for signers in [&[][..], &[pair(7)]] {
        let mut js = reference!(version);
        let log = beginning_with(&source, signers)?;
        js.read(log.key())?;
        let _line = js.dial(&log)?;
        assert_eq!(js.get(1)?, VARIED.block(1));
        assert_eq!(js.facts()?.length, 5, "the whole beginning came with it");
        if !signers.is_empty() {
            soon(log.append("signed"))?;
            assert_eq!(js.get(5)?, b"signed");
        }
        assert_eq!(js.facts()?.tree_hash, Facts::of(&log)?.tree_hash);
    }
    Ok(())
}

against_both!(of_several_to_the_reference, a_prologue_to_the_reference);

/// One that version 11 has copied the beginning to.
#[test]
fn a_prologue_from_the_reference() -> Result<()> {
    let mut js = reference!(Version::V11);
    js.write()?;
    js.append(&VARIED, 0..5, 5)?;
    let hash: [u8; 32] = hex::decode(js.facts()?.tree_hash)?
        .try_into()
        .ok()
        .context("32 bytes")?;
    let fixed = Prologue {
        hash: hash.into(),
        length: Length::new(5),
    };
    let manifest = Manifest::new([]).with_prologue(fixed);
    js.copy_prologue(&manifest)?;
    let log = reader(manifest.key())?;
    let _line = js.dialled_by(&log)?;
    assert_eq!(soon(log.get(1))?, VARIED.block(1));
    assert_eq!(log.length(), Length::new(5));
    soon(log.download(..5))?;
    assert_eq!(log.manifest(), Some(manifest));
    assert!(log.verify(|_| {})?.is_ok());
    let refused = block_on(log.append("more").into_future());
    assert!(refused.is_err(), "nobody may sign");
    Ok(())
}
