//! Proofs that stand alone: a few hundred bytes that show, to whoever knows a log, how long it is and
//! perhaps one of its blocks, without a connection. What a push notification can carry.
//!
//! Owns the format, which is the reference's (its `fully-remote-proof`): the discovery key, then a data
//! message that answers no request. Knows nothing of how the bytes travel.

use bytes::Bytes;
use hc_encoding::{DecodeError, Encode, Reader, decode_exact, encode_to_vec};
use hc_merkle::proof::{BlockRequest, Plan, Planner, Proof, Remote, Request, UpgradeRequest};
use hc_merkle::{
    Authority, BlockIndex, CoreKey, DiscoveryKey, Fork, Head, Length, PlanError, ProofError,
    PublicKey, Verifier, drive,
};
use hc_protocol::message::{Data, RequestId};
use hc_storage::{StorageError, Store};
use thiserror::Error;

use crate::hypercore::Hypercore;

/// Where the user data lies that [`RemoteProof::verify_in`] compares a referrer with.
const REFERRER: &str = "referrer";

/// A proof that stands alone. Untrusted until it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteProof {
    discovery_key: DiscoveryKey,
    pub(crate) proof: Proof,
}

/// What a proof has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The log.
    pub key: CoreKey,
    /// Its head, with the signature of those who may sign.
    pub head: Head,
    /// The block that came along, as stored: encrypted, where the log is.
    pub block: Option<(BlockIndex, Bytes)>,
    /// Whether the head is longer than the one that is stored here.
    pub newer: bool,
}

/// Why there is no proof.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// What was asked for is not in the log, or not stored here.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The log has no blocks, so that there is nothing to prove.
    #[error("the log is empty")]
    Empty,
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a proof shows nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RemoteProofError {
    /// It is of another log.
    #[error("the proof is of another log")]
    OtherLog,
    /// It does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The store refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl RemoteProof {
    pub(crate) fn of(discovery_key: DiscoveryKey, proof: Proof) -> Self {
        Self {
            discovery_key,
            proof,
        }
    }

    /// The fork that it claims to be of.
    #[must_use]
    pub fn fork(&self) -> Fork {
        self.proof.fork
    }

    /// Reads what [`to_bytes`](Self::to_bytes) or the reference wrote.
    ///
    /// # Errors
    /// [`DecodeError`] where it is no such thing.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let discovery_key = DiscoveryKey(reader.array()?);
        let message = bytes.get(32..).unwrap_or_default();
        let data: Data = decode_exact(message)?;
        Ok(Self {
            discovery_key,
            proof: data.proof,
        })
    }

    /// The bytes to send.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let data = Data {
            id: RequestId(0),
            proof: self.proof.clone(),
        };
        let mut bytes = Vec::with_capacity(32 + data.encoded_len());
        bytes.extend_from_slice(self.discovery_key.as_bytes());
        bytes.append(&mut encode_to_vec(&data));
        bytes
    }

    /// What the log is announced under that it claims to be of.
    #[must_use]
    pub fn discovery_key(&self) -> DiscoveryKey {
        self.discovery_key
    }

    /// Verifies it with nothing but the key of the log, or who may sign it.
    ///
    /// # Errors
    /// [`RemoteProofError`].
    pub fn verify(&self, authority: &Authority) -> Result<Proven, RemoteProofError> {
        let key = authority.key();
        if key.discovery_key() != self.discovery_key {
            return Err(RemoteProofError::OtherLog);
        }
        let block = self.proof.block.as_ref();
        let block = block.map(|block| (block.index, block.value.clone()));
        let remote = Remote::verify(self.proof.clone(), authority)?;
        Ok(Proven {
            key,
            head: remote.head,
            block,
            newer: true,
        })
    }

    /// Verifies it with what a store knows of the log; `None` where the store does not have it, or
    /// where its user data `referrer` is not the one given. Opens nothing and changes nothing.
    ///
    /// # Errors
    /// [`RemoteProofError`].
    pub fn verify_in(
        &self,
        store: &dyn Store,
        referrer: Option<&[u8]>,
    ) -> Result<Option<Proven>, RemoteProofError> {
        let Some(log) = store.open_core(&self.discovery_key)? else {
            return Ok(None);
        };
        if let Some(referrer) = referrer
            && log.user_data(REFERRER)?.as_deref() != Some(referrer)
        {
            return Ok(None);
        }
        let auth = log.auth()?;
        let authority = match auth.manifest {
            Some(manifest) => {
                Verifier::new(auth.key, manifest).map_or(Authority::KeyOnly(auth.key), Into::into)
            }
            None if auth.compat => Verifier::compat(PublicKey(*auth.key.as_bytes())).into(),
            None => Authority::KeyOnly(auth.key),
        };
        let mut proven = self.verify(&authority)?;
        proven.newer = proven.head.length() > log.head()?.length();
        Ok(Some(proven))
    }
}

/// A proof that is being put together; see [`Hypercore::prove`].
#[derive(Debug)]
#[must_use = "nothing is proven unless it is made"]
pub struct Prove<'a> {
    log: &'a Hypercore,
    block: Option<BlockIndex>,
    length: Option<Length>,
}

impl Prove<'_> {
    /// Has it carry a block, which has to be stored here.
    pub fn block(mut self, index: u64) -> Self {
        self.block = Some(BlockIndex::new(index));
        self
    }

    /// Has it carry the tree at this length as such, and the rest up to what is signed beside it.
    pub fn length(mut self, blocks: u64) -> Self {
        self.length = Some(Length::new(blocks));
        self
    }

    /// Reads what it takes.
    ///
    /// # Errors
    /// [`ProveError`].
    pub fn make(self) -> Result<RemoteProof, ProveError> {
        let core = &self.log.core;
        if self.log.is_closed() {
            return Err(ProveError::Closed);
        }
        let view = core.view.load();
        if view.head.length() == Length::ZERO {
            return Err(ProveError::Empty);
        }
        let request = Request {
            block: self.block.map(|index| BlockRequest { index, nodes: 0 }),
            upgrade: Some(UpgradeRequest {
                start: Length::ZERO,
                length: self.length.unwrap_or(view.head.length()),
            }),
            manifest: true,
            ..Request::default()
        };
        let verifier = view.authority.verifier();
        let planner = Planner::new(&view.head, &request, verifier.and_then(Verifier::prologue))?;
        let plan: Plan = drive(planner, |indexes| core.nodes(indexes))??;
        let nodes = core.nodes(plan.nodes())?;
        let block = self.block.map(|index| core.log.block(index)).transpose()?;
        let manifest = verifier.and_then(Verifier::manifest);
        Ok(RemoteProof {
            discovery_key: core.discovery_key,
            proof: plan.assemble(&nodes, block.flatten(), manifest)?,
        })
    }
}

impl Hypercore {
    /// Puts together a proof that stands alone: of the length of this log, and of a block if it is to
    /// have one.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, RemoteProof, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["a", "b", "c"]).await?;
    /// let bytes = log.prove().block(1).make()?.to_bytes();
    ///
    /// // somewhere else, where nothing but the key is known
    /// let proof = RemoteProof::from_bytes(&bytes)?;
    /// let proven = proof.verify(&log.key().into())?;
    /// assert_eq!(proven.head.length().get(), 3);
    /// assert_eq!(proven.block.unwrap().1, "b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn prove(&self) -> Prove<'_> {
        Prove {
            log: self,
            block: None,
            length: None,
        }
    }
}
