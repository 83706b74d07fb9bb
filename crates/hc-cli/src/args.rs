//! The command line as types. Owns every word that a user can type; knows nothing of what it does.
//!
//! `docs/cli.md` is the contract that this follows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hypercore::{Policy, PublicKey, RateLimit};

use crate::blocks::BlockList;
use crate::chunk::DEFAULT_CHUNK;

/// As in `docs/cli.md`.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 other failure, 2 usage, 3 not available, 4 integrity, 5 locked, \
    6 network, 130 and 143 ended by SIGINT or SIGTERM";

/// A secure, distributed append-only log: signed, sparse, live.
#[derive(Debug, Parser)]
#[command(
    name = "hypercore",
    version,
    about,
    disable_help_subcommand = true,
    after_help = EXIT_CODES
)]
pub(crate) struct Cli {
    /// Print JSON, one object a line, and nothing else on stdout.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The main job from end to end on a temporary folder: append, serve, fetch, compare.
    Demo {
        /// The file to send; without one, several megabytes are made.
        file: Option<PathBuf>,
    },
    /// Make a new log that this machine can append to.
    Create(Create),
    /// Append blocks: from files, from stdin (`-`) or from a text.
    Append(Append),
    /// Print one block as it is.
    Get {
        #[command(flatten)]
        store: Store,
        /// Which block, from 0.
        index: u64,
    },
    /// Print blocks or bytes in order.
    Cat(Cat),
    /// Facts about a log.
    Info {
        #[command(flatten)]
        store: Store,
    },
    /// Whether blocks are stored here.
    Has {
        /// The log's folder.
        dir: PathBuf,
        /// First block.
        start: u64,
        /// One past the last block; without it, only `START` is looked at.
        end: Option<u64>,
    },
    /// Find the block that a byte lies in.
    Seek {
        #[command(flatten)]
        store: Store,
        /// Bytes from the start of the log.
        bytes: u64,
    },
    /// The hash that is signed for the log, or was at an earlier length.
    TreeHash {
        /// The log's folder.
        dir: PathBuf,
        /// Number of blocks; the whole log without it.
        length: Option<u64>,
    },
    /// Cut the log to its first blocks; what comes after begins a new fork.
    Truncate {
        #[command(flatten)]
        store: Store,
        /// Number of blocks to keep.
        length: u64,
        /// Number of the fork that begins, above the present one; one above it by default.
        #[arg(long, value_name = "N")]
        fork: Option<u64>,
    },
    /// Drop stored blocks to free their space; they stay part of the log.
    Clear {
        /// The log's folder.
        dir: PathBuf,
        /// First block.
        start: u64,
        /// One past the last block; without it, only `START` is dropped.
        end: Option<u64>,
        /// Say how much was dropped.
        #[arg(long)]
        diff: bool,
    },
    /// Rehash everything that is stored and compare it with the signed head.
    Verify {
        /// The log's folder.
        dir: PathBuf,
    },
    /// The logs of a store.
    List {
        /// The store's folder.
        dir: PathBuf,
    },
    /// Print what changes in a store that another process writes, until interrupted.
    Watch {
        /// The store's folder.
        dir: PathBuf,
    },
    /// Drop what is damaged in a folder, so that peers can be asked for it; secret keys are set aside.
    Repair {
        /// The folder.
        dir: PathBuf,
        /// Go on with a folder whose log lost its end: what was last written is gone for good here.
        #[arg(long)]
        accept_loss: bool,
    },
    /// Give back, at once, the space of what was cleared, cut or deleted.
    Compact {
        /// The folder.
        dir: PathBuf,
    },
    /// Remove a log from its folder, with its blocks and its secret key.
    Purge {
        /// The folder.
        dir: PathBuf,
        /// Key of the log, as hex or z-base-32; without one, the folder's first.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Do it: nothing brings it back.
        #[arg(long)]
        yes: bool,
    },
    /// Show a key in all its forms, or make a new key pair.
    Key {
        /// A key as hex or z-base-32.
        key: Option<String>,
    },
    /// Serve logs to whoever connects and knows their keys.
    Serve(Serve),
    /// Download a log, a range of it or some blocks, verified.
    Fetch(Fetch),
    /// Write a log, or a part of it, to one file that anyone can verify.
    Export(Export),
    /// Take in a file that `export` wrote; what is there already is completed.
    Import {
        /// The file.
        file: PathBuf,
        /// Folder to keep the log in.
        dir: PathBuf,
    },
    /// Take over what the JavaScript versions 10 and 11 left in a folder, which stays as it is.
    Migrate(Migrate),
    /// Seal the secret keys of a folder's logs under a passphrase.
    Backup(Backup),
    /// Put secret keys from a backup back into a folder that has their logs.
    Restore(Restore),
}

