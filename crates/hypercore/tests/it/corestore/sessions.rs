//! Sessions and namespaces: what closes with what, and that nothing is left of those that are closed.

use async_std::task::{block_on, spawn};
use hypercore::{CoreKey, Corestore, Durability, Event, OpenError, Storage};

use super::{first, in_memory};
use crate::peers::soon;

#[test]
fn a_session_closes_what_it_opened_and_the_clones_of_it() {
    block_on(async {
        let store = in_memory().await;
        let session = store.session();
        let a = session.get("test").await.unwrap();
        let b = a.clone();
        let elsewhere = store.get("test").await.unwrap();
        let waiting = spawn({
            let log = b.clone();
            async move { log.get(7).await }
        });
        session.close().await.unwrap();
        assert!(a.is_closed() && b.is_closed());
        assert!(soon(waiting).await.is_err());
        assert!(!elsewhere.is_closed());
        elsewhere.append("still open").await.unwrap();
        assert!(session.is_closed() && !store.is_closed());
        assert!(matches!(session.get("test").await, Err(OpenError::Closed)));
        assert!(a.clone().is_closed(), "a clone of what is closed is closed");
        let mut events = elsewhere.events();
        store.close().await.unwrap();
        assert!(elsewhere.is_closed());
        assert_eq!(events.next().await, Some(Event::Close));
        assert!(matches!(store.get("test").await, Err(OpenError::Closed)));
        store.close().await.unwrap();
    });
}

#[test]
fn a_read_only_session_writes_nothing() {
    block_on(async {
        let store = in_memory().await;
        let log = store.get("test").await.unwrap();
        let looking = store.read_only().namespace("inside");
        let inside = looking.get("test").await.unwrap();
        assert!(!inside.is_writable() && log.is_writable());
        assert!(inside.append("x").await.is_err());
        assert!(!store.get("test").read_only().await.unwrap().is_writable());
    });
}

#[test]
fn closing_the_store_closes_all_sessions() {
    block_on(async {
        let store = in_memory().await;
        let (session, place) = (store.session(), store.namespace("place"));
        let log = place.get("test").await.unwrap();
        store.close().await.unwrap();
        assert!(session.is_closed() && place.is_closed() && log.is_closed());
        assert!(matches!(session.get("test").await, Err(OpenError::Closed)));
    });
}

#[test]
fn closed_sessions_do_not_accumulate() {
    block_on(async {
        let store = in_memory().await;
        let before = store.open_sessions();
        let sessions: Vec<_> = (0..10).map(|_| store.session()).collect();
        let places: Vec<_> = (0..10)
            .map(|at| store.namespace(&format!("ns-{at}")))
            .collect();
        assert_eq!(store.open_sessions(), before + 20);
        for session in sessions.iter().chain(&places) {
            session.close().await.unwrap();
        }
        assert_eq!(store.open_sessions(), before);
        drop(store.session());
        assert_eq!(store.open_sessions(), before, "nor do dropped ones");
    });
}

#[test]
fn a_thousand_opens_leave_nothing_behind() {
    block_on(async {
        let store = in_memory().await;
        for at in 0..1000 {
            let log = store.get(format!("log-{}", at % 50)).await.unwrap();
            let clone = log.clone();
            if at % 2 == 0 {
                log.close().await.unwrap();
                clone.close().await.unwrap();
            }
        }
        assert!(store.open_cores().is_empty());
    });
}

#[test]
fn a_search_for_peers_makes_updates_wait() {
    block_on(async {
        let store = in_memory().await;
        let before = store.get(CoreKey([1; 32])).await.unwrap();
        let searching = store.finding_peers();
        let second = store.finding_peers();
        let after = store.get(CoreKey([2; 32])).await.unwrap();
        let mut updates: Vec<_> = [before, after]
            .into_iter()
            .map(|log| Box::pin(async move { log.update().await }))
            .collect();
        drop(searching);
        for update in &mut updates {
            let early = futures_lite::future::poll_once(update).await;
            assert!(early.is_none(), "it waits");
        }
        drop(second);
        for update in updates {
            assert!(!soon(update).await.unwrap());
        }
    });
}

#[test]
fn closing_ends_a_search_for_peers() {
    block_on(async {
        let store = in_memory().await;
        let searching = store.finding_peers();
        let log = store.get(CoreKey([1; 32])).await.unwrap();
        let update = spawn(async move { log.update().await });
        store.close().await.unwrap();
        // It found nobody, or its log was closed: in any case it has ended.
        assert!(!soon(update).await.unwrap_or(false));
        drop(searching);
        let late = store.finding_peers();
        drop(late);
    });
}

#[test]
fn nothing_is_opened_while_the_store_is_suspended() {
    block_on(async {
        let store = in_memory().await;
        let log = store.get("open").await.unwrap();
        store.suspend().await.unwrap();
        let mut opening = Box::pin(async { store.get("later").await });
        assert!(
            futures_lite::future::poll_once(&mut opening)
                .await
                .is_none()
        );
        log.append("goes on").await.unwrap();
        store.resume();
        let later = soon(opening).await.unwrap();
        assert!(later.is_writable());
        assert_eq!(first(&log).await, "goes on");
    });
}

/// Nothing that was acknowledged waits for the end of the process, and nobody else gets the store.
#[test]
fn a_suspended_store_is_complete_on_disk_and_stays_locked() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = |path: &std::path::Path| Corestore::open(Storage::disk(path));
        let store = Corestore::builder(Storage::disk(dir.path()))
            .durability(Durability::Buffered)
            .open()
            .await
            .unwrap();
        let log = store.get("log").await.unwrap();
        log.append_batch(["a", "b"]).await.unwrap();
        store.suspend().await.unwrap();
        assert!(open(dir.path()).await.is_err(), "it has a writer");

        // What a process that is never resumed leaves behind.
        let copy = tempfile::tempdir().unwrap();
        std::fs::create_dir(copy.path().join("log")).unwrap();
        for name in ["log/00000000.seg", "SECRETS"] {
            std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
        }
        let left = open(copy.path()).await.unwrap();
        let again = left.get("log").await.unwrap();
        assert_eq!((again.key(), again.length().get()), (log.key(), 2));

        log.append("goes on").await.unwrap();
        store.resume();
        store.close().await.unwrap();
        let store = open(dir.path()).await.unwrap();
        assert_eq!(store.get("log").await.unwrap().length().get(), 3);
    });
}
