//! Appending: encrypt, draft, seal, commit, publish.

use std::sync::Arc;

use bytes::Bytes;
use futures_lite::future;
use hc_merkle::manifest::Prologue;
use hc_merkle::{Authority, Draft, Fork, Head, Length, Verifier};
use hc_storage::{Access, Batch, Durability};

use super::Core;
use super::lane::Guard;
use super::publish::Staged;
use super::seal::Seal;
use crate::error::AppendError;
use crate::hypercore::Appended;
use crate::limits::MAX_BLOCK_BYTES;
use crate::session::Handle;

impl Core {
    /// Appends the blocks together: all of them or none.
    pub(crate) async fn append(
        self: &Arc<Self>,
        handle: &Handle,
        blocks: Vec<Bytes>,
        options: AppendOptions,
    ) -> Result<Appended, AppendError> {
        let level = options.level;
        if let Some(conflict) = self.conflict() {
            return Err(AppendError::Conflict(conflict));
        }
        self.check_peers(&handle.gate).await?;
        let guard = self.enter(&handle.gate).await?;
        let view = self.view.load();
        if view.lost.is_some() {
            return Err(AppendError::Repairing);
        }
        let verifier = handle.verifier(&view).ok_or(AppendError::NotWritable)?;
        let prologue = verifier.prologue().map(|prologue| prologue.length);
        let needs_none = prologue.is_some_and(|prologue| view.head.length() < prologue);
        if !handle.may_write(&options.seal) && !needs_none {
            return Err(AppendError::NotWritable);
        }
        if blocks.is_empty() {
            return Ok(Appended::at(&view.head));
        }
        check_length(&view.head, &blocks, options.max_length)?;
        let encrypted = self.encrypt(handle, guard, &view.head, &verifier, blocks);
        let (guard, blocks) = encrypted.await?;
        let draft = draft(&view.head, &verifier, blocks)?;
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

    /// The head of the log as it would be with these blocks, whoever may sign that, and who may.
    pub(crate) async fn propose(
        self: &Arc<Self>,
        handle: &Handle,
        blocks: Vec<Bytes>,
    ) -> Result<(Head, Verifier), AppendError> {
        let guard = self.enter(&handle.gate).await?;
        let view = self.view.load();
        if view.lost.is_some() {
            return Err(AppendError::Repairing);
        }
        let verifier = view.authority.verifier().ok_or(AppendError::NotWritable)?;
        if self.store.access() == Access::ReadOnly {
            return Err(AppendError::NotWritable);
        }
        let (_, blocks) = self
            .encrypt(handle, guard, &view.head, verifier, blocks)
            .await?;
        Ok((
            draft(&view.head, verifier, blocks)?.head(),
            verifier.clone(),
        ))
    }

    /// Encrypts blocks that are to be appended, where that is to be done, and gives the turn back, which
    /// was kept meanwhile.
    async fn encrypt(
        &self,
        handle: &Handle,
        guard: Guard,
        head: &Head,
        verifier: &Verifier,
        blocks: Vec<Bytes>,
    ) -> Result<(Guard, Vec<Bytes>), AppendError> {
        let known = Authority::Known(verifier.clone());
        let at = (head.length(), head.fork());
        self.encrypt_at(handle, guard, &known, at, blocks).await
    }

    /// Encrypts blocks that are to be written from a length on, on a fork.
    pub(crate) async fn encrypt_at(
        &self,
        handle: &Handle,
        guard: Guard,
        authority: &Authority,
        (start, fork): (Length, Fork),
        blocks: Vec<Bytes>,
    ) -> Result<(Guard, Vec<Bytes>), AppendError> {
        let cipher = handle.defaults.cipher.as_deref();
        if !self.is_encrypted() && cipher.is_none() {
            check_sizes(&blocks, 0)?;
            return Ok((guard, blocks));
        }
        let tied = cipher.and_then(|cipher| cipher.tie(authority));
        let tied = tied.ok_or(AppendError::EncryptionKeyMissing)?;
        check_sizes(&blocks, tied.padding())?;
        let parked = guard.park();
        let encrypted = async { Ok(tied.encrypt((start.get(), fork), blocks).await?) };
        let closed = async {
            handle.gate.closed().await;
            Err(AppendError::Closed)
        };
        let blocks = future::or(encrypted, closed).await?;
        check_sizes(&blocks, 0)?;
        Ok((parked.resume()?, blocks))
    }
}

/// The log as it would be with these blocks.
fn draft(head: &Head, verifier: &Verifier, mut blocks: Vec<Bytes>) -> Result<Draft, AppendError> {
    let mut draft = Draft::new(head);
    let prologue = verifier.prologue();
    if let Some(prologue) = prologue.filter(|prologue| head.length() < prologue.length) {
        blocks = begin(&mut draft, prologue, blocks)?;
    }
    draft.append(blocks).map_err(AppendError::TooLong)?;
    Ok(draft)
}

fn check_length(head: &Head, blocks: &[Bytes], max: Option<Length>) -> Result<(), AppendError> {
    let length = head.length().get().saturating_add(blocks.len() as u64);
    let length = Length::new(length);
    match max.filter(|max| length > *max) {
        Some(max) => Err(AppendError::MaxLength { length, max }),
        None => Ok(()),
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
