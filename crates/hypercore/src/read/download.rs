//! Fetching many blocks, and asking for a longer log.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::RangeBounds;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hc_merkle::BlockIndex;
use hc_replicator::{Demand, Order, Outcome, Span};

use super::bounds;
use super::progress::{Progress, Wanted};
use super::wait::{Wait, Waited};
use crate::core::Core;
use crate::error::{DownloadError, UpdateError};
use crate::hypercore::Hypercore;
use crate::rt::BoxFuture;
use crate::session::Handle;
use crate::sync::Gate;

/// Blocks that are to be fetched; see [`Hypercore::download`](crate::Hypercore::download).
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use hypercore::{Hypercore, Storage};
/// # let log = Hypercore::builder(Storage::memory()).open().await?;
/// # log.append_batch(["a", "b", "c"]).await?;
/// log.download(..2).linear().await?; // awaited: they are all here
/// log.download_blocks([0, 2]).await?;
/// let following = log.download(..).start(); // in the background, as the log grows
/// following.cancel(); // or dropped
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "nothing is fetched unless it is started or awaited"]
pub struct Download {
    core: Arc<Core>,
    gate: Arc<Gate>,
    what: Demand,
    wait: Wait,
}

impl Download {
    pub(crate) fn span(log: &Hypercore, range: &impl RangeBounds<u64>) -> Self {
        let bounds = bounds(range);
        let what = Demand::Span(Span {
            start: BlockIndex::new(bounds.start),
            end: bounds.end.map(BlockIndex::new),
            order: Order::Scattered,
        });
        Self::new(log, what)
    }

    pub(crate) fn list(log: &Hypercore, blocks: impl IntoIterator<Item = u64>) -> Self {
        Self::new(
            log,
            Demand::Blocks(blocks.into_iter().map(BlockIndex::new).collect()),
        )
    }

    fn new(log: &Hypercore, what: Demand) -> Self {
        let (core, gate) = (log.core.clone(), log.gate.clone());
        Self {
            core,
            gate,
            what,
            wait: Wait::Forever,
        }
    }

    /// From the first block to the last, instead of runs at random places. Has no effect on a list.
    pub fn linear(mut self) -> Self {
        if let Demand::Span(span) = &mut self.what {
            span.order = Order::Linear;
        }
        self
    }

    /// How long to wait; forever by default. [`Wait::No`] is over at once.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Waits for so long: [`DownloadError::TimedOut`] after that.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.wait(Wait::For(timeout))
    }

    /// Begins now, without being polled: the returned handle is a future that ends when all blocks
    /// are here, and that takes the rest back when it is dropped.
    pub fn start(self) -> Downloading {
        let Self {
            core,
            gate,
            what,
            wait,
        } = self;
        let wanted = Wanted::of(&what);
        if gate.is_closed() {
            let why = core.closed::<DownloadError>();
            let done = Box::pin(async { Err(why) });
            return Downloading { core, wanted, done };
        }
        let demand = core.demand(what);
        let log = core.clone();
        let done = Box::pin(async move {
            match wait.apply(&core, &gate, demand).await {
                Waited::Done(Outcome::Available) => Ok(()),
                Waited::Done(_) => Err(DownloadError::Truncated),
                Waited::TimedOut => Err(DownloadError::TimedOut),
                Waited::Closed(why) => Err(why.into()),
                Waited::Failed(error) => Err(DownloadError::Storage(error)),
            }
        });
        Downloading {
            core: log,
            wanted,
            done,
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("what", &self.what)
            .finish_non_exhaustive()
    }
}

impl IntoFuture for Download {
    type Output = Result<(), DownloadError>;
    type IntoFuture = Downloading;

    fn into_future(self) -> Downloading {
        self.start()
    }
}

/// A download under way: a future that ends when all blocks are here. Dropping it takes back what has
/// not been fetched; what has, stays.
#[must_use = "dropping a download takes it back"]
pub struct Downloading {
    core: Arc<Core>,
    wanted: Wanted,
    done: BoxFuture<Result<(), DownloadError>>,
}

impl Downloading {
    /// How far it is, at this moment. Costs a look at each block under way, and a count over the blocks
    /// that are here.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// log.append_batch(["a", "b", "c"]).await?;
    /// let download = log.download(1..5).start();
    /// let progress = download.progress();
    /// assert_eq!((progress.wanted, progress.verified, progress.in_flight), (4, 2, 0));
    /// # Ok::<(), hypercore::AppendError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.core.progress(&self.wanted)
    }

    /// Takes back what has not been fetched; the same as dropping it.
    pub fn cancel(self) {
        drop(self);
    }
}

impl Future for Downloading {
    type Output = Result<(), DownloadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.done.as_mut().poll(cx)
    }
}

impl fmt::Debug for Downloading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Downloading").finish_non_exhaustive()
    }
}

/// A question to peers for a longer log; see [`Hypercore::update`](crate::Hypercore::update).
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use std::time::Duration;
/// # use hypercore::{Hypercore, Storage, UpdateError};
/// # let log = Hypercore::builder(Storage::memory()).open().await?;
/// assert!(!log.update().await?); // nobody is there who could have more
///
/// let looking = log.finding_peers(); // but somebody may come
/// let waited = log.update().timeout(Duration::from_millis(1)).await;
/// assert!(matches!(waited, Err(UpdateError::TimedOut)));
/// drop(looking); // nobody did
/// assert!(!log.update().await?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "nobody is asked unless it is awaited"]
pub struct Update {
    core: Arc<Core>,
    gate: Arc<Gate>,
    wait: Wait,
}

impl Update {
    pub(crate) fn new(log: &Hypercore) -> Self {
        Self::of(&log.handle())
    }

    pub(crate) fn of(handle: &Handle) -> Self {
        Self {
            core: handle.core.clone(),
            gate: handle.gate.clone(),
            wait: Wait::Forever,
        }
    }

    /// Waits for so long: [`UpdateError::TimedOut`] after that.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.wait = Wait::For(timeout);
        self
    }

    async fn run(self) -> Result<bool, UpdateError> {
        if self.gate.is_closed() {
            return Err(self.core.closed());
        }
        let demand = self.core.demand(Demand::Upgrade);
        match self.wait.apply(&self.core, &self.gate, demand).await {
            Waited::Done(outcome) => Ok(outcome == Outcome::Upgraded),
            Waited::TimedOut => Err(UpdateError::TimedOut),
            Waited::Closed(why) => Err(why.into()),
            Waited::Failed(error) => Err(UpdateError::Storage(error)),
        }
    }
}

impl IntoFuture for Update {
    type Output = Result<bool, UpdateError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// As long as one of these lives, an [update](crate::Hypercore::update) waits for a first peer instead
/// of ending because there is none. See [`Hypercore::finding_peers`](crate::Hypercore::finding_peers).
#[must_use = "dropping it ends the search"]
pub struct FindingPeers(Arc<Core>);

impl FindingPeers {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        core.find_peers(true);
        Self(core.clone())
    }
}

impl Drop for FindingPeers {
    fn drop(&mut self) {
        self.0.find_peers(false);
    }
}

impl fmt::Debug for FindingPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FindingPeers").finish_non_exhaustive()
    }
}
