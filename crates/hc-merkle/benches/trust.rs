//! Signing and verifying heads, and proof files.
#![allow(missing_docs)] // criterion's macro makes the items

use std::collections::BTreeMap;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use hc_merkle::manifest::Signer;
use hc_merkle::{
    BlockIndex, Draft, Head, KeyPair, Manifest, Node, NodeIndex, Verifier, hash, proof_file,
};

const BLOCKS: u64 = 100_000;

struct Log {
    verifier: Verifier,
    head: Head,
    nodes: BTreeMap<NodeIndex, Node>,
}

fn block(index: u64) -> Bytes {
    Bytes::from(vec![index.to_le_bytes()[0]; 1024])
}

fn pair(seed: u8) -> KeyPair {
    KeyPair::from_seed(&[seed; 32])
}

/// A log of 1 KiB blocks. Of its parents only the nodes are kept.
fn log() -> Log {
    let verifier = Verifier::from_manifest(Manifest::single(pair(1).public_key())).expect("valid");
    let mut draft = Draft::new(&Head::empty());
    let hashed = |index| {
        let leaf = hash::leaf_node(NodeIndex::new(2 * index), &block(index));
        (leaf.hash, leaf.size)
    };
    draft
        .append_hashed(&(0..BLOCKS).map(hashed).collect::<Vec<_>>())
        .expect("a log");
    let change = draft
        .seal(|head| verifier.sign(&pair(1), &head.signed_tree()))
        .expect("a signer");
    Log {
        head: change.head().expect("a head").clone(),
        nodes: change
            .nodes()
            .iter()
            .map(|node| (node.index, *node))
            .collect(),
        verifier,
    }
}

fn heads(c: &mut Criterion) {
    let Log { verifier, head, .. } = log();
    let writer = pair(1);
    c.bench_function("sign a head", |b| {
        b.iter(|| verifier.sign(&writer, &black_box(&head).signed_tree()));
    });
    c.bench_function("verify a head", |b| {
        b.iter(|| verifier.verify(black_box(&head)));
    });

    let manifest = Manifest::new([1, 2, 3].map(|seed| Signer::new(pair(seed).public_key())));
    let verifier = Verifier::from_manifest(manifest).expect("valid");
    let parts = [1, 2].map(|seed| {
        verifier
            .sign_part(&pair(seed), &head.signed_tree())
            .expect("a signer")
    });
    let head = head.with_signature(verifier.assemble(&parts));
    c.bench_function("verify a head, two of three", |b| {
        b.iter(|| verifier.verify(black_box(&head)));
    });
}

fn files(c: &mut Criterion) {
    let Log {
        verifier,
        head,
        nodes,
    } = log();
    for count in [1, 100, 10_000] {
        let blocks = || (0..count).map(|at| BlockIndex::new(at * (BLOCKS / count)));
        let make = || {
            let node = |index| nodes.get(&index).copied();
            let value = |index: BlockIndex| Some(block(index.get()));
            proof_file::prove(&verifier, &head, blocks(), node, value).expect("all is there")
        };
        let file = make();
        let name = format!("{count} blocks of {BLOCKS}, {} bytes", file.len());
        c.bench_function(&format!("prove {name}"), |b| b.iter(make));
        c.bench_function(&format!("check {name}"), |b| {
            b.iter(|| proof_file::verify(black_box(&file), Some(&verifier.key())));
        });
    }
}

criterion_group!(benches, heads, files);
criterion_main!(benches);
