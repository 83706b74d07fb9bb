//! Behaviour of the crate through its public interface.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod bounds;
mod dispatch;
mod round_trip;
mod vectors;

#[test]
fn uint_boundaries_round_trip() {
    for value in [
        0,
        0xfc,
        0xfd,
        0xffff,
        0x1_0000,
        0xffff_ffff,
        0x1_0000_0000,
        u64::MAX,
    ] {
        let bytes = hc_encoding::encode_to_vec(&value);
        assert_eq!(bytes.len(), hc_encoding::uint_len(value));
        assert_eq!(hc_encoding::decode_exact::<u64>(&bytes), Ok(value));
    }
}

#[test]
fn the_rest_is_shared_where_the_reader_is_over_bytes() {
    let backing = bytes::Bytes::from_static(b"\x01abc");
    let mut reader = hc_encoding::Reader::over(&backing);
    assert_eq!(reader.buffer().unwrap(), b"a");
    let rest = reader.shared_rest();
    assert_eq!(rest, "bc");
    assert!(backing.as_ptr_range().contains(&rest.as_ptr()));
    assert!(reader.is_empty());
    assert!(reader.shared_rest().is_empty());
    assert_eq!(hc_encoding::Reader::new(b"copied").shared_rest(), "copied");
}
