//! Logs that several sign together, and signers outside the process.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_std::task::{self, block_on};
use event_listener::Event as Bell;
use futures_lite::future::poll_once;
use hc_storage::MemoryStore;
use hypercore::manifest::{Manifest, ManifestVersion, Signer};
use hypercore::multisig::{Part, signable_length};
use hypercore::{
    AppendError, Appended, CoreKey, Event, ExternalSigner, Hypercore, KeyPair, Length, OpenError,
    PublicKey, Signing, Storage, Verifier,
};

use crate::peers::{connect, reader, soon, writer};

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

/// Two of three have to sign.
fn manifest() -> Manifest {
    Manifest::new([1, 2, 3].map(|seed| Signer::new(pair(seed).public_key())))
}

async fn open(manifest: &Manifest) -> Hypercore {
    let builder = Hypercore::builder(Storage::memory());
    builder.manifest(manifest.clone()).open().await.unwrap()
}

async fn parts(log: &Hypercore, blocks: &[&str], signers: &[u8]) -> Vec<Part> {
    let proposal = log.propose(blocks.iter().copied()).await.unwrap();
    let mut parts = Vec::new();
    for seed in signers {
        parts.push(proposal.sign(&pair(*seed)).await.unwrap());
    }
    parts
}

/// Appends with the signatures of some.
async fn append(log: &Hypercore, blocks: &[&str], signers: &[u8]) -> Appended {
    let parts = parts(log, blocks, signers).await;
    let proposal = log.propose(blocks.iter().copied()).await.unwrap();
    let signature = proposal.assemble(&parts).unwrap();
    log.append_proposal(proposal, signature).await.unwrap()
}

async fn blocks_of(log: &Hypercore) -> Vec<String> {
    let mut blocks = Vec::new();
    for index in 0..log.length().get() {
        let block = soon(log.get(index)).await.unwrap();
        blocks.push(String::from_utf8(block.to_vec()).unwrap());
    }
    blocks
}

/// What a log holds on behalf of the one that `verifier` is for, as its signer hands it in.
async fn part_of(log: &Hypercore, verifier: &Verifier, seed: u8, length: u64) -> Part {
    log.sign_part(verifier, &pair(seed), length).await.unwrap()
}

async fn log_of(blocks: impl IntoIterator<Item = String>) -> Hypercore {
    let log = writer().await;
    log.append_batch(blocks).await.unwrap();
    log
}

#[test]
fn two_of_three_append_and_a_fresh_reader_gets_it() {
    block_on(async {
        for version in [
            ManifestVersion::V0,
            ManifestVersion::V1,
            ManifestVersion::V2,
        ] {
            let log = open(&manifest().with_version(version)).await;
            assert!(!log.is_writable());
            assert_eq!(append(&log, &["hello"], &[1, 2]).await.length.get(), 1);
            let to = reader(&log).await;
            let _connection = connect(&log, &to);
            soon(to.download(..1)).await.unwrap();
            assert_eq!(blocks_of(&to).await, ["hello"]);
            assert_eq!(to.manifest(), log.manifest());
            assert_eq!(to.head(), log.head());
        }
    });
}

#[test]
fn a_batch_has_one_signature_at_its_end() {
    block_on(async {
        let log = open(&manifest()).await;
        append(&log, &["a", "b", "c"], &[3, 1]).await;
        append(&log, &["d", "e"], &[2, 3]).await;
        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        soon(to.download(..5)).await.unwrap();
        assert_eq!(blocks_of(&to).await, ["a", "b", "c", "d", "e"]);
    });
}

