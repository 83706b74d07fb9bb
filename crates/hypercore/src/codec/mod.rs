//! Values in blocks: how they are encoded, and a handle that does it.
//!
//! Owns the [`Codec`] trait, the codecs that come with the crate, and the typed handle. The log itself
//! knows bytes and nothing else.

#[cfg(feature = "json")]
mod json;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::future::IntoFuture;
use std::ops::RangeBounds;
use std::pin::Pin;
use std::string::FromUtf8Error;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use thiserror::Error;

#[cfg(feature = "json")]
pub use self::json::Json;
use crate::error::{AppendError, GetError};
use crate::hypercore::{Appended, Hypercore};
use crate::read::{Get, Wait};
use crate::rt::BoxFuture;
use crate::stream::ReadStream;

/// How values become blocks, and blocks values.
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use hypercore::{Bytes, Codec, Hypercore, Storage};
/// /// Numbers in four bytes.
/// struct Numbers;
///
/// impl Codec for Numbers {
///     type Value = u32;
///     type Error = std::array::TryFromSliceError;
///
///     fn encode(&self, value: &u32) -> Result<Bytes, Self::Error> {
///         Ok(Bytes::copy_from_slice(&value.to_le_bytes()))
///     }
///
///     fn decode(&self, block: Bytes) -> Result<u32, Self::Error> {
///         Ok(u32::from_le_bytes(block.as_ref().try_into()?))
///     }
/// }
///
/// # let log = Hypercore::builder(Storage::memory()).open().await?;
/// let numbers = log.typed(Numbers);
/// numbers.append(7_u32).await?;
/// assert_eq!(numbers.get(0).await?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait Codec: Send + Sync + 'static {
    /// What is written and read.
    type Value: Send;
    /// What is wrong with a value that has no encoding, or with a block that is none.
    type Error: StdError + Send + Sync + 'static;

    /// The block of a value.
    ///
    /// # Errors
    /// Where it has none.
    fn encode(&self, value: &Self::Value) -> Result<Bytes, Self::Error>;

    /// The value of a block.
    ///
    /// # Errors
    /// Where it is none of this codec.
    fn decode(&self, block: Bytes) -> Result<Self::Value, Self::Error>;

    /// The blocks of values that are appended together: by default one for each. A codec of its own mind
    /// may make more or fewer of them.
    ///
    /// # Errors
    /// Where one of them has no encoding; nothing is appended then.
    fn encode_batch(&self, values: &[Self::Value]) -> Result<Vec<Bytes>, Self::Error> {
        values.iter().map(|value| self.encode(value)).collect()
    }
}

/// Blocks as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Raw;

impl Codec for Raw {
    type Value = Bytes;
    type Error = Infallible;

    fn encode(&self, value: &Bytes) -> Result<Bytes, Infallible> {
        Ok(value.clone())
    }

    fn decode(&self, block: Bytes) -> Result<Bytes, Infallible> {
        Ok(block)
    }
}

/// Text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Utf8;

impl Codec for Utf8 {
    type Value = String;
    type Error = FromUtf8Error;

    fn encode(&self, value: &String) -> Result<Bytes, FromUtf8Error> {
        Ok(Bytes::copy_from_slice(value.as_bytes()))
    }

    fn decode(&self, block: Bytes) -> Result<String, FromUtf8Error> {
        String::from_utf8(block.into())
    }
}

