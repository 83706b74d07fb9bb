//! Windows wanted by either side, up to their limits and past them.

use hc_bitfield::limits::{
    MAX_ANY_WANTS, MAX_WANT_BITS, MAX_WANT_LENGTHS, MAX_WANTS, SEGMENT_BITS,
};
use hc_bitfield::{Ask, LocalWants, RemoteWants, Window};

fn window(start: u64, length: u64) -> Window {
    Window {
        start,
        length,
        any: false,
    }
}

#[test]
fn a_window_over_the_longest_is_not_answered() {
    let mut wants = RemoteWants::new();
    assert!(wants.add(window(0, MAX_WANT_BITS)));
    assert!(!wants.add(window(0, MAX_WANT_BITS + 1)));
    assert!(!wants.add(window(0, u64::MAX)));
    assert!(!wants.everything());
    assert!(!wants.intersects(MAX_WANT_BITS..u64::MAX));
}

#[test]
fn one_window_too_many_means_everything() {
    let mut wants = RemoteWants::new();
    for i in 0..MAX_WANTS as u64 {
        assert!(wants.add(window(i * 64, 32)));
    }
    assert!(!wants.everything());
    assert!(!wants.intersects(32..64));
    assert!(wants.add(window(1 << 40, 32)));
    assert!(wants.everything() && wants.intersects(32..64));
}

#[test]
fn one_length_too_many_means_everything() {
    let mut wants = RemoteWants::new();
    for i in 0..MAX_WANT_LENGTHS {
        assert!(wants.add(window(0, 32 << i)));
    }
    assert!(!wants.everything());
    assert!(wants.add(window(0, 32 << MAX_WANT_LENGTHS)));
    assert!(wants.everything());
}

#[test]
fn one_any_window_too_many_means_everything() {
    let mut wants = RemoteWants::new();
    for start in 0..MAX_ANY_WANTS as u64 {
        assert!(wants.add(Window {
            start: start * 100,
            length: 10,
            any: true
        }));
    }
    assert!(!wants.everything() && !wants.intersects(10..100) && wants.intersects(99..101));
    assert!(wants.add(Window {
        start: u64::MAX,
        length: u64::MAX,
        any: true
    }));
    assert!(wants.everything());
}

#[test]
fn removed_windows_are_forgotten() {
    let mut wants = RemoteWants::new();
    wants.add(window(64, 64));
    wants.add(Window {
        start: 500,
        length: 7,
        any: true,
    });
    assert!(wants.intersects(127..128) && wants.intersects(500..501));
    assert!(!wants.remove(window(128, 64)));
    assert!(wants.remove(window(64, 64)));
    assert!(!wants.remove(window(64, 64)));
    assert!(wants.remove(Window {
        start: 500,
        length: 7,
        any: true
    }));
    assert!(!wants.intersects(0..u64::MAX));
}

#[test]
fn odd_shapes_mean_everything() {
    for (start, length) in [(0, 0), (0, 31), (0, 33), (0, 16), (5, 32), (u64::MAX, 64)] {
        let mut wants = RemoteWants::new();
        assert!(wants.add(window(start, length)));
        assert!(wants.everything(), "{start} {length}");
    }
}

#[test]
fn idle_windows_make_place_for_wanted_ones() {
    let mut wants = LocalWants::new();
    for i in 0..MAX_WANTS as u64 {
        let want = window(i * SEGMENT_BITS, SEGMENT_BITS);
        assert_eq!(
            wants.add(i * SEGMENT_BITS + 1, 'a'),
            Ask::Send { want, unwant: None }
        );
    }
    let next = MAX_WANTS as u64 * SEGMENT_BITS;
    assert_eq!(wants.add(next, 'a'), Ask::Full);
    assert_eq!(wants.add(3 * SEGMENT_BITS, 'b'), Ask::Asked);
    assert!(!wants.remove(3 * SEGMENT_BITS, &'a'));
    assert!(wants.remove(3 * SEGMENT_BITS, &'b'));
    assert!(
        !wants.remove(4 * SEGMENT_BITS, &'a'),
        "there was place before"
    );
    assert_eq!(
        wants.add(4 * SEGMENT_BITS, 'a'),
        Ask::Asked,
        "an idle window is still asked for"
    );
    let unwant = Some(window(3 * SEGMENT_BITS, SEGMENT_BITS));
    assert_eq!(
        wants.add(next, 'a'),
        Ask::Send {
            want: window(next, SEGMENT_BITS),
            unwant
        }
    );
    assert_eq!(wants.add(next + SEGMENT_BITS, 'a'), Ask::Full);
}

#[test]
fn any_windows_are_asked_for_once_and_taken_back_by_the_last() {
    let mut wants = LocalWants::new();
    let sent = Some(window(0, SEGMENT_BITS));
    assert_eq!(wants.add_any(5..9, 1), sent);
    assert_eq!(wants.add_any(6..7, 2), None);
    assert_eq!(wants.remove_any(5..9, &1), None);
    assert_eq!(wants.remove_any(5..9, &1), None);
    assert_eq!(wants.remove_any(5..9, &2), sent);
    assert_eq!(wants.remove_any(5..9, &2), None);
    assert!(wants.add_any(u64::MAX - 1..u64::MAX, 1).is_some());
}
