//! To what lengths a log was cut, and when: what a reader of an older state has to know before it asks
//! anybody for more of it. Knows nothing of snapshots.

use hc_merkle::Length;

use crate::limits::MAX_CUTS_REMEMBERED;

/// Truncations, each with the epoch that it began. Later ones that cut deeper say all that earlier ones
/// did, so lengths grow with epochs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cuts(Vec<(u64, Length)>);

impl Cuts {
    /// The log was cut to `length`, and is in `epoch` from then on.
    pub(crate) fn note(&mut self, epoch: u64, length: Length) {
        let deeper = |(_, earlier): &(u64, Length)| *earlier < length;
        self.0.truncate(self.0.partition_point(deeper));
        self.0.push((epoch, length));
        if self.0.len() > MAX_CUTS_REMEMBERED {
            // The two oldest become one, as deep as the deeper.
            let oldest = self.0.remove(0);
            if let Some(second) = self.0.first_mut() {
                second.1 = oldest.1;
            }
        }
    }

    /// The shortest length that the log has had since `epoch`, if it was cut: what both states share at
    /// least.
    pub(crate) fn shortest_since(&self, epoch: u64) -> Option<Length> {
        let at = self.0.partition_point(|(cut, _)| *cut <= epoch);
        self.0.get(at).map(|(_, length)| *length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(lengths: impl IntoIterator<Item = u64>) -> Cuts {
        let mut cuts = Cuts::default();
        for (epoch, length) in (1..).zip(lengths) {
            cuts.note(epoch, Length::new(length));
        }
        cuts
    }

    fn shortest(cuts: &Cuts, since: u64) -> Option<u64> {
        cuts.shortest_since(since).map(Length::get)
    }

    #[test]
    fn the_shortest_length_since_an_epoch() {
        let cuts = cuts([5, 9, 7, 8]);
        let since = [0, 1, 2, 3, 4].map(|epoch| shortest(&cuts, epoch));
        assert_eq!(since, [Some(5), Some(7), Some(7), Some(8), None]);
    }

    #[test]
    fn as_a_list_of_all_truncations() {
        let mut random = 7_u64;
        let mut lengths = Vec::new();
        for _ in 0..400 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            lengths.push((random >> 33) % 50);
        }
        let cuts = cuts(lengths.iter().copied());
        for since in 0..lengths.len() {
            let expected = lengths.get(since..).and_then(|rest| rest.iter().min());
            assert_eq!(shortest(&cuts, since as u64), expected.copied());
        }
    }

    #[test]
    fn as_many_as_the_limit_are_remembered_and_one_more_makes_the_oldest_stricter() {
        let limit = MAX_CUTS_REMEMBERED as u64;
        let full = cuts(10..10 + limit);
        assert_eq!(shortest(&full, 0), Some(10));
        assert_eq!(shortest(&full, 1), Some(11));
        let over = cuts(10..=10 + limit);
        assert_eq!(over.0.len(), MAX_CUTS_REMEMBERED);
        assert_eq!(shortest(&over, 1), Some(10), "stricter, never laxer");
        assert_eq!(shortest(&over, 2), Some(12));
    }
}
