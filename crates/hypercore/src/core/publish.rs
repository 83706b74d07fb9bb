//! Commit and publish: the only way in which a log changes, and the only writer of its view.
//!
//! Both happen in one synchronous step that owns the lane. Where a commit has to wait for the device,
//! that step runs as a job of its own: a future dropped before it begins abandons the write, one
//! dropped later loses the answer and nothing else.

use std::ops::Range;
use std::sync::Arc;

use hc_merkle::{Authority, Change, Fork, Length, Verifier};
use hc_replicator::{Input, Published};
use hc_storage::{Batch, Durability, StorageError};

use super::lane::Guard;
use super::{Core, GroupActive};
use crate::event::Event;
use crate::view::View;

/// A change that is ready to be written: what goes to the store, and the view once it is there.
pub(crate) struct Staged {
    pub(crate) batch: Batch,
    pub(crate) next: View,
    pub(crate) published: Published,
    /// From where on it is certain that blocks are cut, where that is not all that is.
    pub(super) parted: Option<Length>,
    /// What the machine is told together with it.
    pub(crate) answers: Vec<Input>,
}

impl Staged {
    /// Nothing yet, on top of `view`.
    pub(crate) fn on(view: &View) -> Self {
        Self {
            batch: Batch::new(),
            next: view.clone(),
            published: Published::default(),
            parted: None,
            answers: Vec::new(),
        }
    }

    /// Adds what follows from a change whose nodes, blocks and head are in the batch.
    pub(crate) fn gain(&mut self, change: &Change) {
        let grows = change
            .head()
            .is_some_and(|head| head.length() > Length::ZERO);
        let begins = grows && self.next.head.length() == Length::ZERO;
        // A later fork that an empty log takes over is no truncation to anybody.
        if let Some(length) = change.truncate().filter(|_| !begins) {
            self.cut(length);
        }
        if let Some(head) = change.head() {
            self.next.head = head.clone();
        }
        self.take_in(runs(change.blocks().iter().map(|(index, _)| index.get())));
    }

    /// Blocks are stored here now.
    pub(super) fn take_in(&mut self, ranges: impl IntoIterator<Item = Range<u64>>) {
        for range in ranges {
            self.next.have.set_range(range.clone());
            self.published.gained.push(range);
        }
        let contiguous = self.next.have.first_unset(self.next.contiguous.get());
        self.next.contiguous = Length::new(contiguous);
    }

    /// Adds what a proof of the whole log puts back, and what that makes whole again.
    pub(crate) fn restore(&mut self, change: &Change) {
        self.batch = Batch::from_change(change);
        if let Some(manifest) = change.manifest()
            && let Ok(verifier) = Verifier::new(self.next.authority.key(), manifest.clone())
        {
            self.next.authority = Authority::Known(verifier).into();
        }
        self.gain(change);
        if change.head().is_some() && self.next.lost.take().is_some() {
            let length = self.next.head.length().get();
            self.published.gained = self.next.have.ranges(0..length).collect();
        }
    }

    /// Who may sign is known now, if it was not before.
    pub(crate) fn learn(&mut self, verifier: Verifier) {
        if self.next.authority.verifier().is_some() {
            return;
        }
        if let Some(manifest) = verifier.manifest() {
            self.batch.set_manifest(manifest.clone());
        }
        self.next.authority = Arc::new(Authority::Known(verifier));
    }

    /// The log is cut to a length, before anything else of this change.
    pub(super) fn cut(&mut self, length: Length) {
        let next = &mut self.next;
        next.have.unset_range(length.get()..u64::MAX);
        next.contiguous = next.contiguous.min(length);
        next.epoch = next.epoch.wrapping_add(1);
        Arc::make_mut(&mut next.cuts).note(next.epoch, length);
        let parted = self.parted.unwrap_or(length).max(length);
        Arc::make_mut(&mut next.parted).note(next.epoch, parted);
        self.published.truncated = Some(length);
    }

