//! One session on a store: where its names are, the handles that were opened through it, and whether it
//! looks for peers. Knows nothing of storage.

use std::fmt;
use std::sync::{Arc, Weak};

use hc_merkle::manifest::ManifestVersion;

use crate::core::{Core, Scope};
use crate::derive::NamePath;
use crate::read::FindingPeers;
use crate::sync::Mutex;

/// A session; see [`Corestore`](super::Corestore).
#[derive(Debug)]
pub(super) struct Session {
    /// The namespace.
    pub(super) place: NamePath,
    /// Version of the manifests of new names.
    pub(super) version: ManifestVersion,
    /// Handles neither append nor truncate.
    pub(super) read_only: bool,
    pub(super) scope: Arc<Scope>,
    /// The session that opened the store, and closes it.
    pub(super) is_root: bool,
    searches: Arc<Mutex<Searches>>,
}

#[derive(Debug, Default)]
struct Searches {
    count: usize,
    /// One for each handle that was open, or was opened, while peers were looked for.
    waiting: Vec<FindingPeers>,
    closed: bool,
}

impl Session {
    pub(super) fn root(version: ManifestVersion) -> Self {
        Self {
            place: NamePath::ROOT,
            version,
            read_only: false,
            scope: Arc::default(),
            is_root: true,
            searches: Arc::default(),
        }
    }

    /// Another session, with the same options.
    pub(super) fn child(&self, place: NamePath) -> Self {
        Self {
            place,
            is_root: false,
            read_only: self.read_only,
            ..Self::root(self.version)
        }
    }

    /// A log was opened through this session.
    pub(super) fn opened(&self, core: &Arc<Core>) {
        let mut searches = self.searches.lock();
        if searches.count > 0 && !searches.closed {
            searches.waiting.push(FindingPeers::new(core));
        }
    }

    pub(super) fn find_peers(&self) -> StoreFindingPeers {
        let cores = self.scope.cores();
        let mut searches = self.searches.lock();
        searches.count = searches.count.saturating_add(1);
        if searches.count == 1 && !searches.closed {
            searches.waiting = cores.iter().map(FindingPeers::new).collect();
        }
        StoreFindingPeers(Arc::downgrade(&self.searches))
    }

    /// Closes all handles, and waits until what they were writing is written.
    pub(super) async fn close(&self) {
        let ended = {
            let mut searches = self.searches.lock();
            searches.closed = true;
            std::mem::take(&mut searches.waiting)
        };
        drop(ended);
        for core in self.scope.close().unwrap_or_default() {
            if core.gate.is_closed() {
                core.lane.idle().await;
            }
        }
    }
}

/// As long as one of these lives, updates of the logs of a session wait for a first peer; see
/// [`Corestore::finding_peers`](crate::Corestore::finding_peers).
#[must_use = "dropping it ends the search"]
pub struct StoreFindingPeers(Weak<Mutex<Searches>>);

impl Drop for StoreFindingPeers {
    fn drop(&mut self) {
        let Some(searches) = self.0.upgrade() else {
            return;
        };
        let ended = {
            let mut searches = searches.lock();
            searches.count = searches.count.saturating_sub(1);
            if searches.count > 0 {
                return;
            }
            std::mem::take(&mut searches.waiting)
        };
        // Ends the searches of the logs, outside the lock.
        drop(ended);
    }
}

impl fmt::Debug for StoreFindingPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreFindingPeers").finish_non_exhaustive()
    }
}
