//! Blocks whose keys share beginnings.

use super::*;

/// A block of entries (shared, rest of the key, value), and one place to start from.
fn block(rows: &[(u8, &[u8], &[u8])], values: Values) -> Bytes {
    let mut out = Vec::new();
    for (shared, key, value) in rows {
        out.extend([*shared, u8::try_from(key.len()).expect("short")]);
        if values == Values::Sized {
            out.push(u8::try_from(value.len()).expect("short"));
        }
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
    out.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    out.into()
}

#[test]
fn keys_are_put_together() {
    let rows: [(u8, &[u8], &[u8]); 3] = [(0, b"apple", b"1"), (3, b"ly", b"22"), (0, b"b", b"")];
    let found = entries(&block(&rows, Values::Sized), Values::Sized).expect("a block");
    let keys: Vec<&[u8]> = found.iter().map(|entry| entry.key.as_ref()).collect();
    assert_eq!(keys, [&b"apple"[..], b"apply", b"b"]);
    assert_eq!(found[1].value, "22");
}

#[test]
fn handles_without_a_length_are_cut_by_their_meaning() {
    let rows: [(u8, &[u8], &[u8]); 2] = [(0, b"k1", &[10, 20]), (1, b"2", &[6])];
    let found = entries(&block(&rows, Values::Handles), Values::Handles).expect("a block");
    assert_eq!(found[0].value, &[10, 20][..]);
    assert_eq!(
        (found[1].key.as_ref(), found[1].value.as_ref()),
        (&b"k2"[..], &[6][..])
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let more_shared: [(u8, &[u8], &[u8]); 1] = [(1, b"a", b"")];
    assert!(entries(&block(&more_shared, Values::Sized), Values::Sized).is_none());
    for bytes in [
        &[][..],
        &[0, 0, 0],
        &[9, 0, 0, 0],
        &[0, 0, 0, 128],
        &[255; 12],
    ] {
        assert!(
            entries(&Bytes::copy_from_slice(bytes), Values::Sized).is_none(),
            "{bytes:?}"
        );
    }
}

/// Entries of three bytes that repeat a key of many: what they ask for is not made.
#[test]
fn keys_that_share_too_much_do_not_fill_memory() {
    let key_len = 1 << 20;
    let mut out = vec![0];
    hc_storage::varint::put(&mut out, key_len);
    out.push(0);
    out.extend(vec![b'k'; 1 << 20]);
    for _ in 0..200 {
        hc_storage::varint::put(&mut out, key_len);
        out.extend([0, 0]);
    }
    out.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    assert!(entries(&out.into(), Values::Sized).is_none());
}

#[test]
fn checksums_of_all_kinds_are_those_of_the_format() {
    let bytes = b"block\0";
    assert_eq!(Checksum::None.of(bytes), 0);
    assert_eq!(
        Checksum::Crc32c.of(bytes),
        crc32c::crc32c(bytes)
            .rotate_right(15)
            .wrapping_add(0xa282_ead8)
    );
    assert_eq!(Checksum::Xxh32.of(bytes), xxh32(bytes, 0));
    let checksums = Checksums {
        kind: Checksum::Xxh3,
        context: 5,
    };
    assert_eq!(checksums.of_place(7 + (2 << 32)), 5 ^ 9);
}

#[test]
fn a_block_that_says_it_is_too_long_is_refused_before_it_is_read() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), [0; 100]).expect("written");
    let file = PlacedFile::open(file.path()).expect("opened");
    let checksums = Checksums {
        kind: Checksum::None,
        context: 0,
    };
    let read = |len| checksums.read(&file, Handle { offset: 3, len });
    let error = read(MAX_TABLE_BLOCK).expect_err("it is not there");
    assert!(matches!(error.fault, FileFault::Truncated), "{error}");
    for len in [MAX_TABLE_BLOCK + 1, u64::MAX] {
        let error = read(len).expect_err("too long");
        assert!(matches!(error.fault, FileFault::TooLong { .. }), "{error}");
        assert_eq!(error.offset, 3);
    }
    assert_eq!(read(20).expect("a block").len(), 20);
}
