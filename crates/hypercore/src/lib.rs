#![doc = include_str!("../README.md")]
//!
//! # Where a log is kept
//! [`Storage::disk`] keeps it in a directory, [`Storage::memory`] for as long as it is open. A
//! directory is locked by the process that writes to it; others may read beside it
//! ([`Storage::read_only`], [`Hypercore::refresh`]). Which log is opened, and whether it can be
//! written to, follows from what the [`Builder`] is given: nothing, a key, a key pair, a seed or a
//! manifest.
//!
//! ```
//! # futures_lite::future::block_on(async {
//! use hypercore::{Hypercore, Storage};
//!
//! let dir = tempfile::tempdir()?;
//! let log = Hypercore::builder(Storage::disk(dir.path())).open().await?;
//! log.append("kept").await?;
//! log.close().await?;
//!
//! let log = Hypercore::builder(Storage::disk(dir.path())).open().await?;
//! assert_eq!(log.get(0).await?, "kept");
//! # log.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Writing
//! [`append`](Hypercore::append) and [`append_batch`](Hypercore::append_batch) are all or nothing, and
//! take effect in the order in which they are first polled. What they survive once they are
//! acknowledged is a [`Durability`]: the death of the process by default, the loss of power where it is
//! asked for, for all appends or for one. A future that is dropped half way never leaves memory and
//! disk apart.
//!
//! [`truncate`](Hypercore::truncate) makes the log shorter and begins a new fork; [`clear`](Hypercore::clear) drops blocks here and leaves them in the log;
//! [`purge`](Hypercore::purge) removes a log from its store.
//!
//! # Reading
//! [`get`](Hypercore::get) gives a block from the store, or waits until a peer has sent it: forever,
//! for a time, or not at all, as [`Wait`] says. A block may be asked for before it exists. What is
//! returned has been verified. [`seek`](Hypercore::seek) finds the block of a byte,
//! [`tree_hash`](Hypercore::tree_hash) what was signed at a length.
//!
//! [`read_stream`](Hypercore::read_stream) and [`byte_stream`](Hypercore::byte_stream) give blocks and
//! bytes in order, [`write_stream`](Hypercore::write_stream) is a sink for blocks. With a [`Codec`],
//! [`typed`](Hypercore::typed) handles read and write values instead: text, JSON, or whatever it makes of
//! a block.
//!
//! ```
//! # futures_lite::future::block_on(async {
//! use futures_lite::StreamExt;
//! use hypercore::{Hypercore, Storage, Utf8};
//!
//! let log = Hypercore::builder(Storage::memory()).open().await?;
//! let words = log.typed(Utf8);
//! words.append_batch(["one", "two", "three"]).await?;
//! let all: Vec<String> = words.read_stream(..).try_collect().await?;
//! assert_eq!(all.join(" "), "one two three");
//! let bytes: Vec<_> = log.byte_stream(2..5).try_collect().await?;
//! assert_eq!(bytes.concat(), b"etw");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Sessions and snapshots
//! A [`session`](Hypercore::session) is another handle of the same log with options of its own: how long
//! it waits, whether it may write and who signs, how it encrypts, whether it keeps the log open. It
//! inherits what it is not told. A [`snapshot`](Hypercore::snapshot) shows the log as it was, also when
//! that is cleared or truncated. [User data](Hypercore::set_user_data) is kept beside a log and stays
//! here.
//!
//! ```
//! # futures_lite::future::block_on(async {
//! # use hypercore::{Hypercore, Storage, Wait};
//! # let log = Hypercore::builder(Storage::memory()).open().await?;
//! log.append_batch(["a", "b"]).await?;
//! let impatient = log.session().wait(Wait::No).read_only().open()?;
//! let before = impatient.snapshot()?;
//! log.truncate(1).await?;
//! assert!(impatient.get(1).await.is_err());
//! assert_eq!(before.get(1).await?, "b");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Replicating
//! [`replicate`](Hypercore::replicate) takes any duplex stream of `futures-io` and gives a
//! [`Connection`]: a future to run, which ends with the connection. Both ends may write, read, serve
//! and relay at once. A server looks like this, on async-std:
//!
//! ```no_run
//! # async fn example(log: hypercore::Hypercore) -> std::io::Result<()> {
//! use async_std::{net::TcpListener, task};
//! use hypercore::Role;
//!
//! let listener = TcpListener::bind("0.0.0.0:4977").await?;
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     task::spawn(log.replicate(stream, Role::Responder));
//! }
//! # }
//! ```
//!
//! And a reader, that knows nothing but the key and the address:
//!
//! ```no_run
//! # async fn example(key: hypercore::CoreKey) -> anyhow::Result<()> {
//! use async_std::{net::TcpStream, task};
//! use hypercore::{Hypercore, Role, Storage};
//!
//! let log = Hypercore::builder(Storage::disk("copy")).key(key).open().await?;
//! let stream = TcpStream::connect("192.0.2.7:4977").await?;
//! let connection = task::spawn(log.replicate(stream, Role::Initiator));
//!
//! log.update().await?; // how long is it?
//! let last = log.get(log.length().get() - 1).await?; // one block of it
//! log.download(..log.length().get()).await?; // all of it
//! # Ok(())
//! # }
//! ```
//!
//! A [download](Hypercore::download) without an end follows the log as it grows. Demands outlive
//! connections: what one peer did not send is asked of the next. [`Replication`] puts several logs on
//! one stream, and has the options of the connection.
//!
//! Logs may join a connection [while it runs](Connection::logs), and what the remote
//! [asks for](Connection::questions) may be found then. [Extensions](Hypercore::extension) carry
//! messages beside a log, and a block may be [pushed](Hypercore::push) to whoever takes it unasked.
//!
//! # Deciding
//! A [`Policy`] says what a connection may do with the other side, and what it may cost: uploads,
//! downloads, bytes a second, memory; [`Replication::allow`] names those who may connect at all. The same
//! can be [changed for one peer](Hypercore::set_peer_policy) while it is connected. What a log asks peers
//! for, and how much at once, is set at the [`Builder`] and can be changed on its handles.
//! [`peer_states`](Hypercore::peer_states), [`stats`](Hypercore::stats) and the
//! [progress](Downloading::progress) of a download tell how things stand.
//!
//! # Truncated logs
//! A writer may cut its log, which begins a new [`Fork`]. A reader that meets a peer on a later fork
//! finds out what the two have in common, drops the rest, and goes on from there:
//! [`Event::Truncate`] says so. [`Builder::follow_forks`] turns that off.
//!
//! Should two histories turn up that are signed by the same key and on the same fork, neither is to be
//! trusted: the log is frozen here and for every peer, see [`Conflict`].
//!
//! # Branches and atoms
//! A [`branch`](Hypercore::branch) is a continuation of the log that nobody has signed: it is kept in the
//! store by its name, readers have them too, and it is [merged](Branch::merge) into the log, or not. An
//! [`Atom`] gathers changes to several logs of one store, and to their branches, and writes them together:
//! all of them, or none.
//!
//! # Watching
//! [`events`](Hypercore::events) tells what happens, block by block, and says when it was read too
//! slowly; [`watch`](Hypercore::watch) gives the latest state and coalesces.
//!
//! # Encryption
//! Blocks can be [encrypted](Builder::encryption_key) before they are hashed and stored. Peers without
//! the key store, verify and relay such a log, and cannot read it.
//!
//! # Moving
//! A log goes into [one file](transfer::bundle) and out of it again, its secret keys into a sealed
//! [backup](transfer::backup), and what versions 10 and 11 of the reference left on a disk goes into a
//! store ([`transfer::Legacy`]).
//!
//! # Closing
//! Each clone of a [`Hypercore`] is a handle of its own. [`close`](Hypercore::close) ends whatever waits
//! on it; with the last handle it closes the log: connections let it go, and its store is closed.
//!
//! # Runtimes and features
//! All that is asked of a runtime is the time, randomness and a thread that may block: [`rt::Runtime`].
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `async-std` (default) | `rt::AsyncStd`, which the builder then uses unless told otherwise; works under any executor |
//! | `tokio` | `rt::Tokio`; streams come through `tokio_util::compat` |
//! | `json` | `Json`: values as JSON text, of any type that serde knows |
//!
//! # Errors
//! Each operation has its own: [`OpenError`], [`AppendError`], [`GetError`], [`DownloadError`],
//! [`UpdateError`], [`ReplicateError`], … Their sources lead down to the file or the byte.
#![forbid(unsafe_code)]

