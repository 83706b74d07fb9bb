//! Logs that several sign together: what is proposed, what each signer hands in, and the signature that
//! comes of it.
//!
//! Owns the way from blocks to a signature; signing is the signers', appending the log's own. A part of
//! a signature travels between the signers by whatever means the application has.
//!
//! ```
//! # futures_lite::future::block_on(async {
//! use hypercore::manifest::{Manifest, Signer};
//! use hypercore::{Hypercore, KeyPair, Storage};
//!
//! let pairs = [1, 2, 3].map(|seed| KeyPair::from_seed(&[seed; 32]));
//! let signers = pairs.each_ref().map(|pair| Signer::new(pair.public_key()));
//! let manifest = Manifest::new(signers); // two of the three have to sign
//! let log = Hypercore::builder(Storage::memory()).manifest(manifest).open().await?;
//!
//! let proposal = log.propose(["paid to Ann", "paid to Bob"]).await?;
//! let first = proposal.sign(&pairs[0]).await?; // here
//! let second = proposal.sign(&pairs[2]).await?; // and by somebody else
//! let signature = proposal.assemble(&[first, second])?;
//! log.append_proposal(proposal, signature).await?;
//! assert_eq!(log.length().get(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

use bytes::Bytes;
use hc_merkle::proof::{Plan, Planner, Request, UpgradeRequest};
use hc_merkle::{Head, Length, PlanError, SignatureError, SignedTree, Verifier, drive};
use hc_storage::StorageError;
use thiserror::Error;

pub use hc_merkle::multisig::{Part, signable_length};

use crate::error::AppendError;
use crate::hypercore::{Append, Hypercore, IntoBlock};
use crate::signer::{ExternalSigner, SealError};

/// Blocks that are to be appended to a log once those who may sign have signed it.
#[derive(Debug, Clone)]
pub struct Proposal {
    verifier: Verifier,
    /// The log as it would be, unsigned.
    head: Head,
    /// As they were given.
    blocks: Vec<Bytes>,
}

impl Proposal {
    /// What is signed: hash, length and fork of the log as it would be.
    #[must_use]
    pub fn tree(&self) -> SignedTree {
        self.head.signed_tree()
    }

    /// Blocks that the log would have.
    #[must_use]
    pub fn length(&self) -> Length {
        self.head.length()
    }

    /// What one signer hands in.
    ///
    /// # Errors
    /// [`SealError`] where it may not or does not sign.
    pub async fn sign(&self, signer: &dyn ExternalSigner) -> Result<Part, SealError> {
        sign_part(&self.verifier, signer, &self.tree()).await
    }

    /// Puts the parts together: the signature for [`Append::signature`].
    ///
    /// # Errors
    /// [`SignatureError`] where they are too few, or one does not hold.
    pub fn assemble(&self, parts: &[Part]) -> Result<Bytes, SignatureError> {
        let signature = self.verifier.assemble(parts);
        let signed = self.head.clone().with_signature(signature.clone());
        self.verifier.verify(&signed)?;
        Ok(signature)
    }
}

/// Why a signer of a log handed in no part of a signature.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PartError {
    /// The log that was to be signed from is not as long as the part was to be.
    #[error("length {length} is past the end of the log, at {present}")]
    Longer {
        /// What the part was to be for.
        length: Length,
        /// What the log has.
        present: Length,
    },
    /// The nodes that lead from the one length to the other are not stored.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It was not signed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Hypercore {
    /// Says what the log would be with these blocks appended, for its signers to sign. Appends nothing.
    ///
    /// # Errors
    /// As [`append`](Self::append), of which nothing is signed or written.
    pub async fn propose<B: IntoBlock>(
        &self,
        blocks: impl IntoIterator<Item = B>,
    ) -> Result<Proposal, AppendError> {
        let blocks: Vec<Bytes> = blocks.into_iter().map(IntoBlock::into_block).collect();
        let handle = self.handle();
        let (head, verifier) = self.core.propose(&handle, blocks.clone()).await?;
        Ok(Proposal {
            verifier,
            head,
            blocks,
        })
    }

    /// Appends what was proposed, with the signature that was assembled for it: all of it, or nothing
    /// if the log has changed since.
    pub fn append_proposal(&self, proposal: Proposal, signature: impl Into<Bytes>) -> Append {
        self.append_batch(proposal.blocks).signature(signature)
    }

    /// Signs what this log holds on behalf of another one that has, or will have, the same blocks, and
    /// that several sign together: its `verifier` says who. The part is for the first `length` blocks;
    /// where this log is longer, the whole of it is signed and the part carries the nodes in between,
    /// which the manifest of the other has to [allow](hc_merkle::manifest::Manifest::allow_patch).
    ///
    /// So signers that keep up with each other to different lengths still find a
    /// [length](signable_length) that enough of them have signed.
    ///
    /// # Errors
    /// [`PartError`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use hypercore::manifest::{Manifest, Signer};
    /// use hypercore::{Hypercore, KeyPair, Storage, Verifier};
    ///
    /// let pairs = [1, 2].map(|seed| KeyPair::from_seed(&[seed; 32]));
    /// let signers = pairs.each_ref().map(|pair| Signer::new(pair.public_key()));
    /// let manifest = Manifest::new(signers).with_patches();
    /// let shared = Hypercore::builder(Storage::memory()).manifest(manifest.clone()).open().await?;
    /// let verifier = Verifier::from_manifest(manifest)?;
    ///
    /// let slow = Hypercore::builder(Storage::memory()).open().await?;
    /// let fast = Hypercore::builder(Storage::memory()).open().await?;
    /// slow.append("a").await?;
    /// fast.append_batch(["a", "b"]).await?;
    /// let parts = [
    ///     slow.sign_part(&verifier, &pairs[0], 1).await?,
    ///     fast.sign_part(&verifier, &pairs[1], 1).await?, // has signed both, and shows the way there
    /// ];
    /// shared.append("a").signature(verifier.assemble(&parts)).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn sign_part(
        &self,
        verifier: &Verifier,
        signer: &dyn ExternalSigner,
        length: u64,
    ) -> Result<Part, PartError> {
        let head = self.head();
        let (length, present) = (Length::new(length), head.length());
        let patch = present.get().checked_sub(length.get()).map(Length::new);
        let patch = patch.ok_or(PartError::Longer { length, present })?;
        let nodes = if patch == Length::ZERO {
            Vec::new()
        } else {
            let upgrade = Some(UpgradeRequest {
                start: length,
                length: patch,
            });
            let request = Request {
                upgrade,
                ..Request::default()
            };
            let planner = Planner::new(&head, &request, None)?;
            let plan: Plan = drive(planner, |indexes| self.core.nodes(indexes))??;
            let nodes = self.core.nodes(plan.nodes())?;
            let proof = plan.assemble(&nodes, None, None)?;
            proof
                .upgrade
                .map(|upgrade| upgrade.nodes)
                .unwrap_or_default()
        };
        let part = sign_part(verifier, signer, &head.signed_tree()).await?;
        Ok(Part {
            patch,
            nodes,
            ..part
        })
    }
}

/// What a signer hands in for a tree.
async fn sign_part(
    verifier: &Verifier,
    signer: &dyn ExternalSigner,
    tree: &SignedTree,
) -> Result<Part, SealError> {
    let public_key = signer.public_key();
    let signable = verifier.signable(&public_key, tree)?;
    let signature = signer.sign(signable.as_bytes()).await;
    Ok(verifier.part(&public_key, signature.map_err(SealError::Signer)?)?)
}
