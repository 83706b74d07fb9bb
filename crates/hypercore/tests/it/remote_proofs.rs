//! Proofs that stand alone, ours and the reference's.

use std::sync::Arc;

use async_std::task::block_on;
use hc_storage::{Batch, Durability, MemoryStore, Store};
use hypercore::{
    Authority, Hypercore, KeyPair, Manifest, ProveError, RemoteProof, RemoteProofError, Storage,
};

use crate::peers::{reader, writer};

fn bytes_of(log: &Hypercore) -> Vec<u8> {
    log.prove().make().unwrap().to_bytes()
}

#[test]
fn a_proof_shows_length_and_block_to_who_knows_the_key() {
    block_on(async {
        let log = writer().await;
        assert!(matches!(log.prove().make(), Err(ProveError::Empty)));
        log.append_batch((0..10).map(|n| n.to_string()))
            .await
            .unwrap();
        let authority = Authority::from(log.key());
        for (proof, block) in [
            (log.prove(), None),
            (log.prove().block(4), Some("4")),
            (log.prove().block(4).length(5), Some("4")),
        ] {
            let bytes = proof.make().unwrap().to_bytes();
            let proven = RemoteProof::from_bytes(&bytes).unwrap();
            let proven = proven.verify(&authority).unwrap();
            assert_eq!(proven.head, log.head());
            assert_eq!(proven.block.map(|(_, block)| block), block.map(Into::into));
        }
        let part = log.prove().length(5).make().unwrap();
        assert!(
            part.to_bytes() != bytes_of(&log),
            "the upgrade asked for is in it"
        );
        assert!(log.prove().block(10).make().is_err());
        assert!(log.prove().length(11).make().is_err());

        let other = writer().await;
        let proof = RemoteProof::from_bytes(&bytes_of(&log)).unwrap();
        let refused = proof.verify(&other.key().into());
        assert!(matches!(refused, Err(RemoteProofError::OtherLog)));
    });
}

#[test]
fn no_flipped_bit_shows_anything_else() {
    block_on(async {
        let log = writer().await;
        log.append_batch((0..5).map(|n| n.to_string()))
            .await
            .unwrap();
        let authority = Authority::from(log.key());
        let good = log.prove().block(3).make().unwrap();
        let proven = good.verify(&authority).unwrap();
        let bytes = good.to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(proof) = RemoteProof::from_bytes(&flipped) else {
                continue;
            };
            if let Ok(other) = proof.verify(&authority) {
                // The number of the request, and the patch of a signature that allows none, say nothing.
                assert_eq!(
                    other.head.signed_tree(),
                    proven.head.signed_tree(),
                    "bit {bit}"
                );
                assert_eq!(other.block, proven.block, "bit {bit}");
            }
        }
        for end in 0..bytes.len() {
            assert!(RemoteProof::from_bytes(&bytes[..end]).is_err());
        }
    });
}

#[test]
fn a_store_verifies_what_it_knows() {
    block_on(async {
        let pair = KeyPair::from_seed(&[1; 32]);
        let log = Hypercore::builder(Storage::memory())
            .key_pair(pair)
            .open()
            .await
            .unwrap();
        log.append_batch(["a", "b"]).await.unwrap();
        let proof = RemoteProof::from_bytes(&bytes_of(&log)).unwrap();

        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        assert_eq!(
            proof.verify_in(&*store, None).unwrap(),
            None,
            "it has no such log"
        );
        let manifest = log.manifest().unwrap();
        let copy = Hypercore::builder(Storage::open(store.clone())).manifest(manifest);
        let copy = copy.open().await.unwrap();
        let proven = proof.verify_in(&*store, None).unwrap().unwrap();
        assert!(proven.newer && proven.key == log.key());
        assert_eq!(copy.length().get(), 0, "nothing is stored by that");

        assert_eq!(proof.verify_in(&*store, Some(b"friend")).unwrap(), None);
        let found = store.open_core(&log.discovery_key()).unwrap().unwrap();
        let mut batch = Batch::new();
        batch.set_user_data("referrer", Some("friend".into()));
        found.commit(batch, Durability::Os).unwrap().wait().unwrap();
        assert!(proof.verify_in(&*store, Some(b"friend")).unwrap().is_some());
        assert_eq!(proof.verify_in(&*store, Some(b"stranger")).unwrap(), None);

        let same = Arc::new(MemoryStore::new());
        let whole = Hypercore::builder(Storage::open(same.clone()));
        let whole = whole
            .key_pair(KeyPair::from_seed(&[1; 32]))
            .open()
            .await
            .unwrap();
        whole.append_batch(["a", "b"]).await.unwrap();
        assert!(!proof.verify_in(&*same, None).unwrap().unwrap().newer);
    });
}

#[test]
fn logs_of_all_kinds_are_proven() {
    block_on(async {
        let pair = KeyPair::from_seed(&[2; 32]);
        let compat = Hypercore::builder(Storage::memory())
            .key_pair(pair.clone())
            .compat();
        let v0 = Manifest::single(pair.public_key());
        let v0 = v0.with_version(hypercore::manifest::ManifestVersion::V0);
        let v0 = Hypercore::builder(Storage::memory())
            .manifest(v0)
            .key_pair(pair);
        for log in [compat.open().await.unwrap(), v0.open().await.unwrap()] {
            log.append_batch(["a", "b", "c"]).await.unwrap();
            let proof = RemoteProof::from_bytes(&bytes_of(&log)).unwrap();
            assert_eq!(proof.verify(&log.key().into()).unwrap().head, log.head());
        }
        let fresh = reader(&writer().await).await;
        assert!(fresh.prove().make().is_err());
    });
}
