//! How connections, and whoever waits for something, come to an end.

use std::time::Duration;

use async_std::task::{self, block_on};
use futures_lite::future::{self, poll_once};
use hypercore::{
    DownloadError, Ended, GetError, Hypercore, ReplicateError, Replication, Role, Storage,
    StoreOptions,
};

use crate::peers::{asked, block, connect, reader, soon, writer};
use crate::pipe::pipe;

#[test]
fn who_has_another_key_is_refused() {
    block_on(async {
        let from = writer().await;
        from.append("hello").await.unwrap();
        let other = writer().await;
        let (left, right) = connect(&from, &other);
        let (left, right) = soon(future::zip(left, right)).await;
        assert!(
            matches!(
                left,
                Err(ReplicateError::Refused { .. }) | Ok(Ended::ByRemote)
            ),
            "{left:?}"
        );
        assert!(
            matches!(
                right,
                Err(ReplicateError::Refused { .. }) | Ok(Ended::ByRemote)
            ),
            "{right:?}"
        );
        assert!(left.is_err() || right.is_err());
    });
}

#[test]
fn where_a_log_was_shared_the_refusal_of_another_is_no_error() {
    block_on(async {
        let (from, own) = (writer().await, writer().await);
        from.append("hello").await.unwrap();
        let to = reader(&from).await;
        let (left, right) = pipe();
        let right = Replication::over(right, Role::Initiator).add(&own).add(&to);
        let (left, right) = (
            task::spawn(from.replicate(left, Role::Responder)),
            task::spawn(right.start()),
        );
        assert_eq!(soon(to.get(0)).await.unwrap(), "hello");
        // What is left open was refused.
        to.close_all().await.unwrap();
        assert_eq!(soon(right).await.unwrap(), Ended::ByUs);
        assert_eq!(soon(left).await.unwrap(), Ended::ByRemote);
    });
}

#[test]
fn noise_instead_of_a_handshake_is_an_error() {
    block_on(async {
        let log = writer().await;
        let (ours, mut theirs) = pipe();
        let connection = task::spawn(log.replicate(ours, Role::Responder));
        futures_lite::AsyncWriteExt::write_all(&mut theirs, &[b'x'; 5000])
            .await
            .unwrap();
        let error = soon(connection).await.unwrap_err();
        assert!(matches!(error, ReplicateError::Link(_)), "{error}");
        assert!(error.is_remotes_fault());
    });
}

#[test]
fn a_handshake_has_to_end_in_time() {
    block_on(async {
        let log = writer().await;
        let (ours, _theirs) = pipe();
        let connection = Replication::over(ours, Role::Responder)
            .add(&log)
            .handshake_timeout(Duration::from_millis(30))
            .start();
        let error = soon(connection).await.unwrap_err();
        assert!(
            matches!(error, ReplicateError::HandshakeTimedOut),
            "{error}"
        );
    });
}

#[test]
fn a_remote_that_goes_before_the_handshake_is_noticed() {
    block_on(async {
        let log = writer().await;
        let (ours, theirs) = pipe();
        let connection = task::spawn(log.replicate(ours, Role::Responder));
        drop(theirs);
        let error = soon(connection).await.unwrap_err();
        assert!(
            matches!(error, ReplicateError::NoHandshake | ReplicateError::Io(_)),
            "{error}"
        );
    });
}

#[test]
fn waiting_ends_in_time() {
    block_on(async {
        let log = reader(&writer().await).await;
        let wait = Duration::from_millis(20);
        let error = log.get(0).timeout(wait).await.unwrap_err();
        assert!(matches!(error, GetError::TimedOut { .. }), "{error}");
        assert!(matches!(
            log.get(0).local().await.unwrap_err(),
            GetError::NotLocal { .. }
        ));
        let error = log.download(..10).timeout(wait).await.unwrap_err();
        assert!(matches!(error, DownloadError::TimedOut), "{error}");
        assert!(!soon(log.update()).await.unwrap(), "nobody to ask");
    });
}

