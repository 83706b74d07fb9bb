//! Several handles of one log, each with its own options.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hypercore::encryption::EncryptionKey;
use hypercore::{
    AppendError, CoreKey, GetError, Hypercore, KeyPair, Manifest, SessionError, Sessions, Storage,
    Wait,
};

use crate::peers::{connect, reader, soon, writer};

fn closed(log: &Hypercore) -> SessionError {
    let log = log.discovery_key();
    SessionError::Closed { log }
}

#[test]
fn sessions_share_the_log() {
    block_on(async {
        let log = writer().await;
        let session = log.session().open().unwrap();
        assert_eq!((session.id(), session.key()), (log.id(), log.key()));
        session.append("a").await.unwrap();
        log.append("b").await.unwrap();
        for handle in [&log, &session] {
            assert_eq!(handle.get(0).await.unwrap(), "a");
            assert_eq!(handle.get(1).await.unwrap(), "b");
        }
        log.close().await.unwrap();
        let error = log.session().open().unwrap_err();
        assert_eq!(error, closed(&log));
        let named = log.discovery_key().to_z32();
        assert!(error.to_string().contains(&named), "it says which log");
        assert_eq!(session.get(0).await.unwrap(), "a", "closed by itself");
    });
}

#[test]
fn a_session_that_only_reads_leaves_its_parent_alone_and_hands_that_on() {
    block_on(async {
        let log = writer().await;
        let session = log.session().read_only().open().unwrap();
        let child = session.session().open().unwrap();
        let clone = child.clone();
        for handle in [&session, &child, &clone] {
            assert!(!handle.is_writable());
            let error = handle.append("a").await.unwrap_err();
            assert!(matches!(error, AppendError::NotWritable), "{error}");
        }
        assert!(log.is_writable());
        log.append("a").await.unwrap();
    });
}

#[test]
fn a_reader_gets_a_session_that_can_write_with_the_key_pair() {
    block_on(async {
        let keys = KeyPair::from_seed(&[5; 32]);
        let compat = CoreKey(*keys.public_key().as_bytes());
        for key in [Manifest::single(keys.public_key()).key(), compat] {
            let log = Hypercore::builder(Storage::memory())
                .key(key)
                .open()
                .await
                .unwrap();
            let blind = log.session().open().unwrap();
            let session = log.session().key_pair(keys.clone()).open().unwrap();
            let child = session.session().open().unwrap();
            assert!(!log.is_writable() && !blind.is_writable());
            assert!(session.is_writable() && child.is_writable());
            session.append("a").await.unwrap();
            child.append("b").await.unwrap();
            let error = blind.append("c").await.unwrap_err();
            assert!(matches!(error, AppendError::NotWritable), "{error}");
            log.authority()
                .verifier()
                .unwrap()
                .verify(&log.head())
                .unwrap();
            assert_eq!(log.get(1).await.unwrap(), "b");
            session.truncate(1).await.unwrap();
            assert_eq!(log.fork().get(), 1);
        }
    });
}

#[test]
fn a_key_pair_that_may_not_sign_shows_when_it_has_to() {
    block_on(async {
        let mut log = writer().await;
        let other = log.session().open().unwrap();
        log.append("a").await.unwrap();
        log.set_key_pair(KeyPair::from_seed(&[8; 32]));
        let error = log.append("b").await.unwrap_err();
        assert!(matches!(error, AppendError::Sign(_)), "{error}");
        let error = log.truncate(0).await.unwrap_err();
        assert!(
            matches!(error, hypercore::TruncateError::Sign(_)),
            "{error}"
        );
        other.append("b").await.unwrap();
        assert_eq!(log.length().get(), 2);
    });
}

#[test]
fn how_long_to_wait_is_inherited_and_overridden() {
    block_on(async {
        let log = writer().await;
        assert_eq!(log.default_wait(), Wait::Forever);
        let impatient = log.session().wait(Wait::No).open().unwrap();
        let child = impatient.session().open().unwrap();
        let patient = child
            .session()
            .timeout(Duration::from_millis(20))
            .open()
            .unwrap();
        for handle in [&impatient, &child] {
            let error = handle.get(0).await.unwrap_err();
            assert!(matches!(error, GetError::NotLocal { .. }), "{error}");
        }
        let error = child
            .get(0)
            .timeout(Duration::from_millis(5))
            .await
            .unwrap_err();
        assert!(matches!(error, GetError::TimedOut { .. }), "{error}");
        let error = patient.get(0).await.unwrap_err();
        assert!(matches!(error, GetError::TimedOut { .. }), "{error}");
        assert_eq!(
            (
                log.waits(),
                impatient.waits(),
                child.waits(),
                patient.waits()
            ),
            (0, 0, 1, 1)
        );
        // and it can be waited again
        let endless = patient.session().wait(Wait::Forever).open().unwrap();
        assert_eq!(endless.default_wait(), Wait::Forever);
        let mut get = Box::pin(patient.get(0).wait(Wait::Forever).into_future());
        assert!(poll_once(&mut get).await.is_none());
        log.append("a").await.unwrap();
        assert_eq!(soon(get).await.unwrap(), "a");
    });
}

