//! The default engine in a real directory: locks, versions, rights, and what is left of its files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hc_merkle::{BlockIndex, Length};
use hc_storage::{
    Alias, Batch, DamageKind, DiskStore, Durability, NamespaceId, OpenError, StorageError, Store,
    StoreOptions, StoreSecret, Topic,
};

use crate::log::{Outcome, append, append_to, block, create, name, record, reopen, secret};

fn fill(path: &Path, count: u64) -> Outcome {
    let store = DiskStore::open(path)?;
    let mut record = record(1);
    record.auth.secret_key = Some(secret(5));
    let core = store.create_core(record)?;
    for _ in 0..count / 10 {
        append(&*core, 10, 0, Durability::Os)?;
    }
    store.set_default_core(&name(1))?;
    Ok(store.close()?)
}

fn check(path: &Path, count: u64) -> Outcome {
    let store = StoreOptions::default().open(path)?;
    assert_eq!(store.default_core()?, Some(name(1)));
    let core = reopen(&store, 1)?;
    assert_eq!(core.head()?.length(), Length::new(count));
    for index in 0..count {
        assert_eq!(
            core.block(BlockIndex::new(index))?,
            Some(block(index, 0)),
            "block {index}"
        );
    }
    let held = core.auth()?.secret_key.map(|secret| *secret.as_bytes());
    assert_eq!(held, Some([5; 64]));
    drop(core);
    Ok(store.close()?)
}

#[test]
fn a_store_is_there_when_it_is_opened_again() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("a/new/store");
    fill(&path, 300)?;
    check(&path, 300)?;
    let moved = directory.path().join("moved");
    fs::rename(&path, &moved)?;
    check(&moved, 300)
}

#[test]
fn nothing_is_made_unless_asked() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("none");
    assert!(matches!(
        StoreOptions::default().open(&path),
        Err(OpenError::Missing { .. })
    ));
    assert!(matches!(
        DiskStore::open_read_only(&path),
        Err(OpenError::Missing { .. })
    ));
    assert!(!path.exists());
    fs::create_dir(&path)?;
    fs::write(path.join("holiday.jpg"), b"x")?;
    assert!(matches!(
        DiskStore::open(&path),
        Err(OpenError::NotAStore { .. })
    ));
    assert_eq!(fs::read_dir(&path)?.count(), 1);
    Ok(())
}

#[test]
fn the_index_may_be_deleted_or_damaged() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    fill(&path, 200)?;
    fs::remove_dir_all(path.join("index"))?;
    check(&path, 200)?;
    for entry in fs::read_dir(path.join("index"))? {
        let file = entry?.path();
        if file.is_file() {
            fs::write(&file, vec![0x5a; 5000])?;
        }
    }
    check(&path, 200)?;
    // a snapshot that was being written when its process died
    fs::write(path.join("index/snap.00000000FFFFFFFF.generating"), b"torn")?;
    check(&path, 200)?;
    let snapshots = fs::read_dir(path.join("index"))?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("snap."));
    for snapshot in snapshots {
        fs::write(snapshot.path(), b"")?;
    }
    check(&path, 200)
}

/// Faults that sled 0.34 is known for: whatever is in its files, the store opens and is whole.
#[test]
fn any_byte_of_the_index_may_be_wrong() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    fill(&path, 200)?;
    check(&path, 200)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(path.join("index"))? {
        let file = entry?.path();
        if file.is_file() {
            files.push((file.clone(), fs::read(&file)?));
        }
    }
    assert!(files.len() > 1, "{}", files.len());
    for (file, bytes) in &files {
        // sled's file is mostly room for more
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for at in (0..used).step_by(used / 12 + 1) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            fs::write(file, damaged)?;
            check(&path, 200)?;
        }
        for len in [0, 1, bytes.len() / 2, bytes.len().saturating_sub(1)] {
            fs::write(file, &bytes[..len])?;
            check(&path, 200)?;
        }
        fs::remove_file(file).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        check(&path, 200)?;
    }
    // a snapshot that was being made, of a moment that has not come
    for name in [
        "snap.FFFFFFFFFFFFFFFF.generating",
        "snap.00000000FFFFFFFF",
        "snap.x",
    ] {
        fs::write(path.join("index").join(name), [0x7f; 100])?;
        check(&path, 200)?;
    }
    Ok(())
}

