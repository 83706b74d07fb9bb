//! Logs to store: signed by nobody, with trees that are right.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::{
    BlockIndex, Change, CoreKey, DiscoveryKey, Draft, Fork, Head, Length, SecretKey, Truncation,
};
use hc_storage::{Auth, Batch, CoreRead, CoreRecord, CoreStore, Durability, Store};

pub(crate) type Outcome = Result<(), Box<dyn Error>>;

pub(crate) fn name(number: u8) -> DiscoveryKey {
    DiscoveryKey([number; 32])
}

pub(crate) fn record(number: u8) -> CoreRecord {
    CoreRecord {
        discovery_key: name(number),
        auth: Auth::reader(CoreKey([number ^ 0xff; 32])),
        alias: None,
    }
}

pub(crate) fn secret(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 64])
}

/// The bytes of a block: different for each, a few of them long enough not to be copied.
pub(crate) fn block(index: u64, salt: u64) -> Bytes {
    let len = match index % 13 {
        0 => 0,
        7 => 20_000,
        n => n as usize * 17,
    };
    let start = index.wrapping_mul(31).wrapping_add(salt);
    Bytes::from(
        (0..len as u64)
            .map(|at| (start + at * 7) as u8)
            .collect::<Vec<_>>(),
    )
}

pub(crate) fn append_to(head: &Head, count: u64, salt: u64) -> Result<Change, Box<dyn Error>> {
    let mut draft = Draft::new(head);
    let start = head.length().get();
    draft.append((start..start + count).map(|index| block(index, salt)))?;
    Ok(draft.seal(|_| Ok::<_, std::convert::Infallible>(Bytes::from(vec![salt as u8; 64])))?)
}

pub(crate) fn append(core: &dyn CoreStore, count: u64, salt: u64, level: Durability) -> Outcome {
    let change = append_to(&core.head()?, count, salt)?;
    Ok(core.commit(Batch::from_change(&change), level)?.wait()?)
}

pub(crate) fn truncation(core: &dyn CoreRead, to: u64) -> Result<Change, Box<dyn Error>> {
    let head = core.head()?;
    let fork = Fork::new(head.fork().get() + 1);
    let plan = Truncation::new(&head, Length::new(to), fork)?;
    let mut nodes = Vec::new();
    core.nodes(plan.nodes(), &mut nodes)?;
    Ok(plan.apply(&nodes)?.seal_unsigned())
}

pub(crate) fn clear(core: &dyn CoreStore, start: u64, end: u64, level: Durability) -> Outcome {
    let mut batch = Batch::new();
    batch.clear(BlockIndex::new(start)..BlockIndex::new(end));
    Ok(core.commit(batch, level)?.wait()?)
}

pub(crate) fn create(store: &dyn Store, number: u8) -> Result<Arc<dyn CoreStore>, Box<dyn Error>> {
    Ok(store.create_core(record(number))?)
}

pub(crate) fn reopen(store: &dyn Store, number: u8) -> Result<Arc<dyn CoreStore>, Box<dyn Error>> {
    Ok(store.open_core(&name(number))?.ok_or("core is gone")?)
}

/// The unsigned head that a log has at some length, on its fork.
pub(crate) fn head_at(core: &dyn CoreRead, length: u64) -> Result<Head, Box<dyn Error>> {
    let head = core.head()?;
    let plan = Truncation::new(&head, Length::new(length), head.fork())?;
    let mut nodes = Vec::new();
    core.nodes(plan.nodes(), &mut nodes)?;
    Ok(plan.apply(&nodes)?.head())
}

/// A new branch of a log, from some length on.
pub(crate) fn branch(
    core: &dyn CoreStore,
    name: &str,
    length: u64,
) -> Result<Arc<dyn CoreStore>, Box<dyn Error>> {
    Ok(core.create_branch(name, &head_at(core, length)?)?)
}

pub(crate) fn reopen_branch(
    store: &dyn Store,
    number: u8,
    name: &str,
) -> Result<Arc<dyn CoreStore>, Box<dyn Error>> {
    let branch = reopen(store, number)?.open_branch(name)?;
    Ok(branch.ok_or("branch is gone")?)
}

pub(crate) fn truncate(core: &dyn CoreStore, to: u64, level: Durability) -> Outcome {
    let change = truncation(core, to)?;
    Ok(core.commit(Batch::from_change(&change), level)?.wait()?)
}

/// Makes a branch what its log is at some length.
pub(crate) fn reset(
    branch: &dyn CoreStore,
    log: &dyn CoreRead,
    length: u64,
    level: Durability,
) -> Outcome {
    let head = branch.head()?;
    let batch = Batch::reset((head.fork(), head.length()), head_at(log, length)?);
    Ok(branch.commit(batch, level)?.wait()?)
}
