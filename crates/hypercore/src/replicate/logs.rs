//! The logs of a connection while it runs: those that are added late, and those that the remote asks
//! for and nobody here has offered. Knows nothing of channels.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use hc_merkle::{DiscoveryKey, PublicKey};
use hc_protocol::mux::RemoteOpen;

use super::outbox::Outbox;
use crate::core::Core;
use crate::hypercore::Hypercore;
use crate::limits::QUESTIONS_WAITING;
use crate::sync::Mutex;

/// What is told to a connection, and what it tells, about logs that it was not started with.
#[derive(Debug)]
pub(crate) struct Doors {
    outbox: Arc<Outbox>,
    /// Those who may yet add a log.
    holders: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody answers questions.
    listening: bool,
    ended: bool,
    questions: VecDeque<Asked>,
    added: Vec<Arc<Core>>,
    declined: Vec<RemoteOpen>,
    waker: Option<Waker>,
}

/// A channel that the remote has opened for a log that is not here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) log: DiscoveryKey,
    pub(super) request: RemoteOpen,
    pub(super) remote: PublicKey,
}

/// What a connection has to do.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) added: Vec<Arc<Core>>,
    pub(super) declined: Vec<RemoteOpen>,
}

impl Doors {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        Self {
            outbox,
            holders: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// Whether somebody may yet add a log.
    pub(super) fn is_held(&self) -> bool {
        self.holders.load(Ordering::Acquire) > 0
    }

    /// Passes on what the remote asks for; `false` where nobody answers, or not soon enough.
    pub(super) fn ask(&self, asked: Asked) -> bool {
        let waker = {
            let mut state = self.state.lock();
            if !state.listening || state.questions.len() >= QUESTIONS_WAITING {
                return false;
            }
            state.questions.push_back(asked);
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
        true
    }

    pub(super) fn take(&self) -> Orders {
        let mut state = self.state.lock();
        Orders {
            added: std::mem::take(&mut state.added),
            declined: std::mem::take(&mut state.declined),
        }
    }

    /// The connection is over.
    pub(super) fn end(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.ended = true;
            state.questions.clear();
            state.added.clear();
            state.declined.clear();
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Offers a log of the store behind the connection.
    pub(crate) fn offer(&self, core: Arc<Core>) {
        self.tell(|state| state.added.push(core));
    }

    fn tell(&self, order: impl FnOnce(&mut State)) -> bool {
        {
            let mut state = self.state.lock();
            if state.ended {
                return false;
            }
            order(&mut state);
        }
        self.knock();
        true
    }

    /// Has the connection look at its logs, and whether it is at its end.
    pub(crate) fn knock(&self) {
        self.outbox.knock().into_iter().for_each(Waker::wake);
    }
}

/// Keeps a connection open as long as it lives.
#[derive(Debug)]
struct Hold(Arc<Doors>);

impl Hold {
    fn new(doors: &Arc<Doors>) -> Self {
        doors.holders.fetch_add(1, Ordering::AcqRel);
        Self(doors.clone())
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.holders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.knock();
        }
    }
}

/// The logs of a connection that runs; see [`Connection::logs`](crate::Connection::logs).
///
/// As long as one of these lives, the connection does not end because all its logs were closed or
/// none of them is wanted.
#[derive(Clone)]
#[must_use = "dropping it lets the connection end with its last log"]
pub struct Logs(Hold);

impl Logs {
    pub(super) fn new(doors: &Arc<Doors>) -> Self {
        Self(Hold::new(doors))
    }

    /// Replicates this log too, from now on; `false` where the connection has ended. Adding a log that
    /// is replicated already is harmless.
    pub fn add(&self, log: &Hypercore) -> bool {
        add(&self.0.0, log)
    }
}

fn add(doors: &Doors, log: &Hypercore) -> bool {
    let core = log.core.clone();
    doors.tell(|state| state.added.push(core))
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
}

/// What the remote of a connection asks for and is not replicated here: a stream that ends with the
/// connection; see [`Connection::questions`](crate::Connection::questions).
///
/// As long as it lives, the connection does not end for want of logs.
#[must_use = "dropping it declines whatever the remote asks for"]
pub struct Questions(Hold);

impl Questions {
    pub(super) fn new(doors: &Arc<Doors>) -> Self {
        doors.state.lock().listening = true;
        Self(Hold::new(doors))
    }

    /// The next question; `None` once the connection has ended.
    pub async fn next(&mut self) -> Option<Question> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Questions {
    type Item = Question;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Question>> {
        let doors = &self.0.0;
        let mut state = doors.state.lock();
        if let Some(asked) = state.questions.pop_front() {
            let doors = doors.clone();
            return Poll::Ready(Some(Question { doors, asked }));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.0.0.tell(|state| {
            state.listening = false;
            let unanswered = state.questions.drain(..).map(|asked| asked.request);
            state.declined.extend(unanswered);
        });
    }
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}

/// A log that the remote wants to replicate and that is not replicated here. Dropping the question
/// declines; until it is answered, what the remote sends about that log is kept, and where that is
/// much, nothing more is read from the connection.
#[must_use = "dropping a question declines"]
pub struct Question {
    doors: Arc<Doors>,
    asked: Asked,
}

impl Question {
    /// Which log. Whether the remote knows its key is not proven before it is attached.
    #[must_use]
    pub fn discovery_key(&self) -> DiscoveryKey {
        self.asked.log
    }

    /// The key that the remote proved to hold in the handshake.
    #[must_use]
    pub fn remote(&self) -> PublicKey {
        self.asked.remote
    }

    /// Replicates this log from now on, which answers the question if it is the one that was meant;
    /// `false` where the connection has ended.
    pub fn attach(self, log: &Hypercore) -> bool {
        add(&self.doors, log)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // After an answer there is nothing left to decline.
        let request = self.asked.request;
        self.doors.tell(|state| state.declined.push(request));
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("discovery_key", &self.discovery_key())
            .field("remote", &self.remote())
            .finish_non_exhaustive()
    }
}
