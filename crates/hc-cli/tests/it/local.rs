//! Commands on one folder.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::run::{Place, Running, hypercore, with_input};

const SEED: &str = "0101010101010101010101010101010101010101010101010101010101010101";

#[test]
fn a_new_log_says_what_names_it() {
    let place = Place::new();
    let dir = place.at("log");
    let created = hypercore(&["create", &dir, "--seed", SEED, "--json"])
        .ok()
        .json();
    let fields: Vec<_> = created.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["key", "discoveryKey", "id", "length", "byteLength", "fork"]
    );
    assert_eq!(created["length"], 0);
    let key = created["key"].as_str().unwrap();
    // The same key in all its forms, by either form.
    for form in [key, created["id"].as_str().unwrap()] {
        let known = hypercore(&["key", form, "--json"]).ok().json();
        for field in ["key", "id", "discoveryKey"] {
            assert_eq!(known[field], created[field]);
        }
    }
    let text = hypercore(&["create", &place.at("same"), "--seed", SEED])
        .ok()
        .text();
    assert!(text.contains(key), "{text}");
    let compat = hypercore(&[
        "create",
        &place.at("old"),
        "--seed",
        SEED,
        "--compat",
        "--json",
    ]);
    // The Ed25519 public key of that seed, by RFC 8032.
    let public = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    assert_eq!(compat.ok().json()["key"], public);
}

#[test]
fn a_log_is_not_made_over_another() {
    let place = Place::new();
    let (dir, key) = place.log("log");
    let out = hypercore(&["create", &dir, "--json"]).code(1);
    let (code, message) = out.error();
    assert_eq!(code, "other");
    assert!(
        message.contains(&key) && message.contains(&dir),
        "{message}"
    );
}

#[test]
fn a_new_key_comes_with_the_seed_that_makes_it() {
    let place = Place::new();
    let new = hypercore(&["key", "--json"]).ok().json();
    let seed = new["seed"].as_str().unwrap();
    let made = hypercore(&["create", &place.at("log"), "--seed", seed, "--json"])
        .ok()
        .json();
    assert_eq!(made["key"], new["key"]);
}

#[test]
fn what_is_appended_is_read_again() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    let file = place.at("file");
    fs::write(&file, b"abcdefghij").unwrap();
    let appended = hypercore(&["append", &dir, &file, "--chunk-size", "4", "--json"])
        .ok()
        .json();
    assert_eq!(appended, json!({ "length": 3, "byteLength": 10 }));
    with_input(&["append", &dir, "-", "--lines"], b"one\n\nthree").ok();
    hypercore(&["append", &dir, "--text", "text"]).ok();
    hypercore(&["append", &dir, "--text", ""]).ok();
    let blocks: [&[u8]; 8] = [
        b"abcd", b"efgh", b"ij", b"one\n", b"\n", b"three", b"text", b"",
    ];
    for (index, block) in blocks.iter().enumerate() {
        let index = index.to_string();
        assert_eq!(hypercore(&["get", &dir, &index]).ok().stdout, *block);
        let value = hypercore(&["get", &dir, &index, "--json"]).ok().json();
        assert_eq!(value["index"].to_string(), index);
        assert_eq!(value["byteLength"], block.len());
        assert_eq!(
            STANDARD.decode(value["value"].as_str().unwrap()).unwrap(),
            *block
        );
    }
    let all = blocks.concat();
    assert_eq!(hypercore(&["cat", &dir]).ok().stdout, all);
    assert_eq!(
        hypercore(&["cat", &dir, "--start", "1", "--end", "4"])
            .ok()
            .stdout,
        b"efghijone\n"
    );
    for offset in 0..=all.len() {
        for len in [0, 1, 5, all.len() - offset] {
            let (at, count) = (offset.to_string(), len.to_string());
            if offset + len > all.len() || (len == 5 && offset % 3 != 0) {
                continue;
            }
            let words = ["cat", &dir, "--byte-offset", &at, "--byte-length", &count];
            assert_eq!(hypercore(&words).ok().stdout, all[offset..offset + len]);
        }
    }
    assert_eq!(
        hypercore(&["cat", &dir, "--byte-offset", "20"]).ok().stdout,
        all[20..]
    );
}

#[test]
fn several_files_are_appended_in_order_and_none_if_one_is_missing() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    let (a, b) = (place.at("a"), place.at("b"));
    fs::write(&a, b"aaa").unwrap();
    let out = hypercore(&["append", &dir, &a, &b, "--json"]).code(1);
    assert!(out.error().1.contains(&b), "{out:?}");
    assert_eq!(
        hypercore(&["info", &dir, "--json"]).ok().json()["length"],
        0
    );
    fs::write(&b, b"bb").unwrap();
    let text = hypercore(&["append", &dir, &a, &b]).ok().text();
    assert_eq!(text, "appended 2 blocks; the log has 2 blocks now, 5 B\n");
    assert_eq!(hypercore(&["get", &dir, "1"]).ok().stdout, b"bb");
}

