//! The cipher, the handshake, and a connection of two links, at 1 KiB and 64 KiB.
#![allow(missing_docs)] // criterion's macro makes the items
#![allow(clippy::unwrap_used)] // a bench fails by panicking

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hc_protocol::link::{Link, LinkOptions};
use hc_protocol::mux::{ChannelId, MessageType, Name, Raw};
use hc_protocol::noise::{Handshake, KeyPair, Keys, Seed};
use hc_protocol::secret_stream::{OVERHEAD, Pull, Push, StreamHeader, Tag};
use hc_protocol::{Side, StreamKey, Time};

const SIZES: [usize; 2] = [1024, 64 * 1024];

fn cipher(c: &mut Criterion) {
    let mut group = c.benchmark_group("secret_stream");
    let (key, header) = (StreamKey::new([7; 32]), StreamHeader([9; 24]));
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("push", size), |b| {
            let mut push = Push::new(&key, &header);
            let mut buffer = vec![1; size + OVERHEAD];
            b.iter(|| push.push(Tag::MESSAGE, black_box(&mut buffer)).unwrap());
        });
        group.bench_function(BenchmarkId::new("push and pull", size), |b| {
            let (mut push, mut pull) = (Push::new(&key, &header), Pull::new(&key, &header));
            let mut buffer = vec![1; size + OVERHEAD];
            b.iter(|| {
                push.push(Tag::MESSAGE, black_box(&mut buffer)).unwrap();
                pull.pull(black_box(&mut buffer)).unwrap()
            });
        });
    }
    group.finish();
}

fn keys(seed: u8) -> Keys {
    Keys {
        local: KeyPair::from_seed(&Seed::new([seed; 32])),
        ephemeral: Seed::new([seed + 1; 32]),
    }
}

fn handshake(c: &mut Criterion) {
    let (ours, theirs) = (keys(1), keys(3));
    c.bench_function("handshake, both ends", |b| {
        b.iter(|| {
            let mut initiator = Handshake::xx(Side::Initiator, ours.clone(), &[]);
            let mut responder = Handshake::xx(Side::Responder, theirs.clone(), &[]);
            let mut message = Vec::new();
            initiator.write(&[], &mut message).unwrap();
            responder.read(&message).unwrap();
            message.clear();
            responder.write(&[], &mut message).unwrap();
            initiator.read(&message).unwrap();
            message.clear();
            initiator.write(&[], &mut message).unwrap();
            responder.read(&message).unwrap();
            (initiator.finish().unwrap(), responder.finish().unwrap())
        });
    });
}

fn connected() -> (Link, ChannelId, Link) {
    let options = LinkOptions::default();
    let mut one = Link::initiator(keys(1), StreamHeader([1; 24]), options, Time::ZERO);
    let mut other = Link::responder(keys(3), StreamHeader([2; 24]), options, Time::ZERO);
    let name = Name::new("bench", vec![]);
    let channel = one.open(&name, &[], &Raw(b"")).unwrap();
    other.open(&name, &[], &Raw(b"")).unwrap();
    for _ in 0..3 {
        carry(&mut one, &mut other);
        carry(&mut other, &mut one);
    }
    (one, channel, other)
}

fn carry(from: &mut Link, to: &mut Link) -> usize {
    let mut told = 0;
    while let Some(bytes) = from.poll_transmit(Time::ZERO) {
        to.receive(Time::ZERO, &bytes);
        while to.poll_event().unwrap().is_some() {
            told += 1;
        }
    }
    told
}

fn link(c: &mut Criterion) {
    const MESSAGES: usize = 64;
    let mut group = c.benchmark_group("link, 64 messages of 1 KiB");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let message = vec![5; 1024];
    for (name, corked) in [("a frame each", false), ("corked", true)] {
        group.bench_function(name, |b| {
            let (mut one, channel, mut other) = connected();
            b.iter_batched(
                || (),
                |()| {
                    if corked {
                        one.cork();
                    }
                    for _ in 0..MESSAGES {
                        one.send(channel, MessageType(3), &Raw(&message)).unwrap();
                    }
                    if corked {
                        one.uncork();
                    }
                    assert_eq!(carry(&mut one, &mut other), MESSAGES);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, cipher, handshake, link);
criterion_main!(benches);
