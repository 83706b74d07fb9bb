//! The logs that answer in the golden vectors of proofs, built from their histories, and the messages
//! around requests and proofs as far as these vectors need them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;

use bytes::Bytes;
use hc_encoding::{Decode, DecodeError, Encode, Reader, Writer, decode_exact};
use hc_merkle::proof::{
    BlockRequest, HashRequest, Plan, Planner, Proof, Request, SeekRequest, UpgradeRequest,
};
use hc_merkle::{
    Authority, CoreKey, Draft, Fork, Head, KeyPair, Length, Manifest, NodeIndex, PlanError,
    Truncation, Verifier, drive,
};
use serde_json::Value;

use crate::store::Store;
use crate::vectors::{array, block, bytes, list, uint};

/// A log that answers.
pub(crate) struct Source {
    pub(crate) store: Store,
    pub(crate) key: CoreKey,
    /// None in compat mode.
    pub(crate) manifest: Option<Manifest>,
}

/// All sources, by name.
pub(crate) fn all(vectors: &Value) -> BTreeMap<&str, Source> {
    list(&vectors["sources"])
        .iter()
        .map(|source| {
            (
                source["name"].as_str().expect("a name"),
                Source::build(source),
            )
        })
        .collect()
}

impl Source {
    /// A log that has nothing but a head.
    pub(crate) fn over(head: Head) -> Self {
        let store = Store {
            head,
            ..Store::empty()
        };
        Self {
            store,
            key: CoreKey([0; 32]),
            manifest: None,
        }
    }

    pub(crate) fn build(source: &Value) -> Self {
        let mut store = Store::empty();
        for step in list(&source["history"]) {
            let draft = if step["truncate"].is_null() {
                let range = list(&step["append"]);
                let formula = &source[step["data"].as_str().expect("a name")];
                let mut draft = Draft::new(&store.head);
                let blocks = uint(&range[0])..uint(&range[1]);
                draft
                    .append(blocks.map(|i| block(formula, i).into()))
                    .expect("few blocks");
                draft
            } else {
                let length = Length::new(uint(&step["truncate"]));
                let plan = Truncation::new(&store.head, length, Fork::new(uint(&step["fork"])));
                let plan = plan.expect("shorter");
                plan.apply(&store.read(plan.nodes())).expect("whole tree")
            };
            // Only the last signature is known, and only that one is asked for.
            let change = match &source["signature"] {
                Value::Null => draft.seal_unsigned(),
                signature => draft
                    .seal(|_| Ok::<_, Infallible>(bytes(signature).into()))
                    .expect("no error"),
            };
            store.commit(&change);
        }
        let manifest = (source["compat"] == false)
            .then(|| decode_exact(&bytes(&source["manifest"])).expect("a manifest"));
        Self {
            store,
            key: CoreKey(array(&source["key"])),
            manifest,
        }
    }

    /// A log of these blocks, a letter each, signed by one key that is always the same.
    pub(crate) fn made(parts: &[(Range<u64>, char)], fork: u64) -> Self {
        let keys = KeyPair::from_seed(&[7; 32]);
        let verifier = Verifier::from_manifest(Manifest::single(keys.public_key()));
        let verifier = verifier.expect("a manifest");
        let empty = Head::new(Fork::new(fork), Length::ZERO, Vec::new()).expect("an empty log");
        let mut source = Self::over(empty);
        source.key = verifier.key();
        source.manifest = verifier.manifest().cloned();
        let mut draft = Draft::new(&source.store.head);
        for (blocks, letter) in parts {
            let block = |i: u64| Bytes::from(format!("{letter}{i}").repeat(1 + (i % 3) as usize));
            draft.append(blocks.clone().map(block)).expect("few blocks");
        }
        let sign = |head: &Head| verifier.sign(&keys, &head.signed_tree());
        let change = draft.seal(sign).expect("a signature");
        source.store.commit(&change);
        source
    }

