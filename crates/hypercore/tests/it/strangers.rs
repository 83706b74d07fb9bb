//! Remotes that break the rules, on a link driven by hand.

use std::time::Duration;

use async_std::task::{self, block_on};
use futures_lite::future::poll_once;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use hc_encoding::{Encode, Writer};
use hc_merkle::NodeIndex;
use hc_merkle::proof::{HashRequest, Request as Wanted};
use hc_protocol::Side;
use hc_protocol::capability::{ALIAS, ReplicationHandshake, channel_name};
use hc_protocol::link::Event;
use hc_protocol::message::{
    Bitfield, Message, MessageKind, NoDataReason, Request, RequestId, Want,
};
use hc_protocol::mux::{self, Mux, Name, Raw};
use hc_protocol::noise::{KeyPair, Keys, Seed};
use hc_protocol::secret_stream::StreamHeader;
use hc_protocol::secure::{ROOM, SecureEvent, SecureStream};
use hc_replicator::{Fault, Limited};
use hypercore::{CoreKey, Ended, Hypercore, Policy, ReplicateError, Replication, Role, Storage};

use crate::peers::{block, opened, reader, soon};
use crate::pipe::{End, pipe};
use crate::stranger::Stranger;

async fn connect(
    log: &Hypercore,
) -> (
    Stranger<End>,
    task::JoinHandle<Result<Ended, ReplicateError>>,
) {
    let (ours, theirs) = pipe();
    let connection = task::spawn(log.replicate(ours, Role::Responder));
    (Stranger::new(theirs), connection)
}

async fn log() -> Hypercore {
    let log = opened(Storage::memory()).await;
    log.append("secret").await.unwrap();
    log
}

#[test]
fn who_knows_the_discovery_key_alone_is_shown_nothing() {
    block_on(async {
        let log = log().await;
        let (mut stranger, connection) = connect(&log).await;
        stranger.open(log.key(), CoreKey([9; 32])).await;
        let error = connection.await.unwrap_err();
        assert!(
            matches!(error, ReplicateError::Capability { .. }),
            "{error}"
        );
        assert!(error.is_remotes_fault());
        assert!(log.peers().is_empty());
        while let Some(event) = stranger.event().await {
            let said = matches!(event, Event::Channel(mux::Event::Message { .. }));
            assert!(!said, "{event:?}");
        }
    });
}

#[test]
fn a_message_that_does_not_decode_ends_the_connection() {
    block_on(async {
        let log = log().await;
        let (mut stranger, connection) = connect(&log).await;
        let channel = stranger.open(log.key(), log.key()).await;
        let kind = MessageKind::Request.message_type();
        stranger.link.send(channel, kind, &Raw(&[0xff])).unwrap();
        stranger.flush().await;
        let error = connection.await.unwrap_err();
        let malformed = matches!(
            error,
            ReplicateError::Malformed {
                kind: MessageKind::Request,
                ..
            }
        );
        assert!(malformed, "{error}");
    });
}

#[test]
fn messages_of_kinds_that_nobody_knows_are_ignored() {
    block_on(async {
        let log = log().await;
        let (mut stranger, connection) = connect(&log).await;
        let channel = stranger.open(log.key(), log.key()).await;
        stranger
            .link
            .send(channel, mux::MessageType(99), &Raw(&[0xff]))
            .unwrap();
        stranger.flush().await;
        // Still there to say how long the log is.
        loop {
            let event = stranger.event().await.unwrap();
            let Event::Channel(mux::Event::Message { kind, .. }) = event else {
                continue;
            };
            if kind == MessageKind::Sync.message_type() {
                break;
            }
        }
        drop(stranger);
        assert!(matches!(
            connection.await,
            Ok(Ended::ByRemote) | Err(ReplicateError::Io(_))
        ));
    });
}