/// The page of the whole project: its example is a test too.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ProjectReadme;

mod atom;
mod audit;
mod branch;
mod builder;
mod cipher;
mod codec;
mod core;
mod corestore;
mod derive;
pub mod encryption;
mod error;
mod event;
mod hub;
mod hypercore;
mod identity;
mod info;
pub mod limits;
mod line;
mod marks;
pub mod multisig;
mod prologue;
mod read;
mod recover;
mod remote_proof;
mod replicate;
pub mod rt;
mod session;
mod signer;
mod snapshot;
mod storage;
mod stream;
mod sync;
pub mod transfer;
mod verify;
mod view;
mod write;

pub use crate::core::conflict::Conflict;
pub use crate::core::{GroupActive, PeerCheck};
pub use atom::{Atom, AtomError, Draft};
pub use audit::{LogAudit, LogAuditError};
pub use branch::{Branch, BranchError, Merge, MergeError, Merged, Move, OpenBranch, RebaseError};
pub use builder::{Builder, IfMissing};
#[cfg(feature = "json")]
pub use codec::Json;
pub use codec::{Codec, DecodeError, EncodeError, Raw, Typed, TypedGet, TypedStream, Utf8};
pub use corestore::{
    Audit, AuditError, Audited, CoreAuth, Corestore, CorestoreBuilder, GroupHandle, GroupUpdates,
    ListedCore, OpenCore, Sharing, SharingPolicy, StaticError, StoreEvent, StoreEvents,
    StoreFindingPeers, Which,
};
pub use derive::{NamePath, PrimaryKey};
pub use error::{
    AppendError, CloseError, DownloadError, GetError, InfoError, OpenError, RefreshError,
    UpdateError,
};

