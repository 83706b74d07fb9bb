//! Every call that changes the disk fails once, in every way; whatever is left is opened and looked
//! through, block by block and node by node.

use std::io::ErrorKind;

use bytes::Bytes;
use hc_merkle::Length;
use hc_storage::fault::{Fault, FaultDisk, Survival};
use hc_storage::{
    Batch, CoreStore, DamageKind, DiskStore, Durability, OpenError, StorageError, Store,
    StoreOptions,
};

use crate::log::{
    Outcome, append, append_to, branch, clear, create, name, reopen, reopen_branch, reset,
    truncate, truncation,
};
use crate::seen::{Seen, look, look_at_all};

/// What a process acknowledged, step by step, of two logs.
type States = Vec<Both>;

/// Two logs, where they are.
type Both = [Option<Seen>; 2];

fn look_at_both(store: &dyn Store) -> Result<[Option<Seen>; 2], StorageError> {
    let seen = |number| match store.open_core(&name(number))? {
        Some(core) => look_at_all(&*core).map(Some),
        None => Ok::<_, StorageError>(None),
    };
    Ok([seen(1)?, seen(2)?])
}

fn options() -> StoreOptions {
    let options = StoreOptions::default().create(true).background(false);
    let options = options.durability(Durability::Disk);
    options.segment_len(6 << 10).checkpoint_every(40, 5 << 10)
}

/// To read with a copy of the index, however short the log is.
fn copying() -> StoreOptions {
    options().read_only().copy_index_from(0)
}

fn note(core: &dyn CoreStore, value: &'static [u8], level: Durability) -> Outcome {
    let mut batch = Batch::new();
    batch.set_user_data("note", Some(Bytes::from_static(value)));
    Ok(core.commit(batch, level)?.wait()?)
}

/// Changes to a log and to a branch of another, as one.
fn append_both(store: &dyn Store, level: Durability) -> Outcome {
    let (core, branch) = (reopen(store, 2)?, reopen_branch(store, 1, "b")?);
    let mut batches = Vec::new();
    for (core, count) in [(core, 2), (branch, 3)] {
        let change = append_to(&core.head()?, count, 5)?;
        batches.push((core, Batch::from_change(&change)));
    }
    Ok(store.commit_all(batches, level)?.wait()?)
}

/// What a branch has past its log goes into the log.
fn merge(store: &dyn Store, level: Durability) -> Outcome {
    let (core, branch) = (reopen(store, 1)?, reopen_branch(store, 1, "b")?);
    let change = append_to(&core.head()?, 2, 6)?;
    let mut inherit = Batch::new();
    inherit.inherit(branch.head()?.length());
    let batches = vec![(core, Batch::from_change(&change)), (branch, inherit)];
    Ok(store.commit_all(batches, level)?.wait()?)
}

/// A mix of all operations. Calls `acknowledged` after each that the store acknowledged.
fn script(
    store: &dyn Store,
    level: Durability,
    acknowledged: &mut dyn FnMut(&dyn Store) -> Outcome,
) -> Outcome {
    let b = || reopen_branch(store, 1, "b");
    let steps: &[&dyn Fn() -> Outcome] = &[
        &|| create(store, 1).map(drop),
        &|| append(&*reopen(store, 1)?, 1, 0, level),
        &|| append(&*reopen(store, 1)?, 12, 0, level),
        &|| create(store, 2).map(drop),
        &|| append(&*reopen(store, 2)?, 3, 1, level),
        &|| append(&*reopen(store, 1)?, 30, 0, level),
        &|| branch(&*reopen(store, 1)?, "b", 43).map(drop),
        &|| append(&*b()?, 4, 5, level),
        &|| clear(&*reopen(store, 1)?, 5, 20, level),
        &|| note(&*reopen(store, 1)?, b"first", level),
        &|| append(&*reopen(store, 2)?, 40, 1, level),
        &|| append_both(store, level),
        &|| branch(&*reopen(store, 1)?, "c", 30).map(drop),
        // both branches keep what this cuts
        &|| truncate(&*reopen(store, 1)?, 17, level),
        &|| Ok(store.compact(&mut |_| {})?),
        &|| append(&*reopen(store, 1)?, 25, 2, level),
        &|| truncate(&*b()?, 41, level),
        &|| {
            let (c, target) = (reopen_branch(store, 1, "c")?, reopen(store, 2)?);
            let moved = c.move_to(&*target, Length::ZERO, Batch::new(), level)?;
            Ok(moved.wait()?)
        },
        &|| note(&*b()?, b"a branch's", level),
        &|| Ok(store.sync(Durability::Disk)?),
        &|| reset(&*b()?, &*reopen(store, 1)?, 42, level),
        &|| append(&*b()?, 2, 6, level),
        &|| merge(store, level),
        &|| note(&*reopen(store, 1)?, b"second", level),
        &|| truncate(&*reopen(store, 2)?, 0, level),
        &|| Ok(reopen(store, 1)?.delete_branch("b").map(drop)?),
        &|| store.delete_core(&name(2)).map(drop).map_err(Into::into),
        &|| Ok(store.compact(&mut |_| {})?),
        &|| append(&*reopen(store, 1)?, 8, 3, level),
        &|| clear(&*reopen(store, 1)?, 0, 30, level),
    ];
    for step in steps {
        step()?;
        acknowledged(store)?;
    }
    Ok(())
}

