//! What the index keeps of a log in one entry: all that opening it takes, its roots included. The entries
//! of all logs are side by side, apart from the pages that say where blocks and nodes are: so whoever opens
//! many logs reads, and has sled keep, little more than these.
//!
//! Owns the bytes of the entry. Knows nothing of when it is written.

use std::sync::Arc;

use hc_bitfield::Bitfield;
use hc_merkle::{ByteLength, Hash, Head, Node, flat};

use super::state::{Facts, Lineage, Membership};
use crate::index;
use crate::record::cursor::Cursor;
use crate::record::entry::{
    CoreId, HeadRecord, Identity, Origin, decode_hints, encode_hints, put_option,
};
use crate::record::{Alias, EncryptionScheme, Moment, Topic, varint};

/// A log, and not a branch of one.
const LOG: u8 = 0;
const BRANCH: u8 = 1;

/// There is user data.
const USER_DATA: u8 = 1;
/// There are pages of bits past the contiguous ones.
const BITS: u8 = 2;
/// There are, or were, branches.
const FAMILY: u8 = 4;

/// Bytes of a root: at least one of its size, and its hash.
const MIN_ROOT_LEN: usize = 1 + 32;

/// The key of a log's entry, before the number of its chunk.
pub(super) fn key(id: CoreId) -> Vec<u8> {
    index::page_key(CoreId::STORE, index::CORE, id.0)
}

/// The log that a chunk of an entry is of, by its key.
pub(super) fn id_of(chunk: &[u8]) -> Option<CoreId> {
    let (key, _) = chunk.split_last_chunk::<4>()?;
    index::page_of(key).map(CoreId)
}

/// Whose entry it is.
pub(super) enum Owner {
    Log(Identity),
    /// A branch, and whether its log was cut below what it had of it.
    Branch(Origin, bool),
}

/// A log as its entry has it.
pub(super) struct Stored {
    pub(super) owner: Owner,
    /// All but what has entries of its own. Its head is empty where the roots are not known, and of the
    /// bits it has those without a gap.
    pub(super) facts: Facts,
    pub(super) record: HeadRecord,
    pub(super) has_user_data: bool,
    pub(super) has_bits: bool,
}

/// The entry of a log, or of a branch that has a lineage; `head` is that of the record, if its roots are
/// known.
pub(super) fn encode(
    identity: &Identity,
    lineage: Option<&Lineage>,
    facts: &Facts,
    record: &HeadRecord,
    head: Option<&Head>,
) -> Vec<u8> {
    let mut out = Vec::new();
    encode_owner(identity, lineage, &mut out);
    out.push(u8::from(facts.encryption.is_some()));
    out.push(facts.encryption.map_or(0, |scheme| scheme.0));
    let manifest = facts.manifest.as_deref().map(hc_encoding::encode_to_vec);
    put_option(&mut out, manifest.as_deref());
    out.push(u8::from(facts.alias.is_some()));
    if let Some(alias) = &facts.alias {
        alias.encode(&mut out);
    }
    record.encode(&mut out);
    encode_roots(head, &mut out);
    encode_hints(facts.hints, &mut out);
    let prefix = facts.bitfield.contiguous_len();
    varint::put(&mut out, prefix);
    out.push(u8::from(facts.membership.is_some()));
    if let Some(member) = facts.membership.as_deref() {
        out.extend_from_slice(&member.topic.0);
        // 0 until it has been active
        let active = member.active.map_or(0, |at| at.0.saturating_add(1));
        varint::put(&mut out, active);
    }
    let kinds = [
        (!facts.user_data.is_empty(), USER_DATA),
        (facts.bitfield.any_set(prefix..u64::MAX), BITS),
        (facts.had_branches, FAMILY),
    ];
    let there = kinds.iter().filter(|(there, _)| *there);
    out.push(there.fold(0, |kinds, (_, kind)| kinds | kind));
    out
}

fn encode_owner(identity: &Identity, lineage: Option<&Lineage>, out: &mut Vec<u8>) {
    let Some(lineage) = lineage else {
        out.push(LOG);
        identity.encode(out);
        return;
    };
    out.push(BRANCH);
    let origin = Origin {
        parent: lineage.parent.id,
        name: Arc::clone(&lineage.name),
        length: lineage.length,
    };
    origin.encode(out);
    out.push(u8::from(lineage.cut));
}

/// The roots, unless some are missing: while the log is read back, or for good.
fn encode_roots(head: Option<&Head>, out: &mut Vec<u8>) {
    let roots = head.map_or(&[][..], Head::roots);
    varint::put(out, roots.len() as u64);
    for root in roots {
        varint::put(out, root.size.get());
        out.extend_from_slice(root.hash.as_bytes());
    }
}

