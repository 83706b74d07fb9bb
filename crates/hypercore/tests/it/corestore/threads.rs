//! Many tasks that open, write, read, replicate and close the same logs: no deadlock, and nothing left.

use async_std::task::{block_on, spawn};
use hypercore::{CoreKey, Corestore, StoreEvent, StoreEvents};

use super::{connect, in_memory};
use crate::peers::soon;

const LOGS: usize = 12;
const TASKS: usize = 8;
const ROUNDS: usize = 30;

/// A few bits that look random, the same in each run.
fn dice(state: &mut u64) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    usize::try_from(*state >> 33).unwrap()
}

async fn work(from: Corestore, to: Corestore, keys: Vec<CoreKey>, seed: u64) {
    let mut state = seed;
    let session = to.session();
    for _ in 0..ROUNDS {
        let at = dice(&mut state) % LOGS;
        let log = from.get(format!("log-{at}")).await.unwrap();
        let length = log.append("block").await.unwrap().length.get();
        match dice(&mut state) % 4 {
            0 => drop(log),
            1 => log.close().await.unwrap(),
            _ => {
                let copy = session.get(keys[at]).await.unwrap();
                assert_eq!(soon(copy.get(length - 1)).await.unwrap(), "block");
                if dice(&mut state).is_multiple_of(2) {
                    copy.close().await.unwrap();
                }
            }
        }
    }
    session.close().await.unwrap();
}

/// How many logs were opened, and how many closed, until the store was.
async fn count(mut events: StoreEvents) -> (usize, usize) {
    let (mut opened, mut closed) = (0, 0);
    while let Some(event) = events.next().await {
        match event {
            StoreEvent::Opened(_) => opened += 1,
            StoreEvent::Closed(_) => closed += 1,
            StoreEvent::Close => {}
            other => panic!("{other:?}"),
        }
    }
    (opened, closed)
}

#[test]
fn many_tasks_with_the_same_logs_end_and_leave_none_open() {
    block_on(async {
        let (from, to) = (in_memory().await, in_memory().await);
        let mut keys = Vec::new();
        for at in 0..LOGS {
            keys.push(from.get(format!("log-{at}")).await.unwrap().key());
        }
        let connections = [connect(&from, &to), connect(&to, &from)];
        let heard = [&from, &to].map(|store| spawn(count(store.events())));
        let tasks: Vec<_> = (1..=TASKS)
            .map(|seed| spawn(work(from.clone(), to.clone(), keys.clone(), seed as u64)))
            .collect();
        for task in tasks {
            task.await;
        }
        let mut written = 0;
        for at in 0..LOGS {
            written += from.get(format!("log-{at}")).await.unwrap().length().get();
        }
        assert_eq!(written, (TASKS * ROUNDS) as u64, "no append was lost");
        for (left, right) in connections {
            left.cancel().await;
            soon(right).await.ok();
        }
        assert!(from.open_cores().is_empty(), "{:?}", from.open_cores());
        assert!(to.open_cores().is_empty(), "{:?}", to.open_cores());
        assert_eq!((from.open_sessions(), to.open_sessions()), (1, 1));
        from.close().await.unwrap();
        to.close().await.unwrap();
        for heard in heard {
            let (opened, closed) = heard.await;
            assert!(opened >= LOGS, "each log was opened");
            assert_eq!(opened, closed);
        }
    });
}
