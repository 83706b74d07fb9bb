//! Logs that replicate with each other, over streams in memory and over TCP.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use async_std::net::{TcpListener, TcpStream};
use async_std::task::{self, block_on};
use futures_lite::future::{self, poll_once};
use hypercore::{
    Ended, Event, GetError, Hypercore, Length, ReplicateError, Replication, Role, Storage,
};

use crate::peers::{asked, block, check_all, connect, reader, soon, writer};
use crate::pipe::{End, pipe};

#[test]
fn a_thousand_blocks_of_all_sizes_arrive() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..1000).map(block)).await.unwrap();
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        // `false` where the new length was already here.
        soon(to.update()).await.unwrap();
        assert_eq!(to.length(), Length::new(1000));
        soon(to.download(..1000)).await.unwrap();
        assert!(to.has(..));
        check_all(&to, 1000).await;
        assert_eq!(to.head(), from.head());
    });
}

#[test]
fn over_tcp_too() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..1000).map(block)).await.unwrap();
        let to = reader(&from).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = from.clone();
        let server = task::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            serving.replicate(stream, Role::Responder).await
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let connection = to.replicate(stream, Role::Initiator);
        let traffic = connection.traffic();
        let client = task::spawn(connection);
        soon(to.download(..1000).linear()).await.unwrap();
        check_all(&to, 1000).await;
        assert!(traffic.bytes_received() > from.byte_length().get());
        assert!(traffic.bytes_sent() > 0);
        client.cancel().await;
        // The stream was dropped in the middle of things: a clean end or a reset, but an end.
        let ended = soon(server).await;
        assert!(
            matches!(ended, Ok(Ended::ByRemote) | Err(ReplicateError::Io(_))),
            "{ended:?}"
        );
    });
}

#[test]
fn ten_blocks_of_many_are_fetched_alone() {
    block_on(async {
        let from = writer().await;
        for start in (0..50_000_u64).step_by(10_000) {
            from.append_batch((start..start + 10_000).map(|n| n.to_string()))
                .await
                .unwrap();
        }
        let to = reader(&from).await;
        let (left, right) = pipe();
        let _server = task::spawn(from.replicate(left, Role::Responder));
        let connection = to.replicate(right, Role::Initiator);
        let traffic = connection.traffic();
        let _client = task::spawn(connection);
        let wanted: Vec<u64> = (0..10).map(|n| n * 4_999 + 3).collect();
        for index in &wanted {
            assert_eq!(soon(to.get(*index)).await.unwrap(), index.to_string());
        }
        assert_eq!(to.count(..), 10);
        assert!(traffic.bytes_received() < 50_000, "{traffic:?}");
    });
}

#[test]
fn what_is_appended_while_connected_follows() {
    block_on(async {
        let from = writer().await;
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        let _all = to.download(..).start();
        for index in 0..20 {
            from.append(block(index)).await.unwrap();
            // Asked for before it is there.
            assert_eq!(soon(to.get(index)).await.unwrap(), block(index));
        }
        let mut watch = to.watch();
        from.append_batch((20..300).map(block)).await.unwrap();
        soon(async { while watch.next().await.unwrap().contiguous_length < Length::new(300) {} })
            .await;
        check_all(&to, 300).await;
    });
}

#[test]
fn a_block_that_does_not_exist_yet_is_waited_for() {
    block_on(async {
        let from = writer().await;
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        let waiting = asked(to.get(2)).await;
        from.append("a").await.unwrap();
        assert_eq!(soon(to.get(0)).await.unwrap(), "a");
        from.append_batch(["b", "c"]).await.unwrap();
        assert_eq!(soon(waiting).await.unwrap(), "c");
        // The writer's own future blocks, too.
        let own = asked(from.get(3)).await;
        from.append("d").await.unwrap();
        assert_eq!(soon(own).await.unwrap(), "d");
    });
}

#[test]
fn a_download_goes_on_after_the_connection_was_lost() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..1000).map(block)).await.unwrap();
        let to = reader(&from).await;
        let mut download = to.download(..1000).start();
        for _ in 0..200 {
            let before = to.count(..);
            let (left, right) = connect(&from, &to);
            soon(async {
                while to.count(..) < (before + 100).min(1000) {
                    task::sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
            left.cancel().await;
            soon(right).await.ok();
            if to.has(..1000) {
                break;
            }
            assert!(poll_once(&mut download).await.is_none());
        }
        soon(download).await.unwrap();
        check_all(&to, 1000).await;
    });
}

