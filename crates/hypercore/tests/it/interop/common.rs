//! What the scenarios share: a reference peer with a folder of its own, connections over loopback,
//! and waiting that ends. Everything here blocks its test; connections run on the executor's threads.

use std::future::IntoFuture;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_std::net::{TcpListener, TcpStream};
use async_std::task::{self, JoinHandle, block_on};
use hc_testkit::{Pattern, Reference, Version};
use hypercore::encryption::EncryptionKey;
use hypercore::{
    Builder, Connection, CoreKey, Ended, Event, Events, Hypercore, Manifest, ReplicateError,
    Replication, Role, Storage, Traffic,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Each scenario as a test against either version.
macro_rules! against_both {
    ($($scenario:ident),* $(,)?) => {
        mod v11 {
            $(#[test] fn $scenario() -> anyhow::Result<()> {
                super::$scenario(hc_testkit::Version::V11)
            })*
        }
        mod v10 {
            $(#[test] fn $scenario() -> anyhow::Result<()> {
                super::$scenario(hc_testkit::Version::V10)
            })*
        }
    };
}
pub(super) use against_both;

/// Starts a reference peer; where there is no Node, the test ends here.
macro_rules! reference {
    ($version:expr) => {
        match Js::start($version)? {
            Some(js) => js,
            None => return Ok(()),
        }
    };
}
pub(super) use reference;

/// Until when something has to have happened. It only tells a test that hangs from one on a machine that
/// is busy with others.
pub(super) const SOON: Duration = Duration::from_secs(120);

/// Blocks of 0 to 1089 bytes, every hundredth of them empty.
pub(super) const VARIED: Pattern = Pattern {
    a: 7,
    b: 13,
    salt: 101,
    len_base: 0,
    len_step: 77,
    len_mod: 1100,
};

/// Waits for what must succeed, and soon.
pub(super) fn soon<T, E: Into<anyhow::Error>>(
    what: impl IntoFuture<Output = Result<T, E>>,
) -> Result<T> {
    let what = what.into_future();
    block_on(async {
        match async_std::future::timeout(SOON, what).await {
            Ok(done) => done.map_err(Into::into),
            Err(_) => bail!("it took too long"),
        }
    })
}

/// A log in memory that is written here.
pub(super) fn writer() -> Result<Hypercore> {
    open(Hypercore::builder(Storage::memory()))
}

/// A log in memory that is read here.
pub(super) fn reader(key: CoreKey) -> Result<Hypercore> {
    open(Hypercore::builder(Storage::memory()).key(key))
}

/// A log in a directory: the one with this key, or a new one.
pub(super) fn on_disk(dir: &Path, key: Option<CoreKey>) -> Result<Hypercore> {
    let builder = Hypercore::builder(Storage::disk(dir));
    open(match key {
        Some(key) => builder.key(key),
        None => builder,
    })
}

pub(super) fn open(builder: Builder) -> Result<Hypercore> {
    Ok(block_on(builder.open())?)
}

/// What both sides must agree on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) length: u64,
    pub(super) contiguous_length: u64,
    pub(super) byte_length: u64,
    pub(super) fork: u64,
    pub(super) tree_hash: String,
}

impl Facts {
    pub(super) fn of(log: &Hypercore) -> Result<Self> {
        let info = log.info();
        Ok(Self {
            length: info.length.get(),
            contiguous_length: info.contiguous_length.get(),
            byte_length: info.byte_length.get(),
            fork: info.fork.get(),
            tree_hash: hex::encode(info.tree_hash.as_bytes()),
        })
    }
}

/// SHA-256 over length (u32, little-endian) and bytes of each block.
pub(super) fn digest<B: AsRef<[u8]>>(blocks: impl IntoIterator<Item = B>) -> Result<String> {
    let mut hash = Sha256::new();
    for block in blocks {
        let block = block.as_ref();
        hash.update(u32::try_from(block.len())?.to_le_bytes());
        hash.update(block);
    }
    Ok(hex::encode(hash.finalize()))
}

