//! Logs that were cut before anybody read them.

use std::sync::Arc;

use async_std::task::block_on;
use hc_merkle::{Fork, KeyPair, Length, Manifest, NodeIndex, Truncation, Verifier};
use hc_storage::{Batch, CoreStore, Durability, MemoryStore, Store};
use hypercore::{Hypercore, Storage};

use crate::peers::{block, connect, soon};

const SEED: [u8; 32] = [7; 32];

/// Cuts a stored log to a length, which begins a new fork.
fn cut(log: &dyn CoreStore, length: u64) {
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
        drop(connection);
        to.close().await.unwrap();
        let to = reader().open().await.unwrap();
        assert_eq!(to.head(), from.head());
        assert!(to.has(..51));
    });
}
