//! Where proofs become a log in a store: the one way in.
//!
//! Owns verifying, committing and the choice of where to begin. Nothing is created before a head was
//! verified, nothing stored that was not. Knows nothing of where proofs come from: what is wrong with
//! one is told with the place that it was pushed with.

use std::sync::Arc;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::proof::{Batch as Proofs, BlockProof, Proof};
use hc_merkle::{
    Authority, DiscoveryKey, Fork, Head, KeyPair, Length, ManifestError, MismatchedSecretKey,
    ProofError, TreeHash, Verifier,
};
use hc_storage::{
    Alias, Auth, Batch, CoreRecord, CoreStore, Durability, EncryptionScheme, StorageError, Store,
    is_reserved,
};
use thiserror::Error;

use crate::limits::{INTAKE_BATCH, INTAKE_BATCH_BYTES};
use crate::proofs::authority;

/// Why something was not taken into a store. What was taken before stays, and holds.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A proof does not hold.
    #[error("what is there does not hold: {error}")]
    Proof {
        /// The place that it came from: a byte of a bundle, the number of a block of a log.
        at: u64,
        /// What is wrong with it.
        error: ProofError,
    },
    /// User data of the library's own, which no application wrote: it could have the log frozen.
    #[error("user data under the key {key:?} is not an application's")]
    ReservedUserData {
        /// The key.
        key: String,
    },
    /// The manifest is invalid or another log's.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The secret key is none.
    #[error(transparent)]
    SecretKey(#[from] MismatchedSecretKey),
    /// The store has another fork of the log.
    #[error("the store has fork {ours} of this log, what comes in is of fork {theirs}")]
    OtherFork {
        /// Fork that the store has.
        ours: Fork,
        /// Fork that comes in.
        theirs: Fork,
    },
    /// Two trees of the same length and fork, both signed: the writer has forked the log by accident.
    #[error(
        "the store has tree {ours} at length {length}, what comes in is tree {theirs}: the log was forked"
    )]
    Conflict {
        /// At which length.
        length: Length,
        /// The hash that the store has.
        ours: TreeHash,
        /// The hash that comes in.
        theirs: TreeHash,
    },
    /// What comes in is longer, and has not got the nodes that tie it to what the store has.
    #[error(
        "the store has {ours} blocks, and nothing in here ties them to the {theirs} of what comes in"
    )]
    NotTied {
        /// Blocks that the store has.
        ours: Length,
        /// Blocks of what comes in.
        theirs: Length,
    },
}

impl IntakeError {
    /// Whether what came in, or the store, is not what was written and signed.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Storage(error) => matches!(
                error,
                StorageError::Damaged(_) | StorageError::BlockDamaged { .. }
            ),
            Self::OtherFork { .. } | Self::NotTied { .. } => false,
            _ => true,
        }
    }
}

/// A log that is being taken in.
pub(crate) struct Intake {
    log: Arc<dyn CoreStore>,
    head: Head,
    have: Bitfield,
    authority: Authority,
    waiting: Vec<(u64, Proof)>,
    waiting_bytes: usize,
}

impl Intake {
    /// The log of this identity as the store has it; `None` where it does not have it.
    pub(crate) fn existing(store: &dyn Store, auth: &Auth) -> Result<Option<Self>, IntakeError> {
        let Some(log) = store.open_core(&auth.key.discovery_key())? else {
            return Ok(None);
        };
        let authority = match authority(&log.auth()?)? {
            Authority::KeyOnly(_) => authority(auth)?,
            known => known,
        };
        Ok(Some(Self {
            head: log.head()?,
            have: log.bitfield()?,
            log,
            authority,
            waiting: Vec::new(),
            waiting_bytes: 0,
        }))
    }

    /// Makes the log. The proof of its head is verified before; there is none for a log without blocks.
    pub(crate) fn create(
        store: &dyn Store,
        auth: Auth,
        at: u64,
        head: Option<Proof>,
    ) -> Result<Self, IntakeError> {
        let authority = authority(&auth)?;
        if let Some(secret) = &auth.secret_key {
            KeyPair::from_secret_key(secret)?;
        }
        let discovery_key = auth.key.discovery_key();
        if let Some(head) = &head {
            verify_alone(&authority, head).map_err(|error| IntakeError::Proof { at, error })?;
        }
        let log = store.create_core(CoreRecord {
            discovery_key,
            auth,
            alias: None,
        })?;
        if store.default_core()?.is_none() {
            store.set_default_core(&discovery_key)?;
        }
        let mut intake = Self {
            log,
            head: Head::empty(),
            have: Bitfield::new(),
            authority,
            waiting: Vec::new(),
            waiting_bytes: 0,
        };
        if let Some(head) = head {
            intake.push(at, head)?;
            intake.flush()?;
        }
        Ok(intake)
    }

