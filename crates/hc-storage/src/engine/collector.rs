//! The thread that collects, and the rate that it keeps to. Knows nothing of what is collected.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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
    /// Bytes that are there twice because of what is being collected. Only who collects sets it.
    held: AtomicU64,
    /// Void bytes that cannot be collected for the time being.
    stuck: AtomicU64,
}

impl Collector {
    pub(crate) fn start(&self, engine: &Arc<Engine>) {
        let asked = self.attend();
        let engine = Arc::downgrade(engine);
        let work = move || {
            while asked.recv().is_ok() {
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                engine.collector.run(&engine, &mut |_| {});
            }
        };
        let thread = thread::Builder::new().name("hc-storage-collect".to_owned());
        if thread.spawn(work).is_err() {
            self.stop();
        }
    }

    /// What whoever is to [run](Self::run) it waits for.
    pub(crate) fn attend(&self) -> Receiver<()> {
        let (sender, asked) = sync_channel(1);
        *lock(&self.asks) = Some(sender);
        asked
    }

    /// Collects what is worth it.
    pub(crate) fn run(&self, engine: &Engine, progress: &mut dyn FnMut(u64)) {
        self.busy.store(true, Ordering::Release);
        // what goes wrong here costs nothing but space; a write that goes wrong says so itself
        let _ = engine.collect(Effort::Worthwhile, progress);
        self.busy.store(false, Ordering::Release);
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

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn hold(&self, bytes: u64) {
        self.set_held(self.held().saturating_add(bytes));
    }

    pub(crate) fn release(&self, bytes: u64) {
        let held = self.held();
        self.set_held(held.saturating_sub(bytes));
    }

    pub(crate) fn set_held(&self, bytes: u64) {
        self.held.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn stuck(&self) -> u64 {
        self.stuck.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stuck(&self, bytes: u64) {
        self.stuck.store(bytes, Ordering::Relaxed);
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
    /// As fast as it goes without a rate, and while that is urgent. `progress` is called with the bytes so far.
    pub(crate) fn new(
        engine: &'a Engine,
        rate: Option<u64>,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self {
            engine,
            rate,
            since: Instant::now(),
            paced: 0,
            done: 0,
            progress,
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
            if self.engine.burden().is_urgent() {
                (self.since, self.paced) = (Instant::now(), 0);
                return Ok(());
            }
            let due = self.paced.saturating_mul(1000) / rate.max(1);
            let ahead = Duration::from_millis(due).saturating_sub(self.since.elapsed());
            if ahead.is_zero() {
                return Ok(());
            }
            thread::sleep(ahead.min(NAP));
        }
    }
}
