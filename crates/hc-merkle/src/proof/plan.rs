//! Answering a request: which nodes a proof takes, then the proof.
//!
//! Owns the choice of nodes, as the reference makes it, byte for byte. Knows nothing of where they are
//! stored, or of who asked.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::{BlockProof, HashProof, Proof, Request, SeekProof, UpgradeProof, UpgradeRequest};
use crate::error::PlanError;
use crate::flat::{full_roots, growth};
use crate::manifest::{Manifest, Prologue};
use crate::offset::ByteRange;
use crate::seek::{Descent, unpadded};
use crate::walk::node_at;
use crate::{Fork, Head, Length, Node, NodeIndex, Step, Walk};

/// What is asked to be tied to the tree: a leaf with its block, or any node with itself.
#[derive(Debug, Clone, Copy)]
struct Target {
    index: NodeIndex,
    /// Steps up to what the asker knows.
    steps: u64,
    is_block: bool,
}

/// The numbers of the nodes of each part of a proof. `None` where the proof has no such part.
#[derive(Debug, Clone, Default)]
struct Parts {
    path: Option<Vec<NodeIndex>>,
    seek: Option<Vec<NodeIndex>>,
    upgrade: Option<Vec<NodeIndex>>,
    additional: Option<Vec<NodeIndex>>,
}

/// Which nodes answer a request: read them, then [`assemble`](Self::assemble) the proof.
#[derive(Debug, Clone)]
pub struct Plan {
    fork: Fork,
    request: Request,
    parts: Parts,
    /// The roots of the tree that answers; they need not be read.
    known: Vec<Node>,
    wanted: Vec<NodeIndex>,
    signature: Bytes,
}

impl Plan {
    /// The nodes to read, in the order of their index. None where the roots are all that is needed.
    #[must_use]
    pub fn nodes(&self) -> &[NodeIndex] {
        &self.wanted
    }

    /// The request that is answered: the one that was made, but for an upgrade that starts within the
    /// prologue, which is then all of it.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Makes the proof of the nodes that were read, in the order of [`nodes`](Self::nodes), the block
    /// where one is asked for, and the manifest where the log has one (left out unless asked for).
    ///
    /// # Errors
    /// [`PlanError::MissingNode`] and [`PlanError::MissingBlock`]: what is asked for is not stored.
    pub fn assemble(
        &self,
        nodes: &[Option<Node>],
        block: Option<Bytes>,
        manifest: Option<&Manifest>,
    ) -> Result<Proof, PlanError> {
        let mut proof = Proof {
            fork: self.fork,
            ..Proof::default()
        };
        if let Some(path) = &self.parts.path {
            let path = self.collect(path, nodes)?;
            if let Some(request) = self.request.block {
                let value = block.ok_or(PlanError::MissingBlock {
                    index: request.index,
                })?;
                proof.block = Some(BlockProof {
                    index: request.index,
                    value,
                    nodes: path,
                });
            } else if let Some(request) = self.request.hash {
                proof.hash = Some(HashProof {
                    index: request.index,
                    nodes: path,
                });
            }
        }
        if let (Some(request), Some(path)) = (self.request.seek, &self.parts.seek) {
            let path = self.collect(path, nodes)?;
            proof.seek = Some(SeekProof {
                bytes: request.bytes,
                nodes: path,
            });
        }
        if let (Some(request), Some(upgrade)) = (self.request.upgrade, &self.parts.upgrade) {
            let additional = self.parts.additional.as_deref().unwrap_or_default();
            proof.upgrade = Some(UpgradeProof {
                start: request.start,
                length: request.length,
                nodes: self.collect(upgrade, nodes)?,
                additional_nodes: self.collect(additional, nodes)?,
                signature: self.signature.clone(),
            });
        }
        if self.request.manifest {
            proof.manifest = manifest.cloned();
        }
        Ok(proof)
    }