/// The digest of blocks that are stored here.
pub(super) fn local_digest(log: &Hypercore, blocks: Range<u64>) -> Result<String> {
    let mut values = Vec::new();
    for index in blocks {
        values.push(block_on(log.get(index).local().into_future())?);
    }
    digest(values)
}

/// What its log is called there, where it has only one.
const MAIN: &str = "main";

/// A reference peer, whose logs are in a folder of its own.
pub(super) struct Js {
    pub(super) peer: Reference,
    dir: TempDir,
}

impl Js {
    pub(super) fn start(version: Version) -> Result<Option<Self>> {
        let Some(peer) = Reference::start(version)? else {
            return Ok(None);
        };
        let dir = tempfile::tempdir()?;
        Ok(Some(Self { peer, dir }))
    }

    /// Opens its log, in the folder of that name. Blocks that it downloads are told as events.
    fn open(
        &mut self,
        name: &str,
        key: Option<CoreKey>,
        options: &Value,
        encryption: Option<&EncryptionKey>,
    ) -> Result<CoreKey> {
        let opened = self.peer.call(
            "open",
            json!({
                "core": name,
                "dir": self.dir.path().join(name),
                "key": key.map(|key| hex::encode(key.as_bytes())),
                "options": options,
                "encryptionKey": encryption.map(|key| hex::encode(key.as_bytes())),
                "report": true,
            }),
        )?;
        let key = opened["key"].as_str().context("a log has a key")?;
        let key: [u8; 32] = hex::decode(key)?
            .try_into()
            .ok()
            .context("a key has 32 bytes")?;
        Ok(CoreKey(key))
    }

    /// A log that is written there.
    pub(super) fn write(&mut self) -> Result<CoreKey> {
        self.write_with(&json!({}), None)
    }

    pub(super) fn write_with(
        &mut self,
        options: &Value,
        encryption: Option<&EncryptionKey>,
    ) -> Result<CoreKey> {
        self.open(MAIN, None, options, encryption)
    }

    /// Another log that is written there, and replicated over the same connections.
    pub(super) fn write_beside(&mut self, name: &str, blocks: &[&str]) -> Result<CoreKey> {
        let key = self.open(name, None, &json!({}), None)?;
        let blocks: Vec<_> = blocks.iter().map(hex::encode).collect();
        self.peer
            .call("append", json!({ "core": name, "blocks": blocks }))?;
        Ok(key)
    }

    /// A log that is read there.
    pub(super) fn read(&mut self, key: CoreKey) -> Result<()> {
        self.read_with(key, &json!({}), None)
    }

    pub(super) fn read_with(
        &mut self,
        key: CoreKey,
        options: &Value,
        encryption: Option<&EncryptionKey>,
    ) -> Result<()> {
        let opened = self.open(MAIN, Some(key), options, encryption)?;
        ensure!(opened == key, "another log was opened");
        Ok(())
    }

    /// Another log that is read there, and replicated over the same connections once they are made.
    pub(super) fn read_beside(&mut self, name: &str, key: CoreKey) -> Result<()> {
        self.open(name, Some(key), &json!({}), None)?;
        Ok(())
    }

    /// Opens this log there as "known": its key and who may sign it, and nothing else.
    pub(super) fn know(&mut self, log: &Hypercore) -> Result<()> {
        let manifest = log.manifest_bytes().context("no manifest")?;
        self.peer.call(
            "open",
            json!({
                "core": "known",
                "dir": self.dir.path().join("known"),
                "key": hex::encode(log.key().as_bytes()),
                "manifest": hex::encode(manifest),
            }),
        )?;
        Ok(())
    }

