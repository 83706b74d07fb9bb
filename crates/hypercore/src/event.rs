//! What happens to a log, as a stream, and what state it is in, as a watch.
//!
//! Events are bounded: a slow subscriber loses the oldest and is told how many. The watch coalesces:
//! it yields the latest state, however many there were in between. Nothing in this crate depends on
//! either being read.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use hc_merkle::{BlockIndex, ByteLength, CoreKey, Fork, Length};

use crate::core::conflict::Conflict;
use crate::hub::{News, Subscription};
use crate::remote_proof::RemoteProof;
use crate::replicate::Peer;
use crate::sync::Mutex;

/// Something that happened to a log.
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use hypercore::{Event, Hypercore, Length, Storage};
/// # let log = Hypercore::builder(Storage::memory()).open().await?;
/// let mut events = log.events();
/// log.append_batch(["a", "b"]).await?;
/// log.truncate(1).await?;
/// log.close().await?;
/// assert_eq!(events.next().await, Some(Event::Append { length: Length::new(2) }));
/// assert!(matches!(events.next().await, Some(Event::Truncate { fork, .. }) if fork.get() == 1));
/// // with peers there would be `PeerAdd`, `Upload`, `Download` and `PeerRemove` too
/// assert_eq!(events.next().await, Some(Event::Close));
/// assert_eq!(events.next().await, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The log grew: by an append here, or by a longer head that a peer proved, before its blocks
    /// are here.
    Append {
        /// Blocks in the log now.
        length: Length,
    },
    /// The log was cut.
    Truncate {
        /// Blocks that the old log and the new one share.
        length: Length,
        /// The fork it is on now.
        fork: Fork,
    },
    /// It is known now who may sign: see [`Hypercore::authority`](crate::Hypercore::authority). Told
    /// before the blocks that it came with.
    Manifest,
    /// The branch became one of another log: told to those who listen to the branch.
    Migrate {
        /// Of which.
        key: CoreKey,
    },
    /// Somebody proves the tree of a log that has lost roots of it: what comes of that is told next.
    Repairing,
    /// The roots are back, and the log is as long as this proof said.
    Repaired,
    /// The proof did not hold, or did not go with what is stored. The log waits for another.
    RepairFailed,
    /// The log was signed twice. It is frozen: all handles are closed, here and wherever else both
    /// histories are seen.
    Conflict {
        /// Where.
        conflict: Conflict,
        /// What shows our history to anybody; `None` where the nodes for that are not here.
        ours: Option<Arc<RemoteProof>>,
        /// What shows the other one.
        theirs: Arc<RemoteProof>,
    },
    /// A peer that knows the key is connected.
    PeerAdd(Peer),
    /// A peer is gone.
    PeerRemove(Peer),
    /// A block is about to be sent.
    Upload {
        /// Which.
        index: BlockIndex,
        /// Its bytes, as stored.
        byte_length: ByteLength,
        /// To whom.
        peer: Peer,
    },
    /// A block was verified and stored.
    Download {
        /// Which.
        index: BlockIndex,
        /// Its bytes, as stored.
        byte_length: ByteLength,
        /// From whom.
        peer: Peer,
        /// Time between request and answer; `None` where it was pushed.
        elapsed: Option<Duration>,
    },
    /// A peer has all blocks up to here: more than any peer on this fork said before.
    RemoteContiguous {
        /// Number of blocks.
        length: Length,
    },
    /// The subscriber was too slow: so many events before the next one are lost.
    Lagged(u64),
    /// The log was closed. The last event.
    Close,
}

impl News for Event {
    fn lagged(count: u64) -> Self {
        Self::Lagged(count)
    }

    fn is_last(&self) -> bool {
        *self == Self::Close
    }
}

/// A subscription: a stream that ends after [`Event::Close`].
#[must_use = "a subscription that is dropped hears nothing"]
pub struct Events(pub(crate) Subscription<Event>);

impl Events {
    /// The next event; `None` after [`Event::Close`].
    pub async fn next(&mut self) -> Option<Event> {
        self.0.next().await
    }

    /// An event that has already happened, without waiting.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.try_next()
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// The state of a log at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Blocks in the log, stored here or not.
    pub length: Length,
    /// Blocks stored here without a gap from the first.
    pub contiguous_length: Length,
    /// Bytes in all blocks, as stored.
    pub byte_length: ByteLength,
    /// How often the log was truncated.
    pub fork: Fork,
}

