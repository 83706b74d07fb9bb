//! Groups of logs: who was active, and who is.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_core::Stream;
use hc_storage::{ActiveCore, StorageError, Topic};

use super::Corestore;
use super::shared::{Shared, StoreEvent};
use crate::core::GroupActive;
use crate::hub::{Hub, Subscription};

impl Corestore {
    /// Watches a group: what happens in it from now on, and which of its logs were active before.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::{Corestore, Storage, Topic};
    ///
    /// let store = Corestore::open(Storage::memory()).await?;
    /// let topic = Topic([7; 32]);
    /// let a = store.get("a").group(topic).await?;
    /// let b = store.get("b").group(topic).await?;
    /// let mut group = store.notify_group(topic);
    /// a.append("first").await?;
    /// b.append("second").await?;
    /// assert_eq!(group.next().await.unwrap().key, a.key());
    ///
    /// let active: Vec<_> = group.updates()?.map(|core| core.key).collect();
    /// assert_eq!(active, [b.key(), a.key()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn notify_group(&self, topic: Topic) -> GroupHandle {
        let mut groups = self.shared.groups.lock();
        let hub = match groups.get(&topic).and_then(Weak::upgrade) {
            Some(hub) => hub,
            None => {
                groups.retain(|_, hub| hub.strong_count() > 0);
                let hub = Arc::default();
                groups.insert(topic, Arc::downgrade(&hub));
                hub
            }
        };
        drop(groups);
        GroupHandle {
            topic,
            subscription: hub.subscribe(),
            _hub: hub,
            shared: self.shared.clone(),
        }
    }
}

/// A group of logs that is watched: a stream of what happens in it, which ends with the store. Dropping
/// it ends that.
#[must_use = "a watch that is dropped hears nothing"]
pub struct GroupHandle {
    topic: Topic,
    subscription: Subscription<StoreEvent>,
    /// Keeps the topic among those that are told.
    _hub: Arc<Hub<StoreEvent>>,
    shared: Arc<Shared>,
}

impl GroupHandle {
    /// Which group.
    #[must_use]
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// The next log of the group to grow or be cut; `None` once the store is closed. Whoever reads too
    /// slowly misses the oldest, and finds all logs in [`updates`](Self::updates).
    pub async fn next(&mut self) -> Option<GroupActive> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// What has already happened, without waiting.
    pub fn try_next(&mut self) -> Option<GroupActive> {
        loop {
            match self.subscription.try_next()? {
                StoreEvent::GroupActive(active) => return Some(active),
                StoreEvent::Close => return None,
                _ => {}
            }
        }
    }

    /// The logs of the group whose heads have changed since they joined it, the last to change first.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn updates(&self) -> Result<GroupUpdates, StorageError> {
        let active = self.shared.store.group(&self.topic)?;
        Ok(GroupUpdates(active.into_iter()))
    }
}

impl Stream for GroupHandle {
    type Item = GroupActive;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<GroupActive>> {
        loop {
            match Pin::new(&mut self.subscription).poll_next(cx) {
                Poll::Ready(Some(StoreEvent::GroupActive(active))) => {
                    return Poll::Ready(Some(active));
                }
                Poll::Ready(Some(StoreEvent::Close) | None) => return Poll::Ready(None),
                Poll::Ready(Some(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for GroupHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupHandle")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Logs that were active in a group, the last first.
#[derive(Debug)]
pub struct GroupUpdates(std::vec::IntoIter<ActiveCore>);

impl Iterator for GroupUpdates {
    type Item = ActiveCore;

    fn next(&mut self) -> Option<ActiveCore> {
        self.0.next()
    }
}
