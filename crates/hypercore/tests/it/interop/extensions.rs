//! Extension messages both ways: those of a name in order, whatever else is said between them. A name
//! that is said twice in a row is left out on the wire.

use anyhow::Result;
use hc_testkit::Version;
use serde_json::json;

use super::common::*;

/// Names and messages, with names that follow each other and one that nobody knows.
const SAID: [(&str, &str); 7] = [
    ("a", "1"),
    ("a", "2"),
    ("b", "3"),
    ("a", ""),
    ("unknown", "4"),
    ("unknown", "5"),
    ("b", "6"),
];

fn said(name: &str) -> Vec<&'static str> {
    let of_name = SAID.iter().filter(|(said, _)| *said == name);
    of_name.map(|(_, message)| *message).collect()
}

fn messages_of_the_reference_come_in_order(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..1, 1)?;
    let log = reader(key)?;
    let (mut a, mut b) = (log.extension("a")?, log.extension("b")?);
    let line = js.dialled_by(&log)?;
    soon(log.get(0))?;
    for (name, message) in SAID {
        let said = json!({ "name": name, "message": hex::encode(message) });
        js.peer.call("extension", said)?;
    }
    let peer = log.peers()[0];
    for (extension, name) in [(&mut a, "a"), (&mut b, "b")] {
        for message in said(name) {
            let came = soon(async { extension.next().await.ok_or(anyhow::anyhow!("no more")) })?;
            assert_eq!(
                (came.message.as_ref(), came.peer),
                (message.as_bytes(), peer)
            );
        }
    }
    assert_eq!(log.stats().received.extension, SAID.len() as u64);
    line.cut();
    Ok(())
}

fn messages_reach_the_reference_in_order(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let log = writer()?;
    soon(log.append("block"))?;
    js.read(log.key())?;
    for name in ["a", "b"] {
        js.peer.call("hear", json!({ "name": name }))?;
    }
    let line = js.dial(&log)?;
    assert_eq!(js.get(0)?, b"block");
    for (name, message) in SAID {
        let extension = log.extension(name)?;
        assert_eq!(extension.broadcast(message)?, 1);
    }
    for (name, message) in SAID.iter().filter(|(name, _)| *name != "unknown") {
        let came = js.peer.event("extension", SOON)?;
        assert_eq!(came["name"], *name);
        assert_eq!(came["message"], hex::encode(message));
    }
    line.cut();
    Ok(())
}

against_both!(
    messages_of_the_reference_come_in_order,
    messages_reach_the_reference_in_order,
);
