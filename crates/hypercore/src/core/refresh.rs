//! Taking in what another process wrote to a store that is read beside it.

use std::sync::Arc;

use hc_replicator::Published;

use super::Core;
use crate::error::RefreshError;
use crate::view::View;

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

    fn reload(&self) -> Result<bool, RefreshError> {
        // Another log of the store may have taken in what concerns this one too.
        self.store.refresh()?;
        let before = self.view.load();
        let mut next = View::new(
            self.log.head()?,
            self.log.bitfield()?,
            (*before.authority).clone(),
        );
        next.epoch = before.epoch.wrapping_add(1);
        if next.state() == before.state() && next.have == before.have {
            return Ok(false);
        }
        let gained = next
            .have
            .difference(&before.have, 0..next.head.length().get())
            .collect();
        let change = Published {
            gained,
            ..Published::default()
        };
        self.publish(next, change, Vec::new());
        Ok(true)
    }
}
