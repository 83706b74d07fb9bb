//! Bytes that are looked for at peers.

use std::time::Duration;

use async_std::task::block_on;
use hypercore::encryption::EncryptionKey;
use hypercore::{Hypercore, Position, SeekError, Storage, Wait};

use crate::peers::{asked, block, connect, disconnect, reader, soon, writer};

/// A writer of this many blocks.
async fn written(blocks: u64) -> Hypercore {
    let from = writer().await;
    from.append_batch((0..blocks).map(block)).await.unwrap();
    from
}

/// The blocks have no byte in common with their neighbours' lengths: where a byte is for sure.
fn truth(from: &Hypercore, byte: u64) -> Position {
    from.seek_local(byte).unwrap()
}

#[test]
fn a_byte_is_found_at_a_peer_with_next_to_nothing_stored() {
    block_on(async {
        let from = written(300).await;
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        let end = from.byte_length().get();
        for byte in [1, 6, 2000, end / 2, end - 1] {
            assert_eq!(soon(to.seek(byte)).await.unwrap(), truth(&from, byte));
        }
        assert!(to.count(..) <= 5);
        // what was found is known from then on
        assert_eq!(
            to.seek(2000).wait(Wait::No).await.unwrap(),
            truth(&from, 2000)
        );
        // the last byte and the one after it
        let past = soon(to.seek(end)).await.unwrap();
        assert_eq!((past.index, past.offset), (300.into(), 0));
        let start = soon(to.seek(0)).await.unwrap();
        assert_eq!((start.index, start.offset), (0.into(), 0));
    });
}

#[test]
fn a_byte_of_a_log_that_only_the_last_block_is_here_of() {
    block_on(async {
        let from = written(10).await;
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        soon(to.get(9)).await.unwrap();
        assert_eq!(soon(to.seek(5)).await.unwrap(), truth(&from, 5));
    });
}

#[test]
fn what_is_not_stored_is_not_waited_for_unless_wanted() {
    block_on(async {
        let from = written(64).await;
        let to = reader(&from).await;
        let byte = from.byte_length().get() / 2;
        // nothing is known yet
        let unknown = to.seek(byte).wait(Wait::No).await;
        assert!(
            matches!(unknown, Err(SeekError::PastEnd { .. })),
            "{unknown:?}"
        );
        let late = to.seek(byte).timeout(Duration::from_millis(20)).await;
        assert!(matches!(late, Err(SeekError::TimedOut { .. })), "{late:?}");
        let connection = connect(&from, &to);
        // `false` where the new length was already here
        soon(to.update()).await.unwrap();
        assert_eq!(to.length(), from.length());
        let unknown = to.seek(byte).wait(Wait::No).await;
        assert!(
            matches!(unknown, Err(SeekError::NotLocal { .. })),
            "{unknown:?}"
        );
        disconnect(connection).await;
        let late = to.seek(byte).timeout(Duration::from_millis(20)).await;
        assert!(matches!(late, Err(SeekError::TimedOut { .. })), "{late:?}");
        let _connection = connect(&from, &to);
        soon(to.seek(byte)).await.unwrap();
        assert_eq!(
            to.seek(byte).wait(Wait::No).await.unwrap(),
            truth(&from, byte)
        );
    });
}

#[test]
fn a_byte_past_the_end_is_waited_for() {
    block_on(async {
        let from = written(5).await;
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        let byte = from.byte_length().get() + 10;
        let late = to.seek(byte).timeout(Duration::from_millis(20)).await;
        assert!(matches!(late, Err(SeekError::TimedOut { .. })), "{late:?}");
        let seek = asked(to.seek(byte)).await;
        from.append_batch((5..40).map(block)).await.unwrap();
        assert_eq!(soon(seek).await.unwrap(), truth(&from, byte));
    });
}

#[test]
fn one_seek_that_is_dropped_leaves_the_others_and_a_download_leaves_them_all() {
    block_on(async {
        let from = written(390).await;
        let to = reader(&from).await;
        let mut seeks = Vec::new();
        for byte in (1..8).map(|part| from.byte_length().get() / 8 * part) {
            seeks.push((byte, asked(to.seek(byte)).await));
        }
        let download = to.download(..390).start();
        let _connection = connect(&from, &to);
        for (number, (byte, seek)) in seeks.into_iter().enumerate() {
            if number % 2 == 0 {
                drop(seek);
            } else {
                assert_eq!(soon(seek).await.unwrap(), truth(&from, byte));
            }
        }
        soon(download).await.unwrap();
    });
}

#[test]
fn bytes_of_an_encrypted_log_are_those_of_its_plain_text() {
    block_on(async {
        let key = || EncryptionKey::from_bytes([9; 32]);
        for compat in [false, true] {
            let builder = Hypercore::builder(Storage::memory()).encryption_key(key());
            let builder = if compat { builder.compat() } else { builder };
            let from = builder.open().await.unwrap();
            from.append_batch((0..200).map(block)).await.unwrap();
            let builder = Hypercore::builder(Storage::memory()).key(from.key());
            let to = builder.encryption_key(key()).open().await.unwrap();
            let _connection = connect(&from, &to);
            for byte in [1, 77_777, from.byte_length().get() - 1] {
                let found = soon(to.seek(byte)).await.unwrap();
                assert_eq!(found, truth(&from, byte), "{compat}");
            }
            assert!(to.count(..) <= 3);
        }
    });
}

#[test]
fn a_seek_ends_with_its_handle() {
    block_on(async {
        let from = written(5).await;
        let to = reader(&from).await;
        let other = to.clone();
        let seek = asked(to.seek(1)).await;
        to.close().await.unwrap();
        assert!(matches!(soon(seek).await, Err(SeekError::Closed)));
        let _connection = connect(&from, &other);
        assert_eq!(soon(other.seek(1)).await.unwrap(), truth(&from, 1));
    });
}
