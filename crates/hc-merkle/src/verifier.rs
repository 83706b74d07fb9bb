//! Whether a head is signed by those who may, and signing for them.
//!
//! Owns the rules of each mode: compat, manifests of version 0, and of version 1 and later; quorum,
//! patches, prologue. Knows nothing of where a head comes from or where a secret key is kept.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use hc_encoding::DecodeError;
use once_cell::race::OnceBox;
use thiserror::Error;

use crate::flat::growth;
use crate::hash::join;
use crate::key::point_verifies;
use crate::limits::{MAX_LENGTH, MAX_SIGNATURE_LEN};
use crate::manifest::{Manifest, ManifestError, ManifestVersion, Prologue};
use crate::multisig::{Entry, MultiSignature, Part, assemble};
use crate::signable::Context;
use crate::{
    CoreKey, Head, KeyPair, Length, Node, NodeIndex, PublicKey, Signable, Signature, SignedTree,
};

/// Someone who can sign: a key pair in memory, or whatever guards one elsewhere.
///
/// A signer that answers later (another process, a device, a person) does not fit a call that returns
/// the signature: take the bytes from [`Verifier::signable`] to it, and what it signed to
/// [`Verifier::seal`].
pub trait Signer {
    /// The key that verifies what it signs.
    fn public_key(&self) -> PublicKey;

    /// Signs the bytes.
    ///
    /// # Errors
    /// [`SignerError`] where it will or can not.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError>;
}

impl Signer for KeyPair {
    fn public_key(&self) -> PublicKey {
        Self::public_key(self)
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(Self::sign(self, message))
    }
}

/// A signer that will or can not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the signer did not sign")]
pub struct SignerError;

/// Why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The public key is none of those that may sign.
    #[error("{public_key:?} may not sign this log")]
    NotASigner {
        /// Whose it is.
        public_key: PublicKey,
    },
    /// More signers than one are needed: collect a [`Part`] of each and
    /// [assemble](Verifier::assemble) them.
    #[error("{quorum} signers have to sign this log together")]
    Together {
        /// How many.
        quorum: u64,
    },
    /// The signer did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// Why a head is not authentic: the fault of whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// No signature, where one is needed.
    #[error("the head is not signed")]
    Missing,
    /// A plain signature that is not 64 bytes long, or any over
    /// [`MAX_SIGNATURE_LEN`](crate::limits::MAX_SIGNATURE_LEN).
    #[error("a signature cannot have {len} bytes")]
    Length {
        /// Its length.
        len: usize,
    },
    /// A multi-signature that does not decode.
    #[error("multi-signature: {0}")]
    Malformed(#[from] DecodeError),
    /// Nobody may sign: the log is its prologue and nothing more.
    #[error("nobody may sign this log")]
    NobodySigns,
    /// Fewer signatures than are needed.
    #[error("{given} of {quorum} signatures")]
    Quorum {
        /// How many are needed.
        quorum: u64,
        /// How many there are.
        given: usize,
    },
    /// A signer that the manifest does not name.
    #[error("no signer {signer} in the manifest")]
    UnknownSigner {
        /// Its number.
        signer: u64,
    },
    /// A signer counted twice.
    #[error("signer {signer} signed twice")]
    SameSigner {
        /// Its number.
        signer: u64,
    },
    /// A patch whose nodes do not take the tree to the length that was signed.
    #[error("the patch of signer {signer} does not hold")]
    Patch {
        /// Its number.
        signer: u64,
    },
    /// A signature by someone else or over something else.
    #[error("the signature of signer {signer} does not hold")]
    Invalid {
        /// Its number.
        signer: u64,
    },
    /// A head within the prologue that is not the prologue itself.
    #[error("the head is not the prologue")]
    Prologue,
}

/// Decides whether a head is signed by those who may. Made from what the key of a log stands for. Clones
/// share what it takes.
#[derive(Debug, Clone)]
pub struct Verifier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    key: CoreKey,
    mode: Mode,
    /// The points of the public keys, in order; `None` where a key is not on the curve and can not have
    /// signed anything. There once something was verified: of many logs that are open, most never do.
    points: OnceBox<Box<[Option<VerifyingKey>]>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    Compat(Context),
    Manifest(Arc<Manifest>),
}

