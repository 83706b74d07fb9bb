//! What a user waits for: appends, reads and a download, on disk at `Os` durability.

use std::hint::black_box;

use async_std::net::{TcpListener, TcpStream};
use async_std::task::{self, block_on};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hypercore::{Bytes, CoreKey, Hypercore, Role, Storage};

const KIB: usize = 1024;

fn blocks(count: usize, size: usize) -> Vec<Bytes> {
    (0..count)
        .map(|index| Bytes::from(vec![index.to_le_bytes()[0]; size]))
        .collect()
}

fn writer(dir: &tempfile::TempDir) -> Hypercore {
    block_on(Hypercore::builder(Storage::disk(dir.path().join("log"))).open()).expect("a new log")
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for (count, size) in [(1, KIB), (16, KIB), (1000, KIB), (16, 64 * KIB)] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = writer(&dir);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} x {size}"), |b| {
            b.iter_batched(
                || blocks(count, size),
                |batch| block_on(async { log.append_batch(batch).await }).expect("room on disk"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn get(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let log = writer(&dir);
    block_on(async { log.append_batch(blocks(10_000, KIB)).await }).expect("room on disk");
    let mut at = 0u64;
    c.bench_function("get 1 KiB of 10,000", |b| {
        b.iter(|| {
            at = (at * 1_664_525 + 1_013_904_223) % 10_000;
            black_box(block_on(async { log.get(at).await }).expect("it is stored"))
        });
    });
}

async fn fetch(key: CoreKey, address: std::net::SocketAddr, count: u64) {
    let log = Hypercore::builder(Storage::memory())
        .key(key)
        .open()
        .await
        .expect("a reader");
    let stream = TcpStream::connect(address)
        .await
        .expect("the server listens");
    let connection = task::spawn(log.replicate(stream, Role::Initiator));
    log.download(..count).await.expect("the server has it");
    connection.cancel().await;
}

fn download(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let log = writer(&dir);
    block_on(async { log.append_batch(blocks(5_000, KIB)).await }).expect("room on disk");
    let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let served = log.clone();
    task::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            task::spawn(served.replicate(stream, Role::Responder));
        }
    });
    let mut group = c.benchmark_group("download");
    group.sample_size(10);
    group.throughput(Throughput::Elements(5_000));
    group.bench_function("5,000 x 1 KiB over TCP, in one process", |b| {
        b.iter(|| block_on(fetch(log.key(), address, 5_000)));
    });
    group.finish();
}

criterion_group!(benches, append, get, download);
criterion_main!(benches);
