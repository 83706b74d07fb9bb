//! Messages that an application sends beside a log, by the name of an extension. Knows nothing of how
//! they travel.
//!
//! Each registration has an inbox of its own, which is bounded: what nobody reads loses its oldest.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;
use hc_encoding::{Decode, Reader, encode_to_vec};
use hc_protocol::message::limits::MAX_EXTENSION_NAME_LEN;
use thiserror::Error;

use super::Peer;
use crate::core::Core;
use crate::hypercore::{Hypercore, IntoBlock};
use crate::limits::{EXTENSION_BYTES_WAITING, EXTENSION_MESSAGES_WAITING, MAX_BLOCK_BYTES};
use crate::rt::BoxFuture;
use crate::sync::{Gate, Mutex};

/// Who hears what, by the name of the extension.
#[derive(Debug, Default)]
pub(super) struct Extensions(Mutex<BTreeMap<String, Vec<Registration>>>);

/// How messages of an extension stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// With their length before them: the `buffer` codec, which the reference uses unless told otherwise.
    Buffer,
    /// As they are.
    Raw,
}

impl Form {
    fn encode(self, message: Bytes) -> Bytes {
        match self {
            Self::Buffer => encode_to_vec(&message).into(),
            Self::Raw => message,
        }
    }

    fn decode(self, message: &Bytes) -> Option<Bytes> {
        match self {
            Self::Buffer => Bytes::decode(&mut Reader::over(message)).ok(),
            Self::Raw => Some(message.clone()),
        }
    }
}

/// One handle of the log that listens under one name.
#[derive(Debug)]
struct Registration {
    form: Form,
    handle: Weak<Gate>,
    inbox: Weak<Mutex<Inbox>>,
}

#[derive(Debug, Default)]
struct Inbox {
    waiting: VecDeque<ExtensionMessage>,
    bytes: usize,
    lost: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl Inbox {
    fn push(&mut self, message: ExtensionMessage) -> Option<Waker> {
        self.bytes = self.bytes.saturating_add(message.message.len());
        self.waiting.push_back(message);
        while self.waiting.len() > EXTENSION_MESSAGES_WAITING
            || self.bytes > EXTENSION_BYTES_WAITING
        {
            if self.pop().is_none() {
                break;
            }
            self.lost = self.lost.saturating_add(1);
        }
        self.waker.take()
    }

    fn pop(&mut self) -> Option<ExtensionMessage> {
        let message = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(message.message.len());
        Some(message)
    }
}

impl Extensions {
    /// Listens under a name; whoever did so for the same handle hears no more.
    fn register(&self, name: &str, form: Form, handle: &Arc<Gate>) -> Arc<Mutex<Inbox>> {
        let inbox = Arc::<Mutex<Inbox>>::default();
        let mut woken = None;
        {
            let mut names = self.0.lock();
            let registered = names.entry(name.to_owned()).or_default();
            registered.retain(|one| {
                let same = std::ptr::eq(one.handle.as_ptr(), Arc::as_ptr(handle));
                if let Some(before) = one.inbox.upgrade().filter(|_| same) {
                    let mut before = before.lock();
                    before.ended = true;
                    woken = before.waker.take();
                }
                !same && one.inbox.strong_count() > 0
            });
            registered.push(Registration {
                form,
                handle: Arc::downgrade(handle),
                inbox: Arc::downgrade(&inbox),
            });
        }
        woken.into_iter().for_each(Waker::wake);
        inbox
    }

