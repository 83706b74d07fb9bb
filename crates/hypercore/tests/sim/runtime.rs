//! The runtime of the simulation: its clock, its randomness, and a disk that makes one wait.

use std::time::{Duration, Instant};

use hc_testkit::sim::Sim;
use hypercore::rt::{BoxFuture, Job, Random, Runtime};

/// Time and blocking work of one process in a simulated world.
#[derive(Clone)]
pub(crate) struct SimRuntime {
    sim: Sim,
    epoch: Instant,
    /// How long what really waits for the disk takes.
    disk: Duration,
}

impl SimRuntime {
    pub(crate) fn new(sim: &Sim, epoch: Instant, disk: Duration) -> Self {
        Self {
            sim: sim.clone(),
            epoch,
            disk,
        }
    }
}

impl Runtime for SimRuntime {
    fn now(&self) -> Instant {
        self.epoch + self.sim.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<()> {
        let at = deadline.saturating_duration_since(self.epoch);
        Box::pin(self.sim.sleep_until(at))
    }

    fn unblock(&self, job: Job) -> BoxFuture<()> {
        let (sim, disk) = (self.sim.clone(), self.disk);
        Box::pin(async move {
            sim.sleep(disk).await;
            job();
        })
    }

    fn fill_random(&self, bytes: &mut [u8]) -> Random {
        self.sim.fill(bytes);
        Ok(())
    }
}
