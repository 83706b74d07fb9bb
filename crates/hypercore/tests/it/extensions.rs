//! Messages beside a log: who hears them, in which order, and what ends that.

use async_std::task::block_on;
use hypercore::{Event, ExtensionError, Hypercore};

use crate::peers::{connect, reader, soon, writer};

async fn connected(a: &Hypercore, b: &Hypercore) {
    let both = async {
        while a.peers().is_empty() || b.peers().is_empty() {
            async_std::task::yield_now().await;
        }
    };
    soon(both).await;
}

#[test]
fn messages_come_in_order_with_the_peer_that_sent_them() {
    block_on(async {
        let from = writer().await;
        let to = reader(&from).await;
        let sender = from.extension("test/order").unwrap();
        let mut receiver = to.extension("test/order").unwrap();
        assert_eq!(sender.broadcast("nobody is there").unwrap(), 0);
        let _connection = connect(&from, &to);
        connected(&from, &to).await;
        let peer = to.peers()[0];
        for message in ["hello", "", "world"] {
            assert_eq!(sender.broadcast(message).unwrap(), 1);
        }
        for message in ["hello", "", "world"] {
            let came = soon(receiver.next()).await.unwrap();
            assert_eq!(came.message, message);
            assert_eq!(came.peer, peer);
        }
        // and back, to that peer
        let mut back = from.extension("test/order").unwrap();
        receiver.send(&peer, "back").unwrap();
        assert_eq!(soon(back.next()).await.unwrap().message, "back");
        assert_eq!(receiver.lost(), 0);
    });
}

#[test]
fn what_nobody_registered_is_ignored_and_may_be_registered_later() {
    block_on(async {
        let from = writer().await;
        let to = reader(&from).await;
        let (known, unknown) = (
            from.extension("known").unwrap(),
            from.extension("late").unwrap(),
        );
        let mut heard = to.extension("known").unwrap();
        let _connection = connect(&from, &to);
        connected(&from, &to).await;
        unknown.broadcast("unheard").unwrap();
        known.broadcast("a").unwrap();
        unknown.broadcast("unheard too").unwrap();
        known.broadcast("b").unwrap();
        assert_eq!(soon(heard.next()).await.unwrap().message, "a");
        assert_eq!(soon(heard.next()).await.unwrap().message, "b");
        let mut late = to.extension("late").unwrap();
        unknown.broadcast("heard").unwrap();
        assert_eq!(soon(late.next()).await.unwrap().message, "heard");
        assert!(late.try_next().is_none());
    });
}

#[test]
fn every_handle_listens_for_itself_until_it_is_closed() {
    block_on(async {
        let from = writer().await;
        let to = reader(&from).await;
        let sender = from.extension("test/handles").unwrap();
        let mut first = to.extension("test/handles").unwrap();
        let mut second = to.extension("test/handles").unwrap();
        let session = to.clone();
        let mut beside = session.extension("test/handles").unwrap();
        // registered again on one handle: the first hears no more
        assert!(soon(first.next()).await.is_none());
        let _connection = connect(&from, &to);
        connected(&from, &to).await;
        sender.broadcast("to both").unwrap();
        assert_eq!(soon(second.next()).await.unwrap().message, "to both");
        assert_eq!(soon(beside.next()).await.unwrap().message, "to both");
        session.close().await.unwrap();
        assert!(soon(beside.next()).await.is_none());
        assert_eq!(beside.broadcast("x"), Err(ExtensionError::Closed));
        assert_eq!(session.extension("y").err(), Some(ExtensionError::Closed));
        sender.broadcast("to one").unwrap();
        assert_eq!(soon(second.next()).await.unwrap().message, "to one");
    });
}

#[test]
fn what_cannot_be_sent_is_an_error() {
    block_on(async {
        let from = writer().await;
        let to = reader(&from).await;
        let longest = "n".repeat(1024);
        let mut sent = from.extension(longest.clone()).unwrap();
        let received = to.extension(longest).unwrap();
        let too_long = from.extension("n".repeat(1025)).err();
        assert_eq!(too_long, Some(ExtensionError::NameTooLong { len: 1025 }));
        let mut events = to.events();
        let (left, right) = connect(&from, &to);
        connected(&from, &to).await;
        let peer = to.peers()[0];
        let largest = vec![7; hypercore::limits::MAX_BLOCK_BYTES];
        received.send(&peer, largest.clone()).unwrap();
        assert_eq!(soon(sent.next()).await.unwrap().message, largest);
        let len = hypercore::limits::MAX_BLOCK_BYTES + 1;
        assert_eq!(
            received.broadcast(vec![0; len]),
            Err(ExtensionError::MessageTooLong { len })
        );
        left.cancel().await;
        soon(right).await.ok();
        soon(async { while !matches!(events.next().await, Some(Event::PeerRemove(_))) {} }).await;
        assert_eq!(received.send(&peer, "gone"), Err(ExtensionError::NoPeer));
    });
}

#[test]
fn a_peer_that_does_not_read_does_not_pile_messages_up() {
    block_on(async {
        let from = writer().await;
        let to = reader(&from).await;
        let sender = from.extension("test/flood").unwrap();
        let (left, right) = crate::pipe::pipe();
        let mut left = Box::pin(from.replicate(left, hypercore::Role::Initiator));
        let mut right = Box::pin(to.replicate(right, hypercore::Role::Responder));
        let connected = async {
            while from.peers().is_empty() {
                async_std::task::yield_now().await;
            }
        };
        let both = futures_lite::future::zip(&mut left, &mut right);
        futures_lite::future::or(async { drop(both.await) }, connected).await;
        // from here on the other side is not run, and this one whenever it has something to send
        let peer = from.peers()[0];
        let mut sent = 0;
        while sender.send(&peer, vec![0; 64 * 1024]).is_ok() {
            sent += 1;
            assert!(sent < 1000, "{sent} messages");
            assert!(futures_lite::future::poll_once(&mut left).await.is_none());
        }
        assert_eq!(sender.send(&peer, "x"), Err(ExtensionError::Busy));
        assert_eq!(sender.broadcast("x"), Ok(0));
    });
}
