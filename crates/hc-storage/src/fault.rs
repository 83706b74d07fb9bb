//! The default engine on a disk that fails, tears, loses and freezes on command, and of which a crash
//! image can be taken at any moment.
//!
//! Owns a file system in memory that remembers what was brought to its device and what was not. Knows
//! nothing of the log: it sees files and writes.

mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hc_bitfield::RangeSet;

use self::index::{FaultIndexHost, IndexContent};
use crate::disk::{Disk, DiskFile, LockGuard, LockRefusal};
use crate::engine::{DiskStore, StoreOptions, open};
use crate::error::OpenError;
use crate::lock::lock;

/// What happens to one call that changes the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the call says so.
    Refuse(io::ErrorKind),
    /// Only so many bytes are written, and the call says that it did not succeed.
    Tear(usize),
    /// Nothing is done, and the call says that it was.
    Lose,
    /// Nothing is done, by this call or any after it: the process is dead.
    Freeze,
}

/// What a crash leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// The process died: all that the operating system has. What the index had not flushed is lost from
    /// some point on.
    Process(u64),
    /// The power went: all that was synced, and of the rest any part, in any order, torn at any sector.
    Power(u64),
}

/// A disk that fails on command. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct FaultDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    locked: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Calls that changed something, or would have.
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    frozen: bool,
    /// Whether it makes no holes.
    solid: bool,
    /// The most bytes that its files took.
    peak: u64,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    files: Vec<Content>,
    index: IndexContent,
}

#[derive(Debug, Default, Clone)]
struct Content {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// What changed since it was synced.
    pending: Vec<Change>,
    /// What was given back.
    punched: RangeSet,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Punch(u64, u64),
}

const SECTOR: usize = 512;

