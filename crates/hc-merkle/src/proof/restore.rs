//! Nodes that a store has lost, from a proof of the whole log.
//!
//! Owns what makes such a proof fit the log that lost them. Knows nothing of how they were lost.

use super::Proof;
use super::verify::{Remote, whole};
use crate::error::ProofError;
use crate::{Authority, Change, Fork, Head, Length};

/// What is left of the head of a log that has lost nodes.
#[derive(Debug, Clone, Copy)]
pub enum Present<'a> {
    /// All of it.
    Head(&'a Head),
    /// Roots are missing.
    Rootless {
        /// Fork that it is on.
        fork: Fork,
        /// Number of blocks that it has.
        length: Length,
    },
}

impl Present<'_> {
    fn at(&self) -> (Fork, Length) {
        match *self {
            Self::Head(head) => (head.fork, head.length),
            Self::Rootless { fork, length } => (fork, length),
        }
    }
}

impl Remote {
    /// Verifies a proof of a whole log and makes the change that puts what it brings into a store that
    /// has lost some of it: nodes, the block that came along, and the head where its roots are lost.
    ///
    /// Where the head is whole, the proof has to show the same roots, at the length asked for or at the
    /// one that is signed. Where it is not, the signature decides, and the proof may not be of a shorter
    /// log: who signed the rest could be the one who lost it.
    ///
    /// # Errors
    /// [`ProofError`] says what is wrong.
    pub fn restore(
        proof: Proof,
        authority: &Authority,
        present: Present<'_>,
    ) -> Result<Change, ProofError> {
        let (ours, length) = present.at();
        if proof.fork != ours {
            return Err(ProofError::OtherFork {
                ours,
                theirs: proof.fork,
            });
        }
        let block = proof.block.as_ref();
        let block = block.map(|block| (block.index, block.value.clone()));
        let (remote, _, sure) = whole(proof, authority)?;
        let other = ProofError::OtherLength {
            ours: length,
            theirs: remote.head.length,
        };
        let head = match present {
            Present::Head(head) => {
                let shown = [&remote.asked, &remote.head];
                let same = shown.into_iter().find(|shown| shown.length == length);
                compare(head, same.ok_or(other)?)?;
                None
            }
            Present::Rootless { .. } if remote.head.length < length => return Err(other),
            Present::Rootless { .. } => Some(remote.head.clone()),
        };
        let within = head.as_ref().map_or(length, |head| head.length);
        let mut nodes = sure;
        nodes.retain(|node| node.index.end() <= within);
        nodes.sort_unstable_by_key(|node| node.index);
        nodes.dedup_by_key(|node| node.index);
        let learned = remote.learned.as_ref();
        Ok(Change {
            base: (ours, length),
            truncate: None,
            nodes,
            blocks: block
                .into_iter()
                .filter(|(index, _)| index.get() < within.get())
                .collect(),
            head,
            manifest: learned.and_then(|verifier| verifier.manifest().cloned()),
        })
    }
}

/// Whether two heads of one length are of the same tree. Sizes that are only known together may differ,
/// hashes may not.
fn compare(ours: &Head, theirs: &Head) -> Result<(), ProofError> {
    for (our, their) in ours.roots().iter().zip(theirs.roots()) {
        if our.hash != their.hash {
            return Err(ProofError::Checksum { index: our.index });
        }
    }
    Ok(())
}
