//! Proofs are accepted and refused as the reference does: every good one leads to the state it says,
//! no tampered one is accepted.

use bytes::Bytes;
use hc_merkle::proof::{Proof, Remote};
use hc_merkle::{Authority, ProofError, Verifier};
use serde_json::Value;

use crate::sources::{Source, all, decode};
use crate::store::Store;
use crate::vectors::{array, bytes, list, load, uint};

/// A log that takes in proofs.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) store: Store,
    pub(crate) authority: Authority,
}

impl Receiver {
    /// Knows the key of the source, and the manifest if it is to.
    pub(crate) fn new(source: &Source, manifest: bool) -> Self {
        let authority = if manifest {
            source.authority()
        } else {
            source.key.into()
        };
        Self {
            store: Store::empty(),
            authority,
        }
    }

    /// The receiver of a scenario in its state before the first case.
    pub(crate) fn of(scenario: &Value, source: &Source) -> Self {
        let receiver = &scenario["receiver"];
        let mut this = Self::new(source, receiver["manifest"] == true);
        for message in list(&receiver["setup"]) {
            let proof = proof(message);
            let later = proof.fork > this.store.head.fork();
            let taken = if later {
                this.follow(proof)
            } else {
                this.take(proof)
            };
            taken.expect("a good proof");
        }
        this.assert_state(&receiver["state"]);
        this
    }

    pub(crate) fn take(&mut self, proof: Proof) -> Result<(), ProofError> {
        let verified = self.store.head.verify(proof, &self.authority)?;
        let stored = verified
            .expected()
            .and_then(|index| self.store.nodes.get(&index).copied());
        let change = verified.confirm(stored)?;
        self.store.commit(&change);
        if let Some(manifest) = change.manifest() {
            let verifier = Verifier::new(self.authority.key(), manifest.clone());
            self.authority = verifier.expect("a manifest").into();
        }
        Ok(())
    }

    pub(crate) fn assert_state(&self, state: &Value) {
        let head = &self.store.head;
        assert_eq!(head.length().get(), uint(&state["length"]));
        assert_eq!(head.fork().get(), uint(&state["fork"]));
        assert_eq!(head.byte_length().get(), uint(&state["byteLength"]));
        assert_eq!(
            head.tree_hash().as_bytes(),
            &array::<32>(&state["treeHash"])
        );
        let range = |range: &Value| [uint(&range[0]), uint(&range[1])];
        let has: Vec<_> = list(&state["has"]).iter().map(range).collect();
        assert_eq!(self.store.has(), has);
    }
}

fn message(value: &Value) -> Bytes {
    bytes(value).into()
}

pub(crate) fn proof(value: &Value) -> Proof {
    decode(&message(value)).expect("a message")
}

/// What a tampered message does; one that cannot be read is refused as well.
fn refused(receiver: &Receiver, tampered: &Value) -> bool {
    let mut receiver = receiver.clone();
    let before = (receiver.store.state(), receiver.store.has());
    match decode(&message(&tampered["reply"])) {
        Ok(proof) => {
            let taken = receiver.take(proof);
            taken.is_err() && before == (receiver.store.state(), receiver.store.has())
        }
        Err(_) => true,
    }
}

#[test]
fn good_proofs_lead_to_the_state_they_say_and_bad_ones_are_refused() {
    let vectors = load("proofs.json");
    let sources = all(&vectors);
    let (mut good, mut bad, mut tampered) = (0, 0, 0);
    for scenario in list(&vectors["scenarios"]) {
        let receiver = Receiver::of(scenario, &sources[scenario["source"].as_str().unwrap()]);
        for case in list(&scenario["cases"]) {
            let mut taker = receiver.clone();
            let taken = taker.take(proof(&case["reply"]));
            if case["accepted"] == true {
                assert_eq!(taken, Ok(()), "{case}");
                taker.assert_state(&case["after"]);
                good += 1;
            } else {
                assert!(taken.is_err(), "{case}");
                bad += 1;
            }
            for reply in list(&case["tampered"]) {
                assert!(
                    refused(&receiver, reply),
                    "{}: {} {}",
                    scenario["name"],
                    case["note"],
                    reply
                );
                tampered += 1;
            }
        }
    }
    assert!(
        good > 100 && bad > 2 && tampered > 2000,
        "{good} {bad} {tampered}"
    );
}

#[test]
fn a_seek_outside_the_first_root_is_proven_too() {
    let vectors = load("proofs.json");
    let sources = all(&vectors);
    let mut checked = 0;
    for scenario in list(&vectors["scenarios"]) {
        let source = &sources[scenario["source"].as_str().unwrap()];
        let receiver = Receiver::of(scenario, source);
        for case in list(&scenario["cases"])
            .iter()
            .filter(|case| !case["quirk"].is_null())
        {
            let proof = source
                .answer(&crate::sources::request(&case["request"]))
                .unwrap();
            assert_eq!(receiver.clone().take(proof), Ok(()));
            checked += 1;
        }
    }
    assert_eq!(checked, 2);
}

#[test]
fn proofs_of_whole_logs_need_nothing_but_the_manifest() {
    let vectors = load("proofs.json");
    let sources = all(&vectors);
    for case in list(&vectors["fullyRemote"]) {
        let source = &sources[case["source"].as_str().unwrap()];
        let verify = |hex: &Value| {
            let message = Bytes::from(bytes(hex)).slice(32..);
            let Ok(proof) = decode(&message) else {
                return None;
            };
            assert_eq!(proof.block.is_some(), case["block"] == true);
            Remote::verify(proof, &source.key.into()).ok()
        };
        let remote = verify(&case["proof"]).expect("a good proof");
        assert_eq!(remote.head.length().get(), uint(&case["length"]));
        assert_eq!(
            remote.learned.and_then(|known| known.manifest().cloned()),
            source.manifest
        );
        assert_eq!(verify(&case["tampered"]), None);
    }
}
