//! Branches: what they have of their log, how they go into it, and what stands in the way.

use std::future::IntoFuture;

use async_std::task::{self, block_on};
use futures_lite::future::poll_once;
use hypercore::encryption::EncryptionKey;
use hypercore::{
    Branch, BranchError, Event, GetError, Hypercore, IfMissing, KeyPair, Length, MergeError,
    Merged, RebaseError, Storage, TruncateError,
};

use crate::peers::{connect, disconnect, reader, soon, writer};

async fn log_of(blocks: &[&'static str]) -> Hypercore {
    let log = writer().await;
    log.append_batch(blocks.iter().copied()).await.unwrap();
    log
}

async fn branch_of(log: &Hypercore, name: &str, blocks: &[&'static str]) -> Branch {
    let branch = log.branch(name).await.unwrap();
    branch.append_batch(blocks.iter().copied()).await.unwrap();
    branch
}

async fn blocks_of(branch: &Branch) -> Vec<String> {
    let mut blocks = Vec::new();
    for index in 0..branch.length().get() {
        let block = branch.get(index).local().await.unwrap();
        blocks.push(String::from_utf8(block.to_vec()).unwrap());
    }
    blocks
}

fn length(length: u64) -> Length {
    Length::new(length)
}

fn is_done(merged: &Merged) -> bool {
    matches!(merged, Merged::Done(_))
}

#[test]
fn what_is_appended_to_a_branch_is_the_logs_when_it_is_merged() {
    block_on(async {
        let log = log_of(&["a", "b", "c"]).await;
        let branch = log.branch("batch").await.unwrap();
        let appended = branch.append_batch(["de", "fg"]).await.unwrap();
        assert_eq!(
            (appended.length, appended.byte_length.get()),
            (length(5), 7)
        );
        assert_eq!((branch.length(), log.length()), (length(5), length(3)));
        assert_eq!(branch.get(3).await.unwrap(), "de");
        assert_eq!(branch.get(4).await.unwrap(), "fg");
        // all of it is here, that of the log and its own
        assert!((0..5).all(|index| branch.has(index..=index).unwrap()));
        assert!(!branch.has(5..6).unwrap());
        let info = branch.info().unwrap();
        assert_eq!((info.length, info.byte_length.get()), (length(5), 7));
        assert_ne!(log.info().length, info.length);
        assert!(is_done(&branch.merge().await.unwrap()));
        assert_eq!(log.length(), length(5));
        assert_eq!(log.get(4).local().await.unwrap(), "fg");
        let after = log.info();
        assert_eq!(after.length, info.length);
        assert_eq!(
            (after.byte_length, after.tree_hash),
            (info.byte_length, info.tree_hash)
        );
        assert_eq!(branch.inherited().unwrap(), length(5));
        assert!(log.verify(|_| {}).unwrap().is_ok());
    });
}

#[test]
fn a_log_that_went_on_by_itself_is_ahead_or_diverged() {
    block_on(async {
        let log = log_of(&["a", "b", "c"]).await;
        let branch = log.branch("batch").await.unwrap();
        log.append("d").await.unwrap();
        branch.append("e").await.unwrap();
        assert_eq!(branch.merge().await.unwrap(), Merged::Diverged);
        log.append("f").await.unwrap();
        let ahead = Merged::Ahead { length: length(5) };
        assert_eq!(branch.merge().await.unwrap(), ahead);
        assert_eq!(log.length(), length(5));
        assert_eq!(blocks_of(&branch).await, ["a", "b", "c", "e"]);
    });
}

#[test]
fn a_log_that_went_the_same_way_takes_the_rest() {
    block_on(async {
        for opened_before in [true, false] {
            let log = log_of(&["a", "b", "c"]).await;
            let mut session = opened_before.then(|| log.clone());
            let branch = branch_of(&log, "batch", &["d", "e"]).await;
            let session = session.get_or_insert_with(|| log.clone());
            session.append("d").await.unwrap();
            assert!(is_done(&branch.merge().await.unwrap()));
            assert_eq!(session.length(), length(5));
            assert_eq!(session.get(4).local().await.unwrap(), "e");
        }
    });
}

#[test]
fn a_truncated_branch_is_merged_as_far_as_it_goes() {
    block_on(async {
        let log = log_of(&["a", "b", "c"]).await;
        let branch = branch_of(&log, "batch", &["de", "fg"]).await;
        branch.truncate_on_fork(4, 0).await.unwrap();
        assert_eq!(branch.get(3).await.unwrap(), "de");
        let gone = branch.get(4).local().await;
        assert!(matches!(gone, Err(GetError::NotLocal { .. })));
        branch.merge().await.unwrap();
        assert_eq!(log.length(), length(4));
        // below what the log has, nothing is merged
        branch.truncate(2).await.unwrap();
        assert_eq!(branch.fork().get(), 1);
        assert_eq!(
            branch.merge().await.unwrap(),
            Merged::Ahead { length: length(4) }
        );
        let longer = branch.truncate(3).await;
        assert!(matches!(longer, Err(TruncateError::Longer { .. })));
    });
}

#[test]
fn a_log_that_was_truncated_below_the_branch_does_not_take_it() {
    block_on(async {
        let log = log_of(&["a", "b", "c"]).await;
        let branch = branch_of(&log, "batch", &["d"]).await;
        log.truncate(2).await.unwrap();
        let refused = branch.merge().await;
        let truncated =
            matches!(refused, Err(MergeError::Truncated { length }) if length.get() == 2);
        assert!(truncated, "{refused:?}");
        log.append_batch(["x", "y"]).await.unwrap();
        assert!(matches!(
            branch.merge().await,
            Err(MergeError::Truncated { .. })
        ));
        assert_eq!(log.length(), length(4));
        // it is what it was, and can be taken back to what both have
        assert_eq!(blocks_of(&branch).await, ["a", "b", "c", "d"]);
        branch.truncate(2).await.unwrap();
        branch.append_batch(["x", "y", "z"]).await.unwrap();
        assert!(is_done(&branch.merge().await.unwrap()));
        assert_eq!(log.get(4).await.unwrap(), "z");
    });
}

#[test]
fn a_closed_branch_leaves_its_log_alone() {
    block_on(async {
        let log = log_of(&["a", "b", "c"]).await;
        let branch = branch_of(&log, "batch", &["de", "fg"]).await;
        branch.close().await.unwrap();
        assert_eq!(log.length(), length(3));
        assert!(matches!(branch.merge().await, Err(MergeError::Closed)));
        assert!(branch.append("h").await.is_err());
        assert!(matches!(branch.get(0).await, Err(GetError::Closed)));
        log.append_batch(["d", "e"]).await.unwrap();
        assert_eq!(log.length(), length(5));
        // nothing of its own, and it is merged all the same
        let empty = log.branch("empty").await.unwrap();
        assert!(is_done(&empty.merge().await.unwrap()));
        empty.close().await.unwrap();
        assert!(!log.is_closed());
    });
}

#[test]
fn of_several_branches_those_that_fit_are_merged() {
    block_on(async {
        let log = writer().await;
        let session = log.clone();
        let one = branch_of(&log, "1", &["a"]).await;
        let two = branch_of(&session, "2", &["a", "c"]).await;
        let three = branch_of(&log, "3", &["c"]).await;
        assert!(is_done(&one.merge().await.unwrap()));
        assert!(is_done(&two.merge().await.unwrap()));
        assert_eq!(
            three.merge().await.unwrap(),
            Merged::Ahead { length: length(2) }
        );
        assert_eq!(log.branches().unwrap(), ["1", "2", "3"]);
        let four = branch_of(&session, "4", &["d"]).await;
        assert!(is_done(&four.merge().await.unwrap()));
        assert_eq!(log.length(), length(3));
    });
}

#[test]
fn a_branch_is_merged_part_by_part() {
    block_on(async {
        let log = writer().await;
        let branch = branch_of(&log, "batch", &["a", "b", "c", "d"]).await;
        for part in [2, 3, 4] {
            branch.merge().length(part).await.unwrap();
            assert_eq!(log.length(), length(part));
            assert_eq!(
                (branch.length(), branch.byte_length().get()),
                (length(4), 4)
            );
            assert_eq!(branch.inherited().unwrap(), length(part));
            assert_eq!(branch.signed_length().unwrap(), length(part));
        }
        let past = branch.merge().length(5).await;
        assert!(matches!(past, Err(MergeError::PastEnd { .. })));
        assert_eq!(blocks_of(&branch).await, ["a", "b", "c", "d"]);
    });
}

#[test]
fn a_branch_begins_at_an_earlier_length() {
    block_on(async {
        let log = log_of(&["a", "b"]).await;
        let at_two = log.head().tree_hash();
        log.append_batch(["c", "d"]).await.unwrap();
        let branch = log.branch("batch").at(2).await.unwrap();
        assert_eq!(
            (branch.length(), branch.byte_length().get()),
            (length(2), 2)
        );
        assert_eq!(branch.tree_hash(), at_two);
        assert_eq!(branch.tree_hash_at(2).await.unwrap(), at_two);
        branch.append_batch(["c", "z"]).await.unwrap();
        assert_eq!(branch.merge().await.unwrap(), Merged::Diverged);
        branch
            .truncate_on_fork(3, branch.fork().get())
            .await
            .unwrap();
        branch.append("d").await.unwrap();
        assert!(is_done(&branch.merge().await.unwrap()));
        assert_eq!(log.length(), length(4));
        // one that there is already is cut to that length
        let again = log.branch("batch").at(1).await.unwrap();
        assert_eq!(blocks_of(&again).await, ["a"]);
        let past = log.branch("other").at(5).await;
        assert!(matches!(past, Err(BranchError::PastEnd { .. })));
        let missing = log.branch("other").if_missing(IfMissing::Fail).await;
        assert!(matches!(missing, Err(BranchError::Missing { .. })));
    });
}

#[test]
fn branches_of_encrypted_logs_are_encrypted() {
    block_on(async {
        for more in [&["c"][..], &["c", "d", "e"]] {
            let key = EncryptionKey::from_bytes([0; 32]);
            let log = Hypercore::builder(Storage::memory()).encryption_key(key);
            let log = log.open().await.unwrap();
            log.append_batch(["a", "b"]).await.unwrap();
            let branch = log.branch("batch").await.unwrap();
            assert_eq!(branch.get(1).await.unwrap(), "b");
            branch.append_batch(more.iter().copied()).await.unwrap();
            let end = 2 + more.len() as u64;
            let before = branch.tree_hash_at(end).await.unwrap();
            assert_eq!(branch.byte_length().get(), end);
            assert_eq!(branch.get(2).await.unwrap(), "c");
            assert_ne!(branch.get(2).raw().await.unwrap(), "c");
            branch.merge().await.unwrap();
            assert_eq!((log.length(), log.byte_length().get()), (length(end), end));
            for (index, block) in (2..).zip(more) {
                assert_eq!(log.get(index).await.unwrap(), *block);
            }
            assert_eq!(log.head().tree_hash(), before);
        }
    });
}

#[test]
fn branches_are_found_again_in_their_store() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let open = || Hypercore::builder(Storage::disk(directory.path())).open();
        let log = open().await.unwrap();
        log.append_batch(["a", "b", "c"]).await.unwrap();
        let branch = branch_of(&log, "batch", &["d", "e", "f"]).await;
        branch.set_user_data("note", "kept").await.unwrap();
        let untouched = log.branch("untouched").await.unwrap();
        untouched.close().await.unwrap();
        log.close_all().await.unwrap();
        let log = open().await.unwrap();
        log.append("z").await.unwrap();
        assert_eq!(log.branches().unwrap(), ["batch", "untouched"]);
        let branch = log
            .branch("batch")
            .if_missing(IfMissing::Fail)
            .await
            .unwrap();
        assert_eq!(
            (branch.length(), branch.byte_length().get()),
            (length(6), 6)
        );
        assert_eq!(blocks_of(&branch).await, ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(branch.user_data("note").unwrap().unwrap(), "kept");
        let position = branch.seek(4).await.unwrap();
        assert_eq!((position.index.get(), position.offset), (4, 0));
        let untouched = log.branch("untouched").await.unwrap();
        assert_eq!((log.length(), untouched.length()), (length(4), length(3)));
        log.close_all().await.unwrap();
    });
}

