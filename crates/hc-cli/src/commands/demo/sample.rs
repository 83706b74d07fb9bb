//! The file of the demo: making one, hashing it, reading a part of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};

/// Bytes of the file that is made where none was given.
const BYTES: usize = 16 * 1024 * 1024;

/// Makes a file whose bytes do not repeat; says how many.
pub(super) fn write(path: &Path) -> io::Result<u64> {
    let mut file = io::BufWriter::new(File::create(path)?);
    // xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled"
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..BYTES / 8 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        file.write_all(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes())?;
    }
    file.flush()?;
    Ok(BYTES as u64)
}

/// BLAKE2b-256 of a file, in hex.
pub(super) fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = Blake2b::<U32>::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}

/// So many bytes of a file.
pub(super) fn read(path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
