//! Nothing that a remote says panics or takes memory without bound.

use hc_bitfield::limits::{MAX_BITS, MAX_RECEIVED_MEMORY, MAX_RECEIVED_WORDS, SEGMENT_BITS};
use hc_bitfield::{Bitfield, ReceiveError};
use proptest::prelude::*;

#[test]
fn one_word_too_many_is_refused() {
    let mut field = Bitfield::new();
    let words = vec![u32::MAX; MAX_RECEIVED_WORDS + 1];
    assert_eq!(
        field.receive_words(0, &words),
        Err(ReceiveError::TooManyWords {
            words: MAX_RECEIVED_WORDS + 1
        })
    );
    assert!(field.is_empty());
    assert_eq!(field.receive_words(0, &words[1..]), Ok(0..SEGMENT_BITS));
    assert_eq!(field, Bitfield::contiguous(SEGMENT_BITS));
}

#[test]
fn words_off_a_word_are_refused() {
    let mut field = Bitfield::new();
    assert_eq!(
        field.receive_words(31, &[1]),
        Err(ReceiveError::Unaligned { start: 31 })
    );
    assert_eq!(field.receive_words(32, &[1]), Ok(32..64));
    assert_eq!(field.first_set(0), Some(32));
}

#[test]
fn one_bit_past_the_end_is_refused() {
    let mut field = Bitfield::new();
    assert_eq!(field.receive_range(1, MAX_BITS - 1, true), Ok(1..MAX_BITS));
    assert_eq!(field.count(0..u64::MAX), MAX_BITS - 1);
    assert_eq!(field.first_unset(1), MAX_BITS);
    for (start, bits) in [
        (1, MAX_BITS),
        (MAX_BITS, 1),
        (u64::MAX, 1),
        (u64::MAX, u64::MAX),
    ] {
        let refused = Err(ReceiveError::OutOfBounds { start, bits });
        assert_eq!(field.receive_range(start, bits, false), refused);
    }
    assert_eq!(
        field.receive_words(MAX_BITS - 32, &[0]),
        Ok(MAX_BITS - 32..MAX_BITS)
    );
    assert_eq!(
        field.receive_words(MAX_BITS - 32, &[0, 0]),
        Err(ReceiveError::OutOfBounds {
            start: MAX_BITS - 32,
            bits: 64
        })
    );
    assert!(field.receive_words(u64::MAX - 31, &[0]).is_err());
}

#[test]
fn a_set_that_takes_too_much_memory_takes_no_more() {
    let mut field = Bitfield::new();
    let holes = vec![0x5555_5555; MAX_RECEIVED_WORDS];
    let mut start = 0;
    let one_more = loop {
        let before = field.memory();
        match field.receive_words(start, &holes) {
            Ok(range) => {
                assert!(before < MAX_RECEIVED_MEMORY);
                assert!(field.memory() - before < 300 << 10);
                start = range.end;
            }
            Err(refused) => break refused,
        }
    };
    let memory = field.memory();
    assert!((MAX_RECEIVED_MEMORY..MAX_RECEIVED_MEMORY + (300 << 10)).contains(&memory));
    assert_eq!(one_more, ReceiveError::TooLarge { memory });
    assert_eq!(
        field.receive_range(0, 1, true),
        Err(ReceiveError::TooLarge { memory })
    );
    field.unset_range(0..SEGMENT_BITS);
    assert!(field.memory() < MAX_RECEIVED_MEMORY);
    assert_eq!(field.receive_range(0, 1, true), Ok(0..1));
}

#[test]
fn long_runs_take_almost_nothing() {
    let mut field = Bitfield::contiguous(10_000_000);
    assert_eq!(field.memory(), 0);
    let mut run = Bitfield::new();
    run.set_range(SEGMENT_BITS..SEGMENT_BITS * 1_000_000);
    assert_eq!(run.memory(), 32);
    for at in 0..10 {
        field
            .receive_range(at * 7, MAX_BITS - at * 9, true)
            .unwrap();
    }
    assert!(field.memory() < 8 << 10, "{}", field.memory());
}

#[test]
fn a_want_over_the_longest_has_no_answer() {
    let field = Bitfield::contiguous(u64::MAX);
    assert_eq!(field.answers(0..SEGMENT_BITS, u64::MAX).count(), 1);
    assert_eq!(field.answers(0..SEGMENT_BITS + 1, u64::MAX).count(), 0);
    assert_eq!(field.answers(7..SEGMENT_BITS + 7, u64::MAX).count(), 2);
    assert_eq!(field.answers(MAX_BITS..MAX_BITS + 32, u64::MAX).count(), 0);
    assert_eq!(field.answers(u64::MAX - 5..u64::MAX, u64::MAX).count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_numbers_are_taken_or_refused(
        messages in prop::collection::vec(
            (any::<u64>(), 0u32..64, any::<u64>(), prop::collection::vec(any::<u32>(), 0..40)),
            1..20,
        ),
    ) {
        let mut field = Bitfield::new();
        for (start, shift, bits, words) in messages {
            let start = start >> shift;
            let _ = field.receive_range(start, bits >> shift, bits & 1 == 1);
            let before = field.clone();
            match field.receive_words(start & !31, &words) {
                Ok(range) => {
                    let end = range.end.next_multiple_of(32);
                    let read: Vec<u32> = (range.start..end)
                        .step_by(32)
                        .map(|at| (0..32).fold(0, |word, i| word | u32::from(field.get(at + i)) << i))
                        .collect();
                    prop_assert_eq!(read, words);
                    prop_assert_eq!(field.count(0..range.start), before.count(0..range.start));
                }
                Err(_) => prop_assert_eq!(&before, &field),
            }
            prop_assert_eq!(field.first_set(start), field.ranges(start..u64::MAX).next().map(|run| run.start));
            let _ = field.first_unset(start);
            let _ = (field.last_set(start), field.last_unset(start));
            let window = start..start.saturating_add(bits);
            prop_assert!(field.answers(window.clone(), bits).take(3).count() <= 2);
            prop_assert!(field.count(window.clone()) <= window.end - window.start);
            prop_assert!(field.memory() < 1 << 20);
        }
    }
}
