//! Blocks and bytes in order, out of a log and into one.

use async_std::task::block_on;
use futures_lite::StreamExt;
use futures_lite::future::poll_once;
use futures_util::SinkExt;
use hypercore::encryption::EncryptionKey;
use hypercore::{
    AppendError, ByteStream, ByteStreamError, Bytes, Event, GetError, Hypercore, ReadStream,
    Storage, Utf8, Wait, limits,
};

use crate::peers::{block, connect, reader, soon, writer};

async fn blocks(stream: ReadStream) -> Vec<Bytes> {
    soon(Box::pin(stream.try_collect::<Bytes, GetError, Vec<_>>()))
        .await
        .unwrap()
}

async fn pieces(stream: ByteStream) -> Vec<Bytes> {
    soon(Box::pin(
        stream.try_collect::<Bytes, ByteStreamError, Vec<_>>(),
    ))
    .await
    .unwrap()
}

async fn hello() -> Hypercore {
    let log = writer().await;
    let words = ["hello", "world", "verden", "welt"];
    log.append_batch(words).await.unwrap();
    log
}

#[test]
fn all_blocks_in_order() {
    block_on(async {
        let log = hello().await;
        let all = ["hello", "world", "verden", "welt"];
        assert_eq!(blocks(log.read_stream(..)).await, all);
        assert_eq!(blocks(log.read_stream(1..3)).await, ["world", "verden"]);
        assert_eq!(blocks(log.read_stream(2..)).await, ["verden", "welt"]);
        assert_eq!(blocks(log.read_stream(..=1)).await, ["hello", "world"]);
        assert_eq!(blocks(log.read_stream(2..2)).await, [""; 0]);
        assert_eq!(blocks(log.read_stream(9..)).await, [""; 0]);
        let backwards = log.read_stream(1..).backwards();
        assert_eq!(blocks(backwards).await, ["welt", "verden", "world"]);
        let backwards = log.read_stream(..2).backwards().live();
        assert_eq!(blocks(backwards).await, ["world", "hello"]);
        let all = log.read_stream(..).backwards();
        assert_eq!(blocks(all).await.len(), 4);
    });
}

#[test]
fn a_range_with_an_end_ends_though_it_is_live() {
    block_on(async {
        let log = hello().await;
        assert_eq!(
            blocks(log.read_stream(0..2).live()).await,
            ["hello", "world"]
        );
    });
}

#[test]
fn where_a_stream_without_an_end_ends() {
    block_on(async {
        let log = hello().await;
        let mut fixed = log.read_stream(2..);
        let mut growing = log.read_stream(2..).growing();
        let mut live = log.read_stream(2..).live();
        for stream in [&mut fixed, &mut growing, &mut live] {
            assert_eq!(stream.next().await.unwrap().unwrap(), "verden");
        }
        log.append("mundo").await.unwrap();
        for stream in [&mut fixed, &mut growing, &mut live] {
            assert_eq!(stream.next().await.unwrap().unwrap(), "welt");
        }
        assert!(fixed.next().await.is_none());
        assert!(fixed.next().await.is_none(), "and stays ended");
        assert_eq!(growing.next().await.unwrap().unwrap(), "mundo");
        assert!(growing.next().await.is_none());
        assert_eq!(live.next().await.unwrap().unwrap(), "mundo");
        let mut next = Box::pin(live.next());
        assert!(poll_once(&mut next).await.is_none());
        log.append("monde").await.unwrap();
        assert_eq!(soon(next).await.unwrap().unwrap(), "monde");
    });
}