#[test]
fn a_branch_catches_up_with_its_log() {
    block_on(async {
        for own in [&["b"][..], &["b", "b", "b", "b", "b"]] {
            let log = writer().await;
            let branch = branch_of(&log, "batch", own).await;
            let mut events = branch.events();
            log.append("a").await.unwrap();
            assert_ne!(branch.tree_hash(), log.head().tree_hash());
            branch.catch_up(1).await.unwrap();
            assert_eq!((branch.length(), log.length()), (length(1), length(1)));
            assert_eq!(branch.get(0).await.unwrap(), "a");
            assert_eq!(branch.tree_hash(), log.head().tree_hash());
            assert_eq!(branch.inherited().unwrap(), length(1));
            let (cut, fork) = (length(0), branch.fork());
            assert_eq!(fork.get(), 1);
            let truncated = Event::Truncate { length: cut, fork };
            assert_eq!(events.try_next(), Some(truncated));
            assert_eq!(events.try_next(), Some(Event::Append { length: length(1) }));
            let past = branch.catch_up(2).await;
            assert!(matches!(past, Err(RebaseError::PastEnd { .. })));
        }
    });
}

#[test]
fn what_caught_up_has_of_a_reader_only_what_that_has() {
    block_on(async {
        let log = writer().await;
        let clone = reader(&log).await;
        let branch = branch_of(&clone, "batch", &["a", "b", "c"]).await;
        log.append_batch(["a", "b", "c"]).await.unwrap();
        let _connection = connect(&log, &clone);
        soon(clone.update()).await.unwrap();
        assert_eq!((clone.length(), branch.length()), (length(3), length(3)));
        assert!(branch.has(0..1).unwrap());
        assert_eq!(branch.tree_hash(), log.head().tree_hash());
        branch.catch_up(3).await.unwrap();
        assert_eq!(branch.length(), length(3));
        assert!(!branch.has(0..1).unwrap());
        assert_eq!(branch.tree_hash(), log.head().tree_hash());
        assert_eq!(branch.inherited().unwrap(), length(3));
        // and what it has not, its log fetches
        assert_eq!(soon(branch.get(1)).await.unwrap(), "b");
        assert!(clone.has(1..2));
    });
}