#[test]
fn signatures_over_something_else_change_nothing() {
    block_on(async {
        let log = open(&manifest()).await;
        append(&log, &["a"], &[1, 2]).await;
        let head = log.head();
        let mut events = log.events();
        let verifier = Verifier::from_manifest(manifest()).unwrap();

        let other = verifier.assemble(&parts(&log, &["b"], &[1, 2]).await);
        let four = verifier.assemble(&parts(&log, &["b", "c", "d", "e"], &[1, 2]).await);
        let alone = verifier.assemble(&parts(&log, &["x"], &[1]).await);
        let twice = verifier.assemble(&parts(&log, &["x"], &[1, 1]).await);
        let mut flipped = verifier
            .assemble(&parts(&log, &["x"], &[1, 2]).await)
            .to_vec();
        flipped[10] ^= 1;
        for (blocks, signature) in [
            (vec!["x"], other.to_vec()),
            (vec!["b", "c"], four.to_vec()),
            (vec!["x"], alone.to_vec()),
            (vec!["x"], twice.to_vec()),
            (vec!["x"], flipped),
            (vec!["x"], Vec::new()),
        ] {
            let refused = log.append_batch(blocks).signature(signature).await;
            assert!(
                matches!(refused, Err(AppendError::Signature(_))),
                "{refused:?}"
            );
        }
        let proposal = log.propose(["x"]).await.unwrap();
        assert!(proposal.assemble(&parts(&log, &["x"], &[1]).await).is_err());
        assert_eq!(log.head(), head);
        assert!(!log.has(1..2));
        assert_eq!(events.try_next(), None);
        // The turn was given back each time.
        append(&log, &["b"], &[1, 3]).await;
    });
}

#[test]
fn one_key_pair_does_not_sign_for_two() {
    block_on(async {
        let builder = Hypercore::builder(Storage::memory()).manifest(manifest());
        let log = builder.key_pair(pair(1)).open().await.unwrap();
        let refused = log.append("alone").await;
        assert!(matches!(refused, Err(AppendError::Sign(_))), "{refused:?}");
        let refused = log.append("alone").signer(pair(2)).await;
        assert!(matches!(refused, Err(AppendError::Sign(_))), "{refused:?}");
        assert_eq!(log.length(), Length::ZERO);
    });
}

#[test]
fn signers_of_different_lengths_meet_by_patches() {
    block_on(async {
        for version in [ManifestVersion::V0, ManifestVersion::V1] {
            let manifest = manifest().with_patches().with_version(version);
            let verifier = Verifier::from_manifest(manifest.clone()).unwrap();
            let log = open(&manifest).await;
            let slow = log_of(["0".to_owned()]).await;
            let fast = log_of((0..5).map(|n| n.to_string())).await;

            let lengths = [slow.length(), fast.length()];
            assert_eq!(signable_length(&lengths, 2), Length::new(1));
            let parts = [
                part_of(&slow, &verifier, 1, 1).await,
                part_of(&fast, &verifier, 2, 1).await,
            ];
            assert_eq!(parts[1].patch, Length::new(4));
            log.append("0")
                .signature(verifier.assemble(&parts))
                .await
                .unwrap();

            // A batch, of which both have signed more.
            slow.append_batch(["1", "2", "3"]).await.unwrap();
            fast.append_batch(["5", "6"]).await.unwrap();
            let parts = [
                part_of(&fast, &verifier, 3, 3).await,
                part_of(&slow, &verifier, 2, 3).await,
            ];
            let batch = log.append_batch(["1", "2"]);
            batch.signature(verifier.assemble(&parts)).await.unwrap();

            let to = reader(&log).await;
            let _connection = connect(&log, &to);
            soon(to.download(..3)).await.unwrap();
            assert_eq!(blocks_of(&to).await, ["0", "1", "2"]);
        }
    });
}

#[test]
fn a_part_is_no_longer_than_its_log() {
    block_on(async {
        let verifier = Verifier::from_manifest(manifest()).unwrap();
        let log = log_of(["a".to_owned()]).await;
        assert!(log.sign_part(&verifier, &pair(1), 2).await.is_err());
        assert!(log.sign_part(&verifier, &pair(9), 1).await.is_err());
    });
}

