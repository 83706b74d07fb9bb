//! Opening a store: find the log, open the index or make it again, read what the index lacks. Knows
//! nothing of how an entry is carried out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use super::collector::Collector;
use super::pages::Pages;
use super::reader::open_to_read;
use super::secrets::{self, Secrets};
use super::store::DiskStore;
use super::stretches::Stretches;
use super::throttle::Throttle;
use super::worker::Worker;
use super::{Engine, Pressure, REBUILD, Registry, Space};
use crate::disk::{Disk, LockRefusal, OsDisk, fault};
use crate::durability::Durability;
use crate::error::{Action, DamageKind, IndexError, OpenError, StorageError};
use crate::index::sled::SledHost;
use crate::index::{self, Index, IndexExt, IndexHost, bad_entry};
use crate::lock::lock;
use crate::log::committer::{Log, create_segment};
use crate::log::mark::{self, Mark};
use crate::log::recover::{self, Extent};
use crate::log::segment::{self, Header, StoreId};
use crate::log::{Gap, Lsn, Position};
use crate::record::cursor::Cursor;
use crate::record::entry::CoreId;
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
    pub(crate) collect: bool,
    pub(crate) collect_rate: u64,
    pub(super) rebuild: bool,
    accept_loss: bool,
    pub(super) copy_index_from: u64,
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
            collect: true,
            collect_rate: 32 << 20,
            rebuild: false,
            accept_loss: false,
            copy_index_from: 16 << 20,
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

    /// Bytes after which a new segment is begun (64 MiB); with the [`background`](Self::background), up to a
    /// quarter later.
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

    /// Whether the space of what was cleared, cut or replaced is given back while the store is open; else
    /// only when [`compact`](crate::Store::compact) is called. Needs the [`background`](Self::background).
    #[must_use]
    pub const fn collect(mut self, collect: bool) -> Self {
        self.collect = collect;
        self
    }

    /// Bytes a second that giving back space may read and write, so that it leaves the disk to others
    /// (32 MiB), while no more than a quarter of everything is void. Beyond that it does not hold back.
    #[must_use]
    pub const fn collect_rate(mut self, bytes: u64) -> Self {
        self.collect_rate = bytes;
        self
    }

    /// Makes the index again from the log, whether or not there is anything wrong with it: it then takes
    /// no more space than it needs, and all of the log was looked at. To read, has it read without a copy.
    #[must_use]
    pub const fn rebuild_index(mut self, rebuild: bool) -> Self {
        self.rebuild = rebuild;
        self
    }

    /// Opens a log that lost its end with what is left of it. What is lost counts as damage: logs that
    /// are signed here take no appends before a [repair](crate::Store::repair).
    #[must_use]
    pub const fn accept_loss(mut self, accept: bool) -> Self {
        self.accept_loss = accept;
        self
    }

    /// Bytes of log from which on a store that is opened to read takes a copy of the writer's index and reads
    /// only what came since (16 MiB); one that is shorter is read from its start.
    #[must_use]
    pub const fn copy_index_from(mut self, bytes: u64) -> Self {
        self.copy_index_from = bytes;
        self
    }

    /// Opens the store in a directory.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way, and where.
    pub fn open(self, path: impl AsRef<Path>) -> Result<DiskStore, OpenError> {
        let path = path.as_ref();
        let host = SledHost::new(&path.join(INDEX));
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(path));
        open(&disk, &host, self)
    }
}

/// Opens the store on a disk, with its index at a host.
pub(crate) fn open(
    disk: &Arc<dyn Disk>,
    host: &dyn IndexHost,
    options: StoreOptions,
) -> Result<DiskStore, OpenError> {
    let engine = match options.access {
        Access::ReadOnly => open_to_read(disk, host, options)?,
        Access::ReadWrite => open_to_write(disk, host, options)?,
    };
    engine.closed.store(false, Ordering::Release);
    Ok(DiskStore::new(engine))
}

fn open_to_write(
    disk: &Arc<dyn Disk>,
    host: &dyn IndexHost,
    options: StoreOptions,
) -> Result<Arc<Engine>, OpenError> {
    let root = || disk.root().to_path_buf();
    let find = || match options.accept_loss {
        true => Ok((recover::extent(&**disk)?, None)),
        false => recover::find(disk),
    };
    let (found, _) = find()?;
    // all of a log can be lost as well: then what says how far it reached is all there is
    let lost_all = options.accept_loss && is_there(&**disk, mark::FILE)?;
    if found.is_none() && !lost_all {
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
    let (found, recorded) = find()?;
    let reached = match mark::read(&**disk) {
        Ok(reached) => reached.map(|reached| reached.mark),
        // one that is damaged says nothing, and is written again
        Err(OpenError::Damaged(_)) => None,
        Err(error) => return Err(error),
    };
    let reached = reached.filter(|_| options.accept_loss);
    let (extent, superseded) = match found {
        None => (create_log(&**disk)?, Vec::new()),
        Some(found) => match found.unfinished {
            None => (found.extent, found.superseded),
            Some(unfinished) if unfinished == found.extent.start.segment => {
                (create_log(&**disk)?, found.superseded)
            }
            Some(unfinished) => {
                remove(&**disk, &segment::name(unfinished))?;
                (found.extent, found.superseded)
            }
        },
    };
    let engine = index_and_replay(disk, host, &extent, recorded, options)?;
    engine.settle(&extent).map_err(open_error)?;
    if let Some(reached) = reached {
        engine.note_loss(reached)?;
    }
    for number in superseded {
        remove(&**disk, &segment::name(number))?;
    }
    if is_there(&**disk, segment::NEW)? {
        remove(&**disk, segment::NEW)?;
    }
    *lock(&engine.lock) = Some(guard);
    if options.background {
        engine.worker.start(&engine);
        if options.collect {
            engine.collector.start(&engine);
        }
    }
    Ok(engine)
}

fn remove(disk: &dyn Disk, name: &str) -> Result<(), OpenError> {
    let removed = disk.remove(name);
    Ok(removed.map_err(fault(disk, Action::Remove, name))?)
}

pub(super) fn is_there(disk: &dyn Disk, name: &str) -> Result<bool, OpenError> {
    let opened = disk.open(name, false);
    Ok(opened.map_err(fault(disk, Action::Open, name))?.is_some())
}

/// A directory with other things in it is not taken for a store.
pub(super) fn check_foreign(disk: &dyn Disk) -> Result<(), OpenError> {
    let names = disk.list("").map_err(fault(disk, Action::List, ""))?;
    let ours = [
        "LOCK",
        segment::DIR,
        INDEX,
        secrets::FILE,
        secrets::NEW_FILE,
        secrets::SET_ASIDE,
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
        collected: None,
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
        segments: [0].into(),
    })
}

