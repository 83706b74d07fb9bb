//! Behaviour of the crate through its public interface.

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
