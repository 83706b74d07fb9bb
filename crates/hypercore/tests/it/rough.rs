//! Rough use: connections that are killed, sessions that come and go, peers that cannot be told apart,
//! heads that nobody signed.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_std::task::{self, block_on};
use hc_merkle::Draft;
use hc_storage::{Batch, Durability, MemoryStore, Store};
use hypercore::{
    Event, Events, GetError, Hypercore, Length, ReplicateError, Replication, Role, Storage, Wait,
};

use crate::peers::{asked, block, check_all, connect, disconnect, reader, soon, writer};
use crate::pipe::pipe;

async fn written(blocks: u64) -> Hypercore {
    let from = writer().await;
    from.append_batch((0..blocks).map(block)).await.unwrap();
    from
}

/// Waits for so many more blocks; notes which, and that none comes twice.
async fn note(events: &mut Events, more: usize, came: &mut BTreeSet<u64>) {
    let mut left = more;
    while left > 0 {
        if let Event::Download { index, .. } = soon(events.next()).await.unwrap() {
            assert!(came.insert(index.get()), "block {index} came twice");
            left -= 1;
        }
    }
}

#[test]
fn of_a_download_that_is_killed_twenty_times_no_block_comes_twice_and_no_get_is_lost() {
    const BLOCKS: u64 = 1200;
    block_on(async {
        let from = written(BLOCKS).await;
        let to = reader(&from).await;
        let mut events = to.events();
        let mut came = BTreeSet::new();
        let download = to.download(..BLOCKS).start();
        let mut gets = Vec::new();
        for round in 0..20 {
            for index in [round * 7, BLOCKS - 1 - round * 11] {
                let get = task::spawn(to.get(index).into_future());
                gets.push((index, get));
            }
            let connection = connect(&from, &to);
            note(&mut events, 20, &mut came).await;
            disconnect(connection).await;
        }
        assert!(came.len() < 1200, "it was killed in the middle");
        let _connection = connect(&from, &to);
        soon(download).await.unwrap();
        for (index, get) in gets {
            assert_eq!(soon(get).await.unwrap(), block(index));
        }
        let rest = 1200 - came.len();
        note(&mut events, rest, &mut came).await;
        check_all(&to, BLOCKS).await;
    });
}

#[test]
fn five_hundred_sessions_come_and_go_in_the_middle_of_a_get() {
    block_on(async {
        let from = written(40).await;
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        for round in 0..500_u64 {
            let session = to.clone();
            // half of what is asked for exists
            let get = task::spawn(session.get(round % 80).into_future());
            if round % 3 == 0 {
                task::yield_now().await;
            }
            session.close().await.unwrap();
            match soon(get).await {
                Ok(value) => assert_eq!(value, block(round % 80)),
                Err(error) => assert!(matches!(error, GetError::Closed), "{error}"),
            }
        }
        soon(to.download(..40)).await.unwrap();
        check_all(&to, 40).await;
        // nothing is asked for any more
        assert_eq!(to.peers().len(), 1);
        from.append(block(40)).await.unwrap();
        assert_eq!(soon(to.get(40)).await.unwrap(), block(40));
    });
}

#[test]
fn two_peers_with_one_key_are_told_apart() {
    block_on(async {
        let from = written(50).await;
        let to = reader(&from).await;
        let mut running = Vec::new();
        for _ in 0..2 {
            let (left, right) = pipe();
            let server = Replication::over(left, Role::Responder).add(&from);
            running.push(task::spawn(server.identity([4; 32]).start()));
            running.push(task::spawn(to.replicate(right, Role::Initiator)));
        }
        soon(to.download(..50)).await.unwrap();
        let mut peers = to.peers();
        while peers.len() < 2 {
            task::yield_now().await;
            peers = to.peers();
        }
        assert_eq!(peers[0].public_key, peers[1].public_key);
        assert_ne!(peers[0].id, peers[1].id);
        // one goes, the other stays
        running.swap_remove(0).cancel().await;
        from.append(block(50)).await.unwrap();
        assert_eq!(soon(to.get(50)).await.unwrap(), block(50));
    });
}

