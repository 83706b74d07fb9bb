//! The tools that everything here shares: a lock that cannot be poisoned, a one-shot reply, and a
//! gate that closes once. Knows nothing of logs.
//!
//! Order of locks, where more than one is held: lane → machine → view → outbox. None is ever held
//! across an await.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use event_listener::Event;

/// A mutex whose holder's panic does not condemn those who come after: each critical section here
/// leaves its data whole at every step.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(StdMutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(StdMutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One answer from one side to another. The receiver learns when the sender is gone.
pub(crate) fn reply<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Mutex::new(Slot {
        value: None,
        gone: false,
        waker: None,
    }));
    (Sender(slot.clone()), Receiver(slot))
}

struct Slot<T> {
    value: Option<T>,
    gone: bool,
    waker: Option<Waker>,
}

/// The side that answers, at most once.
pub(crate) struct Sender<T>(Arc<Mutex<Slot<T>>>);

/// The side that waits.
pub(crate) struct Receiver<T>(Arc<Mutex<Slot<T>>>);

impl<T> Sender<T> {
    pub(crate) fn send(self, value: T) {
        self.0.lock().value = Some(value);
        // Dropping wakes the receiver.
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.lock();
            slot.gone = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> Future for Receiver<T> {
    /// `None` if the sender was dropped without an answer.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.lock();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Some(value));
        }
        if slot.gone {
            return Poll::Ready(None);
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// Open until it is closed, for good.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    event: Event,
}

impl Gate {
    /// Closes it; `false` if it was closed already.
    pub(crate) fn close(&self) -> bool {
        let first = !self.closed.swap(true, Ordering::SeqCst);
        self.event.notify(usize::MAX);
        first
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Resolves once it is closed.
    pub(crate) async fn closed(&self) {
        while !self.is_closed() {
            let listener = self.event.listen();
            if self.is_closed() {
                return;
            }
            listener.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn an_answer_arrives() {
        let (sender, mut receiver) = reply();
        assert_eq!(block_on(poll_once(&mut receiver)), None);
        sender.send(7);
        assert_eq!(block_on(receiver), Some(7));
    }

    #[test]
    fn a_gate_closes_once_and_for_everyone() {
        let gate = Arc::new(Gate::default());
        let mut waiting = Box::pin(gate.closed());
        assert_eq!(block_on(poll_once(&mut waiting)), None);
        assert!(gate.close());
        assert!(!gate.close());
        block_on(waiting);
        block_on(gate.closed());
    }

    #[test]
    fn a_sender_that_goes_is_noticed() {
        let (sender, receiver) = reply::<u8>();
        let waiting = std::thread::spawn(move || block_on(receiver));
        drop(sender);
        assert_eq!(waiting.join().unwrap(), None);
    }
}
