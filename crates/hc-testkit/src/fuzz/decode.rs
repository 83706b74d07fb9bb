//! Bytes that are decoded without a connection: primitives, keys, manifests, signatures,
//! proof files, bitfields.

use hc_bitfield::Bitfield;
use hc_encoding::{Decode, Encode, Reader, decode_exact, encode_to_vec};
use hc_merkle::manifest::ManifestVersion;
use hc_merkle::multisig::MultiSignature;
use hc_merkle::{Manifest, Node, proof_file, z32_decode, z32_encode};

/// What decodes encodes to something that decodes to the same.
fn stable<T: for<'a> Decode<'a> + Encode + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = T::decode(&mut Reader::new(bytes)) else {
        return;
    };
    let again = encode_to_vec(&value);
    assert_eq!(decode_exact::<T>(&again).as_ref(), Ok(&value));
}

/// Every primitive form, chosen by the first byte.
pub(super) fn encoding(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let mut reader = Reader::new(bytes);
    match choice % 5 {
        0 => stable::<u64>(bytes),
        1 => stable::<Node>(bytes),
        2 => while reader.buffer().is_ok_and(|found| !found.is_empty()) {},
        3 => while reader.array_len(1).is_ok_and(|len| reader.raw(len).is_ok()) {},
        _ => while reader.uint().is_ok() {},
    }
}

/// A manifest, and the key it has.
pub(super) fn manifest(bytes: &[u8]) {
    stable::<Manifest>(bytes);
    if let Ok(manifest) = decode_exact::<Manifest>(bytes) {
        let _ = manifest.key();
        let _ = manifest.validate();
    }
}

/// A multi-signature in either layout.
pub(super) fn multisig(bytes: &[u8]) {
    for version in [ManifestVersion::V0, ManifestVersion::V1] {
        let _ = MultiSignature::from_bytes(version, bytes);
    }
}

/// A proof file; what it proves is of the log it says, and lies within it.
pub(super) fn proof_file(bytes: &[u8]) {
    let Ok(proven) = proof_file::verify(bytes, None) else {
        return;
    };
    assert_eq!(
        proof_file::verify(bytes, Some(&proven.key)).as_ref(),
        Ok(&proven)
    );
    for block in &proven.blocks {
        assert!(block.index.get() < proven.length.get());
        assert!(block.offset.get() + block.value.len() as u64 <= proven.byte_length.get());
    }
}

/// Keys as people type them.
pub(super) fn keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let _ = text.parse::<hc_merkle::CoreKey>();
    if let Ok(decoded) = z32_decode(text) {
        assert_eq!(z32_decode(&z32_encode(&decoded)), Ok(decoded));
    }
}

/// Bitfield and range messages of a hostile peer, eight bytes a step: the memory stays bounded.
pub(super) fn bitfield(bytes: &[u8]) {
    let mut bits = Bitfield::new();
    for step in bytes.chunks_exact(12) {
        let start = step
            .iter()
            .take(7)
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let word = step
            .iter()
            .skip(8)
            .fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        match step.get(7).copied().unwrap_or(0) % 3 {
            0 => drop(bits.receive_words(start, &[word, !word])),
            1 => drop(bits.receive_range(start, u64::from(word), true)),
            _ => drop(bits.receive_range(start, u64::from(word), false)),
        }
    }
    assert!(bits.memory() <= 2 * hc_bitfield::limits::MAX_RECEIVED_MEMORY);
    let first = bits.first_set(0);
    assert_eq!(first.is_none(), bits.is_empty());
}
