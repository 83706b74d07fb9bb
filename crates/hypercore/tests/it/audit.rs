//! What does not hold is found, dropped, and fetched again.

use std::fs;
use std::path::Path;

use async_std::task::block_on;
use hypercore::{GetError, Hypercore, Length, LogAuditError, Storage};

use crate::peers::{connect, disconnect, opened, reader, soon, writer};

fn block(index: u64) -> String {
    format!("block {index:03} of the log ").repeat(10)
}

/// Flips a bit of the only stored block with this text.
pub(crate) fn damage(dir: &Path, text: &str) {
    let segment = dir.join("log").join("00000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes
        .windows(text.len())
        .position(|window| window == text.as_bytes());
    bytes[at.unwrap() + text.len() / 2] ^= 1;
    fs::write(&segment, bytes).unwrap();
}

#[test]
fn damaged_blocks_are_dropped_and_fetched_again() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..50).map(block)).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            Hypercore::builder(Storage::disk(dir.path()))
                .key(from.key())
                .open()
        };
        let to = open().await.unwrap();
        let connection = connect(&from, &to);
        soon(to.download(..50)).await.unwrap();
        disconnect(connection).await;
        let clean = to.audit().await.unwrap();
        assert!(clean.is_ok());
        assert_eq!(
            (clean.blocks, clean.contiguous_length),
            (50, Length::new(50))
        );
        // The last frame of a store is read whenever it is opened, the others when they are needed.
        to.set_user_data("last", "frame").await.unwrap();
        to.close().await.unwrap();
        for index in [7, 8, 31] {
            damage(dir.path(), &block(index));
        }

        let to = open().await.unwrap();
        assert!(to.get(7).local().await.is_err());
        let dry = to.audit_dry_run().unwrap();
        assert_eq!(dry.bad, [7, 8, 31].map(Into::into));
        assert!(to.has(..), "nothing was dropped");
        let audit = to.audit().await.unwrap();
        assert_eq!((audit.blocks, &audit.bad), (50, &dry.bad));
        assert_eq!(audit.contiguous_length, Length::new(7));
        assert_eq!(to.count(..), 47);
        let gone = to.get(8).local().await;
        assert!(matches!(gone, Err(GetError::NotLocal { .. })), "{gone:?}");
        assert!(to.audit().await.unwrap().is_ok());

        let _connection = connect(&from, &to);
        soon(to.download(..50)).await.unwrap();
        for index in 0..50 {
            assert_eq!(to.get(index).local().await.unwrap(), block(index));
        }
        assert!(to.audit().await.unwrap().is_ok());
    });
}

#[test]
fn nothing_is_dropped_where_nothing_can_be_written_or_said() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let log = opened(Storage::disk(dir.path())).await;
        log.append("a").await.unwrap();
        let beside = opened(Storage::read_only(dir.path())).await;
        assert!(matches!(beside.audit().await, Err(LogAuditError::ReadOnly)));
        assert!(beside.audit_dry_run().unwrap().is_ok());
        log.close().await.unwrap();
        assert!(log.audit().await.is_err());
        let empty = reader(&log).await;
        assert_eq!(empty.audit().await.unwrap().blocks, 0);
    });
}