#[test]
fn info_tells_the_facts() {
    let place = Place::new();
    let (dir, key) = place.log("log");
    with_input(&["append", &dir, "--lines"], b"a\nbc\n").ok();
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!(info["key"], key.as_str());
    for (field, value) in [
        ("length", json!(2)),
        ("contiguousLength", json!(2)),
        ("byteLength", json!(5)),
        ("fork", json!(0)),
        ("writable", json!(true)),
        ("encrypted", json!(false)),
    ] {
        assert_eq!(info[field], value, "{field}");
    }
    assert_eq!(info["treeHash"].as_str().unwrap().len(), 64);
    assert_eq!(info["storage"]["blocks"], 5);
    assert!(info["storage"]["total"].as_u64().unwrap() > 5);
    let text = hypercore(&["info", &dir]).ok().text();
    assert!(
        text.contains(&key) && text.contains("2 blocks, 5 B"),
        "{text}"
    );
}

#[test]
fn what_is_not_stored_is_named_and_is_exit_3() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir, "--lines"], b"a\nb\n").ok();
    assert_eq!(hypercore(&["has", &dir, "0", "2"]).ok().text(), "yes\n");
    let has = hypercore(&["has", &dir, "1", "--json"]).ok().json();
    assert_eq!(has, json!({ "start": 1, "end": 2, "has": true }));
    let out = hypercore(&["has", &dir, "1", "9", "--json"]).code(3);
    assert_eq!(
        out.lines()[0],
        json!({ "start": 1, "end": 9, "has": false })
    );
    assert!(out.error().1.contains("block 2"), "{out:?}");
    for words in [
        &["get", &dir, "2"][..],
        &["cat", &dir, "--start", "1", "--end", "3"],
    ] {
        let out = hypercore(words).code(3);
        assert!(out.stderr.contains("block 2"), "{out:?}");
    }
    let past = hypercore(&["cat", &dir, "--byte-offset", "3", "--byte-length", "9"]).code(3);
    assert!(past.stderr.contains("the log has 4 bytes"), "{past:?}");
    hypercore(&["cat", &dir, "--start", "3"]).code(3);
    hypercore(&["cat", &dir, "--byte-offset", "5"]).code(3);
    assert_eq!(
        hypercore(&["get", &dir, "2", "--json"]).code(3).error().0,
        "not-available"
    );
}

#[test]
fn verify_counts_what_holds() {
    let place = Place::new();
    let (dir, _, bytes) = place.log_of("log", 100_000);
    let found = hypercore(&["verify", &dir, "--json"]).ok().json();
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    let expected = json!({
        "ok": true, "length": 7, "blocks": 7, "bytes": bytes.len(),
        "treeHash": info["treeHash"], "bad": [], "damaged": [], "damage": [],
    });
    assert_eq!(found, expected);
    assert!(
        hypercore(&["verify", &dir])
            .ok()
            .text()
            .contains("7 of 7 blocks stored")
    );
}

#[test]
fn a_reader_beside_a_writer_follows_it() {
    let place = Place::new();
    let (dir, key) = place.log("log");
    with_input(&["append", &dir, "--lines"], b"one\n").ok();
    let out = place.path("out");
    let mut command = crate::run::command(&["cat", &dir, "--live"]);
    let mut cat = command
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    let words = [
        "serve",
        &dir,
        "--listen",
        "127.0.0.1:0",
        "--append",
        "-",
        "--lines",
    ];
    let mut writer = Running::start(&words);
    writer.event("listening");
    let shows = |text: &str| {
        for _ in 0..600 {
            if fs::read_to_string(&out).unwrap() == text {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{:?} instead of {text:?}", fs::read_to_string(&out));
    };
    shows("one\n");
    writer.write(b"two\nthr");
    assert_eq!(writer.event("append")["length"], 2);
    shows("one\ntwo\n");
    writer.write(b"ee\n");
    shows("one\ntwo\nthree\n");
    // Everything else that reads works beside it too, and a second writer does not.
    assert_eq!(hypercore(&["get", &dir, "2"]).ok().stdout, b"three\n");
    assert_eq!(
        hypercore(&["info", &dir, "--json"]).ok().json()["key"],
        key.as_str()
    );
    hypercore(&["verify", &dir]).ok();
    let out = hypercore(&["append", &dir, "--text", "no", "--json"]).code(5);
    let (code, message) = out.error();
    assert_eq!(code, "locked");
    assert!(
        message.contains(&format!("process {}", writer.pid())),
        "{message}"
    );
    // A writer that is killed and comes again is followed on.
    writer.kill();
    hypercore(&["append", &dir, "--text", "four"]).ok();
    shows("one\ntwo\nthree\nfour");
    let pid = cat.id().to_string();
    std::process::Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status()
        .unwrap();
    assert_eq!(cat.wait().unwrap().code(), Some(0));
}

#[test]
fn a_byte_is_found_in_its_block() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir, "--lines"], b"abc\nd\nefg\n").ok();
    for (byte, index, offset) in [(0, 0, 0), (4, 1, 0), (7, 2, 1), (10, 3, 0)] {
        let found = hypercore(&["seek", &dir, &byte.to_string(), "--json"]).ok();
        let expected = json!({ "index": index, "relativeOffset": offset });
        assert_eq!(found.json(), expected);
    }
    let text = hypercore(&["seek", &dir, "5"]).ok().text();
    assert_eq!(text, "block 1, byte 1\n");
    let (code, message) = hypercore(&["seek", &dir, "11", "--json"]).code(3).error();
    assert_eq!(code, "not-available");
    assert!(message.contains("byte 11"), "{message}");
}

