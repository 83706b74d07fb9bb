//! Logs that were cut, before anybody read them and after.

use std::sync::Arc;

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hc_merkle::{Fork, KeyPair, Length, Manifest, NodeIndex, Truncation, Verifier};
use hc_storage::{Batch, CoreStore, Durability, MemoryStore, Store};
use hypercore::{Event, GetError, Hypercore, Storage};

use crate::peers::{asked, block, connect, disconnect, reader, soon};

pub(crate) const SEED: [u8; 32] = [7; 32];

/// Cuts a stored log to a length, which begins a new fork.
pub(crate) fn cut(log: &dyn CoreStore, length: u64) {
    let head = log.head().unwrap();
    let fork = Fork::new(head.fork().get() + 1);
    let truncation = Truncation::new(&head, Length::new(length), fork).unwrap();
    let indexes: &[NodeIndex] = truncation.nodes();
    let mut nodes = Vec::new();
    log.nodes(indexes, &mut nodes).unwrap();
    let keys = KeyPair::from_seed(&SEED);
    let verifier = Verifier::from_manifest(Manifest::single(keys.public_key())).unwrap();
    let draft = truncation.apply(&nodes).unwrap();
    let change = draft
        .seal(|head| verifier.sign(&keys, &head.signed_tree()))
        .unwrap();
    let ticket = log.commit(Batch::from_change(&change), Durability::Os);
    ticket.unwrap().wait().unwrap();
}

async fn open(store: &Arc<dyn Store>) -> Hypercore {
    let builder = Hypercore::builder(Storage::open(store.clone())).seed(&SEED);
    builder.open().await.unwrap()
}

/// A writer on fork 3, with 50 blocks of its own.
async fn forked_writer() -> Hypercore {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    for length in [10, 5, 20] {
        let writer = open(&store).await;
        let from = writer.length().get();
        writer.append_batch((from..30).map(block)).await.unwrap();
        writer.close().await.unwrap();
        let log = store.open_core(&writer.discovery_key()).unwrap().unwrap();
        cut(&*log, length);
    }
    let writer = open(&store).await;
    writer.append_batch((20..50).map(block)).await.unwrap();
    writer
}

#[test]
fn an_empty_reader_takes_over_the_fork_of_its_writer_and_keeps_it() {
    block_on(async {
        let from = forked_writer().await;
        assert_eq!(
            (from.fork(), from.length()),
            (Fork::new(3), Length::new(50))
        );
        let place = tempfile::tempdir().unwrap();
        let reader = || Hypercore::builder(Storage::disk(place.path())).key(from.key());
        let to = reader().open().await.unwrap();
        let connection = connect(&from, &to);
        let early = soon(to.get(49)).await.unwrap();
        assert_eq!(early, block(49));
        soon(to.download(..50)).await.unwrap();
        for index in 0..50 {
            assert_eq!(to.get(index).local().await.unwrap(), block(index));
        }
        assert_eq!(to.head(), from.head());
        // and goes on with it
        from.append(block(50)).await.unwrap();
        assert_eq!(soon(to.get(50)).await.unwrap(), block(50));
        disconnect(connection).await;
        to.close().await.unwrap();
        let to = reader().open().await.unwrap();
        assert_eq!(to.head(), from.head());
        assert!(to.has(..51));
    });
}

/// A writer in a store of its own, so that it can be cut.
struct Writer {
    store: Arc<dyn Store>,
    log: Hypercore,
}

impl Writer {
    async fn new(blocks: u64) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let log = open(&store).await;
        log.append_batch((0..blocks).map(block)).await.unwrap();
        Self { store, log }
    }

    /// Goes back to a length, and from there on another way.
    async fn rewrite(&mut self, length: u64, end: u64) {
        self.log.close().await.unwrap();
        let log = self.store.open_core(&self.log.discovery_key());
        cut(&*log.unwrap().unwrap(), length);
        self.log = open(&self.store).await;
        let blocks = (length..end).map(other);
        self.log.append_batch(blocks).await.unwrap();
    }
}

/// What stands at an index after the log was cut.
fn other(index: u64) -> Vec<u8> {
    format!("another block {index}").into_bytes()
}

async fn check_forked(log: &Hypercore, shared: u64, end: u64) {
    for index in 0..end {
        let expected = if index < shared {
            block(index)
        } else {
            other(index)
        };
        assert_eq!(log.get(index).local().await.unwrap(), expected, "{index}");
    }
}

#[test]
fn a_reader_follows_its_writer_and_keeps_what_both_share_on_disk_too() {
    block_on(async {
        let mut from = Writer::new(50).await;
        let place = tempfile::tempdir().unwrap();
        let key = from.log.key();
        let reader = || Hypercore::builder(Storage::disk(place.path())).key(key);
        let to = reader().open().await.unwrap();
        let connection = connect(&from.log, &to);
        soon(to.download(..50)).await.unwrap();
        disconnect(connection).await;
        from.rewrite(30, 80).await;

        let mut events = to.events();
        let connection = connect(&from.log, &to);
        let (mut truncated, mut grown) = (None, None);
        while grown.is_none() {
            match soon(events.next()).await.unwrap() {
                Event::Truncate { length, fork } => truncated = Some((length, fork)),
                Event::Append { length } => grown = Some(length),
                _ => {}
            }
        }
        assert_eq!(truncated, Some((Length::new(30), Fork::new(1))));
        assert_eq!(grown, Some(Length::new(80)));
        assert_eq!(to.contiguous_length(), Length::new(30));
        soon(to.download(..80)).await.unwrap();
        assert_eq!(to.contiguous_length(), Length::new(80));
        let mut fetched = Vec::new();
        while let Some(event) = events.try_next() {
            if let Event::Download { index, .. } = event {
                fetched.push(index.get());
            }
        }
        fetched.sort_unstable();
        assert_eq!(fetched, (30..80).collect::<Vec<_>>());
        check_forked(&to, 30, 80).await;
        assert_eq!(to.head(), from.log.head());
        disconnect(connection).await;
        to.close().await.unwrap();
        let to = reader().open().await.unwrap();
        assert_eq!(to.head(), from.log.head());
        assert!(to.verify(|_| {}).unwrap().is_ok());
        check_forked(&to, 30, 80).await;
    });
}

