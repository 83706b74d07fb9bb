//! A replicator whose peers say anything, and whose driver answers anything.

use std::time::Duration;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::proof::Wanted;
use hc_merkle::{BlockIndex, ByteOffset, Fork, Length};
use hc_protocol::Time;
use hc_protocol::message::{Message, MessageKind};
use hc_protocol::mux::MessageType;
use hc_replicator::{
    Config, Demand, DemandId, Input, LocalView, ManifestState, Order, Output, PeerId, PeerInfo,
    Rejection, Replicator, Reply, Seek, Span, Ticket,
};

/// Steps of one run; longer inputs say nothing new.
const MAX_STEPS: usize = 400;
/// Outputs that one input may cause: far more than any should.
const MAX_OUTPUTS: usize = 100_000;

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

/// Takes bytes off the front.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn input(&mut self, length: u64, now: &mut Time, out: &mut Vec<Ticket>) -> Option<Input> {
        let peer = PeerId(u64::from(self.byte()? % 3));
        let what = self.byte()?;
        let argument = u64::from(self.byte()?);
        Some(match what % 16 {
            0 => Input::PeerOpened {
                peer,
                info: PeerInfo::new(true),
            },
            1 => Input::PeerClosed { peer },
            2 => Input::Writable {
                peer,
                room: argument % 2 == 0,
            },
            3 => Input::Demanded {
                id: DemandId(argument),
                what: Demand::Block(BlockIndex::new(argument)),
            },
            4 => Input::Demanded {
                id: DemandId(256 + argument),
                what: Demand::Span(Span {
                    start: BlockIndex::new(argument),
                    end: (argument % 2 == 0).then_some(BlockIndex::new(argument + 50)),
                    order: Order::Linear,
                }),
            },
            5 => Input::Demanded {
                id: DemandId(512 + argument),
                what: match argument % 3 {
                    0 => Demand::Upgrade,
                    shift => Demand::Seek(Seek {
                        bytes: ByteOffset::new(argument),
                        padding: 8,
                        blocks: argument..argument + (argument % 2) * (4 << shift),
                        at: (Fork::ZERO, Length::new(length)),
                    }),
                },
            },
            6 => Input::Cancelled {
                id: DemandId(argument),
            },
            7 => Input::Activity {
                active: argument % 2 == 0,
            },
            8 => {
                *now = now.after(Duration::from_millis(argument * 40));
                Input::Elapsed
            }
            9 | 10 => Input::Completed {
                ticket: out.pop().unwrap_or(Ticket(argument)),
                reply: reply(argument),
            },
            _ => {
                let len = usize::try_from(argument)
                    .unwrap_or_default()
                    .min(self.0.len());
                let (payload, rest) = self.0.split_at(len);
                self.0 = rest;
                let kind = MessageKind::from_type(MessageType(u64::from(what) % 10))?;
                let message = Message::decode(kind, &Bytes::copy_from_slice(payload)).ok()?;
                Input::Received { peer, message }
            }
        })
    }
}

/// Anything that a driver may answer.
fn reply(argument: u64) -> Reply {
    match argument % 9 {
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
        _ => Reply::Upgradeable(true),
    }
}

/// Any peers, any driver: the machine neither panics nor talks without end.
pub(super) fn replicator(bytes: &[u8]) {
    let mut script = Script(bytes);
    let Some(size) = script.byte() else { return };
    let length = u64::from(size) * 5;
    let mut machine = Replicator::new(Config::new(1), view(length, size % 2 == 0));
    let mut now = Time::ZERO;
    let mut tickets = Vec::new();
    for _ in 0..MAX_STEPS {
        if script.0.is_empty() {
            return;
        }
        let Some(input) = script.input(length, &mut now, &mut tickets) else {
            continue;
        };
        machine.handle(now, input);
        let mut outputs = 0;
        loop {
            match machine.poll_output() {
                Output::Wait(_) => break,
                Output::Run { ticket, .. } => tickets.push(ticket),
                _ => {}
            }
            outputs += 1;
            assert!(outputs < MAX_OUTPUTS, "the machine does not come to rest");
        }
    }
}
