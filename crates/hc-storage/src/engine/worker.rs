//! The one background thread of a store: writes what was buffered too long, brings the log to the device
//! piece by piece, gives back holes, and runs checkpoints. Knows nothing of any of these.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Instant;

use super::Engine;
use crate::limits::BUFFER_DELAY;
use crate::lock::lock;

/// What the thread is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Checkpoint,
    Flush,
    Sync,
    Finish,
    Punch,
}

/// The way to the thread. It ends when this is dropped or stopped.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    jobs: Mutex<Option<Sender<Job>>>,
    checkpoint_asked: AtomicBool,
    flush_asked: AtomicBool,
    sync_asked: AtomicBool,
    finish_asked: AtomicBool,
    punch_asked: AtomicBool,
    busy: AtomicBool,
}

impl Worker {
    pub(crate) fn start(&self, engine: &Arc<Engine>) {
        let (sender, receiver) = channel();
        let (engine, log) = (Arc::downgrade(engine), Arc::clone(&engine.log));
        let thread = thread::Builder::new().name("hc-storage".to_owned());
        // without a thread, commits run checkpoints themselves
        if thread.spawn(move || run(&engine, &receiver)).is_ok() {
            *lock(&self.jobs) = Some(sender);
            // not before: until then, appends finish their segments
            log.finish_aside();
        }
    }

    pub(crate) fn stop(&self) {
        lock(&self.jobs).take();
    }

    /// Whether the thread will run a checkpoint soon.
    pub(crate) fn ask_checkpoint(&self) -> bool {
        self.checkpoint_asked.swap(true, Ordering::AcqRel) || self.send(Job::Checkpoint)
    }

    /// Whether the thread will write soon what is buffered.
    pub(crate) fn ask_flush(&self) -> bool {
        self.flush_asked.swap(true, Ordering::AcqRel) || self.send(Job::Flush)
    }

    /// Has the thread bring the log to the device, if there is a thread.
    pub(crate) fn ask_sync(&self) {
        let _ = self.sync_asked.swap(true, Ordering::AcqRel) || self.send(Job::Sync);
    }

    /// Has the thread finish the segment that is full, if there is a thread.
    pub(crate) fn ask_finish(&self) {
        let _ = self.finish_asked.swap(true, Ordering::AcqRel) || self.send(Job::Finish);
    }

    /// Has the thread give back what is void, if there is a thread.
    pub(crate) fn ask_punch(&self) {
        let _ = self.punch_asked.swap(true, Ordering::AcqRel) || self.send(Job::Punch);
    }

    /// Whether a checkpoint is due or under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) || self.checkpoint_asked.load(Ordering::Acquire)
    }

    fn send(&self, job: Job) -> bool {
        let sent = lock(&self.jobs)
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            self.done(job);
        }
        sent
    }

    fn done(&self, job: Job) {
        match job {
            Job::Checkpoint => self.checkpoint_asked.store(false, Ordering::Release),
            Job::Flush => self.flush_asked.store(false, Ordering::Release),
            Job::Sync => self.sync_asked.store(false, Ordering::Release),
            Job::Finish => self.finish_asked.store(false, Ordering::Release),
            Job::Punch => self.punch_asked.store(false, Ordering::Release),
        }
    }
}

fn run(engine: &Weak<Engine>, jobs: &Receiver<Job>) {
    let mut flush_at: Option<Instant> = None;
    loop {
        let job = match flush_at {
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        let job = match job {
            Ok(Job::Flush) => {
                flush_at.get_or_insert_with(|| Instant::now() + BUFFER_DELAY);
                continue;
            }
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => {
                flush_at = None;
                Job::Flush
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine
            .worker
            .busy
            .store(job == Job::Checkpoint, Ordering::Release);
        engine.worker.done(job);
        // All leave the store poisoned where they do not succeed: the next commit says why.
        let _ = match job {
            Job::Checkpoint => engine.checkpoint().map(|()| engine.collector.ask()),
            Job::Flush => engine.log.flush().map(drop),
            Job::Sync => engine.log.sync_all(),
            Job::Finish => engine.log.finish(),
            Job::Punch => engine.punch(),
        };
        engine.worker.busy.store(false, Ordering::Release);
    }
}
