//! Bytes that nobody vouches for, as segments of a log, as pages of an index and as a file of secret keys: what
//! the fuzz targets of the workspace do with them.
//!
//! Owns the way from any bytes to frames that are whole, so that what they say is looked at and not only
//! their checksums. Each body takes any bytes and must neither panic nor take memory without bound.

use bytes::Bytes;
use hc_merkle::NodeIndex;

use crate::engine::StoreOptions;
use crate::error::{OpenError, StorageError};
use crate::fault::{FaultDisk, Survival};
use crate::index::nodes::NodePage;
use crate::index::page::LocatorPage;
use crate::log::Lsn;
use crate::log::frame::Draft;
use crate::log::segment::{self, Header, StoreId};
use crate::record::StoreSecret;
use crate::record::entry::{Entry, NodesAt};
use crate::store::Store;

const STORE: StoreId = StoreId([7; 16]);

/// Most bytes that are taken of an input.
const MAX_INPUT: usize = 64 << 10;

fn options() -> StoreOptions {
    let options = StoreOptions::default().background(false);
    options.segment_len(8 << 10).checkpoint_every(50, 4 << 10)
}

fn header() -> Vec<u8> {
    let header = Header {
        number: 0,
        store: STORE,
        first: Lsn(0),
        collected: None,
    };
    header.encode().to_vec()
}

/// The bytes as a segment behind a header that is whole.
pub fn segment(input: &[u8]) {
    let input = input.get(..MAX_INPUT).unwrap_or(input);
    let mut bytes = header();
    bytes.extend_from_slice(input);
    open(&bytes);
    open(input);
}

/// The bytes as bodies of frames, each behind its length (2, little-endian) and that of its data (2).
pub fn frames(input: &[u8]) {
    let mut rest = input.get(..MAX_INPUT).unwrap_or(input);
    let (mut bytes, mut lsn) = (header(), Lsn(0));
    while let Some((lens, after)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = *lens;
        let body_len = usize::from(u16::from_le_bytes([a, b])).min(after.len());
        let (body, after) = after.split_at_checked(body_len).unwrap_or_default();
        let data_len = usize::from(u16::from_le_bytes([c, d])).min(after.len());
        let (data, after) = after.split_at_checked(data_len).unwrap_or_default();
        rest = after;
        let mut front = Draft::body_buffer(body.len());
        front.extend_from_slice(body);
        let data = Bytes::copy_from_slice(data);
        let Some(draft) = Draft::new(front, std::iter::once(data)) else {
            return;
        };
        let (parts, _) = draft.seal(lsn, Lsn(0), STORE);
        lsn = lsn.next();
        for part in parts.iter() {
            bytes.extend_from_slice(part);
        }
    }
    open(&bytes);
}

/// The bytes as a page of locators, as one of nodes, and as the body of a frame.
pub fn page(input: &[u8]) {
    if let Some(page) = LocatorPage::decode(input) {
        let again = page.encode();
        let again = again.as_deref().and_then(LocatorPage::decode);
        assert_eq!(again.unwrap_or(LocatorPage::EMPTY), page);
    }
    for block in [0, 1, 63, u64::MAX] {
        let _ = LocatorPage::find(input, block);
    }
    for number in [0, 1, 1 << 40, u64::MAX / 128, u64::MAX] {
        if let Some(page) = NodePage::decode(input, number) {
            assert_eq!(page.encode().unwrap_or_default(), input);
        }
    }
    for index in [0, 1, 127, 1 << 50, u64::MAX - 1] {
        let _ = NodePage::find(input, NodeIndex::new(index));
    }
    if let Some(entries) = Entry::decode_all(input) {
        let mut out = Vec::new();
        let said = |entries: Vec<(Entry, NodesAt)>| entries.into_iter().map(|(entry, _)| entry);
        let entries: Vec<Entry> = said(entries).collect();
        let at = Entry::encode_all(entries.iter(), &mut out);
        let again = entries.into_iter().zip(at).collect();
        assert_eq!(Entry::decode_all(&out), Some(again));
    }
}

/// The bytes as a file of secret keys, and as what is behind its header.
pub fn secrets(input: &[u8]) {
    const FILE: &str = "SECRETS";
    let input = input.get(..MAX_INPUT).unwrap_or(input);
    let disk = FaultDisk::new();
    let secret = |byte| StoreSecret::from_bytes([byte; 32]);
    let made = disk.open(options().create(true));
    let kept = made.is_ok_and(|store| store.set_secret(secret(1)).is_ok());
    assert!(kept, "an empty disk takes a secret");
    let whole = disk.read(FILE).unwrap_or_default();
    let header = whole.get(..16).unwrap_or_default();
    for bytes in [input.to_vec(), [header, input].concat()] {
        disk.write(FILE, bytes.clone());
        let Ok(store) = disk.open(options()) else {
            continue;
        };
        let is_damaged = store.damage().is_ok_and(|damage| !damage.is_empty());
        let _ = store.set_secret(secret(2));
        let now = disk.read(FILE).unwrap_or_default();
        assert!(
            !is_damaged || now.starts_with(keys(&bytes)),
            "something was lost"
        );
        assert!(store.repair(&mut |_| {}).is_ok(), "not repaired");
        drop(store);
        let store = disk.open(options()).ok();
        let damage = store.and_then(|store| store.damage().ok());
        assert_eq!(damage, Some(Vec::new()), "repaired, and damaged");
    }
}

/// What there may be keys in: all but a last record without a seed.
fn keys(file: &[u8]) -> &[u8] {
    let behind = file.len().saturating_sub(16).saturating_sub(1);
    let last = 16 + behind / 100 * 100;
    let mut seed = file.iter().skip(last + 36).take(32);
    if seed.any(|byte| *byte != 0) {
        file
    } else {
        file.get(..last).unwrap_or(file)
    }
}

/// A log of one segment is opened, looked through, collected, repaired and opened again.
fn open(bytes: &[u8]) {
    let disk = FaultDisk::new();
    disk.write(&segment::name(0), bytes.to_vec());
    let Some(found) = opened(&disk, options().read_only()) else {
        return;
    };
    let _ = opened(&disk, options());
    let Ok(store) = disk.open(options()) else {
        return;
    };
    let _ = store.compact(&mut |_| {});
    let _ = store.repair(&mut |_| {});
    let _ = store.compact(&mut |_| {});
    let _ = store.close();
    let image = disk.image(Survival::Process(0));
    image.delete_index();
    let again = opened(&image, options()).unwrap_or_default();
    assert!(again <= found, "{again} logs out of {found}");
}

/// How many logs there are, of a store that opens.
fn opened(disk: &FaultDisk, options: StoreOptions) -> Option<usize> {
    let opened: Result<_, OpenError> = disk.open(options);
    let store = opened.ok()?;
    let look = || -> Result<usize, StorageError> {
        let cores = store.cores()?;
        for entry in &cores {
            let Ok(Some(core)) = store.open_core(&entry.discovery_key) else {
                continue;
            };
            let bits = core.bitfield()?;
            for block in bits.ranges(0..u64::MAX).flatten().take(100) {
                let _ = core.block(hc_merkle::BlockIndex::new(block));
            }
            let _ = core.node(hc_merkle::NodeIndex::new(0));
        }
        Ok(cores.len())
    };
    let found = look().unwrap_or_default();
    let _ = store.close();
    Some(found)
}
