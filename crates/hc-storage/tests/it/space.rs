//! Space comes back: what was cleared, cut, replaced or deleted is collected, and what is left is the
//! same, whatever becomes of the process meanwhile.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hc_merkle::{BlockIndex, Draft};
use hc_storage::fault::{Fault, FaultDisk, Survival};
use hc_storage::{
    Alias, Batch, CoreStore, DiskStore, Durability, NamespaceId, StorageError, Store, StoreOptions,
    Topic,
};

use crate::log::{
    Outcome, append, block, clear, create, name, record, reopen, truncate, truncation,
};
use crate::seen::{Seen, look, look_at_all};

pub(crate) fn small() -> StoreOptions {
    let options = StoreOptions::default().create(true).background(false);
    // collected when it is asked to
    options
        .collect(false)
        .segment_len(16 << 10)
        .checkpoint_every(200, 16 << 10)
}

pub(crate) fn everything(store: &dyn Store) -> Result<Vec<Seen>, Box<dyn std::error::Error>> {
    let seen = |entry: hc_storage::CoreEntry| {
        let core = store.open_core(&entry.discovery_key)?.ok_or("gone")?;
        Ok(look_at_all(&*core)?)
    };
    store.cores()?.into_iter().map(seen).collect()
}

/// A store with something of everything in it that can be void.
pub(crate) fn churned(disk: &FaultDisk) -> Result<DiskStore, Box<dyn std::error::Error>> {
    let store = disk.open(small())?;
    let (one, two) = (create(&store, 1)?, create(&store, 2)?);
    store.set_default_core(&name(1))?;
    for salt in 0..6 {
        append(&*one, 30, 0, Durability::Os)?;
        append(&*two, 20, salt, Durability::Os)?;
        let to = two.head()?.length().get() / 2;
        let cut = truncation(&*two, to)?;
        two.commit(Batch::from_change(&cut), Durability::Os)?
            .wait()?;
        let mut batch = Batch::new();
        batch.set_user_data("note", Some(Bytes::from(vec![salt as u8; 700])));
        one.commit(batch, Durability::Os)?.wait()?;
        let gone = create(&store, 10 + salt as u8)?;
        append(&*gone, 9, 0, Durability::Os)?;
        store.delete_core(&name(10 + salt as u8))?;
    }
    clear(&*one, 3, 140, Durability::Os)?;
    Ok(store)
}

#[test]
fn what_is_collected_is_the_same_and_takes_less() -> Outcome {
    let disk = FaultDisk::new();
    let store = churned(&disk)?;
    let seen = everything(&store)?;
    let before = store.usage()?;
    assert!(before.dead * 3 > before.live * 2, "{before:?}");
    store.compact(&mut |_| {})?;
    assert!(everything(&store)? == seen, "after collecting");
    let after = store.usage()?;
    assert_eq!(after.live, before.live);
    assert_eq!(after.dead, 0);
    assert!(after.log < after.live * 3 / 2, "{after:?} from {before:?}");
    // it goes on from there, is collected again, and is the same without its index
    append(&*reopen(&store, 1)?, 40, 3, Durability::Os)?;
    clear(&*reopen(&store, 1)?, 0, 100, Durability::Os)?;
    store.compact(&mut |_| {})?;
    let seen = everything(&store)?;
    let usage = store.usage()?;
    store.close()?;
    for index in ["kept", "deleted", "damaged"] {
        let image = disk.image(Survival::Process(0));
        match index {
            "deleted" => image.delete_index(),
            "damaged" => image.damage_index(),
            _ => {}
        }
        let store = image.open(small())?;
        assert!(everything(&store)? == seen, "index {index}");
        assert_eq!(store.usage()?.live, usage.live, "index {index}");
        assert_eq!(store.default_core()?, Some(name(1)));
        append(&*reopen(&store, 2)?, 5, 1, Durability::Os)?;
    }
    Ok(())
}

