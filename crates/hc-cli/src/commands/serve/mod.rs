//! `serve`: logs for whoever connects and knows their keys, until a signal comes.
//!
//! ```text
//! listener → a task a connection, which replicates every log
//! stdin → feed → the first log
//! log → report → stdout
//! ```

mod feed;
mod listener;
mod report;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use async_std::net::TcpListener;
use futures_lite::future;
use hypercore::Hypercore;
use serde_json::{Value, json};

use self::listener::{Connections, Offer};
use crate::args::Serve;
use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::signals::Stop;
use crate::store;

pub(crate) async fn run(args: &Serve, output: Output) -> Result<(), Failure> {
    let logs = open(args).await?;
    let mut stop = Stop::new()?;
    let unbound = |error| Failure::new(Kind::Network, error).at(args.listen);
    let listener = TcpListener::bind(args.listen).await.map_err(unbound)?;
    let address = listener.local_addr().map_err(unbound)?;
    listening(&logs, &address.to_string(), output)?;
    let begun = Instant::now();
    let connections = Arc::new(Connections::default());
    report::start(&logs, args.verbose, output);
    let stopped = async {
        stop.wait().await;
        Ok(())
    };
    let offer = Offer {
        logs: logs.clone(),
        allowed: args.allow.clone(),
        policy: args.limits.policy(),
    };
    let serving = listener::accept(&listener, &offer, &connections, output);
    let feeding = feed::run(args, &logs);
    let ended = future::or(stopped, future::or(feeding, serving)).await;
    drop(listener);
    let closed = close(args, &logs, &connections).await;
    ended.and(closed)?;
    done(&connections, begun, output)
}

async fn open(args: &Serve) -> Result<Vec<Hypercore>, Failure> {
    let mut logs: Vec<Hypercore> = Vec::with_capacity(args.dirs.len());
    for dir in &args.dirs {
        let log = store::write(dir, Some(&args.encryption)).await?;
        if logs.iter().any(|other| other.key() == log.key()) {
            let message = format!("log {} is served from another folder already", log.key());
            return Err(Failure::new(Kind::Usage, message).at(dir.display()));
        }
        logs.push(log);
    }
    Ok(logs)
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

/// Lets the connections end, and brings every log to its disk, whatever becomes of the others.
async fn close(args: &Serve, logs: &[Hypercore], connections: &Connections) -> Result<(), Failure> {
    let mut result = Ok(());
    for (log, dir) in logs.iter().zip(&args.dirs) {
        result = result.and(store::close(log, Path::new(dir)).await);
    }
    connections.ended().await;
    result
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
