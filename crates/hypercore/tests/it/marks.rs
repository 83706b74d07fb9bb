//! Mark and sweep.

use async_std::task::block_on;
use hypercore::{Hypercore, Length, MarkError, MarkedGetError, Marking, Storage};

use crate::peers::{connect, reader, soon, writer};

async fn log_of(blocks: u64) -> Hypercore {
    let log = writer().await;
    log.append_batch((0..blocks).map(|n| n.to_string()))
        .await
        .unwrap();
    log
}

fn stored(log: &Hypercore) -> Vec<u64> {
    let length = log.length().get();
    (0..length)
        .filter(|index| log.has(*index..index + 1))
        .collect()
}

async fn mark(marking: &Marking, blocks: &[u64]) {
    for index in blocks {
        assert_eq!(marking.get(*index).await.unwrap(), index.to_string());
    }
}

#[test]
fn what_is_read_while_marking_is_kept_and_the_rest_is_cleared() {
    block_on(async {
        let log = log_of(10).await;
        let marking = log.start_marking().await.unwrap();
        mark(&marking, &[2, 3, 7, 2]).await;
        assert_eq!(marking.marked(), [2, 3, 7]);
        assert_eq!(
            log.get(5).await.unwrap(),
            "5",
            "read past it, and so not marked"
        );
        assert_eq!(marking.sweep().await.unwrap(), 7);
        assert_eq!(stored(&log), [2, 3, 7]);
        assert_eq!(
            (log.length(), log.contiguous_length()),
            (Length::new(10), Length::ZERO)
        );
        // It has ended: reading marks nothing, and there is nothing left of the marks.
        let again = log.resume_marking().await.unwrap();
        assert!(again.marked().is_empty());
    });
}

#[test]
fn a_log_is_marked_by_one_at_a_time() {
    block_on(async {
        let log = log_of(3).await;
        let session = log.clone();
        let marking = log.start_marking().await.unwrap();
        assert!(matches!(
            session.start_marking().await,
            Err(MarkError::Marking)
        ));
        assert!(matches!(
            session.resume_marking().await,
            Err(MarkError::Marking)
        ));
        drop(marking);
        session
            .start_marking()
            .await
            .unwrap()
            .abandon()
            .await
            .unwrap();
        assert_eq!(stored(&log), [0, 1, 2]);
    });
}

#[test]
fn a_sweep_of_nothing_marked_clears_all() {
    block_on(async {
        let log = log_of(1000).await;
        let marking = log.start_marking().await.unwrap();
        assert_eq!(marking.sweep().await.unwrap(), 1000);
        assert_eq!(log.count(..), 0);
    });
}

#[test]
fn sessions_mark_for_the_log() {
    block_on(async {
        let log = log_of(8).await;
        let session = log.clone();
        let marking = session.start_marking().await.unwrap();
        mark(&marking, &[1]).await;
        marking.mark(4..6).await.unwrap();
        let marker = marking.marker();
        session.close().await.unwrap();
        marker.mark(7..).await.unwrap();
        assert_eq!(marking.sweep().await.unwrap(), 4);
        assert_eq!(stored(&log), [1, 4, 5, 7]);
    });
}

#[test]
fn ranges_end_before_their_end_and_with_the_log() {
    block_on(async {
        let log = log_of(6).await;
        let marking = log.start_marking().await.unwrap();
        marking.mark(1..3).await.unwrap();
        marking.mark(5..100).await.unwrap();
        marking.mark(3..3).await.unwrap();
        assert_eq!(marking.marked(), [1, 2, 5]);
        assert!(marking.is_marked(2) && !marking.is_marked(3));
        marking.sweep().await.unwrap();
        assert_eq!(stored(&log), [1, 2, 5]);
    });
}

