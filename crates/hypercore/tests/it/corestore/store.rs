//! Opening logs by all that names them, and what the store remembers of them.

use std::collections::BTreeSet;
use std::future::IntoFuture;

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hypercore::encryption::EncryptionKey;
use hypercore::manifest::{ManifestVersion, Signer};
use hypercore::{
    AppendError, CoreKey, Corestore, DiscoveryKey, Hypercore, IfMissing, KeyPair, Manifest,
    OpenError, PrimaryKey, PublicKey, StaticError, Storage, StorageError, StoreEvent, StoreOptions,
};

use super::in_memory;
use crate::audit::damage;
use crate::peers::soon;

#[test]
fn a_name_opened_twice_is_one_log() {
    block_on(async {
        let store = in_memory().await;
        let a = store.get("test").await.unwrap();
        let b = store.get("test").await.unwrap();
        assert_eq!(a.key(), b.key());
        a.append("shared").await.unwrap();
        assert_eq!(b.length().get(), 1, "they share their state");
        assert_eq!(store.open_cores().len(), 1);
        let manifest = a.manifest().unwrap();
        assert_eq!(manifest.signers.len(), 1);
        assert_ne!(
            a.key().as_bytes(),
            manifest.signers[0].public_key.as_bytes()
        );
        a.close().await.unwrap();
        assert_eq!(b.get(0).await.unwrap(), "shared");
        b.close().await.unwrap();
        assert!(store.open_cores().is_empty(), "the last close frees it");
    });
}

#[test]
fn opens_of_one_log_at_the_same_time_meet_in_one() {
    block_on(async {
        let store = in_memory().await;
        let opens = (0..8).map(|_| async_std::task::spawn(store.get("test").into_future()));
        let mut logs = Vec::new();
        for open in opens.collect::<Vec<_>>() {
            logs.push(open.await.unwrap());
        }
        logs[0].append("seen by all").await.unwrap();
        assert!(logs.iter().all(|log| log.length().get() == 1));
        assert_eq!(store.open_cores().len(), 1);
    });
}

#[test]
fn a_primary_key_fixes_names_to_keys() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let primary = || PrimaryKey::from_bytes([1; 32]);
        let open = |path: &str| Corestore::builder(Storage::disk(dir.path().join(path)));
        let first = open("a")
            .unsafe_primary_key(primary())
            .open()
            .await
            .unwrap();
        let key = first.get("test").await.unwrap().key();
        let pair = first.create_key_pair("test").unwrap();
        assert_eq!(
            hex::encode(pair.public_key().as_bytes()),
            "dba177fab8fdf15b9d1110866914dab9f95d9e6c61e36c5a9bed70bea9a051af"
        );
        first.close().await.unwrap();

        let again = open("a").open().await.unwrap();
        let stored = again.create_key_pair("test").unwrap();
        assert_eq!(stored.public_key(), pair.public_key());
        let log = again.get("test").await.unwrap();
        assert!(log.is_writable());
        log.append("signed").await.unwrap();
        again.close().await.unwrap();

        let other = open("b")
            .unsafe_primary_key(primary())
            .open()
            .await
            .unwrap();
        assert_eq!(other.get("test").await.unwrap().key(), key);
        other.close().await.unwrap();
        let refused = open("b")
            .unsafe_primary_key(PrimaryKey::from_bytes([2; 32]))
            .open()
            .await;
        assert!(matches!(
            refused,
            Err(OpenError::Storage(StorageError::OtherSecret))
        ));
        assert!(open("b").open().await.is_ok(), "it was closed again");
    });
}

#[test]
fn secrets_of_named_logs_are_not_stored() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        for name in ["a", "b", "c"] {
            store.get(name).await.unwrap();
        }
        let secrets = || std::fs::metadata(dir.path().join("SECRETS")).unwrap().len();
        let one = secrets();
        store.get(KeyPair::from_seed(&[1; 32])).await.unwrap();
        assert_eq!(secrets(), one + 100);
        assert_eq!(one, 16 + 100, "the primary key alone");
        store.close().await.unwrap();
    });
}

