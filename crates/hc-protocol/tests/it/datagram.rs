//! Unordered datagrams against the reference's.

use hc_protocol::datagram::{DatagramError, Datagrams, OVERHEAD};
use hc_protocol::secretbox;
use hc_protocol::{HandshakeHash, Side};

use crate::transcripts::{array, bytes, list, secret_stream, side};

#[test]
fn datagrams_are_byte_for_byte_those_of_the_reference() {
    let vectors = secret_stream();
    for transcript in list(&vectors["transcripts"]) {
        let hash = HandshakeHash(array(&transcript["handshakeHash"]));
        for message in list(&transcript["unordered"]["messages"]) {
            let from = side(&message["from"]);
            let envelope = bytes(&message["envelope"]);
            let counter = u64::from_le_bytes(*envelope.first_chunk().unwrap());
            let plain = bytes(&message["plain"]);
            let mut sender = Datagrams::new(from, &hash, counter.wrapping_sub(1));
            assert_eq!(sender.seal(&plain).unwrap(), envelope);
            let receiver = Datagrams::new(from.other(), &hash, 0);
            assert_eq!(receiver.open(&envelope).unwrap(), plain);
            assert_eq!(
                sender.open(&envelope),
                Err(DatagramError::Unauthentic),
                "own datagram"
            );

            let key = array(&transcript["unordered"]["keys"][message["from"].as_str().unwrap()]);
            let mut nonce = [0; secretbox::NONCE_LEN];
            nonce[..8].copy_from_slice(&envelope[..8]);
            assert_eq!(
                secretbox::open(&key, &nonce, &envelope[8..]).unwrap(),
                plain
            );
        }
    }
}

#[test]
fn datagrams_may_be_lost_and_reordered_but_not_altered() {
    let vectors = secret_stream();
    let hash = HandshakeHash(array(&vectors["transcripts"][0]["handshakeHash"]));
    let mut sender = Datagrams::new(Side::Initiator, &hash, u64::MAX);
    let receiver = Datagrams::new(Side::Responder, &hash, 5);
    let sent: Vec<_> = [&b"one"[..], b"", b"three"]
        .map(|m| sender.seal(m).unwrap())
        .into();
    assert_eq!(receiver.open(&sent[2]).unwrap(), b"three");
    assert_eq!(receiver.open(&sent[0]).unwrap(), b"one");
    assert_eq!(receiver.open(&sent[1]).unwrap(), b"");
    assert_eq!(sent[1].len(), OVERHEAD);
    for at in 0..sent[0].len() {
        let mut altered = sent[0].clone();
        altered[at] ^= 1;
        assert_eq!(
            receiver.open(&altered),
            Err(DatagramError::Unauthentic),
            "byte {at}"
        );
        assert_eq!(
            receiver.open(&sent[0][..at]),
            Err(DatagramError::Unauthentic),
            "{at} bytes"
        );
    }
}