#[test]
fn names_and_groups_survive_collecting() -> Outcome {
    let disk = FaultDisk::new();
    let store = disk.open(small())?;
    let topic = Topic([9; 32]);
    let alias = |number: u8| Alias {
        namespace: NamespaceId([1; 32]),
        name: format!("log {number}"),
    };
    for number in 1..5 {
        let mut record = record(number);
        record.alias = Some(alias(number));
        let core = store.create_core(record)?;
        append(&*core, 5, 0, Durability::Os)?;
        let mut batch = Batch::new();
        batch.join_group(topic);
        core.commit(batch, Durability::Os)?.wait()?;
    }
    for number in [3, 1, 4, 1, 1] {
        append(&*reopen(&store, number)?, 60, 0, Durability::Os)?;
    }
    let mut again = record(3);
    again.alias = Some(alias(3));
    store.delete_core(&name(3))?;
    store.create_core(again)?;
    let seen = |store: &dyn Store| -> Result<_, Box<dyn std::error::Error>> {
        let names = (1..5).map(|number| store.find_named(&alias(number)));
        let names: Vec<_> = names.collect::<Result<_, StorageError>>()?;
        Ok((store.group(&topic)?, names, everything(store)?))
    };
    let before = seen(&store)?;
    assert_eq!(before.0.len(), 2, "active since they joined, and there");
    store.compact(&mut |_| {})?;
    assert!(seen(&store)? == before);
    store.close()?;
    disk.delete_index();
    let store = disk.open(small())?;
    assert!(seen(&store)? == before, "without its index");
    // and so after one more round
    append(&*reopen(&store, 4)?, 5, 0, Durability::Os)?;
    let before = seen(&store)?;
    store.compact(&mut |_| {})?;
    store.close()?;
    disk.delete_index();
    let store = disk.open(small())?;
    assert!(seen(&store)? == before, "collected twice");
    Ok(())
}

/// What is left of a disk after a fault, opened: the same as before, and it goes on.
fn is_same(image: &FaultDisk, seen: &[Seen], what: &str) -> Outcome {
    let store = image.open(small())?;
    assert!(everything(&store)? == seen, "{what}");
    append(&*reopen(&store, 1)?, 3, 8, Durability::Os)?;
    store.compact(&mut |_| {})?;
    let grown = everything(&store)?;
    assert!(store.usage()?.dead == 0, "{what}: {:?}", store.usage()?);
    store.close()?;
    image.delete_index();
    let store = image.open(small())?;
    assert!(everything(&store)? == grown, "{what}, later");
    Ok(())
}

#[test]
fn collecting_may_be_cut_short_at_every_call() -> Outcome {
    let disk = FaultDisk::new();
    let store = churned(&disk)?;
    let seen = everything(&store)?;
    store.close()?;
    let whole = disk.image(Survival::Process(0));
    let store = whole.open(small())?;
    let first = whole.calls();
    store.compact(&mut |_| {})?;
    let calls = first..whole.calls();
    assert!(calls.clone().count() > 30, "{calls:?}");
    for call in calls {
        for (fault, seed) in [
            (Fault::Freeze, (call % 4 == 0).then_some(call)),
            (Fault::Freeze, Some(call + 1000)),
            (Fault::Refuse(ErrorKind::StorageFull), None),
        ] {
            let what = format!("call {call}, {fault:?}, {seed:?}");
            let dying = disk.image(Survival::Process(0));
            let store = dying.open(small())?;
            dying.arm(call, fault);
            let done = store.compact(&mut |_| {});
            assert!(done.is_err(), "{what}");
            // what is open shows what it did, whether or not it takes writes
            if fault != Fault::Freeze {
                assert!(everything(&store)? == seen, "{what}, open");
            }
            let survival = seed.map_or(Survival::Process(call), Survival::Power);
            let image = dying.image(survival);
            if call % 3 == 0 {
                image.delete_index();
            }
            is_same(&image, &seen, &what)?;
        }
    }
    Ok(())
}

#[test]
fn a_snapshot_keeps_what_it_shows() -> Outcome {
    let disk = FaultDisk::new();
    let store = churned(&disk)?;
    let core = reopen(&store, 1)?;
    let snapshot = core.snapshot()?;
    let seen = look(&*snapshot)?;
    clear(&*core, 0, 1000, Durability::Os)?;
    store.compact(&mut |_| {})?;
    append(&*core, 30, 1, Durability::Os)?;
    store.compact(&mut |_| {})?;
    assert!(look(&*snapshot)? == seen);
    let held = store.usage()?.log;
    drop(snapshot);
    store.compact(&mut |_| {})?;
    assert!(
        store.usage()?.log < held * 2 / 3,
        "{held} {:?}",
        store.usage()?
    );
    Ok(())
}