#[test]
fn a_log_can_be_opened_with_a_time_to_wait() {
    block_on(async {
        let log = Hypercore::builder(Storage::memory())
            .timeout(Duration::from_millis(5))
            .open()
            .await
            .unwrap();
        for handle in [log.clone(), log.session().open().unwrap()] {
            let error = handle.get(0).await.unwrap_err();
            assert!(matches!(error, GetError::TimedOut { .. }), "{error}");
            let mut get = Box::pin(handle.get(0).wait(Wait::Forever).into_future());
            assert!(poll_once(&mut get).await.is_none());
        }
        let slow = log.get(0).timeout(Duration::from_secs(60));
        let (got, appended) = futures_lite::future::zip(slow.into_future(), async {
            async_std::task::sleep(Duration::from_millis(20)).await;
            log.append("a").await
        })
        .await;
        appended.unwrap();
        assert_eq!(got.unwrap(), "a", "the longer time counts");
    });
}

#[test]
fn who_wants_to_know_of_waiting_is_told_once_for_each_get() {
    block_on(async {
        let (of_session, of_call) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let log = writer().await;
        log.append("here").await.unwrap();
        let count = of_session.clone();
        let session = log
            .session()
            .on_wait(move |index| {
                assert_eq!(index.get(), 1);
                count.fetch_add(1, Ordering::SeqCst);
            })
            .open()
            .unwrap();
        session.get(0).await.unwrap();
        assert_eq!(
            of_session.load(Ordering::SeqCst),
            0,
            "it did not have to wait"
        );
        let (count, earlier) = (of_call.clone(), of_session.clone());
        let get = session.get(1).on_wait(move |_| {
            assert_eq!(earlier.load(Ordering::SeqCst), 0, "the call comes first");
            count.fetch_add(1, Ordering::SeqCst);
        });
        let mut get = Box::pin(get.into_future());
        assert!(poll_once(&mut get).await.is_none());
        assert_eq!(session.waits(), 1);
        log.append("there").await.unwrap();
        assert_eq!(soon(get).await.unwrap(), "there");
        let told = (
            of_session.load(Ordering::SeqCst),
            of_call.load(Ordering::SeqCst),
        );
        assert_eq!(told, (1, 1));
        assert_eq!(log.waits(), 0);
    });
}

#[test]
fn exclusive_sessions_come_one_after_the_other() {
    block_on(async {
        let log = writer().await;
        let first = log.session().exclusive().await.unwrap();
        let mut second = Box::pin(log.session().exclusive());
        let mut third = Box::pin(log.session().exclusive());
        assert!(poll_once(&mut second).await.is_none());
        assert!(poll_once(&mut third).await.is_none());
        log.append("anybody else may write").await.unwrap();
        first.close().await.unwrap();
        let second = soon(second).await.unwrap();
        assert!(poll_once(&mut third).await.is_none());
        drop(second);
        let third = soon(third).await.unwrap();
        let mut fourth = Box::pin(log.session().exclusive());
        assert!(poll_once(&mut fourth).await.is_none());
        log.close_all().await.unwrap();
        assert_eq!(soon(fourth).await.unwrap_err(), closed(&log));
        assert!(third.is_closed());
    });
}

#[test]
fn weak_sessions_do_not_keep_a_log_open() {
    block_on(async {
        let log = writer().await;
        log.append("a").await.unwrap();
        let strong = log.session().open().unwrap();
        let weak = log.session().weak().open().unwrap();
        let child = weak.session().open().unwrap();
        let count = |log: &Hypercore| log.sessions();
        assert_eq!(count(&log), Sessions { strong: 2, weak: 2 });
        child.close().await.unwrap();
        log.close().await.unwrap();
        assert_eq!(count(&weak), Sessions { strong: 1, weak: 1 });
        assert_eq!(weak.get(0).await.unwrap(), "a");
        strong.close().await.unwrap();
        assert!(weak.is_closed());
        assert!(matches!(weak.get(0).await.unwrap_err(), GetError::Closed));

        let log = writer().await;
        let weak = log.session().weak().open().unwrap();
        drop(log);
        assert!(weak.is_closed());
    });
}