fn index_and_replay(
    disk: &Arc<dyn Disk>,
    host: &dyn IndexHost,
    extent: &Extent,
    recorded: Option<Mark>,
    options: StoreOptions,
) -> Result<Arc<Engine>, OpenError> {
    let distrusted = is_there(&**disk, REBUILD)?;
    let rebuild = distrusted || options.rebuild || options.accept_loss;
    if !rebuild && let Ok(index) = host.open() {
        let engine = build(Arc::clone(disk), index, extent, recorded, options)?;
        match engine.from_index(extent) {
            Ok(()) => return Ok(engine),
            Err(OpenError::Index(_)) => {}
            Err(error) => return Err(error),
        }
    }
    // until it is made, nobody takes it for one that is only behind
    let collected = extent
        .segments
        .iter()
        .any(|number| segment::round(*number) > 0);
    if collected && !distrusted {
        let made = disk.create(REBUILD);
        made.map_err(fault(&**disk, Action::Create, REBUILD))?;
        disk.sync_dir("")
            .map_err(fault(&**disk, Action::Sync, ""))?;
    }
    host.discard()?;
    let engine = build(Arc::clone(disk), host.open()?, extent, recorded, options)?;
    engine.replay(extent.start, None, extent, floor(recorded))?;
    engine.checkpoint().map_err(open_error)?;
    if is_there(&**disk, REBUILD)? {
        remove(&**disk, REBUILD)?;
    }
    Ok(engine)
}

/// Frames below it were on the device.
pub(crate) fn floor(mark: Option<Mark>) -> Lsn {
    mark.map_or(Lsn::default(), |mark| mark.lsn.next())
}

/// An engine that knows nothing yet, but how far the log must reach.
pub(super) fn build(
    disk: Arc<dyn Disk>,
    index: Arc<dyn Index>,
    extent: &Extent,
    recorded: Option<Mark>,
    options: StoreOptions,
) -> Result<Arc<Engine>, OpenError> {
    let access = options.access;
    let secrets = Secrets::open(&disk, access)?;
    let last = extent.last_segment();
    let name = segment::name(last);
    let opened = disk.open(&name, access == Access::ReadWrite);
    let file = opened
        .map_err(fault(&*disk, Action::Open, &name))?
        .ok_or_else(|| recover::damage(&*disk, last, 0, DamageKind::Missing))?;
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
        pages: Pages::default(),
        stretches: Stretches::default(),
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
        gaps: Mutex::default(),
        collecting: Mutex::default(),
        collector: Collector::default(),
        pressure: Pressure::default(),
        throttle: Throttle::default(),
        worker: Worker::default(),
        // until all of it was read: one that could not be opened has nothing to bring to the index
        closed: AtomicBool::new(true),
        lock: Mutex::default(),
    }))
}

pub(crate) fn open_error(error: StorageError) -> OpenError {
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
    pub(super) fn from_index(self: &Arc<Self>, extent: &Extent) -> Result<(), OpenError> {
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
        *lock(&self.gaps) = self.read_gaps()?;
        let from = indexed.map_or(extent.start, |mark| mark.next());
        *lock(&self.checkpointing) = from;
        *lock(&self.read_to) = from;
        if self.access == Access::ReadOnly {
            // what it stands for may be gone
            self.settle_before(extent, from.segment)
                .map_err(open_error)?;
        }
        let known = floor(*lock(&self.recorded)).max(floor(indexed));
        self.replay(from, indexed, extent, known)
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

    /// Notes that the log once reached to a frame, as damage where it does not any more.
    fn note_loss(&self, reached: Mark) -> Result<(), OpenError> {
        let at = *lock(&self.read_to);
        if at.lsn <= reached.lsn {
            lock(&self.gaps).push(Gap {
                segment: at.segment,
                start: at.offset,
                end: at.offset,
                first: at.lsn,
                next: reached.lsn.next(),
            });
        }
        self.finish_segment().map_err(open_error)
    }

    /// What is known to be damaged in the part of the log that the index has.
    fn read_gaps(&self) -> Result<Vec<Gap>, IndexError> {
        let mut gaps = Vec::new();
        let keys = index::keys_of(CoreId::STORE, index::GAP);
        self.index.values(keys, &mut |_, value| {
            let mut cursor = Cursor::new(&value);
            gaps.push(Gap {
                segment: cursor.u32()?,
                start: cursor.u32()?,
                end: cursor.u32()?,
                first: Lsn(cursor.u64()?),
                next: Lsn(cursor.u64()?),
            });
            Some(())
        })?;
        Ok(gaps)
    }
}