    fn collect(&self, part: &[NodeIndex], nodes: &[Option<Node>]) -> Result<Vec<Node>, PlanError> {
        let node = |&index| {
            known(&self.known, index)
                .or_else(|| node_at(nodes, self.wanted.binary_search(&index).ok()?, index))
                .ok_or(PlanError::MissingNode { index })
        };
        part.iter().map(node).collect()
    }

    fn new(head: &Head, request: Request, parts: Parts) -> Self {
        let all = [&parts.path, &parts.seek, &parts.upgrade, &parts.additional];
        let mut wanted: Vec<NodeIndex> = all
            .into_iter()
            .flatten()
            .flatten()
            .filter(|index| known(head.roots(), **index).is_none())
            .copied()
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        Self {
            fork: head.fork,
            request,
            parts,
            known: head.roots().to_vec(),
            wanted,
            signature: head.signature.clone().unwrap_or_default(),
        }
    }
}

/// The walk from a request to its [`Plan`]. Reads nothing unless the request has a seek.
#[derive(Debug, Clone)]
pub struct Planner {
    head: Head,
    request: Request,
    target: Option<Target>,
    /// The length that the proof is to.
    to: Length,
    /// The node that the path of the target ends at, where it does not lie in the upgrade.
    top: Option<NodeIndex>,
    stage: Stage,
    /// Whether the stage has named what it reads.
    asked: bool,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Whether there is a node that shows where the byte lies is known.
    Sought(Option<NodeIndex>),
    /// The bytes under the node that the path ends at are being read.
    Top(NodeIndex, ByteRange),
    /// The roots at the length that the proof is to are being read.
    Roots(Vec<NodeIndex>),
    Descent(Descent),
}

impl Planner {
    /// Plans the answer to `request` out of the log at `head`, whose prologue is always proven as a
    /// whole.
    ///
    /// # Errors
    /// [`PlanError`] where there is no answer to it: the fault of whoever asked.
    pub fn new(
        head: &Head,
        request: &Request,
        prologue: Option<&Prologue>,
    ) -> Result<Self, PlanError> {
        let mut request = *request;
        if let Some(upgrade) = &mut request.upgrade {
            cover_prologue(upgrade, prologue);
        }
        if head.length == Length::ZERO {
            let request = Request {
                manifest: request.manifest,
                ..Request::default()
            };
            return Ok(Self::ready(head, request));
        }
        let (from, to) = match request.upgrade {
            Some(upgrade) => bounds(head, upgrade)?,
            None => (Length::ZERO, head.length),
        };
        let target = target(&request)?;
        let mut planner = Self {
            to,
            target,
            ..Self::ready(head, request)
        };
        planner.settle_top(from)?;
        planner.settle_seek(from)?;
        Ok(planner)
    }

    fn ready(head: &Head, request: Request) -> Self {
        Self {
            head: head.clone(),
            request,
            target: None,
            to: head.length,
            top: None,
            stage: Stage::Sought(None),
            asked: false,
        }
    }

    /// Finds the node that the path of the target ends at, where the asker can place it already.
    fn settle_top(&mut self, from: Length) -> Result<(), PlanError> {
        let Some(target) = self.target else {
            return Ok(());
        };
        if target.index.end() > self.to {
            return Err(PlanError::OutOfBounds {
                index: target.index,
            });
        }
        if self.request.upgrade.is_some() && target.index.end() > from {
            return Ok(());
        }
        let mut top = target.index;
        for _ in 0..target.steps {
            top = top
                .parent()
                .filter(|parent| parent.end() <= self.to)
                .ok_or(PlanError::TooManyNodes {
                    index: target.index,
                    nodes: target.steps,
                })?;
        }
        self.top = Some(top);
        Ok(())
    }