#[test]
fn a_closed_session_ends_what_waits_on_it_and_nothing_else() {
    block_on(async {
        let from = writer().await;
        from.append("a").await.unwrap();
        let log = reader(&from).await;
        let session = log.session().open().unwrap();
        let get = session.get(5).into_future();
        let seek = session.seek(99).into_future();
        let hash = session.tree_hash(9).into_future();
        let download = session.download(..9).start();
        let finding = log.finding_peers();
        let update = session.update().into_future();
        let mut of_other = Box::pin(log.get(0).into_future());
        assert!(poll_once(&mut of_other).await.is_none());
        let mut all = Box::pin(async move {
            let (get, seek) = futures_lite::future::zip(get, seek).await;
            let (hash, download) = futures_lite::future::zip(hash, download).await;
            (get, seek, hash, download, update.await)
        });
        assert!(poll_once(&mut all).await.is_none());
        session.close().await.unwrap();
        let (get, seek, hash, download, update) = soon(all).await;
        assert!(matches!(get, Err(GetError::Closed)), "{get:?}");
        assert!(
            matches!(seek, Err(hypercore::SeekError::Closed)),
            "{seek:?}"
        );
        let of_hash = hypercore::TreeHashError::Block {
            length: hypercore::Length::new(9),
            source: GetError::Closed,
        };
        assert_eq!(hash.unwrap_err().to_string(), of_hash.to_string());
        assert!(
            matches!(download, Err(hypercore::DownloadError::Closed)),
            "{download:?}"
        );
        assert!(
            matches!(update, Err(hypercore::UpdateError::Closed)),
            "{update:?}"
        );
        drop(finding);
        let running = connect(&from, &log);
        assert_eq!(soon(of_other).await.unwrap(), "a");
        drop(running);
    });
}

#[test]
fn closing_many_times_at_once_is_one_close() {
    block_on(async {
        let log = writer().await;
        let mut events = log.events();
        let waiting = log.session().open().unwrap();
        drop(waiting);
        let mut closes: Vec<_> = (0..3).map(|_| Box::pin(log.close())).collect();
        for close in &mut closes {
            // All are under way before one is waited for.
            let _ = poll_once(close.as_mut()).await;
        }
        let mut told: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        for _ in 0..3 {
            log.close().await.unwrap();
            told.extend(std::iter::from_fn(|| events.try_next()));
            assert_eq!(told, [hypercore::Event::Close], "told before, and once");
        }
        assert!(log.is_closed());
        log.close().await.unwrap();
        assert_eq!(events.next().await, None);
    });
}

#[test]
fn an_encrypted_session_on_a_plain_log() {
    block_on(async {
        let log = writer().await;
        let key = || EncryptionKey::from_bytes([6; 32]);
        let session = log.session().encryption_key(key()).open().unwrap();
        let child = session.session().open().unwrap();
        session.append("secret").await.unwrap();
        child.append("more").await.unwrap();
        log.append("plain").await.unwrap();
        assert_eq!(session.get(0).await.unwrap(), "secret");
        assert_eq!(child.get(1).await.unwrap(), "more");
        let stored = log.get(0).await.unwrap();
        assert_eq!(stored.len(), 6 + 8);
        assert_eq!(stored, session.get(0).raw().await.unwrap());
        assert_eq!(session.get(0).encrypted().await.unwrap(), stored.slice(8..));
        assert_eq!((log.padding(), session.padding()), (0, 8));
        assert_eq!(log.get(2).await.unwrap(), "plain");
    });
}

#[test]
fn sessions_of_an_encrypted_log_encrypt_too() {
    block_on(async {
        let key = || EncryptionKey::from_bytes([6; 32]);
        let log = Hypercore::builder(Storage::memory())
            .encryption_key(key())
            .open()
            .await
            .unwrap();
        let inherited = log.session().open().unwrap();
        let same = log.session().encryption_key(key()).open().unwrap();
        for handle in [&log, &inherited, &same] {
            handle.append("secret").await.unwrap();
        }
        for index in 0..3 {
            for handle in [&log, &inherited, &same] {
                assert_eq!(handle.get(index).await.unwrap(), "secret");
                assert_ne!(handle.get(index).encrypted().await.unwrap(), "secret");
                assert_eq!(handle.get(index).encrypted().await.unwrap().len(), 6);
            }
        }
    });
}
