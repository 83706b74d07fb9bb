//! Remotes that ask for what no log can answer, and remotes that do not know the key: here, at the hands of
//! the reference, and there. Whoever is honest goes on.

use anyhow::{Context, Result};
use async_std::net::TcpStream;
use hc_merkle::proof::{BlockRequest, Request as Wanted, SeekRequest, UpgradeRequest};
use hc_merkle::{BlockIndex, ByteOffset, Fork, Length};
use hc_protocol::message::{Message, NoDataReason, Request, RequestId};
use hc_replicator::Fault;
use hc_replicator::limits::INVALID_REQUESTS;
use hc_testkit::Version;
use hypercore::{CoreKey, ReplicateError};
use serde_json::json;

use super::common::*;
use crate::stranger::Stranger;

const LENGTH: u64 = 200;
/// Refusals that are waited for; later ones take too long to come.
const REFUSALS: usize = 4;

/// A request that no log of that length can answer, of one kind after the other.
fn nonsense(id: u64) -> Message {
    let upgrade = |start, length| {
        Some(UpgradeRequest {
            start: Length::new(start),
            length: Length::new(length),
        })
    };
    let block = |index, nodes| {
        Some(BlockRequest {
            index: BlockIndex::new(index),
            nodes,
        })
    };
    let nothing = Wanted::default();
    let want = match id % 4 {
        0 => Wanted {
            upgrade: upgrade(LENGTH - 10, 20),
            ..nothing
        },
        1 => Wanted {
            upgrade: upgrade(LENGTH / 2, 0),
            ..nothing
        },
        2 => Wanted {
            block: block(3, 60),
            ..nothing
        },
        _ => Wanted {
            block: block(LENGTH - 1, 0),
            seek: Some(SeekRequest {
                bytes: ByteOffset::new(100),
                padding: 0,
            }),
            upgrade: upgrade(LENGTH / 2, LENGTH / 2),
            ..nothing
        },
    };
    Message::Request(Request {
        id: RequestId(id),
        fork: Fork::ZERO,
        want,
        priority: 0,
    })
}

/// Somebody who connects to a log there, and shows the capability of a key.
fn stranger(port: u16, log: CoreKey, key: CoreKey) -> Result<Met> {
    let mut stranger = Stranger::new(stream_to(port)?);
    soon(async move {
        let channel = stranger.open(log, key).await;
        Ok::<_, anyhow::Error>((stranger, channel))
    })
}

type Met = (Stranger<TcpStream>, hc_protocol::mux::ChannelId);

/// Version 11 refuses, later each time, until it hangs up; version 10 hangs up at once.
fn who_asks_for_nonsense_is_hung_up_on_there(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..LENGTH, 100)?;
    let port = js.peer.listen()?;
    let honest = reader(key)?;
    let line = dial(&honest, port)?;
    assert_eq!(soon(honest.get(0))?, VARIED.block(0));

    let (mut stranger, channel) = stranger(port, key, key)?;
    let limit = u64::from(INVALID_REQUESTS);
    soon(async {
        for id in 1..limit {
            stranger.say(channel, &nonsense(id));
        }
        let mut refused = Vec::new();
        while refused.len() < REFUSALS {
            match stranger.message().await {
                Some(Message::NoData(refusal)) => {
                    assert_eq!(refusal.reason, NoDataReason::Invalid);
                    refused.push(refusal.id.0);
                }
                Some(Message::Data(data)) => panic!("{data:?}"),
                Some(_) => {}
                None => break,
            }
        }
        match version {
            Version::V11 => assert_eq!(refused, [1, 2, 3, 4]),
            Version::V10 => assert!(refused.is_empty(), "{refused:?}"),
        }
        stranger.say(channel, &nonsense(limit));
        stranger.flush().await;
        while stranger.message().await.is_some() {}
        Ok::<_, anyhow::Error>(())
    })?;
    js.peer.event("stream-error", SOON)?;
    soon(honest.download(..LENGTH))?;
    assert_eq!(Facts::of(&honest)?, js.facts()?);
    line.cut();
    Ok(())
}

