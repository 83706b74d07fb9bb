//! A replicator whose peers say anything, whose users want and change anything, and whose driver answers
//! anything. Every input of the machine is among what a byte can stand for.

use std::time::Duration;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::proof::{Proof, Wanted};
use hc_merkle::{BlockIndex, ByteOffset, Fork, Length};
use hc_protocol::Time;
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::MessageType;
use hc_replicator::{
    Config, Demand, DemandId, Input, LocalView, ManifestState, Order, Output, PeerId, PeerInfo,
    PeerPolicy, Published, PullPolicy, PushPolicy, Rejection, Replicator, Reply, Seek, Span,
    Ticket, Window,
};

/// Steps of one run; longer inputs say nothing new.
const MAX_STEPS: usize = 400;
/// Outputs that one input may cause: far more than any should.
const MAX_OUTPUTS: usize = 100_000;
/// Blocks of the longest log.
const MAX_LENGTH: u64 = 4096;

fn view(length: u64, holes: bool) -> LocalView {
    let mut blocks = Bitfield::contiguous(length);
    if holes {
        blocks.unset_range(length / 3..length / 2);
    }
    LocalView {
        fork: Fork::ZERO,
        length: Length::new(length),
        contiguous: Length::new(blocks.contiguous_len()),
        blocks,
        manifest: ManifestState::Known,
        least: Length::ZERO,
    }
}

/// A log that changes as logs do.
struct Log(LocalView);

impl Log {
    fn change(&mut self, how: u64) -> Input {
        let mut change = Published::default();
        let Self(view) = self;
        let length = view.length.get();
        let amount = how / 4;
        match how % 4 {
            0 => {
                let end = (length + amount).min(MAX_LENGTH);
                view.length = Length::new(end);
                view.blocks.set_range(length..end);
                change.gained.push(length..end);
            }
            1 => {
                let range = amount.min(length)..(2 * amount).min(length);
                view.blocks.set_range(range.clone());
                change.gained.push(range);
            }
            2 => {
                let range = amount.min(length)..(2 * amount).min(length);
                view.blocks.unset_range(range.clone());
                change.lost.push(range);
            }
            _ => {
                let end = length.saturating_sub(amount);
                view.blocks.unset_range(end..u64::MAX);
                view.length = Length::new(end);
                // cut within the fork, as where a later one is taken over as a whole, or to the next one
                view.fork = Fork::new(view.fork.get() + how / 4 % 2);
                change.truncated = Some(Length::new(end));
            }
        }
        view.contiguous = Length::new(view.blocks.contiguous_len());
        Input::Published {
            change,
            view: view.clone(),
        }
    }
}

fn policy(argument: u64) -> PeerPolicy {
    PeerPolicy {
        uploads: argument & 1 == 0,
        downloads: argument & 2 == 0,
        memory: if argument & 4 == 0 { 1 << 20 } else { 100 },
    }
}

fn config(argument: u64) -> Config {
    let mut config = Config::new(argument);
    config.eager_upgrade = argument & 1 == 0;
    config.follow_forks = argument & 2 == 0;
    config.latest_block = argument & 4 != 0;
    config.uploads = argument & 8 == 0;
    config.pull = match argument % 5 {
        0 => PullPolicy::Nothing,
        1 => PullPolicy::Forced,
        _ => PullPolicy::All,
    };
    config.push = if argument & 16 == 0 {
        PushPolicy::Accept
    } else {
        PushPolicy::Refuse
    };
    if argument & 32 != 0 {
        config.window = Window {
            min: 1,
            start: 2,
            max: 3,
            bytes: argument,
        };
        config.linger = Duration::ZERO;
    }
    config
}

fn demand(what: u8, argument: u64, at: (Fork, Length)) -> Input {
    let block = BlockIndex::new(argument);
    let span = |order| {
        Demand::Span(Span {
            start: block,
            end: argument
                .is_multiple_of(2)
                .then_some(BlockIndex::new(argument + 50)),
            order,
        })
    };
    let (kind, what) = match what {
        0 => (0, Demand::Block(block)),
        1 => (1, span(Order::Linear)),
        2 => match argument % 3 {
            0 => (2, Demand::Upgrade),
            shift => (
                2,
                Demand::Seek(Seek {
                    bytes: ByteOffset::new(argument),
                    padding: 8,
                    blocks: argument..argument + (argument % 2) * (4 << shift),
                    at,
                }),
            ),
        },
        3 => (3, Demand::Forced(block)),
        4 => (4, span(Order::Scattered)),
        _ => {
            let blocks = [argument, 3, argument * 7].map(BlockIndex::new);
            (5, Demand::Blocks(blocks.into()))
        }
    };
    Input::Demanded {
        id: DemandId(256 * kind + argument),
        what,
    }
}

