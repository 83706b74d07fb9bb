//! Connections in virtual time. Each direction has a delay, a width and a plug.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};

use super::Sim;

/// Bytes on their way in one direction before the writer waits.
const CAPACITY: usize = 256 * 1024;

#[derive(Default)]
struct Way {
    /// Bytes, and when they are there.
    parcels: VecDeque<(Duration, VecDeque<u8>)>,
    under_way: usize,
    delay: Duration,
    /// Nothing arrives before this moment.
    stalled: Duration,
    /// What is written is lost, and nobody is told.
    dead: bool,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Way {
    /// When the next bytes are there.
    fn due(&self) -> Option<Duration> {
        let (at, _) = self.parcels.front()?;
        Some((*at).max(self.stalled))
    }

    fn take(&mut self, buf: &mut [u8]) -> usize {
        let Some((_, bytes)) = self.parcels.front_mut() else {
            return 0;
        };
        let count = buf.len().min(bytes.len());
        for (slot, byte) in buf.iter_mut().zip(bytes.drain(..count)) {
            *slot = byte;
        }
        if bytes.is_empty() {
            self.parcels.pop_front();
        }
        self.under_way -= count;
        self.writer.take().into_iter().for_each(Waker::wake);
        count
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
        self.writer.take().into_iter().for_each(Waker::wake);
    }
}

#[derive(Clone)]
struct Line(Arc<Mutex<Way>>);

impl Line {
    fn new(delay: Duration) -> Self {
        Self(Arc::new(Mutex::new(Way {
            delay,
            ..Way::default()
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end of a connection. Dropping it closes both directions, as a closed socket does.
pub struct End {
    sim: Sim,
    incoming: Line,
    outgoing: Line,
    /// Wakes the reader when the next bytes are there.
    alarm: Option<(Duration, Pin<Box<super::executor::Sleep>>)>,
}

/// What a connection is disturbed by.
#[derive(Clone)]
pub struct Plug([Line; 2]);

/// A connection on which bytes take this long, and what it is disturbed by.
#[must_use]
pub fn link(sim: &Sim, delay: Duration) -> (End, End, Plug) {
    let (there, back) = (Line::new(delay), Line::new(delay));
    let end = |incoming: &Line, outgoing: &Line| End {
        sim: sim.clone(),
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
        alarm: None,
    };
    let plug = Plug([there.clone(), back.clone()]);
    (end(&back, &there), end(&there, &back), plug)
}

impl Plug {
    /// Closes both directions: what is under way is lost.
    pub fn cut(&self) {
        for line in &self.0 {
            let mut way = line.lock();
            way.closed = true;
            way.parcels.clear();
            way.wake();
        }
    }

    /// Nothing arrives in one direction before this moment.
    pub fn stall(&self, direction: usize, until: Duration) {
        if let Some(line) = self.0.get(direction) {
            let mut way = line.lock();
            way.stalled = way.stalled.max(until);
        }
    }

    /// What is written in one direction is lost from now on, and nobody is told: a half-open connection.
    pub fn deaden(&self, direction: usize) {
        if let Some(line) = self.0.get(direction) {
            let mut way = line.lock();
            way.dead = true;
            way.parcels.clear();
            way.under_way = 0;
            way.wake();
        }
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let now = self.sim.now();
        let due = {
            let mut way = self.incoming.lock();
            way.reader = Some(cx.waker().clone());
            match way.due() {
                Some(at) if at <= now => return Poll::Ready(Ok(way.take(buf))),
                None if way.closed => return Poll::Ready(Ok(0)),
                due => due,
            }
        };
        let Some(at) = due else { return Poll::Pending };
        if self.alarm.as_ref().is_none_or(|(set, _)| *set != at) {
            let sleep = Box::pin(self.sim.sleep_until(at));
            self.alarm = Some((at, sleep));
        }
        let rung = self
            .alarm
            .as_mut()
            .is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready());
        if rung {
            self.alarm = None;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let now = self.sim.now();
        let mut way = self.outgoing.lock();
        if way.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if way.dead {
            return Poll::Ready(Ok(buf.len()));
        }
        let count = buf.len().min(CAPACITY - way.under_way);
        if count == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let at = now + way.delay;
        let bytes = buf.iter().take(count).copied();
        match way.parcels.back_mut() {
            Some((last, parcel)) if *last == at => parcel.extend(bytes),
            _ => way.parcels.push_back((at, bytes.collect())),
        }
        way.under_way += count;
        way.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut way = self.outgoing.lock();
        way.closed = true;
        way.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for line in [&self.incoming, &self.outgoing] {
            let mut way = line.lock();
            way.closed = true;
            way.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn read(mut end: End, sim: Sim) -> (Option<u8>, Duration) {
        let mut byte = [0];
        let count = end.read(&mut byte).await.unwrap();
        ((count > 0).then_some(byte[0]), sim.now())
    }

    #[test]
    fn bytes_take_their_time() {
        let sim = Sim::new(1);
        let (mut a, b, _plug) = link(&sim, SECOND);
        let reading = sim.spawn(read(b, sim.clone()));
        sim.run(SECOND, async move {
            a.write_all(&[7]).await.unwrap();
            std::future::pending::<()>().await;
        });
        sim.run_for(SECOND);
        assert_eq!(reading.take(), Some((Some(7), SECOND)));
    }

    #[test]
    fn a_stalled_direction_is_late_and_a_dead_one_silent() {
        for dead in [false, true] {
            let sim = Sim::new(1);
            let (mut a, b, plug) = link(&sim, SECOND);
            plug.stall(0, 5 * SECOND);
            if dead {
                plug.deaden(0);
            }
            let reading = sim.spawn(read(b, sim.clone()));
            let _writing = sim.spawn(async move {
                a.write_all(&[7]).await.unwrap();
                std::future::pending::<()>().await;
            });
            sim.run_for(10 * SECOND);
            let expected = (!dead).then_some((Some(7), 5 * SECOND));
            assert_eq!(reading.take(), expected);
            plug.cut();
            sim.run_for(SECOND);
            if dead {
                assert_eq!(reading.take(), Some((None, 10 * SECOND)));
            }
        }
    }
}
