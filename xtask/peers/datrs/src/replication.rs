//! Replication with 0.17.0-alpha.1's own replicator, over TCP and its Noise + secret-stream cipher.

use std::{
    collections::HashSet,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::StreamExt;
use hypercore_handshake::{
    Cipher,
    state_machine::{SecStream, hc_specific::generate_keypair},
};
use hypercore017::{Hypercore, HypercoreBuilder, PartialKeypair, VerifyingKey};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::compat::TokioAsyncReadCompatExt;
use uint24le_framing::Uint24LELengthPrefixedFraming;

use crate::{common::*, v017::open_storage};

#[derive(Clone, Default)]
struct Wire {
    read: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
}

struct Counted {
    tcp: TcpStream,
    wire: Wire,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        self.wire
            .read
            .fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.tcp).poll_write(cx, buf))?;
        self.wire.written.fetch_add(n as u64, Ordering::Relaxed);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

fn cipher(tcp: TcpStream, initiator: bool, wire: &Wire) -> Result<Cipher> {
    tcp.set_nodelay(true)?;
    let counted = Counted {
        tcp,
        wire: wire.clone(),
    };
    let framed = Uint24LELengthPrefixedFraming::new(counted.compat());
    let stream = if initiator {
        SecStream::new_initiator_xx(&[])?.into()
    } else {
        SecStream::new_responder_xx(&generate_keypair()?, &[])?.into()
    };
    Ok(Cipher::new(Some(Box::new(framed)), stream))
}

fn add_wire(out: &mut Map<String, Value>, wire: &Wire) {
    out.insert("wire_in".into(), json!(wire.read.load(Ordering::Relaxed)));
    out.insert(
        "wire_out".into(),
        json!(wire.written.load(Ordering::Relaxed)),
    );
}

pub async fn run(args: &Args) -> Result<Map<String, Value>> {
    let mut out = match args.op.as_str() {
        "serve" => serve(args).await?,
        "replicate" => replicate(args).await?,
        "sparse" => sparse(args).await?,
        _ => live(args).await?,
    };
    out.insert(
        "fsync".into(),
        json!(if args.sync() { "every write" } else { "none" }),
    );
    Ok(out)
}

async fn serve(args: &Args) -> Result<Map<String, Value>> {
    let dir = PathBuf::from(args.str("dir"));
    let storage = open_storage(&dir, args.sync()).await?;
    let core = HypercoreBuilder::new(storage).open(true).build().await?;

    let data = TcpListener::bind("127.0.0.1:0").await?;
    let control = TcpListener::bind("127.0.0.1:0").await?;
    let key: String = core
        .key_pair()
        .public
        .to_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    report(&object(json!({
        "ready": true,
        "port": data.local_addr()?.port(),
        "control": if args.flag("live") { control.local_addr()?.port() } else { 0 },
        "key": key,
        "length": core.info().length,
    })));

    let wire = Wire::default();
    let meter: Arc<Mutex<Option<Meter>>> = Arc::default();
    tokio::spawn({
        let (core, wire, meter) = (core.clone(), wire.clone(), meter.clone());
        async move {
            while let Ok((tcp, _)) = data.accept().await {
                meter.lock().unwrap().get_or_insert_with(Meter::start);
                let replicator = core.replicate(cipher(tcp, false, &wire).unwrap());
                tokio::spawn(async move {
                    if let Err(e) = replicator.await {
                        eprintln!("replicator: {e}");
                    }
                });
            }
        }
    });
    let size = args.num("size", 1024) as usize;
    tokio::spawn({
        let core = core.clone();
        async move {
            while let Ok((mut tcp, _)) = control.accept().await {
                tcp.set_nodelay(true).unwrap();
                while tcp.read_u8().await.is_ok() {
                    let mut block = vec![7u8; size];
                    block[..8].copy_from_slice(&monotonic_ns().to_le_bytes());
                    core.append(&block).await.unwrap();
                }
            }
        }
    });

    let mut sink = Vec::new();
    tokio::io::stdin().read_to_end(&mut sink).await?;
    let mut out = match &*meter.lock().unwrap() {
        Some(m) => m.stop(0, 0),
        None => Map::new(),
    };
    add_wire(&mut out, &wire);
    Ok(out)
}

