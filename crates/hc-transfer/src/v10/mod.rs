//! Directories that version 10 of the reference wrote, one for each log: `oplog`, `tree`, `bitfield`,
//! `data`, and `header` where that is large.
//!
//! Owns what the files say together. They are only read. Nothing is verified here: that is done on the way
//! into a store.
//!
//! - `tree` has 40 bytes a node: size (8, little-endian), hash; zeros where there is none.
//! - `bitfield` has a bit a block, least significant first.
//! - `data` has the blocks, each where the sizes in the tree say.
//! - What `oplog` has comes on top of all of them; files of a log that was never flushed are not there.

mod oplog;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_encoding::{Decode, Reader};
use hc_merkle::flat::roots_at;
use hc_merkle::limits::MAX_LENGTH;
use hc_merkle::{
    BlockIndex, ByteLength, ByteRange, Hash, Head, Length, Node, NodeIndex, OffsetError, Verifier,
};
use hc_storage::{Alias, Auth, NamespaceId};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{BadFile, FileFault, SourceError};
use crate::files::{PlacedFile, lock};
use crate::limits::{MAX_BITFIELD_BYTES, MAX_OPLOG_BYTES};
use crate::source::Source;
use oplog::{Entry, Found, Header, OplogFaultKind};

/// Bytes of a node in `tree`.
const NODE: usize = 40;

/// A log in a directory of version 10.
#[derive(Debug)]
pub struct V10Log {
    auth: Auth,
    head: Head,
    bitfield: Bitfield,
    user_data: BTreeMap<String, Bytes>,
    alias: Option<Alias>,
    /// Nodes that `tree` does not have yet.
    nodes: BTreeMap<u64, Node>,
    tree: Option<PlacedFile>,
    data: Option<PlacedFile>,
    data_path: PathBuf,
    /// Where the last block that was read ends, for whoever reads them in order: block and byte.
    follows: Mutex<(u64, u64)>,
}

/// The directories of logs in `dir`: itself, or those of a corestore, in order.
///
/// # Errors
/// [`BadFile`] where there is neither, or a directory cannot be listed.
pub fn logs(dir: impl AsRef<Path>) -> Result<Vec<PathBuf>, BadFile> {
    let dir = dir.as_ref();
    if dir.join("oplog").is_file() {
        return Ok(vec![dir.to_path_buf()]);
    }
    let cores = dir.join("cores");
    if !cores.is_dir() {
        let what = "a log of version 10";
        return Err(BadFile::new(dir, 0, FileFault::Absent { what }));
    }
    let mut found = vec![cores];
    for _ in 0..3 {
        let mut below = Vec::new();
        for dir in found {
            below.extend(folders(&dir)?);
        }
        found = below;
    }
    found.retain(|dir| dir.join("oplog").is_file());
    found.sort();
    Ok(found)
}

