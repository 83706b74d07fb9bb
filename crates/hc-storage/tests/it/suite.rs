//! One suite for every engine: what a store of logs must do whatever is below it.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::manifest::Manifest;
use hc_merkle::{BlockIndex, Length, NodeIndex, PublicKey};
use hc_storage::fault::FaultDisk;
use hc_storage::limits::MAX_NAME_LEN;
use hc_storage::{
    Access, Alias, Batch, BatchError, CoreRead, CoreStore, Durability, EncryptionScheme, Hints,
    MemoryStore, NamespaceId, StorageError, Store, StoreOptions, StoreSecret, Topic,
};

use crate::log::{
    Outcome, append, append_to, block, clear, create, name, record, reopen, secret, truncation,
};
use crate::upkeep::upkeep_changes_nothing;

/// Runs every case on fresh stores made by `open`.
fn conforms(open: &dyn Fn() -> Arc<dyn Store>) -> Outcome {
    empty_store(&*open())?;
    logs_come_and_go(&*open())?;
    appends_are_read(&*open())?;
    sparse_blocks(&*open())?;
    wrong_batches_do_nothing(&*open())?;
    truncation_forgets(&*open())?;
    clear_keeps_nodes(&*open())?;
    facts(&*open())?;
    snapshots_stay(&*open())?;
    many_logs(&*open())?;
    names_stay(&*open())?;
    groups_tell_who_was_active(&*open())?;
    one_secret(&*open())?;
    levels(&*open())?;
    upkeep_changes_nothing(&*open())?;
    closed(&*open())
}

#[test]
fn memory_engine() -> Outcome {
    conforms(&|| Arc::new(MemoryStore::new()))
}

#[test]
fn default_engine() -> Outcome {
    let directory = tempfile::tempdir()?;
    let count = std::cell::Cell::new(0);
    conforms(&|| {
        count.set(count.get() + 1);
        let path = directory.path().join(count.get().to_string());
        Arc::new(
            StoreOptions::default()
                .create(true)
                .open(path)
                .expect("new store"),
        )
    })
}

#[test]
fn default_engine_with_tiny_limits() -> Outcome {
    conforms(&|| {
        let options = StoreOptions::default().create(true).background(false);
        let options = options.segment_len(8 << 10).checkpoint_every(7, 4 << 10);
        Arc::new(FaultDisk::new().open(options).expect("new store"))
    })
}

#[test]
fn faulty_engine() -> Outcome {
    conforms(&|| {
        Arc::new(
            FaultDisk::new()
                .open(StoreOptions::default().create(true))
                .expect("new store"),
        )
    })
}

fn empty_store(store: &dyn Store) -> Outcome {
    assert_eq!(store.access(), Access::ReadWrite);
    assert!(store.cores()?.is_empty());
    assert_eq!(store.default_core()?, None);
    assert!(store.open_core(&name(1))?.is_none());
    assert!(!store.delete_core(&name(1))?);
    assert!(!store.refresh()?);
    assert!(matches!(
        store.set_default_core(&name(1)),
        Err(StorageError::NoCore { .. })
    ));
    assert_eq!(store.usage()?.live, 0);
    Ok(())
}

fn logs_come_and_go(store: &dyn Store) -> Outcome {
    let core = create(store, 2)?;
    assert!(matches!(
        store.create_core(record(2)),
        Err(StorageError::CoreExists { .. })
    ));
    assert_eq!(core.head()?.length(), Length::ZERO);
    assert_eq!(core.auth()?.key, record(2).auth.key);
    assert!(core.bitfield()?.is_empty());
    create(store, 1)?;
    let names: Vec<_> = store
        .cores()?
        .iter()
        .map(|entry| entry.discovery_key)
        .collect();
    assert_eq!(names, [name(1), name(2)]);
    store.set_default_core(&name(2))?;
    assert_eq!(store.default_core()?, Some(name(2)));
    append(&*core, 3, 0, Durability::Os)?;
    assert!(store.delete_core(&name(2))?);
    assert_eq!(store.default_core()?, None);
    assert!(store.open_core(&name(2))?.is_none());
    assert!(matches!(core.head(), Err(StorageError::CoreDeleted { .. })));
    assert!(matches!(
        core.block(BlockIndex::new(1)),
        Err(StorageError::CoreDeleted { .. })
    ));
    assert_eq!(store.usage()?.live, 0);
    let again = create(store, 2)?;
    assert_eq!(again.head()?.length(), Length::ZERO);
    assert_eq!(again.block(BlockIndex::new(1))?, None);
    Ok(())
}