#[test]
fn a_branch_of_a_log_that_is_replicated_waits_until_it_has_caught_up() {
    block_on(async {
        let pair = KeyPair::from_seed(&[4; 32]);
        let open = || {
            let storage = Storage::memory();
            Hypercore::builder(storage).key_pair(pair.clone()).open()
        };
        let (log, clone) = (open().await.unwrap(), open().await.unwrap());
        let _connection = connect(&log, &clone);
        log.append("a").await.unwrap();
        soon(clone.get(0)).await.unwrap();
        let branch = clone.branch("batch").await.unwrap();
        for (index, block) in [(1, "b"), (2, "c")] {
            log.append(block).await.unwrap();
            soon(clone.get(index)).await.unwrap();
        }
        branch.append("b").await.unwrap();
        assert_eq!(
            branch.merge().await.unwrap(),
            Merged::Ahead { length: length(3) }
        );
        branch.append("c").await.unwrap();
        assert!(is_done(&branch.merge().await.unwrap()));
        // what a branch brings to the log, peers get
        branch.append("d").await.unwrap();
        assert!(is_done(&branch.merge().await.unwrap()));
        assert_eq!(soon(log.get(3)).await.unwrap(), "d");
    });
}

#[test]
fn a_reader_merges_what_was_signed_elsewhere() {
    block_on(async {
        let log = log_of(&["a"]).await;
        let clone = reader(&log).await;
        let connections = connect(&log, &clone);
        soon(clone.get(0)).await.unwrap();
        let branch = branch_of(&clone, "batch", &["b", "c"]).await;
        log.append_batch(["b", "c"]).await.unwrap();
        soon(async {
            let mut watch = clone.watch();
            while clone.length() < length(3) {
                watch.next().await.unwrap();
            }
        })
        .await;
        disconnect(connections).await;
        assert!(!clone.has(1..2));
        assert!(is_done(&branch.merge().await.unwrap()));
        for (index, block) in [(0, "a"), (1, "b"), (2, "c")] {
            assert_eq!(clone.get(index).local().await.unwrap(), block);
        }
        assert_eq!(branch.byte_length(), clone.byte_length());
        assert_eq!(branch.signed_length().unwrap(), branch.length());
        assert!(clone.verify(|_| {}).unwrap().is_ok());
        // more than was signed, nobody here can sign
        branch.append("d").await.unwrap();
        assert!(matches!(branch.merge().await, Err(MergeError::NotWritable)));
        assert_eq!(clone.length(), length(3));
        let fresh = clone.branch("fresh").await.unwrap();
        assert_eq!(fresh.length(), length(3));
    });
}

