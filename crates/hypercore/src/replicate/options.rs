//! How a log replicates, as its owner has it: options of the builder, and the same on a handle, for as
//! long as the log is open. Knows nothing of what the machine makes of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use hc_merkle::BlockIndex;
use hc_replicator::{Config, Input, PeerId, PeerPolicy, PullPolicy, PushPolicy, Window};

use super::Peer;
use crate::builder::Builder;
use crate::hypercore::Hypercore;

/// What the builder was told of replication; `None` where nothing was.
pub(crate) type Replicating = Option<Config>;

fn allow_push(config: &mut Config, allow: bool) {
    config.push = if allow {
        PushPolicy::Accept
    } else {
        PushPolicy::Refuse
    };
}

fn inflight_range(config: &mut Config, range: &RangeInclusive<u32>) {
    let (min, max) = (*range.start(), *range.end());
    config.window = Window {
        min,
        start: Window::DEFAULT.start.clamp(min, max.max(min)),
        max,
        ..config.window
    };
}

/// How the log replicates. What is set here holds for all handles of the log, and can be changed later:
/// see the methods of the same names on [`Hypercore`].
impl Builder {
    fn replicating(mut self, change: impl FnOnce(&mut Config)) -> Self {
        // The seed is the log's own.
        change(self.replicating.get_or_insert_with(|| Config::new(0)));
        self
    }

    /// Whether a longer log is fetched from a peer as soon as it has one, without its blocks; so by
    /// default. Else the length here grows by [`update`](Hypercore::update) and by asking for blocks.
    pub fn eager_upgrade(self, eager: bool) -> Self {
        self.replicating(|config| config.eager_upgrade = eager)
    }

    /// Whether to follow peers to a later fork, dropping what the two do not have in common; so by
    /// default. Where there is no block yet there is nothing to drop, and any fork is taken.
    pub fn follow_forks(self, follow: bool) -> Self {
        self.replicating(|config| config.follow_forks = follow)
    }

    /// Whether the newest block is fetched together with each longer log; not by default.
    pub fn latest_block(self, fetch: bool) -> Self {
        self.replicating(|config| config.latest_block = fetch)
    }

    /// Whether blocks are taken that peers [push](Hypercore::push) unasked; not by default.
    pub fn allow_push(self, allow: bool) -> Self {
        self.replicating(|config| allow_push(config, allow))
    }

    /// What peers are asked for: all that is wanted by default, or only what is asked for
    /// [by force](crate::Get::force), or nothing.
    pub fn pull(self, pull: PullPolicy) -> Self {
        self.replicating(|config| config.pull = pull)
    }

    /// Whether this handle gives peers what is here; so by default. They are refused once no open handle
    /// does.
    pub fn uploads(self, uploads: bool) -> Self {
        self.replicating(|config| config.uploads = uploads)
    }

    /// Fewest and most requests under way to one peer, 16 to 512 by default. In between it adapts to how
    /// fast the peer answers.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use async_std::{os::unix::net::UnixStream, task};
    /// # use hypercore::{Hypercore, Role, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// log.append_batch(["a", "b", "c"]).await?;
    /// let copy = Hypercore::builder(Storage::memory())
    ///     .key(log.key())
    ///     .inflight_range(1..=2)
    ///     .open()
    ///     .await?;
    ///
    /// let (left, right) = UnixStream::pair()?;
    /// task::spawn(log.replicate(left, Role::Initiator));
    /// task::spawn(copy.replicate(right, Role::Responder));
    /// copy.download(..3).await?;
    /// assert!((1..=2).contains(&copy.peer_states()[0].window));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn inflight_range(self, range: RangeInclusive<u32>) -> Self {
        self.replicating(|config| inflight_range(config, &range))
    }

    /// How long peers are told that this side downloads after nobody here is interested any more, before
    /// channels on which the other side wants nothing either are closed: 20 to 40 seconds by default, at
    /// once where it is zero, else up to twice this time.
    pub fn linger(self, linger: Duration) -> Self {
        self.replicating(|config| config.linger = linger)
    }
}

/// Changing how the log replicates, for all its handles.
impl Hypercore {
    /// As [`Builder::eager_upgrade`], from now on.
    pub fn set_eager_upgrade(&self, eager: bool) {
        self.core.configure(|config| config.eager_upgrade = eager);
    }

    /// As [`Builder::follow_forks`], from now on.
    pub fn set_follow_forks(&self, follow: bool) {
        self.core.configure(|config| config.follow_forks = follow);
    }

    /// As [`Builder::latest_block`], from now on.
    pub fn set_latest_block(&self, fetch: bool) {
        self.core.configure(|config| config.latest_block = fetch);
    }

    /// As [`Builder::allow_push`], from now on; peers are told.
    pub fn set_allow_push(&self, allow: bool) {
        self.core.configure(|config| allow_push(config, allow));
    }

    /// As [`Builder::pull`], from now on. What is under way still comes.
    pub fn set_pull(&self, pull: PullPolicy) {
        self.core.configure(|config| config.pull = pull);
    }

    /// Whether this handle gives peers what is here, from now on. Once no open handle does, peers are told,
    /// and what they ask for is refused. (Whether it is interested in what they have is a matter of
    /// [`set_active`](Self::set_active).)
    pub fn set_uploads(&self, uploads: bool) {
        self.core.set_handle_uploads(&self.gate, uploads);
    }

    /// As [`Builder::inflight_range`], from now on.
    pub fn set_inflight_range(&self, range: RangeInclusive<u32>) {
        self.core.configure(|config| inflight_range(config, &range));
    }

    /// What is done with and for one peer of this log, from now on, instead of what the
    /// [policy](crate::Replication::policy) of its connection says.
    pub fn set_peer_policy(&self, peer: &Peer, policy: PeerPolicy) {
        let peer = PeerId(peer.id);
        self.core.feed([Input::Policy { peer, policy }]);
    }

    /// Sends a block to all peers that [allow it](Builder::allow_push), are interested and lack it,
    /// with what they need to verify it: nobody has to ask. Nothing happens for a block that is not
    /// stored here.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use async_std::{os::unix::net::UnixStream, task};
    /// use hypercore::{Hypercore, PullPolicy, Role, Storage};
    ///
    /// let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let copy = Hypercore::builder(Storage::memory())
    ///     .key(log.key())
    ///     .allow_push(true)
    ///     .pull(PullPolicy::Forced)
    ///     .open()
    ///     .await?;
    /// let (left, right) = UnixStream::pair()?;
    /// task::spawn(log.replicate(left, Role::Responder));
    /// task::spawn(copy.replicate(right, Role::Initiator));
    /// # while !log.peer_states().iter().any(|peer| peer.allows_push) { task::yield_now().await; }
    /// log.append("news").await?;
    /// log.push(0);
    /// assert_eq!(copy.get(0).await?, "news");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn push(&self, index: u64) {
        let index = BlockIndex::new(index);
        self.core.feed([Input::Push { index }]);
    }
}