    /// A message has come: whoever listens under its name gets it, in the order of arrival, unless it has
    /// another form.
    pub(super) fn deliver(&self, peer: Peer, name: &str, message: &Bytes) {
        let mut woken = Vec::new();
        {
            let mut names = self.0.lock();
            let Some(registered) = names.get_mut(name) else {
                return;
            };
            registered.retain(|one| {
                let open = |gate: &Arc<Gate>| !gate.is_closed();
                let live = one.handle.upgrade().filter(open).and(one.inbox.upgrade());
                if let (Some(inbox), Some(message)) = (&live, one.form.decode(message)) {
                    woken.extend(inbox.lock().push(ExtensionMessage { peer, message }));
                }
                live.is_some()
            });
            if registered.is_empty() {
                names.remove(name);
            }
        }
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A message of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtensionMessage {
    /// Who sent it.
    pub peer: Peer,
    /// What it says, at most as long as a frame of the connection.
    pub message: Bytes,
}

/// Why nothing was sent under the name of an extension, or listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExtensionError {
    /// The handle was closed.
    #[error("the log is closed")]
    Closed,
    /// The name is longer than peers accept.
    #[error("name of {len} bytes, the limit is {MAX_EXTENSION_NAME_LEN}")]
    NameTooLong {
        /// Bytes in the name.
        len: usize,
    },
    /// The message is longer than the longest block.
    #[error("message of {len} bytes, the limit is {MAX_BLOCK_BYTES}")]
    MessageTooLong {
        /// Bytes in the message.
        len: usize,
    },
    /// The peer is not connected.
    #[error("the peer is not connected")]
    NoPeer,
    /// So much waits to be sent to the peer that this would only pile up.
    #[error("too much waits to be sent to the peer")]
    Busy,
}

/// An extension of a log: messages to and from its peers under one name, as a stream of those that
/// come. See [`Hypercore::extension`].
///
/// What nobody reads loses its oldest messages at
/// [`EXTENSION_MESSAGES_WAITING`] or [`EXTENSION_BYTES_WAITING`]; [`lost`](Self::lost) says how many
/// went.
#[must_use = "an extension that is dropped hears nothing"]
pub struct Extension {
    core: Arc<Core>,
    gate: Arc<Gate>,
    name: String,
    form: Form,
    inbox: Arc<Mutex<Inbox>>,
    closed: BoxFuture<()>,
}

impl Hypercore {
    /// Sends and receives messages beside the log, under a name that both sides have to use. Messages
    /// of one peer come in the order in which it sent them; those under names that nobody registered
    /// are dropped. Registering a name again on the same handle takes the place of the one before,
    /// which then ends; other handles of the log listen for themselves.
    ///
    /// Messages are those of the reference's extensions where these are given no encoding or `binary`;
    /// for others there is [`raw_extension`](Self::raw_extension).
    ///
    /// # Errors
    /// [`ExtensionError::NameTooLong`] and [`ExtensionError::Closed`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use async_std::{os::unix::net::UnixStream, task};
    /// use hypercore::{Hypercore, Role, Storage};
    ///
    /// let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let copy = Hypercore::builder(Storage::memory()).key(log.key()).open().await?;
    /// let mut greetings = log.extension("example/greet")?;
    /// let to_greet = copy.extension("example/greet")?;
    ///
    /// let (left, right) = UnixStream::pair()?;
    /// task::spawn(log.replicate(left, Role::Responder));
    /// task::spawn(copy.replicate(right, Role::Initiator));
    /// # while copy.peers().is_empty() { task::yield_now().await; }
    /// to_greet.broadcast("hello")?;
    /// let greeting = greetings.next().await.unwrap();
    /// assert_eq!(greeting.message, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn extension(&self, name: impl Into<String>) -> Result<Extension, ExtensionError> {
        self.register(name.into(), Form::Buffer)
    }

    /// As [`extension`](Self::extension), with messages as they stand on the wire: encoded by the
    /// application, as the reference's are that have an encoding of their own.
    ///
    /// # Errors
    /// [`ExtensionError::NameTooLong`] and [`ExtensionError::Closed`].
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// # let log = Hypercore::builder(Storage::memory()).open().await.unwrap();
    /// let raw = log.raw_extension("example/own-encoding")?;
    /// assert_eq!(raw.broadcast([1, 2, 3].as_slice())?, 0);
    /// # Ok::<(), hypercore::ExtensionError>(())
    /// # }).unwrap();
    /// ```
    pub fn raw_extension(&self, name: impl Into<String>) -> Result<Extension, ExtensionError> {
        self.register(name.into(), Form::Raw)
    }

    fn register(&self, name: String, form: Form) -> Result<Extension, ExtensionError> {
        if name.len() > MAX_EXTENSION_NAME_LEN {
            return Err(ExtensionError::NameTooLong { len: name.len() });
        }
        if self.gate.is_closed() {
            return Err(ExtensionError::Closed);
        }
        let (core, gate) = (self.core.clone(), self.gate.clone());
        let inbox = core.extensions().register(&name, form, &gate);
        let handle = gate.clone();
        Ok(Extension {
            core,
            gate,
            name,
            form,
            inbox,
            closed: Box::pin(async move { handle.closed().await }),
        })
    }
}

impl Extension {
    /// The name that both sides use.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a message to one peer.
    ///
    /// # Errors
    /// [`ExtensionError`]; nothing was sent.
    pub fn send(&self, peer: &Peer, message: impl IntoBlock) -> Result<(), ExtensionError> {
        let message = self.check(message)?;
        self.core.extend(peer.id, &self.name, &message)
    }

