//! The encrypted stream against the reference's transcripts, and what it refuses.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use hc_protocol::frame::prefix;
use hc_protocol::secret_stream::{
    OVERHEAD, Pull, Push, SecretStreamError, StreamHeader, StreamId, Tag, header_message,
    read_header_message,
};
use hc_protocol::{Side, StreamKey};
use proptest::prelude::*;

use crate::transcripts::{
    array, bytes, established, header, list, plain, secret_stream, side, text,
};

fn sealed(push: &mut Push, tag: Tag, plain: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; 1 + plain.len() + 16];
    buffer[1..=plain.len()].copy_from_slice(plain);
    push.push(tag, &mut buffer).unwrap();
    buffer
}

fn opened(pull: &mut Pull, message: &[u8]) -> Result<(Tag, Vec<u8>), SecretStreamError> {
    let mut buffer = message.to_vec();
    let tag = pull.pull(&mut buffer)?;
    Ok((tag, buffer[1..buffer.len() - 16].to_vec()))
}

#[test]
fn transcripts_are_reproduced_and_read_byte_for_byte() {
    let vectors = secret_stream();
    for transcript in list(&vectors["transcripts"]) {
        for name in ["initiator", "responder"] {
            let from = side(&name.into());
            let header = header(transcript, from);
            let sender = established(transcript, from);
            let id = StreamId::new(from, &sender.hash);
            assert_eq!(id.0, array(&header["streamId"]));
            let start = StreamHeader(array(&header["header"]));
            let first = header_message(&id, &start);
            let raw = bytes(&header["raw"]);
            assert_eq!(raw, [&prefix(first.len()).unwrap()[..], &first].concat());
            assert_eq!(read_header_message(&raw[3..], &id), Ok(start));

            let mut push = Push::new(&sender.tx, &start);
            let mut pull = Pull::new(&established(transcript, from.other()).rx, &start);
            let frames = list(&transcript["frames"]).iter();
            for frame in frames.filter(|frame| text(&frame["from"]) == name) {
                let plain = plain(frame);
                let message = sealed(&mut push, Tag::MESSAGE, &plain);
                let raw = bytes(&frame["raw"]);
                assert_eq!(raw[..3], prefix(message.len()).unwrap());
                assert!(raw[3..] == message, "{} bytes", plain.len());
                assert!(opened(&mut pull, &raw[3..]).unwrap() == (Tag::MESSAGE, plain));
            }
        }
    }
}

fn pair(key: u8) -> (Push, Pull) {
    let key = StreamKey::new([key; 32]);
    let header = StreamHeader([9; 24]);
    (Push::new(&key, &header), Pull::new(&key, &header))
}

/// Tag, length and BLAKE2b-256 of what libsodium 1.0.21 made of messages whose byte `i` is
/// `7 * i + tag`, with a key of sevens and a header of nines.
const LIBSODIUM: [(Tag, usize, &str); 6] = [
    (
        Tag::MESSAGE,
        15,
        "30558e4312067842ac94f72f49d2c988aa14a303db329f22265f9d5362371303",
    ),
    (
        Tag::PUSH,
        0,
        "2c12e46f2ee256fc7ab01f8552820a4f88443bbdd2218cadb20affa6762bf7ab",
    ),
    (
        Tag::REKEY,
        128,
        "1236a8ae3066147b36752527a3f44064b9e2617b4004fa4e51042a240ff4e886",
    ),
    (
        Tag::MESSAGE,
        129,
        "a216390eeedd95549f160ad0a6a0391e956448a47e6fc32704e5f4b91c381413",
    ),
    (
        Tag::FINAL,
        400,
        "978878b027efc10e08854274ec3ad46a6497776375bc02979814a08011d43350",
    ),
    (
        Tag::MESSAGE,
        1025,
        "1ea901574cc48de352fe641526dbedb55eaaea8f3895d395b5069edd50432237",
    ),
];

#[test]
fn every_tag_does_what_it_does_in_libsodium() {
    let (mut push, mut pull) = pair(7);
    for (tag, len, hash) in LIBSODIUM {
        let plain: Vec<u8> = (0..len)
            .map(|i| (7 * i + usize::from(tag.0)).to_le_bytes()[0])
            .collect();
        let message = sealed(&mut push, tag, &plain);
        assert_eq!(
            hex::encode(Blake2b::<U32>::digest(&message)),
            hash,
            "{tag:?}, {len} bytes"
        );
        assert_eq!(opened(&mut pull, &message), Ok((tag, plain)));
    }
}

#[test]
fn lost_repeated_and_swapped_messages_are_refused() {
    let (mut push, mut pull) = pair(7);
    let sent: Vec<_> = (0..3u8)
        .map(|i| sealed(&mut push, Tag::MESSAGE, &[i; 50]))
        .collect();
    let unauthentic = Err(SecretStreamError::Unauthentic);
    assert_eq!(
        opened(&mut pull, &sent[1]),
        unauthentic,
        "the first is missing"
    );
    assert!(
        opened(&mut pull, &sent[0]).is_ok(),
        "a refusal leaves the stream as it was"
    );
    assert_eq!(opened(&mut pull, &sent[0]), unauthentic, "twice");
    assert_eq!(opened(&mut pull, &sent[2]), unauthentic, "too early");
    assert!(opened(&mut pull, &sent[1]).is_ok());
}

#[test]
fn messages_shorter_than_the_overhead_are_refused() {
    let (_, mut pull) = pair(7);
    for len in 0..OVERHEAD {
        assert_eq!(
            pull.pull(&mut vec![0; len]),
            Err(SecretStreamError::TooShort { len })
        );
    }
    let empty = pull.pull(&mut [0; OVERHEAD]);
    assert_eq!(empty, Err(SecretStreamError::Unauthentic));
}

#[test]
fn headers_of_another_length_or_connection_are_refused() {
    let vectors = secret_stream();
    let hash = established(&vectors["transcripts"][0], Side::Initiator).hash;
    let id = StreamId::new(Side::Initiator, &hash);
    let message = header_message(&id, &StreamHeader([1; 24]));
    for len in (0..message.len()).chain([message.len() + 1]) {
        let mut bytes = message.to_vec();
        bytes.resize(len, 0);
        let refused = Err(SecretStreamError::HeaderLength { len });
        assert_eq!(read_header_message(&bytes, &id), refused);
    }
    let other = StreamId::new(Side::Responder, &hash);
    assert_eq!(
        read_header_message(&message, &other),
        Err(SecretStreamError::WrongStream)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_of_every_length_come_back(
        messages in prop::collection::vec((0u8..4, prop::collection::vec(any::<u8>(), 0..2400)), 1..6),
    ) {
        let (mut push, mut pull) = pair(3);
        for (tag, message) in messages {
            let sent = sealed(&mut push, Tag(tag), &message);
            prop_assert_eq!(opened(&mut pull, &sent), Ok((Tag(tag), message)));
        }
    }

    #[test]
    fn no_altered_bit_is_accepted(
        message in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let (mut push, mut pull) = pair(3);
        let mut sent = sealed(&mut push, Tag::MESSAGE, &message);
        let at = at.index(sent.len());
        sent[at] ^= 1 << bit;
        let before = sent.clone();
        prop_assert_eq!(pull.pull(&mut sent), Err(SecretStreamError::Unauthentic));
        prop_assert_eq!(sent, before);
    }
}