/// A log, and the key of its blocks where they are encrypted.
#[derive(Debug, Args)]
pub(crate) struct Store {
    /// The log's folder, or `STORE/NAME` or `STORE/KEY` for one log of a store.
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) encryption: Encryption,
}

#[derive(Debug, Args)]
pub(crate) struct Encryption {
    /// Key of the blocks: 64 hex digits, or `@FILE` with them.
    #[arg(
        long,
        value_name = "HEX|@FILE",
        env = "HYPERCORE_ENCRYPTION_KEY",
        hide_env_values = true
    )]
    pub(crate) encryption_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) store: Store,
    /// Seed of the key pair, 64 hex digits: the same seed makes the same log.
    #[arg(long, value_name = "HEX")]
    pub(crate) seed: Option<String>,
    /// Make the key the public key itself, as version 10 did.
    #[arg(long)]
    pub(crate) compat: bool,
    /// Make the log of this name in the store in DIR, which is made too if it is not there; names can
    /// be in namespaces, as in `app/posts`. Short for `create DIR/NAME` where DIR is a store.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["seed", "compat"])]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Append {
    #[command(flatten)]
    pub(crate) store: Store,
    /// Files to append in order; `-` is stdin, which is also what is read without any.
    #[arg(conflicts_with = "text")]
    pub(crate) files: Vec<PathBuf>,
    /// Append this text as one block.
    #[arg(long, value_name = "S", conflicts_with_all = ["lines", "chunk_size"])]
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) cut: Cut,
}

/// How input is cut into blocks.
#[derive(Debug, Clone, Args)]
pub(crate) struct Cut {
    /// Bytes a block.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CHUNK, value_parser = chunk_size)]
    pub(crate) chunk_size: usize,
    /// A block a line, its newline kept.
    #[arg(long, conflicts_with = "chunk_size")]
    pub(crate) lines: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    #[command(flatten)]
    pub(crate) store: Store,
    /// First block.
    #[arg(long, value_name = "N", conflicts_with_all = ["byte_offset", "byte_length"])]
    pub(crate) start: Option<u64>,
    /// One past the last block.
    #[arg(long, value_name = "N", conflicts_with_all = ["byte_offset", "byte_length", "live"])]
    pub(crate) end: Option<u64>,
    /// First byte.
    #[arg(long, value_name = "N")]
    pub(crate) byte_offset: Option<u64>,
    /// Number of bytes.
    #[arg(long, value_name = "N", conflicts_with = "live")]
    pub(crate) byte_length: Option<u64>,
    /// Go on with what is appended from now, also by another process, until interrupted.
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Folders of the logs; of a store with several, all of them, or those that are named.
    #[arg(required = true)]
    pub(crate) dirs: Vec<PathBuf>,
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Append stdin (`-`) to the first log while serving.
    #[arg(long, value_name = "-", value_parser = ["-"], allow_hyphen_values = true)]
    pub(crate) append: Option<String>,
    #[command(flatten)]
    pub(crate) cut: Cut,
    #[command(flatten)]
    pub(crate) encryption: Encryption,
    /// Serve those alone who have this identity, 64 hex digits; several may be given.
    #[arg(long, value_name = "KEY", value_parser = identity)]
    pub(crate) allow: Vec<PublicKey>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Say every block that is sent.
    #[arg(long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// Key of the log, as hex or z-base-32.
    pub(crate) key: String,
    /// Folder to keep it in.
    pub(crate) dir: PathBuf,
    /// Add the log to those that are in the folder already.
    #[arg(long)]
    pub(crate) add: bool,
    /// Address of a server; several are used side by side.
    #[arg(long, value_name = "HOST:PORT", required = true, value_parser = address)]
    pub(crate) connect: Vec<String>,
    /// First block.
    #[arg(long, value_name = "N", conflicts_with = "blocks")]
    pub(crate) start: Option<u64>,
    /// One past the last block.
    #[arg(long, value_name = "N", conflicts_with = "blocks")]
    pub(crate) end: Option<u64>,
    /// Only these blocks, as in `1,5,9-12`.
    #[arg(long, value_name = "LIST")]
    pub(crate) blocks: Option<BlockList>,
    /// Go on with what is appended, until interrupted.
    #[arg(long, conflicts_with_all = ["end", "blocks"])]
    pub(crate) live: bool,
    /// Give up after so many seconds without progress.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Seed of the identity to connect with, as 64 hex digits or `@FILE`; a new one each time without.
    #[arg(long, value_name = "HEX|@FILE")]
    pub(crate) identity: Option<String>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Write the blocks fetched, in order, to a file or to stdout (`-`).
    #[arg(long, value_name = "FILE|-", allow_hyphen_values = true)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encryption: Encryption,
}