#[test]
fn a_name_keeps_the_manifest_it_was_first_opened_with() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        let pair = store.create_key_pair("test").unwrap();
        let old = Manifest::new([Signer::new(pair.public_key())]).with_version(ManifestVersion::V0);
        let log = store.get("test").manifest(old.clone()).await.unwrap();
        assert_eq!(log.manifest(), Some(old.clone()));
        store.close().await.unwrap();

        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        let log = store.get("test").await.unwrap();
        assert_eq!(log.manifest(), Some(old));
        assert!(log.is_writable());
        store.close().await.unwrap();
    });
}

#[test]
fn another_default_version_counts_for_new_names_only() {
    block_on(async {
        let store = in_memory().await;
        let version = |log: &Hypercore| log.manifest().unwrap().version;
        let test = store.get("test").await.unwrap();
        assert_eq!(version(&test), ManifestVersion::V1);
        let updated = store.with_manifest_version(ManifestVersion::V2);
        let same = updated.get("test").await.unwrap();
        assert_eq!(
            (version(&same), same.key()),
            (ManifestVersion::V1, test.key())
        );
        let fresh = updated.get("test3").await.unwrap();
        assert_eq!(version(&fresh), ManifestVersion::V2);
        updated.close().await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn a_key_is_known_at_once() {
    block_on(async {
        let store = in_memory().await;
        let log = store.get(CoreKey([0; 32])).await.unwrap();
        assert_eq!(log.key(), CoreKey([0; 32]));
        assert!(!log.is_writable());
        assert!(matches!(
            log.append("x").await,
            Err(AppendError::NotWritable)
        ));
    });
}

#[test]
fn an_unknown_discovery_key_does_not_keep_a_log_from_being_opened() {
    block_on(async {
        let store = in_memory().await;
        let unknown = DiscoveryKey([0; 32]);
        let refused = store.get(unknown).await;
        assert!(
            matches!(refused, Err(OpenError::Unknown { discovery_key }) if discovery_key == unknown)
        );
        let manifest = Manifest::single(KeyPair::from_seed(&[4; 32]).public_key());
        let log = manifest.key().discovery_key();
        assert!(store.get(log).await.is_err());
        let opened = store.get(manifest).await.unwrap();
        assert_eq!(opened.discovery_key(), log);
        assert_eq!(store.get(log).await.unwrap().key(), opened.key());
        assert!(store.auth(&unknown).unwrap().is_none());
    });
}

#[test]
fn a_log_opened_by_key_becomes_writable_with_its_key_pair() {
    block_on(async {
        let store = in_memory().await;
        let pair = KeyPair::from_seed(&[5; 32]);
        let manifest = Manifest::single(pair.public_key());
        let reader = store.get(manifest.key()).await.unwrap();
        assert_eq!(reader.manifest(), None);
        let writer = store
            .get(manifest.key())
            .manifest(manifest.clone())
            .key_pair(pair.clone())
            .await
            .unwrap();
        assert_eq!(writer.manifest(), Some(manifest.clone()));
        assert_eq!(reader.manifest(), Some(manifest), "they share their state");
        writer.append("written").await.unwrap();
        let stranger = KeyPair::from_seed(&[6; 32]);
        assert!(matches!(
            store.get(reader.key()).key_pair(stranger).await,
            Err(OpenError::NotASigner { .. })
        ));
        let direct = KeyPair::from_seed(&[7; 32]);
        let key = Manifest::single(direct.public_key()).key();
        let opened = store.get(key).key_pair(direct).await.unwrap();
        assert!(opened.manifest().is_some() && opened.is_writable());
    });
}

#[test]
fn a_manifest_that_comes_later_is_kept() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::single(PublicKey([9; 32]));
        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        let by_key = store.get(manifest.key()).await.unwrap();
        assert_eq!(by_key.manifest(), None);
        let by_manifest = store.get(manifest.clone()).await.unwrap();
        assert!(by_key.manifest().is_some() && by_manifest.manifest().is_some());
        store.close().await.unwrap();

        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        let by_key = store.get(manifest.key()).await.unwrap();
        assert_eq!(by_key.manifest(), Some(manifest));
        store.close().await.unwrap();
    });
}

