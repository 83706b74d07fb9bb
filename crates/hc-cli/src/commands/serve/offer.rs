//! What is served: logs in folders of their own, all logs of stores, or some of them by name or key.

use std::path::{Path, PathBuf};

use async_std::net::TcpStream;
use hypercore::encryption::EncryptionKey;
use hypercore::{
    Corestore, DiscoveryKey, Hypercore, IfMissing, Policy, PublicKey, Replication, Role, Sharing,
    Storage,
};

use crate::args::Serve;
use crate::failure::{Failure, Kind};
use crate::place::{Place, Which};
use crate::{secret, store};

/// The logs of a server, and the stores that they are in.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) logs: Vec<Hypercore>,
    /// Who may connect; everybody where it is empty.
    allowed: Vec<PublicKey>,
    /// What a connection may do and cost.
    pub(super) policy: Policy,
    stores: Vec<(PathBuf, Corestore)>,
}

impl Offer {
    /// Opens everything that is named.
    pub(super) async fn open(args: &Serve) -> Result<Self, Failure> {
        let mut offer = Self {
            logs: Vec::new(),
            allowed: args.allow.clone(),
            policy: args.limits.policy(),
            stores: Vec::new(),
        };
        for dir in &args.dirs {
            let place = Place::of(dir);
            let opened = match offer.stores.iter().find(|(at, _)| *at == place.store) {
                Some((_, opened)) => opened.clone(),
                None => {
                    let storage = Storage::existing(&place.store);
                    let opened = store::many(&place.store, storage).await?;
                    offer.stores.push((place.store.clone(), opened.clone()));
                    opened
                }
            };
            offer.add(&opened, &place, dir, args).await?;
        }
        Ok(offer)
    }

    async fn add(
        &mut self,
        store: &Corestore,
        place: &Place,
        dir: &Path,
        args: &Serve,
    ) -> Result<(), Failure> {
        let logs: Vec<DiscoveryKey> = match &place.which {
            Which::Named(path, name) => {
                let named = store
                    .at(*path)
                    .get(name.as_str())
                    .if_missing(IfMissing::Fail);
                let log = named.await.map_err(|error| store::opening(error, dir))?;
                vec![log.discovery_key()]
            }
            Which::Key(key) => vec![key.discovery_key()],
            Which::Default => {
                let default = store.default_core()?;
                let all = store::listed(store, dir)?;
                let others = all.iter().map(|core| core.discovery_key);
                let others = others.filter(|log| default != Some(*log));
                default.into_iter().chain(others).collect()
            }
        };
        let alone = logs.len() == 1 && args.dirs.len() == 1;
        for log in logs {
            if self.logs.iter().any(|other| other.discovery_key() == log) {
                let message = format!("log {log} is served already");
                return Err(Failure::new(Kind::Usage, message).at(dir.display()));
            }
            let mut opening = store.get(log).if_missing(IfMissing::Fail);
            let encrypted = store.auth(&log)?.is_some_and(|auth| auth.encrypted);
            if let (true, Some(key)) = (encrypted, secret::encryption_key(&args.encryption)?) {
                opening = opening.encryption_key(EncryptionKey::from_bytes(key));
            }
            if !alone {
                // Who asks for it gets it; nobody is told that it is here.
                opening = opening.inactive();
            }
            let log = opening.await.map_err(|error| store::opening(error, dir))?;
            self.logs.push(log);
        }
        Ok(())
    }

    /// What is replicated with one peer.
    pub(super) fn replication(&self, stream: TcpStream) -> Option<Replication<TcpStream>> {
        let replication = self.of_all(stream)?;
        if self.allowed.is_empty() {
            return Some(replication);
        }
        Some(replication.allow(self.allowed.clone()))
    }

    fn of_all(&self, stream: TcpStream) -> Option<Replication<TcpStream>> {
        let (first, rest) = self.logs.split_first()?;
        if let ([(_, store)], false) = (self.stores.as_slice(), rest.is_empty()) {
            let logs = self.logs.iter().map(Hypercore::discovery_key);
            return Some(store.replication(stream, Role::Responder, Sharing::only(logs)));
        }
        let replication = Replication::over(stream, Role::Responder).add(first);
        Some(rest.iter().fold(replication, Replication::add))
    }

    /// Brings every store to its disk, whatever becomes of the others.
    pub(super) async fn close(&self) -> Result<(), Failure> {
        let mut result = Ok(());
        for (dir, store) in &self.stores {
            let closed = store.close().await;
            result = result.and(closed.map_err(|error| Failure::from(error).at(dir.display())));
        }
        result
    }
}
