//! Zeros ahead of the log, where appends wait for the device.

use std::io::ErrorKind;

use bytes::Bytes;
use hc_merkle::Draft;
use hc_storage::fault::{Fault, FaultDisk, Survival};
use hc_storage::{Batch, Durability, Store, StoreOptions};

use crate::log::{Outcome, append, create, reopen};
use crate::seen::look;

const SEGMENT: &str = "log/00000000.seg";

fn options() -> StoreOptions {
    StoreOptions::default()
        .create(true)
        .background(false)
        .segment_len(1 << 20)
}

fn len(disk: &FaultDisk, file: &str) -> usize {
    disk.read(file).map_or(0, |bytes| bytes.len())
}

/// The names and lengths of all segments.
fn segments(disk: &FaultDisk) -> Vec<(String, usize)> {
    let names = disk.files().into_iter();
    let names = names.filter(|name| name.starts_with("log/"));
    names.map(|name| (name.clone(), len(disk, &name))).collect()
}

#[test]
fn there_is_room_while_appends_wait_for_the_device_and_none_once_they_are_all() -> Outcome {
    let (disk, twin) = (FaultDisk::new(), FaultDisk::new());
    let (store, other) = (disk.open(options())?, twin.open(options())?);
    let (core, without) = (create(&store, 1)?, create(&other, 1)?);
    // as many bytes as its frames take
    let both = |level| {
        append(&*core, 2, 0, level)?;
        append(&*without, 2, 0, Durability::Os)?;
        Ok::<_, Box<dyn std::error::Error>>(len(&twin, SEGMENT))
    };
    assert_eq!(both(Durability::Os)?, len(&disk, SEGMENT));
    let end = both(Durability::Disk)?;
    let room = len(&disk, SEGMENT);
    assert_eq!(room, end + (64 << 10), "a sixteenth of the segment");
    both(Durability::Disk)?;
    let synced = both(Durability::Disk)?;
    let end = both(Durability::Os)?;
    assert_eq!(len(&disk, SEGMENT), room);
    let seen = look(&*core)?;
    drop(core);

    for survival in [Survival::Process(1), Survival::Power(1)] {
        let image = disk.image(survival);
        let beside = image.open(options().read_only())?;
        let length = reopen(&beside, 1)?.head()?.length().get();
        assert!(length == 10 || length == 8 && survival == Survival::Power(1));
        let again = image.open(options())?;
        assert_eq!(reopen(&again, 1)?.head()?.length().get(), length);
        assert!(again.damage()?.is_empty());
        assert_eq!(len(&image, SEGMENT), if length == 8 { synced } else { end });
    }
    store.close()?;
    let image = disk.image(Survival::Power(1));
    assert_eq!(len(&image, SEGMENT), end);
    let again = image.open(options())?;
    assert_eq!(look(&*reopen(&again, 1)?)?, seen);
    Ok(())
}

#[test]
fn segments_that_are_finished_end_with_their_last_frame() -> Outcome {
    let ends = |level| {
        let disk = FaultDisk::new();
        let options = options().segment_len(128 << 10);
        let store = disk.open(options)?;
        let core = create(&store, 1)?;
        for _ in 0..300 {
            append(&*core, 1, 0, level)?;
        }
        drop(core);
        store.close()?;
        disk.delete_index();
        let store = disk.open(options)?;
        assert!(store.damage()?.is_empty());
        let seen = look(&*reopen(&store, 1)?)?;
        Ok::<_, Box<dyn std::error::Error>>((segments(&disk), seen))
    };
    let lasting = ends(Durability::Disk)?;
    assert!(lasting.0.len() > 3, "{:?}", lasting.0);
    assert_eq!(lasting, ends(Durability::Os)?);
    Ok(())
}

#[test]
fn a_disk_that_has_no_place_for_zeros_takes_appends_all_the_same() -> Outcome {
    let disk = FaultDisk::new();
    let store = disk.open(options())?;
    let core = create(&store, 1)?;
    append(&*core, 2, 0, Durability::Os)?;
    let before = len(&disk, SEGMENT);
    // the frame, then its zeros
    let zeros = disk.calls() + 1;
    disk.arm(zeros, Fault::Refuse(ErrorKind::StorageFull));
    append(&*core, 2, 0, Durability::Disk)?;
    let end = len(&disk, SEGMENT);
    assert!((before..before + (64 << 10)).contains(&end), "{end}");
    append(&*core, 2, 0, Durability::Disk)?;
    assert!(len(&disk, SEGMENT) > end);
    store.close()?;
    assert_eq!(reopen(&disk.open(options())?, 1)?.head()?.length().get(), 6);
    Ok(())
}

