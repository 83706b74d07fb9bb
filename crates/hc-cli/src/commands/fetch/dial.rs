//! Keeping connected with every server that was named, side by side, each with a back-off of its own.
//!
//! Owns what is known of each: what went wrong last, and whether trying again makes sense. Knows
//! nothing of which blocks are wanted.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_std::net::TcpStream;
use async_std::task::JoinHandle;
use async_std::{future, task};
use hypercore::{Ended, Hypercore, Policy, ReplicateError, Replication, Role, Traffic};

use crate::failure::{Kind, chain};

/// How long connecting, and then the handshake, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A server that is silent for this long is gone: both implementations send something every 5 s.
const SILENCE: Duration = Duration::from_secs(30);
/// The first wait before trying again, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Times that a server may break the rules before it is left alone.
const MAX_FAULTS: u32 = 3;

/// The servers of one fetch.
#[derive(Debug)]
pub(super) struct Servers {
    all: Arc<Vec<Server>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Server {
    address: String,
    known: Mutex<Known>,
}

/// How to connect with servers.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    /// Seed of the identity to show; a new one each time without.
    pub(super) identity: Option<[u8; 32]>,
    pub(super) policy: Policy,
    /// Tell people about trouble.
    pub(super) talk: bool,
}

/// What is known of a server.
#[derive(Debug, Default)]
struct Known {
    /// Whether a first attempt has come to something.
    tried: bool,
    trouble: Option<Trouble>,
    faults: u32,
    /// Trying again makes no sense.
    given_up: bool,
    wire_in: u64,
    wire_out: u64,
    current: Option<Traffic>,
}

/// What is wrong with a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    pub(super) message: String,
}

impl Servers {
    /// Begins to connect with all of them.
    pub(super) fn dial(addresses: &[String], log: &Hypercore, manner: &Manner) -> Self {
        let server = |address: &String| Server {
            address: address.clone(),
            known: Mutex::default(),
        };
        let all = Arc::new(addresses.iter().map(server).collect::<Vec<_>>());
        let keep = |at: usize| {
            let (servers, log, manner) = (all.clone(), log.clone(), manner.clone());
            task::spawn(async move {
                if let Some(server) = servers.get(at) {
                    server.keep(&log, &manner).await;
                }
            })
        };
        let tasks = (0..all.len()).map(keep).collect();
        Self { all, tasks }
    }

    /// Leaves them all: nothing that they send is stored any more once this returns.
    pub(super) async fn hang_up(&mut self) {
        for task in self.tasks.drain(..) {
            task.cancel().await;
        }
    }

    /// Waits until each has been tried once, but no longer than `most`.
    pub(super) async fn tried(&self, most: Duration) {
        let until = Instant::now() + most;
        while Instant::now() < until && !self.all.iter().all(|server| server.known().tried) {
            task::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether trying again makes sense with none of them.
    pub(super) fn are_hopeless(&self) -> bool {
        self.all.iter().all(|server| server.known().given_up)
    }

    /// What went wrong last with each that has trouble.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let trouble = |server: &Server| server.known().trouble.clone();
        self.all.iter().filter_map(trouble).collect()
    }

    /// Bytes read from the sockets, and bytes written to them.
    pub(super) fn traffic(&self) -> (u64, u64) {
        let sum = |(read, written): (u64, u64), server: &Server| {
            let known = server.known();
            let current = known.current.as_ref();
            (
                read + known.wire_in + current.map_or(0, Traffic::bytes_received),
                written + known.wire_out + current.map_or(0, Traffic::bytes_sent),
            )
        };
        self.all.iter().fold((0, 0), sum)
    }
}

impl Server {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stays connected until the log is closed, or it makes no sense any more.
    async fn keep(&self, log: &Hypercore, manner: &Manner) {
        let mut wait = WAITS.0;
        let mut told = None;
        while !log.is_closed() {
            let attempt = self.connect(log, manner).await;
            if log.is_closed() {
                return;
            }
            match attempt {
                Ok(()) => wait = WAITS.0,
                Err(trouble) if manner.talk && told.as_ref() != Some(&trouble) => {
                    told = Some(self.tell(trouble));
                }
                Err(_) => {}
            }
            if self.known().given_up {
                return;
            }
            task::sleep(wait).await;
            wait = (wait * 2).min(WAITS.1);
        }
    }

    /// Connects once and stays as long as it lasts. `Ok` if it was of use, whatever ended it.
    async fn connect(&self, log: &Hypercore, manner: &Manner) -> Result<(), Trouble> {
        let connected = future::timeout(PATIENCE, TcpStream::connect(&self.address)).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) => return Err(self.note(Kind::Network, &error.to_string())),
        };
        // Without it, small requests wait for each other; it is no condition.
        let _ = stream.set_nodelay(true);
        let mut replication = Replication::over(stream, Role::Initiator)
            .add(log)
            .policy(manner.policy.clone())
            .handshake_timeout(PATIENCE)
            .idle_timeout(SILENCE);
        if let Some(seed) = manner.identity {
            replication = replication.identity(seed);
        }
        let connection = replication.start();
        {
            let mut known = self.known();
            known.tried = true;
            known.trouble = None;
            known.current = Some(connection.traffic());
        }
        let stored = log.count(..);
        let ended = connection.await;
        self.settle_traffic();
        let trouble = match ended {
            Ok(Ended::ByUs) => return Ok(()),
            Ok(_) => self.note(Kind::Network, "the server closed the connection"),
            Err(error) => self.judge(&error),
        };
        if log.count(..) > stored {
            Ok(())
        } else {
            Err(trouble)
        }
    }

    fn settle_traffic(&self) {
        let mut known = self.known();
        if let Some(traffic) = known.current.take() {
            known.wire_in += traffic.bytes_received();
            known.wire_out += traffic.bytes_sent();
        }
    }

    fn judge(&self, error: &ReplicateError) -> Trouble {
        if let ReplicateError::Refused { .. } = error {
            self.known().given_up = true;
            return self.note(
                Kind::NotAvailable,
                "the server does not have this log: is the key right?",
            );
        }
        if !error.is_remotes_fault() {
            return self.note(Kind::Network, &chain(error));
        }
        {
            let mut known = self.known();
            known.faults += 1;
            known.given_up = known.faults >= MAX_FAULTS;
        }
        self.note(Kind::Integrity, &chain(error))
    }

    fn note(&self, kind: Kind, message: &str) -> Trouble {
        let trouble = Trouble {
            kind,
            message: format!("{}: {message}", self.address),
        };
        let mut known = self.known();
        known.tried = true;
        known.trouble = Some(trouble.clone());
        trouble
    }

    /// Tells people why nothing comes, where that is not how the command ends anyway.
    fn tell(&self, trouble: Trouble) -> Trouble {
        if !self.known().given_up {
            eprintln!("hypercore: {}; trying again", trouble.message);
        }
        trouble
    }
}