#[test]
fn a_patch_may_span_thousands_of_blocks() {
    block_on(async {
        let manifest = manifest().with_patches();
        let verifier = Verifier::from_manifest(manifest.clone()).unwrap();
        let log = open(&manifest).await;
        let blocks = |to: u32| (0..to).map(|n| n.to_string());
        let (slow, fast) = (log_of(blocks(1)).await, log_of(blocks(10_000)).await);
        let parts = [
            part_of(&slow, &verifier, 1, 1).await,
            part_of(&fast, &verifier, 2, 1).await,
        ];
        log.append("0")
            .signature(verifier.assemble(&parts))
            .await
            .unwrap();

        slow.append_batch(blocks(4_000).skip(1)).await.unwrap();
        let parts = [
            part_of(&slow, &verifier, 1, 4_000).await,
            part_of(&fast, &verifier, 3, 4_000).await,
        ];
        let signature = verifier.assemble(&parts);
        let rest = log.append_batch(blocks(4_000).skip(1));
        assert_eq!(rest.signature(signature).await.unwrap().length.get(), 4_000);

        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        assert_eq!(soon(to.get(3_999)).await.unwrap(), "3999");
        assert_eq!(to.head(), log.head());
    });
}

#[test]
fn two_copies_extend_each_other_in_turn() {
    block_on(async {
        let (a, b) = (open(&manifest()).await, open(&manifest()).await);
        let _connection = connect(&a, &b);
        let mut expected = Vec::new();
        for (round, signers) in [[1, 2], [2, 3], [3, 1], [1, 3], [2, 1]].iter().enumerate() {
            let (here, there) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
            let block = round.to_string();
            append(here, &[&block], signers).await;
            expected.push(block);
            let length = expected.len() as u64;
            soon(there.download(..length)).await.unwrap();
        }
        assert_eq!(blocks_of(&a).await, expected);
        assert_eq!(blocks_of(&b).await, expected);
        assert_eq!(a.head(), b.head());
    });
}

#[test]
fn two_hundred_and_fifty_five_blocks_by_changing_pairs_converge() {
    block_on(async {
        let (a, b) = (open(&manifest()).await, open(&manifest()).await);
        let _connection = connect(&a, &b);
        let mut seed = 7_u64;
        for length in 1..=255_u64 {
            // A fixed sequence that looks random: which of the two appends, and who signs.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (here, there) = if seed >> 63 == 0 { (&a, &b) } else { (&b, &a) };
            let signers = [[1, 2], [2, 3], [3, 1]][usize::try_from((seed >> 40) % 3).unwrap()];
            append(here, &[&length.to_string()], &signers).await;
            soon(there.download(..length)).await.unwrap();
        }
        assert_eq!(a.head(), b.head());
        assert_eq!(blocks_of(&a).await, blocks_of(&b).await);
    });
}

#[test]
fn the_longer_of_two_copies_that_others_signed_is_followed() {
    block_on(async {
        let (a, b) = (open(&manifest()).await, open(&manifest()).await);
        append(&a, &["0", "1"], &[1, 2]).await;
        append(&b, &["0", "1", "2", "3"], &[2, 3]).await;
        let _connection = connect(&a, &b);
        soon(a.download(..4)).await.unwrap();
        assert_eq!(a.head(), b.head());
        assert_eq!(blocks_of(&a).await, ["0", "1", "2", "3"]);
    });
}

#[test]
fn what_several_signed_is_found_again_on_disk() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            Hypercore::builder(Storage::disk(dir.path()))
                .manifest(manifest())
                .open()
        };
        let log = open().await.unwrap();
        append(&log, &["a"], &[1, 2]).await;
        append(&log, &["b"], &[2, 3]).await;
        let head = log.head();
        log.close().await.unwrap();

        let log = open().await.unwrap();
        assert_eq!(log.head(), head);
        append(&log, &["c"], &[1, 3]).await;
        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        soon(to.download(..3)).await.unwrap();
        assert_eq!(blocks_of(&to).await, ["a", "b", "c"]);
    });
}

/// A signer that answers when it is told to, with what it is told to.
#[derive(Debug)]
struct Device {
    pair: KeyPair,
    asked: AtomicUsize,
    may: Bell,
    answer: Answer,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    AtOnce,
    WhenTold,
    Garbage,
    Refusal,
}

