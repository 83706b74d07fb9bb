//! What the JavaScript reference answers, case by case (`tests/vectors/bitfield.json`).
//!
//! Where the reference's search for an unset bit ends at the end of its own memory, the vectors give
//! an index below the one the search started at; here the answer is then the start itself.

use hc_bitfield::{Ask, Bitfield, LocalWants, RemoteWants, Window};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/bitfield.json")).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("no list {key}"))
}

fn int(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no integer {key} in {value}"))
}

/// An index, or `None` for the reference's -1.
fn found(value: &Value, key: &str) -> Option<u64> {
    let found = value[key].as_i64().unwrap();
    (found != -1).then(|| found.unsigned_abs())
}

fn build(ops: &[Value]) -> Bitfield {
    let mut field = Bitfield::new();
    for op in ops {
        let range = int(op, "start")..int(op, "start") + int(op, "length");
        match op["op"].as_str().unwrap() {
            "set" => field.set_range(range),
            "unset" => field.unset_range(range),
            other => panic!("unknown op {other}"),
        }
    }
    field
}

fn words_of(hex: &str) -> (u64, Vec<u32>) {
    let bytes = hex::decode(hex).unwrap();
    let (start, rest) = uint(&bytes);
    let (count, rest) = uint(rest);
    let words: Vec<u32> = rest
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word))
        .collect();
    assert_eq!(words.len() as u64, count);
    (start, words)
}

fn uint(bytes: &[u8]) -> (u64, &[u8]) {
    let len = match bytes[0] {
        0xfd => 2,
        0xfe => 4,
        0xff => 8,
        small => return (small.into(), &bytes[1..]),
    };
    let mut le = [0; 8];
    le[..len].copy_from_slice(&bytes[1..=len]);
    (u64::from_le_bytes(le), &bytes[1 + len..])
}

#[test]
fn searches_and_counts() {
    let vectors = vectors();
    for case in list(&vectors, "cases") {
        let field = build(list(case, "ops"));
        for query in list(case, "queries") {
            let at = int(query, "at");
            assert_eq!(field.get(at), query["get"].as_bool().unwrap(), "{query}");
            assert_eq!(field.first_set(at), found(query, "firstSet"), "{query}");
            assert_eq!(field.last_set(at), found(query, "lastSet"), "{query}");
            assert_eq!(field.last_unset(at), found(query, "lastUnset"), "{query}");
            for key in ["firstUnset", "remoteFirstUnset"] {
                assert_eq!(field.first_unset(at), int(query, key).max(at), "{query}");
            }
        }
        for query in list(case, "counts") {
            let range = int(query, "start")..int(query, "start") + int(query, "length");
            assert_eq!(field.count(range.clone()), int(query, "set"), "{query}");
            assert_eq!(
                field.any_set(range.clone()),
                query["hasSet"].as_bool().unwrap(),
                "{query}"
            );
            assert_eq!(
                field.any_unset(range),
                query["hasUnset"].as_bool().unwrap(),
                "{query}"
            );
        }
    }
}

#[test]
fn answers_to_wants() {
    let vectors = vectors();
    for case in list(&vectors, "wants") {
        let field = build(list(case, "ops"));
        let start = int(&case["want"], "start");
        let window = start..start + int(&case["want"], "length");
        let answers: Vec<_> = field.answers(window, int(case, "length")).collect();
        let expected = list(case, "answer");
        assert_eq!(answers.len(), expected.len(), "{case}");
        for (answer, expected) in answers.iter().zip(expected) {
            assert_eq!(answer.start, int(expected, "start"), "{case}");
            let runs = list(expected, "runs").iter().flat_map(|run| {
                let word = u32::try_from(run[1].as_u64().unwrap()).unwrap();
                let count = usize::try_from(run[0].as_u64().unwrap()).unwrap();
                std::iter::repeat_n(word, count)
            });
            assert_eq!(answer.words, runs.collect::<Vec<_>>(), "{case}");
            assert_eq!(answer.words.len() as u64, int(expected, "words"));
            if let Some(hex) = expected["hex"].as_str() {
                assert_eq!(words_of(hex), (answer.start, answer.words.clone()));
            }
        }
    }
}

#[test]
fn messages_inserted() {
    let vectors = vectors();
    for case in list(&vectors, "inserts") {
        let mut field = build(list(case, "before"));
        let (start, words) = words_of(case["message"]["hex"].as_str().unwrap());
        let taken = field.receive_words(start, &words).unwrap();
        assert_eq!(taken, start..start + 32 * words.len() as u64);
        for query in list(case, "queries") {
            let at = int(query, "at");
            assert_eq!(field.get(at), query["get"].as_bool().unwrap(), "{query}");
            assert_eq!(field.first_set(at), found(query, "firstSet"), "{query}");
            assert_eq!(
                field.first_unset(at),
                int(query, "firstUnset").max(at),
                "{query}"
            );
        }
    }
}

fn window(value: &Value) -> Window {
    Window {
        start: int(value, "start"),
        length: int(value, "length"),
        any: value["any"].as_bool().unwrap_or(false),
    }
}

#[test]
fn local_wants() {
    let vectors = vectors();
    let mut wants = LocalWants::new();
    for step in list(&vectors, "localWants") {
        let sent = if let Some(index) = step["add"].as_u64() {
            match wants.add(index, 0) {
                Ask::Send { want, unwant: None } => Some(want),
                Ask::Asked => None,
                other => panic!("{other:?}"),
            }
        } else {
            wants.add_any(window(&step["addAny"]).range(), 0)
        };
        let expected = step["sent"].is_object().then(|| window(&step["sent"]));
        assert_eq!(sent, expected, "{step}");
    }
}

#[test]
fn remote_wants() {
    let vectors = vectors();
    for case in list(&vectors, "remoteWants") {
        let mut wants = RemoteWants::new();
        if case["odd"].is_array() {
            for step in list(case, "odd") {
                let accepted = wants.add(window(&step["add"]));
                assert_eq!(accepted, step["accepted"].as_bool().unwrap(), "{step}");
                assert_eq!(wants.everything(), step["all"].as_bool().unwrap(), "{step}");
            }
            continue;
        }
        for (add, accepted) in list(case, "adds").iter().zip(list(case, "accepted")) {
            assert_eq!(wants.add(window(add)), accepted.as_bool().unwrap(), "{add}");
        }
        for test in list(case, "tests") {
            let wanted = wants.intersects(window(test).range());
            assert_eq!(wanted, test["wanted"].as_bool().unwrap(), "{test}");
        }
    }
}
