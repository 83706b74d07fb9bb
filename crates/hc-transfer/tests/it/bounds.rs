//! What a bundle may ask for: the most, and one more.

use std::io::Cursor;

use hc_storage::varint;
use hc_transfer::bundle::{Bundle, BundleError, BundleFault};
use hc_transfer::limits::{MAX_BUNDLE_HEAD, MAX_BUNDLE_HEADER, MAX_BUNDLE_USER_DATA};

fn magic() -> Vec<u8> {
    b"\x89hcbundl\x01".to_vec()
}

/// The beginning of a record of this kind, which says that it is so long.
fn claiming(mut file: Vec<u8>, kind: u8, len: u64) -> Vec<u8> {
    file.push(kind);
    varint::put(&mut file, len);
    file
}

fn record(mut file: Vec<u8>, kind: u8, content: &[u8]) -> Vec<u8> {
    let start = file.len();
    file = claiming(file, kind, content.len() as u64);
    file.extend_from_slice(content);
    let checksum = crc32c::crc32c(&file[start..]);
    file.extend(checksum.to_le_bytes());
    file
}

/// A header that speaks of so many pieces of user data, in compat mode.
fn header(user_data: u64) -> Vec<u8> {
    let mut header = vec![7; 32];
    header.extend([1, 0, 0]);
    varint::put(&mut header, user_data);
    record(magic(), 1, &header)
}

fn fault(file: Vec<u8>) -> BundleFault {
    match Bundle::open(Cursor::new(file)).unwrap_err() {
        BundleError::Damaged { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn a_record_that_says_it_is_too_long_is_refused_by_its_first_bytes() {
    let at_most = |file: fn() -> Vec<u8>, kind, most| {
        let claim = |len| fault(claiming(file(), kind, len));
        assert_eq!(claim(most), BundleFault::Truncated);
        for len in [most + 1, u64::MAX] {
            assert_eq!(claim(len), BundleFault::TooLong { len });
        }
    };
    at_most(magic, 1, MAX_BUNDLE_HEADER);
    at_most(|| header(0), 2, MAX_BUNDLE_HEAD);
}

#[test]
fn user_data_is_counted_before_it_is_read() {
    let with = |count| record(header(count), 5, &[0, 0]);
    assert!(Bundle::open(Cursor::new(with(MAX_BUNDLE_USER_DATA))).is_ok());
    let over = with(MAX_BUNDLE_USER_DATA + 1);
    assert_eq!(fault(over), BundleFault::Malformed);
}
