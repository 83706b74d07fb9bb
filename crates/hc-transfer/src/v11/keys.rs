//! The keys of version 11's database.
//!
//! A key is a row of numbers, and at its end perhaps a name. Numbers below 252 take one byte; larger ones
//! stand big-endian after 252 (2 bytes), 253 (4) or 254 (8). A name stands between `00` and `00 01`, and
//! `00` in it is `00 02`.

use std::ops::Range;

use bytes::Bytes;
use hc_merkle::DiscoveryKey;

/// What a key is about.
mod top {
    pub(super) const HEAD: u64 = 0;
    pub(super) const CORE_BY_DISCOVERY_KEY: u64 = 1;
    pub(super) const CORE: u64 = 3;
    pub(super) const DATA: u64 = 4;
}

/// Who a log is.
mod core {
    pub(super) const AUTH: u64 = 0;
}

/// What is stored of a log.
mod data {
    pub(super) const HEAD: u64 = 0;
    pub(super) const DEPENDENCY: u64 = 1;
    pub(super) const BLOCK: u64 = 3;
    pub(super) const TREE: u64 = 4;
    pub(super) const BITFIELD: u64 = 5;
    pub(super) const USER_DATA: u64 = 6;
}

/// The key of what the store says of itself.
pub(super) fn store_head() -> Bytes {
    key(&[top::HEAD])
}

/// The key of where a log is.
pub(super) fn core(discovery_key: &DiscoveryKey) -> Bytes {
    let start = key(&[top::CORE_BY_DISCOVERY_KEY]);
    [&start, &discovery_key.as_bytes()[..]].concat().into()
}

/// The keys of where all logs are.
pub(super) fn cores() -> Range<Bytes> {
    let first = top::CORE_BY_DISCOVERY_KEY;
    key(&[first])..key(&[first + 1])
}

/// Whose log such a key names.
pub(super) fn discovery_key(key: &[u8]) -> Option<DiscoveryKey> {
    let (_, rest) = key.split_first()?;
    <[u8; 32]>::try_from(rest).ok().map(DiscoveryKey)
}

pub(super) fn auth(core: u64) -> Bytes {
    key(&[top::CORE, core, core::AUTH])
}

pub(super) fn head(data: u64) -> Bytes {
    key(&[top::DATA, data, data::HEAD])
}

pub(super) fn dependency(data: u64) -> Bytes {
    key(&[top::DATA, data, data::DEPENDENCY])
}

pub(super) fn block(data: u64, index: u64) -> Bytes {
    key(&[top::DATA, data, data::BLOCK, index])
}

pub(super) fn node(data: u64, index: u64) -> Bytes {
    key(&[top::DATA, data, data::TREE, index])
}

/// The keys of all pages of the bitfield.
pub(super) fn bitfield(data: u64) -> Range<Bytes> {
    key(&[top::DATA, data, data::BITFIELD])..key(&[top::DATA, data, data::BITFIELD + 1])
}

/// Which page such a key names, and of which kind it is.
pub(super) fn page(key: &[u8]) -> Option<(u64, u64)> {
    let mut rest = key;
    for _ in 0..3 {
        take(&mut rest)?;
    }
    let page = (take(&mut rest)?, take(&mut rest)?);
    rest.is_empty().then_some(page)
}

/// The keys of all user data.
pub(super) fn user_data(data: u64) -> Range<Bytes> {
    key(&[top::DATA, data, data::USER_DATA])..key(&[top::DATA, data, data::USER_DATA + 1])
}

/// Which piece of user data such a key names.
pub(super) fn user_data_name(key: &[u8]) -> Option<String> {
    let mut rest = key;
    for _ in 0..3 {
        take(&mut rest)?;
    }
    name(rest).map(|name| String::from_utf8_lossy(&name).into_owned())
}

fn key(numbers: &[u64]) -> Bytes {
    let mut bytes = Vec::with_capacity(numbers.len() * 9);
    for number in numbers {
        let number = number.to_be_bytes();
        match number {
            [0, 0, 0, 0, 0, 0, 0, small @ 0..=0xfb] => bytes.push(small),
            [0, 0, 0, 0, 0, 0, two @ ..] => {
                bytes.push(0xfc);
                bytes.extend_from_slice(&two);
            }
            [0, 0, 0, 0, four @ ..] => {
                bytes.push(0xfd);
                bytes.extend_from_slice(&four);
            }
            eight => {
                bytes.push(0xfe);
                bytes.extend_from_slice(&eight);
            }
        }
    }
    bytes.into()
}

/// The number at the front.
fn take(rest: &mut &[u8]) -> Option<u64> {
    let (first, after) = rest.split_first()?;
    let len = match first {
        0xfc => 2,
        0xfd => 4,
        0xfe => 8,
        0xff => return None,
        small => {
            *rest = after;
            return Some(u64::from(*small));
        }
    };
    let (number, after) = after.split_at_checked(len)?;
    *rest = after;
    let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    Some(number.iter().fold(0, join))
}

/// A name that is all there is.
fn name(bytes: &[u8]) -> Option<Vec<u8>> {
    let inner = bytes.strip_prefix(&[0])?.strip_suffix(&[0, 1])?;
    let mut name = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    while let Some(byte) = rest.next() {
        name.push(*byte);
        if *byte == 0 && rest.next() != Some(&2) {
            return None;
        }
    }
    Some(name)
}

#[cfg(test)]
mod tests;
