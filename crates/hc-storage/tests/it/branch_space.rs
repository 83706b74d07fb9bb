//! Space that branches hold on to: none of it is lost while one may have it, all comes back once they are gone.

use std::sync::Arc;

use hc_merkle::{BlockIndex, Length};
use hc_storage::fault::{FaultDisk, Survival};
use hc_storage::{Batch, CoreStore, Durability, StorageError, Store};

use crate::log::{Outcome, append, append_to, branch, clear, create, name, reopen, truncate};
use crate::space::{churned, everything, small};

/// What a branch has may hang on what was once said of its log: both keep their segments, until it is
/// deleted.
#[test]
fn logs_with_branches_keep_their_segments() -> Outcome {
    let disk = FaultDisk::new();
    let store = churned(&disk)?;
    let core = reopen(&store, 1)?;
    branch(&*core, "b", 170)?;
    clear(&*core, 0, 160, Durability::Os)?;
    truncate(&*core, 150, Durability::Os)?;
    append(&*core, 40, 7, Durability::Os)?;
    let b = core.open_branch("b")?.ok_or("branch")?;
    append(&*b, 5, 9, Durability::Os)?;
    let seen = everything(&store)?;
    for _ in 0..2 {
        store.compact(&mut |_| {})?;
        assert!(everything(&store)? == seen);
    }
    drop((core, b));
    store.close()?;
    disk.delete_index();
    let store = disk.open(small())?;
    assert!(everything(&store)? == seen, "without its index");
    store.compact(&mut |_| {})?;
    assert!(everything(&store)? == seen, "and collected again");
    assert!(store.usage()?.dead > 0, "{:?}", store.usage()?);
    reopen(&store, 1)?.delete_branch("b")?;
    let seen = everything(&store)?;
    store.compact(&mut |_| {})?;
    assert!(everything(&store)? == seen, "without the branch");
    assert_eq!(store.usage()?.dead, 0);
    store.close()?;
    disk.delete_index();
    let store = disk.open(small())?;
    assert!(everything(&store)? == seen, "without its index again");
    Ok(())
}

/// A branch is made at one step of collecting its log, which is cut at another, and may go to another log
/// between: it has all that it had, whatever the process and the index come to.
#[test]
fn a_branch_that_is_made_while_its_log_is_collected_keeps_what_that_loses() -> Outcome {
    let disk = FaultDisk::new();
    let store = churned(&disk)?;
    create(&store, 7)?;
    store.close()?;
    let image = || disk.image(Survival::Process(0));
    let count = {
        let (store, mut count) = (image().open(small())?, 0);
        store.compact(&mut |_| count += 1)?;
        count
    };
    assert!(count > 10, "{count} steps");
    let turns = |made| {
        let cuts = [made, made + 1, count / 2];
        cuts.map(|cut| [(made, cut, 1), (made, cut, 7)])
    };
    for (made, cut, home) in (0..count).step_by(4).flat_map(turns).flatten() {
        play(&image(), made, cut.max(made), home)?;
    }
    Ok(())
}

/// One way in which that may go; `home` is the log whose branch it is in the end.
fn play(left: &FaultDisk, made: usize, cut: usize, home: u8) -> Outcome {
    let what = format!("made at {made}, cut at {cut}, of {home}");
    let store = left.open(small())?;
    let (log, other) = (reopen(&store, 1)?, reopen(&store, home)?);
    let blocks = |core: &dyn CoreStore| -> Result<Vec<_>, StorageError> {
        let all = (0..170).map(|index| core.block(BlockIndex::new(index)));
        all.collect()
    };
    let expected = blocks(&*log)?;
    let compare = |store: &dyn Store, when: &str| -> Outcome {
        let b = reopen(store, home)?.open_branch("b")?.ok_or("branch")?;
        assert!(blocks(&*b)? == expected, "{what}, {when}");
        Ok(())
    };
    let (mut step, mut failed, mut died) = (0, None, None);
    store.compact(&mut |_| {
        let act = || -> Outcome {
            if step == made {
                let b = branch(&*log, "b", 170)?;
                if home != 1 {
                    let moved = b.move_to(&*other, Length::ZERO, Batch::new(), Durability::Os)?;
                    moved.wait()?;
                }
            }
            if step == cut {
                truncate(&*log, 150, Durability::Os)?;
            }
            Ok(())
        };
        failed = act().err().or(failed.take());
        if step == cut + 3 {
            died = Some(left.image(Survival::Process(1)));
        }
        step += 1;
    })?;
    assert!(failed.is_none(), "{what}: {failed:?}");
    compare(&store, "open")?;
    let died_later = left.image(Survival::Process(1));
    for died in died.into_iter().chain([died_later]) {
        let store = died.open(small())?;
        compare(&store, "after it died")?;
        store.compact(&mut |_| {})?;
        compare(&store, "after it died and was collected")?;
    }
    drop((log, other));
    store.close()?;
    left.delete_index();
    compare(&left.open(small())?, "without its index")
}

