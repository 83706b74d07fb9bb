//! The writer lane: whoever holds it is the only one who changes the log.
//!
//! First come, first served, strictly: a released lane is handed to the one who has waited longest,
//! so nobody overtakes. Closing or poisoning fails everyone who waits. Knows nothing of what is
//! written.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use thiserror::Error;

use crate::sync::Mutex;

/// Why the lane cannot be had, now or ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum LaneError {
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// A commit ended without saying whether it was written.
    #[error("an earlier write ended in doubt; open the log again")]
    Poisoned,
}

/// A first-in first-out lock that is waited for asynchronously.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shut: Option<LaneError>,
    /// Taken by a guard, or handed to the waiter in `granted`.
    held: bool,
    /// Held by one who writes nothing for the time being.
    parked: bool,
    granted: Option<u64>,
    next: u64,
    queue: VecDeque<(u64, Waker)>,
    /// Those who wait for the last guard to go after a close.
    idle: Vec<Waker>,
}

impl Lane {
    /// Waits for a turn.
    pub(crate) fn lock(self: &Arc<Self>) -> Turn {
        Turn {
            lane: self.clone(),
            id: None,
        }
    }

    /// Takes the lane if it is free and nobody waits.
    pub(crate) fn try_lock(self: &Arc<Self>) -> Result<Option<Guard>, LaneError> {
        let mut state = self.state.lock();
        match state.shut {
            Some(error) => Err(error),
            None if state.held => Ok(None),
            None => {
                state.held = true;
                drop(state);
                Ok(Some(Guard { lane: self.clone() }))
            }
        }
    }

    /// Fails everyone who waits and everyone who comes, from now on. The one who holds the lane
    /// finishes.
    pub(crate) fn close(&self) {
        self.shut(LaneError::Closed);
    }

    /// Whether nobody holds the lane. Only meaningful after [`close`](Self::close).
    pub(crate) fn is_idle(&self) -> bool {
        !self.state.lock().held
    }

    /// Resolves once nobody holds the lane. Only meaningful after [`close`](Self::close).
    pub(crate) fn idle(self: &Arc<Self>) -> Idle {
        Idle { lane: self.clone() }
    }

    fn shut(&self, why: LaneError) {
        let woken = {
            let mut state = self.state.lock();
            if state.shut.is_none() || why == LaneError::Closed {
                state.shut = Some(why);
            }
            let mut woken: Vec<Waker> = state.queue.drain(..).map(|(_, waker)| waker).collect();
            // Handed over but not yet picked up, or parked: nobody writes, so nobody need be waited for.
            let unused = state.granted.take().is_some();
            if unused | std::mem::take(&mut state.parked) {
                state.held = false;
                woken.append(&mut state.idle);
            }
            woken
        };
        for waker in woken {
            waker.wake();
        }
    }

    fn release(&self) {
        let woken = {
            let mut state = self.state.lock();
            state.parked = false;
            if let Some((id, waker)) = state.queue.pop_front() {
                state.granted = Some(id);
                vec![waker]
            } else {
                state.held = false;
                std::mem::take(&mut state.idle)
            }
        };
        for waker in woken {
            waker.wake();
        }
    }
}

/// The right to change the log, until dropped. Owns its share of the lane, so that it can move into
/// a job that outlives the future that asked for it.
#[derive(Debug)]
pub(crate) struct Guard {
    lane: Arc<Lane>,
}

impl Guard {
    /// Fails all later writes: what is on disk is no longer known.
    pub(crate) fn poison(self) {
        self.lane.shut(LaneError::Poisoned);
    }

    /// Keeps the turn while something outside is waited for. Nobody else gets it, but who closes the
    /// lane does not wait for it to end.
    pub(crate) fn park(self) -> Parked {
        self.lane.state.lock().parked = true;
        Parked { guard: self }
    }
}

/// A turn that is kept and not used.
#[derive(Debug)]
pub(crate) struct Parked {
    guard: Guard,
}

impl Parked {
    /// Goes on with the turn, unless the lane was closed meanwhile.
    pub(crate) fn resume(self) -> Result<Guard, LaneError> {
        {
            let mut state = self.guard.lane.state.lock();
            if let Some(error) = state.shut {
                return Err(error);
            }
            state.parked = false;
        }
        Ok(self.guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lane.shut(LaneError::Poisoned);
        }
        self.lane.release();
    }
}

/// A place in the queue. Dropping it gives the place up.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Turn {
    lane: Arc<Lane>,
    id: Option<u64>,
}

impl Future for Turn {
    type Output = Result<Guard, LaneError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.lane.state.lock();
        if let Some(error) = state.shut {
            this.id = None;
            return Poll::Ready(Err(error));
        }
        let Some(id) = this.id else {
            if state.held {
                let id = state.next;
                state.next = state.next.wrapping_add(1);
                state.queue.push_back((id, cx.waker().clone()));
                this.id = Some(id);
                return Poll::Pending;
            }
            state.held = true;
            drop(state);
            return Poll::Ready(Ok(Guard {
                lane: this.lane.clone(),
            }));
        };
        if state.granted == Some(id) {
            state.granted = None;
            this.id = None;
            drop(state);
            return Poll::Ready(Ok(Guard {
                lane: this.lane.clone(),
            }));
        }
        if let Some((_, waker)) = state.queue.iter_mut().find(|(waiting, _)| *waiting == id) {
            waker.clone_from(cx.waker());
        }
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let pass_on = {
            let mut state = self.lane.state.lock();
            state.queue.retain(|(waiting, _)| *waiting != id);
            let mine = state.granted == Some(id);
            if mine {
                state.granted = None;
            }
            mine
        };
        if pass_on {
            self.lane.release();
        }
    }
}