#[test]
fn closing_ends_everything_that_waits() {
    block_on(async {
        let from = writer().await;
        let to = reader(&from).await;
        let (left, right) = connect(&from, &to);
        let (download, mut watch) = (to.download(..9).start(), to.watch());
        let get = asked(to.get(7)).await;
        soon(async {
            while to.peers().is_empty() {
                task::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        to.close().await.unwrap();
        assert!(matches!(soon(get).await.unwrap_err(), GetError::Closed));
        assert!(matches!(
            soon(download).await.unwrap_err(),
            DownloadError::Closed
        ));
        soon(async { while watch.next().await.is_some() {} }).await;
        assert_eq!(soon(right).await.unwrap(), Ended::ByUs);
        let left = soon(left).await;
        assert!(
            matches!(left, Ok(Ended::ByRemote) | Err(ReplicateError::Io(_))),
            "{left:?}"
        );
        assert!(!from.is_closed());
    });
}

#[test]
fn closing_one_handle_ends_what_waits_on_it_alone() {
    block_on(async {
        let log = reader(&writer().await).await;
        let other = log.clone();
        let ending = asked(log.get(0)).await;
        let mut staying = asked(other.get(0)).await;
        log.close().await.unwrap();
        assert!(matches!(soon(ending).await.unwrap_err(), GetError::Closed));
        assert!(poll_once(&mut staying).await.is_none());
    });
}

#[test]
fn closing_one_log_leaves_the_others_on_its_connection() {
    block_on(async {
        let (a, b) = (writer().await, writer().await);
        let (to_a, to_b) = (reader(&a).await, reader(&b).await);
        let (left, right) = pipe();
        let over = |end, role| Replication::over(end, role);
        let _server = task::spawn(over(left, Role::Responder).add(&a).add(&b).start());
        let mut client = task::spawn(over(right, Role::Initiator).add(&to_a).add(&to_b).start());
        a.append("a").await.unwrap();
        assert_eq!(soon(to_a.get(0)).await.unwrap(), "a");
        a.close().await.unwrap();
        let mut events = to_a.events();
        while !to_a.peers().is_empty() {
            soon(events.next()).await;
        }
        b.append("b").await.unwrap();
        assert_eq!(soon(to_b.get(0)).await.unwrap(), "b");
        assert!(poll_once(&mut client).await.is_none());
        b.close().await.unwrap();
        assert_eq!(soon(client).await.unwrap(), Ended::ByRemote);
    });
}

#[test]
fn a_disk_that_is_full_ends_all_that_waits_for_what_does_not_fit() {
    use hc_storage::fault::{Fault, FaultDisk};
    block_on(async {
        let from = writer().await;
        from.append_batch((0..100).map(block)).await.unwrap();
        let disk = FaultDisk::new();
        let store = disk.open(StoreOptions::default().create(true)).unwrap();
        let storage = Storage::open(std::sync::Arc::new(store));
        let to = Hypercore::builder(storage)
            .key(from.key())
            .open()
            .await
            .unwrap();
        for call in disk.calls()..disk.calls() + 10_000 {
            disk.arm(call, Fault::Refuse(std::io::ErrorKind::StorageFull));
        }
        let download = to.download(..100).start();
        let get = to.get(7);
        let (left, right) = connect(&from, &to);
        let error = soon(download).await.unwrap_err();
        assert!(matches!(error, DownloadError::Storage(_)), "{error}");
        let error = soon(get).await.unwrap_err();
        assert!(matches!(error, GetError::Unstorable { .. }), "{error}");
        let error = soon(right).await.unwrap_err();
        assert!(matches!(error, ReplicateError::Storage { .. }), "{error}");
        let left = soon(left).await;
        assert!(
            matches!(left, Ok(Ended::ByRemote) | Err(ReplicateError::Io(_))),
            "{left:?}"
        );
        assert_eq!(to.count(..), 0);
    });
}