#[test]
fn a_reader_does_not_merge_what_differs_from_what_was_signed() {
    block_on(async {
        let log = log_of(&["a"]).await;
        let clone = reader(&log).await;
        let _connection = connect(&log, &clone);
        soon(clone.get(0)).await.unwrap();
        let branch = clone.branch("batch").await.unwrap();
        log.append_batch(["b", "c"]).await.unwrap();
        soon(clone.get(2)).await.unwrap();
        branch.append_batch(["c", "c"]).await.unwrap();
        assert_eq!(branch.merge().await.unwrap(), Merged::Diverged);
    });
}

#[test]
fn a_signature_that_was_given_covers_its_length_and_shortens_nothing() {
    block_on(async {
        let log = writer().await;
        let clone = reader(&log).await;
        let branch = clone.branch("batch").await.unwrap();
        let ticks = |count| (0..count).map(|_| "tick");
        log.append_batch(ticks(10)).await.unwrap();
        let at_ten = log.head().signature().unwrap().clone();
        let short = reader(&log).await;
        log.append_batch(ticks(10)).await.unwrap();
        let _connection = connect(&log, &clone);
        soon(clone.get(19)).await.unwrap();
        branch.append_batch(ticks(20)).await.unwrap();
        let merged = branch.merge().length(10).signature(at_ten.clone()).await;
        assert_eq!(merged.unwrap(), Merged::Ahead { length: length(20) });
        assert_eq!(clone.get(19).local().await.unwrap(), "tick");
        assert_eq!(clone.length(), length(20));
        // where it does bring something, it has to be right
        short.set_manifest(log.manifest().unwrap()).await.unwrap();
        let branch = short.branch("batch").await.unwrap();
        branch.append_batch(ticks(20)).await.unwrap();
        let wrong = branch.merge().length(11).signature(at_ten.clone()).await;
        assert!(matches!(wrong, Err(MergeError::Signature(_))));
        let right = branch.merge().length(10).signature(at_ten).await;
        assert!(is_done(&right.unwrap()));
        assert_eq!((short.length(), branch.length()), (length(10), length(20)));
    });
}

