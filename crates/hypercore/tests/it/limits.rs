//! Limits on the bytes of a second, in virtual time: as much passes as may, and no more.

use std::time::{Duration, Instant};

use hc_testkit::sim::{End, Sim, Task, link};
use hypercore::{Ended, Hypercore, Policy, RateLimit, ReplicateError, Replication, Role, Storage};

use crate::runtime::SimRuntime;

const HOUR: Duration = Duration::from_secs(3600);

/// Blocks that are sent: 200 KB.
const BLOCKS: usize = 100;
const BYTES: usize = 2000;

struct World {
    sim: Sim,
    runtime: SimRuntime,
}

type Running = Task<Result<Ended, ReplicateError>>;

impl World {
    fn new() -> Self {
        let sim = Sim::new(11);
        let runtime = SimRuntime::new(&sim, Instant::now(), Duration::ZERO);
        Self { sim, runtime }
    }

    fn writer(&self) -> Hypercore {
        let log = Hypercore::builder(Storage::memory())
            .runtime(self.runtime.clone())
            .open();
        let log = self.sim.run(HOUR, log).unwrap().unwrap();
        let append = log.append_batch((0..BLOCKS).map(|_| vec![0; BYTES]));
        let append = std::future::IntoFuture::into_future(append);
        self.sim.run(HOUR, append).unwrap().unwrap();
        log
    }

    fn reader(&self, of: &Hypercore) -> Hypercore {
        let log = Hypercore::builder(Storage::memory())
            .key(of.key())
            .runtime(self.runtime.clone())
            .open();
        self.sim.run(HOUR, log).unwrap().unwrap()
    }

    fn run(&self, end: End, role: Role, log: &Hypercore, policy: Policy) -> Running {
        let connection = Replication::over(end, role).add(log).policy(policy).start();
        self.sim.spawn(connection)
    }

    /// How many seconds it takes readers to fetch everything at the same time, each over a connection on
    /// which both sides keep to a policy.
    fn download(
        &self,
        readers: usize,
        server: impl Fn() -> Policy,
        client: impl Fn() -> Policy,
    ) -> f64 {
        let from = self.writer();
        let logs: Vec<Hypercore> = (0..readers).map(|_| self.reader(&from)).collect();
        let mut connections = Vec::new();
        for log in &logs {
            let (left, right, _) = link(&self.sim, Duration::from_millis(5));
            connections.push(self.run(left, Role::Responder, &from, server()));
            connections.push(self.run(right, Role::Initiator, log, client()));
        }
        let start = self.sim.now();
        let downloads: Vec<_> = logs
            .iter()
            .map(|log| self.sim.spawn(log.download(..BLOCKS as u64).start()))
            .collect();
        while !downloads.iter().all(Task::is_over) {
            self.sim.run_for(Duration::from_millis(100));
            assert!(self.sim.now() - start < HOUR);
        }
        assert!(logs.iter().all(|log| log.has(..BLOCKS as u64)));
        (self.sim.now() - start).as_secs_f64()
    }
}

fn limit(rate: u64) -> RateLimit {
    RateLimit::per_second(rate).unwrap()
}

#[test]
fn without_a_limit_it_takes_no_time() {
    let seconds = World::new().download(1, Policy::new, Policy::new);
    assert!(seconds < 2.0, "{seconds} s");
}

#[test]
fn no_more_is_written_in_a_second_than_the_limit() {
    let server = || Policy::new().upload_limit(limit(20_000));
    let seconds = World::new().download(1, server, Policy::new);
    // 200 KB and what comes with them
    assert!((9.5..14.0).contains(&seconds), "{seconds} s");
}

#[test]
fn no_more_is_read_in_a_second_than_the_limit() {
    let client = || Policy::new().download_limit(limit(20_000));
    let seconds = World::new().download(1, Policy::new, client);
    assert!((9.5..14.0).contains(&seconds), "{seconds} s");
}

#[test]
fn connections_can_share_a_limit_or_have_one_each() {
    let shared = Policy::new().upload_limit(limit(40_000));
    let seconds = World::new().download(4, || shared.clone(), Policy::new);
    assert!((19.0..28.0).contains(&seconds), "{seconds} s");
    let own = || Policy::new().upload_limit(limit(40_000));
    let seconds = World::new().download(4, own, Policy::new);
    assert!((4.5..8.0).contains(&seconds), "{seconds} s");
}

#[test]
fn a_slow_connection_that_is_closed_says_what_it_has_to_say() {
    let world = World::new();
    let from = world.writer();
    let to = world.reader(&from);
    let (left, right, _) = link(&world.sim, Duration::from_millis(5));
    let slow = Policy::new().upload_limit(limit(10_000));
    let server = world.run(left, Role::Responder, &from, slow);
    let client = world.run(right, Role::Initiator, &to, Policy::new());
    let _download = world.sim.spawn(to.download(..BLOCKS as u64).start());
    world.sim.run_for(Duration::from_secs(5));
    assert!(to.count(..) > 0 && to.count(..) < BLOCKS as u64);
    let closing = async move { from.close_all().await };
    world.sim.run(HOUR, closing).unwrap().unwrap();
    world.sim.run_for(Duration::from_secs(1));
    assert!(matches!(server.take(), Some(Ok(Ended::ByUs))));
    assert!(client.is_over());
}