/// What each step of the script leaves behind, on a disk without faults; and how many calls that took.
fn expected(level: Durability) -> Result<(States, u64), Box<dyn std::error::Error>> {
    let disk = FaultDisk::new();
    let store = disk.open(options())?;
    let mut states = vec![[None, None]];
    script(&store, level, &mut |store| {
        states.push(look_at_both(store)?);
        Ok(())
    })?;
    store.close()?;
    assert!(disk.read("POSITION").is_some());
    Ok((states, disk.calls()))
}

/// Runs the script until the fault stops it. Returns how many steps were acknowledged.
fn run(disk: &FaultDisk, level: Durability) -> usize {
    let mut steps = 0;
    let Ok(store) = disk.open(options()) else {
        return 0;
    };
    let _ = script(&store, level, &mut |_| {
        steps += 1;
        Ok(())
    });
    let _ = store.close();
    steps
}

/// The store on what is left: all that was acknowledged, and at most the one step more that was begun.
fn check(image: &FaultDisk, states: &States, steps: usize, what: &str) {
    let allowed = states
        .get(steps..states.len().min(steps + 2))
        .unwrap_or_default();
    let check = |store: &DiskStore| {
        let found = look_at_both(store).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(allowed.contains(&found), "{what}: after {steps} steps");
    };
    // with a copy of the index that is left, as that is
    match image.open(copying()) {
        Ok(reader) => check(&reader),
        Err(OpenError::Missing { .. }) if steps == 0 => {}
        Err(error) => panic!("{what}: to read: {error}"),
    }
    let store = image
        .open(options())
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    check(&store);
    // and it goes on from there
    let core = match store.open_core(&name(1)).expect(what) {
        Some(core) => core,
        None => create(&store, 1).expect(what),
    };
    let length = core.head().expect(what).length().get();
    append(&*core, 3, 7, Durability::Disk).expect(what);
    let after = look(&*core).expect(what);
    drop(core);
    store.close().expect(what);
    let store = image.open(options()).expect(what);
    let core = reopen(&store, 1).expect(what);
    assert_eq!(core.head().expect(what).length().get(), length + 3);
    assert_eq!(look(&*core).expect(what), after, "{what}: after going on");
}

#[test]
fn the_process_dies_at_every_call() -> Outcome {
    let (states, calls) = expected(Durability::Os)?;
    for call in 0..calls {
        for fault in [Fault::Freeze, Fault::Tear(20), Fault::Tear(700)] {
            let disk = FaultDisk::new();
            disk.arm(call, fault);
            let dead = FaultDisk::clone(&disk);
            // whatever tears kills as well
            if fault != Fault::Freeze {
                disk.arm(call + 1, Fault::Freeze);
            }
            let steps = run(&disk, Durability::Os);
            let image = dead.image(Survival::Process(call));
            check(&image, &states, steps, &format!("call {call}, {fault:?}"));
        }
    }
    Ok(())
}

#[test]
fn the_power_goes_at_every_call() -> Outcome {
    let (states, calls) = expected(Durability::Disk)?;
    for call in 0..calls {
        let disk = FaultDisk::new();
        disk.arm(call, Fault::Freeze);
        let steps = run(&disk, Durability::Disk);
        for seed in 0..3 {
            let image = disk.image(Survival::Power(call * 31 + seed));
            // without the index, the recorded position is all that says how far the log must reach
            if seed == 2 {
                image.delete_index();
            }
            check(&image, &states, steps, &format!("call {call}, seed {seed}"));
        }
    }
    Ok(())
}

