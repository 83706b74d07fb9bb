//! Branches of logs on every engine: what they have of the log that they left, what they keep when it is
//! cut, and commits to several logs at once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Head, Length};
use hc_storage::fault::FaultDisk;
use hc_storage::limits::MAX_BRANCH_NAME_LEN;
use hc_storage::{
    Batch, BatchError, CoreRead, CoreStore, Durability, Lineage, MemoryStore, StorageError, Store,
    StoreOptions, Topic,
};

use crate::log::{
    Outcome, append, append_to, block, branch, clear, create, head_at, name, reset, truncate,
};

pub(crate) const OS: Durability = Durability::Os;

/// Runs a case on every engine, on the default one also with an index that is written all the time.
fn on_all(case: fn(&dyn Store) -> Outcome) -> Outcome {
    case(&MemoryStore::new())?;
    let options = StoreOptions::default().create(true).background(false);
    case(&FaultDisk::new().open(options)?)?;
    let tiny = options.segment_len(8 << 10).checkpoint_every(7, 4 << 10);
    case(&FaultDisk::new().open(tiny)?)
}

/// The salts of the blocks, in order; 99 where a block is not stored.
fn salts(core: &dyn CoreRead) -> Result<Vec<u64>, Box<dyn std::error::Error>> {
    let (length, bits) = (core.head()?.length().get(), core.bitfield()?);
    let mut visited = BTreeMap::new();
    core.blocks(
        BlockIndex::new(0)..BlockIndex::new(length),
        &mut |index, bytes| {
            visited.insert(index.get(), bytes);
            ControlFlow::Continue(())
        },
    )?;
    let mut salts = Vec::new();
    for index in 0..length {
        let stored = core.block(BlockIndex::new(index))?;
        assert_eq!(bits.get(index), stored.is_some(), "bit {index}");
        assert_eq!(visited.get(&index), stored.as_ref(), "block {index}");
        let salt = stored.map(|stored| (0..9).find(|salt| block(index, *salt) == stored));
        salts.push(salt.flatten().unwrap_or(99));
    }
    assert_eq!(core.block(BlockIndex::new(length))?, None);
    let roots = core.head()?.roots().to_vec();
    let mut found = Vec::new();
    let indexes: Vec<_> = roots.iter().map(|root| root.index).collect();
    core.nodes(&indexes, &mut found)?;
    assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), roots);
    Ok(salts)
}

pub(crate) fn lineage(length: u64, cut: bool) -> Option<Lineage> {
    let length = Length::new(length);
    Some(Lineage { length, cut })
}

#[test]
fn a_branch_has_its_log_below_and_its_own_above() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        assert_eq!(log.lineage()?, None);
        // block 13 is empty, so that salts are told apart by the others
        append(&*log, 3, 1, OS)?;
        let draft = branch(&*log, "draft", 3)?;
        assert_eq!(draft.head()?.roots(), log.head()?.roots());
        append(&*draft, 2, 2, OS)?;
        append(&*log, 1, 3, OS)?;
        assert_eq!(salts(&*draft)?[1..], [1, 1, 2, 2]);
        assert_eq!(salts(&*log)?[1..], [1, 1, 3]);
        assert_eq!(draft.lineage()?, lineage(3, false));
        assert_eq!(draft.auth()?.key, log.auth()?.key);
        assert_eq!(log.branches()?, ["draft"]);
        // what the log clears, the branch does not have any more; what the branch clears is its own
        clear(&*log, 1, 2, OS)?;
        clear(&*draft, 0, 4, OS)?;
        assert_eq!(salts(&*draft)?[1..], [99, 1, 99, 2]);
        assert_eq!(salts(&*log)?[2..], [1, 3]);
        Ok(())
    })
}

#[test]
fn an_earlier_length_is_checked_out() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 6, 1, OS)?;
        let draft = branch(&*log, "draft", 2)?;
        assert_eq!(draft.head()?, head_at(&*log, 2)?);
        append(&*draft, 3, 2, OS)?;
        assert_eq!(salts(&*draft)?[1..], [1, 2, 2, 2]);
        assert_eq!(draft.bitfield()?.count(0..100), 5);
        Ok(())
    })
}

#[test]
fn a_branch_keeps_what_its_log_cuts() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 6, 1, OS)?;
        clear(&*log, 4, 5, OS)?;
        let (one, two) = (branch(&*log, "one", 6)?, branch(&*log, "two", 2)?);
        append(&*one, 2, 2, OS)?;
        let before = store.usage()?.live;
        truncate(&*log, 3, OS)?;
        assert_eq!(store.usage()?.live, before, "nothing was given up");
        append(&*log, 5, 3, OS)?;
        assert_eq!(salts(&*one)?[1..], [1, 1, 1, 99, 1, 2, 2]);
        assert_eq!(one.lineage()?, lineage(3, true));
        assert_eq!(salts(&*two)?[1..], [1]);
        assert_eq!(two.lineage()?, lineage(2, false));
        // cut again, and the other branch too
        truncate(&*log, 1, OS)?;
        append(&*log, 9, 4, OS)?;
        assert_eq!(salts(&*one)?[1..], [1, 1, 1, 99, 1, 2, 2]);
        assert_eq!(salts(&*two)?[1..], [1]);
        assert_eq!(two.lineage()?, lineage(1, true));
        // cut to what both have, it may be continued where the log is
        truncate(&*one, 1, OS)?;
        assert_eq!(one.lineage()?, lineage(1, false));
        Ok(())
    })
}

