//! Logs that join a connection while it runs, on either side, and what it costs to have many.

use std::future::IntoFuture;

use async_std::task;
use futures_lite::future::{block_on, poll_once};
use hypercore::{
    Ended, Hypercore, Logs, ReplicateError, Replication, Role, Storage, Traffic, limits, rt,
};

use crate::peers::{Running, opened, reader, soon, writer};
use crate::pipe::pipe;

/// One side of a connection that runs.
struct Side {
    logs: Logs,
    traffic: Traffic,
    running: Running,
}

/// A connection without logs.
fn empty() -> (Side, Side) {
    let (left, right) = pipe();
    let side = |end, role| {
        let connection = Replication::over(end, role).on(rt::AsyncStd).start();
        Side {
            logs: connection.logs(),
            traffic: connection.traffic(),
            running: task::spawn(connection),
        }
    };
    (side(left, Role::Initiator), side(right, Role::Responder))
}

async fn two() -> (Hypercore, Hypercore) {
    let from = writer().await;
    from.append_batch(["a", "b"]).await.unwrap();
    let to = reader(&from).await;
    (from, to)
}

#[test]
fn a_log_joins_late_on_either_side_and_twice() {
    block_on(async {
        let (left, right) = empty();
        for reader_first in [true, false] {
            let (from, to) = two().await;
            let (first, second) = if reader_first {
                ((&left, &to), (&right, &from))
            } else {
                ((&right, &from), (&left, &to))
            };
            assert!(first.0.logs.add(first.1));
            // long enough for the other side to have said no
            soon(task::sleep(std::time::Duration::from_millis(20))).await;
            assert!(second.0.logs.add(second.1));
            assert_eq!(soon(to.get(1)).await.unwrap(), "b");
            assert!(left.logs.add(&to) && right.logs.add(&from));
            assert_eq!(soon(to.get(0)).await.unwrap(), "a");
            assert_eq!((to.peers().len(), from.peers().len()), (1, 1));
        }
    });
}

#[test]
fn a_connection_ends_with_its_last_log_once_nobody_can_add_any() {
    block_on(async {
        let (left, right) = empty();
        let (from, to) = two().await;
        left.logs.add(&to);
        right.logs.add(&from);
        assert_eq!(soon(to.get(1)).await.unwrap(), "b");
        soon(to.close_all()).await.unwrap();
        let (again, copy) = two().await;
        left.logs.add(&copy);
        right.logs.add(&again);
        assert_eq!(soon(copy.get(1)).await.unwrap(), "b");
        soon(copy.close_all()).await.unwrap();
        drop(left.logs);
        assert_eq!(soon(left.running).await.unwrap(), Ended::ByUs);
        assert_eq!(soon(right.running).await.unwrap(), Ended::ByRemote);
        assert!(!right.logs.add(&from));
    });
}

#[test]
fn a_log_that_was_closed_joins_again() {
    block_on(async {
        let (left, right) = empty();
        let (from, to) = two().await;
        right.logs.add(&from);
        left.logs.add(&to);
        assert_eq!(soon(to.get(0)).await.unwrap(), "a");
        soon(to.close_all()).await.unwrap();
        let again = reader(&from).await;
        left.logs.add(&again);
        assert_eq!(soon(again.get(1)).await.unwrap(), "b");
    });
}

#[test]
fn what_the_remote_asks_for_is_attached_or_declined() {
    block_on(async {
        let (from, to) = two().await;
        let other = writer().await;
        let (left, right) = pipe();
        let server = Replication::over(left, Role::Responder)
            .on(rt::AsyncStd)
            .start();
        let mut questions = server.questions();
        let _server = task::spawn(server);
        let client = Replication::over(right, Role::Initiator)
            .add(&other)
            .add(&to)
            .identity([7; 32])
            .start();
        let client = task::spawn(client);
        for _ in 0..2 {
            let question = soon(questions.next()).await.unwrap();
            if question.discovery_key() == from.discovery_key() {
                // What the remote says meanwhile is not lost.
                task::sleep(std::time::Duration::from_millis(20)).await;
                assert!(question.attach(&from));
            }
        }
        assert_eq!(soon(to.get(1)).await.unwrap(), "b");
        assert!(other.peers().is_empty());
        // Where nobody listens, the answer is no at once.
        drop(questions);
        soon(to.close_all()).await.unwrap();
        let ended = soon(client).await;
        assert!(matches!(ended, Ok(Ended::ByUs)), "{ended:?}");
    });
}

