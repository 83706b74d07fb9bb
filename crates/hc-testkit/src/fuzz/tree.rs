//! Proofs and requests of somebody else, against logs that this side has.

use std::sync::OnceLock;

use bytes::Bytes;
use hc_encoding::encode_to_vec;
use hc_merkle::proof::{Batch, Planner};
use hc_merkle::{Authority, Draft, Fork, Head, KeyPair, Manifest, Node, Verifier, drive};
use hc_protocol::message::{Message, MessageKind};

/// A signed log of 21 blocks with all its nodes.
struct Log {
    head: Head,
    nodes: Vec<Node>,
    verifier: Verifier,
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let pair = KeyPair::from_seed(&[7; 32]);
        let manifest = Manifest::single(pair.public_key());
        let verifier = Verifier::from_manifest(manifest).expect("a manifest of our own");
        let mut draft = Draft::new(&Head::empty());
        let blocks = (0..21u8).map(|index| Bytes::from(vec![index; usize::from(index % 5)]));
        draft.append(blocks).expect("a small log");
        let sign = |head: &Head| verifier.sign(&pair, &head.signed_tree());
        let change = draft.seal(sign).expect("our own key signs");
        let head = change.head().expect("the log grew").clone();
        Log {
            head,
            nodes: change.nodes().to_vec(),
            verifier,
        }
    })
}

impl Log {
    fn read(&self, indexes: &[hc_merkle::NodeIndex]) -> Vec<Option<Node>> {
        let find = |index| self.nodes.iter().find(|node| node.index == index).copied();
        indexes.iter().map(|index| find(*index)).collect()
    }
}

/// Data messages, verified by a reader that knows the key alone, and by one that has the log: whatever
/// is taken by the one that has the log changes nothing of it.
pub(super) fn proof(bytes: &[u8]) {
    let Ok(Message::Data(data)) =
        Message::decode(MessageKind::Data, &Bytes::copy_from_slice(bytes))
    else {
        return;
    };
    let log = log();
    let key = Authority::from(log.verifier.key());
    let known = Authority::from(log.verifier.clone());
    let proof = data.proof;
    if let Ok(verified) = Head::empty().verify(proof.clone(), &key) {
        let expected = verified.expected().map(|index| [index]);
        let read = log.read(expected.as_ref().map_or(&[], |one| one));
        let _ = verified.confirm(read.into_iter().next().flatten());
    }
    let batch = Batch::verify(&log.head, &known, [proof.clone(), proof]);
    let read = log.read(batch.expected());
    let confirmed = batch.confirm(&read);
    if let Some(change) = confirmed.change {
        for (index, value) in change.blocks() {
            let at = u8::try_from(index.get()).unwrap_or(u8::MAX);
            assert!(
                at >= 21 || value.iter().all(|byte| *byte == at),
                "another block passed"
            );
        }
        assert!(
            change
                .head()
                .is_none_or(|head| head.length() >= log.head.length())
        );
    }
}

/// Requests, answered from the log: no request panics, and an answer encodes.
pub(super) fn request(bytes: &[u8]) {
    let Ok(Message::Request(asked)) =
        Message::decode(MessageKind::Request, &Bytes::copy_from_slice(bytes))
    else {
        return;
    };
    let log = log();
    let Ok(planner) = Planner::new(&log.head, &asked.want, None) else {
        return;
    };
    let read = |indexes: &[_]| Ok::<_, std::convert::Infallible>(log.read(indexes));
    let Ok(Ok(plan)) = drive(planner, read) else {
        return;
    };
    let nodes = log.read(plan.nodes());
    let block = asked.want.block.map(|block| {
        let at = u8::try_from(block.index.get()).unwrap_or_default();
        Bytes::from(vec![at; usize::from(at % 5)])
    });
    if let Ok(proof) = plan.assemble(&nodes, block, None) {
        assert_eq!(proof.fork, Fork::ZERO);
        let data = hc_protocol::message::Data {
            id: asked.id,
            proof,
        };
        let _ = encode_to_vec(&data);
    }
}