#[test]
fn a_store_is_copied_and_the_copy_goes_on() -> Outcome {
    let directory = tempfile::tempdir()?;
    let (path, copy) = (
        directory.path().join("store"),
        directory.path().join("copy"),
    );
    fill(&path, 100)?;
    copy_all(&path, &copy)?;
    check(&copy, 100)?;
    let store = DiskStore::open(&copy)?;
    append(&*reopen(&store, 1)?, 10, 0, Durability::Os)?;
    store.close()?;
    check(&copy, 110)?;
    check(&path, 100)?;
    // restored: the backup in place of what went on
    fs::remove_dir_all(&copy)?;
    copy_all(&path, &copy)?;
    check(&copy, 100)
}

fn copy_all(from: &Path, to: &Path) -> Outcome {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn a_second_writer_is_told_who_has_it() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    fill(&path, 10)?;
    let first = DiskStore::open(&path)?;
    match DiskStore::open(&path) {
        Err(error @ OpenError::Locked { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&std::process::id().to_string()), "{text}");
            assert!(text.contains("store"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let beside = DiskStore::open_read_only(&path)?;
    assert_eq!(
        reopen(&beside, 1)?.block(BlockIndex::new(9))?,
        Some(block(9, 0))
    );
    assert!(matches!(
        beside.create_core(record(2)),
        Err(StorageError::ReadOnly)
    ));
    first.close()?;
    check(&path, 10)
}

/// Not a test of its own: what the next one runs in another process.
#[test]
fn hold_a_store_for_another_process() -> Outcome {
    let Some(path) = std::env::var_os("HC_STORAGE_HOLD") else {
        return Ok(());
    };
    let store = DiskStore::open(path)?;
    let core = reopen(&store, 1)?;
    append(&*core, 10, 0, Durability::Os)?;
    println!("held");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}

#[test]
fn a_process_that_is_killed_leaves_its_appends_and_no_lock() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    fill(&path, 20)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "disk::hold_a_store_for_another_process",
            "--nocapture",
        ])
        .env("HC_STORAGE_HOLD", &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("stdout")?).lines();
    while !lines.next().ok_or("child ended")??.contains("held") {}
    match DiskStore::open(&path) {
        Err(OpenError::Locked {
            holder: Some(holder),
            ..
        }) => {
            assert_eq!(holder.pid, child.id());
            assert!(!holder.host.is_empty());
        }
        other => panic!("{other:?}"),
    }
    let beside = DiskStore::open_read_only(&path)?;
    assert_eq!(reopen(&beside, 1)?.head()?.length(), Length::new(30));
    child.kill()?;
    child.wait()?;
    check(&path, 30)
}

