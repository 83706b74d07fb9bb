//! Cutting a log: what is left of it, in memory, in the store and at peers.

use std::sync::Arc;

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hc_merkle::manifest::{ManifestVersion, Prologue};
use hc_storage::{MemoryStore, StoreOptions};
use hypercore::{
    Durability, Event, Fork, GetError, Hypercore, KeyPair, Length, Manifest, Storage, TruncateError,
};

use crate::peers::{block, connect, disconnect, opened, reader, soon, writer};

#[test]
fn blocks_above_are_gone_and_the_fork_is_one_higher() {
    block_on(async {
        let log = writer().await;
        log.append_batch((0..20).map(block)).await.unwrap();
        let mut events = log.events();
        let truncated = log.truncate(7).await.unwrap();
        assert_eq!(
            (truncated.length, truncated.fork),
            (Length::new(7), Fork::new(1))
        );
        assert_eq!(truncated.byte_length, log.byte_length());
        assert_eq!((log.length().get(), log.fork().get()), (7, 1));
        assert_eq!(log.contiguous_length().get(), 7);
        assert!(log.has(0..7) && !log.has(7..8));
        let error = log.get(7).local().await.unwrap_err();
        assert!(matches!(error, GetError::NotLocal { .. }), "{error}");
        assert_eq!(
            events.try_next(),
            Some(Event::Truncate {
                length: Length::new(7),
                fork: Fork::new(1)
            })
        );
        assert_eq!(events.try_next(), None);
        log.authority()
            .verifier()
            .unwrap()
            .verify(&log.head())
            .unwrap();

        log.append("other").await.unwrap();
        assert_eq!(log.get(7).await.unwrap(), "other");
        assert_eq!(log.get(6).await.unwrap(), block(6));
        assert!(log.verify(|_| {}).unwrap().is_ok());
    });
}

#[test]
fn to_its_own_length_is_a_new_fork_too() {
    block_on(async {
        let log = writer().await;
        log.append("a").await.unwrap();
        let mut events = log.events();
        assert_eq!(log.truncate(1).await.unwrap().fork, Fork::new(1));
        assert!(matches!(events.try_next(), Some(Event::Truncate { .. })));
        assert_eq!(log.get(0).await.unwrap(), "a");
        assert_eq!(log.truncate(1).fork(9).await.unwrap().fork, Fork::new(9));
    });
}

#[test]
fn a_fork_that_is_not_higher_is_refused_and_so_is_a_longer_length() {
    block_on(async {
        let log = writer().await;
        log.append_batch(["a", "b"]).await.unwrap();
        log.truncate(2).fork(5).await.unwrap();
        for fork in [0, 4, 5] {
            let error = log.truncate(1).fork(fork).await.unwrap_err();
            assert!(
                matches!(error, TruncateError::ForkNotHigher { present } if present.get() == 5),
                "{error}"
            );
        }
        let error = log.truncate(3).await.unwrap_err();
        assert!(matches!(error, TruncateError::Longer { .. }), "{error}");
        assert_eq!((log.length().get(), log.fork().get()), (2, 5));

        log.truncate(2).fork(u64::MAX).await.unwrap();
        let error = log.truncate(1).await.unwrap_err();
        assert!(
            matches!(error, TruncateError::ForkNotHigher { .. }),
            "{error}"
        );
    });
}

#[test]
fn what_was_cut_is_cut_in_the_store_too() {
    block_on(async {
        for level in [Durability::Os, Durability::Disk] {
            let dir = tempfile::tempdir().unwrap();
            let open = || Hypercore::builder(Storage::disk(dir.path())).durability(level);
            let log = open().open().await.unwrap();
            log.append_batch((0..40).map(block)).await.unwrap();
            log.truncate(23).await.unwrap();
            let head = log.head();
            log.close().await.unwrap();
            let log = open().open().await.unwrap();
            assert_eq!(log.head(), head);
            assert_eq!(log.contiguous_length().get(), 23);
            assert!(log.has(0..23) && log.count(..) == 23);
            assert!(log.verify(|_| {}).unwrap().is_ok());
            log.append("more").await.unwrap();
            assert_eq!(log.get(23).await.unwrap(), "more");
            log.close().await.unwrap();
        }
    });
}