/// Either version is refused, later each time, until it is hung up on.
fn who_asks_for_nonsense_is_hung_up_on_here(version: Version) -> Result<()> {
    let (mut hostile, mut honest) = (reference!(version), reference!(version));
    let log = writer()?;
    soon(log.append_batch(VARIED.blocks(0..LENGTH)))?;
    hostile.read(log.key())?;
    honest.read(log.key())?;
    let (line, other) = (hostile.dial(&log)?, honest.dial(&log)?);
    hostile.wait_for(LENGTH, false)?;
    honest.wait_for(LENGTH, false)?;

    let mut events = log.events();
    let ask = |from, to| json!({ "from": from, "to": to, "length": LENGTH });
    let limit = u64::from(INVALID_REQUESTS);
    hostile.peer.call("nonsense", ask(1, limit))?;
    for id in 1..=REFUSALS as u64 {
        let refused = hostile.peer.event("refused", SOON)?;
        assert_eq!(refused["id"], id);
        if version == Version::V11 {
            assert_eq!(refused["reason"], 2);
        }
    }
    assert_eq!(log.stats().invalid_requests, limit - 1);
    assert!(events_of_uploads(&mut events).is_empty());
    hostile.peer.call("nonsense", ask(limit, limit + 1))?;
    let ended = line.ended()?;
    let count = INVALID_REQUESTS;
    assert!(
        matches!(
            ended,
            Err(ReplicateError::Fault {
                fault: Fault::InvalidRequests { count: found },
                ..
            }) if found == count
        ),
        "{ended:?}"
    );
    hostile.peer.event("disconnected", SOON)?;
    honest.download(&json!({ "start": 0, "end": LENGTH }))?;
    assert_eq!(honest.facts()?, Facts::of(&log)?);
    other.cut();
    Ok(())
}

/// The blocks that were sent to anybody.
fn events_of_uploads(events: &mut hypercore::Events) -> Vec<u64> {
    std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event {
            hypercore::Event::Upload { index, .. } => Some(index.get()),
            _ => None,
        })
        .collect()
}

/// Who knows where a log is, and not its key, is told nothing there.
fn who_does_not_know_the_key_is_hung_up_on_there(version: Version) -> Result<()> {
    let mut js = reference!(version);
    let key = js.write()?;
    js.append(&VARIED, 0..LENGTH, 100)?;
    let port = js.peer.listen()?;
    let honest = reader(key)?;
    let line = dial(&honest, port)?;
    assert_eq!(soon(honest.get(0))?, VARIED.block(0));

    let (mut stranger, channel) = stranger(port, key, CoreKey([7; 32]))?;
    stranger.say(channel, &nonsense(2));
    let said = soon(async { Ok::<_, anyhow::Error>(stranger.message().await) })?;
    assert_eq!(said, None);
    let error = js.peer.event("stream-error", SOON)?;
    assert_eq!(error["code"], "INVALID_CAPABILITY");
    soon(honest.download(..LENGTH))?;
    line.cut();
    Ok(())
}

/// The same here.
fn who_does_not_know_the_key_is_hung_up_on_here(version: Version) -> Result<()> {
    let (mut hostile, mut honest) = (reference!(version), reference!(version));
    let log = writer()?;
    soon(log.append_batch(VARIED.blocks(0..LENGTH)))?;
    honest.read(log.key())?;
    let other = honest.dial(&log)?;
    honest.wait_for(LENGTH, false)?;

    let door = Door::open()?;
    let discovery_key = hex::encode(log.discovery_key().as_bytes());
    hostile.peer.call(
        "forge",
        json!({ "port": door.port()?, "discoveryKey": discovery_key }),
    )?;
    let ended = door.accept(&log)?.ended()?;
    assert!(
        matches!(ended, Err(ReplicateError::Capability { .. })),
        "{ended:?}"
    );
    let end = hostile.peer.event("forged", SOON)?;
    assert_eq!(end["heard"].as_u64().context("no count")?, 0);
    honest.download(&json!({ "start": 0, "end": LENGTH }))?;
    assert_eq!(log.peers().len(), 1);
    other.cut();
    Ok(())
}

against_both!(
    who_asks_for_nonsense_is_hung_up_on_here,
    who_asks_for_nonsense_is_hung_up_on_there,
    who_does_not_know_the_key_is_hung_up_on_here,
    who_does_not_know_the_key_is_hung_up_on_there,
);
