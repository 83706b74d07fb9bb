//! Logs that are whole, torn, written over older ones, and damaged.

use super::*;

/// A part with its header.
fn part(kind: u8, number: Option<u32>, content: &[u8]) -> Vec<u8> {
    let mut covered = vec![kind];
    covered.extend(number.iter().flat_map(|number| number.to_le_bytes()));
    covered.extend_from_slice(content);
    let mut out = masked(crc32c::crc32c(&covered)).to_le_bytes().to_vec();
    out.extend_from_slice(&u16::try_from(content.len()).expect("short").to_le_bytes());
    out.extend_from_slice(&covered);
    out
}

fn read(bytes: &[u8]) -> Result<Vec<Bytes>, BadFile> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("writing it");
    let placed = PlacedFile::open(file.path())?;
    let bytes = placed.read_all("a log", 1 << 20)?;
    let found = records(&placed, &bytes, 7, LastRecord::MayBeTorn)?;
    Ok(found.into_iter().map(|record| record.bytes).collect())
}

#[test]
fn records_in_one_part_and_in_many_are_read() {
    let mut log = part(FULL, None, b"one");
    let big = vec![b'x'; BLOCK - log.len() - HEADER];
    log.extend(part(FIRST, None, &big));
    log.extend(part(MIDDLE, None, &vec![b'y'; BLOCK - HEADER]));
    log.extend(part(LAST, None, b"z"));
    let found = read(&log).expect("a log");
    assert_eq!(found[0], "one");
    assert_eq!(found[1].len(), 2 * BLOCK - 10 - 2 * HEADER + 1);
    assert!(found[1].ends_with(b"yz"));
}

#[test]
fn a_block_is_left_where_no_header_fits() {
    let mut log = part(FULL, None, &vec![b'x'; BLOCK - 2 * HEADER + 3]);
    assert_eq!(log.len(), BLOCK - 4);
    log.extend([0; 4]);
    log.extend(part(FULL, None, b"next"));
    let found = read(&log).expect("a log");
    assert_eq!(found[1], "next");
}

#[test]
fn a_log_over_an_older_one_ends_where_that_shows() {
    let mut log = part(FULL + RECYCLABLE, Some(7), b"new");
    log.extend(part(FIRST + RECYCLABLE, Some(7), b"a"));
    log.extend(part(LAST + RECYCLABLE, Some(7), b"b"));
    log.extend(part(FULL + RECYCLABLE, Some(6), b"old"));
    assert_eq!(read(&log).expect("a log"), ["new", "ab"]);
}

#[test]
fn what_a_crash_cut_off_is_left_out() {
    let mut log = part(FULL, None, b"whole");
    let whole = log.len();
    log.extend(part(FULL, None, b"torn"));
    for end in whole..log.len() {
        assert_eq!(read(&log[..end]).expect("a log"), ["whole"], "cut at {end}");
    }
    log.extend([0; 100]);
    let last = log.len() - 101;
    log[last] ^= 1;
    assert_eq!(read(&log).expect("a log"), ["whole"]);
}

#[test]
fn damage_with_something_behind_it_is_named() {
    let mut log = part(FULL, None, b"first");
    let second = log.len();
    log.extend(part(FULL, None, b"second"));
    log.extend(part(FULL, None, b"third"));
    log[second + HEADER] ^= 1;
    let error = read(&log).expect_err("it is damaged");
    assert_eq!(error.offset, second as u64);
    assert!(matches!(error.fault, FileFault::Checksum), "{error}");
}

#[test]
fn a_record_that_nothing_began_is_refused() {
    let error = read(&part(LAST, None, b"x")).expect_err("nothing began it");
    assert!(
        matches!(error.fault, FileFault::Malformed { .. }),
        "{error}"
    );
    let mut log = part(FIRST, None, b"x");
    log.extend(part(FULL, None, b"y"));
    read(&log).expect_err("it did not end");
}

#[test]
fn parts_that_may_be_passed_over_are() {
    let mut log = part(SET_COMPRESSION, None, &[0, 0, 0, 0]);
    log.extend(part(SAFE_TO_IGNORE + 2, None, b"about the log before"));
    log.extend(part(FULL, None, b"x"));
    assert_eq!(read(&log).expect("a log"), ["x"]);
    let error = read(&part(SET_COMPRESSION, None, &[7, 0, 0, 0])).expect_err("compressed");
    assert!(
        matches!(error.fault, FileFault::Unsupported { .. }),
        "{error}"
    );
}