pub use event::{Event, Events, State, Watch};
pub use hypercore::{Append, Appended, Hypercore, IntoBlock};
pub use identity::SetManifestError;
pub use info::Info;
pub use line::Line;
pub use marks::{MarkError, MarkedGetError, Marker, Marking};
pub use prologue::CopyPrologueError;
pub use read::{
    Download, Downloading, FindingPeers, Get, Position, Progress, Seek, SeekError, Source,
    TreeHashAt, TreeHashError, Update, Wait,
};
pub use recover::{Lost, RecoverError};
pub use remote_proof::{Prove, ProveError, Proven, RemoteProof, RemoteProofError};
pub use replicate::{
    Connection, Ended, Extension, ExtensionError, ExtensionMessage, Logs, Over, Peer, PeerState,
    Policy, Question, Questions, RateLimit, ReplicateError, Replication, Traffic,
};
pub use session::{SessionBuilder, SessionError, Sessions};
pub use signer::{ExternalSigner, SealError, Signing};
pub use snapshot::{Snapshot, SnapshotError};
pub use storage::Storage;
pub use stream::{ByteStream, ByteStreamError, ReadStream, WriteStream};
pub use verify::{DamagedBlock, Verification, VerifyError};
pub use write::{
    Clear, ClearDiff, ClearError, Cleared, PurgeError, SetUserData, Truncate, TruncateError,
    Truncated, UserDataError,
};

pub use bytes::Bytes;
pub use hc_merkle::manifest::{self, Manifest};
pub use hc_merkle::{
    Authority, BlockIndex, ByteLength, ByteOffset, CoreKey, DiscoveryKey, Fork, Hash, Head,
    KeyPair, Length, Node, ParseKeyError, PublicKey, SecretKey, Signature, TreeHash, Verifier,
};
pub use hc_protocol::Side as Role;
pub use hc_replicator::{Counts, PeerPolicy, PullPolicy, Stats};
pub use hc_storage::{
    ActiveCore, CoreEntry, Damage, DamageKind, Durability, MemoryStore, Moment, NamespaceId,
    OpenError as StoreError, Repaired, StorageError, Store, StoreOptions, Topic, Usage,
};
