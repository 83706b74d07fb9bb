//! What was once known to be on the device is there at the next open, or the open says what is not: a
//! log that got shorter unnoticed would be signed a second time at the same length.

use std::fs;

use hc_merkle::{BlockIndex, Length};
use hc_storage::fault::{Fault, FaultDisk, Survival};
use hc_storage::{
    Damage, DamageKind, DiskStore, Durability, OpenError, StorageError, Store, StoreOptions,
};

use crate::log::{Outcome, append, block, clear, create, reopen};

const SEGMENT: &str = "log/00000000.seg";
const HEADER: usize = 64;

type Found<T> = Result<T, Box<dyn std::error::Error>>;

fn options() -> StoreOptions {
    StoreOptions::default().create(true).background(false)
}

/// A log of so many blocks, in frames of ten, closed as it should be.
fn closed(blocks: u64) -> Found<FaultDisk> {
    let disk = FaultDisk::new();
    let store = disk.open(options())?;
    let core = create(&store, 1)?;
    for _ in 0..blocks / 10 {
        append(&*core, 10, 0, Durability::Os)?;
    }
    drop(core);
    store.close()?;
    Ok(disk)
}

fn log_of(disk: &FaultDisk) -> Vec<u8> {
    disk.read(SEGMENT).unwrap_or_default()
}

fn cut(disk: &FaultDisk, len: usize) {
    let mut bytes = log_of(disk);
    bytes.truncate(len);
    disk.write(SEGMENT, bytes);
}

fn copy(disk: &FaultDisk) -> FaultDisk {
    disk.image(Survival::Process(0))
}

fn length(store: &dyn Store) -> Found<u64> {
    let length = reopen(store, 1)?.head()?.length();
    Ok(length.get())
}

/// What a writer and a reader say is wrong. They say the same, twice, and change nothing.
fn refused(disk: &FaultDisk, what: &str) -> Damage {
    let (files, log, calls) = (disk.files(), log_of(disk), disk.calls());
    let mut said = Vec::new();
    for options in [options(), options().read_only(), options()] {
        match disk.open(options) {
            Err(OpenError::Damaged(damage)) => said.push(damage),
            Err(error) => panic!("{what}: {error}"),
            Ok(_) => panic!("{what}: opened"),
        }
    }
    assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{said:?}");
    let now = (disk.files(), log_of(disk), disk.calls());
    assert!(now == (files, log, calls), "{what}");
    said.swap_remove(0)
}

#[test]
fn a_log_that_was_cut_after_a_clean_close_is_not_opened() -> Outcome {
    let disk = closed(60)?;
    let whole = log_of(&disk).len();
    // where the last frame begins, so that one cut leaves nothing that is torn
    let boundary = log_of(&closed(50)?).len();
    let lens = [0, 1, HEADER - 1, HEADER, HEADER + 1, 1000, boundary];
    for len in lens.into_iter().chain([whole - 50, whole - 1]) {
        for index in ["kept", "deleted", "damaged"] {
            let image = copy(&disk);
            cut(&image, len);
            match index {
                "deleted" => image.delete_index(),
                "damaged" => image.damage_index(),
                _ => {}
            }
            let what = format!("cut at {len}, index {index}");
            let damage = refused(&image, &what);
            assert!(damage.path.ends_with(SEGMENT), "{what}: {damage}");
            assert!(damage.offset <= len as u64, "{what}: {damage}");
            if len == boundary {
                let expected = (len as u64, DamageKind::Missing);
                assert_eq!((damage.offset, damage.kind), expected, "{what}");
            }
            image.write(SEGMENT, log_of(&disk));
            assert_eq!(length(&image.open(options())?)?, 60, "{what}");
        }
    }
    Ok(())
}

