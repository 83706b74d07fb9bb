//! One block: from the store if it is there, else from whoever has it.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future::yield_now;
use hc_merkle::BlockIndex;
use hc_merkle::limits::MAX_LENGTH;
use hc_replicator::Demand;

use super::reader::{Form, Reader};
use super::wait::Wait;
use crate::core::Core;
use crate::error::GetError;
use crate::rt::BoxFuture;
use crate::session::OnWait;

/// A block that was asked for; see [`Hypercore::get`](crate::Hypercore::get). Dropping it takes the
/// question back.
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use std::time::Duration;
/// # use hypercore::encryption::EncryptionKey;
/// # use hypercore::{GetError, Hypercore, Storage};
/// let key = EncryptionKey::from_bytes([1; 32]);
/// let log = Hypercore::builder(Storage::memory()).encryption_key(key).open().await?;
/// log.append("hello").await?;
/// assert_eq!(log.get(0).await?, "hello");
/// assert_ne!(log.get(0).encrypted().await?, "hello"); // as it is relayed
///
/// // a block that is not here is waited for: not at all, for a time, or until somebody sends it
/// let missing = log.get(1).local().await;
/// assert!(matches!(missing, Err(GetError::NotLocal { .. })));
/// let late = log.get(1).timeout(Duration::from_millis(1)).on_wait(|index| println!("{index}"));
/// assert!(matches!(late.await, Err(GetError::TimedOut { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "nothing is read unless it is awaited"]
pub struct Get {
    reader: Reader,
    index: BlockIndex,
    wait: Option<Wait>,
    on_wait: Option<OnWait>,
    force: bool,
    form: Form,
}

impl Get {
    pub(crate) fn new(reader: Reader, index: BlockIndex) -> Self {
        Self {
            reader,
            index,
            wait: None,
            on_wait: None,
            force: false,
            form: Form::Plain,
        }
    }

    /// How long to wait for a block that is not stored here, instead of what the handle does by default;
    /// forever, if that says nothing.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Waits for so long: [`GetError::TimedOut`] after that.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.wait(Wait::For(timeout))
    }

    /// Does not wait: [`GetError::NotLocal`] if the block is not stored here.
    pub fn local(self) -> Self {
        self.wait(Wait::No)
    }

    /// Asks peers for it also where [little else](crate::PullPolicy::Forced) is asked for.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// Calls a function if the block has to be waited for, before the one of the handle.
    pub fn on_wait(mut self, hook: impl Fn(BlockIndex) + Send + Sync + 'static) -> Self {
        self.on_wait = Some(Arc::new(hook));
        self
    }

    /// The block as it is stored, encrypted where the log is.
    pub fn raw(mut self) -> Self {
        self.form = Form::Stored;
        self
    }

    /// The block as long as it is in plain text, but not decrypted: without what the encryption put in
    /// front of it.
    pub fn encrypted(mut self) -> Self {
        self.form = Form::Ciphertext;
        self
    }

    async fn run(self) -> Result<Bytes, GetError> {
        let (reader, index) = (&self.reader, self.index);
        let handle = &reader.handle;
        if handle.gate.is_closed() {
            return Err(handle.core.closed());
        }
        if index.get() >= MAX_LENGTH.get() {
            return Err(GetError::PastAnyLog { index });
        }
        if let Some(block) = reader.look(index, self.form).await? {
            return Ok(block);
        }
        let asked = reader.moment();
        if reader.is_cut(index, asked) {
            return Err(GetError::Truncated { index });
        }
        let wait = self.wait.unwrap_or(handle.defaults.wait);
        if wait == Wait::No {
            return Err(GetError::NotLocal { index });
        }
        handle.defaults.note_wait(index, self.on_wait.as_ref());
        let wait = wait.fixed(&handle.core);
        let what = if self.force {
            Demand::Forced(index)
        } else {
            Demand::Block(index)
        };
        loop {
            match reader.fetch(what.clone(), index, wait).await {
                // It was cut before it was asked for, and the machine heard of it after; or nothing that is
                // stored here tells that it was cut, and it is asked for on the later fork.
                Err(GetError::Truncated { .. }) if !reader.is_cut(index, asked) => {}
                fetched => fetched?,
            }
            if reader.is_cut(index, asked) {
                return Err(GetError::Truncated { index });
            }
            if let Some(block) = reader.look(index, self.form).await? {
                return Ok(block);
            }
            // Dropped again in the meantime: then it is waited for once more.
            yield_now().await;
        }
    }
}

impl IntoFuture for Get {
    type Output = Result<Bytes, GetError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get")
            .field("index", &self.index)
            .field("wait", &self.wait)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// A block as it is stored; `None` if it is not.
    ///
    /// Takes no lock but for a moment. A block that the store has dropped is not stored, whether the
    /// view that says so was published already or not; one that the store says is there and does not
    /// give is lost.
    pub(crate) fn read(&self, index: BlockIndex) -> Result<Option<Bytes>, GetError> {
        if !self.view.load().have.get(index.get()) {
            return Ok(None);
        }
        if let Some(block) = self.log.block(index)? {
            return Ok(Some(block));
        }
        if self.log.bitfield()?.get(index.get()) {
            // It may have come back in between.
            let again = self.log.block(index)?;
            return again.map(Some).ok_or(GetError::Lost { index });
        }
        Ok(None)
    }
}
