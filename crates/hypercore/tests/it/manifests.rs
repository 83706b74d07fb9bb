//! What names a log: manifests that are given, learned, stored and refused; prologues; logs that go on
//! under another key.

use std::sync::Arc;

use async_std::task::block_on;
use hc_storage::{MemoryStore, Store};
use hypercore::encryption::{DefaultEncryption, EncryptionKey};
use hypercore::manifest::{ManifestError, ManifestVersion, Prologue, Signer};
use hypercore::{
    AppendError, Builder, CopyPrologueError, CoreKey, GetError, Hypercore, KeyPair, Length,
    Manifest, OpenError, SetManifestError, Storage,
};

use crate::peers::{asked, connect, disconnect, reader, soon, writer};

fn pair() -> KeyPair {
    KeyPair::from_seed(&[5; 32])
}

fn on(store: &Arc<MemoryStore>) -> Builder {
    let store: Arc<dyn Store> = store.clone();
    Hypercore::builder(Storage::open(store))
}

fn wrong() -> Manifest {
    Manifest::single(KeyPair::from_seed(&[6; 32]).public_key())
}

async fn on_memory(manifest: &Manifest) -> Hypercore {
    let builder = Hypercore::builder(Storage::memory());
    builder.manifest(manifest.clone()).open().await.unwrap()
}

#[test]
fn a_manifest_given_later_is_stored_and_a_wrong_one_is_refused() {
    block_on(async {
        let manifest = Manifest::single(pair().public_key());
        let key = manifest.key();
        let store = Arc::new(MemoryStore::new());
        let log = on(&store).key(key).open().await.unwrap();
        assert_eq!((log.manifest(), log.manifest_bytes()), (None, None));
        log.close().await.unwrap();

        let refused = on(&store).key(key).manifest(wrong()).open().await;
        assert!(matches!(
            refused,
            Err(OpenError::Manifest(ManifestError::OtherKey))
        ));
        let log = on(&store).key(key).open().await.unwrap();
        assert_eq!(log.manifest(), None, "it was not stored");
        log.close().await.unwrap();

        let log = on(&store)
            .key(key)
            .manifest(manifest.clone())
            .open()
            .await
            .unwrap();
        assert_eq!(log.manifest(), Some(manifest.clone()));
        log.close().await.unwrap();
        let log = on(&store).key(key).open().await.unwrap();
        assert_eq!(log.manifest(), Some(manifest));
    });
}

#[test]
fn compat_that_was_asked_for_wrongly_is_put_right_by_the_manifest() {
    block_on(async {
        let from = writer().await;
        from.append("a").await.unwrap();
        let store = Arc::new(MemoryStore::new());
        let log = on(&store).key(from.key()).compat().open().await.unwrap();
        assert_eq!(log.manifest(), None);
        let connection = connect(&from, &log);
        assert_eq!(soon(log.get(0)).await.unwrap(), "a");
        assert_eq!(log.manifest(), from.manifest());
        disconnect(connection).await;
        log.close().await.unwrap();
        let log = on(&store).key(from.key()).open().await.unwrap();
        assert_eq!(log.manifest(), from.manifest());
    });
}

#[test]
fn a_reader_in_compat_mode_knows_that_again() {
    block_on(async {
        let key = EncryptionKey::from_bytes([3; 32]);
        let from = Hypercore::builder(Storage::memory())
            .key_pair(pair())
            .compat();
        let from = from.encryption_key(key.clone()).open().await.unwrap();
        from.append("secret").await.unwrap();
        let store = Arc::new(MemoryStore::new());
        let to = on(&store).key(from.key()).encryption_key(key.clone());
        let to = to.open().await.unwrap();
        let connection = connect(&from, &to);
        assert_eq!(soon(to.get(0)).await.unwrap(), "secret");
        disconnect(connection).await;
        to.close().await.unwrap();
        // How it is encrypted depends on the mode, and nobody is there to ask.
        let to = on(&store)
            .key(from.key())
            .encryption_key(key)
            .open()
            .await
            .unwrap();
        assert!(to.authority().verifier().unwrap().is_compat());
        assert_eq!(to.get(0).local().await.unwrap(), "secret");
    });
}