#[test]
fn many_rounds_of_appends_and_truncations() {
    // Lengths, bytes and forks of `core.append`, `core.truncate` in the reference's suite.
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        let open = || Hypercore::builder(Storage::open(store.clone()));
        let mut log = open().open().await.unwrap();
        log.append_batch(["hello", "world", "fo", "bar", "baz"])
            .await
            .unwrap();
        log.truncate(3).await.unwrap();
        assert_eq!(
            (
                log.length().get(),
                log.byte_length().get(),
                log.fork().get()
            ),
            (3, 12, 1)
        );
        for fork in 2..=7 {
            log.append_batch((0..5).map(|at| format!("{fork}/{at}")))
                .await
                .unwrap();
            log.truncate(fork).await.unwrap();
            assert_eq!((log.length().get(), log.fork().get()), (fork, fork));
            let head = log.head();
            log.close().await.unwrap();
            log = open().open().await.unwrap();
            assert_eq!(log.head(), head, "it was kept");
        }
        log.truncate(0).await.unwrap();
        assert_eq!((log.length().get(), log.byte_length().get()), (0, 0));
        log.append("again").await.unwrap();
        assert_eq!(log.get(0).await.unwrap(), "again");
    });
}

#[test]
fn a_reader_can_only_be_cut_to_nothing_and_stays_on_its_fork() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..10).map(block)).await.unwrap();
        from.truncate(8).await.unwrap();
        let to = reader(&from).await;
        let connection = connect(&from, &to);
        soon(to.download(..8)).await.unwrap();
        disconnect(connection).await;
        for (length, fork) in [(7, None), (0, Some(2)), (8, None)] {
            let mut truncate = to.truncate(length);
            if let Some(fork) = fork {
                truncate = truncate.fork(fork);
            }
            let error = truncate.await.unwrap_err();
            assert!(matches!(error, TruncateError::NotWritable), "{error}");
        }
        let truncated = to.truncate(0).await.unwrap();
        assert_eq!((truncated.length.get(), truncated.fork.get()), (0, 1));
        assert_eq!((to.count(..), to.length().get()), (0, 0));
        // and it can all be had again
        let running = connect(&from, &to);
        soon(to.download(..8)).await.unwrap();
        assert_eq!(to.head(), from.head());
        drop(running);
    });
}

#[test]
fn a_reader_that_is_emptied_while_connected_starts_again() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..30).map(block)).await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        for _ in 0..3 {
            soon(to.download(..30)).await.unwrap();
            assert_eq!(to.head(), from.head());
            to.truncate(0).await.unwrap();
        }
        soon(to.download(..30)).await.unwrap();
        drop(running);
    });
}

#[test]
fn a_reader_that_is_emptied_in_the_middle_of_a_download_starts_again() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..300).map(block)).await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        for at in [5, 40, 120] {
            soon(to.get(at)).await.unwrap();
            let download = to.download(..300).start();
            soon(to.get(at + 1)).await.unwrap();
            to.truncate(0).await.unwrap();
            drop(download);
        }
        soon(to.download(..300)).await.unwrap();
        assert_eq!(to.head(), from.head());
        assert!(to.verify(|_| {}).unwrap().is_ok());
        drop(running);
    });
}

#[test]
fn a_session_that_only_reads_truncates_nothing_of_its_own_log() {
    block_on(async {
        let log = writer().await;
        log.append("a").await.unwrap();
        let session = log.session().read_only().open().unwrap();
        for length in [0, 1] {
            let error = session.truncate(length).await.unwrap_err();
            assert!(matches!(error, TruncateError::NotWritable), "{error}");
        }
        assert_eq!(log.length().get(), 1);
    });
}

#[test]
fn nothing_is_cut_below_a_prologue() {
    block_on(async {
        let source = writer().await;
        source.append_batch(["a", "b", "c"]).await.unwrap();
        let keys = KeyPair::from_seed(&[4; 32]);
        let mut manifest = Manifest::single(keys.public_key());
        manifest.version = ManifestVersion::V1;
        manifest.prologue = Some(Prologue {
            length: Length::new(2),
            hash: source.tree_hash(2).await.unwrap(),
        });
        let log = Hypercore::builder(Storage::memory())
            .manifest(manifest)
            .key_pair(keys)
            .open()
            .await
            .unwrap();
        log.append_batch(["a", "b", "d"]).await.unwrap();
        let error = log.truncate(1).await.unwrap_err();
        assert!(
            matches!(error, TruncateError::BelowPrologue { prologue, .. } if prologue.get() == 2),
            "{error}"
        );
        assert_eq!(log.truncate(2).await.unwrap().length.get(), 2);
    });
}

