//! Encoding and decoding what messages are made of.
#![allow(missing_docs)] // criterion's macro makes the items

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hc_encoding::{decode_exact, encode_to_vec};

fn encoding(c: &mut Criterion) {
    let uints: Vec<u64> = (0..1_000u64).map(|i| 1 << (i % 64)).collect();
    let encoded = encode_to_vec(&uints);
    let mut group = c.benchmark_group("array of 1000 uints");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("encode", |b| {
        b.iter(|| encode_to_vec(black_box(&uints)));
    });
    group.bench_function("decode", |b| {
        b.iter(|| decode_exact::<Vec<u64>>(black_box(&encoded)));
    });
    group.finish();

    let block = vec![7u8; 65_536];
    let encoded = encode_to_vec(block.as_slice());
    let mut group = c.benchmark_group("buffer of 64 KiB");
    group.throughput(Throughput::Bytes(65_536));
    group.bench_function("encode", |b| {
        b.iter(|| encode_to_vec(black_box(block.as_slice())));
    });
    group.bench_function("decode", |b| {
        b.iter(|| decode_exact::<&[u8]>(black_box(&encoded)));
    });
    group.finish();

    let hashes = vec![[9u8; 32]; 64];
    let encoded = encode_to_vec(&hashes);
    let mut group = c.benchmark_group("array of 64 hashes");
    group.throughput(Throughput::Elements(64));
    group.bench_function("encode", |b| {
        b.iter(|| encode_to_vec(black_box(&hashes)));
    });
    group.bench_function("decode", |b| {
        b.iter(|| decode_exact::<Vec<[u8; 32]>>(black_box(&encoded)));
    });
    group.finish();
}

criterion_group!(benches, encoding);
criterion_main!(benches);
