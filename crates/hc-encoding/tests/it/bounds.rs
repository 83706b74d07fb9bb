//! A declared length makes no room that the input does not fill, and every limit holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hc_encoding::{
    BigUint, BitArray, Decode, DecodeErrorKind, Entries, Frame, Json, Lexint, MAX_ARRAY_LEN,
    MAX_JSON_DEPTH, Packed, Reader, Record, Utf16Le, decode_exact, encode_to_vec,
};

struct Counting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// Only counts, then leaves everything to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Decodes and returns the error, with the largest piece of memory that was asked for.
fn refused<'a, T: Decode<'a>>(bytes: &'a [u8]) -> (DecodeErrorKind, usize) {
    LARGEST.set(0);
    let error = T::decode(&mut Reader::new(bytes))
        .err()
        .expect("refused")
        .kind;
    (error, LARGEST.get())
}

#[test]
fn declared_lengths_make_no_room() {
    let truncated = DecodeErrorKind::Truncated;
    // 2^20 entries over three bytes
    let million = [0xfe, 0, 0, 0x10, 0, 1, 2, 3];
    for (kind, largest) in [
        refused::<Vec<u64>>(&million),
        refused::<Vec<[u8; 32]>>(&million),
        refused::<Vec<Vec<u64>>>(&million),
        refused::<Record<u64, u64>>(&million),
        refused::<Packed<u64>>(&million),
        refused::<BigUint>(&million),
        refused::<Frame<Vec<u64>>>(&million),
        refused::<Utf16Le>(&million),
        refused::<String>(&million),
        refused::<BitArray<'_>>(&million),
    ] {
        assert_eq!(kind, truncated);
        // A first entry makes room for four.
        assert!(largest <= 4 * size_of::<Vec<u64>>(), "{largest} bytes");
    }
    // 2^64 - 1 entries
    let endless = [0xff; 9];
    assert_eq!(refused::<Packed<u8>>(&endless), (truncated, 0));
    assert_eq!(refused::<BitArray<'_>>(&endless), (truncated, 0));
    assert_eq!(refused::<&[u8]>(&endless), (truncated, 0));
    assert_eq!(refused::<Vec<u64>>(&endless), (DecodeErrorKind::TooLong, 0));
}

#[test]
fn arrays_end_at_their_limit() {
    let longest = vec![0u64; MAX_ARRAY_LEN];
    let encoded = encode_to_vec(&longest);
    assert_eq!(
        decode_exact::<Vec<u64>>(&encoded).map(|own| own.len()),
        Ok(MAX_ARRAY_LEN)
    );
    let one_more = encode_to_vec(&vec![0u64; MAX_ARRAY_LEN + 1]);
    assert_eq!(refused::<Vec<u64>>(&one_more).0, DecodeErrorKind::TooLong);
    assert_eq!(
        refused::<Record<u64, ()>>(&one_more).0,
        DecodeErrorKind::TooLong
    );
}

#[test]
fn entries_without_bytes_do_not_repeat_for_ever() {
    assert_eq!(refused::<Entries<()>>(&[1]).0, DecodeErrorKind::Invalid);
    assert_eq!(decode_exact::<Entries<()>>(&[]), Ok(Entries(vec![])));
    assert_eq!(decode_exact::<Vec<()>>(&[3]), Ok(vec![(); 3]));
}

#[test]
fn json_ends_at_its_depth() {
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Json::new(&nested(MAX_JSON_DEPTH)).is_some());
    assert!(Json::new(&nested(MAX_JSON_DEPTH + 1)).is_none());
    assert!(Json::new(&"[".repeat(1 << 20)).is_none());
}

#[test]
fn positions_inside_a_frame_are_those_of_the_input() {
    let error = Frame::<Vec<&[u8]>>::decode(&mut Reader::new(&[4, 2, 1, 7, 9, 9, 9])).unwrap_err();
    assert_eq!((error.kind, error.at), (DecodeErrorKind::Truncated, 5));
}

#[test]
fn sortable_integers_past_64_bits_are_refused() {
    let largest = [0xff, 31, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert!(decode_exact::<Lexint>(&largest).is_ok());
    for past in [
        [0xff, 31, 0x10, 0, 0, 0, 0, 0],
        [0xff, 250, 0, 0, 0, 0, 0, 1],
    ] {
        assert_eq!(refused::<Lexint>(&past).0, DecodeErrorKind::Invalid);
    }
}