    /// Whether a signed head continues what is here, is what is here, or is part of it.
    pub(crate) fn check_fork(&self, theirs: &Head) -> Result<(), IntakeError> {
        if self.head.length() == Length::ZERO || theirs.length() == Length::ZERO {
            return Ok(());
        }
        if self.head.fork() != theirs.fork() {
            return Err(IntakeError::OtherFork {
                ours: self.head.fork(),
                theirs: theirs.fork(),
            });
        }
        let (ours, other) = (self.head.tree_hash(), theirs.tree_hash());
        if self.head.length() == theirs.length() && ours != other {
            return Err(IntakeError::Conflict {
                length: theirs.length(),
                ours,
                theirs: other,
            });
        }
        Ok(())
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn have(&self) -> &Bitfield {
        &self.have
    }

    pub(crate) fn log(&self) -> &dyn CoreStore {
        &*self.log
    }

    /// Takes in a block with what ties it to the tree.
    pub(crate) fn push_block(
        &mut self,
        at: u64,
        fork: Fork,
        block: BlockProof,
    ) -> Result<(), IntakeError> {
        let proof = Proof {
            fork,
            block: Some(block),
            ..Proof::default()
        };
        self.push(at, proof)
    }

    /// Takes in a proof, now or together with those after it.
    pub(crate) fn push(&mut self, at: u64, proof: Proof) -> Result<(), IntakeError> {
        let bytes = proof.block.as_ref().map_or(0, |block| block.value.len());
        self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
        self.waiting.push((at, proof));
        if self.waiting.len() >= INTAKE_BATCH || self.waiting_bytes >= INTAKE_BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Verifies and stores what waits: what holds is stored also where something else does not.
    pub(crate) fn flush(&mut self) -> Result<(), IntakeError> {
        self.waiting_bytes = 0;
        let (places, proofs): (Vec<u64>, Vec<Proof>) = self.waiting.drain(..).unzip();
        if proofs.is_empty() {
            return Ok(());
        }
        let batch = Proofs::verify(&self.head, &self.authority, proofs);
        let mut stored = Vec::with_capacity(batch.expected().len());
        if !batch.expected().is_empty() {
            self.log.nodes(batch.expected(), &mut stored)?;
        }
        let confirmed = batch.confirm(&stored);
        if let Some(change) = &confirmed.change {
            let batch = Batch::from_change(change);
            self.log.commit(batch, Durability::Os)?.wait()?;
            if let Some(head) = change.head() {
                self.head = head.clone();
            }
            for (index, _) in change.blocks() {
                self.have.set(index.get());
            }
        }
        if let Some(verifier) = confirmed.learned {
            self.authority = verifier.into();
        }
        for (at, outcome) in places.into_iter().zip(confirmed.outcomes) {
            outcome.map_err(|error| IntakeError::Proof { at, error })?;
        }
        Ok(())
    }

    /// Stores the user data that is not here yet, and says how many pieces that were. What is here
    /// stays: it may be newer.
    pub(crate) fn add_user_data(
        &self,
        all: impl IntoIterator<Item = (String, Bytes)>,
    ) -> Result<u64, IntakeError> {
        let mut added = 0;
        for (key, value) in all {
            if is_reserved(&key) {
                return Err(IntakeError::ReservedUserData { key });
            }
            if self.log.user_data(&key)?.is_none() {
                let mut batch = Batch::new();
                batch.set_user_data(key, Some(value));
                self.log.commit(batch, Durability::Os)?.wait()?;
                added += 1;
            }
        }
        Ok(added)
    }

    /// Gives the log its name, if it has none and no other log has that name.
    pub(crate) fn add_name(
        &self,
        store: &dyn Store,
        key: &DiscoveryKey,
        alias: Alias,
    ) -> Result<(), IntakeError> {
        if self.log.alias()?.is_none() && store.find_named(&alias)?.is_none() {
            store.set_name(key, alias)?;
        }
        Ok(())
    }

    /// Notes what a log that was here already did not know of itself: its manifest, its secret key, how
    /// it is encrypted.
    pub(crate) fn add_auth(&self, auth: &Auth) -> Result<(), IntakeError> {
        let ours = self.log.auth()?;
        let mut batch = Batch::new();
        let mut news = false;
        let known = self.authority.verifier().and_then(Verifier::manifest);
        if let (None, Some(manifest)) = (&ours.manifest, known) {
            batch.set_manifest(manifest.clone());
            news = true;
        }
        if let (None, Some(scheme)) = (ours.encryption, auth.encryption) {
            batch.set_encryption(scheme);
            news = true;
        }
        if news {
            self.log.commit(batch, Durability::Os)?.wait()?;
        }
        if let (None, Some(secret)) = (&ours.secret_key, &auth.secret_key) {
            KeyPair::from_secret_key(secret)?;
            self.log.set_secret_key(Some(secret.clone()))?;
        }
        Ok(())
    }
}

/// Whether a proof holds for somebody who has nothing of the log.
fn verify_alone(authority: &Authority, proof: &Proof) -> Result<(), ProofError> {
    let nothing = Head::empty();
    let verified = nothing.verify(proof.clone(), authority)?;
    verified.confirm(None).map(drop)
}

/// How a log that comes in is encrypted, where whoever asks for it knows better than its source.
pub(crate) fn with_encryption(mut auth: Auth, told: Option<EncryptionScheme>) -> Auth {
    auth.encryption = auth.encryption.or(told);
    auth
}

#[cfg(test)]
mod tests;