#[test]
fn two_handles_of_one_branch_share_it() {
    block_on(async {
        let log = log_of(&["a"]).await;
        let (one, two) = (
            log.branch("x").await.unwrap(),
            log.branch("x").await.unwrap(),
        );
        let mut waiting = Box::pin(two.get(1).into_future());
        assert!(poll_once(&mut waiting).await.is_none());
        one.append("b").await.unwrap();
        assert_eq!(waiting.await.unwrap(), "b");
        assert_eq!(two.length(), length(2));
        let clone = two.clone();
        two.close().await.unwrap();
        assert_eq!(clone.get(1).await.unwrap(), "b");
        let mut waiting = Box::pin(clone.get(7).into_future());
        assert!(poll_once(&mut waiting).await.is_none());
        clone.close().await.unwrap();
        assert!(matches!(waiting.await, Err(GetError::Closed)));
        // and a branch ends with its log
        let mut waiting = Box::pin(one.get(7).into_future());
        assert!(poll_once(&mut waiting).await.is_none());
        log.close_all().await.unwrap();
        assert!(matches!(waiting.await, Err(GetError::Closed)));
        assert!(one.append("c").await.is_err());
    });
}

#[test]
fn a_branch_keeps_its_log_open() {
    block_on(async {
        let log = log_of(&["a"]).await;
        let branch = log.branch("x").await.unwrap();
        log.close().await.unwrap();
        assert_eq!(branch.get(0).await.unwrap(), "a");
        branch.append("b").await.unwrap();
        branch.close().await.unwrap();
        assert!(log.is_closed());
    });
}