#[test]
fn the_hash_of_a_tree_is_that_of_the_log_when_it_was_so_long() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir, "--lines"], b"a\nb\n").ok();
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    let then = hypercore(&["tree-hash", &dir, "--json"]).ok().json();
    assert_eq!(then["treeHash"], info["treeHash"]);
    assert_eq!(then["length"], 2);
    with_input(&["append", &dir, "--lines"], b"c\n").ok();
    let again = hypercore(&["tree-hash", &dir, "2", "--json"]).ok().json();
    assert_eq!(again, then);
    let empty = "bb30a42c1e62f0afda5f0a4e8a562f7a13a24cea00ee81917b86b89e801314aa";
    let none = hypercore(&["tree-hash", &dir, "0"]).ok().text();
    assert_eq!(none.trim(), empty);
    hypercore(&["tree-hash", &dir, "4", "--json"]).code(3);
}

#[test]
fn a_log_is_truncated_and_goes_on_from_there() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir, "--lines"], b"a\nb\nc\n").ok();
    let cut = hypercore(&["truncate", &dir, "1", "--json"]).ok().json();
    assert_eq!(cut, json!({ "length": 1, "byteLength": 2, "fork": 1 }));
    with_input(&["append", &dir, "--lines"], b"d\n").ok();
    assert_eq!(hypercore(&["cat", &dir]).ok().text(), "a\nd\n");
    let text = hypercore(&["truncate", &dir, "1", "--fork", "7"])
        .ok()
        .text();
    assert!(text.contains("on fork 7"), "{text}");
    let (code, _) = hypercore(&["truncate", &dir, "0", "--fork", "7", "--json"])
        .code(2)
        .error();
    assert_eq!(code, "usage");
    hypercore(&["truncate", &dir, "5", "--json"]).code(3);
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!((&info["length"], &info["fork"]), (&json!(1), &json!(7)));
    hypercore(&["verify", &dir]).ok();
}

#[test]
fn blocks_are_cleared() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir, "--lines"], b"a\nbb\nccc\n").ok();
    assert_eq!(hypercore(&["clear", &dir, "0"]).ok().text(), "cleared\n");
    let cleared = hypercore(&["clear", &dir, "0", "2", "--diff", "--json"]);
    assert_eq!(cleared.ok().json(), json!({ "blocks": 1, "bytes": 3 }));
    let nothing = hypercore(&["clear", &dir, "9", "--diff", "--json"]);
    assert_eq!(nothing.ok().json(), json!({ "blocks": 0, "bytes": 0 }));
    hypercore(&["has", &dir, "0"]).code(3);
    hypercore(&["has", &dir, "2"]).ok();
    hypercore(&["clear", &dir, "2", "1", "--json"]).code(2);
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!((&info["length"], &info["stored"]), (&json!(3), &json!(1)));
}

#[test]
fn a_reader_beside_a_writer_sees_it_cut() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir, "--lines"], b"one\ntwo\nthree\n").ok();
    let out = place.path("out");
    let mut command = crate::run::command(&["cat", &dir, "--live"]);
    let mut cat = command
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    let shows = |text: &str| {
        for _ in 0..600 {
            if fs::read_to_string(&out).unwrap() == text {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{:?} instead of {text:?}", fs::read_to_string(&out));
    };
    shows("one\ntwo\nthree\n");
    hypercore(&["truncate", &dir, "1"]).ok();
    with_input(&["append", &dir, "--lines"], b"2\n3\n4\n5\n").ok();
    shows("one\ntwo\nthree\n2\n3\n4\n5\n");
    cat.kill().unwrap();
    cat.wait().unwrap();
}