impl Device {
    fn new(seed: u8, answer: Answer) -> Arc<Self> {
        Arc::new(Self {
            pair: pair(seed),
            asked: AtomicUsize::new(0),
            may: Bell::new(),
            answer,
        })
    }
}

#[derive(Debug, Clone)]
struct Remote(Arc<Device>);

impl ExternalSigner for Remote {
    fn public_key(&self) -> PublicKey {
        self.0.pair.public_key()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        let device = &self.0;
        let told = device.may.listen();
        Box::pin(async move {
            device.asked.fetch_add(1, Ordering::Relaxed);
            match device.answer {
                Answer::AtOnce => {}
                Answer::WhenTold => told.await,
                Answer::Garbage => return Ok(device.pair.sign(b"something else")),
                Answer::Refusal => {
                    return Err(Box::<dyn StdError + Send + Sync>::from(
                        "the button was not pressed",
                    ));
                }
            }
            Ok(device.pair.sign(message))
        })
    }
}

async fn remote(seed: u8, answer: Answer) -> (Hypercore, Arc<Device>) {
    let device = Device::new(seed, answer);
    let builder = Hypercore::builder(Storage::memory()).signer(Remote(device.clone()));
    (builder.open().await.unwrap(), device)
}

#[test]
fn a_log_is_signed_outside_the_process() {
    block_on(async {
        let (log, device) = remote(1, Answer::AtOnce).await;
        assert_eq!(log.key(), Manifest::single(pair(1).public_key()).key());
        assert!(log.is_writable());
        log.append_batch(["a", "b"]).await.unwrap();
        log.append("c").await.unwrap();
        assert_eq!(
            device.asked.load(Ordering::Relaxed),
            2,
            "once for each append"
        );

        // The same as if the key were here, and no less to a reader.
        let here = Hypercore::builder(Storage::memory()).key_pair(pair(1));
        let here = here.open().await.unwrap();
        here.append_batch(["a", "b", "c"]).await.unwrap();
        assert_eq!(log.head(), here.head());
        let to = reader(&log).await;
        let _connection = connect(&log, &to);
        soon(to.download(..3)).await.unwrap();
    });
}

#[test]
fn who_signs_outside_is_opened_again_with_the_signer() {
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        let builder = || Hypercore::builder(Storage::open(store.clone()));
        let log = builder().signer(Remote(Device::new(1, Answer::AtOnce)));
        let log = log.open().await.unwrap();
        log.append("a").await.unwrap();
        let key = log.key();
        log.close().await.unwrap();

        let log = builder().key(key).open().await.unwrap();
        assert!(!log.is_writable(), "the secret never was here");
        log.close().await.unwrap();
        let log = builder()
            .key(key)
            .signer(Remote(Device::new(1, Answer::AtOnce)));
        log.open().await.unwrap().append("b").await.unwrap();

        let other = builder()
            .key(key)
            .signer(Remote(Device::new(2, Answer::AtOnce)));
        assert!(matches!(
            other.open().await,
            Err(OpenError::NotASigner { .. })
        ));
        let both = builder()
            .key_pair(pair(1))
            .signer(Remote(Device::new(1, Answer::AtOnce)));
        assert!(matches!(
            both.open().await,
            Err(OpenError::Contradiction { option: "signer" })
        ));
    });
}

#[test]
fn a_signer_that_fails_changes_nothing() {
    block_on(async {
        for answer in [Answer::Garbage, Answer::Refusal] {
            let (log, _) = remote(1, answer).await;
            let mut events = log.events();
            match (answer, log.append("a").await) {
                (Answer::Garbage, Err(AppendError::Signature(_))) => {}
                (Answer::Refusal, Err(AppendError::Signer(error))) => {
                    assert_eq!(error.to_string(), "the button was not pressed");
                }
                (answer, result) => panic!("{answer:?}: {result:?}"),
            }
            assert_eq!((log.length(), events.try_next()), (Length::ZERO, None));
            let good = log.append("a").signer(pair(1)).await.unwrap();
            assert_eq!(good.length.get(), 1);
        }
    });
}

