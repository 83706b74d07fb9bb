//! From a bundle into a store.

use std::io::{Read, Seek};

use hc_merkle::proof::Proof;
use hc_merkle::{ByteLength, CoreKey, Head, Length, Node};
use hc_storage::{Durability, Store};

use super::ImportError;
use super::header::upgrade;
use super::read::{Bundle, Item};
use crate::intake::{Intake, IntakeError};
use crate::source::{Progress, TELL_EVERY};

/// What was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// What names the log.
    pub key: CoreKey,
    /// Its length now.
    pub length: Length,
    /// Its bytes now, as stored.
    pub byte_length: ByteLength,
    /// Blocks that were stored.
    pub blocks: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Blocks of the bundle that the store had already.
    pub present: u64,
    /// Pieces of user data that were stored.
    pub user_data: u64,
}

/// Takes a bundle into a store, each block verified before it is stored. A log that the store has already
/// is completed and, where the bundle is longer, extended; user data that it has stays as it is. Calls
/// `progress` now and then. All of it is on the device when this returns.
///
/// # Errors
/// [`ImportError`]; what was taken before is kept, and importing again goes on from there.
///
/// ```
/// use std::io::Cursor;
///
/// use hc_merkle::CoreKey;
/// use hc_storage::{Auth, CoreRecord, MemoryStore, Store};
/// use hc_transfer::StoredLog;
/// use hc_transfer::bundle::{Bundle, ExportOptions, import, write};
///
/// let (from, to) = (MemoryStore::new(), MemoryStore::new());
/// let key = CoreKey([7; 32]);
/// let log = from.create_core(CoreRecord {
///     discovery_key: key.discovery_key(),
///     auth: Auth::reader(key),
///     alias: None,
/// })?;
/// let mut file = Vec::new();
/// let source = StoredLog::new(log.snapshot()?);
/// write(&source, &mut file, &ExportOptions::default(), &mut |_| {})?;
///
/// let bundle = Bundle::open(Cursor::new(file))?;
/// let imported = import(bundle, &to, &mut |_| {})?;
/// assert_eq!(imported.key, key);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn import<R: Read + Seek>(
    mut bundle: Bundle<R>,
    store: &dyn Store,
    progress: &mut dyn FnMut(Progress),
) -> Result<Imported, ImportError> {
    let auth = bundle.header().auth();
    let mut intake = match Intake::existing(store, &auth)? {
        Some(mut intake) => {
            extend(&mut intake, &mut bundle)?;
            intake
        }
        None => {
            let (at, proof) = head_from(&bundle, Length::ZERO, None).unzip();
            Intake::create(store, auth.clone(), at.unwrap_or_default(), proof)?
        }
    };
    let done = body(&mut bundle, &mut intake, progress);
    // What waits holds, also where what comes after it does not.
    intake.flush()?;
    let done = done?;
    intake.add_auth(&auth)?;
    store
        .sync(Durability::Disk)
        .map_err(|error| ImportError::Intake(error.into()))?;
    Ok(Imported {
        length: intake.head().length(),
        byte_length: intake.head().byte_length(),
        ..done
    })
}

/// Takes in everything after the head, but for the last few blocks, which wait.
fn body<R: Read + Seek>(
    bundle: &mut Bundle<R>,
    intake: &mut Intake,
    progress: &mut dyn FnMut(Progress),
) -> Result<Imported, ImportError> {
    let total = bundle.header().blocks;
    let fork = bundle.head().map_or_else(Default::default, Head::fork);
    let mut done = Imported {
        key: bundle.header().key,
        length: Length::ZERO,
        byte_length: ByteLength::ZERO,
        blocks: 0,
        bytes: 0,
        present: 0,
        user_data: 0,
    };
    loop {
        let (at, item) = bundle.next(|index| !intake.have().get(index.get()))?;
        match item {
            Item::UserData(name, value) => {
                done.user_data += intake.add_user_data([(name, value)])?;
            }
            Item::Block(block) => {
                done.blocks += 1;
                done.bytes += block.value.len() as u64;
                intake.push_block(at, fork, block)?;
            }
            Item::Passed => done.present += 1,
            Item::End => break,
        }
        let blocks = done.blocks + done.present;
        if blocks.is_multiple_of(TELL_EVERY) {
            let bytes = done.bytes;
            progress(Progress {
                blocks,
                total,
                bytes,
            });
        }
    }
    progress(Progress {
        blocks: total,
        total,
        bytes: done.bytes,
    });
    Ok(done)
}

/// Takes a log that is here to the head of the bundle, if that is longer.
fn extend<R: Read + Seek>(intake: &mut Intake, bundle: &mut Bundle<R>) -> Result<(), ImportError> {
    let Some(theirs) = bundle.head().cloned() else {
        return Ok(());
    };
    intake.check_fork(&theirs)?;
    let ours = intake.head().length();
    if ours >= theirs.length() {
        return Ok(());
    }
    let nodes = match ours {
        Length::ZERO => None,
        ours => {
            let theirs = theirs.length();
            let nodes = bundle.tie(ours)?;
            Some(nodes.ok_or(IntakeError::NotTied { ours, theirs })?)
        }
    };
    if let Some((at, proof)) = head_from(bundle, ours, nodes) {
        intake.push(at, proof)?;
        intake.flush()?;
    }
    Ok(())
}

/// The head as a proof for somebody who has `start` blocks, and where it stands.
fn head_from<R: Read + Seek>(
    bundle: &Bundle<R>,
    start: Length,
    nodes: Option<Vec<Node>>,
) -> Option<(u64, Proof)> {
    let (at, head) = bundle.placed_head()?;
    let nodes = nodes.unwrap_or_else(|| head.roots().to_vec());
    let proof = Proof {
        fork: head.fork(),
        upgrade: Some(upgrade(head, start, nodes)),
        manifest: bundle.header().manifest.clone(),
        ..Proof::default()
    };
    Some((at, proof))
}
