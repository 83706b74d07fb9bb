//! Appending: encrypt, draft, seal, commit, publish.

use std::sync::Arc;

use bytes::Bytes;
use futures_lite::future;
use hc_merkle::manifest::Prologue;
use hc_merkle::{BlockIndex, Draft, Head, Length};
use hc_storage::{Access, Batch, Durability};

use super::Core;
use super::lane::{Guard, LaneError};
use super::publish::{CommitError, Staged};
use super::seal::Seal;
use crate::cipher::Cipher;
use crate::encryption::{Encryption, EncryptionError};
use crate::error::AppendError;
use crate::hypercore::Appended;
use crate::limits::MAX_BLOCK_BYTES;
use crate::sync::Gate;
use crate::view::View;

impl Core {
    /// Appends the blocks together: all of them or none.
    pub(crate) async fn append(
        self: &Arc<Self>,
        gate: &Gate,
        cipher: Option<&Cipher>,
        blocks: Vec<Bytes>,
        options: AppendOptions,
    ) -> Result<Appended, AppendError> {
        let level = options.level;
        let guard = self.enter(gate).await?;
        let view = self.view.load();
        let draft = self.draft(&view, cipher, blocks, &options)?;
        let Some(draft) = draft else {
            return Ok(Appended::at(&view.head));
        };
        let sealed = self.seal(gate, guard, &view, draft, &options.seal);
        let (guard, change) = sealed.await?;
        let mut staged = Staged::on(&view);
        staged.gain(&change);
        staged.batch = Batch::from_change(&change);
        let appended = Appended::at(&staged.next.head);
        self.commit(guard, staged, level).await?;
        Ok(appended)
    }

    /// A turn on the lane, unless the handle is closed before it comes.
    pub(crate) async fn enter(&self, gate: &Gate) -> Result<Guard, LaneError> {
        if gate.is_closed() {
            return Err(LaneError::Closed);
        }
        if let Some(guard) = self.lane.try_lock()? {
            return Ok(guard);
        }
        let closed = async {
            gate.closed().await;
            Err(LaneError::Closed)
        };
        future::or(self.lane.lock(), closed).await
    }

    /// The log as it would be with these blocks, whoever may sign that.
    pub(crate) fn draft_for(
        &self,
        view: &View,
        cipher: Option<&Cipher>,
        blocks: Vec<Bytes>,
    ) -> Result<Option<Draft>, AppendError> {
        let options = AppendOptions {
            level: self.durability,
            seal: Seal::Given(Bytes::new()),
            max_length: None,
        };
        self.draft(view, cipher, blocks, &options)
    }

    fn draft(
        &self,
        view: &View,
        cipher: Option<&Cipher>,
        mut blocks: Vec<Bytes>,
        options: &AppendOptions,
    ) -> Result<Option<Draft>, AppendError> {
        let verifier = view.authority.verifier().ok_or(AppendError::NotWritable)?;
        let prologue = verifier.prologue();
        let prologue = prologue.filter(|prologue| view.head.length() < prologue.length);
        let signs = self.can_sign() || !matches!(options.seal, Seal::Own) || prologue.is_some();
        if !signs || self.store.access() == Access::ReadOnly {
            return Err(AppendError::NotWritable);
        }
        if self.encrypted {
            let cipher = cipher.and_then(|cipher| cipher.tie(&view.authority));
            let cipher = cipher.ok_or(AppendError::EncryptionKeyMissing)?;
            check_sizes(&blocks, cipher.padding())?;
            encrypt(cipher, &view.head, &mut blocks)?;
        }
        check_sizes(&blocks, 0)?;
        if blocks.is_empty() {
            return Ok(None);
        }
        let mut draft = Draft::new(&view.head);
        let length = Length::new(view.head.length().get().saturating_add(blocks.len() as u64));
        if let Some(max) = options.max_length.filter(|max| length > *max) {
            return Err(AppendError::MaxLength { length, max });
        }
        if let Some(prologue) = prologue {
            blocks = begin(&mut draft, prologue, blocks)?;
        }
        draft.append(blocks).map_err(AppendError::TooLong)?;
        Ok(Some(draft))
    }
}

/// How blocks are to be appended.
#[derive(Debug, Clone)]
pub(crate) struct AppendOptions {
    pub(crate) level: Durability,
    pub(crate) seal: Seal,
    /// Appends nothing if the log would be longer.
    pub(crate) max_length: Option<Length>,
}

/// Appends what the manifest fixes as the beginning of the log, and gives the rest.
fn begin(
    draft: &mut Draft,
    prologue: &Prologue,
    mut blocks: Vec<Bytes>,
) -> Result<Vec<Bytes>, AppendError> {
    let missing = prologue.length.get().saturating_sub(draft.length().get());
    let missing = usize::try_from(missing).unwrap_or(usize::MAX);
    if blocks.len() < missing {
        return Err(AppendError::BelowPrologue {
            prologue: prologue.length,
        });
    }
    let rest = blocks.split_off(missing);
    draft.append(blocks).map_err(AppendError::TooLong)?;
    if draft.head().tree_hash() != prologue.hash {
        return Err(AppendError::OtherPrologue);
    }
    Ok(rest)
}

fn encrypt(
    cipher: &dyn Encryption,
    head: &Head,
    blocks: &mut [Bytes],
) -> Result<(), EncryptionError> {
    for (index, block) in (head.length().get()..).zip(blocks) {
        *block = cipher.encrypt(BlockIndex::new(index), head.fork(), block)?;
    }
    Ok(())
}

fn check_sizes(blocks: &[Bytes], padding: usize) -> Result<(), AppendError> {
    let sizes = blocks
        .iter()
        .map(|block| block.len().saturating_add(padding));
    let too_large = sizes
        .enumerate()
        .find(|(_, bytes)| *bytes > MAX_BLOCK_BYTES);
    match too_large {
        Some((position, bytes)) => Err(AppendError::BlockTooLarge { position, bytes }),
        None => Ok(()),
    }
}

impl From<CommitError> for AppendError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Storage(error) => Self::Storage(error),
            CommitError::InDoubt => Self::InDoubt,
        }
    }
}
