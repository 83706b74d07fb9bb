//! Messages as the vectors write them: from JSON to the types of the crate.

use bytes::Bytes;
use hc_merkle::manifest::{Manifest, ManifestVersion, Prologue, Signer};
use hc_merkle::proof::{
    BlockProof, BlockRequest, HashProof, HashRequest, Proof, Request as Parts, SeekProof,
    SeekRequest, UpgradeProof, UpgradeRequest,
};
use hc_merkle::{
    BlockIndex, ByteLength, ByteOffset, Capability, CoreKey, Fork, Hash, Length, Namespace, Node,
    NodeIndex, PublicKey, TreeHash,
};
use hc_protocol::capability::ReplicationHandshake;
use hc_protocol::message::{
    Bitfield, Cancel, Data, Extension, Message, MessageKind, NoData, Range, Request, RequestId,
    Sync, Want,
};
use serde_json::Value;

use crate::golden::{array, bytes, flag, list, position, text, uint};

/// The kind that the vectors call by this name; `None` for the handshake and what is not sent.
pub(crate) fn kind(name: &str) -> Option<MessageKind> {
    Some(match name {
        "sync" => MessageKind::Sync,
        "request" => MessageKind::Request,
        "cancel" => MessageKind::Cancel,
        "data" => MessageKind::Data,
        "noData" => MessageKind::NoData,
        "want" => MessageKind::Want,
        "unwant" => MessageKind::Unwant,
        "bitfield" => MessageKind::Bitfield,
        "range" => MessageKind::Range,
        "extension" => MessageKind::Extension,
        _ => return None,
    })
}

pub(crate) fn handshake(value: &Value) -> ReplicationHandshake {
    ReplicationHandshake {
        seeks: flag(&value["seeks"]),
        capability: Capability(array(&value["capability"])),
    }
}

pub(crate) fn message(kind: MessageKind, value: &Value) -> Message {
    match kind {
        MessageKind::Sync => Message::Sync(sync(value)),
        MessageKind::Request => Message::Request(request(value)),
        MessageKind::Cancel => Message::Cancel(Cancel {
            id: RequestId(uint(&value["request"])),
        }),
        MessageKind::Data => Message::Data(Data {
            id: RequestId(uint(&value["request"])),
            proof: proof(value),
        }),
        MessageKind::NoData => Message::NoData(NoData {
            id: RequestId(uint(&value["request"])),
            reason: uint(&value["reason"]).into(),
        }),
        MessageKind::Want => Message::Want(want(value)),
        MessageKind::Unwant => Message::Unwant(want(value)),
        MessageKind::Bitfield => Message::Bitfield(Bitfield {
            start: uint(&value["start"]),
            words: words(&value["bitfield"]),
        }),
        MessageKind::Range => Message::Range(Range {
            drop: flag(&value["drop"]),
            start: uint(&value["start"]),
            length: uint(&value["length"]),
        }),
        MessageKind::Extension => Message::Extension(Extension {
            name: text(&value["name"]).to_owned(),
            message: bytes(&value["message"]),
        }),
    }
}

fn sync(value: &Value) -> Sync {
    Sync {
        fork: Fork::new(uint(&value["fork"])),
        length: Length::new(uint(&value["length"])),
        remote_length: Length::new(uint(&value["remoteLength"])),
        can_upgrade: flag(&value["canUpgrade"]),
        uploading: flag(&value["uploading"]),
        downloading: flag(&value["downloading"]),
        has_manifest: flag(&value["hasManifest"]),
        allow_push: flag(&value["allowPush"]),
    }
}