#[test]
fn peers_that_have_nothing_yet_get_the_new_fork() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..30).map(block)).await.unwrap();
        from.truncate(11).await.unwrap();
        from.append_batch((100..120).map(block)).await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        soon(to.download(..31)).await.unwrap();
        assert_eq!(to.head(), from.head());
        assert_eq!(to.get(10).await.unwrap(), block(10));
        assert_eq!(to.get(11).await.unwrap(), block(100));
        drop(running);
    });
}

#[test]
fn a_get_that_waits_for_a_block_that_is_cut_ends_and_one_for_a_later_block_goes_on() {
    block_on(async {
        let log = writer().await;
        log.append_batch(["a", "b", "c"]).await.unwrap();
        log.clear(1..2).await.unwrap();
        let mut cut = Box::pin(log.get(1).into_future());
        let mut later = Box::pin(log.get(3).into_future());
        assert!(poll_once(&mut cut).await.is_none());
        assert!(poll_once(&mut later).await.is_none());
        log.truncate(1).await.unwrap();
        let error = soon(cut).await.unwrap_err();
        assert!(matches!(error, GetError::Truncated { .. }), "{error}");
        assert!(poll_once(&mut later).await.is_none());
        log.append_batch(["x", "y", "z"]).await.unwrap();
        assert_eq!(soon(later).await.unwrap(), "z");
    });
}

#[test]
fn a_truncation_dropped_at_any_moment_leaves_memory_and_store_alike() {
    block_on(async {
        for level in [Durability::Os, Durability::Disk] {
            let dir = tempfile::tempdir().unwrap();
            let log = opened(Storage::disk(dir.path())).await;
            for round in 0..10_u64 {
                log.append_batch((0..5).map(block)).await.unwrap();
                let truncate = log.truncate(round).durability(level);
                let mut truncate = Box::pin(truncate.into_future());
                poll_once(&mut truncate).await;
                drop(truncate);
            }
            log.append("last").await.unwrap();
            let head = log.head();
            log.close().await.unwrap();
            let log = opened(Storage::existing(dir.path())).await;
            assert_eq!(log.head(), head);
            assert!(log.verify(|_| {}).unwrap().is_ok());
            log.close().await.unwrap();
        }
    });
}

#[test]
fn a_store_that_refuses_leaves_the_log_as_it_was() {
    use hc_storage::fault::{Fault, FaultDisk};
    block_on(async {
        let disk = FaultDisk::new();
        let store = disk.open(StoreOptions::default().create(true)).unwrap();
        let log = opened(Storage::open(Arc::new(store))).await;
        log.append_batch(["a", "b"]).await.unwrap();
        let head = log.head();
        for call in disk.calls()..disk.calls() + 1000 {
            disk.arm(call, Fault::Refuse(std::io::ErrorKind::StorageFull));
        }
        let error = log.truncate(1).await.unwrap_err();
        assert!(matches!(error, TruncateError::Storage(_)), "{error}");
        assert_eq!(log.head(), head);
        assert_eq!(log.get(1).await.unwrap(), "b");
    });
}

#[test]
fn somebody_else_may_sign_it_and_a_signature_that_does_not_hold_changes_nothing() {
    block_on(async {
        let keys = KeyPair::from_seed(&[6; 32]);
        let manifest = Manifest::single(keys.public_key());
        let writer = Hypercore::builder(Storage::memory()).key_pair(keys.clone());
        let writer = writer.open().await.unwrap();
        writer.append_batch(["a", "b", "c"]).await.unwrap();
        let log = Hypercore::builder(Storage::memory()).manifest(manifest);
        let log = log.open().await.unwrap();
        let appended = log.append_batch(["a", "b", "c"]).signer(keys.clone());
        appended.await.unwrap();
        writer.truncate(2).await.unwrap();
        let signature = writer.head().signature().unwrap().clone();
        let error = log
            .truncate(1)
            .signature(signature.clone())
            .await
            .unwrap_err();
        assert!(matches!(error, TruncateError::Signature(_)), "{error}");
        let error = log.truncate(2).fork(7).signature(signature.clone()).await;
        assert!(matches!(error.unwrap_err(), TruncateError::Signature(_)));
        assert_eq!((log.length().get(), log.fork().get()), (3, 0));
        log.truncate(2).signature(signature).await.unwrap();
        assert_eq!(log.head(), writer.head());
        log.truncate(1).signer(keys).await.unwrap();
        assert_eq!((log.length().get(), log.fork().get()), (1, 2));
    });
}