#[test]
fn a_branch_is_reset_to_its_log() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 2, 1, OS)?;
        let draft = branch(&*log, "draft", 2)?;
        append(&*draft, 5, 2, OS)?;
        append(&*log, 3, 3, OS)?;
        let snapshot = draft.snapshot()?;
        reset(&*draft, &*log, 4, OS)?;
        assert_eq!(salts(&*draft)?[1..], [1, 3, 3]);
        assert_eq!(draft.lineage()?, lineage(4, false));
        assert_eq!(salts(&*snapshot)?[1..], [1, 2, 2, 2, 2, 2]);
        assert_eq!(snapshot.lineage()?, lineage(2, false));
        Ok(())
    })
}

#[test]
fn snapshots_of_branches_stay() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 40, 1, OS)?;
        let draft = branch(&*log, "draft", 30)?;
        append(&*draft, 10, 2, OS)?;
        let snapshot = draft.snapshot()?;
        let expected = salts(&*draft)?;
        clear(&*log, 2, 4, OS)?;
        clear(&*draft, 33, 35, OS)?;
        truncate(&*log, 10, OS)?;
        append(&*log, 50, 3, OS)?;
        truncate(&*draft, 5, OS)?;
        append(&*draft, 50, 4, OS)?;
        store.sync(Durability::Disk)?;
        assert_eq!(salts(&*snapshot)?, expected);
        Ok(())
    })
}

#[test]
fn commits_to_several_logs_are_one() -> Outcome {
    on_all(|store| {
        let (one, two) = (create(store, 1)?, create(store, 2)?);
        append(&*one, 2, 1, OS)?;
        let draft = branch(&*one, "draft", 2)?;
        append(&*draft, 2, 2, OS)?;
        let grow = |core: &dyn CoreRead, salt| -> Result<Batch, Box<dyn std::error::Error>> {
            Ok(Batch::from_change(&append_to(&core.head()?, 2, salt)?))
        };
        let mut inherit = Batch::new();
        inherit.inherit(Length::new(4));
        let mut marked = grow(&*two, 5)?;
        marked.set_user_data("mark", Some(Bytes::from_static(b"x")));
        let stale = grow(&*two, 6)?;
        let live = store.usage()?.live;
        let all = vec![
            (one.clone(), grow(&*one, 2)?),
            (draft.clone(), inherit.clone()),
            (two.clone(), marked),
        ];
        store.commit_all(all, OS)?.wait()?;
        assert_eq!(salts(&*one)?[1..], [1, 2, 2]);
        assert_eq!(salts(&*two)?[1..], [5]);
        assert_eq!(two.user_data("mark")?.as_deref(), Some(&b"x"[..]));
        assert_eq!(salts(&*draft)?[1..], [1, 2, 2]);
        assert_eq!(draft.lineage()?, lineage(4, false));
        let added: u64 = (0..2).map(|index| block(index, 5).len() as u64).sum();
        assert_eq!(
            store.usage()?.live,
            live + added,
            "the branch gave up its own"
        );
        // one that does not fit, and none is stored
        let all = vec![(one.clone(), grow(&*one, 3)?), (two.clone(), stale)];
        let refused = store.commit_all(all, OS);
        assert!(matches!(refused, Err(StorageError::Stale { .. })));
        assert_eq!(one.head()?.length(), Length::new(4));
        Ok(())
    })
}

#[test]
fn what_makes_no_sense_is_refused() -> Outcome {
    on_all(|store| {
        let (log, other) = (create(store, 1)?, create(store, 2)?);
        append(&*log, 3, 1, OS)?;
        append(&*other, 3, 2, OS)?;
        let draft = branch(&*log, "draft", 3)?;
        let head = log.head()?;
        assert!(matches!(
            log.create_branch("draft", &head),
            Err(StorageError::BranchExists { .. })
        ));
        assert!(matches!(
            draft.create_branch("twig", &head),
            Err(StorageError::BranchOfBranch)
        ));
        let foreign = log.create_branch("foreign", &other.head()?);
        assert!(matches!(
            foreign.map(drop),
            Err(StorageError::Batch(BatchError::OtherTree))
        ));
        let long = "n".repeat(MAX_BRANCH_NAME_LEN);
        log.create_branch(&long, &Head::empty())?;
        assert!(log.delete_branch(&long)?);
        let longer = log.create_branch(&(long + "n"), &Head::empty());
        assert!(matches!(
            longer.map(drop),
            Err(StorageError::Batch(BatchError::NameTooLong { len: 257 }))
        ));
        let mut inherit = Batch::new();
        inherit.inherit(Length::new(1));
        let refused = log.commit(inherit, OS);
        assert!(matches!(
            refused,
            Err(StorageError::Batch(BatchError::NotABranch))
        ));
        let mut inherit = Batch::new();
        inherit.inherit(Length::new(4));
        let refused = draft.commit(inherit, OS);
        assert!(matches!(
            refused,
            Err(StorageError::Batch(BatchError::InheritsPastEnd { .. }))
        ));
        Ok(())
    })
}

