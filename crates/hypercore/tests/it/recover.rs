//! Logs that have lost a part of their tree: opened, shown to nobody, and made whole by others.

use std::sync::Arc;
use std::time::Duration;

use async_std::task::{self, block_on};
use hc_storage::fault::FaultDisk;
use hc_storage::{DiskStore, Store, StoreOptions};
use hypercore::{
    AppendError, Event, Events, GetError, Hypercore, KeyPair, Length, RecoverError, RemoteProof,
    Storage, TruncateError, Wait,
};

use crate::peers::{connect, disconnect, opened, reader, soon, writer};

const SEGMENT: &str = "log/00000000.seg";

/// Blocks of a round, each round a frame.
const ROUND: u64 = 6;

/// Four rounds: the roots are over the first 16 blocks, and over the 8 after those.
const LENGTH: u64 = 4 * ROUND;

fn options() -> StoreOptions {
    StoreOptions::default().create(true).background(false)
}

fn pair() -> KeyPair {
    KeyPair::from_seed(&[3; 32])
}

async fn on(store: &Arc<DiskStore>) -> Hypercore {
    let store: Arc<dyn Store> = store.clone();
    opened(Storage::open(store)).await
}

fn blocks(range: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    range.map(|index| format!("block {index}"))
}

/// The same log in memory, as long as it is to be.
async fn copy(length: u64) -> Hypercore {
    let log = Hypercore::builder(Storage::memory()).key_pair(pair());
    let log = log.open().await.unwrap();
    log.append_batch(blocks(0..length)).await.unwrap();
    let copy = reader(&log).await;
    let _connection = connect(&log, &copy);
    if length > 0 {
        soon(copy.download(..length)).await.unwrap();
    }
    copy
}

/// A writer's store on which the frame of one round is damaged, and the index lost with it.
async fn damaged(round: usize) -> (FaultDisk, Arc<DiskStore>) {
    let disk = FaultDisk::new();
    let store = Arc::new(disk.open(options()).unwrap());
    let log: Arc<dyn Store> = store.clone();
    let log = Hypercore::builder(Storage::open(log)).key_pair(pair());
    let log = log.open().await.unwrap();
    let mut starts = Vec::new();
    for start in (0..LENGTH / ROUND).map(|round| round * ROUND) {
        starts.push(disk.read(SEGMENT).unwrap_or_default().len());
        log.append_batch(blocks(start..start + ROUND))
            .await
            .unwrap();
    }
    log.close().await.unwrap();
    store.close().unwrap();
    let mut bytes = disk.read(SEGMENT).unwrap();
    bytes[starts[round] + 50] ^= 0x20;
    disk.write(SEGMENT, bytes);
    disk.delete_index();
    let store = Arc::new(disk.open(options()).unwrap());
    (disk, store)
}

/// The third round made the root over 16 blocks.
async fn rootless() -> (FaultDisk, Arc<DiskStore>, Hypercore) {
    let (disk, store) = damaged(2).await;
    let log = on(&store).await;
    (disk, store, log)
}

/// What is told of repairs.
fn told(events: &mut Events) -> Vec<Event> {
    let repairs = [Event::Repairing, Event::Repaired, Event::RepairFailed];
    std::iter::from_fn(|| events.try_next())
        .filter(|event| repairs.contains(event))
        .collect()
}

async fn is_whole_again(log: &Hypercore, like: &Hypercore) {
    assert_eq!(log.repairing(), None);
    assert_eq!(log.head(), like.head());
    for index in (0..12).chain(18..LENGTH) {
        assert_eq!(
            log.get(index).local().await.unwrap(),
            format!("block {index}")
        );
    }
    assert_eq!(log.count(..), LENGTH - ROUND);
}

#[test]
fn a_log_without_roots_is_opened_and_read_and_takes_nothing() {
    block_on(async {
        let (_disk, _store, log) = rootless().await;
        let lost = log.repairing().unwrap();
        assert_eq!((lost.fork.get(), lost.length), (0, Length::new(LENGTH)));
        assert_eq!(log.length(), Length::ZERO);
        assert_eq!(
            log.get(0).local().await.unwrap(),
            "block 0",
            "what is here is read"
        );
        let refused = log.append("more").await;
        assert!(
            matches!(refused, Err(AppendError::Repairing)),
            "{refused:?}"
        );
        let refused = log.truncate(0).await;
        assert!(
            matches!(refused, Err(TruncateError::Repairing)),
            "{refused:?}"
        );
        let refused = log.propose(["more"]).await;
        assert!(matches!(refused, Err(AppendError::Repairing)));
        assert!(log.prove().make().is_err());
    });
}

#[test]
fn the_first_peer_that_can_brings_the_roots_back() {
    block_on(async {
        let (disk, store, log) = rootless().await;
        let peer = copy(LENGTH).await;
        let mut events = log.events();
        let connection = connect(&log, &peer);
        while soon(events.next()).await != Some(Event::Repaired) {}
        is_whole_again(&log, &peer).await;
        // What was lost with them comes when it is asked for.
        assert_eq!(soon(log.get(13)).await.unwrap(), "block 13");
        soon(log.download(..LENGTH)).await.unwrap();
        assert!(log.verify(|_| {}).unwrap().is_ok());
        disconnect(connection).await;

        // Nobody can say yet whether the damage took appends with it that nobody has seen.
        assert!(log.append("more").await.is_err());
        store.repair(&mut |_| {}).unwrap();
        log.append("more").await.unwrap();
        log.close().await.unwrap();
        store.close().unwrap();
        let store = Arc::new(disk.open(options()).unwrap());
        let log = on(&store).await;
        assert_eq!(
            (log.repairing(), log.length()),
            (None, Length::new(LENGTH + 1))
        );
        assert!(log.has(..));
        assert!(log.verify(|_| {}).unwrap().is_ok());
    });
}

