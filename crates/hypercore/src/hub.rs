//! Telling many what happens, each through a queue of its own that is bounded: a slow subscriber loses the
//! oldest and is told how many. Knows nothing of what is told.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::limits::MAX_EVENTS_WAITING;
use crate::sync::Mutex;

/// Something that can be told.
pub(crate) trait News: Clone {
    /// That so many before the next one are lost.
    fn lagged(count: u64) -> Self;

    /// Whether nothing comes after it.
    fn is_last(&self) -> bool;
}

/// Where the subscribers are kept.
#[derive(Debug)]
pub(crate) struct Hub<E> {
    subscribers: Mutex<Vec<Weak<Mutex<Queue<E>>>>>,
    /// Length of the list, so that nothing is locked or built where nobody listens.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Queue<E> {
    waiting: VecDeque<E>,
    lost: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl<E> Default for Hub<E> {
    fn default() -> Self {
        Self {
            subscribers: Mutex::default(),
            count: AtomicUsize::new(0),
        }
    }
}

impl<E: News> Hub<E> {
    pub(crate) fn subscribe(&self) -> Subscription<E> {
        let queue = Arc::new(Mutex::new(Queue {
            waiting: VecDeque::new(),
            lost: 0,
            ended: false,
            waker: None,
        }));
        let mut subscribers = self.subscribers.lock();
        subscribers.retain(|one| one.strong_count() > 0);
        subscribers.push(Arc::downgrade(&queue));
        self.count.store(subscribers.len(), Ordering::Release);
        Subscription { queue }
    }

    /// Whether an event would be heard.
    pub(crate) fn heard(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    pub(crate) fn emit(&self, event: &E) {
        if !self.heard() {
            return;
        }
        let mut woken = Vec::new();
        {
            let mut subscribers = self.subscribers.lock();
            subscribers.retain(|one| {
                let Some(queue) = one.upgrade() else {
                    return false;
                };
                woken.extend(queue.lock().push(event));
                true
            });
            self.count.store(subscribers.len(), Ordering::Release);
        }
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<E: News> Queue<E> {
    fn push(&mut self, event: &E) -> Option<Waker> {
        if self.ended {
            return None;
        }
        if self.waiting.len() >= MAX_EVENTS_WAITING {
            self.waiting.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        self.ended = event.is_last();
        self.waiting.push_back(event.clone());
        self.waker.take()
    }

    fn pop(&mut self) -> Option<E> {
        match std::mem::take(&mut self.lost) {
            0 => self.waiting.pop_front(),
            lost => Some(E::lagged(lost)),
        }
    }
}

/// A subscription: a stream that ends after what is the last.
pub(crate) struct Subscription<E> {
    queue: Arc<Mutex<Queue<E>>>,
}

impl<E: News> Subscription<E> {
    /// The next event; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<E> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// An event that has already happened, without waiting.
    pub(crate) fn try_next(&mut self) -> Option<E> {
        self.queue.lock().pop()
    }
}

impl<E: News> Stream for Subscription<E> {
    type Item = E;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<E>> {
        let mut queue = self.queue.lock();
        if let Some(event) = queue.pop() {
            return Poll::Ready(Some(event));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