#[test]
fn a_deleted_branch_is_gone() {
    block_on(async {
        let log = log_of(&["a"]).await;
        let branch = branch_of(&log, "x", &["b"]).await;
        assert!(log.delete_branch("x").await.unwrap());
        assert!(!log.delete_branch("x").await.unwrap());
        assert!(branch.append("c").await.is_err());
        assert!(branch.get(1).await.is_err());
        let again = log.branch("x").await.unwrap();
        assert_eq!(blocks_of(&again).await, ["a"]);
    });
}

#[test]
fn a_snapshot_of_a_branch_outlives_the_branch_and_what_the_log_cuts() {
    block_on(async {
        let log = log_of(&["0.0", "1.0", "2.0"]).await;
        let branch = log.branch("session").await.unwrap();
        let snapshot = branch.snapshot().unwrap();
        branch.append("3.0").await.unwrap();
        branch.close().await.unwrap();
        assert_eq!(snapshot.length(), length(3));
        log.truncate(1).await.unwrap();
        log.append("1.1").await.unwrap();
        assert_eq!((log.fork().get(), log.length()), (1, length(2)));
        assert_eq!((snapshot.fork().get(), snapshot.length()), (0, length(3)));
        for (index, block) in [(0, "0.0"), (1, "1.0"), (2, "2.0")] {
            assert_eq!(snapshot.get(index).await.unwrap(), block);
        }
        assert!(matches!(
            snapshot.get(3).await,
            Err(GetError::PastSnapshot { .. })
        ));
    });
}

#[test]
fn a_huge_batch_is_appended_and_merged() {
    block_on(async {
        let log = writer().await;
        let branch = log.branch("batch").await.unwrap();
        branch
            .append_batch((0..200_000).map(|_| "o"))
            .await
            .unwrap();
        assert_eq!(branch.length(), length(200_000));
        assert!(is_done(&branch.merge().length(50_000).await.unwrap()));
        assert_eq!(log.length(), length(50_000));
        assert_eq!(branch.get(199_999).await.unwrap(), "o");
    });
}

#[test]
fn of_threads_that_merge_into_one_log_each_gets_its_turn() {
    block_on(async {
        let log = writer().await;
        let names: Vec<String> = (0..6).map(|number| format!("branch {number}")).collect();
        let tasks = names.into_iter().map(|name| {
            let log = log.clone();
            task::spawn(async move {
                let branch = log.branch(&name).await.unwrap();
                for _ in 0..10 {
                    // whoever comes too late begins again where the log is now
                    loop {
                        branch.catch_up(log.length().get()).await.unwrap();
                        branch.append(name.clone()).await.unwrap();
                        match branch.merge().await.unwrap() {
                            Merged::Done(_) => break,
                            Merged::Ahead { .. } | Merged::Diverged => {}
                        }
                    }
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            soon(task).await;
        }
        assert_eq!(log.length(), length(60));
        assert!(log.verify(|_| {}).unwrap().is_ok());
    });
}