#[test]
fn an_end_past_that_of_the_log_is_waited_for() {
    block_on(async {
        let log = hello().await;
        let mut stream = log.read_stream(3..5);
        assert_eq!(stream.next().await.unwrap().unwrap(), "welt");
        let mut next = Box::pin(stream.next());
        assert!(poll_once(&mut next).await.is_none());
        log.append("mundo").await.unwrap();
        assert_eq!(soon(next).await.unwrap().unwrap(), "mundo");
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn what_was_there_is_read_though_it_is_cut_meanwhile() {
    block_on(async {
        let log = hello().await;
        let mut stream = log.read_stream(..);
        assert_eq!(stream.next().await.unwrap().unwrap(), "hello");
        log.truncate(1).await.unwrap();
        log.append_batch(["a", "b", "c"]).await.unwrap();
        let rest = blocks(stream).await;
        assert_eq!(rest, ["world", "verden", "welt"]);
        let snapshot = log.snapshot().unwrap();
        log.truncate(0).await.unwrap();
        assert_eq!(blocks(snapshot.read_stream(1..)).await, ["a", "b", "c"]);
        assert_eq!(pieces(snapshot.byte_stream(6..)).await, ["b", "c"]);
        assert_eq!(blocks(log.read_stream(..)).await, [""; 0]);
    });
}

/// Small blocks are read some at a time: more of them than at once, with one that is long, and a gap.
#[test]
fn many_small_blocks_are_read_as_they_were() {
    block_on(async {
        let log = writer().await;
        let mut all: Vec<Bytes> = (0..200).map(|at| block(at).into()).collect();
        all[90] = Bytes::from(vec![7; 100_000]);
        log.append_batch(all.clone()).await.unwrap();
        assert_eq!(blocks(log.read_stream(..)).await, all);
        assert_eq!(blocks(log.read_stream(3..150)).await, all[3..150]);

        let mut stream = log.read_stream(..);
        assert_eq!(stream.next().await.unwrap().unwrap(), all[0]);
        log.truncate(1).await.unwrap();
        log.append_batch((500..700).map(block)).await.unwrap();
        assert_eq!(blocks(stream).await, all[1..]);

        let log = writer().await;
        log.append_batch(all.clone()).await.unwrap();
        log.clear(40..42).await.unwrap();
        let mut stream = log.read_stream(..).wait(Wait::No);
        for expected in &all[..40] {
            assert_eq!(stream.next().await.unwrap().unwrap(), *expected);
        }
        let gap = stream.next().await.unwrap().unwrap_err();
        assert!(matches!(gap, GetError::NotLocal { index } if index.get() == 40));

        let mut stream = log.read_stream(50..);
        stream.next().await.unwrap().unwrap();
        stream.next().await.unwrap().unwrap();
        log.close().await.unwrap();
        let closed = stream.next().await.unwrap().unwrap_err();
        assert!(matches!(closed, GetError::Closed), "{closed}");
    });
}

#[test]
fn a_block_that_does_not_come_is_an_error_and_not_the_end() {
    block_on(async {
        let log = hello().await;
        log.clear(1..2).await.unwrap();
        let mut stream = log.read_stream(..).wait(Wait::No);
        assert_eq!(stream.next().await.unwrap().unwrap(), "hello");
        let error = stream.next().await.unwrap().unwrap_err();
        assert!(matches!(error, GetError::NotLocal { .. }), "{error}");
        assert!(stream.next().await.is_none());

        let mut closed = log.read_stream(..);
        assert!(closed.next().await.unwrap().is_ok());
        log.close().await.unwrap();
        let error = closed.next().await.unwrap().unwrap_err();
        assert!(matches!(error, GetError::Closed), "{error}");
    });
}

#[test]
fn a_reader_streams_from_its_peers() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..80).map(block)).await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        let found = blocks(to.read_stream(..).prefetch(16)).await;
        let all: Vec<_> = (0..80).map(|index| Bytes::from(block(index))).collect();
        assert_eq!(found, all, "it asked for the length first");
        drop(running);

        let to = reader(&from).await;
        let running = connect(&from, &to);
        let from_byte = 3 * from.byte_length().get() / 4;
        let found = pieces(to.byte_stream(from_byte..)).await.concat();
        let all = all.concat();
        assert_eq!(found, all[usize::try_from(from_byte).unwrap()..]);
        assert!(to.count(..) < 60, "what is before was not fetched");
        drop(running);
    });
}

#[test]
fn bytes_come_block_by_block() {
    block_on(async {
        let log = hello().await;
        let all = ["hello", "world", "verden", "welt"];
        assert_eq!(pieces(log.byte_stream(..)).await, all);
        // A length that is shorter than the offset, longer, none, and nothing at all.
        assert_eq!(pieces(log.byte_stream(6..11)).await, ["orld", "v"]);
        assert_eq!(pieces(log.byte_stream(3..13)).await, ["lo", "world", "ver"]);
        assert_eq!(pieces(log.byte_stream(10..)).await, ["verden", "welt"]);
        assert_eq!(pieces(log.byte_stream(5..6)).await, ["w"]);
        assert_eq!(pieces(log.byte_stream(7..7)).await, [""; 0]);
        assert_eq!(pieces(log.byte_stream(20..)).await, [""; 0]);
        assert_eq!(pieces(log.byte_stream(99..)).await, [""; 0]);
    });
}

