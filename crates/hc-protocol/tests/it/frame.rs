//! Length framing, however the bytes come.

use hc_protocol::frame::{FrameDecoder, FrameTooLong, prefix};
use hc_protocol::limits::MAX_FRAME_LEN;
use proptest::prelude::*;

fn framed(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        out.extend_from_slice(&prefix(frame.len()).unwrap());
        out.extend_from_slice(frame);
    }
    out
}

fn drain(decoder: &mut FrameDecoder) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| decoder.next_frame(MAX_FRAME_LEN).unwrap())
        .map(|frame| frame.to_vec())
        .collect()
}

proptest! {
    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
        cuts in prop::collection::vec(1usize..30, 1..60),
    ) {
        let bytes = framed(&frames);
        let mut decoder = FrameDecoder::new();
        let mut got = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, left) = rest.split_at((*cut).min(rest.len()));
            decoder.receive(piece);
            got.extend(drain(&mut decoder));
            rest = left;
        }
        prop_assert_eq!(got, frames);
        prop_assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
    for limit in [0, 1, 1024, MAX_FRAME_LEN - 1] {
        let mut decoder = FrameDecoder::new();
        decoder.receive(&prefix(limit).unwrap());
        decoder.receive(&vec![0; limit]);
        assert_eq!(decoder.next_frame(limit).unwrap().unwrap().len(), limit);

        let mut decoder = FrameDecoder::new();
        decoder.receive(&prefix(limit + 1).unwrap());
        let too_long = FrameTooLong {
            len: limit + 1,
            limit,
        };
        assert_eq!(decoder.next_frame(limit), Err(too_long));
    }
}

#[test]
fn the_prefix_has_three_bytes() {
    assert_eq!(prefix(0), Ok([0, 0, 0]));
    assert_eq!(prefix(0x01_02_03), Ok([3, 2, 1]));
    assert_eq!(prefix(MAX_FRAME_LEN), Ok([0xff; 3]));
    let too_long = FrameTooLong {
        len: MAX_FRAME_LEN + 1,
        limit: MAX_FRAME_LEN,
    };
    assert_eq!(prefix(MAX_FRAME_LEN + 1), Err(too_long));
}

#[test]
fn frames_share_the_memory_they_were_received_in() {
    let mut decoder = FrameDecoder::new();
    decoder.receive(&framed(&[vec![1; 100], vec![2; 100]]));
    let first = decoder.next_frame(MAX_FRAME_LEN).unwrap().unwrap();
    let second = decoder.next_frame(MAX_FRAME_LEN).unwrap().unwrap();
    assert_eq!(second.as_ptr() as usize - first.as_ptr() as usize, 103);
}

#[test]
fn a_large_frame_leaves_no_memory_behind() {
    for behind in [0, 1, 70_000] {
        let frames = [vec![1; 4_000_000], vec![2; behind]];
        let bytes = framed(&frames);
        let mut decoder = FrameDecoder::new();
        bytes
            .chunks(65_536)
            .for_each(|piece| decoder.receive(piece));
        let large = decoder.next_frame(MAX_FRAME_LEN).unwrap().unwrap();
        assert_eq!(large, frames[0]);
        assert!(large.freeze().is_unique(), "{behind} bytes behind it");
        assert_eq!(drain(&mut decoder), frames[1..]);
    }
}