    /// Decides where to look for the byte that is sought.
    fn settle_seek(&mut self, from: Length) -> Result<(), PlanError> {
        let Some(seek) = self.request.seek else {
            return Ok(());
        };
        if self.request.upgrade.is_some()
            && self
                .target
                .is_some_and(|target| target.index.get() / 2 >= from.get())
        {
            return Err(PlanError::SeekWithinUpgrade { bytes: seek.bytes });
        }
        if let Some(top) = self.top {
            let range = ByteRange::of_node(&self.head, top)
                .map_err(|_| PlanError::OutOfBounds { index: top })?;
            self.stage = Stage::Top(top, range);
        } else if self.request.upgrade.is_some() {
            let unknown = |index: &NodeIndex| known(self.head.roots(), *index).is_none();
            self.stage = Stage::Roots(full_roots(self.to).filter(unknown).collect());
        }
        Ok(())
    }

    /// The bytes under the top are known: the byte sought has to be among them.
    fn seek_in_top(&self, top: NodeIndex, range: &Range<u64>) -> Result<Stage, PlanError> {
        let Some(seek) = self.request.seek else {
            return Ok(Stage::Sought(None));
        };
        let before = top.first_block().get().saturating_mul(seek.padding);
        let outside = PlanError::SeekOutside {
            bytes: seek.bytes,
            index: top,
        };
        let left = seek
            .bytes
            .get()
            .checked_sub(range.start.saturating_sub(before))
            .ok_or(outside)?;
        if left == 0 {
            return Ok(Stage::Sought(Some(top)));
        }
        if unpadded((range.end - range.start).into(), top.leaves(), seek.padding) <= left {
            return Err(outside);
        }
        Ok(Stage::Descent(Descent::new(top, left, seek.padding)))
    }

    /// The roots are known: one of them has the byte sought, or none.
    fn seek_in_roots(
        &self,
        wanted: &[NodeIndex],
        read: &[Option<Node>],
    ) -> Result<Stage, PlanError> {
        let Some(seek) = self.request.seek else {
            return Ok(Stage::Sought(None));
        };
        let mut left = seek.bytes.get();
        for index in full_roots(self.to) {
            let root = known(self.head.roots(), index)
                .or_else(|| node_at(read, wanted.iter().position(|one| *one == index)?, index))
                .ok_or(PlanError::MissingNode { index })?;
            let size = unpadded(root.size, index.leaves(), seek.padding);
            if left == size {
                return Ok(Stage::Sought(Some(index)));
            }
            if left < size {
                return Ok(Stage::Descent(Descent::new(index, left, seek.padding)));
            }
            left -= size;
        }
        Ok(Stage::Sought(None))
    }

    /// What the stage has to read first, unless it was asked for already.
    fn wanted(&mut self) -> Option<Vec<NodeIndex>> {
        let wanted = match &self.stage {
            Stage::Top(_, range) => range.nodes(),
            Stage::Roots(wanted) => wanted,
            Stage::Sought(_) | Stage::Descent(_) => return None,
        };
        let first = !core::mem::replace(&mut self.asked, true);
        (first && !wanted.is_empty()).then(|| wanted.to_vec())
    }

    /// All is known that has to be read first: chooses the nodes.
    fn finish(&self, sought: Option<NodeIndex>) -> Result<Plan, PlanError> {
        let mut parts = Parts::default();
        if let Some(top) = self.top {
            self.place(sought, top, &mut parts);
        }
        if let Some(upgrade) = self.request.upgrade {
            let sub = if self.request.seek.is_some() {
                sought
            } else {
                self.target.map(|target| target.index)
            };
            let mut nodes = Vec::new();
            for node in growth(upgrade.start, self.to) {
                let holds = sub.is_some_and(|sub| node.contains(sub));
                if holds && parts.path.is_none() && parts.seek.is_none() {
                    self.place(sought, node, &mut parts);
                } else {
                    nodes.push(node);
                }
            }
            parts.upgrade = Some(nodes);
            if self.head.length > self.to {
                parts.additional = Some(growth(self.to, self.head.length));
            }
        }
        match self.target {
            Some(target) if parts.path.is_none() => Err(PlanError::OutOfBounds {
                index: target.index,
            }),
            _ => Ok(Plan::new(&self.head, self.request, parts)),
        }
    }

