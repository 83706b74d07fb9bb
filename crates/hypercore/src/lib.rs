#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod builder;
mod cipher;
mod core;
mod derive;
pub mod encryption;
mod error;
mod event;
mod hypercore;
mod info;
pub mod limits;
mod read;
mod replicate;
pub mod rt;
mod storage;
mod sync;
mod verify;
mod view;

pub use builder::{Builder, IfMissing};
pub use derive::{NamePath, PrimaryKey};
pub use error::{
    AppendError, CloseError, DownloadError, GetError, InfoError, OpenError, RefreshError,
    UpdateError,
};

pub use event::{Event, Events, State, Watch};
pub use hypercore::{Append, Appended, Hypercore, IntoBlock};
pub use info::Info;
pub use read::{Download, Downloading, FindingPeers, Get, Position, SeekError, Update, Wait};
pub use replicate::{Connection, Ended, Over, Peer, ReplicateError, Replication, Traffic};
pub use storage::Storage;
pub use verify::{Verification, VerifyError};

pub use bytes::Bytes;
pub use hc_merkle::manifest::{self, Manifest};
pub use hc_merkle::{
    Authority, BlockIndex, ByteLength, ByteOffset, CoreKey, DiscoveryKey, Fork, Hash, Head,
    KeyPair, Length, Node, ParseKeyError, PublicKey, SecretKey, Signature, TreeHash, Verifier,
};
pub use hc_protocol::Side as Role;
pub use hc_storage::{
    Durability, OpenError as StoreError, StorageError, Store, StoreOptions, Usage,
};
