//! `serve`: logs for whoever connects and knows their keys, until a signal comes.
//!
//! ```text
//! listener → a task a connection, which replicates every log
//! stdin → feed → the first log
//! log → report → stdout
//! ```

mod feed;
mod listener;
mod offer;
mod report;

use std::sync::Arc;
use std::time::Instant;

use async_std::net::TcpListener;
use futures_lite::future;
use hypercore::Hypercore;
use serde_json::{Value, json};

use self::listener::Connections;
use self::offer::Offer;
use crate::args::Serve;
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::signals::Stop;

pub(crate) async fn run(args: &Serve, output: Output) -> Result<(), Failure> {
    let offer = Offer::open(args).await?;
    let logs = &offer.logs;
    let mut stop = Stop::new()?;
    let unbound = |error| Failure::new(Kind::Network, error).at(args.listen);
    let listener = TcpListener::bind(args.listen).await.map_err(unbound)?;
    let address = listener.local_addr().map_err(unbound)?;
    listening(logs, &address.to_string(), output)?;
    let begun = Instant::now();
    let connections = Arc::new(Connections::default());
    report::start(logs, args.verbose, output);
    let stopped = async {
        stop.wait().await;
        Ok(())
    };
    let serving = listener::accept(&listener, &offer, &connections, output);
    let feeding = feed::run(args, logs);
    let ended = future::or(stopped, future::or(feeding, serving)).await;
    drop(listener);
    let closed = offer.close().await;
    connections.ended().await;
    ended.and(closed)?;
    done(&connections, begun, output)
}

/// The first line: where, and what.
fn listening(logs: &[Hypercore], address: &str, output: Output) -> Result<(), Failure> {
    let core = |log: &Hypercore| {
        json!({
            "key": log.key().to_string(),
            "discoveryKey": log.discovery_key().to_string(),
            "length": log.length().get(),
        })
    };
    let cores: Vec<Value> = logs.iter().map(core).collect();
    let value = json!({ "event": "listening", "address": address, "cores": cores });
    output.result(&value, || {
        let core = |log: &Hypercore| {
            let size = output::bytes(log.byte_length().get());
            let blocks = output::blocks(log.length().get());
            format!("\n  {}  {blocks}, {size}", log.key())
        };
        let cores: String = logs.iter().map(core).collect();
        format!("listening on {address}{cores}")
    })
}

fn done(connections: &Connections, begun: Instant, output: Output) -> Result<(), Failure> {
    let totals = connections.totals();
    let seconds = begun.elapsed().as_secs_f64();
    let value = json!({
        "event": "done",
        "peers": totals.peers,
        "wireIn": totals.wire_in,
        "wireOut": totals.wire_out,
        "seconds": seconds,
    });
    output.result(&value, || {
        let sent = output::bytes(totals.wire_out);
        format!(
            "stopped after {seconds:.0} s: {} connections, {sent} sent",
            totals.peers
        )
    })
}
