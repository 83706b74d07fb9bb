//! Lengths and forks: what each side says of itself, and whether one can be brought to the length of
//! the other. Knows nothing of blocks.

use hc_merkle::{Fork, Length};
use hc_protocol::message::Sync;

use crate::config::PullPolicy;
use crate::output::{Effect, Hangup, Notice};
use crate::path;
use crate::peer::{Peer, Reach, Task};
use crate::shared::Shared;
use crate::timer::Timer;

impl Peer {
    /// It said where it stands.
    pub(crate) fn on_sync(&mut self, shared: &mut Shared, sync: Sync) {
        let before = self.remote.replace(sync);
        self.late = false;
        if !sync.downloading && !self.downloads(shared) {
            shared.hang_up(self.id, Hangup::Idle);
            return;
        }
        let moved =
            before.is_none_or(|before| (before.fork, before.length) != (sync.fork, sync.length));
        let heard = |sync: &Sync| sync.remote_length == shared.view.length;
        if heard(&sync) {
            shared.timers.unset(Timer::Word(self.id));
            self.dawdled &= before.as_ref().is_some_and(heard);
        }
        if moved {
            self.dawdled = false;
            let followed = self.is_adoptable(shared) || self.offers_fork(shared);
            if sync.fork > shared.view.fork && !followed {
                let (fork, length) = (sync.fork, sync.length);
                shared.notify(Notice::HigherFork {
                    peer: self.id,
                    fork,
                    length,
                });
            }
            self.update_reach(shared);
        }
        shared.sync_due.insert(self.id);
        self.has_news(shared);
    }

    /// Its length or ours has changed: can we bring it to ours?
    pub(crate) fn update_reach(&mut self, shared: &mut Shared) {
        let Some(remote) = self.same_fork(shared) else {
            self.reach = Reach::Known(self.remote.is_none());
            return;
        };
        let (fork, length) = (remote.fork, remote.length);
        let view = &shared.view;
        let known = if length == view.length || view.is_full() {
            Some(length <= view.length)
        } else {
            path::roots_known(&view.blocks, length.get(), view.length.get())
        };
        match known {
            Some(can) => self.set_reach(can, fork, length),
            None => {
                // one look at a time, however often it changes its mind
                self.reach = Reach::Checking(length);
                if core::mem::replace(&mut self.checking, true) {
                    return;
                }
                let task = Task::CheckUpgrade { fork, length };
                shared.run(self, task, Effect::CheckUpgrade { fork, length });
            }
        }
    }

    /// The store has looked.
    pub(crate) fn on_upgrade_checked(
        &mut self,
        shared: &mut Shared,
        fork: Fork,
        length: Length,
        can: bool,
    ) {
        self.checking = false;
        let Reach::Checking(asked) = self.reach else {
            return;
        };
        if asked == length && fork == shared.view.fork {
            self.set_reach(can, fork, length);
        } else {
            self.update_reach(shared);
        }
        shared.sync_due.insert(self.id);
        self.has_news(shared);
    }

    fn set_reach(&mut self, can: bool, fork: Fork, length: Length) {
        self.reach = Reach::Known(can);
        if can {
            self.provable = (fork, length);
        }
    }

    /// Tells it where we stand, if that is news to it.
    ///
    /// What we know of its length, and whether we can upgrade it, matters to it only where we are
    /// longer: otherwise that alone is not worth a message.
    pub(crate) fn tell(&mut self, shared: &mut Shared) {
        let Reach::Known(can_upgrade) = self.reach else {
            return;
        };
        let view = &shared.view;
        let length = self.length(shared);
        let sync = Sync {
            fork: view.fork,
            length: view.length,
            remote_length: Length::new(length.unwrap_or(0)),
            can_upgrade: can_upgrade && (self.remote.is_none() || length.is_some()),
            uploading: self.uploads(shared),
            downloading: self.downloads(shared),
            has_manifest: shared.gives_manifest(),
            allow_push: shared.takes_pushes() && self.policy.downloads,
        };
        let worth = self.told.is_none_or(|told| {
            let ahead = length.is_some_and(|length| length < view.length.get());
            let seen = Sync {
                remote_length: sync.remote_length,
                can_upgrade: sync.can_upgrade,
                ..told
            };
            sync != told && (ahead || sync != seen)
        });
        if worth && (self.room || self.told.is_none()) {
            self.told = Some(sync);
            shared.send(self, sync);
        } else if worth {
            self.backlog.sync = true;
        }
    }

    /// Whether it is on a later fork that we can take over as it is: where we have no block, there is
    /// nothing to find a common ancestor for.
    pub(crate) fn is_adoptable(&self, shared: &Shared) -> bool {
        let view = &shared.view;
        view.length == Length::ZERO
            && view.least == Length::ZERO
            && self.remote.is_some_and(|remote| {
                remote.fork > view.fork && remote.length > Length::ZERO && remote.uploading
            })
            && !self.shunned
            && !self.dawdled
    }

    /// Whether it can give us a longer log right now, going by what it said.
    pub(crate) fn can_upgrade_us(&self, shared: &Shared) -> bool {
        self.policy.downloads && (self.is_adoptable(shared) || self.can_grow_us(shared))
    }

    fn can_grow_us(&self, shared: &Shared) -> bool {
        self.same_fork(shared).is_some_and(|remote| {
            remote.can_upgrade
                && remote.uploading
                && remote.length > shared.view.length
                && remote.length >= shared.view.least
                && remote.remote_length == shared.view.length
                && !self.shunned
                && !self.dawdled
        })
    }

    /// Whether it has yet to say where it stands, or that it heard where we do.
    pub(crate) fn owes_word(&self, shared: &Shared) -> bool {
        let view = &shared.view;
        self.remote
            .as_ref()
            .is_none_or(|remote| remote.fork == view.fork && remote.remote_length != view.length)
    }

    /// Whether it may yet be able to give us a longer log: what an update waits for.
    pub(crate) fn may_upgrade_us(&self, shared: &Shared) -> bool {
        let asked = self.policy.downloads && shared.config.pull == PullPolicy::All;
        if !asked || self.shunned || self.dawdled || self.late {
            return false;
        }
        let Some(remote) = &self.remote else {
            return true;
        };
        if self.is_adoptable(shared) || (self.offers_fork(shared) && !self.fork_dry) {
            return true;
        }
        remote.uploading
            && remote.fork == shared.view.fork
            && remote.length > shared.view.length
            && (remote.can_upgrade || remote.remote_length != shared.view.length)
    }
}