#[test]
fn what_does_not_go_together_is_refused() -> Outcome {
    on_all(|store| {
        let (log, other) = (create(store, 1)?, create(store, 2)?);
        append(&*log, 3, 1, OS)?;
        append(&*other, 3, 2, OS)?;
        let draft = branch(&*log, "draft", 3)?;
        let cut = Batch::from_change(&crate::log::truncation(&*log, 1)?);
        let mut note = Batch::new();
        note.set_user_data("note", None);
        let both = vec![(log.clone(), cut), (draft.clone(), note.clone())];
        assert!(matches!(
            store.commit_all(both, OS),
            Err(StorageError::Batch(BatchError::CutWithBranch))
        ));
        let mut joins = Batch::new();
        joins.join_group(Topic([1; 32]));
        assert!(matches!(
            draft.commit(joins, OS),
            Err(StorageError::Batch(BatchError::GroupOfBranch))
        ));
        let twice = vec![(log.clone(), note.clone()), (log.clone(), note.clone())];
        assert!(matches!(
            store.commit_all(twice, OS),
            Err(StorageError::Batch(BatchError::Repeated))
        ));
        let stranger = MemoryStore::new();
        let elsewhere = create(&stranger, 1)?;
        let refused = store.commit_all(vec![(elsewhere.clone(), note)], OS);
        assert!(matches!(refused, Err(StorageError::OtherStore)));
        let moved = |to: &dyn CoreStore, shared| {
            draft
                .move_to(to, Length::new(shared), Batch::new(), OS)
                .map(drop)
        };
        assert!(matches!(
            moved(&*elsewhere, 0),
            Err(StorageError::OtherStore)
        ));
        assert!(matches!(
            moved(&*other, 2),
            Err(StorageError::Batch(BatchError::OtherTree))
        ));
        branch(&*other, "draft", 1)?;
        assert!(matches!(
            moved(&*other, 0),
            Err(StorageError::BranchExists { .. })
        ));
        assert_eq!(salts(&*draft)?[1..], [1, 1]);
        Ok(())
    })
}

#[test]
fn branches_go_by_themselves_or_with_their_log() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 3, 1, OS)?;
        let (a, b) = (branch(&*log, "a", 3)?, branch(&*log, "b", 3)?);
        append(&*a, 3, 2, OS)?;
        append(&*b, 3, 2, OS)?;
        assert_eq!(log.branches()?, ["a", "b"]);
        assert!(log.delete_branch("a")?);
        assert!(!log.delete_branch("a")?);
        assert!(matches!(a.head(), Err(StorageError::NoBranch { .. })));
        assert!(log.open_branch("a")?.is_none());
        let again = branch(&*log, "a", 1)?;
        assert_eq!(salts(&*again)?.len(), 1);
        assert!(store.delete_core(&name(1))?);
        assert!(matches!(b.head(), Err(StorageError::NoBranch { .. })));
        assert_eq!(store.usage()?.live, 0);
        Ok(())
    })
}

#[test]
fn a_moved_branch_has_the_other_log_below() -> Outcome {
    on_all(|store| {
        let (old, new) = (create(store, 1)?, create(store, 2)?);
        append(&*old, 5, 1, OS)?;
        append(&*new, 3, 1, OS)?;
        append(&*new, 4, 2, OS)?;
        let draft = branch(&*old, "draft", 5)?;
        append(&*draft, 2, 3, OS)?;
        let snapshot = draft.snapshot()?;
        draft
            .move_to(&*new, Length::new(3), Batch::new(), OS)?
            .wait()?;
        assert_eq!(draft.lineage()?, lineage(3, false));
        assert_eq!(salts(&*draft)?[1..], [1, 1, 1, 1, 3, 3]);
        assert_eq!(
            (old.branches()?, new.branches()?),
            (vec![], vec!["draft".into()])
        );
        assert_eq!(draft.auth()?.key, new.auth()?.key);
        clear(&*new, 1, 2, OS)?;
        truncate(&*old, 0, OS)?;
        assert_eq!(salts(&*draft)?[1..], [99, 1, 1, 1, 3, 3]);
        assert_eq!(salts(&*snapshot)?[1..], [1, 1, 1, 1, 3, 3]);
        // and on, taking on what the other log has
        let third = create(store, 3)?;
        append(&*third, 9, 4, OS)?;
        let head = draft.head()?;
        let batch = Batch::reset((head.fork(), head.length()), head_at(&*third, 8)?);
        draft.move_to(&*third, Length::ZERO, batch, OS)?.wait()?;
        assert_eq!(salts(&*draft)?[1..], [4; 7]);
        assert!(store.delete_core(&name(2))?);
        assert_eq!(salts(&*draft)?[1..], [4; 7]);
        Ok(())
    })
}
