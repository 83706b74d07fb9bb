//! A writer that was restored from a backup finds out, before it appends, that its peers have more.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hypercore::{AppendError, Hypercore, Length, PeerCheck, Storage};

use crate::peers::{connect, opened, reader, soon};

const LONG: Duration = Duration::from_secs(120);

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn open(path: &Path, check: PeerCheck) -> Hypercore {
    let builder = Hypercore::builder(Storage::disk(path)).check_peers(check);
    builder.open().await.unwrap()
}

#[async_std::test]
async fn a_backup_behind_its_peers_is_found_out_before_the_first_append() {
    let directory = tempfile::tempdir().unwrap();
    let (path, backup) = (
        directory.path().join("log"),
        directory.path().join("backup"),
    );
    let log = opened(Storage::disk(&path)).await;
    log.append_batch(["a", "b", "c"]).await.unwrap();
    log.close().await.unwrap();
    copy_all(&path, &backup);
    let log = opened(Storage::disk(&path)).await;
    log.append_batch(["d", "e"]).await.unwrap();
    let peer = reader(&log).await;
    let connections = connect(&log, &peer);
    soon(peer.download(..5)).await.unwrap();
    log.close().await.unwrap();
    drop(connections);

    let restored = open(&backup, PeerCheck::within(LONG)).await;
    assert_eq!(restored.length(), Length::new(3));
    let _connections = connect(&restored, &peer);
    match soon(restored.append("x")).await {
        Err(AppendError::Behind { had, length }) => {
            assert_eq!((had, length), (Length::new(3), Length::new(5)));
        }
        other => panic!("{other:?}"),
    }
    // it has what its peer has, and goes on from there
    assert_eq!(restored.length(), Length::new(5));
    let appended = soon(restored.append("f")).await.unwrap();
    assert_eq!(appended.length, Length::new(6));
    assert_eq!(soon(restored.get(4)).await.unwrap(), "e");
    assert_eq!(soon(peer.get(5)).await.unwrap(), "f");
}

#[async_std::test]
async fn a_log_that_no_peer_has_more_of_is_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path(), PeerCheck::within(LONG).required()).await;
    let peer = reader(&log).await;
    let _connections = connect(&log, &peer);
    soon(log.append("a")).await.unwrap();
    soon(log.append("b")).await.unwrap();
    assert_eq!(soon(peer.get(1)).await.unwrap(), "b");
}

#[async_std::test]
async fn without_a_peer_it_depends_on_whether_one_is_required() {
    let directory = tempfile::tempdir().unwrap();
    let soon = Duration::from_millis(20);
    let log = open(directory.path(), PeerCheck::within(soon).required()).await;
    for _ in 0..2 {
        let refused = log.append("a").await;
        assert!(matches!(refused, Err(AppendError::NoPeer)), "{refused:?}");
    }
    log.close().await.unwrap();
    let log = open(directory.path(), PeerCheck::within(soon)).await;
    log.append("a").await.unwrap();
    assert_eq!(log.length(), Length::new(1));
}
