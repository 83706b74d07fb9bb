//! What has to hold at any time, and what once it is quiet.

use hc_merkle::BlockIndex;
use hc_storage::Store;

use crate::node::Node;
use crate::oracle::Oracle;

/// What memory says is what the store has, and what the store has is what the writer wrote. Blocks that
/// were looked at before are not read again.
pub(crate) fn safety(node: &mut Node, oracle: &Oracle) {
    let log = &node.log;
    let stored = node.store.open_core(&log.discovery_key());
    let stored = stored.expect("a store that reads").expect("the log");
    let head = stored.head().expect("a head");
    assert_eq!(head, log.head(), "memory and store differ");
    let have = stored.bitfield().expect("bits");
    let fork = head.fork().get();
    if node.checked.0 != fork {
        node.checked = (fork, Default::default());
    }
    let length = head.length().get();
    assert_eq!(have.count(length..u64::MAX), 0, "blocks past the end");
    for index in 0..length {
        let here = have.get(index);
        assert_eq!(
            log.has(index..index + 1),
            here,
            "block {index}: memory and store differ"
        );
        if here && node.checked.1.insert(index) {
            let block = stored
                .block(BlockIndex::new(index))
                .expect("a block that reads");
            let block = block.expect("a block whose bit is set");
            let written = oracle.block(fork, index);
            assert_eq!(
                Some(&block),
                written,
                "fork {fork} block {index} is not the writer's"
            );
        }
    }
}

/// Reads everything again, and hashes it against the signed head.
pub(crate) fn audit(node: &mut Node, oracle: &Oracle) {
    node.checked.1.clear();
    safety(node, oracle);
    let contiguous = node.log.contiguous_length().get();
    assert!(
        node.log.has(0..contiguous),
        "a hole below the contiguous length"
    );
    assert!(
        contiguous == node.log.length().get() || !node.log.has(contiguous..contiguous + 1),
        "the contiguous length falls short"
    );
}