/// What the command may take of the line, over all its connections together.
#[derive(Debug, Clone, Args)]
pub(crate) struct Limits {
    /// Send at most so many bytes a second: a number, or one with K or M for 1,024 or 1,048,576.
    #[arg(long, value_name = "BYTES", value_parser = rate)]
    pub(crate) limit_upload: Option<RateLimit>,
    /// Receive at most so many bytes a second.
    #[arg(long, value_name = "BYTES", value_parser = rate)]
    pub(crate) limit_download: Option<RateLimit>,
}

impl Limits {
    /// For each connection; the limits are those of all of them together.
    pub(crate) fn policy(&self) -> Policy {
        let mut policy = Policy::new();
        if let Some(limit) = &self.limit_upload {
            policy = policy.upload_limit(limit.clone());
        }
        if let Some(limit) = &self.limit_download {
            policy = policy.download_limit(limit.clone());
        }
        policy
    }
}

fn rate(word: &str) -> Result<RateLimit, String> {
    let (digits, unit) = match word.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => match word.strip_suffix(['M', 'm']) {
            Some(digits) => (digits, 1 << 20),
            None => (word, 1),
        },
    };
    let bytes = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    bytes
        .and_then(RateLimit::per_second)
        .ok_or_else(|| "a number of bytes, as in `100000`, `100K` or `2M`, and not 0".to_owned())
}

fn identity(word: &str) -> Result<PublicKey, String> {
    let bytes = hex::decode(word)
        .ok()
        .and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(PublicKey)
        .ok_or_else(|| "an identity is 64 hex digits".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The log's folder.
    pub(crate) dir: PathBuf,
    /// File to write, or stdout (`-`).
    #[arg(value_name = "FILE|-", allow_hyphen_values = true)]
    pub(crate) file: PathBuf,
    /// First block.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) start: u64,
    /// One past the last block.
    #[arg(long, value_name = "N")]
    pub(crate) end: Option<u64>,
    /// Leave the user data out.
    #[arg(long)]
    pub(crate) without_user_data: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Folder that the JavaScript version wrote.
    pub(crate) from: PathBuf,
    /// Folder to keep the logs in.
    pub(crate) dir: PathBuf,
    /// Only the log with this key.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Note that the blocks are encrypted, which version 10 does not.
    #[arg(long)]
    pub(crate) encrypted: bool,
    /// Leave the secret keys behind.
    #[arg(long)]
    pub(crate) without_secret_keys: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Folder of the logs.
    pub(crate) dir: PathBuf,
    /// File to write.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// File that `backup` wrote.
    pub(crate) file: PathBuf,
    /// Folder of the logs.
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
    /// Also where a log is shorter than it was, or is not there: what is then appended forks it for good,
    /// if anybody has what is missing here.
    #[arg(long)]
    pub(crate) even_behind: bool,
}

/// Where a passphrase comes from. It is never a word of the command line, which others can see.
#[derive(Debug, Args)]
pub(crate) struct Passphrase {
    /// File with the passphrase on its first line; else HYPERCORE_PASSPHRASE, else it is asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// A chunk is at least a byte and at most what the reference suggests a block to have.
fn chunk_size(word: &str) -> Result<usize, String> {
    match word.parse::<usize>() {
        Ok(size) if (1..=hypercore::limits::MAX_BLOCK_BYTES).contains(&size) => Ok(size),
        _ => Err(format!(
            "a number of bytes from 1 to {}",
            hypercore::limits::MAX_BLOCK_BYTES
        )),
    }
}

/// A host, which is looked up when it is connected with, and a port.
fn address(word: &str) -> Result<String, String> {
    let port = word.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(1..)) => Ok(word.to_owned()),
        _ => Err("a host and a port, as in `example.org:4977`".to_owned()),
    }
}

fn seconds(word: &str) -> Result<Duration, String> {
    let value = word
        .parse::<f64>()
        .map_err(|_| "a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(value).map_err(|_| "a number of seconds, not negative".to_owned())
}
