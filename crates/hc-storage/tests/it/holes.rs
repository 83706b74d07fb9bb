//! Void blocks go back to the file system as holes, without anything being collected; what is left is the
//! same, whatever becomes of the process or of the index.

use std::error::Error;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Draft};
use hc_storage::fault::{Fault, FaultDisk, Survival};
use hc_storage::{Batch, CoreStore, DiskStore, Durability, Store, StoreOptions};

use crate::log::{Outcome, branch, clear, create, reopen, truncate};
use crate::seen::{Seen, look, look_at_all};

const LEN: usize = 40_000;

fn options() -> StoreOptions {
    let options = StoreOptions::default().create(true).background(false);
    options
        .segment_len(256 << 10)
        .checkpoint_every(10_000, 8 << 20)
}

fn large(at: u64) -> Bytes {
    Bytes::from(
        (0..LEN as u64)
            .map(|byte| (at * 7 + byte / 3) as u8)
            .collect::<Vec<_>>(),
    )
}

fn append(core: &dyn CoreStore, count: u64) -> Outcome {
    let mut draft = Draft::new(&core.head()?);
    let start = core.head()?.length().get();
    draft.append((start..start + count).map(large))?;
    let batch = Batch::from_change(&draft.seal_unsigned());
    Ok(core.commit(batch, Durability::Os)?.wait()?)
}

/// A log of 30 large blocks, in a segment for every six of them.
fn filled(disk: &FaultDisk) -> Result<DiskStore, Box<dyn Error>> {
    let store = disk.open(options())?;
    let core = create(&store, 1)?;
    for _ in 0..15 {
        append(&*core, 2)?;
    }
    Ok(store)
}

fn reopened(disk: &FaultDisk) -> Result<(DiskStore, Seen), Box<dyn Error>> {
    let store = disk.open(options())?;
    let seen = look_at_all(&*reopen(&store, 1)?)?;
    Ok((store, seen))
}

#[test]
fn what_is_cleared_is_given_back_without_being_collected() -> Outcome {
    let disk = FaultDisk::new();
    let store = filled(&disk)?;
    let before = store.usage()?;
    let core = reopen(&store, 1)?;
    clear(&*core, 1, 20, Durability::Os)?;
    let seen = look(&*core)?;
    drop(core);
    store.close()?;
    let files = disk.files();
    assert!(files.iter().all(|name| !name.contains('-')), "{files:?}");
    let (store, again) = reopened(&disk)?;
    assert!(again == look_at_all(&*reopen(&store, 1)?)? && look(&*reopen(&store, 1)?)? == seen);
    let after = store.usage()?;
    assert_eq!(after.live, 11 * LEN as u64);
    let given = before.log - after.log;
    // 19 blocks, but for the last page of each run of them and what the last segment has
    assert!(given > 17 * LEN as u64, "{before:?} {after:?}");
    assert!(after.dead < 2 * LEN as u64, "{after:?}");
    store.close()?;
    // the index says nothing that the log does not
    disk.delete_index();
    let (store, again) = reopened(&disk)?;
    assert!(again == look_at_all(&*reopen(&store, 1)?)? && look(&*reopen(&store, 1)?)? == seen);
    assert_eq!(store.usage()?.live, after.live);
    // collected with its holes it is the same
    store.compact(&mut |_| {})?;
    assert!(look(&*reopen(&store, 1)?)? == seen);
    assert!(disk.files().iter().any(|name| name.contains('-')));
    assert_eq!(store.usage()?.dead, 0);
    Ok(())
}

#[test]
fn what_a_snapshot_or_a_branch_may_show_is_kept() -> Outcome {
    let disk = FaultDisk::new();
    let store = filled(&disk)?;
    let core = reopen(&store, 1)?;
    let snapshot = core.snapshot()?;
    let shown = look(&*snapshot)?;
    clear(&*core, 0, 12, Durability::Os)?;
    store.sync(Durability::Disk)?;
    append(&*core, 250)?;
    assert!(look(&*snapshot)? == shown, "the snapshot");
    drop(snapshot);
    let held = branch(&*core, "b", 40)?;
    let shown = look(&*held)?;
    truncate(&*core, 20, Durability::Os)?;
    append(&*core, 250)?;
    assert!(look(&*held)? != shown, "what the log has below is its own");
    for index in 20..40 {
        let kept = held.block(BlockIndex::new(index))?;
        assert!(kept == Some(large(index)), "block {index} of the branch");
    }
    Ok(())
}

/// What was cleared and is on the device, is cleared after every crash; all else is there.
#[test]
fn making_holes_may_be_cut_short_at_every_call() -> Outcome {
    let disk = FaultDisk::new();
    let store = filled(&disk)?;
    clear(&*reopen(&store, 1)?, 3, 17, Durability::Disk)?;
    let seen = look_at_all(&*reopen(&store, 1)?)?;
    let image = || disk.image(Survival::Process(0));
    let trial = image();
    let first = {
        let (store, _) = reopened(&trial)?;
        let first = trial.calls();
        store.close()?;
        first
    };
    let calls = first..trial.calls();
    assert!(calls.clone().count() > 8, "{calls:?}");
    for call in calls {
        for fault in [
            Fault::Freeze,
            Fault::Refuse(std::io::ErrorKind::Unsupported),
        ] {
            let dying = image();
            let (store, _) = reopened(&dying)?;
            dying.arm(call, fault);
            let _ = store.close();
            for survival in [
                Survival::Process(call),
                Survival::Power(call),
                Survival::Power(!call),
            ] {
                let left = dying.image(survival);
                if call % 2 == 0 {
                    left.delete_index();
                }
                let (store, again) = reopened(&left)?;
                assert!(again == seen, "call {call}, {fault:?}, {survival:?}");
                store.compact(&mut |_| {})?;
                assert!(
                    look_at_all(&*reopen(&store, 1)?)? == seen,
                    "collected, call {call}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_reader_beside_the_writer_meets_no_hole() -> Outcome {
    let disk = FaultDisk::new();
    let store = filled(&disk)?;
    let reader = disk.open(options().read_only())?;
    let theirs = reopen(&reader, 1)?;
    clear(&*reopen(&store, 1)?, 0, 18, Durability::Os)?;
    // whoever closes brings all to the device and gives back what is void
    store.close()?;
    assert_eq!(theirs.block(BlockIndex::new(4))?, None, "looked again");
    assert_eq!(theirs.block(BlockIndex::new(20))?, Some(large(20)));
    Ok(())
}

/// Of a real file system.
#[cfg(target_os = "linux")]
#[test]
fn the_file_system_takes_the_space_back() -> Outcome {
    let directory = tempfile::tempdir()?;
    let store = options().open(directory.path())?;
    let core = create(&store, 1)?;
    for _ in 0..15 {
        append(&*core, 2)?;
    }
    clear(&*core, 0, 24, Durability::Os)?;
    let before = store.usage()?;
    drop(core);
    store.close()?;
    let store = options().open(directory.path())?;
    let after = store.usage()?;
    assert!(
        before.log - after.log > 20 * LEN as u64,
        "{before:?} {after:?}"
    );
    let core = reopen(&store, 1)?;
    for index in 24..30 {
        assert_eq!(core.block(BlockIndex::new(index))?, Some(large(index)));
    }
    Ok(())
}
