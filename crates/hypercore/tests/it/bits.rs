//! Which blocks are stored, where pages of bits begin and end: in memory, on disk, across a connection.

use async_std::task::block_on;
use hypercore::{Hypercore, Length, Storage};

use crate::peers::{connect, disconnect, soon, writer};

/// Bits in a page, as the reference has them.
const PAGE: u64 = 32_768;

async fn check(log: &Hypercore, has: &[(u64, bool)]) {
    for (index, expected) in has {
        assert_eq!(log.has(*index..index + 1), *expected, "block {index}");
        assert_eq!(
            log.get(*index).local().await.is_ok(),
            *expected,
            "block {index}"
        );
    }
}

#[test]
fn a_page_of_blocks_is_exactly_that() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = || Hypercore::builder(Storage::disk(dir.path())).open();
        let log = open().await.unwrap();
        log.append_batch((0..PAGE).map(|n| n.to_string()))
            .await
            .unwrap();
        let expected = [
            (0, true),
            (PAGE - 1, true),
            (PAGE, false),
            (2 * PAGE, false),
        ];
        check(&log, &expected).await;
        assert_eq!(log.contiguous_length(), Length::new(PAGE));
        log.close().await.unwrap();

        let log = open().await.unwrap();
        check(&log, &expected).await;
        assert_eq!(log.contiguous_length(), Length::new(PAGE));
        assert_eq!(log.count(..), PAGE);
        log.append("one more").await.unwrap();
        check(&log, &[(PAGE, true), (PAGE + 1, false)]).await;
    });
}

#[test]
fn blocks_of_the_first_the_middle_and_the_last_page_are_fetched_alone() {
    block_on(async {
        let from = writer().await;
        let length = 3 * PAGE;
        from.append_batch((0..length).map(|n| n.to_string()))
            .await
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            Hypercore::builder(Storage::disk(dir.path()))
                .key(from.key())
                .open()
        };
        let to = open().await.unwrap();
        let connection = connect(&from, &to);
        let wanted = [0, PAGE + PAGE / 2, length - 1];
        for index in wanted {
            assert_eq!(soon(to.get(index)).await.unwrap(), index.to_string());
        }
        let mut expected: Vec<_> = wanted.map(|index| (index, true)).into();
        let others = [1, PAGE - 1, PAGE, PAGE + PAGE / 2 + 1, 2 * PAGE, length - 2];
        expected.extend(others.map(|index| (index, false)));
        check(&to, &expected).await;
        disconnect(connection).await;
        to.close().await.unwrap();

        let to = open().await.unwrap();
        check(&to, &expected).await;
        assert_eq!(to.count(..), 3);
    });
}