#[test]
fn a_reader_beside_the_writer_follows_what_is_collected() -> Outcome {
    let to_read = small().read_only();
    for (to_read, is_late) in [
        (to_read, false),
        (to_read.copy_index_from(0), false),
        (to_read.copy_index_from(0), true),
    ] {
        let disk = FaultDisk::new();
        let store = churned(&disk)?;
        let mut reader = disk.open(to_read)?;
        let seen = everything(&store)?;
        store.compact(&mut |_| {})?;
        // without a refresh: the segments that it knows are gone
        assert!(everything(&reader)? == seen, "as it was");
        for round in 0..6 {
            append(&*reopen(&store, 1)?, 25, round, Durability::Os)?;
            clear(&*reopen(&store, 1)?, 100, 190, Durability::Os)?;
            if round % 2 == 0 {
                reader.refresh()?;
            }
            if round == 3 {
                // part of a page of nodes is cut, of which the rest is elsewhere by then
                let length = reopen(&store, 1)?.head()?.length().get();
                truncate(&*reopen(&store, 1)?, length - 45, Durability::Os)?;
            }
            store.compact(&mut |_| {})?;
            append(&*reopen(&store, 2)?, 5, round, Durability::Os)?;
            reader.refresh()?;
            assert!(everything(&reader)? == everything(&store)?, "round {round}");
            if is_late {
                // the index that it copies points to segments of which some go before they are read
                reader = disk.open(to_read)?;
            }
        }
    }
    Ok(())
}

/// Appends blocks of 2 KiB.
fn append_large(core: &dyn CoreStore, count: u64) -> Outcome {
    let mut draft = Draft::new(&core.head()?);
    let start = core.head()?.length().get();
    let bytes = |at: u64| Bytes::from(vec![at as u8; 2048]);
    draft.append((start..start + count).map(bytes))?;
    let change = draft.seal_unsigned();
    Ok(core
        .commit(Batch::from_change(&change), Durability::Os)?
        .wait()?)
}