/// How signatures stand in proofs.
enum Form {
    /// 64 bytes, by the only signer.
    Plain,
    /// A multi-signature of this encoding.
    Multi(ManifestVersion),
}

impl PartialEq for Verifier {
    fn eq(&self, other: &Self) -> bool {
        // the points follow from these
        (self.0.key, &self.0.mode) == (other.0.key, &other.0.mode)
    }
}

impl Eq for Verifier {}

impl Verifier {
    /// For the log with this key, whose manifest is known: in compat mode where the key is the public
    /// key of its only signer, else the key has to be its hash.
    ///
    /// # Errors
    /// [`ManifestError`] where the manifest is invalid or another log's.
    pub fn new(key: CoreKey, manifest: impl Into<Arc<Manifest>>) -> Result<Self, ManifestError> {
        let manifest = manifest.into();
        manifest.validate()?;
        if manifest.is_compat(&key) {
            return Ok(Self::compat(PublicKey(*key.as_bytes())));
        }
        manifest.check_key(&key)?;
        Ok(Self::of(key, Mode::Manifest(manifest)))
    }

    /// For the log that this manifest names.
    ///
    /// # Errors
    /// [`ManifestError`] where the manifest is invalid.
    pub fn from_manifest(manifest: Manifest) -> Result<Self, ManifestError> {
        Self::new(manifest.key(), manifest)
    }

    /// For a log of compat mode: its key is the public key, its signature 64 plain bytes.
    #[must_use]
    pub fn compat(public_key: PublicKey) -> Self {
        Self::bare(public_key, Context::Compat)
    }

    /// For a log of the time before compat mode, whose signatures are over no domain at all.
    #[must_use]
    pub fn legacy(public_key: PublicKey) -> Self {
        Self::bare(public_key, Context::Legacy)
    }

    fn bare(public_key: PublicKey, context: Context) -> Self {
        Self::of(CoreKey(public_key.0), Mode::Compat(context))
    }

    fn of(key: CoreKey, mode: Mode) -> Self {
        Self(Arc::new(Shared {
            key,
            mode,
            points: OnceBox::new(),
        }))
    }

    /// The key of the log.
    #[must_use]
    pub fn key(&self) -> CoreKey {
        self.0.key
    }

