//! Changes to several logs and lines as one: written in one batch, published in one step.
//!
//! Owns the order in which turns are taken, so that two who want the same do not wait for each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_lite::future;
use hc_merkle::Length;
use hc_storage::{CoreStore, Durability, Store};

use super::Core;
use super::lane::{Guard, Lane, LaneError};
use super::publish::{CommitError, Staged};
use crate::event::Event;
use crate::line::{LineStaged, LineState};
use crate::sync::Gate;

/// A turn on a lane, unless the handle is closed before it comes.
pub(crate) async fn enter(lane: &Arc<Lane>, gate: &Gate) -> Result<Guard, LaneError> {
    if gate.is_closed() {
        return Err(LaneError::Closed);
    }
    if let Some(guard) = lane.try_lock()? {
        return Ok(guard);
    }
    let closed = async {
        gate.closed().await;
        Err(LaneError::Closed)
    };
    future::or(lane.lock(), closed).await
}

/// Turns on several lanes.
#[derive(Debug, Default)]
pub(crate) struct Turns(BTreeMap<usize, Guard>);

impl Turns {
    /// Takes them in the order of their addresses, whatever order they are named in.
    pub(crate) async fn take(
        lanes: impl IntoIterator<Item = Arc<Lane>>,
        gate: &Gate,
    ) -> Result<Self, LaneError> {
        let lanes = lanes.into_iter().map(|lane| (address(&lane), lane));
        let lanes: BTreeMap<usize, Arc<Lane>> = lanes.collect();
        let mut turns = Self::default();
        for (address, lane) in lanes {
            turns.0.insert(address, enter(&lane, gate).await?);
        }
        Ok(turns)
    }

    /// Whether the turn on a lane is among them.
    pub(crate) fn has(&self, lane: &Arc<Lane>) -> bool {
        self.0.contains_key(&address(lane))
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, lane: &Arc<Lane>) -> Result<Guard, LaneError> {
        self.0.remove(&address(lane)).ok_or(LaneError::Closed)
    }

    pub(crate) fn insert(&mut self, lane: &Arc<Lane>, guard: Guard) {
        self.0.insert(address(lane), guard);
    }

    /// What is on disk is not known any more.
    pub(crate) fn poison(self) {
        for guard in self.0.into_values() {
            guard.poison();
        }
    }
}

fn address(lane: &Arc<Lane>) -> usize {
    Arc::as_ptr(lane) as usize
}

/// What happens to one log or line.
pub(crate) enum Part {
    Log {
        core: Arc<Core>,
        staged: Staged,
        /// The length to tell of, where the log was cut and has grown again.
        regrown: Option<Length>,
    },
    Line {
        line: Arc<LineState>,
        log: Arc<dyn CoreStore>,
        staged: LineStaged,
    },
}

impl Part {
    fn byte_len(&self) -> usize {
        match self {
            Self::Log { staged, .. } => staged.batch.byte_len(),
            Self::Line { staged, .. } => staged.batch.byte_len(),
        }
    }
}

/// Writes all parts, publishes them, and then what else has to be done before anybody else has a turn.
/// On a thread that may block where it does.
pub(crate) async fn commit_together(
    core: &Arc<Core>,
    turns: Turns,
    parts: Vec<Part>,
    level: Durability,
    after: impl FnOnce() + Send + 'static,
) -> Result<(), CommitError> {
    core.wait_for_space(parts.iter().map(Part::byte_len).sum())
        .await;
    let store = core.store.clone();
    let write = move || commit_now(&*store, turns, parts, level, after);
    if level < Durability::Disk {
        return write();
    }
    core.block_on_disk(write)
        .await
        .unwrap_or(Err(CommitError::InDoubt))
}

fn commit_now(
    store: &dyn Store,
    turns: Turns,
    mut parts: Vec<Part>,
    level: Durability,
    after: impl FnOnce(),
) -> Result<(), CommitError> {
    let batches = parts.iter_mut().map(|part| match part {
        Part::Log { core, staged, .. } => (core.log.clone(), std::mem::take(&mut staged.batch)),
        Part::Line { log, staged, .. } => (log.clone(), std::mem::take(&mut staged.batch)),
    });
    let ticket = store.commit_all(batches.collect(), level)?;
    if let Err(error) = ticket.wait() {
        // The store shows the batches, the device may not have them.
        turns.poison();
        return Err(error.into());
    }
    for part in parts {
        match part {
            Part::Log {
                core,
                staged,
                regrown,
            } => {
                core.publish(staged.next, staged.published, staged.answers);
                if let Some(length) = regrown {
                    core.hub.emit(&Event::Append { length });
                }
            }
            Part::Line { line, staged, .. } => line.publish(staged.next, staged.cut),
        }
    }
    after();
    drop(turns);
    Ok(())
}