#[test]
fn who_waits_for_a_signature_keeps_others_waiting_but_not_readers() {
    block_on(async {
        let (log, device) = remote(1, Answer::WhenTold).await;
        log.append("a").signer(pair(1)).await.unwrap();
        let mut waiting = Box::pin(log.append("b").into_future());
        assert!(poll_once(&mut waiting).await.is_none());
        let mut behind = Box::pin(log.append("c").signer(pair(1)).into_future());
        assert!(
            poll_once(&mut behind).await.is_none(),
            "in the order of asking"
        );
        assert_eq!(log.get(0).await.unwrap(), "a");
        device.may.notify(1);
        assert_eq!(soon(waiting).await.unwrap().length.get(), 2);
        assert_eq!(soon(behind).await.unwrap().length.get(), 3);
        assert_eq!(blocks_of(&log).await, ["a", "b", "c"]);
    });
}

#[test]
fn an_append_dropped_while_it_is_signed_leaves_nothing_behind() {
    block_on(async {
        let (log, _device) = remote(1, Answer::WhenTold).await;
        let mut waiting = Box::pin(log.append("a").into_future());
        assert!(poll_once(&mut waiting).await.is_none());
        drop(waiting);
        assert_eq!(log.length(), Length::ZERO);
        log.append("b").signer(pair(1)).await.unwrap();
        assert_eq!(blocks_of(&log).await, ["b"]);
    });
}

#[test]
fn closing_does_not_wait_for_a_signature() {
    block_on(async {
        let (log, device) = remote(1, Answer::WhenTold).await;
        let waiting = task::spawn(log.append("a").into_future());
        while device.asked.load(Ordering::Relaxed) == 0 {
            task::yield_now().await;
        }
        // One that is never polled again does not keep it either.
        let (other, _device) = remote(2, Answer::WhenTold).await;
        let mut forgotten = Box::pin(other.append("a").into_future());
        assert!(poll_once(&mut forgotten).await.is_none());
        soon(log.close()).await.unwrap();
        soon(other.close()).await.unwrap();
        assert!(matches!(soon(waiting).await, Err(AppendError::Closed)));
        assert!(matches!(forgotten.await, Err(AppendError::Closed)));
    });
}

#[test]
fn a_signer_of_several_is_asked_only_where_that_is_enough() {
    block_on(async {
        let device = Device::new(2, Answer::AtOnce);
        let builder = Hypercore::builder(Storage::memory()).manifest(manifest().with_quorum(1));
        let log = builder.signer(Remote(device.clone())).open().await.unwrap();
        log.append("a").await.unwrap();
        let builder = Hypercore::builder(Storage::memory()).manifest(manifest());
        let log = builder.signer(Remote(device.clone())).open().await.unwrap();
        assert!(matches!(log.append("a").await, Err(AppendError::Sign(_))));
        assert_eq!(
            device.asked.load(Ordering::Relaxed),
            1,
            "nobody is asked in vain"
        );
    });
}

#[test]
fn who_knows_the_key_alone_takes_no_signature() {
    block_on(async {
        let log = Hypercore::builder(Storage::memory()).key(CoreKey([9; 32]));
        let log = log.open().await.unwrap();
        let refused = log.append("a").signature(vec![0; 64]).await;
        assert!(
            matches!(refused, Err(AppendError::NotWritable)),
            "{refused:?}"
        );
    });
}

#[test]
fn who_may_sign_is_told_before_the_blocks() {
    block_on(async {
        let log = open(&manifest()).await;
        append(&log, &["a"], &[1, 2]).await;
        let to = reader(&log).await;
        let mut events = to.events();
        let _connection = connect(&log, &to);
        let mut order = Vec::new();
        while order.last() != Some(&"append") {
            match soon(events.next()).await.unwrap() {
                Event::Manifest => order.push("manifest"),
                Event::Append { .. } => order.push("append"),
                _ => {}
            }
        }
        assert_eq!(order, ["manifest", "append"]);
    });
}
