//! Two histories under one key: seen by everybody, and the end of the log wherever it is.

use std::sync::Arc;

use async_std::task::block_on;
use hc_storage::{MemoryStore, Store};
use hypercore::{
    AppendError, Conflict, Ended, Event, Events, GetError, Hypercore, Length, OpenError, Storage,
};

use crate::peers::{asked, block, connect, reader, soon};

async fn twin(place: Storage) -> Hypercore {
    let builder = Hypercore::builder(place).seed(&[5; 32]);
    let log = builder.open().await.unwrap();
    log.append_batch((0..5).map(block)).await.unwrap();
    log
}

/// Two writers with one key, that have parted after five blocks.
async fn twins() -> [Hypercore; 2] {
    let (one, other) = (twin(Storage::memory()).await, twin(Storage::memory()).await);
    one.append_batch(["this", "way"]).await.unwrap();
    other
        .append_batch(["another", "way", "and longer"])
        .await
        .unwrap();
    [one, other]
}

async fn conflict(events: &mut Events) -> (Conflict, bool) {
    loop {
        let event = soon(events.next()).await;
        if let Event::Conflict {
            conflict,
            ours,
            theirs,
        } = event.expect("a conflict before the end")
        {
            let shown = ours.expect("a full log is proven");
            return (conflict, shown != theirs);
        }
    }
}

#[test]
fn both_sides_freeze_and_say_why() {
    block_on(async {
        let [one, other] = twins().await;
        let (mut ones, mut others) = (one.events(), other.events());
        let waiting = asked(one.get(99)).await;
        let connections = connect(&one, &other);
        let (first, two_sides) = conflict(&mut ones).await;
        assert_eq!((first.length, first.fork), (Length::new(7), 0.into()));
        assert!(two_sides);
        conflict(&mut others).await;
        for connection in [connections.0, connections.1] {
            soon(connection).await.unwrap();
        }
        let waited = soon(waiting).await;
        assert!(matches!(waited, Err(GetError::Conflict(_))), "{waited:?}");
        for log in [&one, &other] {
            assert!(log.is_closed() && !log.is_writable());
            let read = log.get(0).await;
            assert!(matches!(read, Err(GetError::Conflict(_))), "{read:?}");
            let appended = log.append("more").await;
            assert!(
                matches!(appended, Err(AppendError::Conflict(_))),
                "{appended:?}"
            );
        }
        let said = format!("{}", AppendError::Conflict(first));
        assert_eq!(
            said,
            "two conflicting signatures exist for length 7 of fork 0"
        );
    });
}

#[test]
fn what_shows_a_conflict_convinces_anybody_with_the_key() {
    block_on(async {
        let [one, other] = twins().await;
        let authority = one.authority();
        let mut events = one.events();
        let _connections = connect(&one, &other);
        loop {
            if let Event::Conflict { ours, theirs, .. } = soon(events.next()).await.unwrap() {
                let ours = ours.unwrap().verify(&authority).unwrap();
                let theirs = theirs.verify(&authority).unwrap();
                assert_eq!(ours.head.fork(), theirs.head.fork());
                assert_ne!(ours.head.tree_hash(), theirs.head.tree_hash());
                return;
            }
        }
    });
}

#[test]
fn a_reader_that_sees_both_tells_those_it_knows() {
    block_on(async {
        let [one, other] = twins().await;
        let (middle, far) = (reader(&one).await, reader(&one).await);
        let _first = connect(&one, &middle);
        soon(middle.download(..7)).await.unwrap();
        let _second = connect(&middle, &far);
        soon(far.download(..7)).await.unwrap();
        let mut events = [one.events(), far.events(), middle.events()];
        let _third = connect(&other, &middle);
        for events in &mut events {
            conflict(events).await;
        }
    });
}

#[test]
fn a_frozen_log_stays_frozen_and_can_be_read() {
    block_on(async {
        let place = tempfile::tempdir().unwrap();
        let disk = || Storage::disk(place.path());
        let one = twin(disk()).await;
        let other = twin(Storage::memory()).await;
        one.append("this way").await.unwrap();
        other.append_batch(["another", "way"]).await.unwrap();
        let mut events = one.events();
        let connections = connect(&one, &other);
        let (frozen, _) = conflict(&mut events).await;
        for connection in [connections.0, connections.1] {
            soon(connection).await.unwrap();
        }
        // the store was let go of, although the handle is still there
        let again = Hypercore::builder(disk()).open().await;
        let Err(OpenError::Frozen { conflict, .. }) = again else {
            panic!("{again:?}");
        };
        assert_eq!(conflict, frozen);
        let read = Hypercore::builder(disk())
            .read_frozen()
            .open()
            .await
            .unwrap();
        assert!(!read.is_writable());
        assert_eq!(read.get(3).await.unwrap(), block(3));
        assert_eq!(read.get(5).await.unwrap(), "this way");
        let appended = read.append("more").await;
        assert!(
            matches!(appended, Err(AppendError::Conflict(_))),
            "{appended:?}"
        );
        let beyond = soon(read.get(6)).await;
        assert!(matches!(beyond, Err(GetError::Conflict(_))), "{beyond:?}");
        // and nobody is served
        let reader = reader(&read).await;
        let (ours, _theirs) = connect(&read, &reader);
        assert_eq!(soon(ours).await.unwrap(), Ended::ByUs);
        assert_eq!(reader.length(), Length::ZERO);
        drop(one);
    });
}

#[test]
fn two_copies_of_one_history_are_no_conflict() {
    block_on(async {
        let one = twin(Storage::memory()).await;
        let other = twin(Storage::memory()).await;
        one.append_batch((5..9).map(block)).await.unwrap();
        let _connection = connect(&one, &other);
        // the one that is behind is caught up, writer or not
        assert_eq!(soon(other.get(8)).await.unwrap(), block(8));
        assert_eq!(other.head(), one.head());
        assert!(!one.is_closed() && !other.is_closed());
    });
}

#[test]
fn a_store_that_others_use_stays_open() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let one = twin(Storage::open(store.clone())).await;
        let beside = Hypercore::builder(Storage::open(store)).seed(&[6; 32]);
        let beside = beside.open().await.unwrap();
        let other = twin(Storage::memory()).await;
        one.append("this way").await.unwrap();
        other.append_batch(["another", "way"]).await.unwrap();
        let mut events = one.events();
        let _connections = connect(&one, &other);
        conflict(&mut events).await;
        beside.append("goes on").await.unwrap();
    });
}