fn appends_are_read(store: &dyn Store) -> Outcome {
    let core = create(store, 1)?;
    for count in [1, 2, 63, 64, 65, 1, 200] {
        append(&*core, count, 5, Durability::Os)?;
    }
    let length = 1 + 2 + 63 + 64 + 65 + 1 + 200;
    assert_eq!(core.head()?.length(), Length::new(length));
    assert_eq!(core.head()?.signature().map(Bytes::len), Some(64));
    assert_eq!(core.bitfield()?.contiguous_len(), length);
    for index in 0..length {
        assert_eq!(
            core.block(BlockIndex::new(index))?,
            Some(block(index, 5)),
            "block {index}"
        );
        let leaf = BlockIndex::new(index).leaf().ok_or("leaf")?;
        assert_eq!(core.node(leaf)?.map(|node| node.index), Some(leaf));
    }
    assert_eq!(core.block(BlockIndex::new(length))?, None);
    let mut seen = Vec::new();
    core.blocks(
        BlockIndex::new(10)..BlockIndex::new(300),
        &mut |index, bytes| {
            assert_eq!(bytes, block(index.get(), 5));
            seen.push(index.get());
            if index.get() == 290 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    )?;
    assert_eq!(seen, (10..=290).collect::<Vec<_>>());
    let wanted = [
        NodeIndex::new(1),
        NodeIndex::new(1 << 40),
        NodeIndex::new(0),
    ];
    let mut nodes = Vec::new();
    core.nodes(&wanted, &mut nodes)?;
    let found: Vec<_> = nodes
        .iter()
        .map(|node| node.map(|node| node.index))
        .collect();
    assert_eq!(found, [Some(wanted[0]), None, Some(wanted[2])]);
    let live: u64 = (0..length).map(|index| block(index, 5).len() as u64).sum();
    assert_eq!(store.usage()?.live, live);
    assert_eq!(core.head()?.byte_length().get(), live);
    Ok(())
}

/// A log that is known to its end and stored in parts.
fn sparse_blocks(store: &dyn Store) -> Outcome {
    let source = create(store, 1)?;
    append(&*source, 500, 1, Durability::Os)?;
    let copy = create(store, 2)?;
    let change = append_to(&copy.head()?, 500, 1)?;
    let mut upgrade = Batch::from_change(&change);
    let everything = BlockIndex::new(0)..BlockIndex::new(500);
    upgrade.clear(everything);
    copy.commit(upgrade, Durability::Os)?.wait()?;
    assert!(copy.bitfield()?.is_empty());
    assert_eq!(copy.head()?.roots(), source.head()?.roots());
    clear(&*source, 0, 1, Durability::Os)?;
    clear(&*source, 100, 150, Durability::Os)?;
    clear(&*source, 490, 2000, Durability::Os)?;
    let bits = source.bitfield()?;
    for index in 0..500 {
        let here = index != 0 && !(100..150).contains(&index) && index < 490;
        assert_eq!(bits.get(index), here, "bit {index}");
        let expected = here.then(|| block(index, 1));
        assert_eq!(
            source.block(BlockIndex::new(index))?,
            expected,
            "block {index}"
        );
    }
    let live: u64 = (0..500)
        .filter(|index| bits.get(*index))
        .map(|index| block(index, 1).len() as u64)
        .sum();
    assert_eq!(store.usage()?.live, live);
    Ok(())
}

fn wrong_batches_do_nothing(store: &dyn Store) -> Outcome {
    let core = create(store, 1)?;
    append(&*core, 4, 0, Durability::Os)?;
    let stale = append_to(&core.head()?, 1, 0)?;
    append(&*core, 1, 0, Durability::Os)?;
    let refused = core.commit(Batch::from_change(&stale), Durability::Os);
    assert!(matches!(refused, Err(StorageError::Stale { .. })));
    let mut long = Batch::new();
    long.set_user_data("k".repeat(5000), None).set_hints(Hints {
        contiguous_length: Length::new(9),
        ..Hints::default()
    });
    let refused = core.commit(long, Durability::Os);
    let too_long = matches!(
        refused,
        Err(StorageError::Batch(BatchError::UserDataTooLong {
            key: 5000,
            value: 0
        }))
    );
    assert!(too_long);
    assert_eq!(core.hints()?, Hints::default());
    assert_eq!(core.head()?.length(), Length::new(5));
    let first = append_to(&core.head()?, 1, 0)?;
    let mut two = Batch::from_change(&first);
    assert!(matches!(
        two.push_change(&first),
        Err(BatchError::Gap { .. })
    ));
    let second = append_to(first.head().ok_or("head")?, 2, 0)?;
    two.push_change(&second)?;
    core.commit(two, Durability::Os)?.wait()?;
    assert_eq!(core.head()?.length(), Length::new(8));
    assert_eq!(core.block(BlockIndex::new(7))?, Some(block(7, 0)));
    Ok(())
}

fn truncation_forgets(store: &dyn Store) -> Outcome {
    let core = create(store, 1)?;
    append(&*core, 300, 0, Durability::Os)?;
    let node_past = BlockIndex::new(200).leaf().ok_or("leaf")?;
    let spanning = NodeIndex::new(255);
    assert!(core.node(node_past)?.is_some() && core.node(spanning)?.is_some());
    let change = truncation(&*core, 100)?;
    core.commit(Batch::from_change(&change), Durability::Os)?
        .wait()?;
    assert_eq!(core.head()?.length(), Length::new(100));
    assert_eq!(core.head()?.fork().get(), 1);
    assert_eq!(core.node(node_past)?, None);
    assert_eq!(core.node(spanning)?, None, "it reached past the cut");
    assert_eq!(core.block(BlockIndex::new(100))?, None);
    assert_eq!(core.block(BlockIndex::new(99))?, Some(block(99, 0)));
    assert_eq!(core.bitfield()?.contiguous_len(), 100);
    append(&*core, 250, 9, Durability::Os)?;
    for index in 0..350 {
        let salt = if index < 100 { 0 } else { 9 };
        assert_eq!(
            core.block(BlockIndex::new(index))?,
            Some(block(index, salt)),
            "{index}"
        );
    }
    let change = truncation(&*core, 0)?;
    core.commit(Batch::from_change(&change), Durability::Os)?
        .wait()?;
    assert!(core.bitfield()?.is_empty());
    assert_eq!(core.node(NodeIndex::new(0))?, None);
    assert_eq!(store.usage()?.live, 0);
    Ok(())
}

fn clear_keeps_nodes(store: &dyn Store) -> Outcome {
    let core = create(store, 1)?;
    append(&*core, 70, 0, Durability::Os)?;
    clear(&*core, 3, 67, Durability::Os)?;
    clear(&*core, 9, 9, Durability::Os)?;
    assert_eq!(core.block(BlockIndex::new(3))?, None);
    assert_eq!(core.block(BlockIndex::new(67))?, Some(block(67, 0)));
    assert!(core.node(NodeIndex::new(6))?.is_some());
    assert_eq!(core.bitfield()?.count(0..100), 6);
    Ok(())
}

fn facts(store: &dyn Store) -> Outcome {
    let mut record = record(1);
    record.auth.secret_key = Some(secret(7));
    record.auth.compat = true;
    let core = store.create_core(record)?;
    let held = |core: &dyn CoreRead| -> Result<Option<[u8; 64]>, StorageError> {
        Ok(core.auth()?.secret_key.map(|secret| *secret.as_bytes()))
    };
    assert_eq!(held(&*core)?, Some([7; 64]));
    assert!(core.auth()?.compat);
    core.set_secret_key(Some(secret(8)))?;
    assert_eq!(held(&*core)?, Some([8; 64]));
    core.set_secret_key(None)?;
    assert_eq!(held(&*core)?, None);
    let manifest = Manifest::single(PublicKey([3; 32]));
    let hints = Hints {
        contiguous_length: Length::new(1),
        remote_contiguous_length: Length::new(2),
    };
    let long = Bytes::from(vec![9; 100_000]);
    let mut batch = Batch::new();
    batch
        .set_manifest(manifest.clone())
        .set_encryption(EncryptionScheme(4))
        .set_hints(hints)
        .set_user_data("long", Some(long.clone()))
        .set_user_data("empty", Some(Bytes::new()))
        .set_user_data("gone", Some(Bytes::from_static(b"x")));
    core.commit(batch, Durability::Os)?.wait()?;
    let mut batch = Batch::new();
    batch.set_user_data("gone", None);
    core.commit(batch, Durability::Os)?.wait()?;
    let auth = core.auth()?;
    assert_eq!(
        (auth.manifest.as_deref(), auth.encryption),
        (Some(&manifest), Some(EncryptionScheme(4)))
    );
    assert_eq!(core.hints()?, hints);
    assert_eq!(core.user_data("long")?, Some(long));
    assert_eq!(core.user_data("empty")?, Some(Bytes::new()));
    assert_eq!(core.user_data("gone")?, None);
    keys_in_order(&*core)
}

fn keys_in_order(core: &dyn CoreStore) -> Outcome {
    use Bound::{Excluded, Included, Unbounded};
    let mut batch = Batch::new();
    for key in ["b", "a", "ab"] {
        batch.set_user_data(key, Some(Bytes::from_static(b"v")));
    }
    core.commit(batch, Durability::Os)?.wait()?;
    let snapshot = core.snapshot()?;
    let mut batch = Batch::new();
    batch.set_user_data("ab", None);
    core.commit(batch, Durability::Os)?.wait()?;
    let keys = |from: &dyn CoreRead, bounds| -> Result<Vec<String>, StorageError> {
        let found = from.user_data_between(bounds)?;
        Ok(found.into_iter().map(|(key, _)| key).collect())
    };
    let core: &dyn CoreRead = core;
    assert_eq!(
        keys(core, (Unbounded, Unbounded))?,
        ["a", "b", "empty", "long"]
    );
    assert_eq!(keys(core, (Included("a"), Excluded("empty")))?, ["a", "b"]);
    assert_eq!(
        keys(core, (Excluded("a"), Included("empty")))?,
        ["b", "empty"]
    );
    assert_eq!(keys(core, (Excluded("b"), Excluded("b")))?, [""; 0]);
    assert_eq!(keys(core, (Included("z"), Included("a")))?, [""; 0]);
    assert_eq!(
        keys(&*snapshot, (Unbounded, Excluded("b")))?,
        ["a", "ab"],
        "a snapshot keeps what it had"
    );
    Ok(())
}

fn snapshots_stay(store: &dyn Store) -> Outcome {
    let core = create(store, 1)?;
    append(&*core, 150, 0, Durability::Os)?;
    let first = core.snapshot()?;
    clear(&*core, 20, 30, Durability::Os)?;
    let second = core.snapshot()?;
    let change = truncation(&*core, 10)?;
    core.commit(Batch::from_change(&change), Durability::Os)?
        .wait()?;
    append(&*core, 200, 3, Durability::Os)?;
    store.sync(Durability::Disk)?;
    assert_eq!(first.head()?.length(), Length::new(150));
    for index in 0..160 {
        let stored = index < 150;
        let expected = stored.then(|| block(index, 0));
        assert_eq!(
            first.block(BlockIndex::new(index))?,
            expected,
            "first, {index}"
        );
        let expected = (stored && !(20..30).contains(&index)).then(|| block(index, 0));
        assert_eq!(
            second.block(BlockIndex::new(index))?,
            expected,
            "second, {index}"
        );
    }
    let mut roots = Vec::new();
    let indexes: Vec<_> = first
        .head()?
        .roots()
        .iter()
        .map(|node| node.index)
        .collect();
    first.nodes(&indexes, &mut roots)?;
    let roots: Vec<_> = roots.into_iter().flatten().collect();
    assert_eq!(roots, first.head()?.roots());
    assert_eq!(first.node(NodeIndex::new(2 * 155))?, None, "not in it");
    assert_eq!(core.block(BlockIndex::new(50))?, Some(block(50, 3)));
    Ok(())
}

fn many_logs(store: &dyn Store) -> Outcome {
    let cores: Vec<_> = (1..30)
        .map(|n| create(store, n))
        .collect::<Result<_, _>>()?;
    for round in 0..5 {
        for (core, salt) in cores.iter().zip(0..) {
            append(&**core, 1 + round, salt, Durability::Os)?;
        }
    }
    drop(cores);
    for number in 1..30u8 {
        let core = reopen(store, number)?;
        assert_eq!(core.head()?.length(), Length::new(15));
        for index in 0..15 {
            let expected = block(index, u64::from(number) - 1);
            assert_eq!(
                core.block(BlockIndex::new(index))?,
                Some(expected),
                "{number} {index}"
            );
        }
    }
    Ok(())
}

fn alias(place: u8, name: &str) -> Alias {
    Alias {
        namespace: NamespaceId([place; 32]),
        name: name.to_owned(),
    }
}

fn names_stay(store: &dyn Store) -> Outcome {
    let (first, second) = (alias(1, "first"), alias(2, "second"));
    let mut named = record(1);
    named.alias = Some(first.clone());
    let core = store.create_core(named)?;
    assert_eq!(core.alias()?, Some(first.clone()));
    let mut again = record(2);
    again.alias = Some(first.clone());
    assert!(matches!(
        store.create_core(again),
        Err(StorageError::NameTaken { key, .. }) if key == name(1)
    ));
    assert!(store.open_core(&name(2))?.is_none());
    let later = create(store, 2)?;
    assert_eq!(later.alias()?, None);
    store.set_name(&name(2), second.clone())?;
    store.set_name(&name(2), second.clone())?;
    assert_eq!(later.alias()?, Some(second.clone()));
    assert!(matches!(
        store.set_name(&name(2), alias(2, "third")),
        Err(StorageError::OtherName { .. })
    ));
    assert!(matches!(
        store.set_name(&name(3), alias(2, "third")),
        Err(StorageError::NoCore { .. })
    ));
    create(store, 3)?;
    assert!(matches!(
        store.set_name(&name(3), second.clone()),
        Err(StorageError::NameTaken { .. })
    ));
    let longest = "n".repeat(MAX_NAME_LEN);
    assert!(matches!(
        store.set_name(&name(3), alias(3, &format!("{longest}n"))),
        Err(StorageError::NameTooLong { len }) if len == MAX_NAME_LEN + 1
    ));
    store.set_name(&name(3), alias(0xff, &longest))?;
    let found = store.find_named(&alias(0xff, &longest))?;
    assert_eq!(found.map(|entry| entry.discovery_key), Some(name(3)));
    assert_eq!(store.find_named(&alias(1, "second"))?, None);
    let all = store.named(None)?;
    let names: Vec<_> = all.iter().map(|named| named.discovery_key).collect();
    assert_eq!(names, [name(1), name(2), name(3)]);
    let place = store.named(Some(NamespaceId([2; 32])))?;
    assert_eq!(place.len(), 1);
    assert_eq!(
        (&place[0].alias, place[0].key),
        (&second, record(2).auth.key)
    );
    assert!(store.delete_core(&name(1))?);
    assert_eq!(store.find_named(&first)?, None);
    let mut named = record(4);
    named.alias = Some(first.clone());
    store.create_core(named)?;
    let found = store.find_named(&first)?;
    assert_eq!(found.map(|entry| entry.key), Some(record(4).auth.key));
    Ok(())
}

fn groups_tell_who_was_active(store: &dyn Store) -> Outcome {
    let topic = Topic([9; 32]);
    let cores = [create(store, 1)?, create(store, 2)?, create(store, 3)?];
    append(&*cores[2], 1, 0, Durability::Os)?;
    for core in &cores {
        let mut batch = Batch::new();
        batch.join_group(topic);
        core.commit(batch.clone(), Durability::Os)?.wait()?;
        core.commit(batch, Durability::Os)?.wait()?;
        assert_eq!(core.group()?, Some(topic));
    }
    assert!(store.group(&topic)?.is_empty(), "none since it joined");
    let mut other = Batch::new();
    other.join_group(Topic([8; 32]));
    assert!(matches!(
        cores[0].commit(other, Durability::Os),
        Err(StorageError::OtherGroup { .. })
    ));
    let order = |store: &dyn Store| -> Result<Vec<_>, StorageError> {
        let active = store.group(&topic)?;
        assert!(active.windows(2).all(|pair| pair[0].at > pair[1].at));
        Ok(active.iter().map(|core| core.discovery_key).collect())
    };
    append(&*cores[0], 1, 0, Durability::Os)?;
    append(&*cores[1], 1, 0, Durability::Os)?;
    assert_eq!(order(store)?, [name(2), name(1)]);
    let clear_says_nothing = clear(&*cores[0], 0, 1, Durability::Os);
    clear_says_nothing?;
    assert_eq!(order(store)?, [name(2), name(1)]);
    append(&*cores[0], 30, 0, Durability::Os)?;
    append(&*cores[2], 1, 0, Durability::Os)?;
    assert_eq!(order(store)?, [name(3), name(1), name(2)]);
    assert!(store.group(&Topic([8; 32]))?.is_empty());
    store.delete_core(&name(1))?;
    assert_eq!(order(store)?, [name(3), name(2)]);
    Ok(())
}

fn one_secret(store: &dyn Store) -> Outcome {
    assert_eq!(store.secret()?, None);
    store.set_secret(StoreSecret::from_bytes([4; 32]))?;
    store.set_secret(StoreSecret::from_bytes([4; 32]))?;
    assert!(matches!(
        store.set_secret(StoreSecret::from_bytes([5; 32])),
        Err(StorageError::OtherSecret)
    ));
    assert_eq!(store.secret()?, Some(StoreSecret::from_bytes([4; 32])));
    assert!(!format!("{:?}", store.secret()?).contains('4'));
    Ok(())
}

fn levels(store: &dyn Store) -> Outcome {
    let core = create(store, 1)?;
    for level in [
        Durability::Buffered,
        Durability::Os,
        Durability::Buffered,
        Durability::Disk,
    ] {
        append(&*core, 5, 2, level)?;
        let length = core.head()?.length().get();
        assert_eq!(
            core.block(BlockIndex::new(length - 1))?,
            Some(block(length - 1, 2))
        );
    }
    let change = append_to(&core.head()?, 1, 2)?;
    let first = core.commit(Batch::from_change(&change), Durability::Disk)?;
    let change = append_to(&core.head()?, 1, 2)?;
    let second = core.commit(Batch::from_change(&change), Durability::Disk)?;
    second.wait()?;
    assert!(first.is_reached());
    first.wait()?;
    store.sync(Durability::Disk)?;
    Ok(())
}

fn closed(store: &dyn Store) -> Outcome {
    let core = create(store, 1)?;
    append(&*core, 1, 0, Durability::Os)?;
    let change = append_to(&core.head()?, 1, 0)?;
    store.close()?;
    store.close()?;
    assert!(matches!(store.cores(), Err(StorageError::Closed)));
    assert!(matches!(core.head(), Err(StorageError::Closed)));
    let refused = core.commit(Batch::from_change(&change), Durability::Os);
    assert!(matches!(refused, Err(StorageError::Closed)));
    Ok(())
}
