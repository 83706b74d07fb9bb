//! Whose turn it is where many ask: counted, with every connection run by hand.

use std::future::Future;

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hypercore::limits::ANSWERS_PER_POLL;
use hypercore::{Hypercore, Role, Storage};

use crate::peers::{asked, block, reader, writer};
use crate::pipe::pipe;

/// Runs all of these in turn until something is so.
async fn run_until(connections: &mut [std::pin::Pin<Box<impl Future>>], what: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if what() {
            return;
        }
        for connection in &mut *connections {
            assert!(poll_once(connection).await.is_none(), "a connection ended");
        }
    }
    panic!("it does not come to that");
}

#[test]
fn a_peer_that_asks_for_everything_puts_few_answers_before_the_first_of_another() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..2_000).map(block)).await.unwrap();
        let greedy = Hypercore::builder(Storage::memory())
            .key(from.key())
            .inflight_range(1_000..=1_000)
            .open()
            .await
            .unwrap();
        let modest = reader(&from).await;
        let serve = |to: &Hypercore| {
            let (left, right) = pipe();
            let server = Box::pin(from.replicate(left, Role::Responder));
            (server, Box::pin(to.replicate(right, Role::Initiator)))
        };
        let (to_greedy, of_greedy) = serve(&greedy);
        let (to_modest, of_modest) = serve(&modest);
        let mut all = [to_greedy, of_greedy, to_modest, of_modest];
        let known = || greedy.length().get() == 2_000 && modest.length().get() == 2_000;
        run_until(&mut all, known).await;
        let [to_greedy, of_greedy, to_modest, of_modest] = &mut all;

        let _all = greedy.download(..).start();
        for _ in 0..10 {
            assert!(poll_once(&mut *of_greedy).await.is_none());
        }
        assert!(
            greedy.stats().sent.request >= 500,
            "{:?}",
            greedy.stats().sent
        );
        let _one = asked(modest.get(7)).await;
        assert!(poll_once(of_modest).await.is_none());

        let answers = || from.stats().blocks_uploaded;
        let before = answers();
        assert!(poll_once(to_greedy).await.is_none());
        let of_the_greedy = answers() - before;
        assert!(of_the_greedy > 0);
        assert!(of_the_greedy <= ANSWERS_PER_POLL as u64, "{of_the_greedy}");
        assert!(poll_once(to_modest).await.is_none());
        assert_eq!(answers() - before, of_the_greedy + 1);
    });
}
