//! A queue of tasks, a queue of timers, a source of randomness. Knows nothing of what runs.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fastrand::Rng;

/// Polls at one moment of virtual time beyond which nothing comes to rest any more.
const MAX_POLLS_AT_ONCE: u64 = 2_000_000;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A world of its own: tasks that run one after the other, and a clock that only moves when all of
/// them wait. Clones are the same world.
#[derive(Clone)]
pub struct Sim(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
}

struct State {
    now: Duration,
    next: u64,
    ready: VecDeque<u64>,
    tasks: BTreeMap<u64, Slot>,
    timers: BTreeMap<(Duration, u64), Waker>,
    rng: Rng,
}

struct Slot {
    /// Taken out while it is polled.
    job: Option<Job>,
    queued: bool,
}

struct TaskWaker {
    sim: Weak<Inner>,
    id: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let Some(inner) = self.sim.upgrade() else {
            return;
        };
        let mut state = inner.lock();
        if let Some(slot) = state.tasks.get_mut(&self.id)
            && !std::mem::replace(&mut slot.queued, true)
        {
            state.ready.push_back(self.id);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sim {
    /// A world at time zero.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                now: Duration::ZERO,
                next: 0,
                ready: VecDeque::new(),
                tasks: BTreeMap::new(),
                timers: BTreeMap::new(),
                rng: Rng::with_seed(seed),
            }),
        }))
    }

    /// Time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.0.lock().now
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.lock().rng.u64(..bound)
    }

    /// Whether something happens that happens this often in a hundred.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Random bytes, the same in each run.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().rng.fill(bytes);
    }

    /// Runs a future beside the others.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let job: Job = Box::pin(async move {
            let value = future.await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        });
        let mut state = self.0.lock();
        let id = state.next;
        state.next += 1;
        let job = Slot {
            job: Some(job),
            queued: true,
        };
        state.tasks.insert(id, job);
        state.ready.push_back(id);
        Task {
            sim: self.clone(),
            id,
            result,
        }
    }

    /// Resolves once it is that late.
    pub fn sleep_until(&self, at: Duration) -> Sleep {
        Sleep {
            sim: self.clone(),
            at,
            timer: None,
        }
    }

    /// Resolves after this long.
    pub fn sleep(&self, time: Duration) -> Sleep {
        self.sleep_until(self.now() + time)
    }

    /// Lets the world go on for this long.
    ///
    /// # Panics
    /// If the tasks do not come to rest.
    pub fn run_for(&self, time: Duration) {
        let end = self.now() + time;
        loop {
            self.run_ready();
            let due = {
                let mut state = self.0.lock();
                match state.timers.first_entry() {
                    Some(entry) if entry.key().0 <= end => {
                        let at = entry.key().0;
                        let waker = entry.remove();
                        state.now = state.now.max(at);
                        waker
                    }
                    _ => {
                        state.now = end;
                        return;
                    }
                }
            };
            due.wake();
        }
    }

    /// Runs a future to its end, or until it has taken this long.
    pub fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let task = self.spawn(future);
        let end = self.now() + limit;
        loop {
            self.run_ready();
            if let Some(value) = task.take() {
                return Some(value);
            }
            let next = self.0.lock().timers.keys().next().map(|(at, _)| *at);
            let now = self.now();
            match next {
                Some(at) if at <= end => self.run_for(at.saturating_sub(now)),
                _ => return None,
            }
        }
    }

    /// Drops all that still runs: tasks have the world that they run in, and would keep it forever.
    pub fn end(&self) {
        loop {
            let (tasks, timers) = {
                let mut state = self.0.lock();
                (
                    std::mem::take(&mut state.tasks),
                    std::mem::take(&mut state.timers),
                )
            };
            if tasks.is_empty() && timers.is_empty() {
                return;
            }
        }
    }

    fn run_ready(&self) {
        let mut polls = 0_u64;
        loop {
            let (id, mut job) = {
                let mut state = self.0.lock();
                let Some(id) = state.ready.pop_front() else {
                    return;
                };
                let Some(slot) = state.tasks.get_mut(&id) else {
                    continue;
                };
                slot.queued = false;
                let Some(job) = slot.job.take() else { continue };
                (id, job)
            };
            polls += 1;
            assert!(polls < MAX_POLLS_AT_ONCE, "the tasks do not come to rest");
            let waker = Waker::from(Arc::new(TaskWaker {
                sim: Arc::downgrade(&self.0),
                id,
            }));
            let ended = job
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready();
            let mut state = self.0.lock();
            let rest = match state.tasks.get_mut(&id) {
                Some(slot) if !ended => {
                    slot.job = Some(job);
                    None
                }
                // ended, or cancelled while it ran
                _ => {
                    state.tasks.remove(&id);
                    Some(job)
                }
            };
            drop(state);
            // Outside of the lock: what it owned may wake others.
            drop(rest);
        }
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sim at {:?}", self.now())
    }
}

/// A future that a world runs. Goes on when this is dropped.
pub struct Task<T> {
    sim: Sim,
    id: u64,
    result: Arc<Mutex<Option<T>>>,
}

impl<T> Task<T> {
    /// What it gave; `None` before its end, and after the first call.
    pub fn take(&self) -> Option<T> {
        self.result
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Whether it has ended, or was cancelled.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !self.sim.0.lock().tasks.contains_key(&self.id)
    }

    /// Drops the future, wherever it is.
    pub fn cancel(&self) {
        let slot = self.sim.0.lock().tasks.remove(&self.id);
        drop(slot);
    }
}

/// See [`Sim::sleep`].
pub struct Sleep {
    sim: Sim,
    at: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (at, timer) = (self.at, self.timer);
        let mut state = self.sim.0.lock();
        if state.now >= at {
            return Poll::Ready(());
        }
        let id = timer.unwrap_or_else(|| {
            state.next += 1;
            state.next
        });
        state.timers.insert((at, id), cx.waker().clone());
        drop(state);
        self.timer = Some(id);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.timer {
            self.sim.0.lock().timers.remove(&(self.at, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_jumps_from_timer_to_timer() {
        let sim = Sim::new(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        for seconds in [3, 1, 2] {
            let (world, order) = (sim.clone(), Arc::clone(&order));
            sim.spawn(async move {
                world.sleep(Duration::from_secs(seconds)).await;
                order.lock().unwrap().push((seconds, world.now()));
            });
        }
        sim.run_for(Duration::from_secs(2));
        let seen = order.lock().unwrap().clone();
        assert_eq!(seen, [1, 2].map(|s| (s, Duration::from_secs(s))));
        assert_eq!(sim.now(), Duration::from_secs(2));
    }

    #[test]
    fn what_takes_too_long_is_given_up() {
        let sim = Sim::new(1);
        let slow = sim.sleep(Duration::from_secs(10));
        assert_eq!(sim.run(Duration::from_secs(5), slow), None);
        let quick = sim.sleep(Duration::from_secs(1));
        assert_eq!(sim.run(Duration::from_secs(5), quick), Some(()));
    }

    #[test]
    fn a_cancelled_task_is_dropped_at_once() {
        let sim = Sim::new(1);
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let task = sim.spawn(async move {
            std::future::pending::<()>().await;
            drop(inside);
        });
        sim.run_for(Duration::ZERO);
        task.cancel();
        assert!(task.is_over());
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
