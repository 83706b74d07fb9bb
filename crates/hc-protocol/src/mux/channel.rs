//! Which channels there are, under which numbers, and who waits for whom.
//!
//! Each side numbers the channels that it opens from 1. A channel is open once both sides have opened
//! it under the same name; they are matched in the order in which they were opened. Knows nothing of
//! frames.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::mem;

use bytes::Bytes;

use super::limits::{HELD_OVERHEAD, MAX_CHANNELS, MAX_HELD, MAX_PENDING_OPENS};
use super::{ChannelId, MessageType, MuxError, Name, OpenError, RemoteOpen};

/// All channels of one connection.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// By our number, less one.
    local: Vec<Local>,
    /// Our numbers, less one, that can be used again; the last freed is used first.
    free: Vec<u32>,
    /// By the remote's number, less one.
    remote: Vec<Remote>,
    groups: BTreeMap<Name, Group>,
    aliases: BTreeMap<Name, Name>,
    serial: u64,
    pending: usize,
    /// What messages for channels that are not open here count.
    buffered: usize,
    /// As `buffered`, with the requests themselves.
    held: usize,
}

/// What one of our numbers stands for.
#[derive(Debug)]
enum Local {
    Free,
    /// Closed here before the remote answered; the number waits for that answer.
    Closing {
        group: Name,
    },
    Open(Channel),
}

#[derive(Debug)]
struct Channel {
    serial: u64,
    group: Name,
    /// The remote's number, less one, once it has opened its side.
    remote: Option<u32>,
}

/// What one of the remote's numbers stands for.
#[derive(Debug)]
enum Remote {
    Closed,
    /// Opened there, not yet here.
    Pending(Box<Pending>),
    Open(ChannelId),
}

/// A channel that the remote has opened and we have not.
#[derive(Debug)]
pub(super) struct Pending {
    serial: u64,
    group: Name,
    cost: usize,
    pub(super) handshake: Bytes,
    pub(super) messages: Vec<(MessageType, Bytes)>,
}

/// All channels of one name.
#[derive(Debug, Default)]
struct Group {
    /// Ours that the remote has not answered, oldest first.
    outgoing: VecDeque<u32>,
    /// The remote's that we have not answered, oldest first.
    incoming: VecDeque<u32>,
    /// Ours that have not been closed.
    open: usize,
    aliases: Vec<Name>,
}

/// What opening came to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) channel: ChannelId,
    /// What the remote has sent, where it opened first.
    pub(super) answered: Option<Box<Pending>>,
}

/// What an open of the remote came to.
#[derive(Debug)]
pub(super) enum Accepted {
    /// It answers ours.
    Opened {
        channel: ChannelId,
        handshake: Bytes,
    },
    /// It answers one that has been closed in the meantime.
    TooLate,
    /// It waits for an answer.
    Requested(RemoteOpen),
}

/// Where a message belongs.
#[derive(Debug)]
pub(super) enum Delivery {
    To(ChannelId, Bytes),
    Held,
    Ignored,
}

