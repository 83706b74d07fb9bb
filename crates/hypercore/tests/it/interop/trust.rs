//! Peers that have something else to talk about: nothing is shared by mistake, nothing hangs, and
//! what is not understood does no harm.

use anyhow::Result;
use hc_testkit::Version;
use hypercore::{Length, ReplicateError, Replication, Role};
use serde_json::json;

use super::common::*;

/// Both have a log, of which the other knows nothing.
fn who_has_another_log_learns_nothing(version: Version) -> Result<()> {
    let mut js = reference!(version);
    js.write()?;
    js.append(&VARIED, 0..10, 10)?;
    let ours = writer()?;
    soon(ours.append("ours"))?;
    let mut events = ours.events();
    for dialled in [true, false] {
        let line = if dialled {
            js.dialled_by(&ours)?
        } else {
            js.dial(&ours)?
        };
        let traffic = line.traffic.clone();
        let ended = line.ended()?;
        assert!(
            matches!(ended, Err(ReplicateError::Refused { .. })),
            "{ended:?}"
        );
        assert!(traffic.bytes_received() < 1024 && traffic.bytes_sent() < 1024);
        js.peer.event("disconnected", SOON)?;
    }
    assert!(events.try_next().is_none());
    assert_eq!(ours.length(), Length::new(1));
    assert_eq!(js.facts()?.length, 10);
    Ok(())
}

/// The reference has extensions and other protocols on the same connection.
fn what_is_not_understood_does_no_harm(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..10, 10)?;
    let log = reader(key)?;
    let line = js.dialled_by(&log)?;
    assert_eq!(soon(log.get(0))?, VARIED.block(0));

    for message in ["", "first", "second"] {
        js.peer.call(
            "extension",
            json!({ "name": "interop/unknown", "message": hex::encode(message) }),
        )?;
    }
    js.peer
        .call("channel", json!({ "protocol": "interop/unknown" }))?;
    let closed = js.peer.event("channel-closed", SOON)?;
    assert_eq!(closed["protocol"], "interop/unknown");

    js.append(&VARIED, 10..20, 10)?;
    soon(log.download(..20))?;
    assert_eq!(Facts::of(&log)?, js.facts()?);
    line.cut();
    js.peer.event("disconnected", SOON)?;
    Ok(())
}

/// Both have logs that the other has not; those that both know are replicated, and only those.
fn of_several_logs_those_that_both_know_are_shared(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let first = js.write_beside("first", &["a", "b"])?;
    let second = js.write_beside("second", &["c", "d", "e"])?;
    js.write_beside("third", &["f"])?;
    let port = js.peer.listen()?;
    let (first, second, own) = (reader(first)?, reader(second)?, writer()?);
    let line = Line::of(
        Replication::over(stream_to(port)?, Role::Initiator)
            .add(&own)
            .add(&second)
            .add(&first)
            .start(),
    )?;
    assert_eq!(soon(first.get(1))?, "b");
    assert_eq!(soon(second.get(2))?, "e");
    // One is let go of; the other goes on.
    soon(first.close_all())?;
    assert_eq!(soon(second.get(0))?, "c");
    assert_eq!(own.length(), Length::ZERO);
    assert!(own.peers().is_empty());
    soon(second.close_all())?;
    soon(own.close_all())?;
    line.ended()??;
    js.peer.event("disconnected", SOON)?;
    Ok(())
}

against_both!(
    of_several_logs_those_that_both_know_are_shared,
    who_has_another_log_learns_nothing,
    what_is_not_understood_does_no_harm,
);