/// The secret that the key pairs of a corestore of version 10 follow from; `None` where the directory has
/// none.
///
/// # Errors
/// [`BadFile`] where it is not 32 bytes, or cannot be read.
pub fn primary_key(dir: impl AsRef<Path>) -> Result<Option<Zeroizing<[u8; 32]>>, BadFile> {
    let path = dir.as_ref().join("primary-key");
    let bytes = match fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BadFile::new(path, 0, error.into())),
    };
    let key = <[u8; 32]>::try_from(bytes.as_slice());
    let what = "a primary key";
    key.map(|key| Some(Zeroizing::new(key)))
        .map_err(|_| BadFile::new(path, 0, FileFault::Malformed { what }))
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>, BadFile> {
    let bad = |error: io::Error| BadFile::new(dir, 0, error.into());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(bad)? {
        let path = entry.map_err(bad)?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

impl V10Log {
    /// Opens the log in a directory, which has an `oplog` in it.
    ///
    /// # Errors
    /// [`BadFile`] says which file is not what it should be, and where.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, BadFile> {
        let dir = dir.as_ref();
        let file = PlacedFile::open(&dir.join("oplog"))?;
        let bytes = file.read_all("an oplog", MAX_OPLOG_BYTES)?;
        let (found, entries) = oplog::read(&bytes).map_err(|fault| {
            file.malformed(
                fault.offset as u64,
                match fault.kind {
                    OplogFaultKind::NoHeader => "a header of an oplog",
                    OplogFaultKind::Header => "the header of an oplog",
                    OplogFaultKind::Entry => "an entry of an oplog",
                },
            )
        })?;
        wipe(bytes);
        let header = match found {
            Found::Here(header) => *header,
            Found::External { start, len } => external(&dir.join("header"), start, len)?,
        };
        let mut log = Self {
            auth: auth(&header).ok_or_else(|| file.malformed(0, "the manifest in an oplog"))?,
            head: Head::empty(),
            bitfield: read_bitfield(&dir.join("bitfield"))?,
            user_data: BTreeMap::new(),
            alias: None,
            nodes: BTreeMap::new(),
            tree: PlacedFile::open_if_there(&dir.join("tree"))?,
            data: PlacedFile::open_if_there(&dir.join("data"))?,
            data_path: dir.join("data"),
            follows: Mutex::default(),
        };
        let mut tree = header.tree;
        for (key, value) in header.user_data {
            log.set_user_data(key, value);
        }
        for entry in entries {
            if let Some(upgrade) = &entry.upgrade {
                tree = upgrade.tree.clone();
            }
            log.apply(entry);
        }
        log.alias = take_alias(&mut log.user_data);
        log.bitfield.unset_range(tree.length.get()..u64::MAX);
        log.head = log.read_head(&file, &tree)?;
        Ok(log)
    }

    fn set_user_data(&mut self, key: String, value: Bytes) {
        // An empty value is how the reference removes one.
        if value.is_empty() {
            self.user_data.remove(&key);
        } else {
            self.user_data.insert(key, value);
        }
    }

    fn apply(&mut self, entry: Entry) {
        if let Some((key, value)) = entry.user_data {
            self.set_user_data(key, value);
        }
        for node in entry.nodes {
            self.nodes.insert(node.index.get(), node);
        }
        if let Some(upgrade) = entry.upgrade {
            let kept = upgrade.ancestors.get();
            self.bitfield.unset_range(kept..u64::MAX);
        }
        if let Some(bits) = entry.bits {
            let end = bits.start.saturating_add(bits.len).min(MAX_LENGTH.get());
            if bits.is_there {
                self.bitfield.set_range(bits.start..end);
            } else {
                self.bitfield.unset_range(bits.start..end);
            }
        }
    }

    fn read_head(&self, oplog: &PlacedFile, tree: &oplog::Tree) -> Result<Head, BadFile> {
        if tree.length == Length::ZERO {
            return Ok(Head::empty());
        }
        let bad = || oplog.malformed(0, "the length in an oplog");
        if tree.length > MAX_LENGTH {
            return Err(bad());
        }
        let mut roots = Vec::new();
        for index in roots_at(tree.length) {
            let root = self.node(index)?;
            roots.push(root.ok_or_else(|| oplog.malformed(0, "a tree that lacks a root"))?);
        }
        let head = Head::new(tree.fork, tree.length, roots).map_err(|_| bad())?;
        Ok(if tree.signature.is_empty() {
            head
        } else {
            head.with_signature(tree.signature.clone())
        })
    }

    fn node(&self, index: NodeIndex) -> Result<Option<Node>, BadFile> {
        if let Some(node) = self.nodes.get(&index.get()) {
            return Ok(Some(*node));
        }
        let place = index.get().checked_mul(NODE as u64);
        let (Some(file), Some(place)) = (&self.tree, place) else {
            return Ok(None);
        };
        let Some(bytes) = file.peek::<NODE>(place)? else {
            return Ok(None);
        };
        let (size, hash) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        let hash = <[u8; 32]>::try_from(hash).unwrap_or_default();
        Ok((bytes != [0; NODE]).then(|| Node {
            index,
            size: ByteLength::new(u64::from_le_bytes(*size)),
            hash: Hash(hash),
        }))
    }

    /// Where a block lies in `data`: at which byte, and how many.
    fn place(&self, index: BlockIndex) -> Result<(u64, u64), SourceError> {
        let leaf = index.leaf().map(|leaf| self.node(leaf)).transpose()?;
        let size = leaf.flatten().map(|leaf| leaf.size.get());
        let (next, offset) = *lock(&self.follows);
        if let (true, Some(size)) = (next == index.get(), size) {
            return Ok((offset, size));
        }
        let bad = |what| BadFile::new(&self.data_path, 0, FileFault::Malformed { what });
        let plan = ByteRange::of_block(&self.head, index).map_err(|_| bad("a block"))?;
        let mut nodes = Vec::new();
        self.nodes(plan.nodes(), &mut nodes)?;
        let range = plan.range(&nodes).map_err(|error| {
            bad(match error {
                OffsetError::MissingNode { .. } => "a tree that lacks the nodes of a block",
                _ => "the place of a block",
            })
        })?;
        Ok((range.start, range.end - range.start))
    }
}

impl Source for V10Log {
    fn auth(&self) -> Result<Auth, SourceError> {
        Ok(self.auth.clone())
    }

    fn alias(&self) -> Result<Option<Alias>, SourceError> {
        Ok(self.alias.clone())
    }

    fn head(&self) -> Result<Head, SourceError> {
        Ok(self.head.clone())
    }

    fn bitfield(&self) -> Result<Bitfield, SourceError> {
        Ok(self.bitfield.clone())
    }

    fn nodes(&self, indexes: &[NodeIndex], out: &mut Vec<Option<Node>>) -> Result<(), SourceError> {
        for index in indexes {
            out.push(self.node(*index)?);
        }
        Ok(())
    }

    fn block(&self, index: BlockIndex) -> Result<Option<Bytes>, SourceError> {
        if !self.bitfield.get(index.get()) {
            return Ok(None);
        }
        let (offset, size) = self.place(index)?;
        let bytes = match &self.data {
            Some(data) => data.read(offset, size)?,
            None if size == 0 => Bytes::new(),
            None => return Err(BadFile::new(&self.data_path, 0, FileFault::Truncated).into()),
        };
        *lock(&self.follows) = (index.get() + 1, offset.saturating_add(size));
        Ok(Some(bytes))
    }

    fn user_data(&self) -> Result<Vec<(String, Bytes)>, SourceError> {
        Ok(self.user_data.clone().into_iter().collect())
    }
}

fn external(path: &Path, start: u64, len: u64) -> Result<Header, BadFile> {
    let file = PlacedFile::open(path)?;
    if len > MAX_OPLOG_BYTES {
        let (what, limit) = ("a header", MAX_OPLOG_BYTES);
        return Err(file.bad(start, FileFault::TooLong { what, len, limit }));
    }
    let bytes = file.read(start, len)?;
    let found = Found::decode(&mut Reader::over(&bytes));
    wipe(bytes);
    match found {
        Ok(Found::Here(header)) => Ok(*header),
        Ok(Found::External { .. }) => Err(file.malformed(start, "a header")),
        Err(error) => Err(file.malformed(start.saturating_add(error.at as u64), "a header")),
    }
}

/// Leaves no secret key behind in memory that is given back: what was read of it has a copy of its own,
/// which does the same.
fn wipe(bytes: Bytes) {
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.as_mut().zeroize();
    }
}

