//! From a log into a bundle, as a stream or as a file that can be gone on with.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::proof::BlockProof;
use hc_merkle::{CoreKey, Length};

use super::frame::{self, Kind, MAGIC, VERSION};
use super::header::{BundleHeader, encode_end, encode_head, encode_path, encode_user_data};
use super::read::{Bundle, Item};
use super::{ExportError, ExportOptions};
use crate::limits::MAX_BUNDLE_USER_DATA;
use crate::proofs::Proofs;
use crate::source::{Progress, Source, TELL_EVERY};

/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// What names the log.
    pub key: CoreKey,
    /// Its length.
    pub length: Length,
    /// Blocks in the bundle.
    pub blocks: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Pieces of user data in the bundle.
    pub user_data: u64,
    /// Blocks that an earlier attempt had written.
    pub resumed: u64,
    /// Bytes of the bundle.
    pub file_bytes: u64,
}

/// What a bundle is to have.
struct Plan<'a> {
    proofs: Proofs<'a>,
    header: BundleHeader,
    user_data: Vec<(String, Bytes)>,
}

/// What was written so far.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    blocks: u64,
    bytes: u64,
    file_bytes: u64,
}

impl<'a> Plan<'a> {
    fn new(source: &'a dyn Source, options: &ExportOptions) -> Result<Self, ExportError> {
        let read = |error| ExportError::Source(crate::ProveError::Source(error));
        let auth = source.auth().map_err(read)?;
        let proofs = Proofs::new(source, Bitfield::new(), options.blocks.clone())?;
        proofs.check_head(&auth)?;
        let user_data = if options.without_user_data {
            Vec::new()
        } else {
            source.user_data().map_err(read)?
        };
        if user_data.len() as u64 > MAX_BUNDLE_USER_DATA {
            return Err(ExportError::TooMuchUserData);
        }
        let header = BundleHeader {
            key: auth.key,
            manifest: auth.manifest.map(Arc::unwrap_or_clone),
            compat: auth.compat,
            encryption: auth.encryption,
            blocks: proofs.total(),
            user_data: user_data.len() as u64,
        };
        Ok(Self {
            proofs,
            header,
            user_data,
        })
    }

    /// Writes everything before the blocks.
    fn write_start(&self, out: &mut dyn Write, written: &mut Written) -> io::Result<()> {
        out.write_all(&MAGIC)?;
        out.write_all(&[VERSION])?;
        written.file_bytes = MAGIC.len() as u64 + 1;
        let header = self.header.encode();
        written.file_bytes += frame::write(out, Kind::Header, &[&header])?;
        if self.proofs.head().length() > Length::ZERO {
            let head = encode_head(self.proofs.head());
            written.file_bytes += frame::write(out, Kind::Head, &[&head])?;
        }
        for (key, value) in &self.user_data {
            let content = encode_user_data(key, value);
            written.file_bytes += frame::write(out, Kind::UserData, &[&content])?;
        }
        Ok(())
    }

    /// Writes the blocks that are not there yet, and the end. Each is verified before it is written.
    fn write_rest(
        &mut self,
        out: &mut dyn Write,
        written: &mut Written,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), ExportError> {
        let total = self.header.blocks;
        let mut tell = |written: &Written| {
            progress(Progress {
                blocks: written.blocks,
                total,
                bytes: written.bytes,
            });
        };
        while let Some(block) = self.proofs.next()? {
            self.proofs.check(&block)?;
            let path = encode_path(&block);
            written.file_bytes += frame::write(out, Kind::Block, &[&path, &block.value])?;
            written.count(&block);
            if written.blocks.is_multiple_of(TELL_EVERY) {
                tell(written);
            }
        }
        let end = encode_end(written.blocks, written.bytes);
        written.file_bytes += frame::write(out, Kind::End, &[&end])?;
        tell(written);
        Ok(())
    }

    fn exported(&self, written: &Written, resumed: u64) -> Exported {
        Exported {
            key: self.header.key,
            length: self.proofs.head().length(),
            blocks: written.blocks,
            bytes: written.bytes,
            user_data: self.header.user_data,
            resumed,
            file_bytes: written.file_bytes,
        }
    }
}

impl Written {
    fn count(&mut self, block: &BlockProof) {
        self.blocks += 1;
        self.bytes += block.value.len() as u64;
    }
}

/// Writes a bundle of a log to a stream. Calls `progress` now and then.
///
/// # Errors
/// [`ExportError`]; a log that is damaged is found out before the damage is written.
pub fn write(
    source: &dyn Source,
    out: &mut dyn Write,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exported, ExportError> {
    let mut plan = Plan::new(source, options)?;
    let mut written = Written::default();
    let mut out = BufWriter::with_capacity(BUFFER, out);
    plan.write_start(&mut out, &mut written)?;
    plan.write_rest(&mut out, &mut written, progress)?;
    out.flush()?;
    Ok(plan.exported(&written, 0))
}

/// Writes a bundle of a log to a file, which is there under its name when it is whole and on the device.
/// Until then it is there with `.part` after its name; where an earlier attempt left that, of the same state
/// of the log, it is gone on with. Calls `progress` now and then.
///
/// # Errors
/// As [`write()`], and [`ExportError::Exists`] where there is a file of this name.
pub fn export(
    source: &dyn Source,
    path: impl AsRef<Path>,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exported, ExportError> {
    let path = path.as_ref();
    if path.exists() {
        return Err(ExportError::Exists);
    }
    let part = part_of(path);
    let mut open = OpenOptions::new();
    let mut file = open
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&part)?;
    let mut plan = Plan::new(source, options)?;
    let (mut written, given) = resume(&plan, &mut file).unwrap_or_default();
    let resumed = written.blocks;
    file.set_len(written.file_bytes)?;
    file.seek(SeekFrom::Start(written.file_bytes))?;
    let mut out = BufWriter::with_capacity(BUFFER, &mut file);
    if written.file_bytes == 0 {
        plan.write_start(&mut out, &mut written)?;
    }
    plan.proofs.pass_over(given);
    plan.write_rest(&mut out, &mut written, progress)?;
    out.flush()?;
    drop(out);
    file.sync_all()?;
    fs::rename(&part, path)?;
    sync_folder(path)?;
    Ok(plan.exported(&written, resumed))
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// What an earlier attempt wrote that is whole and of the same state of the log.
fn resume(plan: &Plan<'_>, file: &mut File) -> Option<(Written, Bitfield)> {
    let mut bundle = Bundle::open(&mut *file).ok()?;
    let head = plan.proofs.head();
    let same_head = match bundle.head() {
        Some(other) => other == head,
        None => head.length() == Length::ZERO,
    };
    if !same_head || *bundle.header() != plan.header {
        return None;
    }
    for expected in &plan.user_data {
        match bundle.next(|_| false) {
            Ok((_, Item::UserData(key, value))) if (&key, &value) == (&expected.0, &expected.1) => {
            }
            _ => return None,
        }
    }
    let mut given = Bitfield::new();
    let mut written = Written {
        file_bytes: bundle.position(),
        ..Written::default()
    };
    while let Ok((_, Item::Block(block))) = bundle.next(|_| true) {
        plan.proofs.check(&block).ok()?;
        given.set(block.index.get());
        written.count(&block);
        written.file_bytes = bundle.position();
    }
    Some((written, given))
}

/// Brings the name of a file to the device, where the system has a way to.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
