//! Bytes that rot are named, keep to themselves, and can be dropped, so that peers can be asked for them.

use hc_merkle::{BlockIndex, Length};
use hc_storage::fault::{FaultDisk, Survival};
use hc_storage::{DamageKind, DiskStore, Durability, StorageError, Store, StoreOptions};

use crate::log::{Outcome, append, block, clear, create, name, record, reopen, secret};
use crate::seen::look;

const SEGMENT: &str = "log/00000000.seg";

fn options() -> StoreOptions {
    StoreOptions::default().create(true).background(false)
}

fn len(disk: &FaultDisk) -> usize {
    disk.read(SEGMENT).unwrap_or_default().len()
}

fn flip(disk: &FaultDisk, at: usize) {
    let mut bytes = disk.read(SEGMENT).unwrap_or_default();
    bytes[at] ^= 0x20;
    disk.write(SEGMENT, bytes);
}

/// A disk, and the places of the frames on it.
type Filled = (FaultDisk, Vec<[usize; 3]>);

/// Three logs in turn, the second signed here; and where the frames of each round begin.
fn filled() -> Result<Filled, Box<dyn std::error::Error>> {
    let disk = FaultDisk::new();
    let store = disk.open(options())?;
    create(&store, 1)?;
    let mut own = record(2);
    own.auth.secret_key = Some(secret(2));
    store.create_core(own)?;
    create(&store, 3)?;
    let mut rounds = Vec::new();
    for _ in 0..4 {
        let mut starts = [0; 3];
        for (number, start) in (1..).zip(&mut starts) {
            *start = len(&disk);
            append(&*reopen(&store, number)?, 6, 0, Durability::Os)?;
        }
        rounds.push(starts);
    }
    store.close()?;
    Ok((disk, rounds))
}

fn is_whole(store: &DiskStore, number: u8) -> Outcome {
    let core = reopen(store, number)?;
    assert_eq!(core.head()?.length(), Length::new(24));
    for index in 0..24 {
        assert_eq!(
            core.block(BlockIndex::new(index))?,
            Some(block(index, 0)),
            "{number} {index}"
        );
    }
    Ok(())
}

#[test]
fn a_bad_frame_takes_no_other_log_with_it() -> Outcome {
    let (disk, rounds) = filled()?;
    flip(&disk, rounds[1][0] + 50);
    // the index has what the frame said, and so nothing is amiss while it is there
    is_whole(&disk.image(Survival::Process(0)).open(options())?, 1)?;
    disk.delete_index();
    for extra in 0..2 {
        // the second time it comes from the index
        let store = disk.open(options())?;
        let damage = store.damage()?;
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert!(damage[0].path.ends_with(SEGMENT));
        assert_eq!(
            (damage[0].offset, damage[0].kind),
            (rounds[1][0] as u64, DamageKind::Frame)
        );
        is_whole(&store, 2)?;
        let core = reopen(&store, 3)?;
        assert_eq!(core.head()?.length(), Length::new(24 + extra));
        assert_eq!(core.block(BlockIndex::new(23))?, Some(block(23, 0)));
        append(&*core, 1, 0, Durability::Os)?;
        drop(core);
        // nobody can tell whose frame it was: what is signed here could be signed twice
        match append(&*reopen(&store, 2)?, 1, 0, Durability::Os) {
            Err(error) => {
                let text = error.to_string();
                assert!(
                    text.contains("repair") && text.contains("00000000.seg"),
                    "{text}"
                );
            }
            Ok(()) => panic!("appended"),
        }
        store.close()?;
    }
    Ok(())
}

#[test]
fn repair_drops_frames_that_are_bad_and_says_whom_it_may_concern() -> Outcome {
    let (disk, rounds) = filled()?;
    flip(&disk, rounds[1][0] + 50);
    disk.delete_index();
    let store = disk.open(options())?;
    let mut looked = 0;
    let repaired = store.repair(&mut |blocks| looked = blocks)?;
    assert!(looked >= 48, "{looked}");
    assert_eq!((repaired.frames, &repaired.suspect), (1, &vec![name(2)]));
    assert!(repaired.blocks.is_empty(), "{repaired:?}");
    assert!(store.damage()?.is_empty());
    append(&*reopen(&store, 2)?, 1, 0, Durability::Os)?;
    store.close()?;
    disk.delete_index();
    let store = disk.open(options())?;
    assert!(store.damage()?.is_empty(), "{:?}", store.damage()?);
    is_whole(&store, 3)?;
    assert_eq!(reopen(&store, 2)?.head()?.length(), Length::new(25));
    let again = store.repair(&mut |_| {})?;
    assert!(again.is_empty(), "{again:?}");
    Ok(())
}