impl Channels {
    /// Opens a channel under the next number, and takes the oldest request of the remote for it.
    pub(super) fn open(&mut self, name: &Name, aliases: &[Name]) -> Result<Opened, OpenError> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.local.len() < MAX_CHANNELS => {
                self.local.push(Local::Free);
                index(self.local.len() - 1)
            }
            None => return Err(OpenError::TooManyChannels),
        };
        let serial = self.next_serial();
        let channel = ChannelId {
            number: number + 1,
            serial,
        };
        let group = self.join(name, aliases);
        let answered = self.take_incoming(&group, aliases);
        let remote = answered.as_ref().map(|(remote, _)| *remote);
        if remote.is_none()
            && let Some(entry) = self.groups.get_mut(&group)
        {
            entry.outgoing.push_back(number);
        }
        if let Some(slot) = remote.and_then(|remote| self.remote.get_mut(remote as usize)) {
            *slot = Remote::Open(channel);
        }
        if let Some(slot) = self.local.get_mut(number as usize) {
            *slot = Local::Open(Channel {
                serial,
                group,
                remote,
            });
        }
        Ok(Opened {
            channel,
            answered: answered.map(|(_, pending)| pending),
        })
    }

    /// Takes in that the remote has opened its channel `number`.
    pub(super) fn accept(
        &mut self,
        number: u64,
        name: Name,
        handshake: Bytes,
    ) -> Result<Accepted, MuxError> {
        let remote = self.vacant_remote(number)?;
        let group = self.aliases.get(&name).cloned().unwrap_or(name);
        if let Some(entry) = self.groups.get_mut(&group)
            && let Some(local) = entry.outgoing.pop_front()
        {
            return Ok(self.bind(local, remote, &group, handshake));
        }
        let cost = HELD_OVERHEAD + handshake.len() + group.protocol().len() + group.id().len();
        if self.pending >= MAX_PENDING_OPENS || self.held + cost > MAX_HELD {
            return Err(MuxError::TooManyPending);
        }
        self.pending += 1;
        self.held += cost;
        let serial = self.next_serial();
        self.groups
            .entry(group.clone())
            .or_default()
            .incoming
            .push_back(remote);
        // A copy, so that a small request does not keep a large frame alive.
        let handshake = Bytes::copy_from_slice(&handshake);
        let pending = Pending {
            serial,
            group,
            cost,
            handshake,
            messages: Vec::new(),
        };
        if let Some(slot) = self.remote.get_mut(remote as usize) {
            *slot = Remote::Pending(Box::new(pending));
        }
        Ok(Accepted::Requested(RemoteOpen {
            number: remote + 1,
            serial,
        }))
    }

    /// Refuses a request of the remote; `None` where it is no longer waiting.
    pub(super) fn refuse(&mut self, request: RemoteOpen) -> Option<u32> {
        let remote = request.number.checked_sub(1)?;
        match self.remote.get(remote as usize) {
            Some(Remote::Pending(pending)) if pending.serial == request.serial => {
                self.withdraw(remote)
            }
            _ => None,
        }
    }

    /// Takes in that the remote refuses our channel `number`, and says which that was, if it is not
    /// closed already.
    pub(super) fn refused(&mut self, number: u64) -> Result<Option<ChannelId>, MuxError> {
        let fault = MuxError::InvalidReject { number };
        let local = number
            .checked_sub(1)
            .and_then(|at| u32::try_from(at).ok())
            .ok_or(fault)?;
        let slot = self.local.get_mut(local as usize).ok_or(fault)?;
        let (group, channel) = match slot {
            Local::Closing { group } => (group.clone(), None),
            Local::Open(Channel {
                serial,
                group,
                remote: None,
            }) => (
                group.clone(),
                Some(ChannelId {
                    number: local + 1,
                    serial: *serial,
                }),
            ),
            _ => return Err(fault),
        };
        *slot = Local::Free;
        self.free.push(local);
        if let Some(entry) = self.groups.get_mut(&group) {
            entry.outgoing.retain(|waiting| *waiting != local);
            entry.open -= usize::from(channel.is_some());
        }
        self.collect(&group);
        Ok(channel)
    }

    /// Closes a channel from this side; `false` where it is closed.
    pub(super) fn close(&mut self, id: ChannelId) -> bool {
        let Some(channel) = self.get_mut(id) else {
            return false;
        };
        let local = id.number - 1;
        let remote = channel.remote;
        let group = channel.group.clone();
        if let Some(entry) = self.groups.get_mut(&group) {
            entry.open -= 1;
        }
        let after = match remote {
            Some(remote) => {
                if let Some(slot) = self.remote.get_mut(remote as usize) {
                    *slot = Remote::Closed;
                }
                self.free.push(local);
                Local::Free
            }
            None => Local::Closing {
                group: group.clone(),
            },
        };
        if let Some(slot) = self.local.get_mut(local as usize) {
            *slot = after;
        }
        self.collect(&group);
        true
    }

    /// Takes in that the remote has closed its channel `number`.
    pub(super) fn closed(&mut self, number: u64) -> RemoteClose {
        let remote = number.checked_sub(1).and_then(|at| u32::try_from(at).ok());
        match remote.and_then(|at| Some((at, self.remote.get(at as usize)?))) {
            Some((_, Remote::Open(channel))) => {
                let channel = *channel;
                self.close(channel);
                RemoteClose::Closed(channel)
            }
            Some((at, Remote::Pending(_))) => self
                .withdraw(at)
                .map_or(RemoteClose::Ignored, RemoteClose::Withdrawn),
            _ => RemoteClose::Ignored,
        }
    }

    /// Finds where a message on the remote's channel `number` belongs, or holds it.
    pub(super) fn deliver(
        &mut self,
        number: u64,
        kind: MessageType,
        payload: Bytes,
    ) -> Result<Delivery, MuxError> {
        let at = number
            .checked_sub(1)
            .and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| self.remote.get_mut(at)) {
            Some(Remote::Open(channel)) => Ok(Delivery::To(*channel, payload)),
            Some(Remote::Pending(pending)) => {
                let cost = HELD_OVERHEAD + payload.len();
                if self.held + cost > MAX_HELD {
                    return Err(MuxError::TooMuchHeld);
                }
                self.held += cost;
                self.buffered += cost;
                // A copy, so that a small message does not keep a large frame alive.
                pending
                    .messages
                    .push((kind, Bytes::copy_from_slice(&payload)));
                Ok(Delivery::Held)
            }
            _ => Ok(Delivery::Ignored),
        }
    }

    /// Whether a channel of this name, or that has it as an alias, is open or being opened here.
    pub(super) fn is_open(&self, name: &Name) -> bool {
        let group = self.aliases.get(name).unwrap_or(name);
        self.groups.get(group).is_some_and(|group| group.open > 0)
    }

    /// Whether this channel has not been closed.
    pub(super) fn is_alive(&self, id: ChannelId) -> bool {
        self.get(id).is_some()
    }

    /// The name that this channel was opened under.
    pub(super) fn name(&self, id: ChannelId) -> Option<&Name> {
        self.get(id).map(|channel| &channel.group)
    }

    /// All channels that have not been closed, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = ChannelId> {
        self.local
            .iter()
            .zip(1..)
            .filter_map(|(slot, number)| match slot {
                Local::Open(channel) => Some(ChannelId {
                    number,
                    serial: channel.serial,
                }),
                Local::Free | Local::Closing { .. } => None,
            })
    }

    /// What messages for channels that are not open here count.
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    fn get(&self, id: ChannelId) -> Option<&Channel> {
        match self.local.get(id.number.checked_sub(1)? as usize) {
            Some(Local::Open(channel)) if channel.serial == id.serial => Some(channel),
            _ => None,
        }
    }

    fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        match self.local.get_mut(id.number.checked_sub(1)? as usize) {
            Some(Local::Open(channel)) if channel.serial == id.serial => Some(channel),
            _ => None,
        }
    }

    /// Ties the remote's channel to ours, which waited for it.
    fn bind(&mut self, local: u32, remote: u32, group: &Name, handshake: Bytes) -> Accepted {
        let Some(slot) = self.local.get_mut(local as usize) else {
            return Accepted::TooLate;
        };
        if let Local::Open(channel) = slot {
            channel.remote = Some(remote);
            let channel = ChannelId {
                number: local + 1,
                serial: channel.serial,
            };
            if let Some(slot) = self.remote.get_mut(remote as usize) {
                *slot = Remote::Open(channel);
            }
            return Accepted::Opened { channel, handshake };
        }
        *slot = Local::Free;
        self.free.push(local);
        self.collect(group);
        Accepted::TooLate
    }

    /// The group of a name, made if there is none, with these aliases leading to it; counts one more
    /// open channel in it.
    fn join(&mut self, name: &Name, aliases: &[Name]) -> Name {
        let group = self.aliases.get(name).unwrap_or(name).clone();
        let entry = self.groups.entry(group.clone()).or_default();
        if entry.open == 0 && entry.outgoing.is_empty() {
            for alias in aliases.iter().filter(|alias| **alias != group) {
                if self.aliases.insert(alias.clone(), group.clone()).is_none() {
                    entry.aliases.push(alias.clone());
                }
            }
        }
        entry.open += 1;
        group
    }

    /// The oldest request for a group, or for one of its aliases from before they were known.
    fn take_incoming(&mut self, group: &Name, aliases: &[Name]) -> Option<(u32, Box<Pending>)> {
        let remote = core::iter::once(group)
            .chain(aliases)
            .find_map(|name| self.groups.get(name)?.incoming.front().copied())?;
        let pending = self.take_pending(remote)?;
        Some((remote, pending))
    }

    fn withdraw(&mut self, remote: u32) -> Option<u32> {
        self.take_pending(remote).map(|_| remote + 1)
    }

    /// Takes a request out, and all that is counted for it.
    fn take_pending(&mut self, remote: u32) -> Option<Box<Pending>> {
        let slot = self.remote.get_mut(remote as usize)?;
        let pending = match mem::replace(slot, Remote::Closed) {
            Remote::Pending(pending) => pending,
            other => {
                *slot = other;
                return None;
            }
        };
        let messages: usize = pending
            .messages
            .iter()
            .map(|(_, payload)| HELD_OVERHEAD + payload.len())
            .sum();
        self.buffered = self.buffered.saturating_sub(messages);
        self.held = self.held.saturating_sub(messages + pending.cost);
        self.pending = self.pending.saturating_sub(1);
        if let Some(entry) = self.groups.get_mut(&pending.group) {
            match entry.incoming.front() {
                Some(first) if *first == remote => drop(entry.incoming.pop_front()),
                _ => entry.incoming.retain(|waiting| *waiting != remote),
            }
        }
        self.collect(&pending.group);
        Some(pending)
    }

    /// The remote's number, less one, if it may open a channel under it: one that is closed, or the
    /// first that was never used.
    fn vacant_remote(&mut self, number: u64) -> Result<u32, MuxError> {
        let fault = MuxError::InvalidOpen { number };
        let at = number
            .checked_sub(1)
            .and_then(|at| u32::try_from(at).ok())
            .ok_or(fault)?;
        if at as usize == self.remote.len() {
            if self.remote.len() >= MAX_CHANNELS {
                return Err(MuxError::TooManyChannels);
            }
            self.remote.push(Remote::Closed);
        }
        match self.remote.get(at as usize) {
            Some(Remote::Closed) => Ok(at),
            _ => Err(fault),
        }
    }

    /// Forgets a group that nothing belongs to.
    fn collect(&mut self, name: &Name) {
        let unused = self.groups.get(name).is_some_and(|group| {
            group.open == 0 && group.outgoing.is_empty() && group.incoming.is_empty()
        });
        if unused && let Some(group) = self.groups.remove(name) {
            for alias in &group.aliases {
                self.aliases.remove(alias);
            }
        }
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

/// What a close of the remote came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RemoteClose {
    Closed(ChannelId),
    /// A request, by the remote's number, that nobody had answered.
    Withdrawn(u32),
    Ignored,
}

/// [`MAX_CHANNELS`] is far below 2^32.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
