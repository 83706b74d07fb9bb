//! Branches that become branches of another log.

use std::future::IntoFuture;
use std::sync::Arc;

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hypercore::manifest::{Manifest, Prologue};
use hypercore::{
    Atom, AtomError, Event, Hypercore, KeyPair, Length, MemoryStore, Merged, RebaseError, Storage,
};

use crate::peers::{soon, writer};

fn length(length: u64) -> Length {
    Length::new(length)
}

fn shelf() -> Storage {
    Storage::open(Arc::new(MemoryStore::new()))
}

async fn log_in(storage: &Storage, blocks: &[&'static str]) -> Hypercore {
    let log = Hypercore::builder(storage.clone()).seed(&[1; 32]);
    let log = log.open().await.unwrap();
    log.append_batch(blocks.iter().copied()).await.unwrap();
    log
}

/// Another log, that begins with all that one has now.
async fn successor(storage: &Storage, of: &Hypercore) -> Hypercore {
    let (head, pair) = (of.head(), KeyPair::from_seed(&[2; 32]));
    let fixed = Prologue {
        hash: head.tree_hash(),
        length: head.length(),
    };
    let manifest = Manifest::single(pair.public_key()).with_prologue(fixed);
    let log = Hypercore::builder(storage.clone()).manifest(manifest);
    let log = log.key_pair(pair).open().await.unwrap();
    log.copy_prologue(of).await.unwrap();
    log
}

#[test]
fn a_moved_branch_goes_on_with_the_other_log() {
    block_on(async {
        let storage = shelf();
        let old = log_in(&storage, &[]).await;
        let branch = old.branch("session").await.unwrap();
        branch.append_batch(["1", "2", "3"]).await.unwrap();
        branch.merge().await.unwrap();
        assert_eq!((old.length(), branch.length()), (length(3), length(3)));
        let new = successor(&storage, &old).await;
        assert_eq!(new.length(), length(3));
        let mut events = branch.events();
        branch.move_to(&new).await.unwrap();
        assert_eq!(events.try_next(), Some(Event::Migrate { key: new.key() }));
        assert_eq!(branch.key(), new.key());
        branch.append("4").await.unwrap();
        assert!(matches!(branch.merge().await.unwrap(), Merged::Done(_)));
        for (index, block) in [(0, "1"), (1, "2"), (2, "3"), (3, "4")] {
            assert_eq!(branch.get(index).await.unwrap(), block);
        }
        assert_eq!(new.get(3).await.unwrap(), "4");
        assert_eq!(old.length(), length(3));
        assert_eq!(old.branches().unwrap(), Vec::<String>::new());
        assert_eq!(new.branches().unwrap(), ["session"]);
        // the old log may go, and reads go on
        old.close().await.unwrap();
        assert_eq!(branch.get(0).await.unwrap(), "1");
        branch.append("5").await.unwrap();
        assert!(matches!(branch.merge().await.unwrap(), Merged::Done(_)));
        let again = new.branch("session").await.unwrap();
        assert_eq!(again.length(), length(5));
    });
}

#[test]
fn what_a_branch_has_of_its_own_it_takes_along_or_gives_up() {
    block_on(async {
        let storage = shelf();
        let old = log_in(&storage, &["a", "b"]).await;
        let branch = old.branch("x").await.unwrap();
        let new = successor(&storage, &old).await;
        branch.append_batch(["c", "d"]).await.unwrap();
        new.append("n").await.unwrap();
        branch.move_to(&new).await.unwrap();
        assert_eq!(branch.length(), length(4));
        assert_eq!(branch.inherited().unwrap(), length(2));
        assert_eq!(branch.get(3).await.unwrap(), "d");
        assert_eq!(branch.merge().await.unwrap(), Merged::Diverged);
        // cut to what is common, and on to what the other log has
        let mut events = branch.events();
        branch.move_to(&new).length(2).await.unwrap();
        assert_eq!(branch.length(), length(2));
        let fork = branch.fork();
        let truncated = Event::Truncate {
            length: length(2),
            fork,
        };
        assert_eq!(events.try_next(), Some(truncated));
        branch.move_to(&new).length(3).await.unwrap();
        assert_eq!(events.try_next(), Some(Event::Append { length: length(3) }));
        assert_eq!(branch.get(2).await.unwrap(), "n");
    });
}

#[test]
fn a_log_with_other_blocks_or_in_another_store_takes_no_branch() {
    block_on(async {
        let storage = shelf();
        let old = log_in(&storage, &["a", "b"]).await;
        let branch = old.branch("x").await.unwrap();
        let other = Hypercore::builder(storage)
            .seed(&[9; 32])
            .open()
            .await
            .unwrap();
        other.append("z").await.unwrap();
        let refused = branch.move_to(&other).await;
        assert!(matches!(refused, Err(RebaseError::Diverged { .. })));
        let elsewhere = writer().await;
        let refused = branch.move_to(&elsewhere).await;
        assert!(matches!(refused, Err(RebaseError::OtherStore { .. })));
        assert_eq!(branch.key(), old.key());
        assert_eq!(branch.get(1).await.unwrap(), "b");
    });
}

#[test]
fn snapshots_show_what_they_showed() {
    block_on(async {
        let storage = shelf();
        let old = log_in(&storage, &["hello", "world", "again"]).await;
        let branch = old.branch("snapshot").await.unwrap();
        let snapshot = branch.snapshot().unwrap();
        branch.truncate(1).await.unwrap();
        old.truncate(1).await.unwrap();
        old.append("break").await.unwrap();
        assert_eq!((snapshot.length(), old.length()), (length(3), length(2)));
        let new = successor(&storage, &old).await;
        branch.move_to(&new).await.unwrap();
        branch.close().await.unwrap();
        assert_eq!((snapshot.length(), new.length()), (length(3), length(2)));
        for (index, block) in [(0, "hello"), (1, "world"), (2, "again")] {
            assert_eq!(snapshot.get(index).await.unwrap(), block);
        }
    });
}

#[test]
fn a_read_that_waits_goes_on_with_the_other_log() {
    block_on(async {
        let storage = shelf();
        let old = log_in(&storage, &["a", "b"]).await;
        let branch = old.branch("x").await.unwrap();
        let new = successor(&storage, &old).await;
        old.clear(1..2).await.unwrap();
        // nobody has it, as far as the old log knows
        let mut waiting = Box::pin(branch.get(1).into_future());
        assert!(poll_once(&mut waiting).await.is_none());
        branch.move_to(&new).await.unwrap();
        assert_eq!(soon(waiting).await.unwrap(), "b");
    });
}

#[test]
fn a_draft_of_a_branch_that_was_moved_is_not_flushed() {
    block_on(async {
        let storage = shelf();
        let old = log_in(&storage, &["hello", "world"]).await;
        let branch = old.branch("session").await.unwrap();
        let atom = Atom::new(&old);
        let draft = atom.draft_of_branch(&branch).unwrap();
        draft.append("trigger").await.unwrap();
        let new = successor(&storage, &old).await;
        branch.move_to(&new).await.unwrap();
        assert!(matches!(atom.flush().await, Err(AtomError::Moved { .. })));
        assert_eq!(branch.length(), length(2));
        assert_eq!(branch.tree_hash(), new.head().tree_hash());
        assert_eq!(
            branch.tree_hash_at(1).await.unwrap(),
            old.tree_hash(1).await.unwrap()
        );
    });
}