#[test]
fn channels_of_other_protocols_are_rejected_and_nothing_else() {
    struct Nothing;
    impl Encode for Nothing {
        fn encoded_len(&self) -> usize {
            0
        }
        fn encode(&self, _: &mut Writer<'_>) {}
    }
    block_on(async {
        let log = log().await;
        let (mut stranger, connection) = connect(&log).await;
        stranger.handshake().await;
        let name = Name::new("something/else", &b""[..]);
        let channel = stranger.link.open(&name, &[], &Nothing).unwrap();
        stranger.flush().await;
        loop {
            let event = stranger.event().await.unwrap();
            let Event::Channel(mux::Event::Closed {
                channel: closed,
                reason,
            }) = event
            else {
                continue;
            };
            assert_eq!((closed, reason), (channel, mux::Closed::Rejected));
            break;
        }
        let mut connection = Box::pin(connection);
        let wait = async_std::future::timeout(Duration::from_millis(20), &mut connection);
        assert!(wait.await.is_err(), "the connection goes on");
    });
}

#[test]
fn who_asks_without_end_in_one_frame_is_hung_up_on() {
    block_on(async {
        let log = log().await;
        let (ours, mut theirs) = pipe();
        let connection = task::spawn(log.replicate(ours, Role::Responder));
        let keys = Keys {
            local: KeyPair::from_seed(&Seed::new([1; 32])),
            ephemeral: Seed::new([2; 32]),
        };
        let mut stream = SecureStream::xx(Side::Initiator, keys, StreamHeader([3; 24]));
        let hash = loop {
            theirs.write_all(&stream.take_outgoing()).await.unwrap();
            if let Some(SecureEvent::Handshaken { hash, .. }) = stream.poll().unwrap() {
                break hash;
            }
            let mut buffer = [0; 4096];
            let count = theirs.read(&mut buffer).await.unwrap();
            stream.receive(&buffer[..count]);
        };
        theirs.write_all(&stream.take_outgoing()).await.unwrap();

        let mut mux = Mux::new(ROOM);
        mux.cork();
        let handshake = ReplicationHandshake::new(Side::Initiator, &log.key(), &hash);
        let name = channel_name(&log.discovery_key());
        let channel = mux.open(&name, &[ALIAS], &handshake).unwrap();
        for window in 0..500_000 {
            let want = Message::Want(Want {
                start: window * 4096,
                length: 4096,
                any: false,
            });
            mux.send(channel, want.kind().message_type(), &want)
                .unwrap();
        }
        mux.uncork();
        let mut frame = mux.poll_frame().unwrap();
        assert_eq!(mux.poll_frame(), None, "it is one frame");
        stream.seal(&mut frame).unwrap();
        // Nothing is read, so that no answer leaves.
        theirs.write_all(&frame).await.ok();
        let error = soon(connection).await.unwrap_err();
        let fault = Fault::OverLimit {
            what: Limited::UnansweredWants,
            limit: hc_replicator::limits::UNANSWERED_WANTS,
        };
        assert!(
            matches!(error, ReplicateError::Fault { fault: found, .. } if found == fault),
            "{error}"
        );
    });
}

/// The reference breaks the connection where nodes for a hash are not stored.
#[test]
fn a_hash_that_is_not_stored_is_refused_and_one_past_the_end_makes_no_sense() {
    block_on(async {
        let from = crate::peers::writer().await;
        from.append_batch((0..16).map(block)).await.unwrap();
        let log = reader(&from).await;
        let source = crate::peers::connect(&from, &log);
        soon(log.get(0)).await.unwrap();
        drop(source);
        let (mut stranger, _connection) = connect(&log).await;
        let channel = stranger.open(log.key(), log.key()).await;
        let hash = |index| HashRequest {
            index: NodeIndex::new(index),
            nodes: 0,
        };
        let ask = |id, hash| {
            Message::Request(Request {
                id: RequestId(id),
                fork: log.fork(),
                want: Wanted {
                    hash,
                    ..Wanted::default()
                },
                priority: 0,
            })
        };
        stranger.say(channel, &ask(1, Some(hash(20))));
        stranger.say(channel, &ask(2, Some(hash(40))));
        stranger.say(channel, &ask(3, Some(hash(2))));
        let mut answers = Vec::new();
        while answers.len() < 3 {
            match soon(stranger.message()).await.unwrap() {
                Message::NoData(refusal) => answers.push((refusal.id.0, Some(refusal.reason))),
                Message::Data(data) => answers.push((data.id.0, None)),
                _ => {}
            }
        }
        // what makes no sense is refused later
        assert_eq!(
            answers,
            [
                (1, Some(NoDataReason::NotAvailable)),
                (3, None),
                (2, Some(NoDataReason::Invalid))
            ]
        );
    });
}

#[test]
fn who_makes_all_logs_of_a_connection_hold_too_much_together_is_let_go() {
    block_on(async {
        let mut logs = Vec::new();
        for _ in 0..4 {
            logs.push(log().await);
        }
        let (ours, theirs) = pipe();
        // 1 MiB for all logs, of which 256 KiB and a message for what it has of each
        let replication = Replication::over(ours, Role::Responder).add(&logs[0]);
        let add = |replication: Replication<_>, log| replication.add(log);
        let replication = logs.iter().skip(1).fold(replication, add);
        let policy = Policy::new().memory(2 << 20);
        let mut connection = task::spawn(replication.policy(policy).start());
        let mut stranger = Stranger::new(theirs);
        let hash = stranger.handshake().await;
        for (at, log) in logs.iter().enumerate() {
            let handshake = ReplicationHandshake::new(Side::Initiator, &log.key(), &hash);
            let name = channel_name(&log.discovery_key());
            let channel = stranger.link.open(&name, &[ALIAS], &handshake).unwrap();
            let every_other = Message::Bitfield(Bitfield {
                start: 0,
                words: vec![0x5555_5555; 65_536],
            });
            stranger.say(channel, &every_other);
            stranger.flush().await;
            if at == 3 {
                break;
            }
            let told = || {
                log.peer_states()
                    .iter()
                    .any(|peer| peer.stats.received.bitfield == 1)
            };
            soon(async {
                while !told() {
                    task::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            assert!(poll_once(&mut connection).await.is_none(), "{at}");
        }
        let error = soon(connection).await.unwrap_err();
        assert!(
            matches!(error, ReplicateError::TooMuchHeld { limit } if limit == 1 << 20),
            "{error}"
        );
        assert!(error.is_remotes_fault());
    });
}