#[test]
fn a_handle_is_told_who_may_sign() {
    block_on(async {
        let manifest = Manifest::single(pair().public_key()).with_user_data(b"of mine");
        let bytes = hc_encoding::encode_to_vec(&manifest);
        let store = Arc::new(MemoryStore::new());
        let log = on(&store).key(manifest.key()).open().await.unwrap();
        let session = log.clone();
        let mut events = log.events();

        let refused = session.set_manifest(wrong()).await;
        let other = ManifestError::OtherKey;
        assert!(matches!(refused, Err(SetManifestError::Manifest(error)) if error == other));
        assert_eq!((log.manifest(), events.try_next()), (None, None));

        let read = Manifest::from_bytes(&bytes).unwrap();
        assert!(session.set_manifest(read).await.unwrap());
        assert_eq!(log.manifest(), Some(manifest.clone()));
        assert_eq!(log.manifest_bytes(), Some(bytes));
        assert_eq!(events.try_next(), Some(hypercore::Event::Manifest));
        assert!(
            !log.set_manifest(manifest.clone()).await.unwrap(),
            "it is known"
        );
        assert_eq!(events.try_next(), None);
        log.close_all().await.unwrap();
        assert_eq!(
            on(&store)
                .key(manifest.key())
                .open()
                .await
                .unwrap()
                .manifest(),
            Some(manifest)
        );
    });
}

#[test]
fn manifests_are_read_from_bytes_and_checked() {
    let manifest = Manifest::single(pair().public_key());
    let bytes = hc_encoding::encode_to_vec(&manifest);
    let read = Manifest::from_bytes(&bytes).unwrap();
    assert_eq!(read, manifest);
    assert_eq!(read.key(), manifest.key());
    assert_eq!(read.check_key(&manifest.key()), Ok(()));
    assert_eq!(read.check_key(&wrong().key()), Err(ManifestError::OtherKey));
    // In compat mode the key is the public key.
    assert_eq!(
        read.check_key(&CoreKey(*pair().public_key().as_bytes())),
        Ok(())
    );

    let quorum = hc_encoding::encode_to_vec(&manifest.clone().with_quorum(2));
    let too_many = ManifestError::Quorum {
        quorum: 2,
        signers: 1,
    };
    assert_eq!(Manifest::from_bytes(&quorum), Err(too_many));
    let cut = Manifest::from_bytes(&bytes[..bytes.len() - 1]);
    assert!(matches!(cut, Err(ManifestError::Malformed(_))));
    let longer = Manifest::from_bytes(&[&bytes[..], &[0]].concat());
    assert!(matches!(longer, Err(ManifestError::Malformed(_))));
}

#[test]
fn who_may_sign_is_passed_on_before_there_is_a_block() {
    block_on(async {
        let from = writer().await;
        let (relay, to) = (reader(&from).await, reader(&from).await);
        let mut events = to.events();
        let _far = connect(&relay, &to);
        let _near = connect(&from, &relay);
        while soon(events.next()).await != Some(hypercore::Event::Manifest) {}
        assert_eq!(relay.manifest(), from.manifest());
        assert_eq!(to.manifest(), from.manifest());
        assert_eq!(to.length(), Length::ZERO);
    });
}

/// A log of five blocks, and one that begins with them and that `pair` signs.
async fn with_prologue(blocks: u64) -> (Hypercore, Manifest) {
    let log = writer().await;
    log.append_batch((0..blocks).map(|n| n.to_string()))
        .await
        .unwrap();
    let fixed = fixed(&log);
    let signers = [Signer::new(pair().public_key())];
    (log, Manifest::new(signers).with_prologue(fixed))
}

fn fixed(log: &Hypercore) -> Prologue {
    let head = log.head();
    Prologue {
        hash: head.tree_hash(),
        length: head.length(),
    }
}

#[test]
fn the_beginning_that_is_fixed_is_appended_as_a_whole_or_not_at_all() {
    block_on(async {
        let (_, manifest) = with_prologue(3).await;
        let builder = Hypercore::builder(Storage::memory()).manifest(manifest);
        let log = builder.key_pair(pair()).open().await.unwrap();
        let refused = log.append_batch(["0", "1"]).await;
        assert!(
            matches!(refused, Err(AppendError::BelowPrologue { .. })),
            "{refused:?}"
        );
        let refused = log.append_batch(["0", "1", "x"]).await;
        assert!(
            matches!(refused, Err(AppendError::OtherPrologue)),
            "{refused:?}"
        );
        let refused = log.append_batch(["0", "x", "2", "3"]).await;
        assert!(
            matches!(refused, Err(AppendError::OtherPrologue)),
            "{refused:?}"
        );
        assert_eq!(log.length(), Length::ZERO);

        log.append_batch(["0", "1", "2"]).await.unwrap();
        assert_eq!(log.head().signature(), None, "the manifest vouches for it");
        log.append("3").await.unwrap();
        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        soon(to.download(..4)).await.unwrap();
        assert_eq!(to.head(), log.head());
    });
}

