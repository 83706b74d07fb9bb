//! A line: what goes on beside a log, unsigned. All handles of one share this.
//!
//! Owns where a line is kept and how it changes: planned under its own lane, committed, published, in one
//! step like any change of a log. Knows nothing of what it is for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use event_listener::{Event as Signal, EventListener};
use hc_merkle::{BlockIndex, Head, Length, Node, NodeIndex};
use hc_storage::{Batch, CoreRead, CoreStore, Durability, Overlay, StorageError, Ticket};

use crate::core::Core;
use crate::core::cuts::Cuts;
use crate::core::lane::{Guard, Lane};
use crate::core::publish::CommitError;
use crate::error::GetError;
use crate::event::{Event, State, Watchers};
use crate::hub::Hub;
use crate::hypercore::Hypercore;
use crate::read::{Frozen, Moment};
use crate::sync::Mutex;

/// What all handles of one line share.
pub(crate) struct LineState {
    /// Of a branch.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) lane: Arc<Lane>,
    place: Mutex<Arc<Place>>,
    pub(crate) hub: Hub<Event>,
    pub(crate) watchers: Watchers,
    /// Something has changed that a pending read may wait for.
    turned: Signal,
    /// Keeps the log open as long as a handle is.
    keeper: Mutex<Option<Hypercore>>,
    handles: AtomicUsize,
    /// Whether it is in an atom.
    pub(crate) enlisted: Enlisted,
}

/// A log or line that may be in one atom at a time.
#[derive(Debug, Default)]
pub(crate) struct Enlisted(Mutex<Weak<()>>);

impl Enlisted {
    /// Enters it, as long as the returned value lives; `None` where it is in one.
    pub(crate) fn enter(&self) -> Option<Arc<()>> {
        let mut held = self.0.lock();
        if held.strong_count() > 0 {
            return None;
        }
        let entry = Arc::new(());
        *held = Arc::downgrade(&entry);
        Some(entry)
    }
}

/// Where a line stands: a value, swapped whole.
#[derive(Clone)]
pub(crate) struct Place {
    /// The log that it left.
    pub(crate) core: Arc<Core>,
    pub(crate) backing: Backing,
    pub(crate) head: Head,
    /// How often it has been cut, or moved to another log.
    pub(crate) epoch: u64,
    pub(crate) cuts: Arc<Cuts>,
}

/// Where a line is kept.
#[derive(Clone)]
pub(crate) enum Backing {
    /// In the store, by a name.
    Stored(Arc<dyn CoreStore>),
    /// In memory, over the log as it was.
    Buffered {
        overlay: Arc<Overlay>,
        /// The log, where it is one that is below.
        below: Option<Arc<Frozen>>,
    },
}

impl Backing {
    pub(crate) fn read(&self) -> &dyn CoreRead {
        match self {
            Self::Stored(log) => &**log,
            Self::Buffered { overlay, .. } => &**overlay,
        }
    }

    fn commit(&self, batch: Batch, level: Durability) -> Result<Ticket, StorageError> {
        match self {
            Self::Stored(log) => log.commit(batch, level),
            Self::Buffered { overlay, .. } => overlay.commit(batch).map(|()| Ticket::reached()),
        }
    }

    /// Up to where the line is what the log is that it left.
    pub(crate) fn inherited(&self) -> Result<Length, StorageError> {
        let lineage = self.read().lineage()?;
        Ok(lineage.map_or(Length::ZERO, |lineage| lineage.length))
    }

    /// Nodes of its tree, in the order asked for.
    pub(crate) fn nodes(&self, indexes: &[NodeIndex]) -> Result<Vec<Option<Node>>, StorageError> {
        let mut nodes = Vec::with_capacity(indexes.len());
        if !indexes.is_empty() {
            self.read().nodes(indexes, &mut nodes)?;
        }
        Ok(nodes)
    }
}

impl Place {
    pub(crate) fn new(core: Arc<Core>, backing: Backing, head: Head) -> Self {
        Self {
            core,
            backing,
            head,
            epoch: 0,
            cuts: Arc::default(),
        }
    }

    pub(crate) fn state(&self) -> State {
        State {
            length: self.head.length(),
            contiguous_length: Length::ZERO,
            byte_length: self.head.byte_length(),
            fork: self.head.fork(),
        }
    }

    /// What was read at `length` or above is not there any more.
    pub(crate) fn cut(&mut self, length: Length) {
        self.epoch = self.epoch.wrapping_add(1);
        Arc::make_mut(&mut self.cuts).note(self.epoch, length);
    }
}

/// A change to a line that is ready to be written.
pub(crate) struct LineStaged {
    pub(crate) batch: Batch,
    pub(crate) next: Place,
    /// What it is cut to, if it is.
    pub(crate) cut: Option<Length>,
}

impl LineStaged {
    pub(crate) fn on(place: &Place) -> Self {
        Self {
            batch: Batch::new(),
            next: place.clone(),
            cut: None,
        }
    }

    /// It is cut to a length before anything else.
    pub(crate) fn cut(&mut self, length: Length) {
        self.next.cut(length);
        self.cut = Some(length);
    }
}

