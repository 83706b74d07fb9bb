//! Replication over any duplex stream: a connection is a future that the caller runs.
//!
//! ```text
//! stream ⇄ Connection ⇄ Link ⇄ Router ⇄ machine of each log ⇄ Swarm
//!           bytes, time   frames   channels, effects            demands, events
//! ```
//!
//! A machine is fed by whoever has something to tell it, under one lock that is held for no I/O; what
//! it wants done goes to the outbox of the connection that it concerns, and wakes it.

mod alarms;
mod connection;
mod error;
mod extension;
mod held;
mod logs;
mod options;
mod outbox;
mod peers;
mod policy;
mod rate;
mod replies;
mod room;
mod router;
mod serve;
mod slot;
mod source;
mod swarm;
mod turns;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hc_merkle::PublicKey;
use hc_protocol::link::{Link, LinkOptions};
use hc_protocol::noise::{KeyPair as NoiseKeyPair, Keys, Seed};
use hc_protocol::secret_stream::StreamHeader;
use hc_protocol::{Side, Time};

use self::connection::Parts;
use self::outbox::Outbox;
use self::router::Router;
use crate::hypercore::Hypercore;
use crate::limits::HANDSHAKE_TIMEOUT;
use crate::rt::Runtime;

pub use self::connection::Connection;
pub use self::error::ReplicateError;
pub use self::extension::{Extension, ExtensionError, ExtensionMessage};
pub(crate) use self::logs::Doors;
pub use self::logs::{Logs, Question, Questions};
pub(crate) use self::options::Replicating;
pub use self::peers::PeerState;
pub use self::policy::Policy;
pub use self::rate::RateLimit;
pub(crate) use self::source::{Sought, Source};
pub(crate) use self::swarm::{Demanded, Swarm};

/// The other side of a connection, as one log sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Number of this peering in this process; never reused.
    pub id: u64,
    /// The key that the other side proved to hold in the handshake.
    pub public_key: PublicKey,
}

/// How a connection ended that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The remote closed the stream, or wants none of the logs any more.
    ByRemote,
    /// All logs that were replicated were closed here.
    ByUs,
}

/// Bytes that went over a connection so far. Clones count the same connection.
#[derive(Clone, Default)]
pub struct Traffic(Arc<Counters>);

#[derive(Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    looks: AtomicU64,
}

impl Traffic {
    /// Bytes read from the stream.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// Bytes written to the stream.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// How often the connection has looked at one of its logs: what it did beside moving bytes. In
    /// proportion to what happened, however many logs there are.
    #[must_use]
    pub fn logs_looked_at(&self) -> u64 {
        self.0.looks.load(Ordering::Relaxed)
    }

    fn looked(&self) {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
    }

    fn received(&self, count: usize) {
        self.0.received.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn sent(&self, count: usize) {
        self.0.sent.fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic")
            .field("received", &self.bytes_received())
            .field("sent", &self.bytes_sent())
            .finish()
    }
}

/// A connection that is being set up: several logs over one stream.
///
/// ```no_run
/// # async fn example(a: hypercore::Hypercore, b: hypercore::Hypercore) -> anyhow::Result<()> {
/// use hypercore::{Replication, Role};
///
/// let stream = async_std::net::TcpStream::connect("example.org:4977").await?;
/// let connection = Replication::over(stream, Role::Initiator).add(&a).add(&b).start();
/// async_std::task::spawn(connection);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is replicated until it is started"]
pub struct Replication<S> {
    stream: S,
    side: Side,
    router: Router,
    outbox: Arc<Outbox>,
    doors: Arc<Doors>,
    traffic: Traffic,
    allowed: Option<BTreeSet<PublicKey>>,
    identity: Option<[u8; 32]>,
    handshake_timeout: Duration,
    options: LinkOptions,
    runtime: Arc<dyn Runtime>,
}

/// A stream without a log yet; see [`Replication::over`].
#[derive(Debug)]
#[must_use = "nothing is replicated until a log is added and it is started"]
pub struct Over<S> {
    stream: S,
    side: Side,
}

impl<S> Over<S> {
    /// Replicates this log.
    #[allow(clippy::should_implement_trait)] // a log joins others; nothing is summed
    pub fn add(self, log: &Hypercore) -> Replication<S> {
        let runtime = log.core.runtime.clone();
        self.with(runtime).add(log)
    }

    /// Replicates no log yet: they are added while the connection runs, through its
    /// [`logs`](Connection::logs) or its [`questions`](Connection::questions). Get one of these
    /// before it runs; without either it ends at once.
    pub fn on(self, runtime: impl Runtime) -> Replication<S> {
        self.with(Arc::new(runtime))
    }

