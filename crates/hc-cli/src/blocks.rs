//! Lists of blocks as a user types them: `1,5,9-12`. Knows nothing of any log.

use std::str::FromStr;

/// Most blocks that a list may name, so that a typing error does not fill the memory.
pub(crate) const MAX_LISTED: u64 = 10_000_000;

/// Block indexes in ascending order, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockList(pub(crate) Vec<u64>);

impl FromStr for BlockList {
    type Err = String;

    /// Reads indexes and inclusive ranges, separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |word: &str| {
            word.trim()
                .parse::<u64>()
                .map_err(|_| format!("`{word}` is not a block number"))
        };
        let mut blocks = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(format!("`{part}` ends before it starts"));
            }
            if last - first >= MAX_LISTED - blocks.len() as u64 {
                return Err(format!(
                    "more than {MAX_LISTED} blocks; use --start and --end"
                ));
            }
            blocks.extend(first..=last);
        }
        blocks.sort_unstable();
        blocks.dedup();
        Ok(Self(blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_sorted_and_unique() {
        assert_eq!(
            "9-12,1,5,10".parse(),
            Ok(BlockList(vec![1, 5, 9, 10, 11, 12]))
        );
        assert_eq!("7".parse(), Ok(BlockList(vec![7])));
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["", "a", "1,,2", "5-1", "1-", "-1", "0-99999999999"] {
            assert!(text.parse::<BlockList>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_limit_is_exact() {
        let most = format!("0-{}", MAX_LISTED - 1);
        assert_eq!(
            most.parse::<BlockList>().unwrap().0.len() as u64,
            MAX_LISTED
        );
        assert!(format!("0-{MAX_LISTED}").parse::<BlockList>().is_err());
    }
}
