//! Logs in a directory.

use futures_lite::future::{block_on, poll_once};
use hypercore::{
    AppendError, Durability, Hypercore, IfMissing, OpenError, Storage, StoreError, Wait,
};

use crate::peers::opened;

#[test]
fn a_log_is_found_again_in_its_directory() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let log = opened(Storage::disk(dir.path())).await;
        log.append_batch(["a", "", "c"]).await.unwrap();
        log.append("d").durability(Durability::Disk).await.unwrap();
        let (key, head) = (log.key(), log.head());
        log.close().await.unwrap();

        let log = opened(Storage::existing(dir.path())).await;
        assert_eq!((log.key(), log.head()), (key, head));
        for (index, block) in ["a", "", "c", "d"].iter().enumerate() {
            assert_eq!(log.get(index as u64).wait(Wait::No).await.unwrap(), *block);
        }
        assert_eq!(log.append("e").await.unwrap().length.get(), 5);
        assert!(log.usage().unwrap().total > 0);
        log.close().await.unwrap();
    });
}

#[test]
fn one_writer_at_a_time() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let log = opened(Storage::disk(dir.path())).await;
        let error = Hypercore::builder(Storage::disk(dir.path()))
            .open()
            .await
            .unwrap_err();
        assert!(
            matches!(error, OpenError::Store(StoreError::Locked { .. })),
            "{error}"
        );
        log.close().await.unwrap();
        let log = opened(Storage::disk(dir.path())).await;
        log.close().await.unwrap();
    });
}

#[test]
fn what_is_not_there_is_an_error_where_nothing_is_to_be_made() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nothing");
        for storage in [Storage::existing(&path), Storage::read_only(&path)] {
            let builder = Hypercore::builder(storage).if_missing(IfMissing::Fail);
            let error = builder.open().await.unwrap_err();
            assert!(
                matches!(error, OpenError::Store(StoreError::Missing { .. })),
                "{error}"
            );
        }
        assert!(!path.exists());
    });
}

#[test]
fn a_reader_beside_the_writer_sees_what_was_written_when_it_looks() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let log = opened(Storage::disk(dir.path())).await;
        log.append("a").await.unwrap();
        let reader = opened(Storage::read_only(dir.path())).await;
        let info = reader.info();
        assert!(!info.writable && info.has_secret_key);
        assert_eq!(reader.get(0).await.unwrap(), "a");
        assert!(!reader.is_writable());
        assert!(matches!(
            reader.append("b").await.unwrap_err(),
            AppendError::NotWritable
        ));
        assert!(!reader.refresh().await.unwrap());
        log.append_batch(["b", "c"]).await.unwrap();
        let mut watch = reader.watch();
        watch.next().await.unwrap();
        assert!(reader.refresh().await.unwrap());
        assert_eq!(watch.next().await.unwrap().length.get(), 3);
        assert_eq!(reader.get(2).await.unwrap(), "c");
        reader.close().await.unwrap();
        log.close().await.unwrap();
    });
}

#[test]
fn an_append_dropped_on_its_way_to_the_device_leaves_memory_and_disk_alike() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let log = opened(Storage::disk(dir.path())).await;
        for round in 0..10_u32 {
            let append = log.append(round.to_string()).durability(Durability::Disk);
            let mut append = Box::pin(append.into_future());
            poll_once(&mut append).await;
            drop(append);
        }
        log.append("last").await.unwrap();
        let head = log.head();
        log.close().await.unwrap();
        let log = opened(Storage::existing(dir.path())).await;
        assert_eq!(log.head(), head);
        assert_eq!(log.get(head.length().get() - 1).await.unwrap(), "last");
        log.close().await.unwrap();
    });
}

#[test]
fn a_reader_beside_the_writer_learns_what_was_cut_and_cleared() {
    use hypercore::Event;
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let log = opened(Storage::disk(dir.path())).await;
        log.append_batch((0..20).map(|at: u32| format!("old {at}")))
            .await
            .unwrap();
        let reader = opened(Storage::read_only(dir.path())).await;
        let snapshot = reader.snapshot().unwrap();
        let mut events = reader.events();
        log.truncate(15).await.unwrap();
        log.truncate(13).await.unwrap();
        log.append_batch((0..30).map(|at: u32| format!("new {at}")))
            .await
            .unwrap();
        log.clear(2..4).await.unwrap();
        assert!(reader.refresh().await.unwrap());
        let truncated = Event::Truncate {
            length: 13.into(),
            fork: 2.into(),
        };
        assert_eq!(events.try_next(), Some(truncated));
        assert_eq!(reader.head(), log.head());
        assert_eq!(
            (reader.count(..), reader.contiguous_length().get()),
            (41, 2)
        );
        assert_eq!(reader.get(12).await.unwrap(), "old 12");
        assert_eq!(reader.get(13).await.unwrap(), "new 0");
        assert_eq!(snapshot.signed_length().get(), 13);
        assert_eq!(snapshot.get(19).await.unwrap(), "old 19");
        assert_eq!(snapshot.get(2).await.unwrap(), "old 2");
        assert!(!reader.refresh().await.unwrap());
        snapshot.close().await.unwrap();
        reader.close().await.unwrap();
        log.close().await.unwrap();
    });
}
