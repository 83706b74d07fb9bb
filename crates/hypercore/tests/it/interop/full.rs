//! Everything, once: a thousand blocks of all sizes.

use std::ops::Range;

use anyhow::Result;
use hc_testkit::{Pattern, Version};
use serde_json::json;

use super::common::*;

/// One of several MiB, in the middle.
const BIG: Pattern = Pattern {
    len_base: 5 << 20,
    len_step: 0,
    len_mod: 1,
    ..VARIED
};

const PARTS: [(Pattern, Range<u64>); 3] = [(VARIED, 0..500), (BIG, 500..501), (VARIED, 501..1000)];

fn blocks() -> Vec<Vec<u8>> {
    let parts = PARTS.iter();
    parts
        .flat_map(|(pattern, range)| pattern.blocks(range.clone()))
        .collect()
}

fn from_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    for (pattern, range) in PARTS {
        js.append(&pattern, range, 100)?;
    }
    let dir = tempfile::tempdir()?;
    let log = on_disk(dir.path(), Some(key))?;
    let mut events = log.events();
    let line = js.dialled_by(&log)?;
    soon(log.download(..1000))?;
    assert_eq!(local_digest(&log, 0..1000)?, digest(blocks())?);
    assert_eq!(Facts::of(&log)?, js.facts()?);
    assert_eq!(Facts::of(&log)?.contiguous_length, 1000);
    assert!(log.verify(|_| {})?.is_ok());
    assert_eq!(downloaded(&mut events).len(), 1000);
    line.cut();

    // It is all there for who opens the directory again, too.
    soon(log.close_all())?;
    drop(log);
    let again = on_disk(dir.path(), Some(key))?;
    assert_eq!(local_digest(&again, 0..1000)?, digest(blocks())?);
    assert_eq!(Facts::of(&again)?, js.facts()?);
    Ok(())
}

fn to_the_reference(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let dir = tempfile::tempdir()?;
    let log = on_disk(dir.path(), None)?;
    for chunk in blocks().chunks(100) {
        soon(log.append_batch(chunk.iter().cloned()))?;
    }
    js.read(log.key())?;
    let _line = js.dial(&log)?;
    js.wait_for(1000, false)?;
    js.download(&json!({ "start": 0, "end": 1000 }))?;
    assert_eq!(js.digest(0..1000)?, digest(blocks())?);
    assert_eq!(js.facts()?, Facts::of(&log)?);
    assert_eq!(js.facts()?.contiguous_length, 1000);
    Ok(())
}

against_both!(from_the_reference, to_the_reference);
