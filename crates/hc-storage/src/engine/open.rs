//! Opening a store: find the log, open the index or make it again, read what the index lacks, cut what
//! a crash left.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};

use super::commit::Commit;
use super::secrets::{self, Secrets};
use super::state::{Core, Facts};
use super::store::DiskStore;
use super::worker::Worker;
use super::{Engine, Pressure, REBUILD, Registry, Space};
use crate::disk::{Disk, LockRefusal, OsDisk, fault};
use crate::durability::Durability;
use crate::error::{Action, DamageKind, OpenError, StorageError};
use crate::index::sled::SledHost;
use crate::index::spill::SpillIndex;
use crate::index::{self, Index, IndexExt, IndexHost, bad_entry};
use crate::lock::{lock, read};
use crate::log::committer::{Log, Placed, create_segment};
use crate::log::mark::{self, Mark};
use crate::log::recover::{self, Extent, Found, Frame, Next, Scanner};
use crate::log::segment::{self, Header, StoreId};
use crate::log::{Lsn, Position};
use crate::record::cursor::Cursor;
use crate::record::entry::{CoreId, Entry, HeadRecord};
use crate::store::Access;

const INDEX: &str = "index";

/// How to open a store in a directory.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    access: Access,
    create: bool,
    pub(crate) durability: Durability,
    pub(crate) segment_len: u32,
    pub(crate) checkpoint_entries: usize,
    pub(crate) checkpoint_bytes: u64,
    background: bool,
}

impl Default for StoreOptions {
    /// For reading and writing, one that exists.
    fn default() -> Self {
        Self {
            access: Access::ReadWrite,
            create: false,
            durability: Durability::Os,
            segment_len: 64 << 20,
            checkpoint_entries: 48 << 10,
            checkpoint_bytes: 32 << 20,
            background: true,
        }
    }
}

impl StoreOptions {
    /// Makes a store where there is none.
    #[must_use]
    pub const fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Only reads, beside whoever writes.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.access = Access::ReadOnly;
        self
    }

    /// What creating and deleting logs has to survive ([`Durability::Os`] at least). Commits say so
    /// themselves.
    #[must_use]
    pub const fn durability(mut self, level: Durability) -> Self {
        self.durability = level;
        self
    }

    /// Bytes after which a new segment is begun (64 MiB).
    #[must_use]
    pub const fn segment_len(mut self, bytes: u32) -> Self {
        self.segment_len = bytes;
        self
    }

    /// Blocks and nodes, and bytes of log, that the index may lack before it is brought up to date
    /// (49,152, and 32 MiB).
    #[must_use]
    pub const fn checkpoint_every(mut self, entries: usize, bytes: u64) -> Self {
        self.checkpoint_entries = entries;
        self.checkpoint_bytes = bytes;
        self
    }

    /// Whether a thread brings the index up to date; else the commit that is one too many does.
    #[must_use]
    pub const fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// What creating and deleting has to survive.
    pub(crate) fn lasting(&self) -> Durability {
        self.durability.max(Durability::Os)
    }

    /// Opens the store in a directory.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way, and where.
    pub fn open(self, path: impl AsRef<Path>) -> Result<DiskStore, OpenError> {
        let path = path.as_ref();
        let host = SledHost::new(&path.join(INDEX));
        open(Arc::new(OsDisk::new(path)), &host, self)
    }
}

/// Opens the store on a disk, with its index at a host.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    host: &dyn IndexHost,
    options: StoreOptions,
) -> Result<DiskStore, OpenError> {
    let engine = match options.access {
        Access::ReadOnly => open_to_read(disk, options)?,
        Access::ReadWrite => open_to_write(&disk, host, options)?,
    };
    engine.closed.store(false, Ordering::Release);
    Ok(DiskStore::new(engine))
}