#[test]
fn a_batch_may_go_past_the_beginning_that_is_fixed() {
    block_on(async {
        let (_, manifest) = with_prologue(3).await;
        let builder = Hypercore::builder(Storage::memory()).manifest(manifest);
        let log = builder.key_pair(pair()).open().await.unwrap();
        log.append_batch(["0", "1", "2", "3", "4"]).await.unwrap();
        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        assert_eq!(soon(to.get(4)).await.unwrap(), "4");
        assert_eq!(to.head(), log.head());
    });
}

#[test]
fn a_log_that_nobody_signs_is_its_prologue() {
    block_on(async {
        let (source, _) = with_prologue(5).await;
        let manifest = Manifest::new([]).with_prologue(fixed(&source));
        let log = on_memory(&manifest).await;
        assert!(!log.is_writable());
        let refused = log.append("0").await;
        assert!(
            matches!(refused, Err(AppendError::BelowPrologue { .. })),
            "{refused:?}"
        );
        // Whoever has the very blocks may put them there, and nobody anything else.
        log.append_batch((0..5).map(|n| n.to_string()))
            .await
            .unwrap();
        let refused = log.append("5").await;
        assert!(
            matches!(refused, Err(AppendError::NotWritable)),
            "{refused:?}"
        );
        let refused = log.append("5").signer(pair()).await;
        assert!(matches!(refused, Err(AppendError::Sign(_))), "{refused:?}");
        assert!(log.verify(|_| {}).unwrap().is_ok());

        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        soon(to.download(..5)).await.unwrap();
        assert_eq!(to.manifest(), Some(manifest));
        assert_eq!(
            (to.length(), to.head().signature().cloned()),
            (Length::new(5), None)
        );
    });
}

#[test]
fn one_block_of_a_prologue_brings_the_tree_of_all() {
    block_on(async {
        let (source, manifest) = with_prologue(5).await;
        let log = on_memory(&manifest).await;
        log.copy_prologue(&source).await.unwrap();
        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        assert_eq!(soon(to.get(1)).await.unwrap(), "1");
        assert_eq!(to.length(), Length::new(5), "not less than what is fixed");
        assert!(to.verify(|_| {}).unwrap().is_ok());
        // And what was brought this way is proven to the next without a signature.
        let next = reader(&log).await;
        let _far = connect(&to, &next);
        assert_eq!(soon(next.get(1)).await.unwrap(), "1");
        assert_eq!(next.head(), log.head());
    });
}

#[test]
fn a_prologue_is_copied_and_the_copy_goes_its_own_way() {
    block_on(async {
        let (source, manifest) = with_prologue(5).await;
        let builder = Hypercore::builder(Storage::memory()).manifest(manifest);
        let log = builder.key_pair(pair()).open().await.unwrap();
        let mut events = log.events();
        assert_eq!(log.copy_prologue(&source).await.unwrap(), 5);
        let length = Length::new(5);
        assert_eq!(events.try_next(), Some(hypercore::Event::Append { length }));
        assert_eq!((log.length(), log.contiguous_length()), (length, length));
        assert_eq!(log.head().roots(), source.head().roots());
        assert_eq!(
            log.copy_prologue(&source).await.unwrap(),
            0,
            "nothing is left to copy"
        );

        log.append("mine").await.unwrap();
        source.append("theirs").await.unwrap();
        assert_eq!(log.get(5).await.unwrap(), "mine");
        assert_eq!(source.get(5).await.unwrap(), "theirs");
        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        soon(to.download(..6)).await.unwrap();
        assert_eq!(to.head(), log.head());
    });
}

