//! The messages of a replication channel, as types and as bytes. Knows nothing of when one is sent.

mod data;
mod extension;
mod have;
mod kind;
pub mod limits;
mod request;
mod sync;
mod want;

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use hc_merkle::proof::{Proof, Request as ProofRequest};
use hc_merkle::{Fork, Length};

pub use extension::ExtensionNames;
pub use kind::MessageKind;

/// One message of a replication channel. The number of a kind on the wire is its place here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // data is the most frequent: a box would be an allocation per block
pub enum Message {
    /// 0: fork, length and intentions of the sender.
    Sync(Sync),
    /// 1: asks for parts of the log.
    Request(Request),
    /// 2: takes a request back.
    Cancel(Cancel),
    /// 3: answers a request.
    Data(Data),
    /// 4: refuses a request.
    NoData(NoData),
    /// 5: asks to be told which blocks of a window the other side has.
    Want(Want),
    /// 6: takes a want back.
    Unwant(Want),
    /// 7: which blocks of a window the sender has.
    Bitfield(Bitfield),
    /// 8: a run of blocks that the sender has, or no longer has.
    Range(Range),
    /// 9: a message of the application.
    Extension(Extension),
}

/// Number of a request, unique among those in flight on a channel in one direction. 0 marks data that
/// was not asked for, and conflict proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Fork, length and intentions of the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // five independent bits, as on the wire
pub struct Sync {
    /// Fork of the sender's log.
    pub fork: Fork,
    /// Length of the sender's log.
    pub length: Length,
    /// Length of the receiver's log as the sender knows it; 0 where the forks differ.
    pub remote_length: Length,
    /// The sender can prove its length to the receiver.
    pub can_upgrade: bool,
    /// The sender answers requests.
    pub uploading: bool,
    /// The sender makes requests.
    pub downloading: bool,
    /// The sender can send the manifest.
    pub has_manifest: bool,
    /// The sender takes blocks that it did not ask for.
    pub allow_push: bool,
}

/// Asks for parts of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Number that the answer will carry.
    pub id: RequestId,
    /// Fork that the sender is on.
    pub fork: Fork,
    /// What is asked for.
    pub want: ProofRequest,
    /// 0 for a range, 1 and up for what a user waits for.
    pub priority: u64,
}

/// Takes a request back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancel {
    /// Which.
    pub id: RequestId,
}

/// Answers a request; the fork of the sender is in the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Which, or 0 for what was not asked for.
    pub id: RequestId,
    /// The answer.
    pub proof: Proof,
}

/// Refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoData {
    /// Which.
    pub id: RequestId,
    /// Why.
    pub reason: NoDataReason,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoDataReason {
    /// 0: no reason given.
    Unspecified,
    /// 1: the block is not here, or the fork is another.
    NotAvailable,
    /// 2: the request makes no sense.
    Invalid,
    /// Any other number.
    Other(u64),
}

/// Asks to be told of the blocks in a window, or takes that back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// First block of the window.
    pub start: u64,
    /// Number of blocks in it.
    pub length: u64,
    /// One block in the window is enough.
    pub any: bool,
}

/// Which blocks of a window the sender has: bit *i* of word *w* is block `start + 32 * w + i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitfield {
    /// Block of the first bit.
    pub start: u64,
    /// The bits.
    pub words: Vec<u32>,
}

/// A run of blocks that the sender has, or no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// They are gone.
    pub drop: bool,
    /// First block.
    pub start: u64,
    /// Number of blocks.
    pub length: u64,
}

/// A message of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Which extension; empty repeats the last name sent.
    pub name: String,
    /// Its payload.
    pub message: Bytes,
}
