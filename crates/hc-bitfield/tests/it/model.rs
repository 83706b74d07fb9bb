//! A bitfield does what a set of integers does.

use std::collections::BTreeSet;
use std::ops::Range;

use hc_bitfield::limits::{MAX_BITS, PAGE_BITS, SEGMENT_BITS};
use hc_bitfield::{Bitfield, PageIndex, PageRef, RangeSet};
use proptest::prelude::*;

/// Where things happen: near the edges of words, pages, segments and the whole.
fn anchor() -> impl Strategy<Value = u64> {
    let edges = prop_oneof![
        Just(0),
        (0..4u64).prop_map(|i| i * 64),
        (0..4u64).prop_map(|i| i * PAGE_BITS),
        (1..4u64).prop_map(|i| i * SEGMENT_BITS),
        (1..3u64).prop_map(|i| i * SEGMENT_BITS + PAGE_BITS),
        Just(MAX_BITS - SEGMENT_BITS),
        Just(MAX_BITS),
    ];
    (edges, -3i64..=70).prop_map(|(edge, by)| edge.saturating_add_signed(by))
}

#[derive(Debug, Clone)]
enum Op {
    Set(u64),
    Unset(u64),
    Fill(bool, Range<u64>),
    Keep,
}

fn op() -> impl Strategy<Value = Op> {
    let range = (anchor(), 0u64..200).prop_map(|(start, len)| start..start + len);
    prop_oneof![
        3 => anchor().prop_map(Op::Set),
        2 => anchor().prop_map(Op::Unset),
        4 => (any::<bool>(), range).prop_map(|(value, range)| Op::Fill(value, range)),
        1 => Just(Op::Keep),
    ]
}

