//! One connection: bytes of a stream in and out of a link, time, and turns that end. Knows nothing of
//! what is replicated.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};
use hc_merkle::PublicKey;
use hc_protocol::link::{self, Link};
use hc_protocol::{Side, Time};
use pin_project::pin_project;

use super::error::ReplicateError;
use super::logs::{Doors, Logs, Questions};
use super::outbox::Outbox;
use super::rate::RateLimit;
use super::router::Router;
use super::{Ended, Traffic};
use crate::limits::{
    MESSAGES_AT_ONCE, MESSAGES_PER_TURN, OUTBOX_BYTES, OUTBOX_FULL_BYTES, READ_BYTES,
    ROUNDS_PER_POLL,
};
use crate::rt::{BoxFuture, Runtime};

/// The first size of the buffer that is read into; it grows where reads fill it.
const FIRST_READ_BYTES: usize = 16 * 1024;

/// Replication with one remote: a future that the caller runs, wherever they like, and that ends with
/// the connection. Dropping it ends the connection.
///
/// It never spawns, and never blocks but where the page cache does not have what a peer asks for.
#[pin_project]
#[must_use = "a connection does nothing unless it is polled"]
pub struct Connection<S> {
    #[pin]
    stream: S,
    driver: Driver,
}

/// All of a connection but its stream.
struct Driver {
    link: Result<Link, ReplicateError>,
    side: Side,
    router: Router,
    outbox: Arc<Outbox>,
    doors: Arc<Doors>,
    traffic: Traffic,
    runtime: Arc<dyn Runtime>,
    epoch: Instant,
    /// Those with whom it may replicate, if not with everyone.
    allowed: Option<BTreeSet<PublicKey>>,
    /// When bytes may be written, or read, again.
    held_back: HeldBack,
    /// Until when the handshake has to be done; `None` once it is.
    handshake_by: Option<Instant>,
    timer: Option<(Instant, BoxFuture<()>)>,
    buffer: Vec<u8>,
    unwritten: Bytes,
    unflushed: bool,
    /// The link has more to tell of what was read.
    unheard: bool,
    ending: Option<Result<Ended, ReplicateError>>,
}

impl<S> Connection<S> {
    pub(super) fn new(stream: S, parts: Parts) -> Self {
        let driver = Driver {
            link: parts.link,
            side: parts.side,
            router: parts.router,
            outbox: parts.outbox,
            doors: parts.doors,
            traffic: parts.traffic,
            allowed: parts.allowed,
            held_back: HeldBack::default(),
            handshake_by: Some(parts.handshake_by),
            epoch: parts.epoch,
            runtime: parts.runtime,
            timer: None,
            buffer: Vec::new(),
            unwritten: Bytes::new(),
            unflushed: false,
            unheard: false,
            ending: None,
        };
        Self { stream, driver }
    }

    /// Counts the bytes of this connection, also while it runs and when it has ended.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.driver.traffic.clone()
    }

    /// Adds logs to this connection while it runs.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// use async_std::{os::unix::net::UnixStream, task};
    /// use hypercore::{Hypercore, Role, Storage};
    ///
    /// let first = Hypercore::builder(Storage::memory()).open().await?;
    /// let late = Hypercore::builder(Storage::memory()).open().await?;
    /// late.append("hello").await?;
    /// let copy = Hypercore::builder(Storage::memory()).key(late.key()).open().await?;
    ///
    /// let (left, right) = UnixStream::pair()?;
    /// let server = first.replicate(left, Role::Responder);
    /// let logs = server.logs();
    /// task::spawn(server);
    /// logs.add(&late);
    /// task::spawn(copy.replicate(right, Role::Initiator));
    /// assert_eq!(copy.get(0).await?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn logs(&self) -> Logs {
        Logs::new(&self.driver.doors)
    }

    /// From now on, what the remote asks for and is not replicated here is not declined at once but
    /// asked here. One place at a time should listen.
    ///
    /// ```no_run
    /// # async fn example(
    /// #     stream: async_std::net::TcpStream,
    /// #     logs: std::collections::HashMap<hypercore::DiscoveryKey, hypercore::Hypercore>,
    /// # ) {
    /// use hypercore::{Replication, Role, rt};
    ///
    /// let connection = Replication::over(stream, Role::Responder).on(rt::AsyncStd).start();
    /// let mut questions = connection.questions();
    /// async_std::task::spawn(connection);
    /// while let Some(question) = questions.next().await {
    ///     if let Some(log) = logs.get(&question.discovery_key()) {
    ///         question.attach(log);
    ///     }
    /// }
    /// # }
    /// ```
    pub fn questions(&self) -> Questions {
        Questions::new(&self.driver.doors)
    }
}