    /// Opens the log of this manifest there as "fixed", and fills its beginning from the main one.
    pub(super) fn copy_prologue(&mut self, manifest: &Manifest) -> Result<()> {
        self.peer.call(
            "open",
            json!({
                "core": "fixed",
                "dir": self.dir.path().join("fixed"),
                "manifest": hex::encode(hc_encoding::encode_to_vec(manifest)),
            }),
        )?;
        let call = json!({ "core": "fixed", "from": MAIN });
        self.peer.call("copyPrologue", call)?;
        Ok(())
    }

    /// Ends the process, and reads the log from its folder in a new one.
    pub(super) fn restart(&mut self, version: Version, key: CoreKey) -> Result<()> {
        self.peer.call("exit", json!({}))?;
        self.peer = Reference::start(version)?.context("Node is gone")?;
        let opened = self.open(MAIN, Some(key), &json!({}), None)?;
        ensure!(opened == key, "another log was opened");
        Ok(())
    }

    /// Ends the process, and gives the folder where it left its log.
    pub(super) fn left_behind(&mut self) -> Result<PathBuf> {
        self.peer.call("exit", json!({}))?;
        Ok(self.dir.path().join(MAIN))
    }

    /// A log that is written there, with the key pair of a seed.
    pub(super) fn write_as(&mut self, seed: &[u8; 32]) -> Result<CoreKey> {
        self.write_with(&json!({ "seed": hex::encode(seed) }), None)
    }

    /// Appends blocks of a pattern, so many at once.
    pub(super) fn append(
        &mut self,
        pattern: &Pattern,
        blocks: Range<u64>,
        batch: u64,
    ) -> Result<()> {
        self.peer.call(
            "append",
            json!({
                "pattern": pattern.json(), "from": blocks.start, "to": blocks.end, "batch": batch,
            }),
        )?;
        Ok(())
    }

    pub(super) fn facts(&mut self) -> Result<Facts> {
        let info = self.peer.call("info", json!({}))?;
        let number = |name: &str| info[name].as_u64().with_context(|| name.to_owned());
        Ok(Facts {
            length: number("length")?,
            contiguous_length: number("contiguousLength")?,
            byte_length: number("byteLength")?,
            fork: number("fork")?,
            tree_hash: info["treeHash"].as_str().context("no tree hash")?.into(),
        })
    }

    pub(super) fn digest(&mut self, blocks: Range<u64>) -> Result<String> {
        let found = self.peer.call(
            "digest",
            json!({ "start": blocks.start, "end": blocks.end }),
        )?;
        Ok(found["digest"].as_str().context("no digest")?.into())
    }

    /// A block, from whoever has it.
    pub(super) fn get(&mut self, index: u64) -> Result<Vec<u8>> {
        let timeout = u64::try_from(SOON.as_millis())?;
        let found = self.peer.call(
            "get",
            json!({ "index": index, "options": { "timeout": timeout } }),
        )?;
        Ok(hex::decode(found["value"].as_str().context("no value")?)?)
    }

    /// The blocks that are stored there.
    pub(super) fn held(&mut self) -> Result<Vec<u64>> {
        let found = self.peer.call("held", json!({}))?;
        let held = found["blocks"].as_array().context("no blocks")?;
        Ok(held.iter().filter_map(Value::as_u64).collect())
    }

    /// Waits until the log is so long there; with all its blocks, if wanted.
    pub(super) fn wait_for(&mut self, length: u64, contiguous: bool) -> Result<()> {
        let timeout = u64::try_from(SOON.as_millis())?;
        self.peer.call(
            "waitFor",
            json!({ "length": length, "contiguous": contiguous, "timeout": timeout }),
        )?;
        Ok(())
    }

    pub(super) fn download(&mut self, range: &Value) -> Result<()> {
        self.peer.call("download", json!({ "range": range }))?;
        Ok(())
    }

    /// Bytes that went over its connections: in, out.
    pub(super) fn wire(&mut self) -> Result<(u64, u64)> {
        let wire = self.peer.call("wire", json!({}))?;
        let number = |name: &str| wire[name].as_u64().with_context(|| name.to_owned());
        Ok((number("in")?, number("out")?))
    }

