//! One connection for all logs of a store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_std::sync::Mutex;
use async_std::task::{block_on, spawn};
use futures_lite::future::poll_once;
use hypercore::rt::{AsyncStd, BoxFuture, Job, Runtime};
use hypercore::{
    CoreKey, Corestore, Durability, Ended, PullPolicy, Role, Sharing, Storage, StoreEvent,
};

use super::{connect, first, in_memory};
use crate::peers::{asked, soon};
use crate::pipe::pipe;

/// A store that lets go of what peers opened at once.
async fn hasty() -> Corestore {
    Corestore::builder(Storage::memory())
        .passive_linger(Duration::ZERO)
        .open()
        .await
        .unwrap()
}

/// A store with a log of each of these names, one block in each, none of them open.
async fn filled(store: &Corestore, names: &[&str]) -> Vec<CoreKey> {
    let mut keys = Vec::new();
    for name in names {
        let log = store.get(*name).await.unwrap();
        log.append(*name).await.unwrap();
        keys.push(log.key());
        log.close().await.unwrap();
    }
    keys
}

#[test]
fn a_log_that_is_only_stored_is_served() {
    block_on(async {
        let (from, to) = (in_memory().await, in_memory().await);
        let keys = filled(&from, &["foo", "bar"]).await;
        let copy = to.get(keys[0]).await.unwrap();
        let (one, other) = connect(&to, &from);
        assert_eq!(first(&copy).await, "foo");
        assert_eq!(from.open_cores().len(), 1, "opened for the peer");
        let late = to.get(keys[1]).await.unwrap();
        assert_eq!(first(&late).await, "bar");
        to.close().await.unwrap();
        assert_eq!(soon(one).await.unwrap(), Ended::ByUs);
        assert_eq!(soon(other).await.unwrap(), Ended::ByRemote);
        assert!(from.open_cores().is_empty());
    });
}

/// A disk that takes its time while this lock is held.
struct SlowDisk(Arc<Mutex<()>>);