/// At the default level the power may take what was acknowledged, from some point on, and no more.
#[test]
fn without_sync_the_power_takes_only_the_end() -> Outcome {
    let (states, calls) = expected(Durability::Os)?;
    for call in 0..calls {
        let disk = FaultDisk::new();
        disk.arm(call, Fault::Freeze);
        let steps = run(&disk, Durability::Os);
        let image = disk.image(Survival::Power(call));
        let store = image
            .open(options())
            .unwrap_or_else(|error| panic!("{call}: {error}"));
        let found = look_at_both(&store)?;
        let allowed = states
            .get(..states.len().min(steps + 2))
            .unwrap_or_default();
        assert!(allowed.contains(&found), "call {call}, after {steps} steps");
    }
    Ok(())
}

#[test]
fn a_refusal_is_said_and_nothing_changes_until_reopened() -> Outcome {
    let (states, calls) = expected(Durability::Os)?;
    for call in 0..calls {
        let disk = FaultDisk::new();
        disk.arm(call, Fault::Refuse(ErrorKind::StorageFull));
        let opened = disk.open(options());
        let Ok(store) = opened else {
            let error = opened.err();
            let full = matches!(&error, Some(OpenError::Io(io)) if io.is_full());
            assert!(full, "call {call}: {error:?}");
            check(&disk, &states, 0, &format!("call {call}"));
            continue;
        };
        let mut steps = 0;
        let stopped = script(&store, Durability::Os, &mut |store| {
            steps += 1;
            // up to the refusal it goes as it went without one
            if disk.calls() > call {
                assert!(
                    Some(&look_at_both(store)?) == states.get(steps),
                    "call {call}, at step {steps}"
                );
            }
            Ok(())
        });
        if stopped.is_err() {
            // what is in memory is what was acknowledged, or that and the step that was written whole
            let now = look_at_both(&store)?;
            let allowed = states
                .get(steps..states.len().min(steps + 2))
                .unwrap_or_default();
            assert!(
                allowed.contains(&now),
                "call {call}, after {steps} steps: {stopped:?}"
            );
        }
        let _ = store.close();
        drop(store);
        check(&disk, &states, steps, &format!("call {call}"));
    }
    Ok(())
}

fn filled() -> Result<(FaultDisk, Both), Box<dyn std::error::Error>> {
    let disk = FaultDisk::new();
    let store = disk.open(options())?;
    script(&store, Durability::Os, &mut |_| Ok(()))?;
    let seen = look_at_both(&store)?;
    store.close()?;
    Ok((disk, seen))
}

#[test]
fn the_index_is_made_again_from_the_log() -> Outcome {
    let (disk, seen) = filled()?;
    disk.delete_index();
    let store = disk.open(options())?;
    assert_eq!(look_at_both(&store)?, seen, "deleted");
    let usage = store.usage()?;
    store.close()?;
    disk.damage_index();
    let store = disk.open(options())?;
    assert_eq!(look_at_both(&store)?, seen, "damaged");
    assert_eq!(store.usage()?.live, usage.live);
    assert_eq!(store.usage()?.dead, usage.dead);
    Ok(())
}

#[test]
fn an_index_entry_that_rots_is_made_again_at_the_next_open() -> Outcome {
    let (disk, seen) = filled()?;
    let store = disk.open(options())?;
    disk.damage_index();
    let refused = look_at_both(&store);
    assert!(
        matches!(refused, Err(StorageError::Index(_))),
        "{refused:?}"
    );
    drop(store);
    assert_eq!(look_at_both(&disk.open(options())?)?, seen);
    Ok(())
}