#[test]
fn all_logs_are_listed_and_those_of_a_namespace() {
    block_on(async {
        let store = in_memory().await;
        let place = store.namespace("test");
        let (mut all, mut inside) = (BTreeSet::new(), BTreeSet::new());
        for at in 0..10 {
            let session = if at < 5 { &store } else { &place };
            let log = session.get(format!("core{at}")).await.unwrap();
            all.insert(log.discovery_key());
            if at >= 5 {
                inside.insert(log.discovery_key());
            }
        }
        let unnamed = store.get(KeyPair::from_seed(&[1; 32])).await.unwrap();
        all.insert(unnamed.discovery_key());
        let listed = store.list().unwrap();
        let keys: BTreeSet<_> = listed.iter().map(|core| core.discovery_key).collect();
        assert_eq!(keys, all);
        let nameless = listed.iter().filter(|core| core.name.is_none());
        assert_eq!(nameless.count(), 1);
        let named = place.list_names().unwrap();
        let keys: BTreeSet<_> = named.iter().map(|core| core.discovery_key).collect();
        assert_eq!(keys, inside);
        assert_eq!(named[0].name.as_deref(), Some("core5"));
    });
}

#[test]
fn a_store_is_read_beside_its_writer() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        let log = store.get("test").await.unwrap();
        let other = store.get("other").await.unwrap();
        log.append("one").await.unwrap();

        let beside = Corestore::open(Storage::read_only(dir.path()))
            .await
            .unwrap();
        assert!(!store.is_read_only() && beside.is_read_only());
        beside.suspend().await.unwrap();
        beside.resume();
        assert!(beside.is_read_only());
        let read = beside.get("test").await.unwrap();
        let both = beside.get("other").await.unwrap();
        assert_eq!(read.get(0).await.unwrap(), "one");
        assert!(!read.is_writable());
        assert!(matches!(
            beside.get("new").await,
            Err(OpenError::Missing { .. })
        ));

        log.append("two").await.unwrap();
        other.append("three").await.unwrap();
        assert!(beside.refresh().await.unwrap());
        assert!(!beside.refresh().await.unwrap());
        assert_eq!((read.length().get(), both.length().get()), (2, 1));
        beside.close().await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn what_a_log_took_in_of_others_is_news_of_the_store() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        store.get("one").await.unwrap();
        let beside = Corestore::open(Storage::read_only(dir.path()))
            .await
            .unwrap();
        let one = beside.get("one").await.unwrap();
        store.get("two").await.unwrap();
        assert!(!one.refresh().await.unwrap(), "nothing of its own");
        assert!(beside.refresh().await.unwrap());
        assert_eq!(beside.list().unwrap().len(), 2);
        assert!(!beside.refresh().await.unwrap());
        beside.close().await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn what_is_missing_is_not_made_unless_wanted() {
    block_on(async {
        let store = in_memory().await;
        let refused = store.get("none").if_missing(IfMissing::Fail).await;
        assert!(matches!(refused, Err(OpenError::Missing { .. })));
        assert!(store.list().unwrap().is_empty());
        let twice = store
            .get("none")
            .key_pair(KeyPair::from_seed(&[1; 32]))
            .await;
        assert!(matches!(twice, Err(OpenError::Contradiction { .. })));
        assert!(store.open_cores().is_empty());
    });
}

#[test]
fn each_log_has_its_own_encryption_or_the_store_s() {
    block_on(async {
        let key = || EncryptionKey::from_bytes([3; 32]);
        let store = Corestore::builder(Storage::memory())
            .encryption_key(key())
            .open()
            .await
            .unwrap();
        let log = store.get("secret").await.unwrap();
        log.append("plain").await.unwrap();
        assert_eq!(log.get(0).await.unwrap(), "plain");
        assert_ne!(log.get(0).raw().await.unwrap(), "plain");
        let own = store
            .get("own")
            .encryption_key(EncryptionKey::from_bytes([4; 32]))
            .await
            .unwrap();
        own.append("plain").await.unwrap();
        assert!(store.auth(&own.discovery_key()).unwrap().unwrap().encrypted);
        let raw = log.get(0).raw().await.unwrap();
        assert_ne!(raw, own.get(0).raw().await.unwrap());

        let open = in_memory().await;
        let plain = open.get("log").await.unwrap();
        plain.append("readable").await.unwrap();
        assert!(matches!(
            open.get("log").encryption_key(key()).await,
            Err(OpenError::NotEncrypted { .. })
        ));
        let empty = open.get("empty").await.unwrap();
        let encrypting = open.get("empty").encryption_key(key()).await.unwrap();
        encrypting.append("hidden").await.unwrap();
        assert!(matches!(
            empty.append("x").await,
            Err(AppendError::EncryptionKeyMissing)
        ));
    });
}

