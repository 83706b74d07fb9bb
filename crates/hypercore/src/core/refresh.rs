//! Taking in what another process wrote to a store that is read beside it.

use std::sync::Arc;

use hc_merkle::{Head, Length, Node, NodeIndex};
use hc_replicator::Published;
use hc_storage::{CoreRead, StorageError};

use super::Core;
use super::publish::Staged;
use crate::error::RefreshError;

impl Core {
    /// Whether there was anything new.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<bool, RefreshError> {
        let guard = self.lane.lock().await?;
        let core = self.clone();
        let job = move || {
            let news = core.reload();
            drop(guard);
            news
        };
        self.block_on_disk(job)
            .await
            .ok_or(RefreshError::Interrupted)?
    }

    /// Shows what the store has taken in; says whether there was anything.
    pub(crate) async fn catch_up(&self) -> Result<bool, RefreshError> {
        let guard = self.lane.lock().await?;
        let news = self.reload();
        drop(guard);
        news
    }

    fn reload(&self) -> Result<bool, RefreshError> {
        let before = self.view.load();
        // Another log of the store may have taken in what concerns this one too: then the old tree is
        // gone, but for its roots.
        let stored = self.log.snapshot()?;
        let old = (stored.head()? == before.head).then_some(&*stored);
        if self.store.refresh()?
            && let Some(home) = &self.home
        {
            // Perhaps of other logs alone.
            home.refreshed();
        }
        let (head, have) = (self.log.head()?, self.log.bitfield()?);
        let mut staged = Staged::on(&before);
        let (is, was) = (&head, &before.head);
        if is.fork() != was.fork() || is.length() < was.length() {
            staged.cut(shared(was, old, is, &*self.log)?);
        }
        let span = 0..head.length().get();
        let left = staged.next.have.clone();
        for range in left.difference(&have, span.clone()).collect::<Vec<_>>() {
            staged.drop_blocks(range);
        }
        staged.next.head = head;
        staged.take_in(have.difference(&left, span));
        if staged.published == Published::default() && staged.next.state() == before.state() {
            return Ok(false);
        }
        self.publish(staged.next, staged.published, Vec::new());
        Ok(true)
    }
}

/// How many blocks an old tree and a new one have in common, as far as their nodes tell: down from each
/// root of the old one to the first node that differs.
fn shared(
    was: &Head,
    old: Option<&dyn CoreRead>,
    is: &Head,
    new: &dyn CoreRead,
) -> Result<Length, StorageError> {
    let is_new = |node: Option<Node>| -> Result<bool, StorageError> {
        let node = node.filter(|node| node.index.end() <= is.length());
        Ok(match node {
            Some(node) => new.node(node.index)? == Some(node),
            None => false,
        })
    };
    let same = |index: NodeIndex| -> Result<bool, StorageError> {
        is_new(old.map(|old| old.node(index)).transpose()?.flatten())
    };
    for root in was.roots() {
        let mut index = root.index;
        if is_new(Some(*root))? {
            continue;
        }
        // The first block under it that may differ is under the left child, if that does.
        while let (Some(left), Some(right)) = (index.left_child(), index.right_child()) {
            index = if same(left)? { right } else { left };
        }
        return Ok(Length::new(index.first_block().get()));
    }
    Ok(was.length())
}