    /// Blocks of a range are dropped, while the log still spans them.
    pub(crate) fn drop_blocks(&mut self, range: Range<u64>) {
        let next = &mut self.next;
        next.have.unset_range(range.clone());
        next.contiguous = next.contiguous.min(Length::new(range.start));
        next.epoch = next.epoch.wrapping_add(1);
        self.published.lost.push(range);
    }
}

/// Neighbours joined, in the order given.
pub(crate) fn runs(indexes: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for index in indexes {
        let after = index.saturating_add(1);
        match runs.last_mut() {
            Some(run) if run.end == index => run.end = after,
            _ => runs.push(index..after),
        }
    }
    runs
}

impl Core {
    /// Commits and publishes. At [`Durability::Disk`] on a thread that may block, else right here.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        guard: Guard,
        staged: Staged,
        level: Durability,
    ) -> Result<(), CommitError> {
        self.wait_for_space(staged.batch.byte_len()).await;
        if level < Durability::Disk {
            return self.commit_now(guard, staged, level);
        }
        let core = self.clone();
        let job = move || core.commit_now(guard, staged, level);
        self.block_on_disk(job)
            .await
            .unwrap_or(Err(CommitError::InDoubt))
    }

    /// Commits, waits for the device if that is asked for, publishes, releases the lane.
    pub(crate) fn commit_now(
        &self,
        guard: Guard,
        mut staged: Staged,
        level: Durability,
    ) -> Result<(), CommitError> {
        self.stage_hints(&mut staged);
        let ticket = self.log.commit(staged.batch, level)?;
        if let Err(error) = ticket.wait() {
            // The store shows the batch, the device may not have it.
            guard.poison();
            return Err(error.into());
        }
        self.publish(staged.next, staged.published, staged.answers);
        drop(guard);
        Ok(())
    }

    /// Makes a committed state the one that everybody sees, and tells of it: those who listen before
    /// those who wait. Only for who holds the lane.
    pub(super) fn publish(&self, next: View, change: Published, answers: Vec<Input>) {
        let before = self.view.load();
        let next = Arc::new(next);
        let news = change.clone();
        let show = || {
            self.view.store(next.clone());
            if let Some(length) = news.truncated {
                self.hints.lower(length);
            }
        };
        let announce = || self.announce(&before, &next, &news);
        self.tell_machine(&next, change, answers, show, announce);
        self.watchers.publish(next.state());
    }

    fn announce(&self, before: &View, after: &View, change: &Published) {
        if before.authority.verifier().is_none() && after.authority.verifier().is_some() {
            self.hub.emit(&Event::Manifest);
        }
        if before.lost.is_some() && after.lost.is_none() {
            self.hub.emit(&Event::Repaired);
        }
        let at = |view: &View| -> (Fork, Length) { (view.head.fork(), view.head.length()) };
        if at(before) != at(after) {
            self.tell_group(after);
        }
        if let Some(length) = change.truncated {
            self.hub.emit(&Event::Truncate {
                length,
                fork: after.head.fork(),
            });
        } else if at(before) != at(after) {
            self.hub.emit(&Event::Append {
                length: after.head.length(),
            });
        }
    }

    fn tell_group(&self, view: &View) {
        if let (Some(home), Some(topic)) = (&self.home, self.group.get()) {
            home.active(GroupActive {
                topic: *topic,
                key: self.key,
                discovery_key: self.discovery_key,
                length: view.head.length(),
                fork: view.head.fork(),
            });
        }
    }
}

/// Why a change was not stored.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// The store refused; the log is as it was.
    Storage(StorageError),
    /// Whether it was stored is unknown.
    InDoubt,
}

impl From<StorageError> for CommitError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_joined() {
        assert_eq!(runs([3, 4, 5, 9, 1, 2].into_iter()), [3..6, 9..10, 1..3]);
        assert!(runs(std::iter::empty()).is_empty());
    }
}