/// What a connection is made of, but for its stream.
pub(super) struct Parts {
    pub(super) link: Result<Link, ReplicateError>,
    pub(super) side: Side,
    pub(super) router: Router,
    pub(super) outbox: Arc<Outbox>,
    pub(super) doors: Arc<Doors>,
    pub(super) traffic: Traffic,
    pub(super) allowed: Option<BTreeSet<PublicKey>>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) epoch: Instant,
    pub(super) handshake_by: Instant,
}

type Step = Result<bool, ReplicateError>;

/// What waits because of a limit on the bytes of a second, and until when.
#[derive(Debug, Default)]
struct HeldBack {
    writing: Option<Instant>,
    reading: Option<Instant>,
}

impl HeldBack {
    fn next(&self) -> Option<Instant> {
        [self.writing, self.reading].into_iter().flatten().min()
    }

    /// Whether anything may go on.
    fn elapsed(&mut self, now: Instant) -> bool {
        let over = |until: &mut Option<Instant>| until.take_if(|until| *until <= now).is_some();
        over(&mut self.writing) | over(&mut self.reading)
    }
}

/// How many bytes may pass, where not all may; `None` if none may now, which is noted.
fn allowance(
    limit: Option<&RateLimit>,
    now: Instant,
    held_back: &mut Option<Instant>,
) -> Option<usize> {
    match limit.map(|limit| limit.allowed(now)) {
        None => Some(usize::MAX),
        Some(Ok(bytes)) => Some(bytes),
        Some(Err(until)) => {
            *held_back = Some(until);
            None
        }
    }
}