/// A branch that went to another log keeps what it took along, when the log that it left is deleted, and all
/// that was ever said of it is collected.
#[test]
fn what_a_branch_took_along_outlives_the_log_that_it_left() -> Outcome {
    let disk = FaultDisk::new();
    let store = disk.open(small())?;
    let (old, new) = (create(&store, 1)?, create(&store, 2)?);
    append(&*old, 60, 1, Durability::Os)?;
    append(&*new, 30, 1, Durability::Os)?;
    let draft = branch(&*old, "draft", 60)?;
    let blocks = |core: &dyn CoreStore| -> Result<Vec<_>, StorageError> {
        let all = (0..60).map(|index| core.block(BlockIndex::new(index)));
        all.collect()
    };
    let expected = blocks(&*draft)?;
    let moved = draft.move_to(&*new, Length::new(30), Batch::new(), Durability::Os)?;
    moved.wait()?;
    assert!(store.delete_core(&name(1))?);
    append(&*new, 200, 2, Durability::Os)?;
    store.close()?;
    let store = disk.open(small())?;
    store.compact(&mut |_| {})?;
    let kept = |store: &dyn Store| -> Result<_, Box<dyn std::error::Error>> {
        blocks(&*reopen(store, 2)?.open_branch("draft")?.ok_or("branch")?).map_err(Into::into)
    };
    assert!(kept(&store)? == expected, "collected");
    store.close()?;
    disk.delete_index();
    let store = disk.open(small())?;
    assert!(kept(&store)? == expected, "without its index");
    assert!(reopen(&store, 2)?.delete_branch("draft")?);
    store.compact(&mut |_| {})?;
    assert!(store.usage()?.dead == 0, "{:?}", store.usage()?);
    Ok(())
}

/// A store in which each round makes a branch, merges it and deletes it, and clears what is old.
#[test]
fn a_store_does_not_grow_by_branches_that_are_gone() -> Outcome {
    let disk = FaultDisk::new();
    disk.refuse_holes();
    let store = disk.open(small().collect(true))?;
    let log = create(&store, 1)?;
    let mut sizes = Vec::new();
    for round in 0..60 {
        let length = log.head()?.length();
        let draft = branch(&*log, "draft", length.get())?;
        append(&*draft, 20, round, Durability::Os)?;
        let merged = append_to(&log.head()?, 20, round)?;
        let mut inherit = Batch::new();
        inherit.inherit(Length::new(length.get() + 20));
        let both = vec![
            (Arc::clone(&log), Batch::from_change(&merged)),
            (draft, inherit),
        ];
        store.commit_all(both, Durability::Os)?.wait()?;
        assert!(log.delete_branch("draft")?);
        clear(&*log, 0, length.get().saturating_sub(40), Durability::Os)?;
        sizes.push(store.usage()?.log);
    }
    let (early, late) = (sizes[..30].iter().max(), sizes[30..].iter().max());
    let nodes = 30 * 20 * 2 * 40;
    assert!(
        late < early.map(|early| early + nodes).as_ref(),
        "{sizes:?}"
    );
    let seen = everything(&store)?;
    store.close()?;
    drop(log);
    disk.delete_index();
    assert!(
        everything(&disk.open(small())?)? == seen,
        "without its index"
    );
    Ok(())
}