/// Takes bytes off the front.
struct Script<'a> {
    bytes: &'a [u8],
    log: Log,
    now: Time,
    tickets: Vec<Ticket>,
}

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn input(&mut self) -> Option<Input> {
        let peer = PeerId(u64::from(self.byte()? % 3));
        let what = self.byte()?;
        let argument = u64::from(self.byte()?);
        Some(match what % 32 {
            0 => Input::PeerOpened {
                peer,
                info: PeerInfo::new(argument < 128).with_policy(policy(argument)),
            },
            1 => Input::PeerClosed { peer },
            2 => Input::Writable {
                peer,
                room: argument.is_multiple_of(2),
            },
            3..=8 => {
                let view = &self.log.0;
                demand(what % 32 - 3, argument, (view.fork, view.length))
            }
            9 => Input::Cancelled {
                id: DemandId(256 * (argument % 6) + u64::from(self.byte()?)),
            },
            10 => Input::Activity {
                active: argument.is_multiple_of(2),
            },
            11 => {
                self.now = self.now.after(Duration::from_millis(argument * 40));
                Input::Elapsed
            }
            12..=14 => Input::Completed {
                ticket: self.tickets.pop().unwrap_or(Ticket(argument)),
                reply: reply(argument),
            },
            15 | 16 => self.log.change(argument),
            17 => Input::PeerExpected { peer },
            18 => Input::FindingPeers {
                finding: argument.is_multiple_of(2),
            },
            19 => Input::Configured {
                config: config(argument),
            },
            20 => Input::Policy {
                peer,
                policy: policy(argument),
            },
            21 => Input::Push {
                index: BlockIndex::new(argument),
            },
            22 => Input::Extend {
                peer,
                name: ["", "a", "b"][usize::from(what / 32 % 3)].into(),
                message: Bytes::from_static(b"said"),
            },
            _ => return self.message(peer, what, argument),
        })
    }

    fn message(&mut self, peer: PeerId, what: u8, argument: u64) -> Option<Input> {
        let len = usize::try_from(argument).unwrap_or_default();
        let (payload, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        let kind = MessageKind::from_type(MessageType(u64::from(what) % 10))?;
        let message = Message::decode(kind, &Bytes::copy_from_slice(payload)).ok()?;
        Some(Input::Received { peer, message })
    }
}

/// Anything that a driver may answer.
fn reply(argument: u64) -> Reply {
    match argument % 13 {
        0 => Reply::Applied,
        1 => Reply::NotAvailable,
        2 => Reply::Rejected(Rejection::Proof),
        3 => Reply::Stale,
        4 => Reply::Wanted(Wanted {
            blocks: 0..argument,
            nodes: argument % 8,
        }),
        5 => Reply::Consistent,
        6 if argument > 200 => Reply::Conflict {
            ours: None,
            theirs: Box::default(),
        },
        7 => Reply::Invalid,
        8 => Reply::Proof(Proof::default()),
        9 => Reply::Failed,
        10 => Reply::Upgradeable(false),
        11 => Reply::Rejected(Rejection::Malformed),
        _ => Reply::Upgradeable(true),
    }
}

/// Any peers, any driver: the machine neither panics nor talks without end.
pub(super) fn replicator(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    let view = view(u64::from(*size) * 5, size.is_multiple_of(2));
    let mut machine = Replicator::new(Config::new(1), view.clone());
    let mut script = Script {
        bytes,
        log: Log(view),
        now: Time::ZERO,
        tickets: Vec::new(),
    };
    for _ in 0..MAX_STEPS {
        if script.bytes.is_empty() {
            return;
        }
        let Some(input) = script.input() else {
            continue;
        };
        machine.handle(script.now, input);
        let mut outputs = 0;
        loop {
            match machine.poll_output() {
                Output::Wait(_) => break,
                Output::Run { ticket, .. } => script.tickets.push(ticket),
                _ => {}
            }
            outputs += 1;
            assert!(outputs < MAX_OUTPUTS, "the machine does not come to rest");
        }
    }
}
