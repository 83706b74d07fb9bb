//! Keys as the reference makes them.

use super::*;
use crate::vectors::{array, bytes, list, load, uint};

#[test]
fn keys_are_those_of_the_reference() {
    let vectors = load("hc-protocol/tests/vectors/messages.json");
    let mut compared = 0;
    for case in list(&vectors["storage"]["keys"]) {
        let args = list(&case["args"]);
        let number = |at: usize| uint(&args[at]);
        let expected = bytes(&case["hex"]);
        let found = match case["name"].as_str().expect("a name") {
            "store.head" => store_head(),
            "store.core" => {
                let key = DiscoveryKey(array(&args[0]));
                assert_eq!(discovery_key(&expected), Some(key));
                core(&key)
            }
            "core.auth" => auth(number(0)),
            "core.head" => head(number(0)),
            "core.dependency" => dependency(number(0)),
            "core.block" => block(number(0), number(1)),
            "core.tree" => node(number(0), number(1)),
            "core.bitfield" => {
                assert_eq!(page(&expected), Some((number(1), number(2))));
                let all = bitfield(number(0));
                assert!(all.contains(&Bytes::from(expected)), "{case}");
                compared += 1;
                continue;
            }
            "core.userData" => {
                assert_eq!(user_data_name(&expected).as_deref(), args[1].as_str());
                let all = user_data(number(0));
                assert!(all.contains(&Bytes::from(expected)), "{case}");
                compared += 1;
                continue;
            }
            _ => continue,
        };
        assert_eq!(found, expected, "{case}");
        compared += 1;
    }
    assert!(compared >= 25, "only {compared}");
}

#[test]
fn names_with_zeros_are_read_and_broken_ones_are_not() {
    assert_eq!(name(b"\0a\0\x02b\0\x01"), Some(b"a\0b".to_vec()));
    for broken in [
        &b""[..],
        b"\0",
        b"\0a",
        b"\0a\0",
        b"\0a\0b\0\x01",
        b"a\0\x01",
        b"\0\0\0\x01",
    ] {
        assert_eq!(name(broken), None, "{broken:?}");
    }
}
