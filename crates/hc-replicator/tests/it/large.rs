//! A hundred thousand blocks: the work is in proportion to what happens, not to what there is.

use hc_replicator::Order;

use crate::pair::Pair;

#[test]
fn whole_pages_of_bits_and_one_block_more_are_fetched() {
    for blocks in [32_768, 32_769] {
        for order in [Order::Linear, Order::Scattered] {
            Pair::new(blocks).download(order);
        }
    }
}

#[test]
fn outputs_and_work_grow_with_the_blocks_and_no_faster() {
    for order in [Order::Linear, Order::Scattered] {
        let mut small = Pair::new(10_000);
        small.download(order);
        let mut large = Pair::new(100_000);
        large.download(order);
        for (pair, blocks) in [(&small, 10_000), (&large, 100_000)] {
            // per block: request, proof, answer, effect and two notices; a wait after each of four inputs
            assert!(
                pair.outputs <= 10 * blocks + blocks / 10,
                "{} outputs",
                pair.outputs
            );
        }
        // the path of a block by itself would be 17
        assert!(large.nodes <= 110_000, "{} nodes", large.nodes);
        let (few, many) = (small.looked_at(), large.looked_at());

        assert!(
            many < 12 * few && many < 12 * 100_000,
            "{many} steps for 100,000 blocks and {few} for 10,000"
        );
    }
}
