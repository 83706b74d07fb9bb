//! What the machine tells its driver. Knows nothing of how it is done.

use alloc::string::String;

use bytes::Bytes;
use hc_merkle::proof::{Proof, Request};
use hc_merkle::{BlockIndex, Fork, Length};
use hc_protocol::Time;
use hc_protocol::message::Message;

use crate::error::Fault;
use crate::id::{DemandId, PeerId, Ticket};

/// One thing for the driver to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Put this message in the peer's outbox.
    Send {
        /// To whom.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// Close the peer's channel, and for a fault its connection. The machine says nothing more to this
    /// peer and hears nothing more from it; the driver confirms with
    /// [`Input::PeerClosed`](crate::Input::PeerClosed).
    Hangup {
        /// Whom.
        peer: PeerId,
        /// Why.
        reason: Hangup,
    },
    /// Do this, and come back with [`Input::Completed`](crate::Input::Completed). Void once the peer
    /// is closed, but for [`Effect::CheckConflict`]: who sees a conflict says so and goes.
    Run {
        /// Name to come back with.
        ticket: Ticket,
        /// On whose behalf.
        peer: PeerId,
        /// What.
        effect: Effect,
    },
    /// A demand has ended.
    Resolve {
        /// Which.
        id: DemandId,
        /// How.
        outcome: Outcome,
    },
    /// Something happened that somebody may want to know. May be ignored.
    Notify(Notice),
    /// Nothing more to do: wait for the next input, or until this moment and then send
    /// [`Input::Elapsed`](crate::Input::Elapsed).
    Wait(Option<Time>),
}

/// Why the machine lets a peer go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hangup {
    /// Neither side wants anything. The channel may be opened again by either side, and should be
    /// when ours becomes active.
    Idle,
    /// The remote broke the rules.
    Fault(Fault),
    /// The log was signed twice: nobody is served it any more.
    Conflict,
}

/// Work that needs the store or the tree.
///
/// Data that a peer sent may wait as long as the driver likes: any number of `Apply` can be out at
/// once, and they may be verified and committed together, in the order in which they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // moved once; boxing would allocate per block
pub enum Effect {
    /// Answer a remote's request. Takes `Proof`, `NotAvailable` or `Invalid`.
    Prove {
        /// Fork that it was asked on, the one of the last published view.
        fork: Fork,
        /// What was asked.
        request: Request,
    },
    /// Are all roots of the tree at this length here, so that a reader of that length can be brought
    /// to ours? Takes `Upgradeable`.
    CheckUpgrade {
        /// Fork of the reader.
        fork: Fork,
        /// Length of the reader.
        length: Length,
    },
    /// Verify what a peer sent, store it, publish. Takes `Applied`, `Rejected`, `Stale` or `Failed`.
    /// Stored means that block and nodes survive what everything else in the store survives.
    Apply {
        /// What it sent.
        data: Proof,
    },
    /// Verify what a peer sent of a later fork: all of it, or hashes of leaves that were wanted. Where
    /// that shows where the forks part, cut the log there, take over the later one, and publish, all in
    /// one change. Takes `Wanted`, `Applied`, `Rejected`, `Stale` or `Failed`.
    ///
    /// The driver keeps what was sent so far of the latest fork that it examined a proof of, until the
    /// log changes.
    ExamineFork {
        /// What it sent.
        data: Proof,
    },
    /// Take over the fork that was examined last as far as it is known by now: cut the log before the
    /// first of the blocks among which the forks part. Takes `Applied`, `Stale` or `Failed`.
    AdoptFork {
        /// The fork.
        fork: Fork,
    },
    /// A peer proved a whole log of our fork, no longer than ours: compare it with ours, and freeze the
    /// log where the two do not go together. Takes `Conflict`, `Consistent`, `Rejected` or `Failed`.
    CheckConflict {
        /// What it sent.
        data: Proof,
    },
}

/// How a demand ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The block, or all blocks, are in the last published view; or nodes that a seek lacked.
    Available,
    /// The log is longer, or on another fork, than when it was asked.
    Upgraded,
    /// No peer can give a longer log.
    Unchanged,
    /// The log was truncated, and the block that was meant is no more; or, where a later fork was taken
    /// over, is not known to be in it: whoever knows better asks again.
    Gone,
}

/// News that need no action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A block arrived and is stored.
    Downloaded {
        /// From whom.
        peer: PeerId,
        /// Which.
        index: BlockIndex,
        /// Its size in bytes, as stored.
        bytes: u64,
        /// Time between request and answer; `None` where it was not asked for.
        elapsed: Option<core::time::Duration>,
    },
    /// A block was sent.
    Uploaded {
        /// To whom.
        peer: PeerId,
        /// Which.
        index: BlockIndex,
        /// Its size in bytes, as stored.
        bytes: u64,
    },
    /// A peer has all blocks up to here: more than any peer on this fork said before.
    RemoteContiguous {
        /// Who.
        peer: PeerId,
        /// Number of blocks.
        length: Length,
    },
    /// A peer is on a higher fork, and is not followed there: [`Config`](crate::Config) says so.
    HigherFork {
        /// Who.
        peer: PeerId,
        /// Its fork.
        fork: Fork,
        /// Its length.
        length: Length,
    },
    /// A peer asked for what no log can answer.
    InvalidRequest {
        /// Who.
        peer: PeerId,
        /// How often it has by now.
        count: u32,
    },
    /// A peer sent what does not verify. It is hung up; where it was not asked for, only if that happens
    /// again and again.
    InvalidData {
        /// Who.
        peer: PeerId,
        /// What is wrong.
        fault: Fault,
    },
    /// A peer refused so many requests that it is asked for nothing more.
    Shunned {
        /// Who.
        peer: PeerId,
    },
    /// Our side could not store what a peer sent; nothing more is asked of that peer.
    StorageFailed {
        /// Who sent it.
        peer: PeerId,
    },
    /// A message of an extension arrived.
    Extension {
        /// From whom.
        peer: PeerId,
        /// Name of the extension.
        name: String,
        /// Its payload.
        message: Bytes,
    },
}
