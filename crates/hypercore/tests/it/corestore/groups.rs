//! Groups of logs: who was active, and who is.

use async_std::task::block_on;
use hypercore::{Corestore, GroupActive, OpenError, Storage, StorageError, StoreEvent, Topic};

use super::{connect, in_memory};
use crate::peers::soon;

const TOPIC: Topic = Topic([1; 32]);

#[test]
fn a_log_is_in_a_group_from_its_creation_or_later_for_good() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        let created = store.get("created").group(TOPIC).await.unwrap();
        assert_eq!(created.group(), Some(TOPIC));
        let later = store.get("later").await.unwrap();
        assert_eq!(later.group(), None);
        later.join_group(TOPIC).await.unwrap();
        later.join_group(TOPIC).await.unwrap();
        store.close().await.unwrap();

        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        for name in ["created", "later"] {
            let log = store.get(name).await.unwrap();
            assert_eq!(log.group(), Some(TOPIC), "it is kept");
            let other = log.join_group(Topic([2; 32])).await;
            let refused = |error: &OpenError| {
                matches!(error, OpenError::Storage(StorageError::OtherGroup { .. }))
            };
            assert!(other.is_err_and(|error| refused(&error)));
            let other = store.get(name).group(Topic([2; 32])).await;
            assert!(other.is_err_and(|error| refused(&error)));
        }
        store.close().await.unwrap();
    });
}

#[test]
fn what_comes_from_peers_shows_in_the_group() {
    block_on(async {
        let from = in_memory().await;
        let a = from.get("foo").await.unwrap();
        let b = from.get("bar").await.unwrap();
        a.append("hello").await.unwrap();
        b.append("world").await.unwrap();
        let to = in_memory().await;
        let mut group = to.notify_group(TOPIC);
        let _clones = [
            to.get(a.key()).group(TOPIC).await.unwrap(),
            to.get(b.key()).group(TOPIC).await.unwrap(),
        ];
        let _connections = connect(&to, &from);
        let heard = [
            soon(group.next()).await.unwrap().key,
            soon(group.next()).await.unwrap().key,
        ];
        assert!(heard.contains(&a.key()) && heard.contains(&b.key()));
        let mut active: Vec<_> = group.updates().unwrap().map(|core| core.key).collect();
        assert_eq!(active, [heard[1], heard[0]], "the last first");
        active.sort_unstable();
        assert_eq!(active.len(), 2);
        let unknown = to.notify_group(Topic([2; 32]));
        assert_eq!(unknown.updates().unwrap().count(), 0);
    });
}

#[test]
fn the_order_of_activity_is_kept() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let from = in_memory().await;
        let a = from.get("foo").await.unwrap();
        let b = from.get("bar").await.unwrap();
        a.append("hello").await.unwrap();
        {
            let to = Corestore::open(Storage::disk(dir.path())).await.unwrap();
            let copy = to.get(a.key()).group(TOPIC).await.unwrap();
            let _marked = to.get(b.key()).group(TOPIC).await.unwrap();
            let connections = connect(&to, &from);
            soon(copy.update()).await.unwrap();
            to.close().await.unwrap();
            soon(connections.0).await.ok();
        }
        b.append("goodbye").await.unwrap();
        let to = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        let mut group = to.notify_group(TOPIC);
        let _copy = to.get(b.key()).await.unwrap();
        let _connections = connect(&to, &from);
        assert_eq!(soon(group.next()).await.unwrap().key, b.key());
        let active: Vec<_> = group.updates().unwrap().map(|core| core.key).collect();
        assert_eq!(active, [b.key(), a.key()]);
        to.close().await.unwrap();
    });
}

#[test]
fn activity_is_told_once_for_each_log() {
    block_on(async {
        let store = in_memory().await;
        let a = store.get("foo").group(TOPIC).await.unwrap();
        let _a2 = store.get("foo").await.unwrap();
        let mut events = store.events();
        a.append("hello").await.unwrap();
        let Some(StoreEvent::GroupActive(active)) = events.try_next() else {
            panic!("nothing was told");
        };
        let expected = GroupActive {
            topic: TOPIC,
            key: a.key(),
            discovery_key: a.discovery_key(),
            length: a.length(),
            fork: a.fork(),
        };
        assert_eq!(active, expected);
        assert_eq!(events.try_next(), None);
    });
}

#[test]
fn a_log_that_a_peer_had_opened_tells_too() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let from = in_memory().await;
        let a = from.get("foo").group(TOPIC).await.unwrap();
        let to = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        to.get(a.key()).group(TOPIC).await.unwrap();
        to.close().await.unwrap();
        drop(to);

        let to = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        let mut events = to.events();
        assert!(to.open_cores().is_empty());
        let _connections = connect(&from, &to);
        a.append("hello").await.unwrap();
        loop {
            match soon(events.next()).await.unwrap() {
                StoreEvent::GroupActive(active) => {
                    assert_eq!((active.topic, active.key), (TOPIC, a.key()));
                    assert_eq!((active.length.get(), active.fork.get()), (1, 0));
                    break;
                }
                StoreEvent::Opened(core) => assert_eq!(core.key, a.key()),
                other => panic!("{other:?}"),
            }
        }
        to.close().await.unwrap();
    });
}

#[test]
fn a_group_is_watched_until_its_handle_is_dropped() {
    block_on(async {
        let store = in_memory().await;
        let a = store.get("foo").group(TOPIC).await.unwrap();
        let b = store.get("bar").group(TOPIC).await.unwrap();
        let mut handle = store.notify_group(TOPIC);
        let mut other = store.notify_group(TOPIC);
        assert_eq!(handle.updates().unwrap().count(), 0);
        a.append("hello").await.unwrap();
        a.append("hello").await.unwrap();
        b.append("hello").await.unwrap();
        let seen = |active: &GroupActive| (active.key, active.length.get());
        let heard: Vec<_> = std::iter::from_fn(|| handle.try_next()).collect();
        let heard: Vec<_> = heard.iter().map(seen).collect();
        assert_eq!(heard, [(a.key(), 1), (a.key(), 2), (b.key(), 1)]);
        let mut abandoned = handle.updates().unwrap();
        let both = (handle.updates().unwrap(), handle.updates().unwrap());
        assert_eq!(abandoned.next().map(|core| core.key), Some(b.key()));
        drop(abandoned);
        assert!(both.0.map(|core| core.key).eq(both.1.map(|core| core.key)));
        drop(handle);
        a.append("hello").await.unwrap();
        assert_eq!(std::iter::from_fn(|| other.try_next()).count(), 4);
        store.close().await.unwrap();
        assert_eq!(other.next().await, None);
    });
}

#[test]
fn a_truncation_is_told_with_its_length_and_fork() {
    block_on(async {
        let store = in_memory().await;
        let log = store.get("log").group(TOPIC).await.unwrap();
        let mut group = store.notify_group(TOPIC);
        let mut seen = Vec::new();
        log.append_batch(["a", "b", "c"]).await.unwrap();
        let at = |active: GroupActive| (active.length.get(), active.fork.get());
        seen.push(at(soon(group.next()).await.unwrap()));
        log.truncate(1).await.unwrap();
        seen.push(at(soon(group.next()).await.unwrap()));
        log.append("d").await.unwrap();
        seen.push(at(soon(group.next()).await.unwrap()));
        assert_eq!(seen, [(3, 0), (1, 1), (2, 1)]);
    });
}
