//! Stores of the reference, taken over and opened under the names that they had.

use std::path::Path;

use async_std::task::block_on;
use hypercore::transfer::{CopyOptions, Legacy};
use hypercore::{Corestore, IfMissing, Storage};

fn fixture(name: &str) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hc-transfer/tests/fixtures");
    path.join(name)
}

#[test]
fn a_corestore_goes_on_under_its_names() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let legacy = Legacy::open(fixture("v11/busy")).unwrap();
        let store = Storage::disk(dir.path()).open_store().unwrap();
        assert!(legacy.migrate_primary_key(&*store).unwrap());
        for number in 0..legacy.len() {
            let options = CopyOptions::default();
            let found = legacy.migrate(number, &*store, None, &options, &mut |_| {});
            assert!(found.unwrap().is_some());
        }
        store.close().unwrap();

        let store = Corestore::open(Storage::existing(dir.path()))
            .await
            .unwrap();
        assert_eq!(store.list_names().unwrap().len(), 4);
        let log = store
            .get("busy-2")
            .if_missing(IfMissing::Fail)
            .await
            .unwrap();
        assert_eq!((log.length().get(), log.fork().get()), (8, 2));
        log.append("from here on").await.unwrap();
        // The names of logs to come lead to the keys that the reference would have made.
        let next = store.get("busy-4").await.unwrap();
        let primary = hypercore::PrimaryKey::from_bytes([9; 32]);
        let pair = primary.key_pair(&hypercore::NamePath::ROOT, "busy-4");
        let signers = next.manifest().unwrap().signers;
        assert_eq!(signers[0].public_key, pair.public_key());
        store.close().await.unwrap();
    });
}