#[test]
fn an_audit_verifies_every_log_and_opens_none_for_long() {
    block_on(async {
        let store = in_memory().await;
        let logs = [
            store.get(KeyPair::from_seed(&[1; 32])).await.unwrap(),
            store.get(KeyPair::from_seed(&[2; 32])).await.unwrap(),
            store.get("test").await.unwrap(),
            store.get("another").await.unwrap(),
        ];
        for (log, count) in logs.iter().zip([20, 40, 80, 100]) {
            let blocks = (0..count).map(|at: u32| at.to_string());
            log.append_batch(blocks).await.unwrap();
        }
        logs[0].close().await.unwrap();
        logs[3].close().await.unwrap();
        let mut audit = store.audit().unwrap();
        let mut blocks = Vec::new();
        while let Some(audited) = audit.next().await {
            let found = audited.outcome.unwrap();
            assert!(found.is_ok());
            blocks.push(found.blocks);
        }
        blocks.sort_unstable();
        assert_eq!(blocks, [20, 40, 80, 100]);
        assert_eq!(store.open_cores().len(), 2);
    });
}

#[test]
fn an_audit_drops_what_does_not_hold_unless_it_is_a_dry_run() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = || Corestore::open(Storage::disk(dir.path()));
        let store = open().await.unwrap();
        for name in ["whole", "harmed", "last"] {
            let log = store.get(name).await.unwrap();
            let text = |at: u32| format!("block {at} of the log {name} ").repeat(10);
            log.append_batch((0..9).map(text)).await.unwrap();
        }
        let harmed = store.get("harmed").await.unwrap().key();
        store.close().await.unwrap();
        damage(dir.path(), &"block 4 of the log harmed ".repeat(10));

        let store = open().await.unwrap();
        for drops in [false, true, true] {
            let was_bad = store.get(harmed).await.unwrap().has(4..5);
            let mut audit = if drops {
                store.audit().unwrap()
            } else {
                store.audit_dry_run().unwrap()
            };
            let mut logs = 0;
            while let Some(audited) = audit.next().await {
                let found = audited.outcome.unwrap();
                let is_bad = audited.log.key == harmed && was_bad;
                assert_eq!(found.bad.len(), usize::from(is_bad));
                logs += 1;
            }
            assert_eq!(logs, 3);
            let log = store.get(harmed).await.unwrap();
            assert_eq!(log.has(4..5), !drops, "it can be fetched again");
            drop(log);
            assert!(store.open_cores().is_empty());
        }
        store.close().await.unwrap();
        let beside = Corestore::open(Storage::read_only(dir.path()))
            .await
            .unwrap();
        let mut audit = beside.audit_dry_run().unwrap();
        while let Some(audited) = audit.next().await {
            assert!(audited.outcome.unwrap().is_ok());
        }
    });
}

/// Its key is that which corestore 7.12.5 gives the static copy of a log with these blocks.
#[test]
fn a_static_log_is_what_a_log_held_and_has_the_key_of_the_reference() {
    block_on(async {
        let (store, other) = (in_memory().await, in_memory().await);
        let log = store.get("a").await.unwrap();
        let empty = store.make_static(&log).await.unwrap_err();
        assert!(matches!(empty, StaticError::Empty), "{empty}");
        log.append_batch(["a", "b", "c"]).await.unwrap();
        let fixed = store.make_static(&log).await.unwrap();
        assert_eq!(
            hex::encode(fixed.key().as_bytes()),
            "c42f1ac17b5532b27cd3b40ad44f983bf8061533daac009482a75145190d4092"
        );
        log.append("d").await.unwrap();
        log.clear(0..4).await.unwrap();
        assert_eq!((fixed.length().get(), fixed.is_writable()), (3, false));
        for (index, block) in (0..).zip(["a", "b", "c"]) {
            assert_eq!(fixed.get(index).local().await.unwrap(), block);
        }
        assert!(matches!(
            fixed.append("d").await,
            Err(AppendError::NotWritable)
        ));

        // The same blocks of somebody else are the same log, wherever they come from.
        let theirs = other.get("b").await.unwrap();
        theirs.append_batch(["a", "b", "c"]).await.unwrap();
        let again = other.make_static(&theirs).await.unwrap();
        assert_eq!(again.key(), fixed.key());
        again.clear(0..3).await.unwrap();
        let _connections = super::connect(&store, &other);
        assert_eq!(soon(again.get(2)).await.unwrap(), "c");
        let reader = in_memory().await;
        let _connections = super::connect(&store, &reader);
        let copy = reader.get(fixed.manifest().unwrap()).await.unwrap();
        assert_eq!(super::first(&copy).await, "a");
        assert_eq!(copy.length().get(), 3);
    });
}

