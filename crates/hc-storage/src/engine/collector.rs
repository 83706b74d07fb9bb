//! The thread that collects, and the rate that it keeps to. Knows nothing of what is collected.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::Engine;
use super::collect::Effort;
use crate::error::StorageError;
use crate::lock::lock;

/// How long the collector sleeps at most before it looks whether the store was closed.
const NAP: Duration = Duration::from_millis(20);

/// The thread that collects, one for each store that is open for writing.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    asks: Mutex<Option<SyncSender<()>>>,
    busy: AtomicBool,
}

impl Collector {
    pub(crate) fn start(&self, engine: &Arc<Engine>) {
        let (sender, asked) = sync_channel(1);
        let engine = Arc::downgrade(engine);
        let work = move || {
            while asked.recv().is_ok() {
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                engine.collector.busy.store(true, Ordering::Release);
                // what goes wrong here costs nothing but space; a write that goes wrong says so itself
                let _ = engine.collect(Effort::Worthwhile, &mut |_| {});
                engine.collector.busy.store(false, Ordering::Release);
            }
        };
        let thread = thread::Builder::new().name("hc-storage-collect".to_owned());
        if thread.spawn(work).is_ok() {
            *lock(&self.asks) = Some(sender);
        }
    }

    /// Has it look for something to do.
    pub(crate) fn ask(&self) {
        if let Some(sender) = &*lock(&self.asks) {
            self.busy.store(true, Ordering::Release);
            // one that was asked already will look
            let _ = sender.try_send(());
        }
    }

    pub(crate) fn stop(&self) {
        lock(&self.asks).take();
    }

    pub(crate) fn is_running(&self) -> bool {
        lock(&self.asks).is_some()
    }

    /// Whether it looks for something to do, or does it.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }
}

/// Keeps the collector to its rate, and ends it when the store is closed.
pub(crate) struct Pace<'a> {
    engine: &'a Engine,
    rate: Option<u64>,
    /// Since when it goes at that rate, and the bytes since then.
    since: Instant,
    paced: u64,
    done: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl<'a> Pace<'a> {
    /// As fast as it goes, to begin with. `progress` is called with the bytes so far.
    pub(crate) fn new(engine: &'a Engine, progress: &'a mut dyn FnMut(u64)) -> Self {
        Self {
            engine,
            rate: None,
            since: Instant::now(),
            paced: 0,
            done: 0,
            progress,
        }
    }

    pub(crate) fn set_rate(&mut self, rate: Option<u64>) {
        if self.rate != rate {
            self.rate = rate;
            self.since = Instant::now();
            self.paced = 0;
        }
    }

    /// Takes note of bytes that were read or written, and waits as long as they take.
    pub(crate) fn step(&mut self, bytes: u64) -> Result<(), StorageError> {
        self.done = self.done.saturating_add(bytes);
        self.paced = self.paced.saturating_add(bytes);
        (self.progress)(self.done);
        loop {
            self.engine.check_open()?;
            let Some(rate) = self.rate else { return Ok(()) };
            let due = self.paced.saturating_mul(1000) / rate.max(1);
            let ahead = Duration::from_millis(due).saturating_sub(self.since.elapsed());
            if ahead.is_zero() {
                return Ok(());
            }
            thread::sleep(ahead.min(NAP));
        }
    }
}
