//! A data message of 1 KiB with ten nodes: encoded, decoded, and through a mux in both directions,
//! alone and sixteen in a batch.
#![allow(missing_docs)] // criterion's macro makes the items
#![allow(clippy::unwrap_used)] // a bench fails by panicking

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hc_encoding::encode_to_vec;
use hc_merkle::proof::{BlockProof, Proof};
use hc_merkle::{BlockIndex, ByteLength, Fork, Hash, Node, NodeIndex};
use hc_protocol::message::{Data, Message, MessageKind, RequestId};
use hc_protocol::mux::{ChannelId, Mux, Name, Raw, Room};

const BATCH: usize = 16;

fn data() -> Message {
    let node = |index: u64| Node {
        index: NodeIndex::new(index * 1000),
        size: ByteLength::new(index * 1024),
        hash: Hash([7; 32]),
    };
    let block = BlockProof {
        index: BlockIndex::new(123_456),
        value: Bytes::from(vec![9; 1024]),
        nodes: (1..=10).map(node).collect(),
    };
    let proof = Proof {
        fork: Fork::ZERO,
        block: Some(block),
        ..Proof::default()
    };
    Message::Data(Data {
        id: RequestId(77),
        proof,
    })
}

fn pair() -> (Mux, ChannelId, Mux) {
    let (mut a, mut b) = (
        Mux::new(Room {
            before: 4,
            after: 16,
        }),
        Mux::default(),
    );
    let name = Name::new("hypercore/alpha", vec![1; 32]);
    let channel = a.open(&name, &[], &Raw(&[])).unwrap();
    b.open(&name, &[], &Raw(&[])).unwrap();
    b.handle(Bytes::from(a.poll_frame().unwrap()).slice(4..));
    b.poll().unwrap();
    (a, channel, b)
}

fn send(mux: &mut Mux, channel: ChannelId, message: &Message, count: usize) -> Bytes {
    if count > 1 {
        mux.cork();
    }
    for _ in 0..count {
        mux.send(channel, message.kind().message_type(), message)
            .unwrap();
    }
    if count > 1 {
        mux.uncork();
    }
    Bytes::from(mux.poll_frame().unwrap()).slice(4..)
}

fn receive(mux: &mut Mux, frame: Bytes) -> usize {
    mux.handle(frame);
    std::iter::from_fn(|| mux.poll().unwrap())
        .map(black_box)
        .count()
}

fn messages(c: &mut Criterion) {
    let message = data();
    let payload = Bytes::from(encode_to_vec(&message));
    let mut group = c.benchmark_group("data of 1 KiB, 10 nodes");
    group.throughput(Throughput::Elements(1));
    group.bench_function("encode", |b| b.iter(|| encode_to_vec(black_box(&message))));
    group.bench_function("decode", |b| {
        b.iter(|| Message::decode(MessageKind::Data, black_box(&payload)));
    });
    let (mut a, channel, mut b) = pair();
    for (name, count) in [("one frame", 1), ("a batch of 16", BATCH)] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("mux out, {name}"), |bench| {
            bench.iter(|| send(&mut a, channel, black_box(&message), count));
        });
        let frame = send(&mut a, channel, &message, count);
        group.bench_function(format!("mux in, {name}"), |bench| {
            bench.iter_batched(
                || frame.clone(),
                |f| receive(&mut b, f),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, messages);
criterion_main!(benches);