#[test]
fn a_static_log_has_plain_blocks_whatever_the_store_s_encryption_is() {
    block_on(async {
        let encrypted = Corestore::builder(Storage::memory())
            .encryption_key(EncryptionKey::from_bytes([7; 32]))
            .open()
            .await
            .unwrap();
        let secret = encrypted.get("secret").await.unwrap();
        secret.append("a").await.unwrap();
        let refused = encrypted.make_static(&secret).await.unwrap_err();
        assert!(matches!(refused, StaticError::Encrypted), "{refused}");
        let plain = in_memory().await.get("plain").await.unwrap();
        plain.append("a").await.unwrap();
        let fixed = encrypted.make_static(&plain).await.unwrap();
        assert_eq!(fixed.get(0).await.unwrap(), "a");
        assert!(!fixed.info().encrypted);
    });
}

#[test]
fn exclusive_handles_of_a_log_come_one_after_the_other() {
    block_on(async {
        let store = in_memory().await;
        let first = store.get("log").exclusive().await.unwrap();
        let mut second = Box::pin(async { store.get("log").exclusive().await });
        assert!(poll_once(&mut second).await.is_none());
        store.get("log").await.unwrap().append("a").await.unwrap();
        assert!(poll_once(&mut second).await.is_none());
        first.append("b").await.unwrap();
        first.close().await.unwrap();
        let second = soon(second).await.unwrap();
        assert_eq!(second.append("c").await.unwrap().length.get(), 3);
        let mut third = Box::pin(async { store.get("log").exclusive().await });
        assert!(poll_once(&mut third).await.is_none());
        store.close().await.unwrap();
        assert!(matches!(soon(third).await, Err(OpenError::Closed)));
    });
}

#[test]
fn whoever_watches_hears_of_opening_and_closing() {
    block_on(async {
        let store = in_memory().await;
        let mut events = store.events();
        let log = store.get("hello").await.unwrap();
        let mut inside = log.events();
        let key = log.key();
        log.close().await.unwrap();
        let is = |event: Option<StoreEvent>, opened: bool| match event {
            Some(StoreEvent::Opened(core)) => opened && core.key == key,
            Some(StoreEvent::Closed(core)) => !opened && core.key == key,
            _ => false,
        };
        assert!(is(events.try_next(), true));
        assert!(is(events.try_next(), false));
        assert_eq!(inside.next().await, Some(hypercore::Event::Close));
        store.get("dropped").await.unwrap();
        assert!(matches!(events.try_next(), Some(StoreEvent::Opened(_))));
        assert!(matches!(events.try_next(), Some(StoreEvent::Closed(_))));
        store.close().await.unwrap();
        assert_eq!(events.next().await, Some(StoreEvent::Close));
        assert_eq!(events.next().await, None);
    });
}

#[test]
fn a_log_outlives_damage_to_the_index_with_its_name() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Corestore::open(Storage::disk(dir.path())).await.unwrap();
        let place = store.namespace("app");
        let key = place.get("posts").await.unwrap().key();
        place
            .get("posts")
            .await
            .unwrap()
            .append("kept")
            .await
            .unwrap();
        store.close().await.unwrap();
        drop((store, place));
        std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        let storage = Storage::directory(dir.path(), StoreOptions::default());
        let store = Corestore::open(storage).await.unwrap();
        let log = store.namespace("app").get("posts").await.unwrap();
        assert_eq!((log.key(), log.is_writable()), (key, true));
        assert_eq!(log.get(0).await.unwrap(), "kept");
        store.close().await.unwrap();
    });
}
