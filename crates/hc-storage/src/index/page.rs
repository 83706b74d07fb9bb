//! What is in a page of the index that says where blocks are: the locators of 64 of them. Blocks that
//! follow each other in the log are one run, of which the place is there once. Knows nothing of nodes.

use crate::log::Locator;
use crate::record::cursor::Cursor;
use crate::record::varint;

/// Blocks in a page.
pub(crate) const BLOCKS: u64 = SLOTS as u64;

/// Places in a page of locators.
const SLOTS: usize = 64;

/// The locators of 64 blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocatorPage([Option<Locator>; SLOTS]);

impl LocatorPage {
    pub(crate) const EMPTY: Self = Self([None; SLOTS]);

    pub(crate) const fn of(block: u64) -> u64 {
        block / BLOCKS
    }

    const fn slot(block: u64) -> usize {
        // below 64
        #[allow(clippy::cast_possible_truncation)]
        let slot = (block % BLOCKS) as usize;
        slot
    }

    pub(crate) fn set(&mut self, block: u64, locator: Option<Locator>) {
        if let Some(place) = self.0.get_mut(Self::slot(block)) {
            *place = locator;
        }
    }

    /// `None` where there is nothing in it.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let present = self
            .0
            .iter()
            .rev()
            .fold(0u64, |bits, at| bits << 1 | u64::from(at.is_some()));
        if present == 0 {
            return None;
        }
        let mut out = present.to_le_bytes().to_vec();
        let stored: Vec<Locator> = self.0.iter().flatten().copied().collect();
        let follows =
            |a: &Locator, b: &Locator| a.segment == b.segment && a.end() == u64::from(b.offset);
        for run in stored.chunk_by(follows) {
            let Some(first) = run.first() else { continue };
            varint::put(&mut out, run.len() as u64);
            out.extend_from_slice(&first.segment.to_le_bytes());
            out.extend_from_slice(&first.offset.to_le_bytes());
            for locator in run {
                varint::put(&mut out, locator.len.into());
                out.extend_from_slice(&locator.crc.to_le_bytes());
            }
        }
        Some(out)
    }

    /// `None` where the bytes have no meaning.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut page = Self::EMPTY;
        let mut locators = Locators::new(bytes)?;
        let present = locators.present;
        for (slot, place) in page.0.iter_mut().enumerate() {
            if present >> slot & 1 == 1 {
                *place = Some(locators.next()?);
            }
        }
        locators.is_done().then_some(page)
    }

    /// The locator of one block in an encoded page; the outer `None` where the bytes have no meaning.
    pub(crate) fn find(bytes: &[u8], block: u64) -> Option<Option<Locator>> {
        let mut locators = Locators::new(bytes)?;
        let bit = 1u64 << Self::slot(block);
        if locators.present & bit == 0 {
            return Some(None);
        }
        let rank = (locators.present & (bit - 1)).count_ones();
        for _ in 0..rank {
            locators.next()?;
        }
        locators.next().map(Some)
    }
}

/// The locators of an encoded page, one after the other.
struct Locators<'a> {
    present: u64,
    cursor: Cursor<'a>,
    /// How many are left of the run, and where the next of them is.
    left: u64,
    segment: u32,
    offset: u32,
}

impl<'a> Locators<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        Some(Self {
            present: cursor.u64()?,
            cursor,
            left: 0,
            segment: 0,
            offset: 0,
        })
    }

    fn next(&mut self) -> Option<Locator> {
        if self.left == 0 {
            self.left = self.cursor.uint()?;
            self.segment = self.cursor.u32()?;
            self.offset = self.cursor.u32()?;
        }
        self.left = self.left.checked_sub(1)?;
        let locator = Locator {
            segment: self.segment,
            offset: self.offset,
            len: self.cursor.uint()?.try_into().ok()?,
            crc: self.cursor.u32()?,
        };
        // past the last block of a segment it may lead to no place
        self.offset = self.offset.saturating_add(locator.len);
        Some(locator)
    }

    const fn is_done(&self) -> bool {
        self.left == 0 && self.cursor.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locators_are_found_as_they_are_decoded() {
        let mut page = LocatorPage::EMPTY;
        let at = |offset: u32, len: u32| Locator {
            segment: 1,
            offset,
            len,
            crc: offset ^ 9,
        };
        // three in a row, of which one is empty, and one elsewhere
        let stored = [
            (64, at(70, 300)),
            (66, at(370, 0)),
            (67, at(370, 5)),
            (127, at(9, 1)),
        ];
        for (block, locator) in stored {
            page.set(block, Some(locator));
        }
        let bytes = page.encode().expect("locators");
        assert_eq!(bytes.len(), 8 + 2 * 9 + 4 * 4 + 2 + 1 + 1 + 1);
        assert_eq!(LocatorPage::decode(&bytes), Some(page));
        for (block, locator) in stored {
            assert_eq!(LocatorPage::find(&bytes, block), Some(Some(locator)));
        }
        assert_eq!(LocatorPage::find(&bytes, 65), Some(None));
        assert_eq!(LocatorPage::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(LocatorPage::EMPTY.encode(), None);
    }
}
