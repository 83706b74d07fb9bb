//! Values as JSON text, of any type that serde knows.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Codec;

/// JSON text, of any type that serde knows. With the feature `json`.
///
/// ```
/// # futures_lite::future::block_on(async {
/// # use hypercore::{Hypercore, Json, Storage};
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Note {
///     text: String,
/// }
///
/// # let log = Hypercore::builder(Storage::memory()).open().await?;
/// let notes = log.typed(Json::<Note>::new());
/// notes.append(Note { text: "hello".into() }).await?;
/// assert_eq!(notes.get(0).await?.text, "hello");
/// assert_eq!(log.get(0).await?, r#"{"text":"hello"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Json<T>(PhantomData<fn(T) -> T>);

impl<T> Json<T> {
    /// The codec.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Json<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json")
    }
}

impl<T> Codec for Json<T>
where
    T: Serialize + DeserializeOwned + Send + 'static,
{
    type Value = T;
    type Error = serde_json::Error;

    fn encode(&self, value: &T) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(value).map(Bytes::from)
    }

    fn decode(&self, block: Bytes) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&block)
    }
}