impl FaultDisk {
    /// An empty disk that does what it is asked to.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the store on it, or makes one.
    ///
    /// # Errors
    /// [`OpenError`] says what is in the way.
    pub fn open(&self, options: StoreOptions) -> Result<DiskStore, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(self.clone());
        open(&disk, &FaultIndexHost(self.clone()), options)
    }

    /// Calls so far that changed the disk, or would have.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.0.state).calls
    }

    /// Has a fault happen at a call, counted as [`calls`](Self::calls) does: the next is number
    /// `calls()`.
    pub fn arm(&self, call: u64, fault: Fault) {
        lock(&self.0.state).faults.insert(call, fault);
    }

    /// The disk as a new process finds it if this one dies now.
    #[must_use]
    pub fn image(&self, survival: Survival) -> Self {
        let state = lock(&self.0.state);
        let (mut dice, power) = match survival {
            Survival::Process(seed) => (Dice(seed), false),
            Survival::Power(seed) => (Dice(seed), true),
        };
        let names = if power {
            state.surviving_names(&mut dice)
        } else {
            state.names.clone()
        };
        let survivor = |file: &Content| {
            if power {
                file.survivor(&mut dice)
            } else {
                file.bytes.clone()
            }
        };
        let files: Vec<_> = state
            .files
            .iter()
            .map(survivor)
            .map(Content::synced)
            .collect();
        let index = state.index.survivor(&mut dice);
        let image = State {
            synced_names: names.clone(),
            names,
            files,
            index,
            ..State::default()
        };
        Self(Arc::new(Shared {
            state: Mutex::new(image),
            locked: AtomicBool::new(false),
        }))
    }

    /// Makes no holes from now on, as many file systems do not.
    pub fn refuse_holes(&self) {
        lock(&self.0.state).solid = true;
    }

    /// The most bytes that its files took so far, all together and without holes.
    #[must_use]
    pub fn peak(&self) -> u64 {
        lock(&self.0.state).peak
    }

    /// Names of the files, in order.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        lock(&self.0.state).names.keys().cloned().collect()
    }

    /// What is in a file.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = lock(&self.0.state);
        Some(state.files.get(*state.names.get(name)?)?.bytes.clone())
    }

    /// Replaces what is in a file, on the device too.
    pub fn write(&self, name: &str, bytes: Vec<u8>) {
        let mut state = lock(&self.0.state);
        let id = state.files.len();
        state.files.push(Content::synced(bytes));
        state.names.insert(name.to_owned(), id);
        state.synced_names.insert(name.to_owned(), id);
    }

    /// Removes a file, on the device too.
    pub fn delete(&self, name: &str) {
        let mut state = lock(&self.0.state);
        state.names.remove(name);
        state.synced_names.remove(name);
    }

    /// Flips bits in every entry of the index.
    pub fn damage_index(&self) {
        for value in lock(&self.0.state).index.entries.values_mut() {
            let mut damaged = value.to_vec();
            if let Some(byte) = damaged.first_mut() {
                *byte ^= 0x55;
            }
            *value = Bytes::from(damaged);
        }
    }

    /// Removes all entries of the index.
    pub fn delete_index(&self) {
        lock(&self.0.state).index = IndexContent::default();
    }

    /// Counts a call that changes something: carried out where this says `Ok(None)`, up to so many bytes
    /// where it says how many, left out with success where it says [`Verdict::Lost`].
    fn call(&self, state: &mut State) -> io::Result<Verdict> {
        let call = state.calls;
        state.calls += 1;
        if state.frozen {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match state.faults.get(&call) {
            None => Ok(Verdict::Done),
            Some(Fault::Refuse(kind)) => Err((*kind).into()),
            Some(Fault::Tear(bytes)) => Ok(Verdict::Torn(*bytes)),
            Some(Fault::Lose) => Ok(Verdict::Lost),
            Some(Fault::Freeze) => {
                state.frozen = true;
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
    }

    /// A call that is carried out whole or not at all.
    fn whole(&self, act: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let mut state = lock(&self.0.state);
        match self.call(&mut state)? {
            Verdict::Done => act(&mut state),
            Verdict::Lost => Ok(()),
            Verdict::Torn(_) => Err(io::ErrorKind::Other.into()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    Done,
    Torn(usize),
    Lost,
}

impl State {
    /// Names that were not synced are there or not, as it happens.
    fn surviving_names(&self, dice: &mut Dice) -> BTreeMap<String, usize> {
        let all: BTreeSet<&String> = self.names.keys().chain(self.synced_names.keys()).collect();
        let pick = |name: &String| {
            let names = if dice.roll(2) == 0 {
                &self.names
            } else {
                &self.synced_names
            };
            Some((name.clone(), *names.get(name)?))
        };
        all.into_iter().filter_map(pick).collect()
    }

    fn change(&mut self, id: usize, change: Change) -> io::Result<()> {
        self.file(id)?.change(change);
        let files = self.names.values().filter_map(|id| self.files.get(*id));
        self.peak = self.peak.max(files.map(Content::allocated).sum());
        Ok(())
    }

    fn file(&mut self, id: usize) -> io::Result<&mut Content> {
        self.files
            .get_mut(id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Content {
    fn synced(bytes: Vec<u8>) -> Self {
        Self {
            synced: bytes.clone(),
            bytes,
            ..Self::default()
        }
    }

    fn allocated(&self) -> u64 {
        (self.bytes.len() as u64).saturating_sub(self.punched.count())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.bytes, &change);
        self.pending.push(change);
    }

    /// Any part of what was not synced, sector by sector.
    fn survivor(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let prefix = dice.roll(self.pending.len() as u64 + 1);
        let ordered = dice.roll(2) == 0;
        for (at, change) in (0u64..).zip(&self.pending) {
            let keep = if ordered {
                at < prefix
            } else {
                dice.roll(2) == 0
            };
            match change {
                Change::Write(offset, written) if !keep && dice.roll(4) == 0 => {
                    let kept = dice.roll(written.len() as u64 + 1);
                    let sectors = usize::try_from(kept).unwrap_or(0) / SECTOR;
                    let part = written.get(..sectors * SECTOR).unwrap_or(written).to_vec();
                    apply(&mut bytes, &Change::Write(*offset, part));
                }
                change if keep => apply(&mut bytes, change),
                _ => {}
            }
        }
        bytes
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let size = |len: u64| usize::try_from(len).unwrap_or(usize::MAX);
    match change {
        Change::SetLen(len) => bytes.resize(size(*len), 0),
        Change::Punch(offset, len) => {
            let end = size(offset.saturating_add(*len)).min(bytes.len());
            bytes
                .get_mut(size(*offset)..end)
                .unwrap_or_default()
                .fill(0);
        }
        Change::Write(offset, written) => {
            let end = size(*offset).saturating_add(written.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let Some(place) = bytes.get_mut(size(*offset)..end) {
                place.copy_from_slice(written);
            }
        }
    }
}

impl Disk for FaultDisk {
    fn root(&self) -> &Path {
        Path::new("faulty")
    }

    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>> {
        let state = lock(&self.0.state);
        let prefix = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let inside = |name: &String| {
            let rest = name.strip_prefix(&prefix)?;
            Some(rest.split('/').next().unwrap_or(rest).to_owned())
        };
        let names: BTreeSet<String> = state.names.keys().filter_map(inside).collect();
        let exists = !names.is_empty() || dir.is_empty();
        Ok(exists.then(|| names.into_iter().collect()))
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        self.whole(|_| Ok(()))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.whole(|state| {
            state.files.push(Content::default());
            let id = state.files.len() - 1;
            state.names.insert(name.to_owned(), id);
            Ok(())
        })?;
        Disk::open(self, name, true)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open(&self, name: &str, _write: bool) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let id = lock(&self.0.state).names.get(name).copied();
        Ok(id.map(|id| {
            Arc::new(FaultFile {
                disk: self.clone(),
                id,
            }) as Arc<dyn DiskFile>
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.whole(|state| {
            let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), id);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.whole(|state| match state.names.remove(name) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        self.whole(|state| {
            state.synced_names = state.names.clone();
            Ok(())
        })
    }

    fn lock(&self) -> Result<LockGuard, LockRefusal> {
        if self.0.locked.swap(true, Ordering::AcqRel) {
            return Err(LockRefusal::Held(None));
        }
        Ok(Box::new(FaultLock(Arc::clone(&self.0))))
    }
}

#[derive(Debug)]
struct FaultLock(Arc<Shared>);

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Release);
    }
}

#[derive(Debug)]
struct FaultFile {
    disk: FaultDisk,
    id: usize,
}

impl DiskFile for FaultFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.disk.0.state).file(self.id)?.bytes.len() as u64)
    }

    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = lock(&self.disk.0.state);
        let bytes = &state.file(self.id)?.bytes;
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let rest = bytes.get(from..).unwrap_or_default();
        let read = rest.len().min(out.len());
        for (place, byte) in out.iter_mut().zip(rest) {
            *place = *byte;
        }
        Ok(read)
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let mut state = lock(&self.disk.0.state);
        let mut bytes = parts.concat();
        match self.disk.call(&mut state)? {
            Verdict::Lost => Ok(()),
            Verdict::Done => state.change(self.id, Change::Write(offset, bytes)),
            Verdict::Torn(len) => {
                bytes.truncate(len);
                state.change(self.id, Change::Write(offset, bytes))?;
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk
            .whole(|state| state.change(self.id, Change::SetLen(len)))
    }

    fn allocated(&self) -> io::Result<u64> {
        Ok(lock(&self.disk.0.state).file(self.id)?.allocated())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.whole(|state| {
            if state.solid {
                return Err(io::ErrorKind::Unsupported.into());
            }
            let file = state.file(self.id)?;
            file.punched.insert(offset..offset.saturating_add(len));
            file.change(Change::Punch(offset, len));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.whole(|state| {
            let file = state.file(self.id)?;
            file.synced = file.bytes.clone();
            file.pending.clear();
            Ok(())
        })
    }
}

/// Numbers from a seed: splitmix64.
struct Dice(u64);

impl Dice {
    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }
}