    fn with(self, runtime: Arc<dyn Runtime>) -> Replication<S> {
        let outbox = Arc::new(Outbox::default());
        let doors = Arc::new(Doors::new(outbox.clone()));
        let traffic = Traffic::default();
        Replication {
            stream: self.stream,
            side: self.side,
            router: Router::new(outbox.clone(), doors.clone(), traffic.clone()),
            outbox,
            doors,
            traffic,
            allowed: None,
            identity: None,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            options: LinkOptions::default(),
            runtime,
        }
    }
}

impl<S> Replication<S> {
    /// Replicates the logs of a store.
    pub(crate) fn of(
        stream: S,
        side: Side,
        runtime: Arc<dyn Runtime>,
        source: Arc<dyn Source>,
    ) -> Self {
        let mut replication = Self::over(stream, side).with(runtime);
        replication.router.join(source);
        replication
    }

    /// Over this stream, as the side that opened it or as the one that accepted it: the two sides
    /// have to differ.
    pub fn over(stream: S, side: Side) -> Over<S> {
        Over { stream, side }
    }

    /// Replicates this log too.
    #[allow(clippy::should_implement_trait)] // a log joins others; nothing is summed
    pub fn add(mut self, log: &Hypercore) -> Self {
        self.router.add(log.core.clone());
        self
    }

    /// What this connection may do with the other side, and what it may cost; everything by default.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.router.set_policy(policy);
        self
    }

    /// Replicates with those alone who prove to hold one of these keys, which are those of their
    /// [identities](Self::identity): [`ReplicateError::NotAllowed`] with anyone else. Called again, it
    /// allows more.
    ///
    /// ```no_run
    /// # fn example<S>(stream: S, log: hypercore::Hypercore, friend: hypercore::PublicKey)
    /// #     -> hypercore::Connection<S> {
    /// use hypercore::{Replication, Role};
    ///
    /// Replication::over(stream, Role::Responder).add(&log).allow([friend]).start()
    /// # }
    /// ```
    pub fn allow(mut self, remotes: impl IntoIterator<Item = PublicKey>) -> Self {
        self.allowed.get_or_insert_default().extend(remotes);
        self
    }

    /// Uses the key pair of this seed in the handshake, so that the remote knows this side again. A
    /// random one by default.
    pub fn identity(mut self, seed: [u8; 32]) -> Self {
        self.identity = Some(seed);
        self
    }

    /// How long the handshake may take; ten seconds by default.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Fails if nothing comes for this long. Off by default: the remote need not send keep-alive
    /// frames, though this side and the reference do, every five seconds.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.options.idle_timeout = Some(timeout);
        self
    }

    /// After how long an empty frame is sent where nothing else was; five seconds by default, `None`
    /// for never.
    pub fn keep_alive(mut self, interval: Option<Duration>) -> Self {
        self.options.keep_alive = interval;
        self
    }

    /// The connection: a future to run.
    pub fn start(self) -> Connection<S> {
        let epoch = self.runtime.now();
        let link = keys(&*self.runtime, self.identity).map(|(keys, header)| match self.side {
            Side::Initiator => Link::initiator(keys, header, self.options, Time::ZERO),
            Side::Responder => Link::responder(keys, header, self.options, Time::ZERO),
        });
        let parts = Parts {
            link,
            side: self.side,
            router: self.router,
            outbox: self.outbox,
            doors: self.doors,
            traffic: self.traffic,
            allowed: self.allowed,
            runtime: self.runtime,
            epoch,
            handshake_by: epoch + self.handshake_timeout,
        };
        Connection::new(self.stream, parts)
    }
}

/// Secrets for one handshake.
fn keys(
    runtime: &dyn Runtime,
    identity: Option<[u8; 32]>,
) -> Result<(Keys, StreamHeader), ReplicateError> {
    let local = match identity {
        Some(seed) => Seed::new(seed),
        None => Seed::new(random(runtime)?),
    };
    let keys = Keys {
        local: NoiseKeyPair::from_seed(&local),
        ephemeral: Seed::new(random(runtime)?),
    };
    Ok((keys, StreamHeader(random(runtime)?)))
}

fn random<const N: usize>(runtime: &dyn Runtime) -> Result<[u8; N], ReplicateError> {
    let mut bytes = [0; N];
    runtime
        .fill_random(&mut bytes)
        .map_err(ReplicateError::Randomness)?;
    Ok(bytes)
}
