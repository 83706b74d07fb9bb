//! Finding bytes and hashes in a log.

use std::time::Duration;

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hypercore::encryption::EncryptionKey;
use hypercore::{GetError, Hypercore, SeekError, Storage, TreeHashError, Wait};

use crate::peers::{block, connect, reader, soon, writer};

#[test]
fn bytes_are_found_in_their_blocks() {
    block_on(async {
        let log = writer().await;
        log.append_batch(["abc", "d", "efg"]).await.unwrap();
        let expected = [
            (0, 0),
            (0, 1),
            (0, 2),
            (1, 0),
            (2, 0),
            (2, 1),
            (2, 2),
            (3, 0),
        ];
        for (byte, (index, offset)) in (0..).zip(expected) {
            let found = log.seek(byte).wait(Wait::No).await.unwrap();
            assert_eq!(
                (found.index.get(), found.offset),
                (index, offset),
                "byte {byte}"
            );
            assert_eq!(log.seek_local(byte).unwrap(), found);
        }
    });
}

#[test]
fn a_byte_past_the_end_is_waited_for_or_not() {
    block_on(async {
        let log = writer().await;
        log.append("abc").await.unwrap();
        let error = log.seek(4).wait(Wait::No).await.unwrap_err();
        assert!(
            matches!(
                error,
                SeekError::PastEnd {
                    byte: 4,
                    byte_length: 3
                }
            ),
            "{error}"
        );
        let error = log
            .seek(4)
            .timeout(Duration::from_millis(10))
            .await
            .unwrap_err();
        assert!(matches!(error, SeekError::TimedOut { byte: 4 }), "{error}");
        let mut seek = Box::pin(log.seek(4).into_future());
        assert!(poll_once(&mut seek).await.is_none());
        log.append("d").await.unwrap();
        log.append("ef").await.unwrap();
        let found = soon(seek).await.unwrap();
        assert_eq!((found.index.get(), found.offset), (2, 0));
    });
}

#[test]
fn what_a_sparse_reader_does_not_know_it_asks_its_peers() {
    block_on(async {
        let key = || EncryptionKey::from_bytes([3; 32]);
        for encrypted in [false, true] {
            let mut builder = Hypercore::builder(Storage::memory());
            if encrypted {
                builder = builder.encryption_key(key());
            }
            let from = builder.open().await.unwrap();
            from.append_batch((0..200).map(block)).await.unwrap();
            let mut builder = Hypercore::builder(Storage::memory()).key(from.key());
            if encrypted {
                builder = builder.encryption_key(key());
            }
            let to = builder.open().await.unwrap();
            let running = connect(&from, &to);
            soon(to.get(0)).await.unwrap();
            let bytes = from.byte_length().get();
            let error = to.seek(bytes / 3).wait(Wait::No).await.unwrap_err();
            assert!(matches!(error, SeekError::NotLocal { .. }), "{error}");
            for byte in [bytes / 3, 1, bytes - 1, bytes, bytes / 2] {
                assert_eq!(
                    soon(to.seek(byte)).await.unwrap(),
                    from.seek_local(byte).unwrap()
                );
            }
            assert!(
                to.count(..) < 60,
                "the search is no download: {}",
                to.count(..)
            );
            drop(running);
        }
    });
}

#[test]
fn hashes_of_the_tree_at_every_length() {
    block_on(async {
        let log = writer().await;
        let mut hashes = vec![log.head().tree_hash()];
        for index in 0..20 {
            log.append(block(index)).await.unwrap();
            hashes.push(log.head().tree_hash());
        }
        for (length, hash) in (0..).zip(&hashes) {
            assert_eq!(log.tree_hash(length).await.unwrap(), *hash);
        }
        let empty = writer().await;
        assert_eq!(empty.tree_hash(0).await.unwrap(), hashes[0]);
        let other = writer().await;
        other.append("other").await.unwrap();
        assert_ne!(other.tree_hash(1).await.unwrap(), hashes[1]);
        let error = log.tree_hash(21).wait(Wait::No).await.unwrap_err();
        assert!(
            matches!(
                error,
                TreeHashError::Block {
                    source: GetError::NotLocal { .. },
                    ..
                }
            ),
            "{error}"
        );
        let mut hash = Box::pin(log.tree_hash(21).into_future());
        assert!(poll_once(&mut hash).await.is_none());
        log.append("one more").await.unwrap();
        assert_eq!(soon(hash).await.unwrap(), log.head().tree_hash());
    });
}

#[test]
fn a_sparse_reader_fetches_the_last_block_below() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..30).map(block)).await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        for length in [13, 30, 1, 16] {
            let hash = soon(to.tree_hash(length)).await.unwrap();
            assert_eq!(hash, from.tree_hash(length).await.unwrap());
        }
        assert!(to.has(12..13), "the block before");
        assert!(to.count(..) <= 4);
        drop(running);
    });
}
