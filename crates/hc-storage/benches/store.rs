//! Appends at each batch size beside a raw write of the same bytes, block and node reads, and opening.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hc_merkle::{BlockIndex, Change, CoreKey, DiscoveryKey, Draft};
use hc_storage::{Auth, Batch, CoreRecord, CoreStore, DiskStore, Durability, Store, StoreOptions};

type Fallible<T> = Result<T, Box<dyn Error>>;

const NAME: DiscoveryKey = DiscoveryKey([1; 32]);

fn blocks(count: u64, len: usize) -> Vec<Bytes> {
    let mut state = 1u64;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_le_bytes()[7]
    };
    (0..count)
        .map(|_| (0..len).map(|_| byte()).collect::<Vec<_>>().into())
        .collect()
}

fn create(path: &std::path::Path) -> Fallible<(DiskStore, Arc<dyn CoreStore>)> {
    let store = DiskStore::open(path)?;
    let record = CoreRecord {
        alias: None,
        discovery_key: NAME,
        auth: Auth::reader(CoreKey([2; 32])),
    };
    let core = store.create_core(record)?;
    Ok((store, core))
}

/// The next change, without signature or leaf hashes of its own.
fn change(core: &dyn CoreStore, blocks: &[Bytes]) -> Fallible<Change> {
    let mut draft = Draft::new(&core.head()?);
    draft.append(blocks.iter().cloned())?;
    Ok(draft.seal_unsigned())
}

fn append(c: &mut Criterion) {
    for (count, len) in [(1, 1024), (16, 1024), (1000, 1024), (16, 65536)] {
        let mut group = c.benchmark_group(format!("append {count} x {len}"));
        group
            .throughput(Throughput::Elements(count))
            .sample_size(20);
        let blocks = blocks(count, len);
        let directory = tempfile::tempdir().expect("directory");
        let (_store, core) = create(directory.path()).expect("store");
        for level in [Durability::Os, Durability::Disk] {
            group.bench_function(format!("{level:?}"), |b| {
                b.iter_batched(
                    || Batch::from_change(&change(&*core, &blocks).expect("change")),
                    |batch| core.commit(batch, level).and_then(hc_storage::Ticket::wait),
                    BatchSize::PerIteration,
                );
            });
        }
        let raw = File::create(directory.path().join("raw")).expect("file");
        let bytes = blocks.concat();
        let mut at = 0;
        group.bench_function("raw write", |b| {
            b.iter(|| {
                raw.write_all_at(&bytes, at).expect("write");
                at += bytes.len() as u64;
            });
        });
        group.finish();
    }
}

fn read_and_open(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("directory");
    let (store, core) = create(directory.path()).expect("store");
    let blocks = blocks(1000, 1024);
    for _ in 0..100 {
        let batch = Batch::from_change(&change(&*core, &blocks).expect("change"));
        core.commit(batch, Durability::Os)
            .and_then(hc_storage::Ticket::wait)
            .expect("commit");
    }
    drop(core);
    store.close().expect("close");
    c.bench_function("open, 100k blocks", |b| {
        b.iter(|| {
            let store = StoreOptions::default()
                .open(directory.path())
                .expect("open");
            store
                .open_core(&NAME)
                .expect("core")
                .expect("core")
                .head()
                .expect("head")
        });
    });
    let store = StoreOptions::default()
        .open(directory.path())
        .expect("open");
    let core = store.open_core(&NAME).expect("core").expect("core");
    let mut at = 0u64;
    let mut next = || {
        at = at
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        BlockIndex::new((at >> 33) % 100_000)
    };
    c.bench_function("read a block", |b| b.iter(|| black_box(core.block(next()))));
    c.bench_function("read a node", |b| {
        b.iter(|| black_box(core.node(next().leaf().expect("leaf"))));
    });
}

criterion_group!(benches, append, read_and_open);
criterion_main!(benches);
