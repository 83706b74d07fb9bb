//! Any sequence of operations, closings and crashes, against a map.

use std::collections::BTreeMap;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Length};
use hc_storage::fault::{FaultDisk, Survival};
use hc_storage::{Batch, Durability, Store, StoreOptions};
use proptest::prelude::*;

use crate::log::{Outcome, append, block, clear, create, reopen, truncation};

#[derive(Debug, Clone)]
enum Step {
    Append(u8, u8),
    Truncate(u16),
    Clear(u16, u8),
    UserData(u8, u16),
    Close,
    Kill,
    DeleteIndex,
    Compact,
    Repair,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u8..90, any::<u8>()).prop_map(|(count, salt)| Step::Append(count, salt)),
        1 => any::<u16>().prop_map(Step::Truncate),
        2 => (any::<u16>(), any::<u8>()).prop_map(|(start, len)| Step::Clear(start, len)),
        1 => (0u8..3, any::<u16>()).prop_map(|(key, len)| Step::UserData(key, len % 9000)),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        1 => Just(Step::DeleteIndex),
        2 => Just(Step::Compact),
        1 => Just(Step::Repair),
    ]
}

#[derive(Debug, Default)]
struct Model {
    length: u64,
    blocks: BTreeMap<u64, Bytes>,
    user_data: BTreeMap<String, Bytes>,
}

fn options(entries: usize) -> StoreOptions {
    let options = StoreOptions::default().create(true).background(false);
    options
        .segment_len(16 << 10)
        .checkpoint_every(entries, 9 << 10)
}

fn play(steps: &[Step], entries: usize) -> Outcome {
    let mut disk = FaultDisk::new();
    let mut store = disk.open(options(entries))?;
    create(&store, 1)?;
    let mut model = Model::default();
    for (number, step) in (0u64..).zip(steps) {
        let core = reopen(&store, 1)?;
        match step {
            Step::Append(count, salt) => {
                append(&*core, u64::from(*count), u64::from(*salt), Durability::Os)?;
                let end = model.length + u64::from(*count);
                let new = (model.length..end).map(|index| (index, block(index, u64::from(*salt))));
                model.blocks.extend(new);
                model.length = end;
            }
            Step::Truncate(to) => {
                let to = u64::from(*to) % (model.length + 1);
                let change = truncation(&*core, to)?;
                core.commit(Batch::from_change(&change), Durability::Os)?
                    .wait()?;
                model.blocks.split_off(&to);
                model.length = to;
            }
            Step::Clear(start, len) => {
                let start = u64::from(*start) % (model.length + 1);
                let end = start + u64::from(*len);
                clear(&*core, start, end, Durability::Os)?;
                model
                    .blocks
                    .retain(|index, _| !(start..end).contains(index));
            }
            Step::UserData(key, len) => {
                let value = Bytes::from(vec![*key; usize::from(*len)]);
                let mut batch = Batch::new();
                batch.set_user_data(key.to_string(), Some(value.clone()));
                core.commit(batch, Durability::Os)?.wait()?;
                model.user_data.insert(key.to_string(), value);
            }
            Step::Close => {
                drop(core);
                store.close()?;
                store = disk.open(options(entries))?;
            }
            Step::Kill => {
                let image = disk.image(Survival::Process(number));
                disk = image;
                store = disk.open(options(entries))?;
            }
            Step::DeleteIndex => {
                drop(core);
                store.close()?;
                disk.delete_index();
                store = disk.open(options(entries))?;
            }
            Step::Compact => {
                store.compact(&mut |_| {})?;
                assert_eq!(store.usage()?.dead, 0, "nothing void is left");
            }
            Step::Repair => assert!(store.repair(&mut |_| {})?.is_empty(), "all is well"),
        }
        compare(&store, &model)?;
    }
    Ok(())
}

fn compare(store: &dyn Store, model: &Model) -> Outcome {
    let core = reopen(store, 1)?;
    assert_eq!(core.head()?.length(), Length::new(model.length));
    let bits = core.bitfield()?;
    for index in 0..model.length + 5 {
        let expected = model.blocks.get(&index);
        assert_eq!(
            core.block(BlockIndex::new(index))?.as_ref(),
            expected,
            "block {index}"
        );
        assert_eq!(bits.get(index), expected.is_some(), "bit {index}");
        let leaf = BlockIndex::new(index).leaf().ok_or("leaf")?;
        assert_eq!(
            core.node(leaf)?.is_some(),
            index < model.length,
            "leaf {index}"
        );
    }
    for (key, value) in &model.user_data {
        assert_eq!(core.user_data(key)?.as_ref(), Some(value));
    }
    let live: u64 = model.blocks.values().map(|bytes| bytes.len() as u64).sum();
    assert_eq!(store.usage()?.live, live);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn as_a_map(steps in proptest::collection::vec(step(), 1..24), entries in 1usize..400) {
        let played = play(&steps, entries);
        prop_assert!(played.is_ok(), "{:?}", played);
    }
}
