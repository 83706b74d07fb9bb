//! Connections that come in: accepted, replicated, counted. A bad one ends alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_std::net::{TcpListener, TcpStream};
use async_std::task;
use serde_json::json;

use super::offer::Offer;
use crate::failure::{Failure, chain};
use crate::output::{self, Output};

/// Connections at a time; more wait until one ends.
const MAX_CONNECTIONS: usize = 256;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A peer that is silent for this long is gone: both implementations send something every 5 s.
const SILENCE: Duration = Duration::from_secs(60);
/// How long to wait where the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(250);
/// How often to look whether a connection has ended.
const GLANCE: Duration = Duration::from_millis(10);
/// How long connections may take to end when the server does.
const FAREWELL: Duration = Duration::from_secs(2);

/// The connections of a server, now and so far.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: AtomicUsize,
    peers: AtomicU64,
    wire_in: AtomicU64,
    wire_out: AtomicU64,
}

/// Sums over all connections that have ended.
pub(super) struct Totals {
    pub(super) peers: u64,
    pub(super) wire_in: u64,
    pub(super) wire_out: u64,
}

impl Connections {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            peers: self.peers.load(Ordering::Relaxed),
            wire_in: self.wire_in.load(Ordering::Relaxed),
            wire_out: self.wire_out.load(Ordering::Relaxed),
        }
    }

    /// Waits until all have ended, but not for long.
    pub(super) async fn ended(&self) {
        let until = Instant::now() + FAREWELL;
        while self.open.load(Ordering::Acquire) > 0 && Instant::now() < until {
            task::sleep(GLANCE).await;
        }
    }

    async fn room(&self) {
        while self.open.load(Ordering::Acquire) >= MAX_CONNECTIONS {
            task::sleep(NO_ROOM).await;
        }
    }
}

/// Accepts for ever. What goes wrong with a connection, or with accepting one, ends nothing else.
pub(super) async fn accept(
    listener: &TcpListener,
    offer: &Offer,
    connections: &Arc<Connections>,
    output: Output,
) -> Result<(), Failure> {
    let mut troubled = false;
    loop {
        connections.room().await;
        match listener.accept().await {
            Ok((stream, address)) => {
                troubled = false;
                connections.open.fetch_add(1, Ordering::AcqRel);
                connections.peers.fetch_add(1, Ordering::Relaxed);
                let guest = Guest {
                    address,
                    connections: connections.clone(),
                    output,
                };
                task::spawn(guest.serve(stream, offer.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Said once for as long as it lasts.
                if !troubled {
                    eprintln!("hypercore: no connection can be accepted for now: {error}");
                }
                troubled = true;
                task::sleep(NO_ROOM).await;
            }
        }
    }
}

/// Whether the connection was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// One connection.
struct Guest {
    address: SocketAddr,
    connections: Arc<Connections>,
    output: Output,
}

impl Guest {
    async fn serve(self, stream: TcpStream, offer: Offer) {
        let address = self.address.to_string();
        self.say(
            &json!({ "event": "peer", "state": "connected", "address": address }),
            || format!("{address} connected"),
        );
        let begun = Instant::now();
        // Without it, small answers wait for each other; it is no condition for serving.
        let _ = stream.set_nodelay(true);
        let Some(replication) = offer.replication(stream) else {
            return;
        };
        let connection = replication
            .policy(offer.policy)
            .handshake_timeout(HANDSHAKE)
            .idle_timeout(SILENCE)
            .start();
        let traffic = connection.traffic();
        let error = connection.await.err().map(|error| chain(&error));
        let (wire_in, wire_out) = (traffic.bytes_received(), traffic.bytes_sent());
        self.connections
            .wire_in
            .fetch_add(wire_in, Ordering::Relaxed);
        self.connections
            .wire_out
            .fetch_add(wire_out, Ordering::Relaxed);
        let mut value = json!({
            "event": "peer",
            "state": "disconnected",
            "address": address,
            "wireIn": wire_in,
            "wireOut": wire_out,
            "seconds": begun.elapsed().as_secs_f64(),
        });
        if let Some(error) = &error {
            value["error"] = error.as_str().into();
        }
        self.say(&value, || {
            let why = error.map(|error| format!(": {error}")).unwrap_or_default();
            format!(
                "{address} disconnected, {} sent{why}",
                output::bytes(wire_out)
            )
        });
    }

    fn say(&self, value: &serde_json::Value, text: impl FnOnce() -> String) {
        // Serving is the task; that nobody listens to what is said about it does not end it.
        let _ = self.output.result(value, text);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::AcqRel);
    }
}