#[test]
fn a_proof_that_came_another_way_brings_them_back() {
    block_on(async {
        let (disk, store, log) = rootless().await;
        let peer = copy(LENGTH).await;
        let mut events = log.events();
        let bytes = peer.prove().make().unwrap().to_bytes();
        log.recover(&RemoteProof::from_bytes(&bytes).unwrap())
            .await
            .unwrap();
        assert_eq!(told(&mut events), [Event::Repairing, Event::Repaired]);
        is_whole_again(&log, &peer).await;
        log.close().await.unwrap();
        store.close().unwrap();
        let log = on(&Arc::new(disk.open(options()).unwrap())).await;
        is_whole_again(&log, &peer).await;
    });
}

#[test]
fn inner_nodes_and_a_block_come_back_with_a_proof() {
    block_on(async {
        let (_disk, store) = damaged(1).await;
        let log = on(&store).await;
        assert_eq!((log.repairing(), log.length()), (None, Length::new(LENGTH)));
        let bad = log.verify(|_| {}).unwrap().bad;
        assert!(
            !bad.is_empty(),
            "blocks are here that nothing ties to the roots"
        );
        let unknown = log.tree_hash(8).wait(Wait::No).await;
        assert!(
            unknown.is_err(),
            "the root over the first 8 blocks is not there"
        );
        let peer = copy(LENGTH).await;
        for block in 6..12 {
            let gone = log.get(block).local().await;
            assert!(matches!(gone, Err(GetError::NotLocal { .. })), "{gone:?}");
            let proof = peer.prove().block(block).make().unwrap();
            log.recover(&proof).await.unwrap();
            assert_eq!(
                log.get(block).local().await.unwrap(),
                format!("block {block}")
            );
        }
        assert!(log.verify(|_| {}).unwrap().is_ok());
        assert!(log.has(..));
        assert_eq!(
            log.tree_hash(LENGTH).await.unwrap(),
            peer.head().tree_hash()
        );
    });
}

#[test]
fn a_shorter_peer_does_not_make_a_log_forget() {
    block_on(async {
        let (_disk, _store, log) = rootless().await;
        let (shorter, peer) = (copy(LENGTH - 1).await, copy(LENGTH + 5).await);
        let mut events = log.events();
        let _connection = connect(&log, &shorter);
        while !matches!(soon(events.next()).await, Some(Event::PeerAdd(_))) {}
        task::sleep(Duration::from_millis(100)).await;
        assert!(log.repairing().is_some());
        assert_eq!(told(&mut events), []);
        let proof = shorter.prove().make().unwrap();
        assert!(matches!(
            log.recover(&proof).await,
            Err(RecoverError::Proof(_))
        ));

        let _connection = connect(&log, &peer);
        while soon(events.next()).await != Some(Event::Repaired) {}
        assert_eq!(log.head(), peer.head());
    });
}

#[test]
fn what_does_not_hold_or_does_not_fit_changes_nothing() {
    block_on(async {
        let (_disk, _store, log) = rootless().await;
        let mut events = log.events();
        let peer = copy(LENGTH).await;
        let mut bytes = peer.prove().make().unwrap().to_bytes();
        bytes[32 + 25] ^= 1;
        let tampered = RemoteProof::from_bytes(&bytes).unwrap();
        assert!(matches!(
            log.recover(&tampered).await,
            Err(RecoverError::Proof(_))
        ));

        // Signed by the same key, and another log.
        let other = Hypercore::builder(Storage::memory()).key_pair(pair());
        let other = other.open().await.unwrap();
        other
            .append_batch((0..LENGTH).map(|n| format!("other {n}")))
            .await
            .unwrap();
        let conflict = other.prove().make().unwrap();
        assert!(matches!(
            log.recover(&conflict).await,
            Err(RecoverError::Proof(_))
        ));
        let failed = [Event::Repairing, Event::RepairFailed];
        assert_eq!(told(&mut events), [failed.clone(), failed].concat());

        let stranger = writer().await;
        stranger.append("a").await.unwrap();
        let proof = stranger.prove().make().unwrap();
        assert!(matches!(
            log.recover(&proof).await,
            Err(RecoverError::OtherLog)
        ));
        assert!(log.repairing().is_some());
        assert_eq!(log.get(23).local().await.unwrap(), "block 23");
        log.recover(&peer.prove().make().unwrap()).await.unwrap();
        is_whole_again(&log, &peer).await;
    });
}

#[test]
fn nobody_is_shown_anything_until_it_is_whole() {
    block_on(async {
        let (_disk, _store, log) = rootless().await;
        let empty = reader(&log).await;
        let mut events = empty.events();
        let _connection = connect(&log, &empty);
        while !matches!(soon(events.next()).await, Some(Event::PeerAdd(_))) {}
        assert!(
            empty
                .get(0)
                .timeout(Duration::from_millis(200))
                .await
                .is_err()
        );
        assert_eq!(empty.length(), Length::ZERO);
        let peer = copy(LENGTH).await;
        // With a block from where nodes were lost as well, which the paths of others need.
        log.recover(&peer.prove().block(14).make().unwrap())
            .await
            .unwrap();
        assert_eq!(soon(empty.get(0)).await.unwrap(), "block 0");
        assert_eq!(empty.head(), peer.head());
    });
}