#[test]
fn no_flipped_bit_in_the_log_goes_unnoticed() -> Outcome {
    let (disk, seen) = filled()?;
    let names: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|name| name.starts_with("log/"))
        .collect();
    assert!(names.len() > 2, "{names:?}");
    for file in names {
        let bytes = disk.read(&file).ok_or("segment")?;
        let places = (0..bytes.len()).step_by(bytes.len() / 23 + 1);
        for at in places.chain(0..100.min(bytes.len())) {
            let image = disk.image(Survival::Process(0));
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            image.write(&file, damaged);
            image.delete_index();
            // refused with a place, or passed over and said, or refused block by block, or what was cut
            // or replaced long ago
            let opened: Result<DiskStore, _> = image.open(options());
            match opened {
                Err(OpenError::Damaged(damage)) => {
                    assert!(
                        damage.path.to_string_lossy().contains(&file),
                        "{damage} in {file}"
                    );
                }
                Err(OpenError::Version { .. }) => assert!(at < 12),
                Err(error) => panic!("{file} at {at}: {error}"),
                Ok(store) => {
                    let said = store.damage()?;
                    for damage in &said {
                        let path = damage.path.to_string_lossy();
                        assert!(path.contains(&file), "{damage} in {file}");
                    }
                    match look_at_both(&store) {
                        Err(StorageError::BlockDamaged { .. }) => {}
                        Err(StorageError::Damaged(damage)) => {
                            assert_eq!(damage.kind, DamageKind::Root, "{file} at {at}");
                            assert!(!said.is_empty(), "{file} at {at}");
                        }
                        Err(error) => panic!("{file} at {at}: {error}"),
                        Ok(found) => assert!(found == seen || !said.is_empty(), "{file} at {at}"),
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_frame_known_to_be_on_the_device_is_never_cut() -> Outcome {
    // with zeros behind the last frame, and without
    for level in [Durability::Disk, Durability::Os] {
        let disk = FaultDisk::new();
        let options = || StoreOptions::default().create(true).background(false);
        let store = disk.open(options())?;
        let core = create(&store, 1)?;
        append(&*core, 2, 0, Durability::Os)?;
        store.sync(Durability::Disk)?;
        let length = disk.read("log/00000000.seg").ok_or("segment")?.len();
        for _ in 0..2 {
            append(&*core, 2, 0, level)?;
            store.sync(Durability::Disk)?;
        }
        let image = disk.image(Survival::Process(0));
        let mut bytes = image.read("log/00000000.seg").ok_or("segment")?;
        bytes[length + 40] ^= 1;
        image.write("log/00000000.seg", bytes.clone());
        let store = image.open(options())?;
        let damage = store.damage()?;
        assert_eq!(damage.len(), 1);
        assert_eq!(damage[0].offset, length as u64);
        let after = image.read("log/00000000.seg").ok_or("segment")?;
        let (kept, cut) = bytes.split_at(after.len());
        assert!(kept == after && cut.iter().all(|byte| *byte == 0));
        assert_eq!(cut.is_empty(), level == Durability::Os);
    }
    Ok(())
}

#[test]
fn a_reader_beside_the_writer_sees_what_is_added() -> Outcome {
    for to_read in [options().read_only(), copying()] {
        let disk = FaultDisk::new();
        let writer = disk.open(options())?;
        let core = create(&writer, 1)?;
        append(&*core, 10, 0, Durability::Os)?;
        let reader = disk.open(to_read)?;
        assert_eq!(look_at_both(&reader)?, look_at_both(&writer)?);
        let seen = reopen(&reader, 1)?;
        assert!(append(&*seen, 1, 0, Durability::Os).is_err());
        assert!(!reader.refresh()?);
        for round in 0..8 {
            append(&*core, 9, 0, Durability::Os)?;
            if round == 4 {
                clear(&*core, 3, 9, Durability::Os)?;
                let change = truncation(&*core, 20)?;
                core.commit(Batch::from_change(&change), Durability::Os)?
                    .wait()?;
            }
            assert!(reader.refresh()?);
            assert!(look(&*seen)? == look(&*core)?, "round {round}");
            let late = disk.open(to_read)?;
            assert!(
                look_at_both(&late)? == look_at_both(&writer)?,
                "round {round}"
            );
        }
        create(&writer, 2)?;
        assert!(reader.refresh()?);
        assert_eq!(reader.cores()?, writer.cores()?);
    }
    Ok(())
}

/// At each step of the mix a reader opens, and all that did go on with it.
#[test]
fn readers_that_came_at_any_step_see_what_the_writer_sees() -> Outcome {
    for to_read in [options().read_only(), copying()] {
        let disk = FaultDisk::new();
        let writer = disk.open(options())?;
        let (mut readers, mut step) = (Vec::new(), 0);
        script(&writer, Durability::Os, &mut |writer| {
            let expected = look_at_both(writer)?;
            for (came, reader) in &readers {
                let reader: &DiskStore = reader;
                // some look only now and then
                if step % (1 + came % 3) == 0 {
                    reader.refresh()?;
                    let found = look_at_both(reader)?;
                    assert!(found == expected, "came at {came}, at step {step}");
                }
            }
            let reader = disk.open(to_read)?;
            assert!(look_at_both(&reader)? == expected, "at step {step}");
            readers.push((step, reader));
            step += 1;
            Ok(())
        })?;
    }
    Ok(())
}