#[test]
fn five_logs_share_a_connection_that_one_of_them_joins_late() {
    block_on(async {
        let mut pairs = Vec::new();
        for _ in 0..5 {
            let from = written(60).await;
            let to = reader(&from).await;
            pairs.push((from, to));
        }
        let (left, right) = pipe();
        let [first, .., last] = pairs.as_slice() else {
            return;
        };
        let mut server = Replication::over(left, Role::Responder).add(&first.0);
        let mut client = Replication::over(right, Role::Initiator).add(&first.1);
        for (from, to) in &pairs[1..4] {
            server = server.add(from);
            client = client.add(to);
        }
        let (server, client) = (server.start(), client.start());
        let (serving, asking) = (server.logs(), client.logs());
        let _running = (task::spawn(server), task::spawn(client));
        soon(first.1.download(..60)).await.unwrap();
        asking.add(&last.1);
        let early = asked(last.1.get(7)).await;
        serving.add(&last.0);
        assert_eq!(soon(early).await.unwrap(), block(7));
        for (_, to) in &pairs {
            soon(to.download(..60)).await.unwrap();
            check_all(to, 60).await;
        }
    });
}

/// The only signer of the log, but not over what is stored.
#[test]
fn a_head_that_nobody_signed_reaches_nobody() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let builder = || Hypercore::builder(Storage::open(store.clone())).seed(&[7; 32]);
        let from = builder().open().await.unwrap();
        from.append("signed").await.unwrap();
        let key = from.discovery_key();
        from.close().await.unwrap();
        let log = store.open_core(&key).unwrap().unwrap();
        let mut draft = Draft::new(&log.head().unwrap());
        draft
            .append([hypercore::Bytes::from_static(b"not signed")])
            .unwrap();
        let old = log.head().unwrap().signature().cloned().unwrap();
        let change = draft
            .seal(|_| Ok::<_, std::convert::Infallible>(old))
            .unwrap();
        let batch = Batch::from_change(&change);
        log.commit(batch, Durability::Os).unwrap().wait().unwrap();
        let from = builder().open().await.unwrap();
        assert_eq!(from.length(), Length::new(2));

        let to = reader(&from).await;
        let (_serving, asking) = connect(&from, &to);
        let error = soon(asking).await.unwrap_err();
        let bad = matches!(
            &error,
            ReplicateError::Fault {
                fault: hc_replicator::Fault::BadData(_),
                ..
            }
        );
        assert!(bad && error.is_remotes_fault(), "{error}");
        assert_eq!(to.length(), Length::ZERO);
        assert!(!to.is_closed());
    });
}

#[test]
fn an_update_of_an_empty_log_and_of_one_that_is_written_ends() {
    block_on(async {
        let from = writer().await;
        let to = reader(&from).await;
        let connection = connect(&from, &to);
        assert!(!soon(to.update()).await.unwrap());
        assert!(!soon(from.update()).await.unwrap());
        // nobody was found
        let lonely = reader(&from).await;
        let search = lonely.finding_peers();
        let update = asked(lonely.update()).await;
        drop(search);
        assert!(!soon(update).await.unwrap());
        // a writer asks too: a copy of it may be ahead
        disconnect(connection).await;
        let twin = || Hypercore::builder(Storage::memory()).seed(&[3; 32]);
        let (ahead, behind) = (twin().open().await.unwrap(), twin().open().await.unwrap());
        ahead.append("one").await.unwrap();
        let _finding = behind.finding_peers();
        let update = asked(behind.update()).await;
        let _connection = connect(&ahead, &behind);
        assert!(soon(update).await.unwrap());
        assert_eq!(behind.head(), ahead.head());
    });
}

#[test]
fn seeks_of_a_session_wait_as_long_as_it_says() {
    block_on(async {
        let from = written(64).await;
        let to = reader(&from).await;
        let at_once = to.session().wait(Wait::No).open().unwrap();
        let byte = from.byte_length().get() / 2;
        assert!(at_once.seek(byte).await.is_err());
        let _connection = connect(&from, &to);
        // `false` where the new length was already here
        soon(to.update()).await.unwrap();
        assert_eq!(to.length(), from.length());
        assert!(at_once.seek(byte).await.is_err());
        let found = soon(at_once.seek(byte).wait(Wait::Forever)).await.unwrap();
        assert_eq!(found, from.seek_local(byte).unwrap());
        assert_eq!(at_once.seek(byte).await.unwrap(), found);
    });
}