#[test]
fn a_segment_that_is_finished_aside_is_on_the_device_before_the_next_one_begins() -> Outcome {
    const LEN: usize = 16 << 10;
    let disk = FaultDisk::new();
    let store = disk.open(
        options()
            .segment_len(LEN as u32)
            .background(true)
            .collect(false),
    )?;
    let core = create(&store, 1)?;
    let mut finished = 0;
    for _ in 0..400 {
        append(&*core, 1, 0, Durability::Os)?;
        // nothing of them is lost where the power goes now
        let (now, image) = (segments(&disk).len(), disk.image(Survival::Power(1)));
        if now > finished + 1 {
            for (name, _) in segments(&disk).into_iter().take(now - 1) {
                assert_eq!(image.read(&name), disk.read(&name), "{name}");
            }
            finished = now - 1;
        }
    }
    assert!(finished > 3, "{finished}");
    let seen = look(&*core)?;
    drop(core);
    store.close()?;
    let lens = segments(&disk).into_iter().map(|(_, len)| len);
    // a quarter more, or a block that is longer than a segment
    assert!(
        lens.clone().all(|len| len <= LEN + LEN / 4 || len > 20_000),
        "{:?}",
        lens.collect::<Vec<_>>()
    );
    disk.delete_index();
    let store = disk.open(options())?;
    assert!(store.damage()?.is_empty());
    assert_eq!(look(&*reopen(&store, 1)?)?, seen);
    Ok(())
}

#[test]
fn room_is_given_back_and_nothing_else_where_a_segment_is_about_to_begin() -> Outcome {
    let disk = FaultDisk::new();
    let store = disk.open(options())?;
    let core = create(&store, 1)?;
    append(&*core, 4, 0, Durability::Os)?;
    let end = len(&disk, SEGMENT);
    append(&*core, 1, 0, Durability::Disk)?;
    assert!(len(&disk, SEGMENT) > end + (64 << 10));
    // looks at all segments, and so ends the last
    store.compact(&mut |_| {})?;
    let seen = look(&*core)?;
    drop(core);
    store.close()?;
    assert!(segments(&disk).iter().map(|(_, len)| len).sum::<usize>() > end);
    for keep_index in [true, false] {
        if !keep_index {
            disk.delete_index();
        }
        let store = disk.open(options())?;
        assert!(store.damage()?.is_empty());
        assert_eq!(look(&*reopen(&store, 1)?)?, seen);
        store.close()?;
    }
    Ok(())
}

#[test]
fn small_appends_find_room_where_nobody_waits_for_the_device_too() -> Outcome {
    let disk = FaultDisk::new();
    let store = disk.open(options().segment_len(8 << 20))?;
    let core = create(&store, 1)?;
    let mut lens = Vec::new();
    let small = || {
        let mut draft = Draft::new(&core.head()?);
        draft.append([Bytes::from(vec![7; 100])])?;
        let batch = Batch::from_change(&draft.seal_unsigned());
        Ok::<_, Box<dyn std::error::Error>>(core.commit(batch, Durability::Os)?.wait()?)
    };
    for _ in 0..3000 {
        let before = len(&disk, SEGMENT);
        small()?;
        lens.push(len(&disk, SEGMENT) - before);
        if lens.last().is_some_and(|grown| *grown > 100 << 10) {
            break;
        }
    }
    let room = lens.pop().ok_or("appends")?;
    assert!(room >= 128 << 10, "{room}");
    assert!(lens.iter().all(|grown| (1..1000).contains(grown)));
    let full = len(&disk, SEGMENT);
    small()?;
    assert_eq!(len(&disk, SEGMENT), full);
    let length = core.head()?.length();
    let image = disk.image(Survival::Process(1));
    assert_eq!(reopen(&image.open(options())?, 1)?.head()?.length(), length);
    assert!(len(&image, SEGMENT) < full);
    drop(core);
    store.close()?;
    assert_eq!(len(&disk, SEGMENT), len(&image, SEGMENT));
    Ok(())
}