    /// The manifest; `None` in compat mode, where it says nothing and is never sent.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.0.mode {
            Mode::Compat(_) => None,
            Mode::Manifest(manifest) => Some(manifest),
        }
    }

    /// [`manifest`](Self::manifest), to be kept somewhere else too.
    #[must_use]
    pub fn shared_manifest(&self) -> Option<Arc<Manifest>> {
        match &self.0.mode {
            Mode::Compat(_) => None,
            Mode::Manifest(manifest) => Some(Arc::clone(manifest)),
        }
    }

    /// The manifest, or in compat mode the one that says the same: one signer, by the public key that is
    /// the key of the log.
    #[must_use]
    pub fn described(&self) -> Manifest {
        let compat = || Manifest::single(PublicKey(*self.0.key.as_bytes()));
        self.manifest().cloned().unwrap_or_else(compat)
    }

    /// Whether the key is the public key of the one who signs.
    #[must_use]
    pub fn is_compat(&self) -> bool {
        matches!(self.0.mode, Mode::Compat(_))
    }

    /// The fixed start of the log. Version 0 has none that counts: there it only makes the key.
    #[must_use]
    pub fn prologue(&self) -> Option<&Prologue> {
        self.manifest()
            .filter(|manifest| manifest.version != ManifestVersion::V0)
            .and_then(|manifest| manifest.prologue.as_ref())
    }

    /// Whether `head` is authentic: signed by those who may, or the prologue.
    ///
    /// # Errors
    /// [`SignatureError`] says why not.
    pub fn verify(&self, head: &Head) -> Result<(), SignatureError> {
        if let Some(prologue) = self
            .prologue()
            .filter(|prologue| head.length() <= prologue.length)
        {
            let same = head.length() == prologue.length && head.tree_hash() == prologue.hash;
            return if same {
                Ok(())
            } else {
                Err(SignatureError::Prologue)
            };
        }
        let signature = head.signature().ok_or(SignatureError::Missing)?;
        if signature.len() > MAX_SIGNATURE_LEN {
            return Err(SignatureError::Length {
                len: signature.len(),
            });
        }
        match self.form() {
            Form::Plain => {
                let plain = <[u8; 64]>::try_from(signature.as_ref()).map_err(|_| {
                    SignatureError::Length {
                        len: signature.len(),
                    }
                })?;
                self.check(0, &head.signed_tree(), &Signature(plain))
            }
            Form::Multi(version) => {
                self.verify_multi(head, MultiSignature::from_bytes(version, signature)?)
            }
        }
    }

    /// Signs a tree: the signature as it stands in proofs.
    ///
    /// # Errors
    /// [`SignError`], of which `Together` where the signature of one signer is not enough.
    pub fn sign<S>(&self, signer: &S, tree: &SignedTree) -> Result<Bytes, SignError>
    where
        S: Signer + ?Sized,
    {
        let public_key = signer.public_key();
        let signable = self.signable(&public_key, tree)?;
        // before the signer is troubled
        self.check_alone()?;
        self.seal(&public_key, signer.sign(signable.as_bytes())?)
    }

    /// The bytes that the holder of this public key has to sign for a tree.
    ///
    /// # Errors
    /// [`SignError::NotASigner`].
    pub fn signable(
        &self,
        public_key: &PublicKey,
        tree: &SignedTree,
    ) -> Result<Signable, SignError> {
        let number = self.number(public_key)?;
        Ok(Signable::new(self.context(number), tree))
    }

    /// Turns what one signer signed into the signature as it stands in proofs.
    ///
    /// # Errors
    /// [`SignError`], of which `Together` where the signature of one signer is not enough.
    pub fn seal(&self, public_key: &PublicKey, signature: Signature) -> Result<Bytes, SignError> {
        let part = self.part(public_key, signature)?;
        self.check_alone()?;
        Ok(self.assemble(&[part]))
    }

    /// What one signer hands in for a tree that several have to sign.
    ///
    /// # Errors
    /// [`SignError`], but never `Together`.
    pub fn sign_part<S>(&self, signer: &S, tree: &SignedTree) -> Result<Part, SignError>
    where
        S: Signer + ?Sized,
    {
        let public_key = signer.public_key();
        let signable = self.signable(&public_key, tree)?;
        self.part(&public_key, signer.sign(signable.as_bytes())?)
    }

    /// Turns what one signer signed into what it hands in for a tree that several have to sign.
    ///
    /// # Errors
    /// [`SignError::NotASigner`].
    pub fn part(&self, public_key: &PublicKey, signature: Signature) -> Result<Part, SignError> {
        Ok(Part {
            signer: self.number(public_key)? as u64,
            signature,
            patch: Length::ZERO,
            nodes: Vec::new(),
        })
    }

    /// Puts the parts of several signers together: the signature as it stands in proofs. Where one
    /// plain signature stands there, that is the first part's.
    ///
    /// Whether they are enough, and hold, is for [`verify`](Self::verify) to say.
    #[must_use]
    pub fn assemble(&self, parts: &[Part]) -> Bytes {
        match self.form() {
            Form::Plain => parts.first().map_or_else(Bytes::new, |part| {
                Bytes::copy_from_slice(part.signature.as_bytes())
            }),
            Form::Multi(version) => assemble(version, parts).into(),
        }
    }

    fn form(&self) -> Form {
        match &self.0.mode {
            Mode::Compat(_) => Form::Plain,
            Mode::Manifest(manifest) => match &**manifest {
                Manifest {
                    version: ManifestVersion::V0,
                    allow_patch: false,
                    signers,
                    ..
                } if signers.len() == 1 => Form::Plain,
                manifest => Form::Multi(manifest.version),
            },
        }
    }

    fn quorum(&self) -> u64 {
        self.manifest().map_or(1, |manifest| manifest.quorum)
    }

    /// Whether the signature of one signer is enough.
    ///
    /// # Errors
    /// [`SignError::Together`] where more have to sign.
    pub fn check_alone(&self) -> Result<(), SignError> {
        match (self.form(), self.quorum()) {
            (Form::Plain, _) | (Form::Multi(_), 1) => Ok(()),
            (Form::Multi(_), quorum) => Err(SignError::Together { quorum }),
        }
    }

    /// The number of the signer with this public key.
    fn number(&self, public_key: &PublicKey) -> Result<usize, SignError> {
        let found = match &self.0.mode {
            Mode::Compat(_) => (self.0.key.as_bytes() == public_key.as_bytes()).then_some(0),
            Mode::Manifest(manifest) => manifest
                .signers
                .iter()
                .position(|signer| signer.public_key == *public_key),
        };
        found.ok_or(SignError::NotASigner {
            public_key: *public_key,
        })
    }

    /// Decompressed once, for those who verify often.
    fn points(&self) -> &[Option<VerifyingKey>] {
        let decompress = || {
            let point = |key: PublicKey| key.to_point();
            Box::new(match &self.0.mode {
                Mode::Compat(_) => [point(PublicKey(*self.0.key.as_bytes()))].into(),
                Mode::Manifest(manifest) => {
                    let keys = manifest.signers.iter().map(|signer| signer.public_key);
                    keys.map(point).collect()
                }
            })
        };
        self.0.points.get_or_init(decompress)
    }

    /// What binds the signature of this signer to this log.
    fn context(&self, number: usize) -> Context {
        match &self.0.mode {
            Mode::Compat(context) => *context,
            Mode::Manifest(manifest) if manifest.version == ManifestVersion::V0 => manifest
                .signers
                .get(number)
                .map_or(Context::Key(self.0.key), |signer| {
                    Context::Namespace(signer.namespace)
                }),
            Mode::Manifest(_) => Context::Key(self.0.key),
        }
    }

    fn verify_multi(&self, head: &Head, multi: MultiSignature) -> Result<(), SignatureError> {
        let quorum = self.quorum();
        if quorum == 0 {
            return Err(SignatureError::NobodySigns);
        }
        let needed = usize::try_from(quorum)
            .ok()
            .and_then(|needed| multi.entries.get(..needed))
            .ok_or(SignatureError::Quorum {
                quorum,
                given: multi.entries.len(),
            })?;
        let allow_patch = self.manifest().is_some_and(|manifest| manifest.allow_patch);
        let nodes: BTreeMap<NodeIndex, Node> = multi
            .patch
            .into_iter()
            .map(|node| (node.index, node))
            .collect();
        let tree = head.signed_tree();
        let mut seen = BTreeSet::new();
        for entry in needed {
            if !seen.insert(entry.signer) {
                return Err(SignatureError::SameSigner {
                    signer: entry.signer,
                });
            }
            let signed = if allow_patch && entry.patch != Length::ZERO {
                patched(head, entry, &nodes)?
            } else {
                tree
            };
            self.check(entry.signer, &signed, &entry.signature)?;
        }
        Ok(())
    }

    fn check(
        &self,
        signer: u64,
        tree: &SignedTree,
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let number =
            usize::try_from(signer).map_err(|_| SignatureError::UnknownSigner { signer })?;
        let point = self
            .points()
            .get(number)
            .ok_or(SignatureError::UnknownSigner { signer })?;
        let signable = Signable::new(self.context(number), tree);
        let holds = point
            .as_ref()
            .is_some_and(|point| point_verifies(point, signable.as_bytes(), signature));
        if holds {
            Ok(())
        } else {
            Err(SignatureError::Invalid { signer })
        }
    }
}

/// The longer tree that the signer of `entry` has signed.
fn patched(
    head: &Head,
    entry: &Entry,
    nodes: &BTreeMap<NodeIndex, Node>,
) -> Result<SignedTree, SignatureError> {
    let bad = SignatureError::Patch {
        signer: entry.signer,
    };
    let end = head
        .length()
        .get()
        .checked_add(entry.patch.get())
        .ok_or(bad)?;
    let length = Length::new(end);
    if length > MAX_LENGTH {
        return Err(bad);
    }
    let mut roots = Vec::from(head.roots());
    for index in growth(head.length(), length) {
        join(&mut roots, *nodes.get(&index).ok_or(bad)?);
    }
    let tree = Head::new(head.fork(), length, roots).map_err(|_| bad)?;
    Ok(tree.signed_tree())
}