impl Driver {
    fn turn<S: AsyncRead + AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        cx: &mut Context<'_>,
    ) -> Step {
        let unsent = self.unsent();
        self.router.set_room(unsent);
        let Ok(link) = &mut self.link else {
            return self.no_link();
        };
        let mut progress = self.router.run(link, unsent)?;
        progress |= self.router.pump(cx) | self.router.reopen(link, cx);
        progress |= self.write(stream.as_mut(), cx)?;
        progress |= self.read(stream, cx)?;
        if let Some(fault) = self.router.fault() {
            return Err(fault);
        }
        if let Some(verdict) = self.router.verdict() {
            self.ending.get_or_insert(verdict);
        }
        Ok(progress)
    }

    /// There never was a link.
    fn no_link(&mut self) -> Step {
        let link = Err(ReplicateError::NoHandshake);
        Err(std::mem::replace(&mut self.link, link)
            .err()
            .unwrap_or(ReplicateError::NoHandshake))
    }

    /// Bytes that wait to be written.
    fn unsent(&self) -> usize {
        let link = self.link.as_ref().map_or(0, Link::pending);
        self.unwritten.len().saturating_add(link)
    }

    fn write<S: AsyncWrite>(&mut self, mut stream: Pin<&mut S>, cx: &mut Context<'_>) -> Step {
        let now = self.now();
        let Ok(link) = &mut self.link else {
            return Ok(false);
        };
        // What is left at the end is little, and not worth waiting for.
        let limit = self.router.policy().upload_limit.as_ref();
        let limit = limit.filter(|_| self.ending.is_none());
        let mut progress = false;
        loop {
            if self.unwritten.is_empty() {
                match link.poll_transmit(now) {
                    Some(bytes) => self.unwritten = bytes,
                    None => break,
                }
            }
            let clock = self.runtime.now();
            let Some(allowed) = allowance(limit, clock, &mut self.held_back.writing) else {
                break;
            };
            let some = self.unwritten.get(..allowed).unwrap_or(&self.unwritten);
            match stream.as_mut().poll_write(cx, some) {
                Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(Ok(count)) => {
                    self.unwritten.advance(count);
                    self.traffic.sent(count);
                    if let Some(limit) = limit {
                        limit.passed(clock, count);
                    }
                    self.unflushed = true;
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => return Ok(progress),
            }
        }
        if self.unflushed {
            match stream.as_mut().poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return Ok(progress),
            }
            self.unflushed = false;
        }
        Ok(progress)
    }

    /// Reads once, and hears all that it said. Not while so much waits to be written that answers
    /// would only pile up, nor while what came is still being stored.
    fn read<S: AsyncRead>(&mut self, stream: Pin<&mut S>, cx: &mut Context<'_>) -> Step {
        let waiting = self.unsent().saturating_add(self.outbox.bytes());
        let Ok(link) = &mut self.link else {
            return Ok(false);
        };
        let paused = link.is_paused() || waiting > OUTBOX_FULL_BYTES || self.router.is_full();
        let paused = paused || self.router.is_suspended();
        if paused || self.ending.is_some() {
            return Ok(false);
        }
        if self.unheard {
            self.hear()?;
            return Ok(true);
        }
        if self.buffer.is_empty() {
            self.buffer.resize(FIRST_READ_BYTES, 0);
        }
        let limit = self.router.policy().download_limit.as_ref();
        let clock = self.runtime.now();
        let Some(allowed) = allowance(limit, clock, &mut self.held_back.reading) else {
            return Ok(false);
        };
        let room = self.buffer.len().min(allowed);
        let buffer = self.buffer.get_mut(..room).unwrap_or_default();
        let count = match stream.poll_read(cx, buffer) {
            Poll::Ready(count) => count?,
            Poll::Pending => return Ok(false),
        };
        if let Some(limit) = limit {
            limit.passed(clock, count);
        }
        let now = Time::since_epoch(self.runtime.now().saturating_duration_since(self.epoch));
        match self.buffer.get(..count) {
            Some(bytes) if count > 0 => link.receive(now, bytes),
            _ => link.receive_end(),
        }
        self.traffic.received(count);
        if count == self.buffer.len() && count < READ_BYTES {
            self.buffer.resize(count.saturating_mul(2), 0);
        }
        self.hear()?;
        Ok(true)
    }

    /// Passes on what the link has to tell: all of it, or as much as there is room to answer.
    fn hear(&mut self) -> Result<(), ReplicateError> {
        let Ok(link) = &mut self.link else {
            return Ok(());
        };
        let mut count = 0_usize;
        self.unheard = false;
        let heard = loop {
            count += 1;
            if count.is_multiple_of(MESSAGES_AT_ONCE) {
                self.router.deliver();
                if count >= MESSAGES_PER_TURN || self.outbox.bytes() > OUTBOX_BYTES {
                    self.unheard = true;
                    break Ok(());
                }
            }
            match link.poll_event() {
                Ok(Some(link::Event::Channel(event))) => {
                    if let Err(error) = self.router.event(link, event) {
                        break Err(error);
                    }
                }
                Ok(Some(link::Event::Handshaken { remote, hash })) => {
                    self.handshake_by = None;
                    if self
                        .allowed
                        .as_ref()
                        .is_some_and(|keys| !keys.contains(&remote))
                    {
                        break Err(ReplicateError::NotAllowed { remote });
                    }
                    tracing::debug!(%remote, "connected");
                    self.router.handshaken(link, self.side, remote, hash);
                }
                Ok(Some(link::Event::Ended)) => {
                    let early = self.handshake_by.is_some();
                    let ended = if early {
                        Err(ReplicateError::NoHandshake)
                    } else {
                        Ok(Ended::ByRemote)
                    };
                    self.ending.get_or_insert(ended);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        // What came before an error still counts.
        self.router.deliver();
        heard
    }

    fn now(&self) -> Time {
        Time::since_epoch(self.runtime.now().saturating_duration_since(self.epoch))
    }

    /// Does what is due, and sees to it that this is polled when the next thing is.
    fn keep_time(&mut self, cx: &mut Context<'_>) -> Result<(), ReplicateError> {
        loop {
            let now = self.runtime.now();
            if self.handshake_by.is_some_and(|by| by <= now) {
                return Err(ReplicateError::HandshakeTimedOut);
            }
            if let Ok(link) = &mut self.link {
                link.handle_timeout(Time::since_epoch(now.saturating_duration_since(self.epoch)));
            }
            self.router.elapsed(now);
            if self.held_back.elapsed(now) {
                cx.waker().wake_by_ref();
            }
            let Some(next) = self.deadline() else {
                self.timer = None;
                return Ok(());
            };
            // A timer that fires too early is cheaper than a new one for each message.
            if self.timer.as_ref().is_none_or(|(at, _)| *at > next) {
                self.timer = Some((next, self.runtime.sleep_until(next)));
            }
            let Some((_, timer)) = &mut self.timer else {
                return Ok(());
            };
            match timer.as_mut().poll(cx) {
                Poll::Ready(()) => self.timer = None,
                Poll::Pending => return Ok(()),
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let link = self.link.as_ref().ok().and_then(Link::poll_timeout);
        let link = link.and_then(|due| self.epoch.checked_add(due.elapsed()));
        let held_back = self.held_back.next();
        [link, self.handshake_by, self.router.deadline(), held_back]
            .into_iter()
            .flatten()
            .min()
    }

    /// Stores what has come, writes what can be written, and closes the stream.
    fn end<S: AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Ended, ReplicateError>> {
        self.router.pump(cx);
        if self.router.is_pumping() {
            return Poll::Pending;
        }
        if matches!(self.ending, Some(Ok(Ended::ByUs)))
            && matches!(self.write(stream.as_mut(), cx), Ok(true))
        {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // The connection is over; that closing it fails too says nothing more.
        if stream.poll_close(cx).is_pending() {
            return Poll::Pending;
        }
        let ended = self.ending.take().unwrap_or(Ok(Ended::ByUs));
        self.router = Router::new(
            self.outbox.clone(),
            self.doors.clone(),
            self.traffic.clone(),
        );
        match &ended {
            Ok(ended) => tracing::debug!(?ended, "disconnected"),
            Err(error) => tracing::debug!(%error, "connection failed"),
        }
        Poll::Ready(ended)
    }

    /// Turns until nothing is left to do, or others should run.
    fn turns<S: AsyncRead + AsyncWrite>(
        &mut self,
        mut stream: Pin<&mut S>,
        cx: &mut Context<'_>,
    ) -> Result<(), ReplicateError> {
        self.keep_time(cx)?;
        self.router.answered = 0;
        for _ in 0..ROUNDS_PER_POLL {
            let progress = self.turn(stream.as_mut(), cx)?;
            if self.ending.is_some() {
                return Ok(());
            }
            if self.router.has_answered_enough() {
                break;
            }
            if !progress && self.outbox.sleep(cx.waker()) {
                // What just happened may have set an earlier deadline.
                return self.keep_time(cx);
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite> Future for Connection<S> {
    type Output = Result<Ended, ReplicateError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut stream, driver) = (this.stream, this.driver);
        if driver.ending.is_none() {
            driver.outbox.begin();
            if let Err(error) = driver.turns(stream.as_mut(), cx) {
                driver.ending = Some(Err(error));
            }
        }
        if driver.ending.is_some() {
            driver.end(stream, cx)
        } else {
            Poll::Pending
        }
    }
}

impl<S> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("side", &self.driver.side)
            .field("traffic", &self.driver.traffic)
            .finish_non_exhaustive()
    }
}
