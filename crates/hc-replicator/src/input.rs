//! What a driver tells the machine. Knows nothing of what the machine makes of it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use hc_merkle::proof::{Proof, Wanted};
use hc_merkle::{BlockIndex, ByteOffset, Fork, Length};
use hc_protocol::message::Message;

use crate::config::Config;
use crate::error::Rejection;
use crate::id::{DemandId, PeerId, Ticket};
use crate::local::LocalView;
use crate::policy::PeerPolicy;

/// One event. After each, drain [`poll_output`](crate::Replicator::poll_output).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// A channel to this peer is being opened, and it is worth waiting for before an update is said to
    /// have found nothing. Ends with `PeerOpened` or `PeerClosed`. Optional.
    PeerExpected {
        /// Who.
        peer: PeerId,
    },
    /// The channel is open on both sides and the remote has proven that it knows the key.
    PeerOpened {
        /// Who.
        peer: PeerId,
        /// What the handshake told.
        info: PeerInfo,
    },
    /// A message arrived on the peer's channel.
    Received {
        /// From whom.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// Whether the peer's outbox has room. A new peer has. Without room the machine answers no further
    /// requests of this peer; the little that it must still send is bounded.
    Writable {
        /// Whose outbox.
        peer: PeerId,
        /// Whether it has room.
        room: bool,
    },
    /// The channel is gone. All tickets that name this peer are void.
    PeerClosed {
        /// Who.
        peer: PeerId,
    },
    /// Our side wants something. Resolved exactly once, unless it is cancelled first.
    Demanded {
        /// Its name.
        id: DemandId,
        /// What.
        what: Demand,
    },
    /// Nobody waits for this demand any more. It is not resolved after this.
    Cancelled {
        /// Its name.
        id: DemandId,
    },
    /// The log changed, by whatever cause, and the change is committed. The only way in which the
    /// machine learns about the log, and to come before the [`Reply::Applied`] of what caused it.
    Published {
        /// What is different from the view before.
        change: Published,
        /// The log as it is now.
        view: LocalView,
    },
    /// An effect has ended.
    Completed {
        /// Which.
        ticket: Ticket,
        /// How.
        reply: Reply,
    },
    /// The moment that the machine asked to be called at has come.
    Elapsed,
    /// Whether anybody on our side is interested in new blocks. Off at first. When it goes off, the
    /// machine lingers for a while, and then lets channels go where the remote wants nothing either.
    Activity {
        /// Somebody is.
        active: bool,
    },
    /// Whether the driver looks for peers right now: as long as it does and none was found yet, an
    /// update waits.
    FindingPeers {
        /// It does.
        finding: bool,
    },
    /// The machine is to behave otherwise from now on. Its seed stays what it was.
    Configured {
        /// How.
        config: Config,
    },
    /// The machine is to behave otherwise toward one peer from now on.
    Policy {
        /// Who.
        peer: PeerId,
        /// How.
        policy: PeerPolicy,
    },
    /// Sends a block to all peers that take what they did not ask for, lack it, and can tie it to their
    /// tree by what is sent along.
    Push {
        /// Which. Nothing happens for one that is not here.
        index: BlockIndex,
    },
    /// Sends a message of an extension.
    Extend {
        /// To whom.
        peer: PeerId,
        /// Name of the extension.
        name: String,
        /// Its payload.
        message: Bytes,
    },
}

/// What is known of a peer when its channel opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The remote can answer seeks.
    pub seeks: bool,
    /// What is done with and for it.
    pub policy: PeerPolicy,
}

impl PeerInfo {
    /// From what the channel's handshake said.
    #[must_use]
    pub fn new(seeks: bool) -> Self {
        Self {
            seeks,
            policy: PeerPolicy::default(),
        }
    }

    /// With another policy than the default one.
    #[must_use]
    pub fn with_policy(self, policy: PeerPolicy) -> Self {
        Self { policy, ..self }
    }
}