    /// Sends a message to all peers, and says to how many: one to whom too much waits to be sent is
    /// left out.
    ///
    /// # Errors
    /// [`ExtensionError::Closed`] and [`ExtensionError::MessageTooLong`]; nothing was sent.
    pub fn broadcast(&self, message: impl IntoBlock) -> Result<usize, ExtensionError> {
        let message = self.check(message)?;
        let peers = self.core.peers().into_iter();
        let sent = peers.filter(|peer| self.core.extend(peer.id, &self.name, &message).is_ok());
        Ok(sent.count())
    }

    fn check(&self, message: impl IntoBlock) -> Result<Bytes, ExtensionError> {
        if self.gate.is_closed() {
            return Err(ExtensionError::Closed);
        }
        let message = message.into_block();
        if message.len() > MAX_BLOCK_BYTES {
            return Err(ExtensionError::MessageTooLong { len: message.len() });
        }
        Ok(self.form.encode(message))
    }

    /// The next message; `None` once the handle is closed, or the name was registered again.
    pub async fn next(&mut self) -> Option<ExtensionMessage> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// A message that has already come, without waiting.
    pub fn try_next(&mut self) -> Option<ExtensionMessage> {
        self.inbox.lock().pop()
    }

    /// How many messages were lost because they were not read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.inbox.lock().lost
    }
}

impl Stream for Extension {
    type Item = ExtensionMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ExtensionMessage>> {
        let inbox = self.inbox.clone();
        let mut inbox = inbox.lock();
        if let Some(message) = inbox.pop() {
            return Poll::Ready(Some(message));
        }
        if inbox.ended || self.gate.is_closed() || self.closed.as_mut().poll(cx).is_ready() {
            inbox.ended = true;
            return Poll::Ready(None);
        }
        inbox.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> ExtensionMessage {
        let peer = Peer {
            id: 1,
            public_key: hc_merkle::PublicKey([0; 32]),
        };
        ExtensionMessage {
            peer,
            message: vec![0; bytes].into(),
        }
    }

    #[test]
    fn what_nobody_reads_loses_its_oldest_at_the_limits() {
        let mut inbox = Inbox::default();
        (0..EXTENSION_MESSAGES_WAITING).for_each(|size| drop(inbox.push(message(size % 2))));
        assert_eq!(
            (inbox.waiting.len(), inbox.lost),
            (EXTENSION_MESSAGES_WAITING, 0)
        );
        inbox.push(message(0));
        assert_eq!(
            (inbox.waiting.len(), inbox.lost),
            (EXTENSION_MESSAGES_WAITING, 1)
        );

        let mut inbox = Inbox::default();
        inbox.push(message(EXTENSION_BYTES_WAITING));
        assert_eq!((inbox.waiting.len(), inbox.lost), (1, 0));
        inbox.push(message(1));
        assert_eq!((inbox.waiting.len(), inbox.lost, inbox.bytes), (1, 1, 1));
    }

    #[test]
    fn a_name_registered_again_takes_the_place_of_the_first() {
        let extensions = Extensions::default();
        let (one, other) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
        let first = extensions.register("a", Form::Buffer, &one);
        let beside = extensions.register("a", Form::Raw, &other);
        let second = extensions.register("a", Form::Buffer, &one);
        let ExtensionMessage { peer, message } = message(3);
        let sent = Form::Buffer.encode(message.clone());
        extensions.deliver(peer, "a", &sent);
        extensions.deliver(peer, "b", &sent);
        assert!(first.lock().ended && first.lock().pop().is_none());
        assert_eq!(second.lock().pop().map(|came| came.message), Some(message));
        assert_eq!(beside.lock().pop().map(|came| came.message), Some(sent));
        // what is cut has another form
        extensions.deliver(peer, "a", &Bytes::from_static(&[7, 1]));
        assert!(second.lock().pop().is_none() && beside.lock().pop().is_some());
        let message = Bytes::new();
        one.close();
        drop(beside);
        extensions.deliver(peer, "a", &message);
        assert!(second.lock().pop().is_none());
        assert!(extensions.0.lock().is_empty());
    }
}
