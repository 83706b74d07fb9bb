//! How a log is opened, and how it is removed.

use std::sync::Arc;

use async_std::task::block_on;
use hc_storage::{MemoryStore, Store};
use hypercore::encryption::EncryptionKey;
use hypercore::{
    AppendError, GetError, Hypercore, IfMissing, KeyPair, OpenError, PurgeError, Storage,
};

use crate::peers::{block, connect, opened, reader, soon, writer};

#[test]
fn an_overwritten_log_is_a_new_one_unless_it_is_named() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = || Hypercore::builder(Storage::disk(dir.path()));
        let log = open().user_data("k", "v").open().await.unwrap();
        log.append_batch(["a", "b"]).await.unwrap();
        let first = log.key();
        log.close().await.unwrap();

        let log = open().open().await.unwrap();
        assert_eq!((log.key(), log.length().get()), (first, 2));
        log.close().await.unwrap();

        let log = open().overwrite().open().await.unwrap();
        let second = log.key();
        assert_ne!(second, first);
        assert_eq!((log.length().get(), log.user_data("k").unwrap()), (0, None));
        log.append("c").await.unwrap();
        log.close().await.unwrap();

        let log = open().open().await.unwrap();
        assert_eq!(log.key(), second, "it is the store's log now");
        assert_eq!(log.get(0).await.unwrap(), "c");
        log.close().await.unwrap();
        let old = open().key(first).if_missing(IfMissing::Fail).open().await;
        assert!(matches!(old.unwrap_err(), OpenError::Missing { .. }));

        let log = open().key(second).overwrite().open().await.unwrap();
        assert_eq!((log.key(), log.length().get()), (second, 0));
        assert!(log.is_writable(), "its secret key was kept");
        log.append("d").await.unwrap();
        log.authority()
            .verifier()
            .unwrap()
            .verify(&log.head())
            .unwrap();
        log.close().await.unwrap();
    });
}

#[test]
fn overwriting_what_is_not_there_makes_it() {
    block_on(async {
        let log = Hypercore::builder(Storage::memory()).overwrite();
        let log = log.seed(&[3; 32]).open().await.unwrap();
        log.append("a").await.unwrap();
        let missing = Hypercore::builder(Storage::memory()).overwrite();
        let error = missing
            .if_missing(IfMissing::Fail)
            .open()
            .await
            .unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    });
}

#[test]
fn an_encrypted_log_can_be_overwritten_by_a_plain_one() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let open = || Hypercore::builder(Storage::open(store.clone())).seed(&[3; 32]);
        let key = EncryptionKey::from_bytes([1; 32]);
        let log = open().encryption_key(key).open().await.unwrap();
        log.append("secret").await.unwrap();
        log.close().await.unwrap();
        let log = open().overwrite().open().await.unwrap();
        assert!(!log.info().encrypted);
        log.append("plain").await.unwrap();
        assert_eq!(log.get(0).raw().await.unwrap(), "plain");
    });
}

#[test]
fn a_log_that_is_opened_to_read_does_not_append() {
    block_on(async {
        let log = Hypercore::builder(Storage::memory())
            .seed(&[1; 32])
            .read_only()
            .open()
            .await
            .unwrap();
        assert!(!log.is_writable());
        let error = log.append("a").await.unwrap_err();
        assert!(matches!(error, AppendError::NotWritable), "{error}");
    });
}

#[test]
fn options_may_come_from_elsewhere_first() {
    async fn key_pair_from_somewhere() -> KeyPair {
        futures_lite::future::yield_now().await;
        KeyPair::from_seed(&[7; 32])
    }
    block_on(async {
        let pair = key_pair_from_somewhere().await;
        let builder = Hypercore::builder(Storage::memory()).key_pair(pair.clone());
        let log = builder.open().await.unwrap();
        log.append("a").await.unwrap();
        let verifier = log.authority().verifier().unwrap().clone();
        let tree = log.head().signed_tree();
        assert!(verifier.signable(&pair.public_key(), &tree).is_ok());
    });
}

#[test]
fn a_complete_reader_gets_everything_by_itself() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..60).map(block)).await.unwrap();
        let to = Hypercore::builder(Storage::memory())
            .key(from.key())
            .complete()
            .open()
            .await
            .unwrap();
        let running = connect(&from, &to);
        let mut watch = to.watch();
        let until = |length: u64| {
            let to = &to;
            async move {
                let _ = to.get(length - 1).await;
            }
        };
        let full = async {
            while let Some(state) = watch.next().await {
                if state.contiguous_length.get() == 60 {
                    break;
                }
            }
        };
        soon(Box::pin(full)).await;
        from.append_batch((60..80).map(block)).await.unwrap();
        soon(Box::pin(until(80))).await;
        let full = async {
            while to.contiguous_length().get() < 80 {
                watch.next().await;
            }
        };
        soon(Box::pin(full)).await;
        assert_eq!(
            (to.length(), to.contiguous_length()),
            (from.length(), from.length())
        );
        drop(running);
    });
}

#[test]
fn a_purged_log_is_gone_and_all_its_sessions_are_closed() {
    block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let open = |seed| Hypercore::builder(Storage::open(store.clone())).seed(&[seed; 32]);
        let (log, other) = (open(1).open().await.unwrap(), open(2).open().await.unwrap());
        log.append("a").await.unwrap();
        other.append("b").await.unwrap();
        let session = log.session().open().unwrap();
        let pending = session.get(9).into_future();
        log.purge().await.unwrap();
        assert!(session.is_closed() && log.is_closed());
        assert!(matches!(soon(pending).await.unwrap_err(), GetError::Closed));
        assert_eq!(store.cores().unwrap().len(), 1);
        assert_eq!(other.get(0).await.unwrap(), "b", "others are left alone");
        assert!(matches!(
            log.purge().await.unwrap_err(),
            PurgeError::Missing { .. }
        ));

        let log = open(1).open().await.unwrap();
        assert_eq!(log.length().get(), 0, "nothing of it is left");
    });
}

#[test]
fn what_is_purged_on_disk_does_not_come_back() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let log = opened(Storage::disk(dir.path())).await;
        log.append("a").await.unwrap();
        let key = log.key();
        let beside = opened(Storage::read_only(dir.path())).await;
        let error = beside.purge().await.unwrap_err();
        assert!(matches!(error, PurgeError::ReadOnly), "{error}");
        beside.close().await.unwrap();
        log.purge().await.unwrap();
        let again = Hypercore::builder(Storage::existing(dir.path())).key(key);
        let error = again.if_missing(IfMissing::Fail).open().await.unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    });
}

#[test]
fn an_inactive_handle_is_not_interested_until_it_is() {
    block_on(async {
        let from = writer().await;
        from.append("a").await.unwrap();
        let to = reader(&from).await;
        let idle = to.session().inactive().open().unwrap();
        let weak = to.session().weak().open().unwrap();
        to.set_active(false);
        // Neither side wants anything: the channel goes, once they have lingered.
        from.set_active(false);
        to.set_active(true);
        let running = connect(&from, &to);
        assert_eq!(soon(idle.get(0)).await.unwrap(), "a");
        drop((running, weak));
    });
}
