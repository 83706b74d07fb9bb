//! Blocks into a log, as a sink: what is sent while nothing is being written becomes one append.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_sink::Sink;

use crate::error::AppendError;
use crate::hypercore::{Append, Appended, Hypercore, IntoBlock};
use crate::limits::{SINK_BLOCKS, SINK_BYTES};
use crate::rt::BoxFuture;
use crate::session::Handle;

/// Blocks to append: a sink that gathers them. See [`Hypercore::write_stream`].
#[must_use = "sinks do nothing unless polled"]
pub struct WriteStream {
    handle: Handle,
    gathered: Vec<Bytes>,
    bytes: usize,
    append: Option<BoxFuture<Result<Appended, AppendError>>>,
}

impl WriteStream {
    /// Appends what was gathered, and waits until it is stored.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AppendError>> {
        loop {
            if let Some(append) = &mut self.append {
                let appended = ready!(append.as_mut().poll(cx));
                self.append = None;
                appended?;
            }
            if self.gathered.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.bytes = 0;
            let blocks = std::mem::take(&mut self.gathered);
            let append = Append::new(self.handle.clone(), blocks);
            self.append = Some(append.into_future());
        }
    }
}

impl<B: IntoBlock> Sink<B> for WriteStream {
    type Error = AppendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), AppendError>> {
        if self.gathered.len() < SINK_BLOCKS && self.bytes < SINK_BYTES {
            return Poll::Ready(Ok(()));
        }
        self.poll_written(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, block: B) -> Result<(), AppendError> {
        let block = block.into_block();
        self.bytes = self.bytes.saturating_add(block.len());
        self.gathered.push(block);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), AppendError>> {
        self.poll_written(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), AppendError>> {
        self.poll_written(cx)
    }
}

impl fmt::Debug for WriteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteStream")
            .field("gathered", &self.gathered.len())
            .finish_non_exhaustive()
    }
}

impl Hypercore {
    /// A sink for blocks. What is sent before it is flushed becomes one append: all of it, under one
    /// signature, or none; up to 1024 blocks or 4 MiB are gathered. What was not flushed when it is
    /// dropped is not appended.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage};
    /// use futures_util::SinkExt;
    ///
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let mut blocks = log.write_stream();
    /// blocks.feed("a").await?;
    /// blocks.feed("b").await?;
    /// assert_eq!(log.length().get(), 0);
    /// SinkExt::<&str>::flush(&mut blocks).await?;
    /// assert_eq!(log.get(1).await?, "b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn write_stream(&self) -> WriteStream {
        WriteStream {
            handle: self.handle(),
            gathered: Vec::new(),
            bytes: 0,
            append: None,
        }
    }
}
