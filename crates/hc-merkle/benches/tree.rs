//! The hot paths of the tree: appending, answering, verifying.

use std::convert::Infallible;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hc_merkle::manifest::Manifest;
use hc_merkle::proof::{Batch, BlockRequest, Planner, Proof, Request};
use hc_merkle::{
    Authority, BlockIndex, Change, Draft, Head, KeyPair, Node, NodeIndex, Verifier, drive, hash,
    max_missing_nodes,
};

const BLOCKS: u64 = 4096;

struct Log {
    head: Head,
    nodes: Vec<Option<Node>>,
    authority: Authority,
}

impl Log {
    fn new() -> Self {
        let keys = KeyPair::from_seed(&[7; 32]);
        let verifier = Verifier::from_manifest(Manifest::single(keys.public_key()));
        let verifier = verifier.expect("a manifest");
        let mut draft = Draft::new(&Head::empty());
        draft
            .append((0..BLOCKS).map(|_| value()))
            .expect("few blocks");
        let sign = |head: &Head| verifier.sign(&keys, &head.signed_tree());
        let change: Change = draft.seal(sign).expect("a signature");
        let nodes = change.nodes().iter().copied().map(Some).collect();
        let head = change.head().cloned().expect("a head");
        Self {
            head,
            nodes,
            authority: verifier.into(),
        }
    }

    /// The nodes of a full tree stand in order, without a gap.
    fn read(&self, indexes: &[NodeIndex]) -> Vec<Option<Node>> {
        let node = |index: &NodeIndex| *self.nodes.get(usize::try_from(index.get()).ok()?)?;
        indexes.iter().map(node).collect()
    }

    fn answer(&self, index: u64) -> Proof {
        let nodes = max_missing_nodes(self.head.length(), NodeIndex::new(2 * index));
        let block = Some(BlockRequest {
            index: BlockIndex::new(index),
            nodes,
        });
        let request = Request {
            block,
            ..Request::default()
        };
        let planner = Planner::new(&self.head, &request, None).expect("an answer");
        let plan = drive(planner, |indexes| Ok::<_, Infallible>(self.read(indexes)));
        let plan = plan.expect("no error").expect("an answer");
        plan.assemble(&self.read(plan.nodes()), Some(value()), None)
            .expect("an answer")
    }
}

fn value() -> Bytes {
    Bytes::from_static(&[42; 1024])
}

fn hashes(c: &mut Criterion) {
    let value = value();
    let blocks = [value.as_ref(); 64];
    let leaf = |index| hash::leaf_node(NodeIndex::new(index), &value);
    let pairs = [(leaf(0), leaf(2)); 64];
    let mut group = c.benchmark_group("hash 64");
    group.throughput(Throughput::Elements(64));
    group.bench_function("leaves of 1 KiB, one by one", |b| {
        b.iter(|| blocks.map(hash::leaf));
    });
    group.bench_function("leaves of 1 KiB, side by side", |b| {
        b.iter(|| hash::leaves(&blocks));
    });
    group.bench_function("parents, one by one", |b| {
        b.iter(|| pairs.map(|(left, right)| hash::parent(&left, &right)));
    });
    group.bench_function("parents, side by side", |b| {
        b.iter(|| hash::parents(&pairs));
    });
    group.finish();
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append 1 KiB blocks");
    for count in [1, 64, 4096u64] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                let mut draft = Draft::new(&Head::empty());
                draft
                    .append((0..count).map(|_| value()))
                    .expect("few blocks");
                black_box(draft.seal_unsigned())
            });
        });
    }
    group.finish();
}

fn answer(c: &mut Criterion) {
    let log = Log::new();
    c.bench_function("answer a block of 4096", |b| {
        b.iter(|| log.answer(black_box(1234)));
    });
}

fn verify(c: &mut Criterion) {
    let log = Log::new();
    let mut group = c.benchmark_group("verify 1 KiB blocks of 4096");
    for count in [1, 16, 64u64] {
        let proofs: Vec<Proof> = (0..count).map(|index| log.answer(1024 + index)).collect();
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("in a row, full paths", count), |b| {
            b.iter(|| {
                let batch = Batch::verify(&log.head, &log.authority, proofs.iter().cloned());
                black_box(batch.confirm(&[]))
            });
        });
        let mut short = proofs;
        for proof in &mut short {
            proof.block.as_mut().expect("a block").nodes.truncate(1);
        }
        group.bench_function(BenchmarkId::new("in a row, one sibling", count), |b| {
            b.iter(|| {
                let batch = Batch::verify(&log.head, &log.authority, short.iter().cloned());
                let stored = log.read(batch.expected());
                black_box(batch.confirm(&stored))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hashes, append, answer, verify);
criterion_main!(benches);