/// Resolves once nobody holds the lane.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Idle {
    lane: Arc<Lane>,
}

impl Future for Idle {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lane.state.lock();
        if state.held {
            if !state.idle.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.idle.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_lite::future::{block_on, poll_once};

    use super::*;

    fn lane() -> Arc<Lane> {
        Arc::new(Lane::default())
    }

    fn poll(turn: &mut Turn) -> Option<Result<Guard, LaneError>> {
        block_on(poll_once(turn))
    }

    #[test]
    fn turns_come_in_the_order_of_asking() {
        let lane = lane();
        let first = block_on(lane.lock()).unwrap();
        let (mut second, mut third) = (lane.lock(), lane.lock());
        assert!(poll(&mut second).is_none());
        assert!(poll(&mut third).is_none());
        drop(first);
        assert!(poll(&mut third).is_none(), "nobody overtakes");
        assert!(
            lane.try_lock().unwrap().is_none(),
            "nor does one who just came"
        );
        let guard = poll(&mut second).unwrap().unwrap();
        assert!(poll(&mut third).is_none());
        drop(guard);
        assert!(poll(&mut third).unwrap().is_ok());
    }

    #[test]
    fn a_free_lane_is_taken_at_once() {
        let lane = lane();
        let guard = lane.try_lock().unwrap().unwrap();
        assert!(lane.try_lock().unwrap().is_none());
        drop(guard);
        assert!(lane.try_lock().unwrap().is_some());
    }

    #[test]
    fn one_who_leaves_the_queue_is_skipped() {
        let lane = lane();
        let first = block_on(lane.lock()).unwrap();
        let (mut second, mut third) = (lane.lock(), lane.lock());
        assert!(poll(&mut second).is_none());
        assert!(poll(&mut third).is_none());
        drop(second);
        drop(first);
        assert!(poll(&mut third).unwrap().is_ok());
    }

    #[test]
    fn a_turn_that_was_granted_and_dropped_passes_on() {
        let lane = lane();
        let first = block_on(lane.lock()).unwrap();
        let (mut second, mut third) = (lane.lock(), lane.lock());
        assert!(poll(&mut second).is_none());
        assert!(poll(&mut third).is_none());
        drop(first);
        drop(second);
        assert!(poll(&mut third).unwrap().is_ok());
    }

    #[test]
    fn closing_fails_everyone_who_waits_and_waits_for_the_holder() {
        let lane = lane();
        let guard = block_on(lane.lock()).unwrap();
        let mut waiting = lane.lock();
        assert!(poll(&mut waiting).is_none());
        lane.close();
        assert_eq!(poll(&mut waiting).unwrap().unwrap_err(), LaneError::Closed);
        assert_eq!(lane.try_lock().unwrap_err(), LaneError::Closed);
        let mut idle = pin!(lane.idle());
        assert!(block_on(poll_once(&mut idle)).is_none());
        drop(guard);
        block_on(idle);
    }

    #[test]
    fn closing_takes_back_a_turn_that_nobody_picked_up() {
        let lane = lane();
        let guard = block_on(lane.lock()).unwrap();
        let mut waiting = lane.lock();
        assert!(poll(&mut waiting).is_none());
        drop(guard);
        lane.close();
        block_on(lane.idle());
        assert_eq!(poll(&mut waiting).unwrap().unwrap_err(), LaneError::Closed);
        drop(waiting);
        block_on(lane.idle());
    }

    #[test]
    fn a_parked_turn_is_kept_from_others_and_does_not_keep_one_who_closes() {
        let lane = lane();
        let parked = block_on(lane.lock()).unwrap().park();
        let mut waiting = lane.lock();
        assert!(poll(&mut waiting).is_none());
        let guard = parked.resume().unwrap();
        assert!(poll(&mut waiting).is_none());
        drop(guard);
        let parked = poll(&mut waiting).unwrap().unwrap().park();
        lane.close();
        block_on(lane.idle());
        assert_eq!(parked.resume().unwrap_err(), LaneError::Closed);
        block_on(lane.idle());
    }

    #[test]
    fn a_parked_turn_that_is_given_up_passes_on() {
        let lane = lane();
        let parked = block_on(lane.lock()).unwrap().park();
        drop(parked);
        let guard = block_on(lane.lock()).unwrap();
        lane.close();
        let mut idle = pin!(lane.idle());
        assert!(block_on(poll_once(&mut idle)).is_none(), "it is not parked");
        drop(guard);
        block_on(idle);
    }

    #[test]
    fn a_write_in_doubt_fails_all_later_ones() {
        let lane = lane();
        block_on(lane.lock()).unwrap().poison();
        assert_eq!(block_on(lane.lock()).unwrap_err(), LaneError::Poisoned);
        lane.close();
        assert_eq!(block_on(lane.lock()).unwrap_err(), LaneError::Closed);
    }

    #[test]
    fn a_holder_that_panics_leaves_the_lane_in_doubt() {
        let lane = lane();
        let theirs = lane.clone();
        let thread = std::thread::spawn(move || {
            let _guard = block_on(theirs.lock()).unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(thread.join().is_err());
        assert_eq!(block_on(lane.lock()).unwrap_err(), LaneError::Poisoned);
    }

    #[test]
    fn many_threads_each_get_their_turn() {
        let lane = lane();
        let count = Arc::new(Mutex::new(0_u32));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (lane, count) = (lane.clone(), count.clone());
                std::thread::spawn(move || {
                    for _ in 0..250 {
                        let guard = block_on(lane.lock()).unwrap();
                        let seen = *count.lock();
                        std::thread::yield_now();
                        *count.lock() = seen + 1;
                        drop(guard);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*count.lock(), 1000);
    }
}