fn request(value: &Value) -> Request {
    Request {
        id: RequestId(uint(&value["id"])),
        fork: Fork::new(uint(&value["fork"])),
        want: Parts {
            block: part(&value["block"], |block| BlockRequest {
                index: BlockIndex::new(uint(&block["index"])),
                nodes: uint(&block["nodes"]),
            }),
            hash: part(&value["hash"], |hash| HashRequest {
                index: NodeIndex::new(uint(&hash["index"])),
                nodes: uint(&hash["nodes"]),
            }),
            seek: part(&value["seek"], |seek| SeekRequest {
                bytes: ByteOffset::new(uint(&seek["bytes"])),
                padding: uint(&seek["padding"]),
            }),
            upgrade: part(&value["upgrade"], |upgrade| UpgradeRequest {
                start: Length::new(uint(&upgrade["start"])),
                length: Length::new(uint(&upgrade["length"])),
            }),
            manifest: flag(&value["manifest"]),
        },
        priority: uint(&value["priority"]),
    }
}

fn proof(value: &Value) -> Proof {
    Proof {
        fork: Fork::new(uint(&value["fork"])),
        block: part(&value["block"], |block| BlockProof {
            index: BlockIndex::new(uint(&block["index"])),
            value: bytes(&block["value"]),
            nodes: nodes(&block["nodes"]),
        }),
        hash: part(&value["hash"], |hash| HashProof {
            index: NodeIndex::new(uint(&hash["index"])),
            nodes: nodes(&hash["nodes"]),
        }),
        seek: part(&value["seek"], |seek| SeekProof {
            bytes: ByteOffset::new(uint(&seek["bytes"])),
            nodes: nodes(&seek["nodes"]),
        }),
        upgrade: part(&value["upgrade"], |upgrade| UpgradeProof {
            start: Length::new(uint(&upgrade["start"])),
            length: Length::new(uint(&upgrade["length"])),
            nodes: nodes(&upgrade["nodes"]),
            additional_nodes: nodes(&upgrade["additionalNodes"]),
            signature: part(&upgrade["signature"], bytes).unwrap_or_else(Bytes::new),
        }),
        manifest: part(&value["manifest"], manifest),
    }
}

fn manifest(value: &Value) -> Manifest {
    let version = match uint(&value["version"]) {
        0 => ManifestVersion::V0,
        1 => ManifestVersion::V1,
        2 => ManifestVersion::V2,
        3 => ManifestVersion::V3,
        other => panic!("no such version: {other}"),
    };
    let signer = |signer: &Value| Signer {
        namespace: Namespace(array(&signer["namespace"])),
        public_key: PublicKey(array(&signer["publicKey"])),
    };
    let linked = |linked: &Value| list(linked).iter().map(|key| CoreKey(array(key))).collect();
    Manifest {
        version,
        allow_patch: flag(&value["allowPatch"]),
        quorum: uint(&value["quorum"]),
        signers: list(&value["signers"]).iter().map(signer).collect(),
        prologue: part(&value["prologue"], |prologue| Prologue {
            hash: TreeHash(array(&prologue["hash"])),
            length: Length::new(uint(&prologue["length"])),
        }),
        linked: part(&value["linked"], linked),
        user_data: part(&value["userData"], |data| bytes(data).to_vec()),
    }
}

fn want(value: &Value) -> Want {
    Want {
        start: uint(&value["start"]),
        length: uint(&value["length"]),
        any: flag(&value["any"]),
    }
}

/// Words one by one, or as runs of (count, word).
fn words(value: &Value) -> Vec<u32> {
    let word = |value: &Value| u32::try_from(uint(value)).unwrap();
    if value["runs"].is_null() {
        return list(value).iter().map(word).collect();
    }
    let runs = list(&value["runs"]).iter();
    let words: Vec<u32> = runs
        .flat_map(|run| std::iter::repeat_n(word(&run[1]), position(&run[0])))
        .collect();
    assert_eq!(words.len(), position(&value["words"]));
    words
}

fn nodes(value: &Value) -> Vec<Node> {
    let node = |node: &Value| Node {
        index: NodeIndex::new(uint(&node["index"])),
        size: ByteLength::new(uint(&node["size"])),
        hash: Hash(array(&node["hash"])),
    };
    list(value).iter().map(node).collect()
}

fn part<T>(value: &Value, read: impl FnOnce(&Value) -> T) -> Option<T> {
    if value.is_null() {
        None
    } else {
        Some(read(value))
    }
}