#[test]
fn a_prologue_may_be_a_part_of_the_source_and_copied_in_parts() {
    block_on(async {
        let (source, manifest) = with_prologue(300).await;
        source.append_batch(["300", "301"]).await.unwrap();
        // A copy that lacks most, from the source; and one from a copy.
        let sparse = reader(&source).await;
        let connection = connect(&source, &sparse);
        soon(sparse.download(..20)).await.unwrap();
        soon(sparse.get(299)).await.unwrap();
        disconnect(connection).await;
        let log = on_memory(&manifest).await;
        let plan = log.copy_prologue(&sparse).await;
        assert!(matches!(plan, Ok(21)), "{plan:?}");
        assert_eq!(
            (log.length(), log.contiguous_length()),
            (300.into(), 20.into())
        );
        assert_eq!(log.copy_prologue(&source).await.unwrap(), 279);
        assert!(log.has(..));
        assert!(log.verify(|_| {}).unwrap().is_ok());

        let next = on_memory(&manifest).await;
        assert_eq!(next.copy_prologue(&log).await.unwrap(), 300);
        assert_eq!(next.head(), log.head());
        assert_eq!(next.get(255).local().await.unwrap(), "255");
        let gone = next.get(300).local().await;
        assert!(matches!(gone, Err(GetError::NotLocal { .. })), "{gone:?}");
    });
}

#[test]
fn another_log_is_not_copied() {
    block_on(async {
        let (source, manifest) = with_prologue(3).await;
        let log = on_memory(&manifest).await;
        let other = writer().await;
        let refused = log.copy_prologue(&other).await;
        assert!(
            matches!(refused, Err(CopyPrologueError::Shorter { .. })),
            "{refused:?}"
        );
        other.append_batch(["0", "1", "x", "3"]).await.unwrap();
        let refused = log.copy_prologue(&other).await;
        assert!(
            matches!(refused, Err(CopyPrologueError::OtherPrologue)),
            "{refused:?}"
        );
        assert_eq!(log.length(), Length::ZERO);
        let refused = source.copy_prologue(&log).await;
        assert!(
            matches!(refused, Err(CopyPrologueError::NoPrologue)),
            "{refused:?}"
        );
    });
}

#[test]
fn an_encrypted_log_of_compat_mode_goes_on_under_a_manifest() {
    block_on(async {
        let key = EncryptionKey::from_bytes([4; 32]);
        let old = Hypercore::builder(Storage::memory())
            .key_pair(pair())
            .compat();
        let old = old.encryption_key(key.clone()).open().await.unwrap();
        old.append_batch(["a", "b"]).await.unwrap();
        // A manifest that names the same key and no more is no other log.
        let same = Manifest::single(pair().public_key());
        assert!(same.is_compat(&old.key()) && !old.set_manifest(same).await.unwrap());

        let manifest = old.successor().unwrap();
        assert_eq!(manifest.version, ManifestVersion::V2);
        let verifier = old.authority().verifier().cloned().unwrap();
        let block_key = DefaultEncryption::for_log(&key, &verifier)
            .block_key()
            .clone();
        let builder = Hypercore::builder(Storage::memory()).manifest(manifest.clone());
        let new = builder
            .key_pair(pair())
            .block_key(block_key)
            .open()
            .await
            .unwrap();
        assert_ne!(new.key(), old.key());
        new.copy_prologue(&old).await.unwrap();
        new.append("c").await.unwrap();
        for (index, plain) in ["a", "b", "c"].iter().enumerate() {
            assert_eq!(new.get(index as u64).await.unwrap(), *plain);
        }
        assert_eq!(new.manifest().unwrap().linked, Some(vec![old.key()]));
    });
}

#[test]
fn who_waits_for_a_prologue_gets_it_once_it_is_copied() {
    block_on(async {
        let (source, manifest) = with_prologue(3).await;
        let log = on_memory(&manifest).await;
        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        let waiting = asked(to.get(2)).await;
        log.copy_prologue(&source).await.unwrap();
        assert_eq!(soon(waiting).await.unwrap(), "2");
    });
}

#[test]
fn a_branch_does_not_begin_below_what_is_fixed() {
    block_on(async {
        let (source, manifest) = with_prologue(3).await;
        let log = on_memory(&manifest).await;
        log.copy_prologue(&source).await.unwrap();
        let below = log.branch("draft").at(2).await;
        let refused = matches!(below, Err(hypercore::BranchError::BelowPrologue { .. }));
        assert!(refused, "{below:?}");
        assert_eq!(
            log.branch("draft").at(3).await.unwrap().length(),
            log.length()
        );
    });
}
