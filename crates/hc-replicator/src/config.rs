//! Policy: what a user may tune. Bounds that nobody may tune are in [`limits`](crate::limits).

use core::time::Duration;

/// How a machine behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Seed of every random choice.
    pub seed: u64,
    /// Fetch a longer tree as soon as a peer has one, without being asked to.
    pub eager_upgrade: bool,
    /// Follow a peer to a later fork, which drops what the two do not have in common. Where there is no
    /// block yet there is nothing to drop, and any fork is taken.
    pub follow_forks: bool,
    /// How many requests may be under way to one peer.
    pub window: Window,
    /// Fetch the newest block together with each longer tree.
    pub latest_block: bool,
    /// Blocks that were not asked for.
    pub push: PushPolicy,
    /// What peers are asked for.
    pub pull: PullPolicy,
    /// Answer what peers ask for.
    pub uploads: bool,
    /// How long peers are still told that we download after nobody wants anything any more. A random
    /// part of the same length is added, so that many logs do not end at once. Zero for not at all.
    pub linger: Duration,
    /// How long one peer may take to answer an upgrade, a seek, or about a later fork, before another is
    /// asked. An upgrade that another peer could give is waited for at most half a second, and
    /// mostly far less: a few times what an answer of the other takes. An update waits as long for a
    /// peer to say where it stands, and that it heard where we do; and once another peer has what we have
    /// and nothing more, a few round trips and at most half a second for all that it may yet give.
    pub upgrade_patience: Duration,
}

impl Config {
    /// The defaults, with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            eager_upgrade: true,
            follow_forks: true,
            window: Window::DEFAULT,
            latest_block: false,
            push: PushPolicy::Refuse,
            pull: PullPolicy::All,
            uploads: true,
            linger: Duration::from_secs(20),
            upgrade_patience: Duration::from_secs(5),
        }
    }
}

/// Bounds on the requests under way to one peer: asked for, or answered and not yet stored.
///
/// The window starts at `start`, grows by one for each answer that came while it was full, and stops
/// growing where answers take much longer than they have to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Never fewer than this many.
    pub min: u32,
    /// At first.
    pub start: u32,
    /// Never more than this many.
    pub max: u32,
    /// Not more bytes than this, going by the size of the peer's last blocks; `min` comes first.
    pub bytes: u64,
}

impl Window {
    /// 16 to 512 requests as in the reference, from 64, and 8 MiB.
    pub const DEFAULT: Self = Self {
        min: 16,
        start: 64,
        max: 512,
        bytes: 8 * 1024 * 1024,
    };
}

impl Default for Window {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is done with blocks that were not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PushPolicy {
    /// Dropped. Peers are told not to send any.
    #[default]
    Refuse,
    /// Taken where they are new. Peers are told so while our side is active.
    Accept,
}

/// What peers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// Whatever is wanted.
    #[default]
    All,
    /// What is [demanded by force](crate::Demand::Forced) alone: the rest is left to those who push.
    Forced,
    /// Nothing, and they are told so.
    Nothing,
}
