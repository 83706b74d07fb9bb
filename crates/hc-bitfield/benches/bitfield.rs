//! Filling, searching, counting and comparing over ten million bits.
#![allow(missing_docs)] // criterion's macro makes the items

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hc_bitfield::Bitfield;

const BITS: u64 = 10_000_000;

/// Every third bit, so that no page is full or empty.
fn scattered() -> Bitfield {
    (0..BITS).step_by(3).map(|at| at..at + 1).collect()
}

fn bitfield(c: &mut Criterion) {
    let scattered = scattered();
    let contiguous = Bitfield::contiguous(BITS);
    let mut hole_at_end = contiguous.clone();
    hole_at_end.unset(BITS - 1);

    c.bench_function("set range of 10M", |b| {
        b.iter(|| Bitfield::contiguous(black_box(BITS)));
    });
    c.bench_function("set range of 10M over scattered bits", |b| {
        b.iter(|| {
            let mut field = scattered.clone();
            field.set_range(0..black_box(BITS));
            field
        });
    });
    c.bench_function("append one bit", |b| {
        let mut field = Bitfield::new();
        let mut at = 0;
        b.iter(|| {
            field.set(at);
            at += 1;
        });
    });
    c.bench_function("append one bit to a clone", |b| {
        let mut field = contiguous.clone();
        let mut at = BITS;
        b.iter(|| {
            let mut next = field.clone();
            next.set(at);
            field = next;
            at += 1;
        });
    });
    c.bench_function("first unset after 10M", |b| {
        b.iter(|| black_box(&hole_at_end).first_unset(0));
    });
    c.bench_function("first set in scattered", |b| {
        let mut at = 0;
        b.iter(|| {
            at = (at + 7_919) % BITS;
            scattered.first_set(black_box(at))
        });
    });
    c.bench_function("first difference after 10M equal scattered bits", |b| {
        let mut other = scattered.clone();
        other.unset(BITS - 1);
        b.iter(|| black_box(&scattered).first_difference(&other, 0..BITS));
    });
    c.bench_function("count 10M scattered", |b| {
        b.iter(|| black_box(&scattered).count(1..BITS - 1));
    });
}

criterion_group!(benches, bitfield);
criterion_main!(benches);