/// The latest state of a log, whenever it has changed: a stream that begins with the present state
/// and ends when the log is closed.
#[must_use = "a watch does nothing unless polled"]
pub struct Watch {
    pub(crate) slot: Arc<Mutex<WatchSlot>>,
}

/// The newest state that the watcher has not seen.
#[derive(Debug, Default)]
pub(crate) struct WatchSlot {
    unseen: Option<State>,
    ended: bool,
    waker: Option<Waker>,
}

/// The watchers of one log.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Vec<Weak<Mutex<WatchSlot>>>>);

impl Watchers {
    pub(crate) fn watch(&self, now: State, ended: bool) -> Watch {
        self.add(WatchSlot {
            unseen: Some(now),
            ended,
            waker: None,
        })
    }

    fn add(&self, slot: WatchSlot) -> Watch {
        let slot = Arc::new(Mutex::new(slot));
        let mut watchers = self.0.lock();
        watchers.retain(|one| one.strong_count() > 0);
        watchers.push(Arc::downgrade(&slot));
        Watch { slot }
    }

    /// A watch that yields nothing until something changes.
    pub(crate) fn watch_next(&self) -> Watch {
        self.add(WatchSlot::default())
    }

    pub(crate) fn publish(&self, state: State) {
        self.each(|slot| slot.unseen = Some(state));
    }

    pub(crate) fn end(&self) {
        self.each(|slot| slot.ended = true);
    }

    fn each(&self, mut apply: impl FnMut(&mut WatchSlot)) {
        let mut woken = Vec::new();
        self.0.lock().retain(|one| {
            let Some(slot) = one.upgrade() else {
                return false;
            };
            let mut slot = slot.lock();
            apply(&mut slot);
            woken.extend(slot.waker.take());
            true
        });
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Watch {
    /// Waits for a state that has not been seen yet; `None` once the log is closed.
    pub async fn next(&mut self) -> Option<State> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Watch {
    type Item = State;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<State>> {
        let mut slot = self.slot.lock();
        if let Some(state) = slot.unseen.take() {
            return Poll::Ready(Some(state));
        }
        if slot.ended {
            return Poll::Ready(None);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;
    use crate::hub::Hub;
    use crate::limits::MAX_EVENTS_WAITING;

    fn append(length: u64) -> Event {
        Event::Append {
            length: Length::new(length),
        }
    }

    #[test]
    fn the_oldest_events_go_first_and_are_counted() {
        let hub = Hub::default();
        let mut events = Events(hub.subscribe());
        let over = MAX_EVENTS_WAITING as u64 + 3;
        (0..over).for_each(|length| hub.emit(&append(length)));
        assert_eq!(events.try_next(), Some(Event::Lagged(3)));
        for length in 3..over {
            assert_eq!(events.try_next(), Some(append(length)));
        }
        assert_eq!(events.try_next(), None);
    }

    #[test]
    fn a_queue_filled_to_its_limit_loses_nothing() {
        let hub = Hub::default();
        let mut events = Events(hub.subscribe());
        (0..MAX_EVENTS_WAITING as u64).for_each(|length| hub.emit(&append(length)));
        assert_eq!(events.try_next(), Some(append(0)));
    }

    #[test]
    fn events_end_after_close() {
        let hub = Hub::default();
        let mut events = Events(hub.subscribe());
        hub.emit(&append(1));
        hub.emit(&Event::Close);
        hub.emit(&append(2));
        assert_eq!(block_on(events.next()), Some(append(1)));
        assert_eq!(block_on(events.next()), Some(Event::Close));
        assert_eq!(block_on(events.next()), None);
    }

    #[test]
    fn a_dropped_subscription_is_forgotten() {
        let hub = Hub::default();
        drop(Events(hub.subscribe()));
        hub.emit(&append(1));
        assert!(!hub.heard());
    }

    #[test]
    fn a_watch_yields_the_present_then_only_the_latest() {
        let state = |length| State {
            length: Length::new(length),
            contiguous_length: Length::ZERO,
            byte_length: ByteLength::ZERO,
            fork: Fork::ZERO,
        };
        let watchers = Watchers::default();
        let mut watch = watchers.watch(state(0), false);
        assert_eq!(block_on(watch.next()), Some(state(0)));
        watchers.publish(state(1));
        watchers.publish(state(2));
        assert_eq!(block_on(watch.next()), Some(state(2)));
        watchers.publish(state(3));
        watchers.end();
        assert_eq!(block_on(watch.next()), Some(state(3)));
        assert_eq!(block_on(watch.next()), None);
    }
}