    /// The path of the target, and of the byte sought where it branches off, up to `top`.
    fn place(&self, sought: Option<NodeIndex>, top: NodeIndex, parts: &mut Parts) {
        let Some(target) = self.target else {
            parts.seek = sought.map(|sought| siblings_from(sought, top));
            return;
        };
        let mut path = Vec::new();
        if !target.is_block {
            path.push(target.index);
        }
        let mut at = target.index;
        while at != top {
            let (Some(sibling), Some(parent)) = (at.sibling(), at.parent()) else {
                break;
            };
            match sought {
                Some(sought) if sibling != sought && sibling.contains(sought) => {
                    parts.seek = Some(siblings_from(sought, sibling));
                }
                _ => path.push(sibling),
            }
            at = parent;
        }
        parts.path = Some(path);
    }
}

impl Walk for Planner {
    type Output = Result<Plan, PlanError>;

    fn step(&mut self, mut read: &[Option<Node>]) -> Step<Self::Output> {
        loop {
            if let Some(wanted) = self.wanted() {
                return Step::Read(wanted);
            }
            let next = match &mut self.stage {
                Stage::Sought(sought) => {
                    let sought = *sought;
                    return Step::Done(self.finish(sought));
                }
                Stage::Descent(descent) => match descent.step(read) {
                    Step::Read(nodes) => return Step::Read(nodes),
                    Step::Done(landed) => Ok(Stage::Sought(Some(landed.node()))),
                },
                Stage::Top(top, range) => {
                    let top = *top;
                    let range = range.range(read);
                    range
                        .map_err(|_| PlanError::MissingNode { index: top })
                        .and_then(|bytes| self.seek_in_top(top, &bytes))
                }
                Stage::Roots(wanted) => {
                    let wanted = core::mem::take(wanted);
                    self.seek_in_roots(&wanted, read)
                }
            };
            // What was read belonged to the stage that is over.
            read = &[];
            match next {
                Ok(stage) => self.stage = stage,
                Err(error) => return Step::Done(Err(error)),
            }
        }
    }
}

/// A node, then its siblings on the way up to `top`.
fn siblings_from(index: NodeIndex, top: NodeIndex) -> Vec<NodeIndex> {
    let mut path = Vec::from([index]);
    let mut at = index;
    while at != top {
        let (Some(sibling), Some(parent)) = (at.sibling(), at.parent()) else {
            break;
        };
        path.push(sibling);
        at = parent;
    }
    path
}

fn known(nodes: &[Node], index: NodeIndex) -> Option<Node> {
    nodes.iter().find(|node| node.index == index).copied()
}

/// The block before the hash, where both are asked for.
fn target(request: &Request) -> Result<Option<Target>, PlanError> {
    if let Some(block) = request.block {
        let top = PlanError::OutOfBounds {
            index: NodeIndex::new(u64::MAX),
        };
        let index = block.index.leaf().ok_or(top)?;
        return Ok(Some(Target {
            index,
            steps: block.nodes,
            is_block: true,
        }));
    }
    let hash = request.hash;
    Ok(hash.map(|hash| Target {
        index: hash.index,
        steps: hash.nodes,
        is_block: false,
    }))
}

fn bounds(head: &Head, upgrade: UpgradeRequest) -> Result<(Length, Length), PlanError> {
    let UpgradeRequest { start, length } = upgrade;
    let outside = PlanError::UpgradeOutside {
        start,
        length,
        present: head.length,
    };
    let to = start.get().checked_add(length.get()).ok_or(outside)?;
    if length == Length::ZERO || to > head.length.get() {
        return Err(outside);
    }
    Ok((start, Length::new(to)))
}

fn cover_prologue(upgrade: &mut UpgradeRequest, prologue: Option<&Prologue>) {
    if let Some(prologue) = prologue
        && upgrade.start < prologue.length
    {
        *upgrade = UpgradeRequest {
            start: Length::ZERO,
            length: prologue.length,
        };
    }
}
