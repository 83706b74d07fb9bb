//! Appending: encrypt, draft, sign, commit, publish.

use std::sync::Arc;

use bytes::Bytes;
use futures_lite::future;
use hc_merkle::{BlockIndex, Change, Draft, Head};
use hc_storage::{Batch, Durability};

use super::Core;
use super::lane::Guard;
use super::publish::{CommitError, Staged};
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
        level: Durability,
    ) -> Result<Appended, AppendError> {
        let guard = self.enter(gate).await?;
        let view = self.view.load();
        let change = self.draft(&view, cipher, blocks)?;
        let Some(change) = change else {
            return Ok(Appended::at(&view.head));
        };
        let mut staged = Staged::on(&view);
        staged.gain(&change);
        staged.batch = Batch::from_change(&change);
        let appended = Appended::at(&staged.next.head);
        self.commit(guard, staged, level).await?;
        Ok(appended)
    }

    /// A turn on the lane, unless the handle is closed before it comes.
    async fn enter(&self, gate: &Gate) -> Result<Guard, AppendError> {
        if gate.is_closed() {
            return Err(AppendError::Closed);
        }
        if let Some(guard) = self.lane.try_lock()? {
            return Ok(guard);
        }
        let turn = async { Ok(self.lane.lock().await?) };
        let closed = async {
            gate.closed().await;
            Err(AppendError::Closed)
        };
        future::or(turn, closed).await
    }

    fn draft(
        &self,
        view: &View,
        cipher: Option<&Cipher>,
        mut blocks: Vec<Bytes>,
    ) -> Result<Option<Change>, AppendError> {
        let writer = self.writer.as_ref().ok_or(AppendError::NotWritable)?;
        let verifier = view.authority.verifier().ok_or(AppendError::NotWritable)?;
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
        draft.append(blocks).map_err(AppendError::TooLong)?;
        let sign = |head: &Head| verifier.sign(writer, &head.signed_tree());
        Ok(Some(draft.seal(sign)?))
    }
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