#[test]
fn marks_are_found_again() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = || Hypercore::builder(Storage::disk(dir.path())).open();
        let log = open().await.unwrap();
        log.append_batch((0..5000).map(|n| n.to_string()))
            .await
            .unwrap();
        log.set_user_data("mine", "kept").await.unwrap();
        let marking = log.start_marking().await.unwrap();
        mark(&marking, &[0, 1023, 1024, 4999]).await;
        drop(marking);
        log.close().await.unwrap();

        let log = open().await.unwrap();
        let marking = log.resume_marking().await.unwrap();
        assert_eq!(marking.marked(), [0, 1023, 1024, 4999]);
        marking.mark(2000..2001).await.unwrap();
        assert_eq!(marking.sweep().await.unwrap(), 4995);
        log.close().await.unwrap();

        let log = open().await.unwrap();
        assert_eq!(stored(&log), [0, 1023, 1024, 2000, 4999]);
        assert!(log.resume_marking().await.unwrap().marked().is_empty());
        let mine = log.user_data_range(..).unwrap();
        assert_eq!(mine, [("mine".to_owned(), "kept".into())]);
    });
}

#[test]
fn a_fresh_start_forgets_what_was_marked() {
    block_on(async {
        let log = log_of(4).await;
        let marking = log.start_marking().await.unwrap();
        mark(&marking, &[0, 1]).await;
        drop(marking);
        let marking = log.start_marking().await.unwrap();
        assert!(marking.marked().is_empty());
        mark(&marking, &[3]).await;
        marking.sweep().await.unwrap();
        assert_eq!(stored(&log), [3]);
    });
}

#[test]
fn marks_that_are_no_applications_are_not_its_user_data() {
    block_on(async {
        let log = log_of(2).await;
        let marking = log.start_marking().await.unwrap();
        mark(&marking, &[1]).await;
        assert!(log.user_data_range(..).unwrap().is_empty());
        assert!(log.set_user_data("\0mark/0", "mine").await.is_err());
        assert!(
            log.remove_user_data("\0mark/0000000000000000")
                .await
                .is_err()
        );
        assert_eq!(log.user_data("\0mark/0000000000000000").unwrap(), None);
    });
}

#[test]
fn a_snapshot_is_read_and_marked_and_only_the_log_is_swept() {
    block_on(async {
        let log = log_of(6).await;
        let snapshot = log.snapshot().unwrap();
        log.append("6").await.unwrap();
        let marking = log.start_marking().await.unwrap();
        let marker = marking.marker();
        for index in [0, 4] {
            assert_eq!(snapshot.get(index).await.unwrap(), index.to_string());
            marker.mark(index..=index).await.unwrap();
        }
        assert_eq!(marking.sweep().await.unwrap(), 5);
        assert_eq!(stored(&log), [0, 4]);
        assert_eq!(
            snapshot.get(3).await.unwrap(),
            "3",
            "it keeps what it showed"
        );
    });
}

#[test]
fn a_quarter_of_a_million_blocks_are_swept_quickly() {
    block_on(async {
        let log = log_of(250_000).await;
        let marking = log.start_marking().await.unwrap();
        let kept: Vec<u64> = (0..250_000).step_by(97).collect();
        for index in &kept {
            marking.get(*index).await.unwrap();
        }
        assert_eq!(marking.sweep().await.unwrap(), 250_000 - kept.len() as u64);
        assert_eq!(stored(&log), kept);
    });
}

#[test]
fn what_was_swept_is_fetched_again_and_peers_are_told() {
    block_on(async {
        let from = log_of(20).await;
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        soon(to.download(..20)).await.unwrap();
        let marking = to.start_marking().await.unwrap();
        mark(&marking, &[3]).await;
        marking.sweep().await.unwrap();
        assert_eq!(stored(&to), [3]);
        // And what is fetched while marking is marked.
        let marking = to.start_marking().await.unwrap();
        assert_eq!(soon(marking.get(11)).await.unwrap(), "11");
        marking.sweep().await.unwrap();
        assert_eq!(stored(&to), [11]);
    });
}

#[test]
fn a_closed_handle_neither_marks_nor_sweeps() {
    block_on(async {
        let log = log_of(3).await;
        let marking = log.start_marking().await.unwrap();
        log.close_all().await.unwrap();
        assert!(matches!(marking.mark(..).await, Err(MarkError::Closed)));
        assert!(matches!(marking.get(0).await, Err(MarkedGetError::Get(_))));
        assert!(matches!(marking.sweep().await, Err(MarkError::Closed)));
    });
}