    /// Who may sign, where the manifest is known.
    pub(crate) fn authority(&self) -> Authority {
        match &self.manifest {
            Some(manifest) => Verifier::new(self.key, manifest.clone())
                .expect("a manifest")
                .into(),
            None => self.key.into(),
        }
    }

    pub(crate) fn plan(&self, request: &Request) -> Result<Plan, PlanError> {
        let prologue = self
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.prologue.as_ref());
        let planner = Planner::new(&self.store.head, request, prologue)?;
        let read = |indexes: &[NodeIndex]| Ok::<_, Infallible>(self.store.read(indexes));
        drive(planner, read).expect("no error")
    }

    pub(crate) fn answer(&self, request: &Request) -> Result<Proof, PlanError> {
        let plan = self.plan(request)?;
        assert!(plan.nodes().is_sorted(), "nodes are read in order");
        let block = request
            .block
            .and_then(|block| self.store.blocks.get(&block.index).cloned());
        plan.assemble(
            &self.store.read(plan.nodes()),
            block,
            self.manifest.as_ref(),
        )
    }
}

pub(crate) fn request(value: &Value) -> Request {
    let part = |name: &str, field: &str| uint(&value[name][field]);
    let has = |name: &str| !value[name].is_null();
    Request {
        block: has("block").then(|| BlockRequest {
            index: part("block", "index").into(),
            nodes: part("block", "nodes"),
        }),
        hash: has("hash").then(|| HashRequest {
            index: part("hash", "index").into(),
            nodes: part("hash", "nodes"),
        }),
        seek: has("seek").then(|| SeekRequest {
            bytes: part("seek", "bytes").into(),
            padding: part("seek", "padding"),
        }),
        upgrade: has("upgrade").then(|| UpgradeRequest {
            start: part("upgrade", "start").into(),
            length: part("upgrade", "length").into(),
        }),
        manifest: value["manifest"] == true,
    }
}

/// The message that carries a proof: flags, request, fork, then its parts.
pub(crate) fn encode(id: u64, proof: &Proof) -> Vec<u8> {
    let flags = u64::from(proof.block.is_some())
        | u64::from(proof.hash.is_some()) << 1
        | u64::from(proof.seek.is_some()) << 2
        | u64::from(proof.upgrade.is_some()) << 3
        | u64::from(proof.manifest.is_some()) << 4;
    let mut out = Vec::new();
    put(&mut out, Some(&flags));
    put(&mut out, Some(&id));
    put(&mut out, Some(&proof.fork));
    put(&mut out, proof.block.as_ref());
    put(&mut out, proof.hash.as_ref());
    put(&mut out, proof.seek.as_ref());
    put(&mut out, proof.upgrade.as_ref());
    put(&mut out, proof.manifest.as_ref());
    out
}

/// Takes the message apart again; everything has to be used up.
pub(crate) fn decode(message: &Bytes) -> Result<Proof, DecodeError> {
    fn part<'a, T: Decode<'a>>(
        reader: &mut Reader<'a>,
        flag: u64,
    ) -> Result<Option<T>, DecodeError> {
        if flag == 0 {
            Ok(None)
        } else {
            T::decode(reader).map(Some)
        }
    }
    let mut reader = Reader::over(message);
    let flags = reader.uint()?;
    reader.uint()?;
    let reader = &mut reader;
    Ok(Proof {
        fork: Fork::decode(reader)?,
        block: part(reader, flags & 1)?,
        hash: part(reader, flags & 2)?,
        seek: part(reader, flags & 4)?,
        upgrade: part(reader, flags & 8)?,
        manifest: part(reader, flags & 16)?,
    })
}

fn put<T: Encode>(out: &mut Vec<u8>, part: Option<&T>) {
    if let Some(part) = part {
        let start = out.len();
        out.resize(start + part.encoded_len(), 0);
        part.encode(&mut Writer::new(&mut out[start..]));
    }
}