#[test]
fn repair_starts_a_log_without_roots_again() -> Outcome {
    let (disk, rounds) = filled()?;
    // its root over the first 16 blocks is in the third round
    flip(&disk, rounds[2][0] + 50);
    disk.delete_index();
    let store = disk.open(options())?;
    match store.open_core(&name(1)) {
        Err(StorageError::Damaged(damage)) => assert_eq!(damage.kind, DamageKind::Root),
        other => panic!("{:?}", other.map(|core| core.is_some())),
    }
    let repaired = store.repair(&mut |_| {})?;
    assert_eq!(repaired.reset, [name(1)]);
    let core = reopen(&store, 1)?;
    assert_eq!(core.head()?.length(), Length::ZERO);
    assert!(core.bitfield()?.is_empty());
    append(&*core, 3, 5, Durability::Os)?;
    let seen = look(&*core)?;
    drop(core);
    store.close()?;
    disk.delete_index();
    let store = disk.open(options())?;
    assert!(look(&*reopen(&store, 1)?)? == seen);
    is_whole(&store, 2)
}

#[test]
fn a_log_that_is_signed_here_and_lost_its_roots_is_left_alone() -> Outcome {
    let (disk, rounds) = filled()?;
    flip(&disk, rounds[2][1] + 50);
    disk.delete_index();
    let store = disk.open(options())?;
    let repaired = store.repair(&mut |_| {})?;
    assert_eq!(
        (repaired.reset.len(), &repaired.suspect),
        (0, &vec![name(2)])
    );
    assert!(matches!(
        store.open_core(&name(2)),
        Err(StorageError::Damaged(_))
    ));
    is_whole(&store, 1)?;
    is_whole(&store, 3)
}

#[test]
fn repair_clears_blocks_that_are_bad_and_only_those() -> Outcome {
    let (disk, rounds) = filled()?;
    // the last byte of the last block of a frame, and of another
    flip(&disk, rounds[1][1] - 1);
    flip(&disk, rounds[2][2] - 1);
    for keep_index in [true, false] {
        let image = disk.image(Survival::Process(0));
        if !keep_index {
            image.delete_index();
        }
        let store = image.open(options())?;
        assert!(store.damage()?.is_empty());
        for (number, index) in [(1, 11), (2, 17)] {
            let damaged = reopen(&store, number)?.block(BlockIndex::new(index));
            let named = matches!(
                damaged,
                Err(StorageError::BlockDamaged { core, block, segment: 0, .. })
                    if core == name(number) && block == BlockIndex::new(index)
            );
            assert!(named, "{damaged:?}");
        }
        let repaired = store.repair(&mut |_| {})?;
        let blocks: Vec<_> = repaired
            .blocks
            .iter()
            .map(|(name, blocks)| (*name, blocks.iter().flatten().collect::<Vec<_>>()))
            .collect();
        assert_eq!(blocks, [(name(1), vec![11]), (name(2), vec![17])]);
        assert!(repaired.suspect.is_empty(), "a head is not a block");
        let core = reopen(&store, 1)?;
        assert_eq!(core.block(BlockIndex::new(11))?, None);
        assert_eq!(core.bitfield()?.count(0..100), 23);
        // the signed log has its head, and goes on
        append(&*reopen(&store, 2)?, 1, 0, Durability::Os)?;
        is_whole(&store, 3)?;
        assert!(store.repair(&mut |_| {})?.is_empty());
    }
    Ok(())
}

#[test]
fn what_is_collected_leaves_out_nothing_that_is_damaged() -> Outcome {
    let (disk, rounds) = filled()?;
    flip(&disk, rounds[1][1] - 1);
    let store = disk.open(options())?;
    clear(&*reopen(&store, 3)?, 0, 24, Durability::Os)?;
    // the segment has a bad block, which is no reason to lose track of it
    store.compact(&mut |_| {})?;
    let damaged = reopen(&store, 1)?.block(BlockIndex::new(11));
    assert!(
        matches!(damaged, Err(StorageError::BlockDamaged { .. })),
        "{damaged:?}"
    );
    assert_eq!(store.repair(&mut |_| {})?.blocks.len(), 1);
    store.compact(&mut |_| {})?;
    let core = reopen(&store, 1)?;
    assert_eq!(core.block(BlockIndex::new(10))?, Some(block(10, 0)));
    assert_eq!(core.block(BlockIndex::new(11))?, None);
    Ok(())
}

/// What a reader with a copy of the index does not read again, it cannot find damaged either.
#[test]
fn a_copy_of_the_index_spares_a_reader_what_is_before_it() -> Outcome {
    let (disk, rounds) = filled()?;
    flip(&disk, rounds[1][0] + 40);
    let read = |options: StoreOptions| disk.open(options.read_only());
    let copying = options().copy_index_from(0);
    let copied = read(copying)?;
    assert_eq!(copied.damage()?, []);
    is_whole(&copied, 2)?;
    let long = options().copy_index_from(len(&disk) as u64);
    assert_eq!(read(long)?.damage()?, [], "as long as that");
    let longer = options().copy_index_from(len(&disk) as u64 + 1);
    assert_eq!(read(longer)?.damage()?.len(), 1, "shorter");
    assert_eq!(
        read(copying.rebuild_index(true))?.damage()?.len(),
        1,
        "without"
    );
    // one that is of no use is done without
    disk.damage_index();
    assert_eq!(read(copying)?.damage()?.len(), 1, "damaged");
    disk.delete_index();
    assert_eq!(read(copying)?.damage()?.len(), 1, "gone");
    Ok(())
}