fn open_to_read(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<Arc<Engine>, OpenError> {
    let missing = || OpenError::Missing {
        path: disk.root().to_path_buf(),
    };
    let (found, recorded) = recover::find(&disk)?;
    let Some(Found { extent, unfinished }) = found else {
        check_foreign(&*disk)?;
        return Err(missing());
    };
    if unfinished == Some(extent.start.segment) {
        return Err(missing());
    }
    let index: Arc<dyn Index> = Arc::new(SpillIndex::default());
    let engine = build(disk, index, &extent, recorded, options)?;
    engine.replay(extent.start, None, extent.last_segment, floor(recorded))?;
    Ok(engine)
}

fn open_to_write(
    disk: &Arc<dyn Disk>,
    host: &dyn IndexHost,
    options: StoreOptions,
) -> Result<Arc<Engine>, OpenError> {
    let root = || disk.root().to_path_buf();
    let (found, _) = recover::find(disk)?;
    if found.is_none() {
        check_foreign(&**disk)?;
        if !options.create {
            return Err(OpenError::Missing { path: root() });
        }
        disk.create_dir("")
            .map_err(fault(&**disk, Action::Create, ""))?;
    }
    let guard = disk.lock().map_err(|refusal| match refusal {
        LockRefusal::Held(holder) => OpenError::Locked {
            path: root(),
            holder,
        },
        LockRefusal::Io(error) => fault(&**disk, Action::Lock, "LOCK")(error).into(),
    })?;
    // again, now that nobody else writes
    let (found, recorded) = recover::find(disk)?;
    let extent = match found {
        None => create_log(&**disk)?,
        Some(Found { extent, unfinished }) => match unfinished {
            None => extent,
            Some(unfinished) if unfinished == extent.start.segment => create_log(&**disk)?,
            Some(unfinished) => {
                let name = segment::name(unfinished);
                disk.remove(&name)
                    .map_err(fault(&**disk, Action::Remove, &name))?;
                extent
            }
        },
    };
    let engine = index_and_replay(disk, host, &extent, recorded, options)?;
    *lock(&engine.lock) = Some(guard);
    if options.background {
        engine.worker.start(&engine);
    }
    Ok(engine)
}

/// A directory with other things in it is not taken for a store.
fn check_foreign(disk: &dyn Disk) -> Result<(), OpenError> {
    let names = disk.list("").map_err(fault(disk, Action::List, ""))?;
    let ours = [
        "LOCK",
        segment::DIR,
        INDEX,
        secrets::FILE,
        REBUILD,
        mark::NEW_FILE,
    ];
    match names
        .iter()
        .flatten()
        .find(|name| !ours.contains(&name.as_str()))
    {
        Some(_) => Err(OpenError::NotAStore {
            path: disk.root().to_path_buf(),
        }),
        None => Ok(()),
    }
}

fn create_log(disk: &dyn Disk) -> Result<Extent, OpenError> {
    let mut id = [0; 16];
    let drawn = getrandom::getrandom(&mut id).map_err(std::io::Error::from);
    drawn.map_err(fault(disk, Action::Create, segment::DIR))?;
    disk.create_dir(segment::DIR)
        .map_err(fault(disk, Action::Create, segment::DIR))?;
    disk.sync_dir("").map_err(fault(disk, Action::Sync, ""))?;
    let header = Header {
        number: 0,
        store: StoreId(id),
        first: Lsn::default(),
    };
    create_segment(disk, header)?;
    let start = Position {
        segment: 0,
        offset: segment::HEADER_LEN,
        lsn: Lsn::default(),
    };
    Ok(Extent {
        store: header.store,
        start,
        last_segment: 0,
    })
}

fn index_and_replay(
    disk: &Arc<dyn Disk>,
    host: &dyn IndexHost,
    extent: &Extent,
    recorded: Option<Mark>,
    options: StoreOptions,
) -> Result<Arc<Engine>, OpenError> {
    let distrusted = disk
        .open(REBUILD, false)
        .map_err(fault(&**disk, Action::Open, REBUILD))?;
    if distrusted.is_none()
        && let Ok(index) = host.open()
    {
        let engine = build(Arc::clone(disk), index, extent, recorded, options)?;
        match engine.from_index(extent) {
            Ok(()) => return Ok(engine),
            Err(OpenError::Index(_)) => {}
            Err(error) => return Err(error),
        }
    }
    host.discard()?;
    let engine = build(Arc::clone(disk), host.open()?, extent, recorded, options)?;
    engine.replay(extent.start, None, extent.last_segment, floor(recorded))?;
    engine.checkpoint().map_err(open_error)?;
    if distrusted.is_some() {
        disk.remove(REBUILD)
            .map_err(fault(&**disk, Action::Remove, REBUILD))?;
    }
    Ok(engine)
}

/// Frames below it were on the device.
fn floor(mark: Option<Mark>) -> Lsn {
    mark.map_or(Lsn::default(), |mark| mark.lsn.next())
}

/// An engine that knows nothing yet, but how far the log must reach.
fn build(
    disk: Arc<dyn Disk>,
    index: Arc<dyn Index>,
    extent: &Extent,
    recorded: Option<Mark>,
    options: StoreOptions,
) -> Result<Arc<Engine>, OpenError> {
    let access = options.access;
    let secrets = Secrets::open(&disk, access)?;
    let name = segment::name(extent.last_segment);
    let opened = disk.open(&name, access == Access::ReadWrite);
    let file = opened
        .map_err(fault(&*disk, Action::Open, &name))?
        .ok_or_else(|| recover::damage(&*disk, extent.last_segment, 0, DamageKind::Missing))?;
    let log = Log::new(
        Arc::clone(&disk),
        extent.store,
        options.segment_len,
        extent.start,
        file,
    );
    let registry = Registry {
        next_id: 1,
        ..Registry::default()
    };
    Ok(Arc::new(Engine {
        disk,
        index,
        log: Arc::new(log),
        id: extent.store,
        access,
        options,
        secrets,
        creating: Mutex::default(),
        registry: Mutex::new(registry),
        gate: RwLock::default(),
        checkpointing: Mutex::default(),
        recorded: Mutex::new(recorded),
        read_to: Mutex::new(extent.start),
        pressure: Pressure::default(),
        worker: Worker::default(),
        // until all of it was read: one that could not be opened has nothing to bring to the index
        closed: AtomicBool::new(true),
        lock: Mutex::default(),
    }))
}

fn open_error(error: StorageError) -> OpenError {
    match error {
        StorageError::Damaged(damage) => damage.into(),
        StorageError::Index(error) => error.into(),
        StorageError::Io(error) => error.into(),
        StorageError::Poisoned { cause } => match &*cause {
            StorageError::Io(error) => error.duplicate().into(),
            StorageError::Index(error) => error.clone().into(),
            _ => OpenError::Poisoned { cause },
        },
        other => OpenError::Poisoned {
            cause: Arc::new(other),
        },
    }
}

impl Engine {
    /// Reads what the index knows, and then on from there.
    fn from_index(self: &Arc<Self>, extent: &Extent) -> Result<(), OpenError> {
        let index = &*self.index;
        let indexed = match index.value(&index::key(CoreId::STORE, index::STORE))? {
            None => None,
            Some(value) => self
                .read_store_record(&value)
                .ok_or_else(|| bad_entry(index))?,
        };
        self.check_indexed(indexed, extent)?;
        let mut space = BTreeMap::new();
        index.values(
            index::keys_of(CoreId::STORE, index::SEGMENT),
            &mut |key, value| {
                let number = u32::try_from(index::page_of(key)?).ok()?;
                let mut cursor = Cursor::new(&value);
                space.insert(
                    number,
                    Space {
                        data: cursor.uint()?,
                        live: cursor.uint()?,
                    },
                );
                Some(())
            },
        )?;
        lock(&self.registry).space = space;
        let from = indexed.map_or(extent.start, |mark| mark.next());
        *lock(&self.checkpointing) = from;
        let known = floor(*lock(&self.recorded)).max(floor(indexed));
        self.replay(from, indexed, extent.last_segment, known)
    }

    /// The index goes with this log if the last frame it knows is there. Where nothing is recorded
    /// beside the log, the index is the only one to say how far the log must reach, and is believed.
    fn check_indexed(&self, indexed: Option<Mark>, extent: &Extent) -> Result<(), OpenError> {
        let recorded = *lock(&self.recorded);
        match indexed {
            None if extent.start.segment == 0 => Ok(()),
            None => Err(bad_entry(&*self.index).into()),
            Some(mark) if recorded == Some(mark) => Ok(()),
            Some(mark) if recover::holds(&self.disk, extent, &mark)? => Ok(()),
            Some(_) if recorded.is_some() => Err(bad_entry(&*self.index).into()),
            Some(mark) => Err(recover::first_damage(&self.disk, extent, &mark)),
        }
    }

    /// The last frame that the index knows; `None` within where it knows none.
    fn read_store_record(&self, value: &[u8]) -> Option<Option<Mark>> {
        let mut cursor = Cursor::new(value);
        if cursor.uint()? != index::FORMAT_VERSION || cursor.array()? != self.id.0 {
            return None;
        }
        let indexed = match cursor.u8()? {
            0 => None,
            1 => Some(Mark::decode(&mut cursor)?),
            _ => return None,
        };
        let (next_id, default) = (cursor.uint()?, cursor.uint()?);
        let mut registry = lock(&self.registry);
        registry.next_id = next_id;
        registry.default = (default != 0).then_some(CoreId(default));
        Some(indexed)
    }

    fn is_in_log(&self, at: Position, extent: &Extent) -> Result<bool, OpenError> {
        if at.segment < extent.start.segment || at.segment > extent.last_segment {
            return Ok(false);
        }
        let name = segment::name(at.segment);
        let opened = self.disk.open(&name, false);
        let Some(file) = opened.map_err(fault(&*self.disk, Action::Open, &name))? else {
            return Ok(false);
        };
        let len = file
            .len()
            .map_err(fault(&*self.disk, Action::Read, &name))?;
        Ok(u64::from(at.offset) <= len)
    }

    /// Reads the log from a position to its end. `behind`: the frame before the position. `known`: frames
    /// below it were on the device. Where this handle only reads, somebody else may be writing, whose
    /// unfinished frame at the end is not ours to cut.
    fn replay(
        self: &Arc<Self>,
        from: Position,
        behind: Option<Mark>,
        last_segment: u32,
        known: Lsn,
    ) -> Result<(), OpenError> {
        let writes = self.access == Access::ReadWrite;
        // held weakly: a log that nobody holds is read from the index when it is opened
        let mut touched: BTreeMap<CoreId, Weak<Core>> = BTreeMap::new();
        let mut scanner = Scanner::new(&self.disk, from, last_segment)?;
        let torn = loop {
            match scanner.next(known)? {
                Next::Frame(frame) => {
                    let cores = self.replay_frame(*frame)?;
                    touched.extend(cores.iter().map(|core| (core.id, Arc::downgrade(core))));
                }
                Next::End { torn } => break torn,
            }
            *lock(&self.read_to) = scanner.position();
            if self.is_pressed(1) {
                if writes {
                    self.continue_at(scanner.position(), scanner.last())?;
                }
                self.checkpoint().map_err(open_error)?;
            }
        };
        let end = scanner.position();
        *lock(&self.read_to) = end;
        if writes {
            if torn {
                self.cut(end)?;
            }
            self.continue_at(end, scanner.last().or(behind))?;
        }
        for core in touched.values().filter_map(Weak::upgrade) {
            if !read(&core.state).deleted {
                self.resolve_head(&core).map_err(open_error)?;
            }
        }
        Ok(())
    }

    /// Carries out what a frame says. Returns the logs that it is about.
    fn replay_frame(&self, frame: Frame) -> Result<Vec<Arc<Core>>, OpenError> {
        let len = u64::from(frame.mark.end).saturating_sub(frame.data.into());
        let mut placed = Placed {
            lsn: frame.mark.lsn,
            segment: frame.mark.segment,
            data: frame.data,
        };
        let mut cores = Vec::with_capacity(frame.entries.len());
        for entry in frame.entries {
            let core = self.replayed(&entry).map_err(open_error)?;
            let core = core.ok_or_else(|| {
                let kind = DamageKind::FrameContent;
                recover::damage(&*self.disk, placed.segment, frame.data.into(), kind)
            })?;
            let data = u32::try_from(entry.data_len()).unwrap_or(u32::MAX);
            let effects = self.effects(&core, &entry).map_err(open_error)?;
            self.apply(Commit::bare(Arc::clone(&core), entry, effects), &placed);
            placed.data = placed.data.saturating_add(data);
            cores.push(core);
        }
        self.pressure.bytes.fetch_add(len, Ordering::Relaxed);
        Ok(cores)
    }

    /// The log that an entry is about: one that there is, or one that begins with it.
    fn replayed(&self, entry: &Entry) -> Result<Option<Arc<Core>>, StorageError> {
        if let Some(identity) = entry.create {
            let core = Core::new(entry.core, identity, Facts::empty(), HeadRecord::EMPTY);
            return Ok(Some(Arc::new(core)));
        }
        let mut registry = lock(&self.registry);
        let found = self.core(&mut registry, entry.core)?;
        let Some(origin) = entry.branch.as_ref().filter(|_| found.is_none()) else {
            return Ok(found);
        };
        let parent = self.core(&mut registry, origin.parent)?;
        Ok(parent.map(|parent| Arc::new(Core::branch_of(&parent, entry.core))))
    }

    /// Drops what a crash left behind the last whole frame.
    fn cut(&self, end: Position) -> Result<(), OpenError> {
        let name = segment::name(end.segment);
        let opened = self.disk.open(&name, true);
        let Some(file) = opened.map_err(fault(&*self.disk, Action::Open, &name))? else {
            return Ok(());
        };
        file.set_len(end.offset.into())
            .map_err(fault(&*self.disk, Action::Truncate, &name))?;
        Ok(file
            .sync()
            .map_err(fault(&*self.disk, Action::Sync, &name))?)
    }

    /// Lets the log go on from here, on the device up to here.
    fn continue_at(&self, end: Position, last: Option<Mark>) -> Result<(), OpenError> {
        let name = segment::name(end.segment);
        let opened = self.disk.open(&name, true);
        let file = opened.map_err(fault(&*self.disk, Action::Open, &name))?;
        let missing = || recover::damage(&*self.disk, end.segment, 0, DamageKind::Missing);
        let file = file.ok_or_else(missing)?;
        file.sync()
            .map_err(fault(&*self.disk, Action::Sync, &name))?;
        self.log.continue_at(end, last, file);
        Ok(())
    }

    /// Reads what a writer added since, and says whether there was anything.
    pub(crate) fn read_on(self: &Arc<Self>) -> Result<bool, StorageError> {
        let _one = lock(&self.creating);
        let from = *lock(&self.read_to);
        // in this order: what is recorded is in the log, but it may be recorded after the log was listed
        let recorded = mark::read(&*self.disk).map_err(StorageError::from)?;
        let found = recover::extent(&*self.disk).map_err(StorageError::from)?;
        let found = found.filter(|found| found.extent.store == self.id);
        let Some(Found { extent, .. }) = found else {
            return Err(StorageError::Rewound);
        };
        if !self.is_in_log(from, &extent).map_err(StorageError::from)? {
            return Err(StorageError::Rewound);
        }
        self.replay(
            from,
            None,
            extent.last_segment,
            floor(recorded.map(|recorded| recorded.mark)),
        )
        .map_err(StorageError::from)?;
        Ok(lock(&self.read_to).lsn > from.lsn)
    }
}