#[test]
fn another_version_is_named() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    fill(&path, 10)?;
    let segment = path.join("log/00000000.seg");
    let mut bytes = fs::read(&segment)?;
    bytes[8] = 9;
    fs::write(&segment, &bytes)?;
    for opened in [DiskStore::open(&path), DiskStore::open_read_only(&path)] {
        match opened {
            Err(OpenError::Version {
                path,
                found: 9,
                supported: 2,
            }) => assert_eq!(path, segment),
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

#[test]
fn a_truncated_log_is_named() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    let store = StoreOptions::default()
        .create(true)
        .segment_len(64 << 10)
        .open(&path)?;
    let core = create(&store, 1)?;
    append(&*core, 100, 0, Durability::Os)?;
    append(&*core, 100, 0, Durability::Os)?;
    drop(core);
    store.close()?;
    let segment = path.join("log/00000000.seg");
    let bytes = fs::read(&segment)?;
    fs::write(&segment, &bytes[..bytes.len() - 10])?;
    fs::remove_dir_all(path.join("index"))?;
    let store = DiskStore::open(&path)?;
    let damage = store.damage()?;
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!(
        (&damage[0].path, damage[0].kind),
        (&segment, DamageKind::Frame)
    );
    store.close()?;
    fs::remove_dir_all(path.join("index"))?;
    fs::remove_file(&segment)?;
    assert!(matches!(DiskStore::open(&path), Err(OpenError::Damaged(_))));
    Ok(())
}

#[test]
fn secrets_are_their_owners_alone() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    fill(&path, 10)?;
    let mode = fs::metadata(path.join("SECRETS"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for entry in fs::read_dir(path.join("log"))? {
        let bytes = fs::read(entry?.path())?;
        assert!(
            !bytes.windows(32).any(|window| window == [5; 32]),
            "a secret in the log"
        );
    }
    let store = DiskStore::open(&path)?;
    reopen(&store, 1)?.set_secret_key(None)?;
    assert!(
        !fs::read(path.join("SECRETS"))?
            .windows(32)
            .any(|window| window == [5; 32])
    );
    Ok(())
}

#[test]
fn names_groups_and_the_secret_outlive_the_index() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    let (topic, place) = (Topic([1; 32]), NamespaceId([2; 32]));
    let alias = |number: u8| Alias {
        namespace: place,
        name: number.to_string(),
    };
    let store = DiskStore::open(&path)?;
    store.set_secret(StoreSecret::from_bytes([7; 32]))?;
    for number in 1..=3 {
        let mut record = record(number);
        record.alias = Some(alias(number));
        let core = store.create_core(record)?;
        let mut batch = Batch::new();
        batch.join_group(topic);
        core.commit(batch, Durability::Os)?.wait()?;
        append(&*core, 1, 0, Durability::Os)?;
    }
    append(&*reopen(&store, 2)?, 1, 0, Durability::Os)?;
    store.delete_core(&name(3))?;
    store.close()?;
    drop(store);
    let check = |store: &dyn Store| -> Outcome {
        assert_eq!(store.secret()?, Some(StoreSecret::from_bytes([7; 32])));
        let named = store.named(Some(place))?;
        let named: Vec<_> = named.iter().map(|named| named.discovery_key).collect();
        assert_eq!(named, [name(1), name(2)]);
        assert_eq!(reopen(store, 2)?.alias()?, Some(alias(2)));
        let active = store.group(&topic)?;
        let active: Vec<_> = active.iter().map(|core| core.discovery_key).collect();
        assert_eq!(active, [name(2), name(1)]);
        Ok(())
    };
    check(&DiskStore::open(&path)?)?;
    check(&DiskStore::open_read_only(&path)?)?;
    fs::remove_dir_all(path.join("index"))?;
    let store = DiskStore::open(&path)?;
    check(&store)?;
    append(&*reopen(&store, 1)?, 1, 0, Durability::Os)?;
    store.close()?;
    let store = DiskStore::open(&path)?;
    let first = store.group(&topic)?.first().map(|core| core.discovery_key);
    assert_eq!(first, Some(name(1)));
    let in_log = fs::read(path.join("log/00000000.seg"))?;
    assert!(!in_log.windows(32).any(|window| window == [7; 32]));
    Ok(())
}

#[test]
fn a_batch_for_another_length_is_stale_after_reopening() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    fill(&path, 10)?;
    let store = DiskStore::open(&path)?;
    let core = reopen(&store, 1)?;
    let change = append_to(&core.head()?, 1, 0)?;
    append(&*core, 1, 0, Durability::Os)?;
    let refused = core.commit(Batch::from_change(&change), Durability::Os);
    assert!(matches!(refused, Err(StorageError::Stale { .. })));
    Ok(())
}

/// All files of a directory and those in it.
fn files(path: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, std::io::Error> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.insert(path.clone(), fs::read(path)?);
        }
    }
    Ok(all)
}

#[test]
fn a_reader_that_copies_the_index_leaves_the_store_as_it_is() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("store");
    fill(&path, 2000)?;
    // a frame that the index knows: whoever reads the log comes upon it
    let segment = path.join("log/00000000.seg");
    let mut bytes = fs::read(&segment)?;
    bytes[200] ^= 1;
    fs::write(&segment, &bytes)?;
    let before = files(&path)?;
    let to_read = StoreOptions::default().read_only();
    let (reader, also) = (to_read.copy_index_from(0), to_read.open(&path)?);
    for _ in 0..2 {
        let reader = reader.open(&path)?;
        assert_eq!(reader.damage()?, []);
        assert_eq!(also.damage()?.len(), 1);
        let core = reopen(&reader, 1)?;
        for index in [0, 1000, 1999] {
            let found = core.block(BlockIndex::new(index))?;
            assert_eq!(found, Some(block(index, 0)), "block {index}");
        }
        assert!(!reader.refresh()?);
        reader.close()?;
    }
    assert!(files(&path)? == before);
    Ok(())
}
