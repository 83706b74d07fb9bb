//! Values in blocks.

use std::convert::Infallible;
use std::string::FromUtf8Error;

use async_std::task::block_on;
use futures_lite::StreamExt;
use hypercore::{Bytes, Codec, DecodeError, EncodeError, GetError, Raw, Utf8};

use crate::peers::writer;

/// Upper case on the way in, and a mark on the way out.
struct Loud;

impl Codec for Loud {
    type Value = String;
    type Error = FromUtf8Error;

    fn encode(&self, value: &String) -> Result<Bytes, FromUtf8Error> {
        Ok(value.to_uppercase().into())
    }

    fn decode(&self, block: Bytes) -> Result<String, FromUtf8Error> {
        String::from_utf8(block.into()).map(|text| text + "!")
    }
}

/// All values of a batch in one block.
struct Joined;

impl Codec for Joined {
    type Value = String;
    type Error = FromUtf8Error;

    fn encode(&self, value: &String) -> Result<Bytes, FromUtf8Error> {
        Utf8.encode(value)
    }

    fn decode(&self, block: Bytes) -> Result<String, FromUtf8Error> {
        Utf8.decode(block)
    }

    fn encode_batch(&self, values: &[String]) -> Result<Vec<Bytes>, FromUtf8Error> {
        Ok(vec![values.join("-").into()])
    }
}

#[test]
fn text_and_bytes_as_they_are() {
    block_on(async {
        let log = writer().await;
        let texts = log.typed(Utf8);
        texts.append("one").await.unwrap();
        let bytes = log.typed(Raw);
        bytes.append(Bytes::from_static(b"\xff")).await.unwrap();
        assert_eq!(texts.get(0).await.unwrap(), "one");
        assert_eq!(bytes.get(0).await.unwrap(), "one");
        let error = texts.get(1).await.unwrap_err();
        assert!(matches!(error, DecodeError::Codec(_)), "{error}");
        let error = texts.get(2).local().await.unwrap_err();
        assert!(
            matches!(error, DecodeError::Get(GetError::NotLocal { .. })),
            "{error}"
        );
    });
}

#[cfg(feature = "json")]
#[test]
fn json_on_one_handle_and_text_for_one_get() {
    use hypercore::Json;
    use serde_json::{Value, json};
    block_on(async {
        let log = writer().await;
        let values = log.typed(Json::<Value>::new());
        let appended = values.append(json!({ "hello": "world" })).await.unwrap();
        assert_eq!(appended.length.get(), 1);
        assert_eq!(values.get(0).await.unwrap(), json!({ "hello": "world" }));
        let text = values.get(0).with(Utf8).await.unwrap();
        assert_eq!(text, r#"{"hello":"world"}"#);
        log.append("no json").await.unwrap();
        assert!(values.get(1).await.is_err());
    });
}

#[test]
fn a_codec_of_ones_own_writes_and_reads() {
    block_on(async {
        let log = writer().await;
        let session = log.session().open().unwrap();
        let loud = session.typed(Loud);
        loud.append_batch(["a", "b"]).await.unwrap();
        assert_eq!(loud.get(0).await.unwrap(), "A!");
        assert_eq!(
            log.get(1).await.unwrap(),
            "B",
            "other handles see the block"
        );
        let clone = loud.clone();
        let all: Vec<String> = clone.read_stream(..).try_collect().await.unwrap();
        assert_eq!(all, ["A!", "B!"]);
        let backwards = loud.decode(log.read_stream(..).backwards());
        let all: Vec<String> = backwards.try_collect().await.unwrap();
        assert_eq!(all, ["B!", "A!"]);
    });
}

#[test]
fn a_codec_may_make_what_blocks_it_likes_of_a_batch() {
    block_on(async {
        let log = writer().await;
        let joined = log.typed(Joined);
        let appended = joined.append_batch(["a", "b", "c"]).await.unwrap();
        assert_eq!(appended.length.get(), 1);
        joined.append("d").await.unwrap();
        assert_eq!(joined.get(0).await.unwrap(), "a-b-c");
        assert_eq!(joined.get(1).await.unwrap(), "d");
    });
}

/// Takes nothing.
struct Picky;

#[derive(Debug, thiserror::Error)]
#[error("too large")]
struct TooLarge;

impl Codec for Picky {
    type Value = u32;
    type Error = TooLarge;

    fn encode(&self, value: &u32) -> Result<Bytes, TooLarge> {
        let byte = u8::try_from(*value).map_err(|_| TooLarge)?;
        Ok(Bytes::copy_from_slice(&[byte]))
    }

    fn decode(&self, block: Bytes) -> Result<u32, TooLarge> {
        block.first().map(|byte| (*byte).into()).ok_or(TooLarge)
    }
}

#[test]
fn a_value_without_an_encoding_leaves_the_log_as_it_was() {
    block_on(async {
        let log = writer().await;
        let picky = log.typed(Picky);
        let error = picky.append_batch([1_u32, 2, 300]).await.unwrap_err();
        assert!(matches!(error, EncodeError::Codec(TooLarge)), "{error}");
        assert_eq!(log.length().get(), 0);
        picky.append_batch([1_u32, 2]).await.unwrap();
        assert_eq!(picky.get(1).await.unwrap(), 2);
        fn is_infallible(_: &impl Codec<Error = Infallible>) {}
        is_infallible(&Raw);
    });
}
