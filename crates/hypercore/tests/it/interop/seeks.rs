//! Where a byte lies, asked of the other side, which has the log.

use anyhow::Result;
use hc_testkit::Version;
use hypercore::encryption::EncryptionKey;
use hypercore::{Hypercore, Storage};
use serde_json::json;

use super::common::*;

const LENGTH: u64 = 500;

fn secret() -> EncryptionKey {
    EncryptionKey::from_bytes([0x5a; 32])
}

/// Bytes at the edges and within.
fn bytes(of: &Hypercore) -> [u64; 6] {
    let end = of.byte_length().get();
    [1, 77, 5_000, end / 2, end - 1, end]
}

/// What the other side finds in its own log.
fn there(js: &mut Js, byte: u64) -> Result<(u64, u64)> {
    let found = js.peer.call("seek", json!({ "bytes": byte }))?["found"].clone();
    Ok(serde_json::from_value(found)?)
}

fn ask_there(js: &mut Js, log: &Hypercore) -> Result<()> {
    soon(log.update())?;
    for byte in bytes(log) {
        let found = soon(log.seek(byte))?;
        assert_eq!(
            (found.index.get(), found.offset),
            there(js, byte)?,
            "{byte}"
        );
    }
    assert!(log.count(..) <= 6, "hardly anything was fetched");
    Ok(())
}

fn plain_logs_of_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..LENGTH, 100)?;
    let log = reader(key)?;
    let _line = js.dialled_by(&log)?;
    ask_there(&mut js, &log)
}

fn encrypted_logs_of_the_reference(version: Version) -> Result<()> {
    for compat in [false, true] {
        let mut js = reference!(version);
        let key = js.write_with(&json!({ "compat": compat }), Some(&secret()))?;
        js.append(&VARIED, 0..LENGTH, 100)?;
        let builder = Hypercore::builder(Storage::memory()).key(key);
        let log = open(builder.encryption_key(secret()))?;
        let _line = js.dialled_by(&log)?;
        ask_there(&mut js, &log)?;
    }
    Ok(())
}

fn encrypted_logs_of_ours(version: Version) -> Result<()> {
    for compat in [false, true] {
        let mut js = reference!(version);
        let builder = Hypercore::builder(Storage::memory()).encryption_key(secret());
        let log = open(if compat { builder.compat() } else { builder })?;
        soon(log.append_batch(VARIED.blocks(0..LENGTH)))?;
        js.read_with(log.key(), &json!({ "compat": compat }), Some(&secret()))?;
        let _line = js.dial(&log)?;
        js.wait_for(LENGTH, false)?;
        for byte in bytes(&log) {
            let expected = log.seek_local(byte)?;
            let expected = (expected.index.get(), expected.offset);
            assert_eq!(there(&mut js, byte)?, expected, "{byte}");
        }
    }
    Ok(())
}

/// Of what a part of the log tells, all is told; of the rest, that it is not known.
fn a_part_of_ours_answers_what_it_can(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let from = writer()?;
    soon(from.append_batch(VARIED.blocks(0..LENGTH)))?;
    let relay = reader(from.key())?;
    let door = Door::open()?;
    let lines = [dial(&relay, door.port()?)?, door.accept(&from)?];
    soon(relay.download_blocks(40..60))?;
    lines.into_iter().for_each(Line::cut);
    js.read(from.key())?;
    let _line = js.dial(&relay)?;
    js.wait_for(LENGTH, false)?;
    let sizes: u64 = VARIED
        .blocks(0..50)
        .iter()
        .map(|block| block.len() as u64)
        .sum();
    let expected = from.seek_local(sizes + 1)?;
    let expected = (expected.index.get(), expected.offset);
    assert_eq!(there(&mut js, sizes + 1)?, expected);
    // The connection is none the worse for it.
    assert_eq!(js.get(45)?, VARIED.block(45));
    Ok(())
}

against_both!(
    plain_logs_of_the_reference,
    encrypted_logs_of_the_reference,
    encrypted_logs_of_ours,
    a_part_of_ours_answers_what_it_can,
);
