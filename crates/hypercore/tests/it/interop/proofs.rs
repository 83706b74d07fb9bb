//! Proofs without a connection: each side verifies what the other made.

use anyhow::{Context, Result};
use hc_testkit::Version;
use hypercore::RemoteProof;
use serde_json::json;

use super::common::{Js, VARIED, reference, soon, writer};

/// The reference has them since version 11.
#[test]
fn of_the_reference_and_for_it() -> Result<()> {
    let mut js = reference!(Version::V11);
    let key = js.write()?;
    js.append(&VARIED, 0..20, 20)?;
    for (block, length) in [(None, None), (Some(4), None), (Some(4), Some(5))] {
        let made = js
            .peer
            .call("prove", json!({ "index": block, "length": length }))?;
        let bytes = hex::decode(made["proof"].as_str().context("bytes")?)?;
        let proven = RemoteProof::from_bytes(&bytes)?.verify(&key.into())?;
        assert_eq!(proven.head.length().get(), 20);
        let carried = block.map(|index| (index.into(), VARIED.block(index).into()));
        assert_eq!(proven.block, carried);
    }

    // The reference has to know who may sign before it looks at a proof.
    let log = writer()?;
    soon(log.append_batch((0..20).map(|index| VARIED.block(index))))?;
    js.know(&log)?;
    for (proof, block) in [
        (log.prove(), None),
        (log.prove().block(7), Some(7)),
        (log.prove().block(7).length(8), Some(7)),
    ] {
        let bytes = proof.make()?.to_bytes();
        let mut verify = |bytes: &[u8]| {
            let call = json!({ "core": "known", "proof": hex::encode(bytes) });
            js.peer.call("verifyProof", call)
        };
        let verified = verify(&bytes)?;
        assert_eq!(verified["length"], 20);
        assert_eq!(verified["newer"], true);
        let carried = block.map(|index| hex::encode(VARIED.block(index)));
        assert_eq!(verified["block"].as_str(), carried.as_deref());
        let mut tampered = bytes;
        // In the first block or node, behind discovery key and header.
        tampered[32 + 25] ^= 1;
        assert!(verify(&tampered).map_or(true, |verified| verified.is_null()));
    }
    Ok(())
}