/// Why no value was appended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodeError<E: StdError + 'static> {
    /// A value has no encoding.
    #[error("encoding: {0}")]
    Codec(#[source] E),
    /// The blocks were not appended.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why there is no value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError<E: StdError + 'static> {
    /// The block is not one of the codec's.
    #[error("decoding: {0}")]
    Codec(#[source] E),
    /// There is no block.
    #[error(transparent)]
    Get(#[from] GetError),
}

/// A handle that writes and reads values; see [`Hypercore::typed`]. A clone is another session.
pub struct Typed<C> {
    log: Hypercore,
    codec: Arc<C>,
}

impl Hypercore {
    /// A session that writes and reads values of a codec instead of blocks.
    ///
    /// ```
    /// # futures_lite::future::block_on(async {
    /// # use hypercore::{Hypercore, Storage, Utf8};
    /// # let log = Hypercore::builder(Storage::memory()).open().await?;
    /// let texts = log.typed(Utf8);
    /// texts.append_batch(["héllo", "wörld"]).await?;
    /// assert_eq!(texts.get(1).await?, "wörld");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn typed<C: Codec>(&self, codec: C) -> Typed<C> {
        Typed {
            log: self.clone(),
            codec: Arc::new(codec),
        }
    }
}

impl<C: Codec> Typed<C> {
    /// The session: for all that has nothing to do with values.
    #[must_use]
    pub fn log(&self) -> &Hypercore {
        &self.log
    }

    /// Appends a value.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing was appended then.
    pub async fn append(
        &self,
        value: impl Into<C::Value>,
    ) -> Result<Appended, EncodeError<C::Error>> {
        let block = self.codec.encode(&value.into());
        let append = self.log.append(block.map_err(EncodeError::Codec)?);
        Ok(append.await?)
    }

    /// Appends values together: all of them, under one signature, or none.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing was appended then.
    pub async fn append_batch<V: Into<C::Value>>(
        &self,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Appended, EncodeError<C::Error>> {
        let append = {
            let values: Vec<C::Value> = values.into_iter().map(Into::into).collect();
            let blocks = self.codec.encode_batch(&values);
            self.log.append_batch(blocks.map_err(EncodeError::Codec)?)
        };
        Ok(append.await?)
    }

    /// Reads a value: as [`Hypercore::get`].
    pub fn get(&self, index: u64) -> TypedGet<C> {
        TypedGet {
            get: self.log.get(index),
            codec: self.codec.clone(),
        }
    }

    /// The values of a range in order: as [`Hypercore::read_stream`], whose options are set on the stream
    /// of blocks that [`Typed::decode`] takes.
    pub fn read_stream(&self, range: impl RangeBounds<u64>) -> TypedStream<C> {
        self.decode(self.log.read_stream(range))
    }

    /// The values of a stream of blocks.
    pub fn decode(&self, blocks: ReadStream) -> TypedStream<C> {
        TypedStream {
            blocks,
            codec: self.codec.clone(),
        }
    }
}

impl<C> Clone for Typed<C> {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            codec: self.codec.clone(),
        }
    }
}

impl<C> fmt::Debug for Typed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// A value that was asked for; see [`Typed::get`]. Dropping it takes the question back.
#[must_use = "nothing is read unless it is awaited"]
pub struct TypedGet<C> {
    get: Get,
    codec: Arc<C>,
}

impl<C: Codec> TypedGet<C> {
    /// As [`Get::wait`].
    pub fn wait(mut self, wait: Wait) -> Self {
        self.get = self.get.wait(wait);
        self
    }

    /// As [`Get::timeout`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.wait(Wait::For(timeout))
    }

    /// As [`Get::local`].
    pub fn local(self) -> Self {
        self.wait(Wait::No)
    }

    /// Reads it with another codec.
    pub fn with<D: Codec>(self, codec: D) -> TypedGet<D> {
        TypedGet {
            get: self.get,
            codec: Arc::new(codec),
        }
    }
}

impl<C: Codec> IntoFuture for TypedGet<C> {
    type Output = Result<C::Value, DecodeError<C::Error>>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let block = self.get.await?;
            self.codec.decode(block).map_err(DecodeError::Codec)
        })
    }
}

impl<C> fmt::Debug for TypedGet<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedGet")
            .field("get", &self.get)
            .finish_non_exhaustive()
    }
}

/// Values in order; see [`Typed::read_stream`].
#[must_use = "streams do nothing unless polled"]
pub struct TypedStream<C> {
    blocks: ReadStream,
    codec: Arc<C>,
}

impl<C: Codec> Stream for TypedStream<C> {
    type Item = Result<C::Value, DecodeError<C::Error>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let block = Pin::new(&mut self.blocks).poll_next(cx);
        block.map(|next| next.map(|block| self.codec.decode(block?).map_err(DecodeError::Codec)))
    }
}

impl<C> fmt::Debug for TypedStream<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedStream")
            .field("blocks", &self.blocks)
            .finish_non_exhaustive()
    }
}
