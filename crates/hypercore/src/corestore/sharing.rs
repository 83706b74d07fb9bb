//! Which logs of a store a remote may learn of and fetch, and the store as its connections see it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hc_merkle::{DiscoveryKey, PublicKey};

use super::registry::Found;
use super::shared::Shared;
use crate::core::{Core, Identity};
use crate::replicate::{Doors, Sought, Source};

/// Which logs of a store the remote of a connection may learn of and fetch. To know a discovery key is
/// never enough: the remote has to prove that it knows the log's key.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Sharing {
    /// All of them.
    #[default]
    All,
    /// These, open now or not.
    Only(BTreeSet<DiscoveryKey>),
    /// Those for which this says so, of the key that the remote proved to hold in the handshake and the
    /// log. It is asked for each log that is offered or asked for, and should answer at once.
    Policy(Arc<SharingPolicy>),
}

/// Whether the remote with this key may have this log.
pub type SharingPolicy = dyn Fn(&PublicKey, &DiscoveryKey) -> bool + Send + Sync;

impl Sharing {
    /// These logs and no others.
    pub fn only(logs: impl IntoIterator<Item = DiscoveryKey>) -> Self {
        Self::Only(logs.into_iter().collect())
    }

    /// As a function of the remote and the log says.
    pub fn policy(
        allows: impl Fn(&PublicKey, &DiscoveryKey) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::Policy(Arc::new(allows))
    }

    fn allows(&self, remote: &PublicKey, log: &DiscoveryKey) -> bool {
        match self {
            Self::All => true,
            Self::Only(logs) => logs.contains(log),
            Self::Policy(allows) => allows(remote, log),
        }
    }
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Only(logs) => f.debug_tuple("Only").field(logs).finish(),
            Self::Policy(_) => f.write_str("Policy(…)"),
        }
    }
}

/// The store behind one connection.
struct Shelf {
    shared: Arc<Shared>,
    sharing: Sharing,
}

pub(super) fn source(shared: &Arc<Shared>, sharing: Sharing) -> Arc<dyn Source> {
    Arc::new(Shelf {
        shared: shared.clone(),
        sharing,
    })
}

impl Source for Shelf {
    fn join(&self, doors: &Arc<Doors>) -> Vec<Arc<Core>> {
        self.shared.connected(doors);
        let mut cores = self.shared.cores.all();
        cores.retain(|core| core.activity().0 && core.is_attached());
        cores
    }

    fn shares(&self, remote: &PublicKey, log: &DiscoveryKey) -> bool {
        self.sharing.allows(remote, log)
    }

    fn find(&self, log: &DiscoveryKey) -> Option<Sought> {
        let identity = Identity {
            discovery_key: Some(*log),
            ..Identity::default()
        };
        match self.shared.find(log, self.shared.opening(identity)) {
            Ok(Found::Open(core) | Found::Opened(core)) => Some(Sought::Here(core)),
            Ok(Found::Closing(core)) => Some(Sought::Closing(core.lane.idle())),
            Err(_) => None,
        }
    }

    fn linger(&self) -> Duration {
        self.shared.defaults.linger
    }

    fn is_suspended(&self) -> bool {
        self.shared.is_suspended()
    }

    fn is_closed(&self) -> bool {
        self.shared.cores.is_closed()
    }
}
