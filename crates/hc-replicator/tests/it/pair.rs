//! A source and a reader joined directly, whose answers hold a block and no proof, so that what is
//! measured is the work of the machines alone.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hc_bitfield::Bitfield;
use hc_merkle::proof::{BlockProof, Proof};
use hc_merkle::{BlockIndex, Fork, Length};
use hc_protocol::Time;
use hc_protocol::message::Message;
use hc_replicator::{
    Config, Demand, DemandId, Effect, Input, LocalView, ManifestState, Order, Output, PeerId,
    PeerInfo, Published, Replicator, Reply, Span, Ticket,
};

const PEER: PeerId = PeerId(1);

/// Proofs that are stored at once.
const BATCH: usize = 64;

pub(crate) struct Pair {
    machines: [Replicator; 2],
    inputs: VecDeque<(usize, Input)>,
    /// What the reader has.
    view: LocalView,
    applying: Vec<(Ticket, u64)>,
    now: Time,
    done: bool,
    pub(crate) outputs: u64,
    /// Nodes that were asked for.
    pub(crate) nodes: u64,
}

impl Pair {
    pub(crate) fn new(blocks: u64) -> Self {
        let view = |held: u64| LocalView {
            fork: Fork::ZERO,
            length: Length::new(blocks),
            contiguous: Length::new(held),
            blocks: Bitfield::contiguous(held),
            manifest: ManifestState::Known,
            least: Length::ZERO,
        };
        let machines = [view(blocks), view(0)].map(|view| Replicator::new(Config::new(3), view));
        let open = || Input::PeerOpened {
            peer: PEER,
            info: PeerInfo::new(true),
        };
        let active = || Input::Activity { active: true };
        Self {
            machines,
            inputs: [(0, active()), (1, active()), (0, open()), (1, open())].into(),
            view: view(0),
            applying: Vec::new(),
            now: Time::ZERO,
            done: false,
            outputs: 0,
            nodes: 0,
        }
    }

    /// Until the reader has everything.
    pub(crate) fn download(&mut self, order: Order) {
        let end = Some(BlockIndex::new(self.view.length.get()));
        let what = Demand::Span(Span {
            start: BlockIndex::new(0),
            end,
            order,
        });
        self.inputs.push_back((
            1,
            Input::Demanded {
                id: DemandId(1),
                what,
            },
        ));
        while !self.done {
            if self.inputs.is_empty() {
                self.apply();
            }
            if let Some((at, input)) = self.inputs.pop_front() {
                self.step(at, input);
            }
        }
    }

    /// Steps of the reader's search for what to ask for.
    pub(crate) fn looked_at(&self) -> u64 {
        self.machines[1].stats().looked_at
    }

    fn step(&mut self, at: usize, input: Input) {
        self.now = self.now.after(Duration::from_micros(1));
        self.machines[at].handle(self.now, input);
        loop {
            let output = self.machines[at].poll_output();
            self.outputs += 1;
            match output {
                Output::Wait(_) => return,
                output => self.output(at, output),
            }
        }
    }

    fn output(&mut self, at: usize, output: Output) {
        match output {
            Output::Send { message, .. } => {
                if let Message::Request(request) = &message {
                    self.nodes += request.want.block.map_or(0, |block| block.nodes);
                }
                self.inputs.push_back((
                    1 - at,
                    Input::Received {
                        peer: PEER,
                        message,
                    },
                ));
            }
            Output::Run {
                ticket,
                effect: Effect::Prove { request, .. },
                ..
            } => {
                let value = Bytes::from_static(b"a block");
                let block = request.block.map(|block| BlockProof {
                    index: block.index,
                    value,
                    nodes: Vec::new(),
                });
                let reply = Reply::Proof(Proof {
                    block,
                    ..Proof::default()
                });
                self.inputs
                    .push_back((at, Input::Completed { ticket, reply }));
            }
            Output::Run {
                ticket,
                effect: Effect::Apply { data },
                ..
            } => {
                let index = data.block.map_or(0, |block| block.index.get());
                self.applying.push((ticket, index));
            }
            Output::Resolve { .. } => self.done = true,
            _ => {}
        }
    }

    /// The store does its work.
    fn apply(&mut self) {
        let mut change = Published::default();
        let jobs = self.applying.len().min(BATCH);
        for (ticket, index) in self.applying.drain(..jobs) {
            self.view.blocks.set(index);
            change.gained.push(index..index + 1);
            self.inputs.push_back((
                1,
                Input::Completed {
                    ticket,
                    reply: Reply::Applied,
                },
            ));
        }
        self.view.contiguous = Length::new(self.view.blocks.contiguous_len());
        let view = self.view.clone();
        self.inputs
            .push_front((1, Input::Published { change, view }));
    }
}
