//! Some blocks out of many: nothing else is stored, and little else is sent.

use std::collections::BTreeSet;

use anyhow::Result;
use hc_testkit::{Pattern, Version};
use serde_json::json;

use super::common::*;

const LENGTH: u64 = 50_000;

/// What ten blocks may cost, with their proofs and whatever is announced.
const MOST_BYTES: u64 = 64 * 1024;

/// Ten blocks, the same in each run.
fn wanted() -> BTreeSet<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % LENGTH
    })
    .take(10)
    .collect()
}

fn from_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&Pattern::SMALL, 0..LENGTH, 5_000)?;
    let log = reader(key)?;
    let line = js.dialled_by(&log)?;
    for index in wanted() {
        assert_eq!(soon(log.get(index))?, Pattern::SMALL.block(index));
    }
    assert_eq!(log.count(..), 10);
    assert!(wanted().into_iter().all(|index| log.has(index..=index)));
    assert_eq!(Facts::of(&log)?.tree_hash, js.facts()?.tree_hash);
    assert!(
        line.traffic.bytes_received() < MOST_BYTES,
        "{:?}",
        line.traffic
    );
    assert!(line.traffic.bytes_sent() < MOST_BYTES, "{:?}", line.traffic);
    Ok(())
}

fn to_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let log = writer()?;
    for start in (0..LENGTH).step_by(5_000) {
        soon(log.append_batch(Pattern::SMALL.blocks(start..start + 5_000)))?;
    }
    js.read(log.key())?;
    let _line = js.dial(&log)?;
    js.wait_for(LENGTH, false)?;
    for index in wanted() {
        assert_eq!(js.get(index)?, Pattern::SMALL.block(index));
    }
    assert_eq!(js.held()?, wanted().into_iter().collect::<Vec<_>>());
    assert_eq!(js.facts()?.tree_hash, Facts::of(&log)?.tree_hash);
    let (received, sent) = js.wire()?;
    assert!(received < MOST_BYTES && sent < MOST_BYTES);
    Ok(())
}

/// It asks where bytes are, of a log of which it has nothing.
fn the_reference_seeks(version: Version) -> Result<()> {
    const LENGTH: u64 = 500;
    let mut js = reference!(version);
    let log = writer()?;
    soon(log.append_batch(VARIED.blocks(0..LENGTH)))?;
    js.read(log.key())?;
    let _line = js.dial(&log)?;
    js.wait_for(LENGTH, false)?;
    for byte in [0, 1, 76, 77, 5_000, 123_456, log.byte_length().get() - 1] {
        let found = js.peer.call("seek", json!({ "bytes": byte }))?["found"].clone();
        let expected = log.seek_local(byte)?;
        assert_eq!(
            found,
            json!([expected.index.get(), expected.offset]),
            "{byte}"
        );
    }
    Ok(())
}

against_both!(from_the_reference, to_the_reference, the_reference_seeks);
