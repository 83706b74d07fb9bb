//! Whose fault it was. Knows nothing of what is done about it.

use thiserror::Error;

/// Why data that a peer sent is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The hashes do not lead to the tree that we trust.
    #[error("proof does not verify")]
    Proof,
    /// The signature, or the manifest that it is checked by, is wrong.
    #[error("signature does not verify")]
    Signature,
    /// The parts of the answer contradict each other.
    #[error("proof is malformed")]
    Malformed,
}

/// What a remote did that costs it the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// It sent data that does not verify.
    #[error("remote sent bad data: {0}")]
    BadData(#[from] Rejection),
    /// It answered with something else than what it was asked for.
    #[error("remote sent data that was not asked for")]
    Unsolicited,
    /// It kept asking for what no log can answer.
    #[error("remote sent {count} invalid requests")]
    InvalidRequests {
        /// How many.
        count: u32,
    },
    /// It went over a limit.
    #[error("remote went over the limit of {limit} {what}")]
    OverLimit {
        /// Of what.
        what: Limited,
        /// The limit.
        limit: usize,
    },
}

/// What a remote may only have so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Limited {
    /// Requests that we have not answered yet.
    #[error("open requests")]
    OpenRequests,
    /// Wants that we have not answered yet.
    #[error("unanswered wants")]
    UnansweredWants,
    /// Rounds of questions about a later fork.
    #[error("rounds to where a later fork parts")]
    ForkRounds,
}
