//! The arithmetic of ranges, against a set of integers. Knows the public interface alone.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::RangeSet;

#[test]
fn neighbours_join_and_cuts_split() {
    let mut set = RangeSet::new();
    set.insert(0..4);
    set.insert(8..10);
    set.insert(4..8);
    assert!(set.iter().eq(core::iter::once(0..10)));
    set.remove(3..5);
    assert_eq!(set.iter().collect::<Vec<_>>(), [0..3, 5..10]);
    assert_eq!(set.range_count(), 2);
}

#[test]
#[allow(clippy::reversed_empty_ranges)] // what is tested
fn empty_and_reversed_ranges_are_nothing() {
    let mut set: RangeSet = core::iter::once(5..9).collect();
    let before = set.clone();
    set.insert(7..7);
    set.insert(9..3);
    set.remove(7..7);
    set.remove(9..3);
    assert_eq!(set, before);
    assert!(set.covers(20..20) && set.covers(9..3) && !set.intersects(8..6));
    assert_eq!(set.gaps(9..3).count() + set.intersection(9..3).count(), 0);
}

#[test]
fn the_whole_domain_has_no_gap() {
    let mut set = RangeSet::new();
    set.insert(0..u64::MAX);
    assert_eq!(set.first_gap(3), None);
    assert_eq!(set.count(), u64::MAX);
    set.remove(7..8);
    assert_eq!(set.first_gap(3), Some(7));
    assert_eq!(set.first_gap(u64::MAX), Some(u64::MAX));
}

proptest! {
    #[test]
    fn does_what_a_set_of_integers_does(
        ops in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 1..40),
        at in 0u64..80,
        len in 0u64..30,
    ) {
        let mut set = RangeSet::new();
        let mut model = BTreeSet::new();
        for (insert, start, len) in ops {
            if insert {
                set.insert(start..start + len);
                model.extend(start..start + len);
            } else {
                set.remove(start..start + len);
                model.retain(|value| !(start..start + len).contains(value));
            }
        }
        let window = at..at + len;
        prop_assert_eq!(set.iter().flatten().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
        prop_assert!(set.iter().zip(set.iter().skip(1)).all(|(a, b)| a.end < b.start));
        prop_assert_eq!(set.count(), model.len() as u64);
        prop_assert_eq!(set.contains(at), model.contains(&at));
        prop_assert_eq!(set.first_gap(at), (at..).find(|value| !model.contains(value)));
        prop_assert_eq!(
            set.intersection(window.clone()).flatten().collect::<Vec<_>>(),
            model.range(window.clone()).copied().collect::<Vec<_>>()
        );
        prop_assert_eq!(
            set.gaps(window.clone()).flatten().collect::<Vec<_>>(),
            window.clone().filter(|value| !model.contains(value)).collect::<Vec<_>>()
        );
        prop_assert_eq!(set.count_in(window.clone()), model.range(window.clone()).count() as u64);
        prop_assert_eq!(set.covers(window.clone()), window.clone().all(|value| model.contains(&value)));
        prop_assert_eq!(set.intersects(window.clone()), window.clone().any(|value| model.contains(&value)));
        prop_assert_eq!(
            set.range_from(at).map(|range| range.start.max(at)),
            model.range(at..).next().copied()
        );
        prop_assert_eq!(
            set.range_upto(at).map(|range| at.min(range.end - 1)),
            model.range(..=at).next_back().copied()
        );
    }
}