impl Runtime for SlowDisk {
    fn now(&self) -> Instant {
        AsyncStd.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<()> {
        AsyncStd.sleep_until(deadline)
    }

    fn unblock(&self, job: Job) -> BoxFuture<()> {
        let slow = self.0.clone();
        Box::pin(async move {
            drop(slow.lock().await);
            AsyncStd.unblock(job).await;
        })
    }
}

#[test]
fn a_log_that_is_asked_for_while_it_is_being_closed_is_served_after_that() {
    block_on(async {
        let disk = Arc::new(Mutex::new(()));
        let dir = tempfile::tempdir().unwrap();
        let from = Corestore::builder(Storage::disk(dir.path()))
            .runtime(SlowDisk(disk.clone()))
            .durability(Durability::Disk);
        let (from, to) = (from.open().await.unwrap(), in_memory().await);
        let keys = filled(&from, &["foo", "bar"]).await;
        let log = from.get("foo").await.unwrap();
        let slow = disk.lock().await;
        let append = asked(log.append("late")).await;
        let close = asked(log.close_all()).await;
        let copy = to.get(keys[0]).await.unwrap();
        let (_one, _other) = connect(&to, &from);
        let mut late = asked(copy.get(1)).await;
        // What is asked for on the same connection after it comes:
        assert_eq!(first(&to.get(keys[1]).await.unwrap()).await, "bar");
        assert!(poll_once(&mut late).await.is_none());
        drop(slow);
        soon(append).await.unwrap();
        soon(close).await.unwrap();
        assert_eq!(soon(late).await.unwrap(), "late");
    });
}

#[test]
fn logs_opened_late_on_either_side_join() {
    block_on(async {
        let (a, b) = (in_memory().await, in_memory().await);
        let _connections = connect(&a, &b);
        let written = a.get("late").await.unwrap();
        let copy = b.get(written.key()).await.unwrap();
        written.append("after both").await.unwrap();
        assert_eq!(first(&copy).await, "after both");
        let back = b.get("other").await.unwrap();
        back.append("the other way").await.unwrap();
        let copy = a.get(back.key()).await.unwrap();
        assert_eq!(first(&copy).await, "the other way");
    });
}

#[test]
fn a_log_that_a_peer_wanted_is_closed_after_it() {
    block_on(async {
        let (from, to) = (hasty().await, in_memory().await);
        let keys = filled(&from, &["foo"]).await;
        let mut events = from.events();
        let _connections = connect(&to, &from);
        for _ in 0..3 {
            let copy = to.get(keys[0]).await.unwrap();
            assert_eq!(first(&copy).await, "foo");
            let opened = soon(events.next()).await;
            assert!(matches!(opened, Some(StoreEvent::Opened(_))));
            copy.close_all().await.unwrap();
            let closed = soon(events.next()).await;
            assert!(matches!(closed, Some(StoreEvent::Closed(core)) if core.key == keys[0]));
            assert!(from.open_cores().is_empty());
        }
    });
}

#[test]
fn a_log_with_peers_stays_when_its_last_handle_closes() {
    block_on(async {
        let (from, to) = (hasty().await, in_memory().await);
        let written = from.get("foo").await.unwrap();
        let copy = to.get(written.key()).await.unwrap();
        let _connections = connect(&to, &from);
        written.append("one").await.unwrap();
        assert_eq!(first(&copy).await, "one");
        written.close().await.unwrap();
        assert_eq!(from.open_cores().len(), 1);
        let again = from.get("foo").await.unwrap();
        again.append("two").await.unwrap();
        assert_eq!(soon(copy.get(1)).await.unwrap(), "two");
        drop(again);
        assert_eq!(from.open_cores().len(), 1);
        let mut events = from.events();
        copy.close_all().await.unwrap();
        assert!(matches!(
            soon(events.next()).await,
            Some(StoreEvent::Closed(_))
        ));
    });
}

#[test]
fn a_policy_says_what_a_remote_may_have() {
    block_on(async {
        let (from, to) = (in_memory().await, in_memory().await);
        let keys = filled(&from, &["public", "private"]).await;
        let open = from.get("private").await.unwrap();
        let sharing = Sharing::only([keys[0].discovery_key()]);
        let (left, right) = pipe();
        let serving = from.replication(left, Role::Responder, sharing).start();
        spawn(serving);
        spawn(to.replicate(right, Role::Initiator));
        let (public, private) = (
            to.get(keys[0]).await.unwrap(),
            to.get(keys[1]).await.unwrap(),
        );
        assert_eq!(first(&public).await, "public");
        assert!(!soon(private.update()).await.unwrap());
        assert!(open.peers().is_empty() && private.peers().is_empty());

        let seed = [7; 32];
        let (left, right) = pipe();
        let friend = {
            let (sender, receiver) = std::sync::mpsc::channel();
            let sharing = Sharing::policy(move |remote, log| {
                sender.send((*remote, *log)).ok();
                true
            });
            spawn(from.replication(left, Role::Responder, sharing).start());
            let known = to
                .replication(right, Role::Initiator, Sharing::All)
                .identity(seed);
            spawn(known.start());
            assert_eq!(first(&private).await, "private");
            receiver.recv().unwrap().0
        };
        assert_eq!(private.peers().len(), 1);
        let peers = open.peers();
        assert_eq!(peers[0].public_key, friend);
    });
}

#[test]
fn a_log_can_be_left_to_those_who_push() {
    block_on(async {
        let (from, to) = (in_memory().await, in_memory().await);
        let keys = filled(&from, &["foo"]).await;
        let copy = to.get(keys[0]).pull(PullPolicy::Forced).await.unwrap();
        let _connections = connect(&to, &from);
        let waiting = copy.get(0).timeout(Duration::from_millis(50)).await;
        assert!(waiting.is_err());
        assert_eq!(soon(copy.get(0).force()).await.unwrap(), "foo");
    });
}

#[test]
fn an_inactive_log_is_offered_to_nobody() {
    block_on(async {
        let (from, to) = (in_memory().await, in_memory().await);
        let quiet = from.get("quiet").inactive().await.unwrap();
        quiet.append("on request").await.unwrap();
        let loud = from.get("loud").await.unwrap();
        let there = to.get(loud.key()).await.unwrap();
        let _connections = connect(&to, &from);
        soon(there.update()).await.unwrap();
        assert_eq!((loud.peers().len(), quiet.peers().len()), (1, 0));
        let copy = to.get(quiet.key()).await.unwrap();
        assert_eq!(first(&copy).await, "on request");
    });
}

#[test]
fn nothing_is_replicated_while_the_store_is_suspended() {
    block_on(async {
        let (from, to) = (in_memory().await, in_memory().await);
        let written = from.get("foo").await.unwrap();
        let copy = to.get(written.key()).await.unwrap();
        let _connections = connect(&to, &from);
        written.append("one").await.unwrap();
        assert_eq!(first(&copy).await, "one");
        to.suspend().await.unwrap();
        written.append("two").await.unwrap();
        let waiting = copy.get(1).timeout(Duration::from_millis(50)).await;
        assert!(waiting.is_err());
        to.resume();
        assert_eq!(soon(copy.get(1)).await.unwrap(), "two");
    });
}

/// With hundreds of logs on one connection, what happens to one concerns no other.
#[test]
fn the_work_for_one_log_does_not_grow_with_the_others() {
    block_on(async {
        let (from, to) = (in_memory().await, in_memory().await);
        let (left, right) = pipe();
        let serving = from.replicate(left, Role::Responder);
        let traffic = serving.traffic();
        spawn(serving);
        spawn(to.replicate(right, Role::Initiator));
        let mut open = Vec::new();
        for at in 0..300 {
            let log = from.get(format!("log-{at}")).await.unwrap();
            let copy = to.get(log.key()).await.unwrap();
            log.append("first").await.unwrap();
            assert_eq!(first(&copy).await, "first");
            open.push((log, copy));
        }
        let before = traffic.logs_looked_at();
        let (log, copy) = &open[150];
        log.append("second").await.unwrap();
        assert_eq!(soon(copy.get(1)).await.unwrap(), "second");
        let looks = traffic.logs_looked_at() - before;
        assert!(looks < 100, "{looks}");
    });
}