    /// Connects this log to it.
    pub(super) fn dialled_by(&mut self, log: &Hypercore) -> Result<Line> {
        let port = self.peer.listen()?;
        dial(log, port)
    }

    /// Makes it connect to this log.
    pub(super) fn dial(&mut self, log: &Hypercore) -> Result<Line> {
        let door = Door::open()?;
        self.peer.call("connect", json!({ "port": door.port()? }))?;
        door.accept(log)
    }
}

/// A connection of a log here, running.
pub(super) struct Line {
    task: JoinHandle<Result<Ended, ReplicateError>>,
    pub(super) traffic: Traffic,
}

impl Line {
    fn start(log: &Hypercore, stream: TcpStream, role: Role) -> Result<Self> {
        stream.set_nodelay(true)?;
        Self::of(log.replicate(stream, role))
    }

    /// Runs a connection.
    pub(super) fn of(connection: Connection<TcpStream>) -> Result<Self> {
        let traffic = connection.traffic();
        let task = task::spawn(connection);
        Ok(Self { task, traffic })
    }

    /// Drops the connection, in the middle of whatever it does.
    pub(super) fn cut(self) {
        block_on(self.task.cancel());
    }

    /// Waits for its end.
    pub(super) fn ended(self) -> Result<Result<Ended, ReplicateError>> {
        soon(async { Ok::<_, anyhow::Error>(self.task.await) })
    }
}

/// Connects a log to a port.
pub(super) fn dial(log: &Hypercore, port: u16) -> Result<Line> {
    Line::start(log, stream_to(port)?, Role::Initiator)
}

pub(super) fn stream_to(port: u16) -> Result<TcpStream> {
    soon(TcpStream::connect((Ipv4Addr::LOCALHOST, port)))
}

/// A port where a log here can be reached.
pub(super) struct Door(TcpListener);

impl Door {
    pub(super) fn open() -> Result<Self> {
        Ok(Self(soon(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?))
    }

    pub(super) fn port(&self) -> Result<u16> {
        Ok(self.0.local_addr()?.port())
    }

    /// The stream of the next one.
    pub(super) fn stream(&self) -> Result<TcpStream> {
        let (stream, _) = soon(self.0.accept())?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Lets the next one in.
    pub(super) fn accept(&self, log: &Hypercore) -> Result<Line> {
        let (stream, _) = soon(self.0.accept())?;
        Line::start(log, stream, Role::Responder)
    }

    /// Lets the next one in, with two logs.
    pub(super) fn accept_both(&self, logs: [&Hypercore; 2]) -> Result<Line> {
        let (stream, _) = soon(self.0.accept())?;
        let [first, second] = logs;
        let replication = Replication::over(stream, Role::Responder);
        Line::of(replication.add(first).add(second).start())
    }
}

/// A port that leads to another, for one connection, which is cut after so many bytes have come back.
pub(super) fn cut_after(bytes: u64, port: u16) -> Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let here = listener.local_addr()?.port();
    thread::spawn(move || -> std::io::Result<()> {
        let (mut near, _) = listener.accept()?;
        let mut far = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let (mut from_near, mut to_far) = (near.try_clone()?, far.try_clone()?);
        thread::spawn(move || std::io::copy(&mut from_near, &mut to_far));
        let mut left = bytes;
        let mut buffer = [0; 4096];
        while left > 0 {
            let read = far.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            let passed = read.min(usize::try_from(left).unwrap_or(read));
            near.write_all(&buffer[..passed])?;
            left -= passed as u64;
        }
        near.shutdown(Shutdown::Both)?;
        far.shutdown(Shutdown::Both)
    });
    Ok(here)
}

/// The blocks whose download has been told.
pub(super) fn downloaded(events: &mut Events) -> Vec<u64> {
    std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event {
            Event::Download { index, .. } => Some(index.get()),
            _ => None,
        })
        .collect()
}