#[test]
fn empty_blocks_are_empty_pieces() {
    block_on(async {
        let log = writer().await;
        log.append_batch(["hello", "", "", "world", ""])
            .await
            .unwrap();
        let all = ["hello", "", "", "world"];
        assert_eq!(pieces(log.byte_stream(..)).await, all);
        assert_eq!(pieces(writer().await.byte_stream(..)).await, [""; 0]);
    });
}

#[test]
fn bytes_are_bytes_whatever_the_values_are_and_plain_text_where_it_can_be() {
    block_on(async {
        let builder = Hypercore::builder(Storage::memory());
        let key = EncryptionKey::from_bytes([1; 32]);
        let log = builder.encryption_key(key).open().await.unwrap();
        let texts = log.typed(Utf8);
        texts.append_batch(["hello", "world"]).await.unwrap();
        assert_eq!(pieces(texts.log().byte_stream(2..8)).await, ["llo", "wor"]);
        let values: Vec<String> = texts.read_stream(..).try_collect().await.unwrap();
        assert_eq!(values, ["hello", "world"]);
    });
}

#[test]
fn bytes_past_the_end_are_waited_for_or_not() {
    block_on(async {
        let log = hello().await;
        let mut stream = log.byte_stream(18..22);
        assert_eq!(stream.next().await.unwrap().unwrap(), "lt");
        let mut next = Box::pin(stream.next());
        assert!(poll_once(&mut next).await.is_none());
        log.append("mundo").await.unwrap();
        assert_eq!(soon(next).await.unwrap().unwrap(), "mu");
        assert!(stream.next().await.is_none());
        let mut stream = log.byte_stream(99..100).wait(Wait::No);
        let error = stream.next().await.unwrap().unwrap_err();
        assert!(matches!(error, ByteStreamError::Seek(_)), "{error}");
    });
}

#[test]
fn what_is_sent_together_is_one_append() {
    block_on(async {
        let log = writer().await;
        let mut events = log.events();
        let mut sink = log.write_stream();
        for word in ["hello", "world", "verden"] {
            sink.feed(word).await.unwrap();
        }
        assert_eq!(log.length().get(), 0);
        SinkExt::<&str>::flush(&mut sink).await.unwrap();
        sink.send("welt").await.unwrap();
        SinkExt::<&str>::close(&mut sink).await.unwrap();
        let lengths: Vec<u64> = std::iter::from_fn(|| events.try_next())
            .map(|event| match event {
                Event::Append { length } => length.get(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lengths, [3, 4]);
        let all = ["hello", "world", "verden", "welt"];
        assert_eq!(blocks(log.read_stream(..)).await, all);
    });
}

#[test]
fn a_stream_flows_into_a_log() {
    block_on(async {
        let (from, to) = (hello().await, writer().await);
        let mut stream = from.read_stream(..);
        let mut sink = to.write_stream();
        while let Some(block) = stream.next().await {
            sink.feed(block.unwrap()).await.unwrap();
        }
        SinkExt::<Bytes>::close(&mut sink).await.unwrap();
        assert_eq!(to.head().tree_hash(), from.head().tree_hash());
    });
}

#[test]
fn as_much_as_the_limit_is_gathered_and_no_more() {
    block_on(async {
        let log = writer().await;
        let mut sink = log.write_stream();
        for _ in 0..limits::SINK_BLOCKS {
            sink.feed("x").await.unwrap();
        }
        assert_eq!(log.length().get(), 0);
        sink.feed("x").await.unwrap();
        assert_eq!(log.length().get(), limits::SINK_BLOCKS as u64);
        SinkExt::<&str>::flush(&mut sink).await.unwrap();
        assert_eq!(log.length().get(), limits::SINK_BLOCKS as u64 + 1);

        let log = writer().await;
        let mut sink = log.write_stream();
        sink.feed(vec![1; limits::SINK_BYTES - 1]).await.unwrap();
        sink.feed(vec![1]).await.unwrap();
        assert_eq!(log.length().get(), 0);
        sink.feed(vec![1]).await.unwrap();
        assert_eq!(log.length().get(), 2);
    });
}

#[test]
fn what_cannot_be_appended_is_an_error_of_the_sink() {
    block_on(async {
        let log = writer().await;
        let session = log.session().read_only().open().unwrap();
        let mut sink = session.write_stream();
        let error = sink.send("x").await.unwrap_err();
        assert!(matches!(error, AppendError::NotWritable), "{error}");
        let mut sink = log.write_stream();
        sink.feed("x").await.unwrap();
        log.close().await.unwrap();
        let error = SinkExt::<&str>::flush(&mut sink).await.unwrap_err();
        assert!(matches!(error, AppendError::Closed), "{error}");
    });
}
