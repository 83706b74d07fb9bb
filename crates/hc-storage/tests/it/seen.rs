//! Everything that can be seen of a log, to be compared.

use bytes::Bytes;
use hc_merkle::{BlockIndex, Head, Node, NodeIndex};
use hc_storage::{CoreRead, CoreStore, Lineage, StorageError};

/// Everything that can be seen of one log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    head: Head,
    blocks: Vec<Option<Bytes>>,
    nodes: Vec<Option<Node>>,
    bits: Vec<bool>,
    note: Option<Bytes>,
    lineage: Option<Lineage>,
    branches: Vec<(String, Self)>,
}

pub(crate) fn look(core: &dyn CoreRead) -> Result<Seen, StorageError> {
    let bits = core.bitfield()?;
    let head = core.head()?;
    let end = head.length().get() + 20;
    let mut nodes = Vec::new();
    let indexes: Vec<_> = (0..2 * end).map(NodeIndex::new).collect();
    core.nodes(&indexes, &mut nodes)?;
    Ok(Seen {
        head,
        blocks: (0..end)
            .map(|index| core.block(BlockIndex::new(index)))
            .collect::<Result<_, _>>()?,
        nodes,
        bits: (0..end).map(|index| bits.get(index)).collect(),
        note: core.user_data("note")?,
        lineage: core.lineage()?,
        branches: Vec::new(),
    })
}

/// A log with its branches.
pub(crate) fn look_at_all(core: &dyn CoreStore) -> Result<Seen, StorageError> {
    let mut seen = look(core)?;
    for name in core.branches()? {
        let branch = core.open_branch(&name)?;
        let branch = branch.ok_or(StorageError::NoBranch { name: name.clone() })?;
        seen.branches.push((name, look(&*branch)?));
    }
    Ok(seen)
}