async fn empty(args: &Args) -> Result<Hypercore> {
    let key = args.str("key");
    let mut bytes = [0u8; 32];
    for (i, b) in bytes.iter_mut().enumerate() {
        *b = u8::from_str_radix(
            key.get(2 * i..2 * i + 2)
                .context("--key is 64 hex digits")?,
            16,
        )?;
    }
    let storage = open_storage(&PathBuf::from(args.str("dir")), args.sync()).await?;
    let public = VerifyingKey::from_bytes(&bytes)?;
    Ok(HypercoreBuilder::new(storage)
        .key_pair(PartialKeypair {
            public,
            secret: None,
        })
        .build()
        .await?)
}

async fn connect(args: &Args, wire: &Wire) -> Result<Cipher> {
    cipher(
        TcpStream::connect(("127.0.0.1", args.num("port", 0) as u16)).await?,
        true,
        wire,
    )
}

async fn replicate(args: &Args) -> Result<Map<String, Value>> {
    let (n, size) = (args.num("n", 0), args.num("size", 1024));
    let core = empty(args).await?;
    let wire = Wire::default();
    let meter = Meter::start();
    let task = tokio::spawn(core.replicate(connect(args, &wire).await?));
    // There is no event for "all there", so ask.
    while core.info().contiguous_length < n {
        tokio::time::sleep(Duration::from_millis(1)).await;
        anyhow::ensure!(!task.is_finished(), "replicator ended early");
    }
    let mut out = meter.stop(n, n * size);
    add_wire(&mut out, &wire);
    task.abort();
    Ok(out)
}

async fn sparse(args: &Args) -> Result<Map<String, Value>> {
    let (n, size, count) = (
        args.num("n", 0),
        args.num("size", 1024),
        args.num("count", 0),
    );
    let mut next = Lcg(args.num("seed", 1) as u32);
    let mut wanted = HashSet::new();
    while (wanted.len() as u64) < count {
        wanted.insert(next.next(n));
    }
    let core = empty(args).await?;
    let wire = Wire::default();
    let meter = Meter::start();
    core.attach_replicator(core.replicate(connect(args, &wire).await?));
    let queue = Arc::new(Mutex::new(wanted.into_iter().collect::<Vec<_>>()));
    let width = args.num("concurrency", 1);
    let workers = (0..width).map(|_| {
        let (core, queue) = (core.clone(), queue.clone());
        async move {
            loop {
                let Some(i) = queue.lock().unwrap().pop() else {
                    return Ok::<_, anyhow::Error>(());
                };
                verify(&core.get(i).await?, i, size as usize);
            }
        }
    });
    futures::future::try_join_all(workers).await?;
    let mut out = meter.stop(count, count * size);
    add_wire(&mut out, &wire);
    out.insert("concurrency".into(), json!(width));
    Ok(out)
}

/// A reader that lets the replicator run on its own and watches the core's events: the way through
/// `attach_replicator` and `get` fails here with a read past the end of the tree.
async fn live(args: &Args) -> Result<Map<String, Value>> {
    let (rounds, first) = (args.num("count", 0), args.num("n", 0));
    let core = empty(args).await?;
    let wire = Wire::default();
    let mut events = core.event_subscribe();
    let task = tokio::spawn(core.replicate(connect(args, &wire).await?));
    while core.info().contiguous_length < first {
        tokio::time::sleep(Duration::from_millis(1)).await;
        anyhow::ensure!(
            !task.is_finished(),
            "replicator ended early: {:?}",
            task.await
        );
    }
    let meter = Meter::start();
    let mut control = TcpStream::connect(("127.0.0.1", args.num("control", 0) as u16)).await?;
    control.set_nodelay(true)?;
    let (mut ms, mut bytes) = (Vec::new(), 0);
    for i in first..first + rounds {
        control.write_all(b"a").await?;
        while !core.has(i) {
            let _ = tokio::time::timeout(Duration::from_secs(1), events.next()).await;
            anyhow::ensure!(
                !task.is_finished(),
                "replicator ended early: {:?}",
                task.await
            );
        }
        let block = core.get(i).await?.context("no block")?;
        let sent_at = u64::from_le_bytes(block[..8].try_into()?);
        ms.push((monotonic_ns() - sent_at) as f64 / 1e6);
        bytes += block.len() as u64;
    }
    let mut out = meter.stop(rounds, bytes);
    add_wire(&mut out, &wire);
    ms.drain(..20.min(ms.len() / 4));
    ms.sort_by(f64::total_cmp);
    for (name, q) in [
        ("p50_ms", 0.5),
        ("p90_ms", 0.9),
        ("p99_ms", 0.99),
        ("max_ms", 1.0),
    ] {
        let at = ((q * ms.len() as f64) as usize).min(ms.len() - 1);
        out.insert(name.into(), json!(round(ms[at], 4)));
    }
    Ok(out)
}