fn set_of(range: Range<u64>) -> impl Iterator<Item = u64> {
    range.start..range.end.min(MAX_BITS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn does_what_a_set_of_integers_does(
        ops in prop::collection::vec(op(), 1..30),
        probes in prop::collection::vec(anchor(), 12),
    ) {
        let mut field = Bitfield::new();
        let mut model = BTreeSet::new();
        let mut kept = (field.clone(), model.clone());
        for op in ops {
            match op {
                Op::Set(at) => {
                    let changes = at < MAX_BITS && model.insert(at);
                    prop_assert_eq!(field.set(at), changes);
                }
                Op::Unset(at) => prop_assert_eq!(field.unset(at), model.remove(&at)),
                Op::Fill(true, range) => {
                    field.set_range(range.clone());
                    model.extend(set_of(range));
                }
                Op::Fill(false, range) => {
                    field.unset_range(range.clone());
                    model.retain(|at| !range.contains(at));
                }
                Op::Keep => kept = (field.clone(), model.clone()),
            }
        }
        check(&field, &model, &probes)?;
        check(&kept.0, &kept.1, &probes)?;
        check_pair(&field, &model, &kept.0, &kept.1, &probes)?;
        let rebuilt: Bitfield = field.ranges(0..u64::MAX).collect();
        prop_assert_eq!(&rebuilt, &field);
        field.unset_range(0..u64::MAX);
        prop_assert_eq!(&field, &Bitfield::new());
        prop_assert_eq!(field.memory(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    /// So many bits of one page that most changes are of one among many.
    #[test]
    fn bits_come_and_go_one_by_one(
        changes in prop::collection::vec((any::<bool>(), 0u64..100), 100..300),
        start in anchor(),
    ) {
        let mut field = Bitfield::new();
        let mut model = BTreeSet::new();
        for (value, by) in changes {
            let at = start.saturating_add(by).min(MAX_BITS - 1);
            if value {
                prop_assert_eq!(field.set(at), model.insert(at));
            } else {
                prop_assert_eq!(field.unset(at), model.remove(&at));
            }
        }
        check(&field, &model, &[start])?;
        let rebuilt: Bitfield = model.iter().map(|at| *at..*at + 1).collect();
        prop_assert_eq!(&rebuilt, &field);
        field.unset_range(0..u64::MAX);
        prop_assert_eq!(field.memory(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Long runs, for which a model of single integers would be too large.
    #[test]
    fn does_what_a_set_of_ranges_does(
        fills in prop::collection::vec((any::<bool>(), anchor(), anchor()), 1..12),
        probes in prop::collection::vec(anchor(), 12),
    ) {
        let mut field = Bitfield::new();
        let mut model = RangeSet::new();
        let mut kept = (field.clone(), model.clone());
        for (value, a, b) in fills {
            kept = (field.clone(), model.clone());
            let range = a.min(b)..a.max(b).min(MAX_BITS);
            if value {
                field.set_range(range.clone());
                model.insert(range);
            } else {
                field.unset_range(range.clone());
                model.remove(range);
            }
        }
        prop_assert!(field.ranges(0..u64::MAX).eq(model.iter()));
        prop_assert_eq!(field.count(0..u64::MAX), model.count());
        prop_assert_eq!(field.contiguous_len(), model.first_gap(0).unwrap());
        for pair in probes.chunks(2) {
            let at = pair[0];
            prop_assert_eq!(field.get(at), model.contains(at));
            prop_assert_eq!(field.first_set(at), model.range_from(at).map(|own| own.start.max(at)));
            prop_assert_eq!(field.first_unset(at), model.first_gap(at).unwrap());
            prop_assert_eq!(field.last_set(at), model.range_upto(at).map(|own| at.min(own.end - 1)));
            let last_unset = model.range_of(at).map_or(Some(at), |own| own.start.checked_sub(1));
            prop_assert_eq!(field.last_unset(at), last_unset);
            let range = at.min(pair[1])..at.max(pair[1]);
            prop_assert_eq!(field.count(range.clone()), model.count_in(range.clone()));
            prop_assert!(field.ranges(range.clone()).eq(model.intersection(range.clone())));
            prop_assert!(field.gaps(range.clone()).eq(model.gaps(range.clone())));
            let mut lacks: RangeSet = model.intersection(range.clone()).collect();
            kept.1.iter().for_each(|own| lacks.remove(own));
            prop_assert!(field.difference(&kept.0, range.clone()).eq(lacks.iter()));
            let common: RangeSet =
                model.intersection(range.clone()).flat_map(|own| kept.1.intersection(own)).collect();
            prop_assert!(field.intersection(&kept.0, range.clone()).eq(common.iter()));
        }
        let changed = field.changed_pages(&kept.0);
        let mut expected = RangeSet::new();
        for (a, b) in [(&model, &kept.1), (&kept.1, &model)] {
            let lost = a.iter().flat_map(|own| b.gaps(own));
            expected.extend(lost.map(|gap| PageIndex::of(gap.start).0..PageIndex::of(gap.end - 1).0 + 1));
        }
        prop_assert_eq!(changed, expected);
    }
}

fn check(field: &Bitfield, model: &BTreeSet<u64>, probes: &[u64]) -> Result<(), TestCaseError> {
    let all: Vec<u64> = field.ranges(0..u64::MAX).flatten().collect();
    prop_assert_eq!(&all, &model.iter().copied().collect::<Vec<_>>());
    prop_assert_eq!(field.count(0..u64::MAX), model.len() as u64);
    prop_assert_eq!(field.is_empty(), model.is_empty());
    for (&at, &other) in probes.iter().zip(probes.iter().rev()) {
        prop_assert_eq!(field.get(at), model.contains(&at));
        prop_assert_eq!(field.first_set(at), model.range(at..).next().copied());
        prop_assert_eq!(field.last_set(at), model.range(..=at).next_back().copied());
        prop_assert_eq!(
            Some(field.first_unset(at)),
            (at..).find(|i| !model.contains(i))
        );
        prop_assert_eq!(
            field.last_unset(at),
            (0..=at).rev().find(|i| !model.contains(i))
        );
        let range = at.min(other)..at.max(other);
        let inside = model.range(range.clone()).count() as u64;
        prop_assert_eq!(field.count(range.clone()), inside);
        prop_assert_eq!(field.any_set(range.clone()), inside > 0);
        prop_assert_eq!(
            field.any_unset(range.clone()),
            inside < range.end - range.start
        );
        let gaps: u64 = field
            .gaps(range.clone())
            .map(|gap| gap.end - gap.start)
            .sum();
        prop_assert_eq!(gaps, range.end - range.start - inside);
    }
    Ok(())
}

fn check_pair(
    field: &Bitfield,
    model: &BTreeSet<u64>,
    other: &Bitfield,
    other_model: &BTreeSet<u64>,
    probes: &[u64],
) -> Result<(), TestCaseError> {
    for pair in probes.chunks(2) {
        let range = *pair.iter().min().unwrap()..*pair.iter().max().unwrap();
        let inside =
            |set: BTreeSet<u64>| -> Vec<u64> { set.range(range.clone()).copied().collect() };
        let lacks = inside(model.difference(other_model).copied().collect());
        let common = inside(model.intersection(other_model).copied().collect());
        prop_assert_eq!(
            field.first_difference(other, range.clone()),
            lacks.first().copied()
        );
        prop_assert_eq!(
            field.first_common(other, range.clone()),
            common.first().copied()
        );
        let found: Vec<u64> = field.difference(other, range.clone()).flatten().collect();
        prop_assert_eq!(found, lacks);
        let found: Vec<u64> = field.intersection(other, range.clone()).flatten().collect();
        prop_assert_eq!(found, common);
    }
    let changed: BTreeSet<u64> = model
        .symmetric_difference(other_model)
        .map(|at| PageIndex::of(*at).0)
        .collect();
    let pages: BTreeSet<u64> = field.changed_pages(other).iter().flatten().collect();
    prop_assert_eq!(&pages, &changed);

    let mut restored = other.clone();
    for page in pages.into_iter().map(PageIndex) {
        match field.page(page) {
            PageRef::Empty => restored.unset_range(page.bits()),
            PageRef::Full => restored.set_range(page.bits()),
            other => restored.set_page(page, &other.to_bytes()),
        }
    }
    prop_assert_eq!(&restored, field);
    Ok(())
}

/// One run, bytes, one run again: what is in a page decides its form, and not how it came about.
#[test]
fn a_page_is_the_same_whatever_form_it_went_through() {
    let mut field = Bitfield::contiguous(10);
    assert!(matches!(
        field.page(PageIndex(0)),
        PageRef::Run { start: 0, end: 10 }
    ));
    let small = field.memory();
    field.set(11);
    assert!(matches!(field.page(PageIndex(0)), PageRef::Bits(_)));
    assert!(field.memory() > small);
    field.set(10);
    assert_eq!(field.page(PageIndex(0)), PageRef::Run { start: 0, end: 12 });
    assert_eq!(field, Bitfield::contiguous(12));
    assert_eq!(field.memory(), small, "no bytes once it is one run again");
    for (start, end) in [(0, 1), (63, 64), (63, 65), (64, 128), (31, 97), (1, 32_768)] {
        let mut run = Bitfield::new();
        run.set_range(start..end);
        let mut bits = run.clone();
        bits.set_page(PageIndex(0), &run.page(PageIndex(0)).to_bytes());
        assert_eq!(bits, run);
        let mut words = Bitfield::new();
        let sent = run.answers(0..PAGE_BITS, PAGE_BITS).next().unwrap();
        words.receive_words(sent.start, &sent.words).unwrap();
        assert_eq!(words, run, "as it travels");
    }
}