#[test]
fn gets_of_blocks_that_are_gone_fail_and_others_go_on() {
    block_on(async {
        let mut from = Writer::new(20).await;
        let to = reader(&from.log).await;
        let connection = connect(&from.log, &to);
        soon(to.download_blocks((0..12).filter(|index| *index != 3)))
            .await
            .unwrap();
        disconnect(connection).await;
        let gone = asked(to.get(15)).await;
        let later = asked(to.get(25)).await;
        let kept = asked(to.get(3)).await;
        from.rewrite(12, 30).await;
        let _connection = connect(&from.log, &to);
        let gone = soon(gone).await;
        assert!(matches!(gone, Err(GetError::Truncated { .. })), "{gone:?}");
        assert_eq!(soon(kept).await.unwrap(), block(3));
        assert_eq!(soon(later).await.unwrap(), other(25));
    });
}

/// It cannot tell what it shares with the later fork, but that what comes after a root that differs is gone.
#[test]
fn who_holds_no_block_waits_for_what_both_forks_may_share() {
    block_on(async {
        let mut from = Writer::new(20).await;
        let to = reader(&from.log).await;
        let connection = connect(&from.log, &to);
        let mut watch = to.watch();
        while to.length() < Length::new(20) {
            soon(watch.next()).await.unwrap();
        }
        disconnect(connection).await;
        assert_eq!((to.length(), to.count(..)), (Length::new(20), 0));
        let mut gets = [3, 13, 18, 25].map(|index| to.get(index).into_future());
        for get in &mut gets {
            assert!(poll_once(get).await.is_none());
        }
        from.rewrite(12, 30).await;
        let _connection = connect(&from.log, &to);
        let [shared, unknown, gone, later] = gets;
        assert_eq!(soon(shared).await.unwrap(), block(3));
        assert_eq!(soon(unknown).await.unwrap(), other(13));
        assert_eq!(soon(later).await.unwrap(), other(25));
        let gone = soon(gone).await;
        assert!(matches!(gone, Err(GetError::Truncated { .. })), "{gone:?}");
    });
}

#[test]
fn who_was_told_not_to_follow_stays_where_it_is() {
    block_on(async {
        let mut from = Writer::new(20).await;
        let builder = Hypercore::builder(Storage::memory()).key(from.log.key());
        let to = builder.follow_forks(false).open().await.unwrap();
        let connection = connect(&from.log, &to);
        soon(to.download(..20)).await.unwrap();
        disconnect(connection).await;
        from.rewrite(10, 40).await;
        let _connection = connect(&from.log, &to);
        assert!(!soon(to.update()).await.unwrap());
        assert_eq!((to.fork(), to.length()), (Fork::ZERO, Length::new(20)));
        assert_eq!(to.get(15).local().await.unwrap(), block(15));
    });
}

#[test]
fn a_fork_travels_on_and_a_stale_writer_follows_it_too() {
    block_on(async {
        let mut from = Writer::new(40).await;
        let (relay, to) = (reader(&from.log).await, reader(&from.log).await);
        let first = connect(&from.log, &relay);
        let _second = connect(&relay, &to);
        soon(relay.download(..40)).await.unwrap();
        soon(to.download(..40)).await.unwrap();
        disconnect(first).await;
        from.rewrite(25, 60).await;
        let _first = connect(&from.log, &relay);
        soon(relay.get(59)).await.unwrap();
        soon(relay.download(..60)).await.unwrap();
        soon(to.get(59)).await.unwrap();
        soon(to.download(..60)).await.unwrap();
        check_forked(&to, 25, 60).await;
        assert_eq!(to.head(), from.log.head());
    });
}

#[test]
fn a_snapshot_of_a_part_goes_on_with_what_both_forks_share() {
    block_on(async {
        let mut from = Writer::new(40).await;
        let to = reader(&from.log).await;
        let connection = connect(&from.log, &to);
        let held = (0..24).filter(|index| ![3, 11].contains(index)).chain([30]);
        soon(to.download_blocks(held)).await.unwrap();
        let snapshot = to.snapshot().unwrap();
        disconnect(connection).await;
        from.rewrite(24, 60).await;
        let _connection = connect(&from.log, &to);
        assert_eq!(soon(to.get(59)).await.unwrap(), other(59));
        assert_eq!(snapshot.length(), Length::new(40));
        assert_eq!(snapshot.fork(), Fork::ZERO);
        // shared, and not stored here when it was taken
        assert_eq!(soon(snapshot.get(3)).await.unwrap(), block(3));
        // stored, and gone from the log
        assert_eq!(snapshot.get(30).await.unwrap(), block(30));
        // neither
        let gone = soon(snapshot.get(35)).await;
        assert!(matches!(gone, Err(GetError::Truncated { .. })), "{gone:?}");
    });
}