#[test]
fn a_relay_passes_on_the_part_that_it_has() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..300).map(block)).await.unwrap();
        let relay = reader(&from).await;
        let (left, right) = connect(&from, &relay);
        soon(relay.download(100..200)).await.unwrap();
        left.cancel().await;
        soon(right).await.ok();

        let to = reader(&from).await;
        let _connection = connect(&relay, &to);
        soon(to.download(100..200)).await.unwrap();
        for index in 100..200 {
            assert_eq!(to.get(index).local().await.unwrap(), block(index));
        }
        assert_eq!((to.length(), to.count(..)), (Length::new(300), 100));
        let error = to
            .get(5)
            .timeout(Duration::from_millis(100))
            .await
            .unwrap_err();
        assert!(matches!(error, GetError::TimedOut { .. }), "{error}");

        // The relay is asked for more than it has, and gets it in its turn.
        let waiting = asked(to.get(5)).await;
        let _source = connect(&from, &relay);
        soon(relay.download(0..10)).await.unwrap();
        assert_eq!(soon(waiting).await.unwrap(), block(5));
    });
}

#[test]
fn several_peers_are_fetched_from_at_once() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..1000).map(block)).await.unwrap();
        let mut sources = Vec::new();
        // The first and the last quarter are at one of them only.
        for part in [0..500, 250..750, 500..1000] {
            let source = reader(&from).await;
            let (left, right) = connect(&from, &source);
            soon(source.download(part)).await.unwrap();
            left.cancel().await;
            soon(right).await.ok();
            sources.push(source);
        }
        let to = reader(&from).await;
        let mut events = to.events();
        let _connections: Vec<_> = sources.iter().map(|source| connect(source, &to)).collect();
        soon(async {
            while to.peers().len() < 3 {
                task::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        soon(to.download(..1000)).await.unwrap();
        check_all(&to, 1000).await;
        let mut from_peer = std::collections::BTreeMap::<u64, u64>::new();
        let mut heard = 0;
        while let Some(event) = events.try_next() {
            if let Event::Download { peer, .. } = event {
                *from_peer.entry(peer.id).or_default() += 1;
                heard += 1;
            }
        }
        assert_eq!(heard, 1000);
        let most = from_peer.values().copied().max();
        assert!(most.is_some_and(|most| most <= 750), "{from_peer:?}");
        assert!(from_peer.len() >= 2, "{from_peer:?}");
    });
}

#[test]
fn who_waits_hears_of_the_downloads_first() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..300).map(block)).await.unwrap();
        let to = reader(&from).await;
        let mut events = to.events();
        let _connection = connect(&from, &to);
        // It may have been upgraded already, before it was asked to.
        soon(to.update()).await.unwrap();
        assert_eq!(to.length().get(), 300);
        // Then nobody waited for it, and the event may be a moment later than the length.
        while !matches!(soon(events.next()).await, Some(Event::Append { .. })) {}
        soon(to.download(..300)).await.unwrap();
        let downloads = std::iter::from_fn(|| events.try_next())
            .filter(|event| matches!(event, Event::Download { .. }));
        assert_eq!(downloads.count(), 300);
    });
}

#[test]
fn events_tell_of_peers_and_blocks() {
    block_on(async {
        let from = writer().await;
        from.append("hello").await.unwrap();
        let to = reader(&from).await;
        let (mut sent, mut received) = (from.events(), to.events());
        let (left, right) = connect(&from, &to);
        soon(to.get(0)).await.unwrap();
        assert!(matches!(received.next().await, Some(Event::PeerAdd(_))));
        let length = Length::new(1);
        let told = Some(Event::RemoteContiguous { length });
        assert_eq!(received.next().await, told);
        assert_eq!(received.next().await, Some(Event::Manifest));
        assert_eq!(
            received.next().await,
            Some(Event::Append {
                length: Length::new(1)
            })
        );
        assert!(matches!(
            received.next().await,
            Some(Event::Download { index, byte_length, .. })
                if index.get() == 0 && byte_length.get() == 5
        ));
        assert!(matches!(sent.next().await, Some(Event::PeerAdd(_))));
        assert!(matches!(sent.next().await, Some(Event::Upload { index, .. }) if index.get() == 0));
        left.cancel().await;
        soon(right).await.ok();
        assert!(matches!(
            soon(received.next()).await,
            Some(Event::PeerRemove(_))
        ));
        // whether the reader still said that it has everything, or not
        let mut last = soon(sent.next()).await;
        if matches!(last, Some(Event::RemoteContiguous { .. })) {
            last = soon(sent.next()).await;
        }
        assert!(matches!(last, Some(Event::PeerRemove(_))));
    });
}

