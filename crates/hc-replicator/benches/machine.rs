//! The machines' own work for each block of a download, both sides together.
#![allow(clippy::unwrap_used)] // a panic is the report

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hc_replicator::Order;

#[path = "../tests/it/pair.rs"]
mod pair;

use pair::Pair;

fn download(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("download");
    for blocks in [10_000, 100_000] {
        group.throughput(Throughput::Elements(blocks));
        group.sample_size(10);
        for order in [Order::Linear, Order::Scattered] {
            group.bench_function(format!("{order:?}/{blocks}"), |bencher| {
                let run = |mut pair: Pair| {
                    pair.download(order);
                    (pair.outputs, pair.nodes, pair.looked_at())
                };
                bencher.iter_batched(|| Pair::new(blocks), run, BatchSize::LargeInput);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, download);
criterion_main!(benches);