/// What our side can want.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Demand {
    /// One block, as soon as possible. Ends with [`Outcome::Available`](crate::Outcome::Available) or,
    /// if the log was cut below it after it was there, [`Outcome::Gone`](crate::Outcome::Gone).
    Block(BlockIndex),
    /// The same, also where [nothing else](crate::PullPolicy::Forced) is asked for.
    Forced(BlockIndex),
    /// All blocks of a span. Ends with `Available`; never, if the span has no end.
    Span(Span),
    /// All of these blocks. Ends with `Available`.
    Blocks(Vec<BlockIndex>),
    /// A longer log, if a peer has one. Ends with [`Outcome::Upgraded`](crate::Outcome::Upgraded), or
    /// with [`Outcome::Unchanged`](crate::Outcome::Unchanged) once no peer can give one.
    Upgrade,
    /// Nodes of the tree that show where a byte lies. Ends with `Available` when some are here, or with
    /// `Upgraded` when the log is another than the caller looked at: look again, and ask again if that
    /// is not enough yet.
    Seek(Seek),
}

/// A byte of the log that is looked for, and where it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seek {
    /// Which byte, padding not counted.
    pub bytes: ByteOffset,
    /// Bytes at the start of each block that are not counted.
    pub padding: u64,
    /// The blocks that it is in one of: all those under one node of the tree. Empty where the log ends
    /// before it; a longer one is waited for then.
    pub blocks: Range<u64>,
    /// Fork and length of the log that was looked at.
    pub at: (Fork, Length),
}

/// A run of blocks to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first block.
    pub start: BlockIndex,
    /// One past the last block; `None` follows the log as it grows.
    pub end: Option<BlockIndex>,
    /// Which first.
    pub order: Order,
}

/// Which blocks of a span are asked for first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Runs of blocks at random places, so that several readers of one source soon have different
    /// blocks for each other.
    #[default]
    Scattered,
    /// From the first to the last.
    Linear,
}

/// How a new view differs from the one before, beyond what the view itself says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Blocks were deleted from here on before anything else of this change happened.
    pub truncated: Option<Length>,
    /// Blocks that are here now and may not have been before, in any order.
    pub gained: Vec<Range<u64>>,
    /// Blocks that are no longer here although the log still spans them.
    pub lost: Vec<Range<u64>>,
}

/// How an effect ended. Each effect says which of these it takes; any other counts as `Failed`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // moved once; boxing would allocate per block
pub enum Reply {
    /// `Prove`: the answer.
    Proof(Proof),
    /// `Prove`: block or nodes are not here (any more), or the fork has changed.
    NotAvailable,
    /// `Prove`: no log could answer this request.
    Invalid,
    /// `CheckUpgrade`: whether all roots at that length are here.
    Upgradeable(bool),
    /// `Apply`: verified, committed and published. `ExamineFork`, `AdoptFork`: the same, with
    /// what was cut.
    Applied,
    /// `Apply`, `ExamineFork`, `CheckConflict`: the data is wrong, whoever asked for it.
    Rejected(Rejection),
    /// `ExamineFork`: the forks part among these blocks; the hash of any of their leaves tells more.
    Wanted(Wanted),
    /// `CheckConflict`: the log was signed twice, and is frozen. Both proofs, for all to see.
    Conflict {
        /// Of our log, to the same length; `None` where the nodes for it are not here.
        ours: Option<Box<Proof>>,
        /// As it came.
        theirs: Box<Proof>,
    },
    /// `CheckConflict`: the two logs go together, or cannot be compared.
    Consistent,
    /// `Apply`, `ExamineFork`, `AdoptFork`: can no longer be judged, because the log has moved since it was asked for: another
    /// fork, an upgrade that starts at another length, a node to tie it to that is not here. Nobody's
    /// fault; the machine asks again.
    Stale,
    /// Our side could not do it, for instance because the disk is full.
    Failed,
}