#[test]
fn an_update_waits_for_peers_that_are_being_found() {
    block_on(async {
        let from = writer().await;
        from.append("hello").await.unwrap();
        let to = reader(&from).await;
        let search = to.finding_peers();
        let updating = asked(to.update()).await;
        let _connection = connect(&from, &to);
        assert!(soon(updating).await.unwrap());
        assert_eq!(to.length(), Length::new(1));
        drop(search);
    });
}

#[test]
fn several_logs_share_a_connection() {
    block_on(async {
        let (a, b) = (writer().await, writer().await);
        a.append("a").await.unwrap();
        b.append("b").await.unwrap();
        let (to_a, to_b) = (reader(&a).await, reader(&b).await);
        let (left, right) = pipe();
        let other = writer().await;
        let over = |end: End, role, logs: [&Hypercore; 3]| {
            let [first, second, third] = logs;
            task::spawn(
                Replication::over(end, role)
                    .add(first)
                    .add(second)
                    .add(third)
                    .start(),
            )
        };
        let _server = over(left, Role::Responder, [&a, &b, &other]);
        let third = writer().await;
        let _client = over(right, Role::Initiator, [&to_b, &to_a, &third]);
        assert_eq!(soon(to_a.get(0)).await.unwrap(), "a");
        assert_eq!(soon(to_b.get(0)).await.unwrap(), "b");
        assert!(other.peers().is_empty() && third.peers().is_empty());
    });
}

#[test]
fn a_cancelled_download_leaves_the_rest() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..1000).map(block)).await.unwrap();
        let to = reader(&from).await;
        let download = to.download(..1000).linear().start();
        let (left, right) = pipe();
        let _server = task::spawn(from.replicate(left, Role::Responder));
        let mut client = Box::pin(to.replicate(right, Role::Initiator));
        // Run by hand, so that it stops where this test says.
        let begun = future::poll_fn(|cx| match client.as_mut().poll(cx) {
            Poll::Pending if to.count(..) == 0 => Poll::Pending,
            _ => Poll::Ready(()),
        });
        soon(begun).await;
        download.cancel();
        let _client = task::spawn(client);
        assert_eq!(soon(to.get(999)).await.unwrap(), block(999));
        assert!(to.count(..) < 1000);
    });
}

#[test]
fn encrypted_blocks_are_relayed_by_those_who_cannot_read_them() {
    use hypercore::encryption::EncryptionKey;
    block_on(async {
        let key = || EncryptionKey::from_bytes([5; 32]);
        let builder = Hypercore::builder(Storage::memory()).encryption_key(key());
        let from = builder.open().await.unwrap();
        from.append("secret").await.unwrap();
        let relay = reader(&from).await;
        let (left, right) = connect(&from, &relay);
        assert_ne!(soon(relay.get(0)).await.unwrap(), "secret");
        left.cancel().await;
        soon(right).await.ok();
        let builder = Hypercore::builder(Storage::memory())
            .key(from.key())
            .encryption_key(key());
        let to = builder.open().await.unwrap();
        let _connection = connect(&relay, &to);
        assert_eq!(soon(to.get(0)).await.unwrap(), "secret");
        assert_eq!(to.byte_length().get(), 6);
    });
}

#[test]
fn compat_logs_replicate() {
    block_on(async {
        let from = Hypercore::builder(Storage::memory())
            .compat()
            .open()
            .await
            .unwrap();
        from.append_batch(["a", "b"]).await.unwrap();
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        assert_eq!(soon(to.get(1)).await.unwrap(), "b");
        assert!(to.manifest().is_none() && to.authority().verifier().is_some());
    });
}