/// Who may sign, as the header says; `None` where its manifest is not that of its key.
fn auth(header: &Header) -> Option<Auth> {
    let verifier = match &header.manifest {
        Some(manifest) => Some(Verifier::new(header.key, manifest.clone()).ok()?),
        None => None,
    };
    Some(Auth {
        key: header.key,
        manifest: verifier.as_ref().and_then(Verifier::shared_manifest),
        secret_key: header.secret_key.clone(),
        encryption: None,
        compat: verifier.as_ref().is_some_and(Verifier::is_compat),
    })
}

/// The name that a corestore kept among the user data of a log.
fn take_alias(user_data: &mut BTreeMap<String, Bytes>) -> Option<Alias> {
    let name = user_data.get("corestore/name")?;
    let namespace = user_data.get("corestore/namespace")?.as_ref();
    let alias = Alias {
        namespace: NamespaceId(namespace.try_into().ok()?),
        name: std::str::from_utf8(name).ok()?.to_owned(),
    };
    user_data.remove("corestore/name");
    user_data.remove("corestore/namespace");
    Some(alias)
}

fn read_bitfield(path: &Path) -> Result<Bitfield, BadFile> {
    let mut bits = Bitfield::new();
    let Some(file) = PlacedFile::open_if_there(path)? else {
        return Ok(bits);
    };
    let bytes = file.read_all("a bitfield", MAX_BITFIELD_BYTES)?;
    crate::source::set_bits(&mut bits, 0, &bytes);
    Ok(bits)
}