#[test]
fn an_altered_last_frame_is_not_taken_for_the_end() -> Outcome {
    let disk = closed(30)?;
    let start = log_of(&closed(20)?).len();
    for at in [start, start + 20, start + 40] {
        for keep_index in [true, false] {
            let image = copy(&disk);
            let mut bytes = log_of(&image);
            bytes[at] ^= 4;
            image.write(SEGMENT, bytes);
            if !keep_index {
                image.delete_index();
            }
            let damage = refused(&image, &format!("byte {at}"));
            assert_eq!(
                (damage.offset, damage.kind),
                (start as u64, DamageKind::Frame)
            );
        }
    }
    // a block of it is said to be damaged when it is read, and nothing else is
    let mut bytes = log_of(&disk);
    *bytes.last_mut().ok_or("empty")? ^= 4;
    disk.write(SEGMENT, bytes);
    for keep_index in [true, false] {
        let image = copy(&disk);
        if !keep_index {
            image.delete_index();
        }
        let store = image.open(options())?;
        let core = reopen(&store, 1)?;
        assert_eq!(length(&store)?, 30);
        assert_eq!(core.block(BlockIndex::new(28))?, Some(block(28, 0)));
        match core.block(BlockIndex::new(29)) {
            Err(StorageError::BlockDamaged { block, segment, .. }) => {
                assert_eq!((block, segment), (BlockIndex::new(29), 0));
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

#[test]
fn a_cut_log_in_a_real_directory_is_named_until_it_is_whole_again() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    let store = StoreOptions::default()
        .create(true)
        .background(false)
        .segment_len(64 << 10)
        .open(&path)?;
    let core = create(&store, 1)?;
    for _ in 0..8 {
        append(&*core, 20, 0, Durability::Os)?;
    }
    drop(core);
    store.close()?;
    let mut segments: Vec<_> = fs::read_dir(path.join("log"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    segments.sort();
    assert!(segments.len() > 1, "{segments:?}");
    let last = segments.pop().ok_or("segment")?;
    let whole = fs::read(&last)?;
    let expect = |what: &str| {
        for opened in [DiskStore::open(&path), DiskStore::open_read_only(&path)] {
            match opened {
                Err(OpenError::Damaged(damage)) => assert_eq!(damage.path, last, "{what}"),
                other => panic!("{what}: {other:?}"),
            }
        }
    };
    fs::write(&last, &whole[..whole.len() - 50])?;
    expect("cut");
    fs::write(&last, &whole[..HEADER - 2])?;
    expect("cut in its header");
    fs::remove_file(&last)?;
    expect("removed");
    fs::rename(path.join("index"), path.join("elsewhere"))?;
    expect("removed with the index");
    fs::write(&last, &whole[..whole.len() - 50])?;
    expect("cut, without index");
    fs::rename(path.join("log"), directory.path().join("log"))?;
    let opened = DiskStore::open(&path);
    assert!(matches!(opened, Err(OpenError::Damaged(_))), "{opened:?}");
    fs::rename(directory.path().join("log"), path.join("log"))?;
    fs::write(&last, &whole)?;
    let store = DiskStore::open(&path)?;
    let core = reopen(&store, 1)?;
    assert_eq!(core.head()?.length(), Length::new(160));
    assert_eq!(core.block(BlockIndex::new(159))?, Some(block(159, 0)));
    Ok(())
}

#[test]
fn what_a_crash_tore_behind_the_position_is_cut_and_nothing_before_it() -> Outcome {
    let disk = closed(20)?;
    let recorded = disk.read("POSITION");
    let store = disk.open(options())?;
    let core = reopen(&store, 1)?;
    append(&*core, 10, 0, Durability::Os)?;
    store.sync(Durability::Disk)?;
    let acknowledged = log_of(&disk).len();
    append(&*core, 10, 0, Durability::Os)?;
    let end = log_of(&disk).len();
    assert_eq!(disk.read("POSITION"), recorded);
    for len in [acknowledged, acknowledged + 1, acknowledged + 50, end - 1] {
        for keep_index in [true, false] {
            let image = copy(&disk);
            cut(&image, len);
            if !keep_index {
                image.delete_index();
            }
            assert_eq!(length(&image.open(options().read_only())?)?, 30);
            let store = image.open(options())?;
            assert_eq!(length(&store)?, 30);
            assert_eq!(log_of(&image).len(), acknowledged);
            append(&*reopen(&store, 1)?, 10, 3, Durability::Os)?;
            store.close()?;
            assert_ne!(image.read("POSITION"), recorded);
            assert_eq!(length(&image.open(options())?)?, 40);
            cut(&image, acknowledged);
            refused(&image, "cut again");
        }
    }
    Ok(())
}

#[test]
fn checkpoints_move_the_position_and_never_back() -> Outcome {
    let disk = FaultDisk::new();
    let options = || options().checkpoint_every(30, 1 << 30);
    let store = disk.open(options())?;
    let core = create(&store, 1)?;
    let mut seen = Vec::new();
    for _ in 0..12 {
        append(&*core, 10, 0, Durability::Os)?;
        seen.extend(disk.read("POSITION"));
    }
    append(&*core, 1, 0, Durability::Os)?;
    seen.dedup();
    assert!(seen.len() > 2, "{}", seen.len());
    let image = copy(&disk);
    let position = image.read("POSITION");
    let log = log_of(&image);
    // making the index again passes many checkpoints, all of them of the past
    image.delete_index();
    let before = image.calls();
    drop(image.open(options())?);
    assert!(image.calls() > before);
    let after = log_of(&image);
    // but for zeros behind the last frame
    let cut = log.strip_prefix(after.as_slice()).ok_or("another log")?;
    assert!(cut.iter().all(|byte| *byte == 0));
    assert_ne!(image.read("POSITION"), position, "up to the end by now");
    let position = image.read("POSITION");
    image.delete_index();
    for call in 0.. {
        let dying = copy(&image);
        dying.arm(call, Fault::Freeze);
        let opened = dying.open(options());
        assert_eq!(dying.read("POSITION"), position, "call {call}");
        if opened.is_ok() {
            assert!(call > 4, "{call} calls");
            break;
        }
    }
    Ok(())
}

#[test]
fn without_a_position_the_index_counts_and_without_both_the_log_does() -> Outcome {
    let disk = closed(30)?;
    let position = disk.read("POSITION");
    disk.delete("POSITION");
    let image = copy(&disk);
    let store = image.open(options())?;
    assert_eq!(length(&store)?, 30);
    store.close()?;
    assert_eq!(image.read("POSITION"), position, "written again");

    let image = copy(&disk);
    let whole = log_of(&image);
    cut(&image, whole.len() - 50);
    for _ in 0..2 {
        let opened = image.open(options());
        assert!(matches!(&opened, Err(OpenError::Damaged(_))), "opened");
        assert_eq!(log_of(&image).len(), whole.len() - 50);
    }

    image.delete_index();
    let store = image.open(options())?;
    assert_eq!(length(&store)?, 20);
    store.close()?;
    assert!(image.read("POSITION").is_some());
    Ok(())
}

#[test]
fn a_damaged_position_is_said_to_be_one() -> Outcome {
    let disk = closed(20)?;
    let position = disk.read("POSITION").ok_or("position")?;
    let mut others: Vec<Vec<u8>> = (0..position.len())
        .map(|at| {
            let mut bytes = position.clone();
            bytes[at] ^= 8;
            bytes
        })
        .collect();
    others.push(Vec::new());
    others.push(position[..position.len() - 1].to_vec());
    others.push([&position[..], &[0]].concat());
    for bytes in others {
        let image = copy(&disk);
        image.write("POSITION", bytes);
        for options in [options(), options().read_only()] {
            match image.open(options) {
                Err(OpenError::Damaged(damage)) => {
                    assert!(damage.path.ends_with("POSITION"), "{damage}");
                    assert_eq!(damage.kind, DamageKind::Position);
                }
                Err(OpenError::Version { path, .. }) => assert!(path.ends_with("POSITION")),
                Err(error) => panic!("{error}"),
                Ok(_) => panic!("opened"),
            }
        }
        image.delete("POSITION");
        assert_eq!(length(&image.open(options())?)?, 20);
    }
    // whole, but of another store
    disk.write("POSITION", closed(20)?.read("POSITION").ok_or("position")?);
    assert_eq!(refused(&disk, "another's").kind, DamageKind::Position);
    Ok(())
}

#[test]
fn the_index_of_a_copy_that_went_another_way_is_made_again() -> Outcome {
    let disk = closed(20)?;
    let go_on = |times: u64, salt| -> Found<FaultDisk> {
        let copy = copy(&disk);
        let store = copy.open(options())?;
        let core = reopen(&store, 1)?;
        for _ in 0..times {
            append(&*core, 10, salt, Durability::Os)?;
        }
        store.close()?;
        Ok(copy)
    };
    // same places, other blocks; an index that is behind; one that is ahead
    for (of_index, of_log) in [(1, 1), (1, 3), (3, 1), (0, 1)] {
        let (mixed, other) = (go_on(of_index, 1)?, go_on(of_log, 2)?);
        mixed.write(SEGMENT, log_of(&other));
        mixed.write("POSITION", other.read("POSITION").ok_or("position")?);
        let store = mixed.open(options())?;
        let core = reopen(&store, 1)?;
        assert_eq!(length(&store)?, 20 + of_log * 10);
        assert_eq!(core.block(BlockIndex::new(25))?, Some(block(25, 2)));
        clear(&*core, 0, 2, Durability::Os)?;
        drop(core);
        store.close()?;
        cut(&mixed, log_of(&mixed).len() - 1);
        refused(&mixed, "cut");
    }
    Ok(())
}

#[test]
fn a_reader_that_goes_on_is_told_of_a_cut() -> Outcome {
    let disk = closed(20)?;
    let reader = disk.open(options().read_only())?;
    let store = disk.open(options())?;
    let core = reopen(&store, 1)?;
    for _ in 0..3 {
        append(&*core, 10, 0, Durability::Os)?;
    }
    drop(core);
    store.close()?;
    let whole = log_of(&disk);
    cut(&disk, whole.len() - 50);
    let refreshed = reader.refresh();
    assert!(
        matches!(&refreshed, Err(StorageError::Damaged(damage)) if damage.path.ends_with(SEGMENT)),
        "{refreshed:?}"
    );
    disk.write(SEGMENT, whole);
    reader.refresh()?;
    assert_eq!(length(&reader)?, 50);
    Ok(())
}
