//! Handles that show a log as it was.

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hypercore::{GetError, Hypercore, SeekError, Snapshot, Storage, TreeHashError, Wait};

use crate::peers::{block, connect, reader, soon, writer};

async fn all(snapshot: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    for index in 0..snapshot.length().get() {
        let block = snapshot.get(index).local().await.unwrap();
        found.push(String::from_utf8(block.to_vec()).unwrap());
    }
    found
}

#[test]
fn a_snapshot_stays_as_it_was_whatever_becomes_of_the_log() {
    block_on(async {
        for storage in [
            Storage::memory(),
            Storage::disk(tempfile::tempdir().unwrap()),
        ] {
            let log = Hypercore::builder(storage).open().await.unwrap();
            log.append_batch(["a", "b", "c"]).await.unwrap();
            let snapshot = log.snapshot().unwrap();
            let (hash, head) = (log.head().tree_hash(), log.head());
            log.append_batch(["d", "e"]).await.unwrap();
            assert_eq!(
                (snapshot.length().get(), snapshot.signed_length().get()),
                (3, 3)
            );
            log.truncate(2).await.unwrap();
            assert_eq!(snapshot.signed_length().get(), 2);
            log.append_batch(["x", "y", "z"]).await.unwrap();
            assert_eq!(snapshot.signed_length().get(), 2, "it does not rise again");
            log.truncate(1).await.unwrap();
            log.append_batch(["1", "2", "3", "4", "5"]).await.unwrap();
            log.clear(0..1).await.unwrap();
            assert_eq!(snapshot.signed_length().get(), 1);
            assert_eq!(
                (
                    snapshot.length().get(),
                    snapshot.fork().get(),
                    snapshot.byte_length().get()
                ),
                (3, 0, 3)
            );
            assert_eq!((snapshot.tree_hash(), snapshot.head()), (hash, head));
            assert_eq!(snapshot.tree_hash_at(3).await.unwrap(), hash);
            assert!(snapshot.has(..) && snapshot.has(0..3) && !snapshot.has(2..4));
            assert_eq!(all(&snapshot).await, ["a", "b", "c"]);
            assert_eq!(all(&snapshot.clone()).await, ["a", "b", "c"]);
            let found = snapshot.seek(2).await.unwrap();
            assert_eq!((found.index.get(), found.offset), (2, 0));
            assert_eq!(log.get(2).await.unwrap(), "2");
            assert_eq!(log.length().get(), 6);
        }
    });
}

#[test]
fn what_a_snapshot_never_had_is_an_error_at_once() {
    block_on(async {
        let log = writer().await;
        log.append_batch(["a", "b"]).await.unwrap();
        let snapshot = log.snapshot().unwrap();
        log.append("c").await.unwrap();
        let error = snapshot.get(2).await.unwrap_err();
        assert!(
            matches!(error, GetError::PastSnapshot { length, .. } if length.get() == 2),
            "{error}"
        );
        let name = log.discovery_key().to_z32();
        assert!(error.to_string().contains(&name), "{error}");
        let error = snapshot.tree_hash_at(3).await.unwrap_err();
        assert!(matches!(error, TreeHashError::Block { .. }), "{error}");
        let error = snapshot.seek(3).await.unwrap_err();
        assert!(matches!(error, SeekError::PastEnd { .. }), "{error}");
    });
}

#[test]
fn a_sparse_snapshot_gets_from_peers_what_the_log_still_shares() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..20).map(block)).await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        assert_eq!(soon(to.get(3)).await.unwrap(), block(3));
        let snapshot = to.snapshot().unwrap();
        assert!(!snapshot.has(4..5));
        // not there when it was made, and there now
        assert_eq!(soon(snapshot.get(4)).await.unwrap(), block(4));
        assert_eq!(
            soon(snapshot.seek(from.byte_length().get() - 1))
                .await
                .unwrap()
                .index
                .get(),
            19
        );
        assert_eq!(
            soon(snapshot.tree_hash_at(13)).await.unwrap(),
            from.tree_hash(13).await.unwrap()
        );
        // its own reader forgets all: what was not stored is not to be had any more
        let stored = snapshot.has(3..4);
        to.truncate(0).await.unwrap();
        assert!(stored && snapshot.signed_length().get() == 0);
        assert_eq!(soon(snapshot.get(3)).await.unwrap(), block(3));
        let error = soon(snapshot.get(9)).await.unwrap_err();
        assert!(matches!(error, GetError::Truncated { .. }), "{error}");
        drop(running);
    });
}

#[test]
fn a_pending_get_of_a_snapshot_ends_when_its_block_is_cut() {
    block_on(async {
        let log = writer().await;
        log.append_batch(["a", "b", "c"]).await.unwrap();
        log.clear(1..3).await.unwrap();
        let snapshot = log.snapshot().unwrap();
        let mut lower = Box::pin(snapshot.get(1).into_future());
        let mut upper = Box::pin(snapshot.get(2).into_future());
        assert!(poll_once(&mut lower).await.is_none());
        assert!(poll_once(&mut upper).await.is_none());
        log.truncate(2).await.unwrap();
        log.append("x").await.unwrap();
        let error = soon(upper).await.unwrap_err();
        assert!(matches!(error, GetError::Truncated { .. }), "{error}");
        assert!(poll_once(&mut lower).await.is_none(), "it may still come");
        let error = snapshot.get(2).wait(Wait::No).await.unwrap_err();
        assert!(matches!(error, GetError::Truncated { .. }), "{error}");
    });
}

#[test]
fn a_snapshot_keeps_its_log_open() {
    block_on(async {
        let log = writer().await;
        log.append("a").await.unwrap();
        let snapshot = log.snapshot().unwrap();
        log.close().await.unwrap();
        assert!(log.snapshot().is_err());
        assert_eq!(snapshot.get(0).await.unwrap(), "a");
        snapshot.close().await.unwrap();
        assert!(snapshot.is_closed());
        assert!(matches!(
            snapshot.get(0).await.unwrap_err(),
            GetError::Closed
        ));
    });
}

#[test]
fn an_update_changes_nothing_in_it() {
    block_on(async {
        let from = writer().await;
        from.append("a").await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        soon(to.get(0)).await.unwrap();
        let snapshot = to.snapshot().unwrap();
        from.append("b").await.unwrap();
        soon(to.get(1)).await.unwrap();
        assert_eq!((snapshot.length().get(), to.length().get()), (1, 2));
        drop(running);
    });
}

#[test]
fn user_data_is_part_of_it() {
    block_on(async {
        let log = writer().await;
        log.set_user_data("k", "1").await.unwrap();
        let snapshot = log.snapshot().unwrap();
        log.set_user_data("k", "2").await.unwrap();
        assert_eq!(snapshot.user_data("k").unwrap().unwrap(), "1");
        assert_eq!(log.user_data("k").unwrap().unwrap(), "2");
    });
}
