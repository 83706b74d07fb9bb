//! Dropping blocks: what is still there, what peers hear, what can be had again.

use std::sync::Arc;

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hc_storage::{MemoryStore, Store};
use hypercore::{ClearError, Event, Hypercore, Storage};

use crate::peers::{block, connect, opened, reader, soon, writer};

#[test]
fn a_cleared_block_is_gone_and_its_neighbours_are_not() {
    block_on(async {
        let log = writer().await;
        log.append_batch(["a", "b", "c"]).await.unwrap();
        let mut events = log.events();
        log.clear(1..2).await.unwrap();
        assert!(log.has(0..1) && !log.has(1..2) && log.has(2..3));
        assert_eq!(log.contiguous_length().get(), 1);
        assert_eq!(log.length().get(), 3);
        assert_eq!(log.get(0).await.unwrap(), "a");
        assert_eq!(log.get(2).await.unwrap(), "c");
        assert!(log.get(1).local().await.is_err());
        assert_eq!(events.try_next(), None, "the log is as long as it was");
        // a hole is no obstacle to what comes after it
        log.append("d").await.unwrap();
        assert_eq!(log.contiguous_length().get(), 1);
        assert_eq!(log.get(3).await.unwrap(), "d");
    });
}

#[test]
fn block_127_of_129_is_cleared_alone() {
    block_on(async {
        let log = writer().await;
        log.append_batch((0..129).map(|at: u32| at.to_string()))
            .await
            .unwrap();
        log.clear(127..128).await.unwrap();
        assert!(!log.has(127..128));
        assert!(log.has(0..127) && log.has(128..129));
        assert_eq!(log.get(128).await.unwrap(), "128");
        assert_eq!(log.count(..), 128);
    });
}

#[test]
fn nothing_happens_where_nothing_is_stored() {
    block_on(async {
        let log = writer().await;
        log.append_batch(["a", "bb"]).await.unwrap();
        #[allow(clippy::reversed_empty_ranges)]
        for range in [2..3, 1..1, 2..1, 9..20, u64::MAX..u64::MAX] {
            let cleared = log.clear(range).diff().await.unwrap();
            assert_eq!((cleared.blocks, cleared.bytes.get()), (0, 0));
        }
        assert_eq!(log.contiguous_length().get(), 2);
        let cleared = log.clear(1..99).diff().await.unwrap();
        assert_eq!((cleared.blocks, cleared.bytes.get()), (1, 2));
        let cleared = log.clear(..).diff().await.unwrap();
        assert_eq!((cleared.blocks, cleared.bytes.get()), (1, 1));
        assert_eq!((log.length().get(), log.count(..)), (2, 0));
    });
}

#[test]
fn what_was_cleared_is_measured_run_by_run() {
    block_on(async {
        let log = writer().await;
        log.append_batch((0..100).map(block)).await.unwrap();
        let size = |range: std::ops::Range<u64>| -> u64 {
            range.map(|index| block(index).len() as u64).sum()
        };
        log.clear(20..30).await.unwrap();
        log.clear(50..51).await.unwrap();
        let cleared = log.clear(10..=60).diff().await.unwrap();
        assert_eq!(cleared.blocks, 51 - 10 - 1);
        assert_eq!(
            cleared.bytes.get(),
            size(10..61) - size(20..30) - size(50..51)
        );
    });
}

#[test]
fn what_was_cleared_is_cleared_in_the_store_too() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let open = || Hypercore::builder(Storage::open(store.clone()));
        let log = open().open().await.unwrap();
        log.append_batch(["a", "b", "c", "d"]).await.unwrap();
        log.clear(2..3).await.unwrap();
        log.close().await.unwrap();
        let log = open().open().await.unwrap();
        assert_eq!(log.contiguous_length().get(), 2);
        assert!(log.has(3..4) && !log.has(2..3));
        log.append("e").await.unwrap();
        log.close().await.unwrap();
        let log = open().open().await.unwrap();
        assert_eq!((log.contiguous_length().get(), log.count(..)), (2, 4));
    });
}

#[test]
fn runs_of_many_pages_are_cleared_exactly() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let log = opened(Storage::open(store.clone())).await;
        log.append_batch((0..100_000_u32).map(|at| (at % 7).to_string()))
            .await
            .unwrap();
        let runs = [0..1, 30_000..70_000, 98_303..98_305, 99_999..100_000];
        for run in runs.clone() {
            let cleared = log.clear(run.clone()).diff().await.unwrap();
            assert_eq!(cleared.blocks, run.end - run.start);
            assert_eq!(cleared.bytes.get(), run.end - run.start);
        }
        let stored = store.open_core(&log.discovery_key()).unwrap().unwrap();
        let bits = stored.bitfield().unwrap();
        for at in 0..100_000_u64 {
            let cleared = runs.iter().any(|run| run.contains(&at));
            assert_eq!(log.has(at..at + 1), !cleared, "block {at}");
            assert_eq!(bits.get(at), !cleared, "block {at}");
        }
    });
}

#[test]
fn a_cleared_block_comes_again_from_a_peer() {
    block_on(async {
        let from = writer().await;
        from.append_batch(["a", "b", "c"]).await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        soon(to.download(..3)).await.unwrap();
        to.clear(1..2).await.unwrap();
        assert!(!to.has(1..2));
        assert_eq!(soon(to.get(1)).await.unwrap(), "b");
        assert!(to.has(1..2));
        // and to its own writer
        from.clear(0..1).await.unwrap();
        assert_eq!(soon(from.get(0)).await.unwrap(), "a");
        drop(running);
    });
}

#[test]
fn peers_hear_of_it_and_wait_until_it_is_there_again() {
    block_on(async {
        let writer = writer().await;
        writer.append_batch(["a", "b", "c"]).await.unwrap();
        let relay = reader(&writer).await;
        let to = reader(&writer).await;
        let first = connect(&writer, &relay);
        soon(relay.download(..3)).await.unwrap();
        let second = connect(&relay, &to);
        assert_eq!(soon(to.get(0)).await.unwrap(), "a");
        relay.clear(1..2).await.unwrap();
        let mut get = Box::pin(to.get(1).into_future());
        assert!(poll_once(&mut get).await.is_none());
        let mut events = relay.events();
        assert_eq!(soon(relay.get(1)).await.unwrap(), "b");
        assert_eq!(soon(get).await.unwrap(), "b");
        let mut uploads = 0;
        while let Some(event) = events.try_next() {
            uploads += u32::from(matches!(event, Event::Upload { .. }));
        }
        assert_eq!(uploads, 1);
        drop((first, second));
    });
}

#[test]
fn clearing_what_a_reader_does_not_have_harms_nothing() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..50).map(block)).await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        soon(to.get(20)).await.unwrap();
        to.clear(0..20).await.unwrap();
        to.clear(21..50).await.unwrap();
        assert_eq!(to.count(..), 1);
        soon(to.download(..50)).await.unwrap();
        assert!(to.verify(|_| {}).unwrap().is_ok());
        drop(running);
    });
}

#[test]
fn a_store_that_is_only_read_is_not_cleared() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let log = opened(Storage::disk(dir.path())).await;
        log.append("a").await.unwrap();
        let beside = opened(Storage::read_only(dir.path())).await;
        let error = beside.clear(..).await.unwrap_err();
        assert!(matches!(error, ClearError::ReadOnly), "{error}");
        beside.close().await.unwrap();
        let closed = beside.clear(..).await.unwrap_err();
        assert!(matches!(closed, ClearError::Closed), "{closed}");
        log.close().await.unwrap();
    });
}
