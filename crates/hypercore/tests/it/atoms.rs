//! Atoms: what is drafted shows in the draft alone, and then in all logs at once.

use std::sync::Arc;

use async_std::task::{self, block_on};
use hypercore::encryption::EncryptionKey;
use hypercore::{
    Atom, AtomError, Draft, Event, Events, GetError, Hypercore, KeyPair, Length, MemoryStore,
    MergeError, Merged, SeekError, Storage,
};

use crate::peers::{connect, reader, soon, writer};

fn length(length: u64) -> Length {
    Length::new(length)
}

fn shelf() -> Storage {
    Storage::open(Arc::new(MemoryStore::new()))
}

/// A log of a store that may have others, that begins with some blocks.
async fn log_in(storage: &Storage, seed: u8, blocks: &[&'static str]) -> Hypercore {
    let log = Hypercore::builder(storage.clone()).seed(&[seed; 32]);
    let log = log.open().await.unwrap();
    log.append_batch(blocks.iter().copied()).await.unwrap();
    log
}

async fn greeting() -> (Hypercore, Atom, Draft) {
    let log = writer().await;
    log.append_batch(["hello", "world"]).await.unwrap();
    let atom = Atom::new(&log);
    let draft = atom.draft(&log).unwrap();
    (log, atom, draft)
}

/// How often a log was truncated and appended to.
fn counts(events: &mut Events) -> (usize, usize) {
    let (mut truncated, mut appended) = (0, 0);
    while let Some(event) = events.try_next() {
        truncated += usize::from(matches!(event, Event::Truncate { .. }));
        appended += usize::from(matches!(event, Event::Append { .. }));
    }
    (truncated, appended)
}

fn sizes(log: &Hypercore) -> (u64, u64) {
    (log.length().get(), log.byte_length().get())
}

#[test]
fn what_is_drafted_shows_in_the_draft_alone_and_goes_with_the_atom() {
    block_on(async {
        let (log, atom, draft) = greeting().await;
        draft.append("edits!").await.unwrap();
        for (index, block) in [(0, "hello"), (1, "world"), (2, "edits!")] {
            assert_eq!(draft.get(index).await.unwrap(), block);
        }
        let position = draft.seek(11).await.unwrap();
        assert_eq!((position.index.get(), position.offset), (2, 1));
        assert_eq!((draft.length(), draft.byte_length().get()), (length(3), 16));
        assert!(draft.has(0..3).unwrap());
        draft.close().await.unwrap();
        drop(atom);
        assert_eq!(sizes(&log), (2, 10));
        // and another may begin
        assert!(Atom::new(&log).draft(&log).is_ok());
    });
}

#[test]
fn a_flush_publishes_what_was_added_since_the_last() {
    block_on(async {
        let (log, atom, draft) = greeting().await;
        draft.append("edits!").await.unwrap();
        assert_eq!((draft.length(), draft.byte_length().get()), (length(3), 16));
        assert_eq!(sizes(&log), (2, 10));
        atom.flush().await.unwrap();
        assert_eq!(sizes(&log), (3, 16));
        draft.append("more").await.unwrap();
        assert_eq!((draft.length(), draft.byte_length().get()), (length(4), 20));
        assert_eq!(sizes(&log), (3, 16));
        atom.flush().await.unwrap();
        atom.flush().await.unwrap();
        assert_eq!(sizes(&log), (4, 20));
        assert_eq!(log.get(3).await.unwrap(), "more");
        assert!(log.verify(|_| {}).unwrap().is_ok());
    });
}

#[test]
fn a_draft_that_was_cut_and_appended_to_is_one_change() {
    block_on(async {
        let (log, atom, draft) = greeting().await;
        let mut events = log.events();
        draft.truncate(1).await.unwrap();
        draft.append("edits!").await.unwrap();
        assert_eq!(draft.get(0).await.unwrap(), "hello");
        assert_eq!(draft.get(1).await.unwrap(), "edits!");
        let position = draft.seek(11).await.unwrap();
        assert_eq!((position.index.get(), position.offset), (2, 0));
        assert_eq!((draft.length(), draft.byte_length().get()), (length(2), 11));
        assert_eq!(sizes(&log), (2, 10));
        assert_eq!(log.get(1).await.unwrap(), "world");
        assert_eq!(counts(&mut events), (0, 0));
        atom.flush().await.unwrap();
        assert_eq!(sizes(&log), (2, 11));
        assert_eq!(log.fork().get(), 1);
        assert_eq!(counts(&mut events), (1, 1));
        assert_eq!(log.get(1).await.unwrap(), "edits!");
        assert!(log.verify(|_| {}).unwrap().is_ok());
    });
}

#[test]
fn a_draft_that_was_cut_cuts_its_log() {
    block_on(async {
        let (log, atom, draft) = greeting().await;
        draft.truncate(1).await.unwrap();
        assert_eq!(sizes(&log), (2, 10));
        assert_eq!((draft.length(), draft.byte_length().get()), (length(1), 5));
        assert_eq!(draft.get(0).await.unwrap(), "hello");
        let gone = draft.get(1).local().await;
        assert!(matches!(gone, Err(GetError::NotLocal { .. })));
        let past = draft.seek_local(6);
        assert!(matches!(past, Err(SeekError::PastEnd { .. })));
        atom.flush().await.unwrap();
        assert_eq!(sizes(&log), (1, 5));
        // cut again and again, it goes as deep as the deepest
        log.append_batch(["b", "c", "d"]).await.unwrap();
        let other = Atom::new(&log);
        assert!(matches!(other.draft(&log), Err(AtomError::Taken { .. })));
        drop((atom, draft));
        let draft = other.draft(&log).unwrap();
        for to in [3, 2] {
            draft.truncate(to).await.unwrap();
            draft.append("hello").await.unwrap();
        }
        other.flush().await.unwrap();
        assert_eq!((log.length(), log.fork().get()), (length(3), 3));
        assert_eq!(log.get(1).await.unwrap(), "b");
        assert_eq!(log.get(2).await.unwrap(), "hello");
    });
}

#[test]
fn several_logs_change_together() {
    block_on(async {
        let storage = shelf();
        let (one, two) = (
            log_in(&storage, 1, &[]).await,
            log_in(&storage, 2, &[]).await,
        );
        let mut events = [one.events(), two.events()];
        let atom = Atom::new(&one);
        let (a, b) = (atom.draft(&one).unwrap(), atom.draft(&two).unwrap());
        a.append("1.1").await.unwrap();
        a.append("1.2").await.unwrap();
        b.append("2.2").await.unwrap();
        assert_eq!((a.length(), b.length()), (length(2), length(1)));
        assert_eq!((one.length(), two.length()), (length(0), length(0)));
        assert!(!one.has(0..1) && !two.has(0..1));
        assert_eq!(counts(&mut events[0]), (0, 0));
        atom.flush().await.unwrap();
        assert_eq!((one.length(), two.length()), (length(2), length(1)));
        assert!(one.has(0..2) && two.has(0..1));
        assert_eq!(events.each_mut().map(counts), [(0, 1), (0, 1)]);
        assert!(one.verify(|_| {}).unwrap().is_ok() && two.verify(|_| {}).unwrap().is_ok());
    });
}

#[test]
fn branches_go_into_several_logs_together_with_user_data() {
    block_on(async {
        let storage = shelf();
        let one = log_in(&storage, 1, &["hello", "world"]).await;
        let two = log_in(&storage, 2, &["hello"]).await;
        let (draft_one, draft_two) = (
            one.branch("writer").await.unwrap(),
            two.branch("writer").await.unwrap(),
        );
        draft_one.append("all the way").await.unwrap();
        for block in ["back", "to the", "beginning"] {
            draft_two.append(block).await.unwrap();
        }
        let atom = Atom::new(&one);
        let (a, b) = (atom.draft(&one).unwrap(), atom.draft(&two).unwrap());
        assert!(matches!(
            a.merge(&draft_one).await.unwrap(),
            Merged::Done(_)
        ));
        assert!(matches!(
            b.merge(&draft_two).await.unwrap(),
            Merged::Done(_)
        ));
        let crossed = a.merge(&draft_two).await;
        assert!(matches!(crossed, Err(MergeError::OtherLog { .. })));
        a.set_user_data("hello", "world").await.unwrap();
        b.set_user_data("goodbye", "everybody").await.unwrap();
        assert_eq!((one.length(), two.length()), (length(2), length(1)));
        assert_eq!((a.length(), b.length()), (length(3), length(4)));
        assert_eq!(one.user_data("hello").unwrap(), None);
        assert_eq!(a.user_data("hello").unwrap().unwrap(), "world");
        assert_eq!(b.user_data("goodbye").unwrap().unwrap(), "everybody");
        assert_eq!(draft_one.inherited().unwrap(), length(2));
        atom.flush().await.unwrap();
        assert_eq!((one.length(), two.length()), (length(3), length(4)));
        assert_eq!(one.user_data("hello").unwrap().unwrap(), "world");
        assert_eq!(two.user_data("goodbye").unwrap().unwrap(), "everybody");
        assert_eq!(two.get(3).await.unwrap(), "beginning");
        // the branches gave up what the logs have
        assert_eq!(draft_one.inherited().unwrap(), length(3));
        assert_eq!(draft_two.inherited().unwrap(), length(4));
        assert_eq!(draft_two.get(3).await.unwrap(), "beginning");
    });
}

#[test]
fn a_branch_that_left_before_the_draft_began_goes_into_it() {
    block_on(async {
        let (log, atom, draft) = greeting().await;
        let branch = log.branch("x").at(1).await.unwrap();
        branch.append_batch(["world", "again"]).await.unwrap();
        assert!(matches!(
            draft.merge(&branch).await.unwrap(),
            Merged::Done(_)
        ));
        atom.flush().await.unwrap();
        assert_eq!(log.length(), length(3));
        assert_eq!(log.get(2).await.unwrap(), "again");
        assert_eq!(branch.inherited().unwrap(), length(3));
    });
}

#[test]
fn a_draft_that_was_cut_after_a_merge_leaves_the_branch_what_it_has() {
    block_on(async {
        for to in [3, 1] {
            let (log, atom, draft) = greeting().await;
            let branch = log.branch("x").await.unwrap();
            branch.append_batch(["a", "b"]).await.unwrap();
            draft.merge(&branch).await.unwrap();
            draft.truncate(to).await.unwrap();
            draft.append_batch(["c", "d", "e"]).await.unwrap();
            atom.flush().await.unwrap();
            assert_eq!(log.length(), length(to + 3));
            assert_eq!(log.get(to).await.unwrap(), "c");
            assert_eq!(branch.inherited().unwrap(), length(to.min(2)));
            for (index, block) in [(0, "hello"), (1, "world"), (2, "a"), (3, "b")] {
                assert_eq!(branch.get(index).await.unwrap(), block);
            }
        }
    });
}

#[test]
fn user_data_is_the_drafts_until_the_flush() {
    block_on(async {
        let log = writer().await;
        log.set_user_data("hello", "world").await.unwrap();
        log.set_user_data("gone", "soon").await.unwrap();
        let atom = Atom::new(&log);
        let draft = atom.draft(&log).unwrap();
        assert_eq!(draft.user_data("hello").unwrap().unwrap(), "world");
        draft.set_user_data("hello", "done").await.unwrap();
        draft.remove_user_data("gone").await.unwrap();
        assert_eq!(draft.user_data("hello").unwrap().unwrap(), "done");
        assert_eq!(draft.user_data("gone").unwrap(), None);
        assert_eq!(log.user_data("hello").unwrap().unwrap(), "world");
        atom.flush().await.unwrap();
        assert_eq!(log.user_data("hello").unwrap().unwrap(), "done");
        assert_eq!(log.user_data("gone").unwrap(), None);
        assert_eq!(log.length(), length(0));
        // with a block, both show together
        draft.set_user_data("hello", "again").await.unwrap();
        draft.append("append").await.unwrap();
        assert_eq!((log.length(), draft.length()), (length(0), length(1)));
        assert_eq!(log.user_data("hello").unwrap().unwrap(), "done");
        atom.flush().await.unwrap();
        assert_eq!(log.length(), length(1));
        assert_eq!(log.user_data("hello").unwrap().unwrap(), "again");
    });
}

#[test]
fn a_draft_from_an_earlier_length_may_be_cut_further() {
    block_on(async {
        let log = writer().await;
        log.append_batch((0..10_u8).map(|byte| vec![byte]))
            .await
            .unwrap();
        let atom = Atom::new(&log);
        let draft = atom.draft(&log).unwrap();
        let fork = draft.fork().get();
        draft.truncate_on_fork(7, fork).await.unwrap();
        assert_eq!(draft.length(), length(7));
        draft.truncate(5).await.unwrap();
        draft.append("hello").await.unwrap();
        assert_eq!(draft.length(), length(6));
        draft.close().await.unwrap();
        drop((draft, atom));
        assert_eq!(log.length(), length(10));
    });
}

#[test]
fn a_log_that_moved_on_is_not_flushed_and_nothing_else_either() {
    block_on(async {
        let storage = shelf();
        let one = log_in(&storage, 1, &["a"]).await;
        let two = log_in(&storage, 2, &["b"]).await;
        let atom = Atom::new(&one);
        let (a, b) = (atom.draft(&one).unwrap(), atom.draft(&two).unwrap());
        a.append("mine").await.unwrap();
        b.append("mine").await.unwrap();
        two.append("theirs").await.unwrap();
        let refused = atom.flush().await;
        assert!(matches!(refused, Err(AtomError::Moved { key }) if key == two.key()));
        assert_eq!((one.length(), two.length()), (length(1), length(2)));
        assert_eq!(two.get(1).await.unwrap(), "theirs");
        assert_eq!(b.get(1).await.unwrap(), "mine");
    });
}

#[test]
fn logs_of_other_stores_and_of_others_are_refused() {
    block_on(async {
        let (log, other) = (writer().await, writer().await);
        let atom = Atom::new(&log);
        assert!(matches!(
            atom.draft(&other),
            Err(AtomError::OtherStore { .. })
        ));
        let draft = atom.draft(&log).unwrap();
        assert!(matches!(atom.draft(&log), Err(AtomError::Taken { .. })));
        draft.append("a").await.unwrap();
        let clone = reader(&log).await;
        let atom = Atom::new(&clone);
        let draft = atom.draft(&clone).unwrap();
        draft.append("a").await.unwrap();
        assert!(matches!(
            atom.flush().await,
            Err(AtomError::NotWritable { .. })
        ));
        assert_eq!(clone.length(), length(0));
        clone.close().await.unwrap();
        assert!(matches!(atom.draft(&clone), Err(AtomError::Closed)));
    });
}

#[test]
fn a_branch_in_an_atom_changes_with_it() {
    block_on(async {
        let log = writer().await;
        log.append("a").await.unwrap();
        let branch = log.branch("x").await.unwrap();
        branch.append_batch(["b", "c"]).await.unwrap();
        let atom = Atom::new(&log);
        let (of_log, of_branch) = (
            atom.draft(&log).unwrap(),
            atom.draft_of_branch(&branch).unwrap(),
        );
        let snapshot = branch.snapshot().unwrap();
        of_log.append("z").await.unwrap();
        of_branch.truncate(2).await.unwrap();
        of_branch.append_batch(["d", "e"]).await.unwrap();
        assert_eq!(branch.length(), length(3));
        assert_eq!(of_branch.get(0).await.unwrap(), "a");
        atom.flush().await.unwrap();
        assert_eq!((log.length(), branch.length()), (length(2), length(4)));
        assert_eq!(branch.get(2).await.unwrap(), "d");
        assert_eq!(snapshot.get(2).await.unwrap(), "c");
        of_branch.append("f").await.unwrap();
        branch
            .truncate_on_fork(3, branch.fork().get())
            .await
            .unwrap();
        branch.append("other").await.unwrap();
        assert!(matches!(atom.flush().await, Err(AtomError::Moved { .. })));
        assert_eq!(branch.length(), length(4));
    });
}

#[test]
fn drafts_of_encrypted_logs_are_encrypted_for_the_fork_that_they_are_on() {
    block_on(async {
        let key = EncryptionKey::from_bytes([5; 32]);
        let log = Hypercore::builder(Storage::memory()).encryption_key(key);
        let log = log.open().await.unwrap();
        log.append_batch(["a", "same"]).await.unwrap();
        let before = log.get(1).raw().await.unwrap();
        let atom = Atom::new(&log);
        let draft = atom.draft(&log).unwrap();
        draft.truncate(1).await.unwrap();
        draft.append("same").await.unwrap();
        assert_eq!(draft.get(1).await.unwrap(), "same");
        atom.flush().await.unwrap();
        assert_eq!(log.get(1).await.unwrap(), "same");
        assert_ne!(log.get(1).raw().await.unwrap(), before);
        assert_eq!(log.byte_length().get(), 5);
    });
}

#[test]
fn peers_get_what_an_atom_wrote() {
    block_on(async {
        let (log, atom, draft) = greeting().await;
        let clone = reader(&log).await;
        let _connection = connect(&log, &clone);
        soon(clone.download(..2)).await.unwrap();
        draft.append("edits!").await.unwrap();
        atom.flush().await.unwrap();
        assert_eq!(soon(clone.get(2)).await.unwrap(), "edits!");
    });
}

#[test]
fn atoms_and_appends_of_many_threads_end() {
    block_on(async {
        let storage = shelf();
        let logs = [
            log_in(&storage, 1, &[]).await,
            log_in(&storage, 2, &[]).await,
            log_in(&storage, 3, &[]).await,
        ];
        // atoms over the same logs, named in different orders, beside plain appends and merges
        let work = (0..6_usize).map(|worker| {
            let logs = logs.clone();
            task::spawn(async move {
                let mut written = 0_u64;
                for round in 0..20 {
                    let order = [worker, worker + 1, worker + 2 + round].map(|at| at % 3);
                    if worker % 3 == 2 {
                        logs[order[0]].append("alone").await.unwrap();
                        written += 1;
                        continue;
                    }
                    let atom = Atom::new(&logs[0]);
                    let drafts = order.map(|at| atom.draft(&logs[at]));
                    for draft in drafts.iter().flatten() {
                        draft.append("together").await.unwrap();
                    }
                    match atom.flush().await {
                        Ok(()) => written += drafts.iter().flatten().count() as u64,
                        Err(AtomError::Moved { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                written
            })
        });
        let work: Vec<_> = work.collect();
        let mut written = 0;
        for task in work {
            written += soon(task).await;
        }
        let lengths: u64 = logs.iter().map(|log| log.length().get()).sum();
        assert_eq!(lengths, written);
        for log in &logs {
            assert!(log.verify(|_| {}).unwrap().is_ok());
        }
    });
}

#[test]
fn what_was_flushed_is_found_again() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let open = || {
            let pair = KeyPair::from_seed(&[3; 32]);
            Hypercore::builder(Storage::disk(directory.path()))
                .key_pair(pair)
                .open()
        };
        let log = open().await.unwrap();
        log.append_batch(["a", "b"]).await.unwrap();
        let branch = log.branch("x").await.unwrap();
        branch.append("c").await.unwrap();
        let atom = Atom::new(&log);
        let draft = atom.draft(&log).unwrap();
        draft.merge(&branch).await.unwrap();
        draft.set_user_data("at", "3").await.unwrap();
        atom.flush().await.unwrap();
        drop((atom, draft));
        log.close_all().await.unwrap();
        let log = open().await.unwrap();
        assert_eq!(log.get(2).await.unwrap(), "c");
        assert_eq!(log.user_data("at").unwrap().unwrap(), "3");
        let branch = log.branch("x").await.unwrap();
        assert_eq!(branch.inherited().unwrap(), length(3));
        log.close_all().await.unwrap();
    });
}

#[test]
fn a_snapshot_may_be_taken_beside_a_draft_that_was_never_flushed() {
    block_on(async {
        let (log, _atom, draft) = greeting().await;
        draft.append("edits!").await.unwrap();
        let snapshot = log.snapshot().unwrap();
        assert_eq!(snapshot.length(), length(2));
        assert_eq!(snapshot.get(1).await.unwrap(), "world");
        let branch = log.branch("beside").await.unwrap();
        assert_eq!(branch.snapshot().unwrap().length(), length(2));
    });
}