/// `None` where the bytes have no meaning.
pub(super) fn decode(bytes: &[u8]) -> Option<Stored> {
    let mut cursor = Cursor::new(bytes);
    let owner = match cursor.u8()? {
        LOG => Owner::Log(Identity::decode(&mut cursor)?),
        BRANCH => Owner::Branch(Origin::decode(&mut cursor)?, cursor.u8()? == 1),
        _ => return None,
    };
    let mut facts = Facts::empty();
    let (encrypted, scheme) = (cursor.u8()? == 1, cursor.u8()?);
    facts.encryption = encrypted.then_some(EncryptionScheme(scheme));
    if cursor.u8()? == 1 {
        facts.manifest = Some(Arc::new(hc_encoding::decode_exact(cursor.bytes()?).ok()?));
    }
    if cursor.u8()? == 1 {
        facts.alias = Some(Arc::new(Alias::decode(&mut cursor)?));
    }
    let record = HeadRecord::decode(&mut cursor)?;
    if let Some(head) = decode_roots(&record, &mut cursor)? {
        facts.head = head;
    }
    facts.hints = decode_hints(&mut cursor)?;
    let prefix = cursor.uint()?;
    if cursor.u8()? == 1 {
        let topic = Topic(cursor.array()?);
        let active = cursor.uint()?.checked_sub(1).map(Moment);
        facts.membership = Some(Arc::new(Membership { topic, active }));
    }
    let kinds = cursor.u8()?;
    facts.bitfield = Bitfield::contiguous(prefix);
    facts.had_branches = kinds & FAMILY != 0;
    Some(Stored {
        owner,
        facts,
        record,
        has_user_data: kinds & USER_DATA != 0,
        has_bits: kinds & BITS != 0,
    })
}

/// The head, unless its roots are not there; the outer `None` where the bytes have no meaning.
fn decode_roots(record: &HeadRecord, cursor: &mut Cursor<'_>) -> Option<Option<Head>> {
    let count = cursor.count(MIN_ROOT_LEN)?;
    if count == 0 && record.length.get() > 0 {
        return Some(None);
    }
    let mut roots = Vec::with_capacity(count);
    let mut indexes = flat::full_roots(record.length);
    for _ in 0..count {
        roots.push(Node {
            index: indexes.next()?,
            size: ByteLength::new(cursor.uint()?),
            hash: Hash(cursor.array()?),
        });
    }
    record.resolve(roots).map(Some)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hc_merkle::{CoreKey, DiscoveryKey, Fork, Length, Manifest, PublicKey};

    use super::*;
    use crate::record::{Hints, NamespaceId};

    fn identity() -> Identity {
        Identity {
            discovery_key: DiscoveryKey([1; 32]),
            key: CoreKey([2; 32]),
            compat: false,
        }
    }

    /// A log of three blocks with all there is, and its head.
    fn facts() -> (Facts, HeadRecord) {
        let roots = flat::full_roots(Length::new(3)).map(|index| Node {
            index,
            size: ByteLength::new(300),
            hash: Hash([3; 32]),
        });
        let head = Head::new(Fork::new(4), Length::new(3), roots.collect()).expect("a head");
        let head = head.with_signature(Bytes::from_static(&[5; 64]));
        let mut facts = Facts::empty();
        facts.encryption = Some(EncryptionScheme(6));
        facts.manifest = Some(Arc::new(Manifest::single(PublicKey([7; 32]))));
        facts.alias = Some(Arc::new(Alias {
            namespace: NamespaceId([8; 32]),
            name: "name".to_owned(),
        }));
        facts.hints = Hints {
            contiguous_length: Length::new(2),
            remote_contiguous_length: Length::new(9),
        };
        facts.membership = Some(Arc::new(Membership {
            topic: Topic([10; 32]),
            active: Some(Moment(0)),
        }));
        facts.bitfield = Bitfield::contiguous(2);
        let record = HeadRecord::of(&head);
        facts.head = head;
        (facts, record)
    }

    #[test]
    fn a_log_is_read_as_it_was_written() {
        let (facts, record) = facts();
        let bytes = encode(&identity(), None, &facts, &record, Some(&facts.head));
        let stored = decode(&bytes).expect("an entry");
        assert!(matches!(stored.owner, Owner::Log(owner) if owner == identity()));
        assert_eq!(stored.record, record);
        assert!(!stored.has_user_data && !stored.has_bits);
        assert_eq!(format!("{:?}", stored.facts), format!("{facts:?}"));
        let again = encode(
            &identity(),
            None,
            &stored.facts,
            &stored.record,
            Some(&stored.facts.head),
        );
        assert_eq!(again, bytes);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_none(), "{len} bytes");
        }
    }

    #[test]
    fn without_its_roots_a_log_has_an_empty_head() {
        let (facts, record) = facts();
        let bytes = encode(&identity(), None, &facts, &record, None);
        let stored = decode(&bytes).expect("an entry");
        assert_eq!(stored.facts.head, Head::empty());
        assert_eq!(stored.record, record);
    }

    #[test]
    fn what_has_entries_of_its_own_is_noted() {
        let (mut facts, record) = facts();
        facts.bitfield.set(5);
        facts.had_branches = true;
        Arc::make_mut(&mut facts.user_data).insert("a".to_owned(), Bytes::new());
        let bytes = encode(&identity(), None, &facts, &record, Some(&facts.head));
        let stored = decode(&bytes).expect("an entry");
        assert!(stored.has_user_data && stored.has_bits && stored.facts.had_branches);
        assert_eq!(stored.facts.bitfield, Bitfield::contiguous(2));
    }
}