#[test]
fn who_declines_everything_shares_nothing() {
    block_on(async {
        let (_, to) = two().await;
        let (left, right) = pipe();
        let server = Replication::over(left, Role::Responder)
            .on(rt::AsyncStd)
            .start();
        let mut questions = server.questions();
        let server = task::spawn(server);
        let client = task::spawn(to.replicate(right, Role::Initiator));
        let question = soon(questions.next()).await.unwrap();
        assert_eq!(question.discovery_key(), to.discovery_key());
        drop(question);
        let ended = soon(client).await;
        assert!(
            matches!(ended, Err(ReplicateError::Refused { .. })),
            "{ended:?}"
        );
        assert!(soon(questions.next()).await.is_none());
        assert_eq!(soon(server).await.unwrap(), Ended::ByRemote);
    });
}

#[test]
fn questions_that_nobody_answers_end_at_the_limit() {
    const MORE: usize = 3;
    block_on(async {
        let (left, right) = pipe();
        let server = Replication::over(left, Role::Responder)
            .on(rt::AsyncStd)
            .start();
        let mut questions = server.questions();
        let _server = task::spawn(server);
        let mut replication = Replication::over(right, Role::Initiator).on(rt::AsyncStd);
        let mut logs = Vec::new();
        for _ in 0..limits::QUESTIONS_WAITING + MORE {
            let builder = Hypercore::builder(Storage::memory()).key(writer().await.key());
            let log = builder.open().await.unwrap();
            replication = replication.add(&log);
            logs.push(log);
        }
        let _client = task::spawn(replication.start());
        // who was declined has nobody to wait for
        let mut updates: Vec<_> = logs
            .iter()
            .map(|log| Some(Box::pin(log.update().into_future())))
            .collect();
        let mut declined = 0;
        let enough = async {
            while declined < MORE {
                for slot in &mut updates {
                    let Some(update) = slot else { continue };
                    if poll_once(update).await.is_some() {
                        *slot = None;
                        declined += 1;
                    }
                }
                task::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        soon(enough).await;
        let mut kept = Vec::new();
        for _ in 0..limits::QUESTIONS_WAITING {
            kept.push(soon(questions.next()).await.unwrap());
        }
        assert!(poll_once(questions.next()).await.is_none());
        assert_eq!(declined, MORE);
    });
}

#[test]
fn of_a_thousand_logs_those_that_nothing_happens_to_cost_nothing() {
    block_on(async {
        let (left, right) = empty();
        let mut pairs = Vec::new();
        for _ in 0..1000 {
            let from = opened(Storage::memory()).await;
            let to = reader(&from).await;
            right.logs.add(&from);
            left.logs.add(&to);
            pairs.push((from, to));
        }
        let (from, to) = &pairs[500];
        from.append("first").await.unwrap();
        for (_, to) in &pairs {
            soon(async {
                while to.peers().is_empty() {
                    task::sleep(std::time::Duration::from_millis(1)).await;
                }
            })
            .await;
        }
        assert_eq!(soon(to.get(0)).await.unwrap(), "first");
        let looks = || left.traffic.logs_looked_at() + right.traffic.logs_looked_at();
        let mut each = Vec::new();
        for index in 1..=21 {
            let before = looks();
            from.append("more").await.unwrap();
            assert_eq!(soon(to.get(index)).await.unwrap(), "more");
            each.push(looks() - before);
        }
        // Each side looks at its log a few times for a block; now and then a timer of others comes due
        // meanwhile. Work for all of them would be thousands, each time.
        each.sort_unstable();
        assert!(each[10] < 40, "{each:?} looks for the blocks");
    });
}

#[test]
fn nobody_is_asked_for_what_both_sides_have() {
    block_on(async {
        let (from, to) = two().await;
        let (left, right) = pipe();
        let server = Replication::over(left, Role::Responder).add(&from).start();
        let mut questions = server.questions();
        let _server = task::spawn(server);
        let _client = task::spawn(to.replicate(right, Role::Initiator));
        assert_eq!(soon(to.get(1)).await.unwrap(), "b");
        assert!(poll_once(questions.next()).await.is_none(), "no question");
    });
}