/// The log of a store of which most is cleared again and again stays below twice what is in it.
#[test]
fn under_churn_the_log_stays_below_twice_its_live_data() -> Outcome {
    let directory = tempfile::tempdir()?;
    let options = StoreOptions::default().create(true);
    let options = options
        .segment_len(256 << 10)
        .checkpoint_every(500, 256 << 10);
    let store = options.collect_rate(1 << 30).open(directory.path())?;
    let core = create(&store, 1)?;
    append_large(&*core, 1000)?;
    for _ in 0..40 {
        append_large(&*core, 100)?;
        let length = core.head()?.length().get();
        clear(&*core, length - 1000, length - 900, Durability::Os)?;
    }
    let live = store.usage()?.live;
    assert_eq!(live, 1000 * 2048);
    let mut first = core.head()?.length().get() - 900;
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.usage()?.log >= live * 2 {
        assert!(Instant::now() < deadline, "{:?}", store.usage()?);
        // any write may make a checkpoint due, and a checkpoint has the collector look
        append_large(&*core, 10)?;
        clear(&*core, first, first + 10, Durability::Os)?;
        first += 10;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(store.usage()?.live, live);
    let length = core.head()?.length().get();
    for index in (0..100).chain(first..length) {
        let expected = Bytes::from(vec![index as u8; 2048]);
        assert_eq!(
            core.block(BlockIndex::new(index))?,
            Some(expected),
            "block {index}"
        );
    }
    Ok(())
}

/// Blocks of a log that are stored, of which any may go next.
struct Churn {
    core: Arc<dyn CoreStore>,
    len: usize,
    live: Vec<u64>,
    dice: u64,
}

impl Churn {
    fn new(core: Arc<dyn CoreStore>, len: usize) -> Self {
        let (live, dice) = (Vec::new(), 1);
        Self {
            core,
            len,
            live,
            dice,
        }
    }

    fn block(&self, at: u64) -> Bytes {
        Bytes::from(vec![at as u8; self.len])
    }

    fn append(&mut self, count: u64) -> Outcome {
        let mut draft = Draft::new(&self.core.head()?);
        let start = self.core.head()?.length().get();
        draft.append((start..start + count).map(|at| self.block(at)))?;
        self.live.extend(start..start + count);
        let batch = Batch::from_change(&draft.seal_unsigned());
        Ok(self.core.commit(batch, Durability::Os)?.wait()?)
    }

    /// Clears blocks one by one from any place.
    fn clear(&mut self, count: u64) -> Outcome {
        let mut batch = Batch::new();
        for _ in 0..count {
            let dice = self.dice.wrapping_mul(6_364_136_223_846_793_005);
            self.dice = dice.wrapping_add(1);
            let at = (self.dice >> 33) as usize % self.live.len();
            let block = BlockIndex::new(self.live.swap_remove(at));
            batch.clear(block..BlockIndex::new(block.get() + 1));
        }
        Ok(self.core.commit(batch, Durability::Os)?.wait()?)
    }

    /// Whether all that is stored is what it was.
    fn check(&self) -> Outcome {
        for index in &self.live {
            let stored = self.core.block(BlockIndex::new(*index))?;
            assert!(stored == Some(self.block(*index)), "block {index}");
        }
        Ok(())
    }
}

/// At no moment do the files take twice what is stored, whatever goes through them: five times as much is
/// cleared here, block by block from any place, as is ever stored. Where nothing runs beside the commits,
/// so that it is the same each time.
#[test]
fn under_churn_the_files_never_take_twice_what_is_stored() -> Outcome {
    for (len, holes) in [
        (4 << 10, false),
        (4 << 10, true),
        (40 << 10, false),
        (40 << 10, true),
    ] {
        let disk = FaultDisk::new();
        if !holes {
            disk.refuse_holes();
        }
        let options = StoreOptions::default().create(true).background(false);
        let options = options.segment_len(1 << 20).checkpoint_every(5000, 1 << 20);
        let store = disk.open(options)?;
        let mut churn = Churn::new(create(&store, 1)?, len);
        let (stored, batch) = ((4 << 20) / len as u64, (160 << 10) / len as u64);
        for _ in 0..stored / batch {
            churn.append(batch)?;
        }
        for _ in 0..5 * stored / batch {
            churn.append(batch)?;
            churn.clear(batch)?;
        }
        let live = store.usage()?.live;
        assert_eq!(live, stored / batch * batch * len as u64);
        let peak = disk.peak() as f64 / live as f64;
        assert!(peak < 2.0, "blocks of {len} bytes, holes {holes}: {peak}");
        churn.check()?;
        drop(churn);
        store.close()?;
    }
    Ok(())
}

/// The same with threads, whose turns are the system's: the space comes back, and nothing is lost.
#[test]
fn the_space_of_churn_that_never_pauses_comes_back() -> Outcome {
    let directory = tempfile::tempdir()?;
    let options = StoreOptions::default().create(true);
    let options = options.segment_len(1 << 20).checkpoint_every(4000, 1 << 20);
    let store = options.open(directory.path())?;
    let mut churn = Churn::new(create(&store, 1)?, 4096);
    for _ in 0..16 {
        churn.append(128)?;
    }
    for _ in 0..100 {
        churn.append(64)?;
        churn.clear(64)?;
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.usage()?.log >= store.usage()?.live * 2 {
        assert!(Instant::now() < deadline, "{:?}", store.usage()?);
        // any write may make a checkpoint due, and a checkpoint has the collector look
        churn.append(1)?;
        churn.clear(1)?;
        std::thread::sleep(Duration::from_millis(5));
    }
    churn.check()
}

#[test]
fn a_store_that_was_emptied_takes_next_to_nothing() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    let store = DiskStore::open(&path)?;
    append(&*create(&store, 1)?, 500, 0, Durability::Os)?;
    let core = create(&store, 2)?;
    append(&*core, 20, 1, Durability::Os)?;
    assert!(store.usage()?.log > 500 << 10);
    store.delete_core(&name(1))?;
    store.compact(&mut |_| {})?;
    let usage = store.usage()?;
    assert_eq!(usage.dead, 0);
    assert!(usage.log < 64 << 10, "{usage:?}");
    store.close()?;
    fs::remove_dir_all(path.join("index"))?;
    let store = DiskStore::open(&path)?;
    assert!(store.open_core(&name(1))?.is_none());
    let core = reopen(&store, 2)?;
    for index in 0..20 {
        assert_eq!(core.block(BlockIndex::new(index))?, Some(block(index, 1)));
    }
    // the name is free again
    append(&*create(&store, 1)?, 2, 0, Durability::Os)
}

#[test]
fn the_index_takes_a_few_bytes_a_block() -> Outcome {
    // in batches, and one by one
    for (batch, most) in [(500, 10), (1, 50)] {
        let disk = FaultDisk::new();
        let options = StoreOptions::default().create(true).background(false);
        let store = disk.open(options)?;
        let core = create(&store, 1)?;
        for _ in 0..1000 / batch {
            append(&*core, batch, 0, Durability::Os)?;
        }
        let seen = look_at_all(&*core)?;
        drop(core);
        store.close()?;
        let store = disk.open(options)?;
        assert!(look_at_all(&*reopen(&store, 1)?)? == seen, "by {batch}");
        let index = store.usage()?.index;
        assert!(index < 1000 * most, "{index} bytes, by {batch}");
    }
    Ok(())
}