impl LineState {
    pub(crate) fn new(name: Option<Arc<str>>, place: Place) -> Self {
        Self {
            name,
            lane: Arc::default(),
            place: Mutex::new(Arc::new(place)),
            hub: Hub::default(),
            watchers: Watchers::default(),
            turned: Signal::new(),
            keeper: Mutex::default(),
            handles: AtomicUsize::new(0),
            enlisted: Enlisted::default(),
        }
    }

    pub(crate) fn place(&self) -> Arc<Place> {
        self.place.lock().clone()
    }

    /// A handle more.
    pub(crate) fn attach(&self, session: impl FnOnce() -> Hypercore) {
        self.handles.fetch_add(1, Ordering::SeqCst);
        self.keeper.lock().get_or_insert_with(session);
    }

    /// A handle less; with the last, gives back what kept the log open.
    pub(crate) fn detach(&self) -> Option<Hypercore> {
        if self.handles.fetch_sub(1, Ordering::SeqCst) > 1 {
            return None;
        }
        self.keeper.lock().take()
    }

    /// Keeps another log open from now on.
    pub(crate) fn keep(&self, session: Hypercore) {
        let old = self.keeper.lock().replace(session);
        drop(old);
    }

    /// What wakes with the next change.
    pub(crate) fn listen(&self) -> EventListener {
        self.turned.listen()
    }

    /// Commits, waits for the device if that is asked for, publishes, gives the turn back: on a thread
    /// that may block where it does.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        guard: Guard,
        staged: LineStaged,
        level: Durability,
    ) -> Result<(), CommitError> {
        let (line, core) = (self.clone(), self.place().core.clone());
        core.wait_for_space(staged.batch.byte_len()).await;
        let write = move || line.commit_now(guard, staged, level);
        if level < Durability::Disk {
            return write();
        }
        core.block_on_disk(write)
            .await
            .unwrap_or(Err(CommitError::InDoubt))
    }

    fn commit_now(
        &self,
        guard: Guard,
        staged: LineStaged,
        level: Durability,
    ) -> Result<(), CommitError> {
        let LineStaged { batch, next, cut } = staged;
        let ticket = self.place().backing.commit(batch, level)?;
        if let Err(error) = ticket.wait() {
            guard.poison();
            return Err(error.into());
        }
        self.publish(next, cut);
        drop(guard);
        Ok(())
    }

    /// Makes a committed state the one that everybody sees. Only for who holds the lane.
    pub(crate) fn publish(&self, next: Place, cut: Option<Length>) {
        let next = Arc::new(next);
        let before = std::mem::replace(&mut *self.place.lock(), next.clone());
        if !Arc::ptr_eq(&before.core, &next.core) {
            let key = next.core.key;
            self.hub.emit(&Event::Migrate { key });
        }
        if let Some(length) = cut {
            let fork = next.head.fork();
            self.hub.emit(&Event::Truncate { length, fork });
        }
        let length = next.head.length();
        if length > cut.unwrap_or(before.head.length()) {
            self.hub.emit(&Event::Append { length });
        }
        self.watchers.publish(next.state());
        self.turned.notify(usize::MAX);
    }

    /// A block as it is stored; `None` if it is not.
    pub(crate) fn read(&self, index: BlockIndex) -> Result<Option<Bytes>, GetError> {
        let place = self.place();
        if index.get() >= place.head.length().get() {
            return Ok(None);
        }
        if let Some(block) = place.backing.read().block(index)? {
            return Ok(Some(block));
        }
        match &place.backing {
            Backing::Buffered {
                below: Some(below), ..
            } if index.get() < place.backing.inherited()?.get() => below.block(&place.core, index),
            _ => Ok(None),
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        let place = self.place();
        Moment::new(place.epoch, place.head.length())
    }

    /// The state of the moment, held fast.
    pub(crate) fn freeze(&self) -> Result<Frozen, StorageError> {
        let place = self.place();
        let (stored, inherited): (Arc<dyn CoreRead>, _) = match &place.backing {
            Backing::Stored(log) => (log.snapshot()?, place.backing.inherited()?),
            Backing::Buffered { overlay, .. } => (overlay.clone(), place.backing.inherited()?),
        };
        let latest = stored.head()?;
        // as with a log: the store may be one commit ahead
        let grown = latest.fork() == place.head.fork() && latest.length() >= place.head.length();
        let head = if grown { place.head.clone() } else { latest };
        Frozen::of_line(&place.core, stored, head, inherited)
    }
}

impl Drop for LineState {
    fn drop(&mut self) {
        self.hub.emit(&Event::Close);
        self.watchers.end();
    }
}

/// The open branches of a log, by name: two handles of one branch share its state.
#[derive(Default)]
pub(crate) struct Lines(Mutex<BTreeMap<Arc<str>, Weak<LineState>>>);

impl Lines {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<LineState>> {
        self.0.lock().get(name)?.upgrade()
    }

    pub(crate) fn insert(&self, name: Arc<str>, line: &Arc<LineState>) {
        let mut lines = self.0.lock();
        lines.retain(|_, line| line.strong_count() > 0);
        lines.insert(name, Arc::downgrade(line));
    }

    pub(crate) fn remove(&self, name: &str) {
        self.0.lock().remove(name);
    }
}
