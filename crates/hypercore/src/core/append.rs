//! Appending: encrypt, draft, seal, commit, publish.

use std::sync::Arc;

use bytes::Bytes;
use hc_merkle::manifest::Prologue;
use hc_merkle::{Authority, BlockIndex, Draft, Head, Length, Verifier};
use hc_storage::{Access, Batch, Durability};

use super::Core;
use super::publish::Staged;
use super::seal::Seal;
use crate::cipher::Cipher;
use crate::encryption::{Encryption, EncryptionError};
use crate::error::AppendError;
use crate::hypercore::Appended;
use crate::limits::MAX_BLOCK_BYTES;
use crate::session::Handle;
use crate::view::View;

impl Core {
    /// Appends the blocks together: all of them or none.
    pub(crate) async fn append(
        self: &Arc<Self>,
        handle: &Handle,
        blocks: Vec<Bytes>,
        options: AppendOptions,
    ) -> Result<Appended, AppendError> {
        let level = options.level;
        let guard = self.enter(&handle.gate).await?;
        let view = self.view.load();
        let verifier = handle.verifier(&view).ok_or(AppendError::NotWritable)?;
        let prologue = verifier.prologue().map(|prologue| prologue.length);
        let needs_none = prologue.is_some_and(|prologue| view.head.length() < prologue);
        if !handle.may_write(&options.seal) && !needs_none {
            return Err(AppendError::NotWritable);
        }
        let cipher = handle.defaults.cipher.as_deref();
        let draft = self.draft(&view.head, &verifier, cipher, blocks, options.max_length)?;
        let Some(draft) = draft else {
            return Ok(Appended::at(&view.head));
        };
        let sealed = self.seal(handle, guard, &verifier, draft, &options.seal);
        let (guard, change) = sealed.await?;
        let mut staged = Staged::on(&view);
        staged.gain(&change);
        staged.batch = Batch::from_change(&change);
        staged.learn(verifier);
        let appended = Appended::at(&staged.next.head);
        self.commit(guard, staged, level).await?;
        Ok(appended)
    }

    /// The log as it would be with these blocks, whoever may sign that.
    pub(crate) fn draft_for(
        &self,
        view: &View,
        cipher: Option<&Cipher>,
        blocks: Vec<Bytes>,
    ) -> Result<Option<Draft>, AppendError> {
        let verifier = view.authority.verifier().ok_or(AppendError::NotWritable)?;
        if self.store.access() == Access::ReadOnly {
            return Err(AppendError::NotWritable);
        }
        self.draft(&view.head, verifier, cipher, blocks, None)
    }

    fn draft(
        &self,
        head: &Head,
        verifier: &Verifier,
        cipher: Option<&Cipher>,
        mut blocks: Vec<Bytes>,
        max_length: Option<Length>,
    ) -> Result<Option<Draft>, AppendError> {
        if self.is_encrypted() || cipher.is_some() {
            let known = Authority::Known(verifier.clone());
            let cipher = cipher.and_then(|cipher| cipher.tie(&known));
            let cipher = cipher.ok_or(AppendError::EncryptionKeyMissing)?;
            check_sizes(&blocks, cipher.padding())?;
            encrypt(cipher, head, &mut blocks)?;
        }
        check_sizes(&blocks, 0)?;
        if blocks.is_empty() {
            return Ok(None);
        }
        let mut draft = Draft::new(head);
        let length = Length::new(head.length().get().saturating_add(blocks.len() as u64));
        if let Some(max) = max_length.filter(|max| length > *max) {
            return Err(AppendError::MaxLength { length, max });
        }
        let prologue = verifier.prologue();
        if let Some(prologue) = prologue.filter(|prologue| head.length() < prologue.length) {
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
