//! Input that makes no sense, stores that are damaged, disks that are full.

use std::fs;
use std::process::Command;

use crate::run::{Place, command, end, hypercore, noise, serve, with_input};

/// Where a segment's header has its version, and how long the header is.
const VERSION_AT: usize = 8;
const HEADER: usize = 64;

#[test]
fn the_help_says_what_exit_codes_mean() {
    let out = hypercore(&["--help"]).ok().text();
    let codes = ["3 not available", "4 integrity", "5 locked", "130 and 143"];
    assert!(codes.iter().all(|code| out.contains(code)), "{out}");
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_2() {
    let place = Place::new();
    let (dir, key) = place.log("log");
    let (key, new) = (key.as_str(), place.at("new"));
    let cases: [&[&str]; 16] = [
        &[],
        &["frobnicate"],
        &["get", &dir],
        &["get", &dir, "-1"],
        &["get", &dir, "x"],
        &["create", &new, "--seed", "12"],
        &["append", &dir, "--chunk-size", "0"],
        &["append", &dir, "--lines", "--chunk-size", "7"],
        &["append", &dir, "--text", "a", "file"],
        &["key", "not-a-key"],
        &["has", &dir, "2", "1"],
        &["serve", &dir, "--listen", "nowhere"],
        &["fetch", key, &new],
        &["fetch", key, &new, "--connect", "no-port"],
        &["fetch", key, &new, "--connect", "h:1", "--blocks", "5-1"],
        &["fetch", "abc", &new, "--connect", "h:1"],
    ];
    for words in cases {
        let out = hypercore(words).code(2);
        assert!(
            out.stdout.is_empty() && !out.stderr.is_empty(),
            "{words:?}: {out:?}"
        );
        let out = hypercore(&[words, &["--json"]].concat()).code(2);
        assert_eq!(out.error().0, "usage", "{words:?}");
        assert_eq!(out.stderr.lines().count(), 1, "{words:?}: {out:?}");
        assert_eq!(out.lines().len(), 1, "{words:?}: {out:?}");
    }
    assert!(!place.path("new").exists());
    let both = [
        "fetch",
        key,
        "x",
        "--connect",
        "h:1",
        "--output",
        "-",
        "--json",
    ];
    assert_eq!(hypercore(&both).code(2).error().0, "usage");
}

#[test]
fn help_and_version_are_no_failures() {
    assert!(hypercore(&["--help"]).ok().text().contains("fetch"));
    assert!(
        hypercore(&["fetch", "--help"])
            .ok()
            .text()
            .contains("--connect")
    );
    assert!(
        hypercore(&["--version"])
            .ok()
            .text()
            .starts_with("hypercore ")
    );
}

#[test]
fn a_folder_without_a_log_is_named() {
    let place = Place::new();
    let nothing = place.at("nothing");
    for words in [
        &["get", &nothing, "0"][..],
        &["cat", &nothing],
        &["info", &nothing],
        &["has", &nothing, "0"],
        &["verify", &nothing],
        &["append", &nothing, "--text", "x"],
        &["serve", &nothing, "--listen", "127.0.0.1:0"],
    ] {
        let out = hypercore(words).code(1);
        assert!(
            out.stderr.contains(&nothing) && out.stderr.contains("create"),
            "{out:?}"
        );
        assert!(!place.path("nothing").exists());
    }
    fs::create_dir(place.path("other")).unwrap();
    fs::write(place.path("other").join("letter.txt"), b"dear").unwrap();
    for command in ["create", "info"] {
        let out = hypercore(&[command, &place.at("other"), "--json"]).code(1);
        assert!(out.error().1.contains("holds no store"), "{out:?}");
    }
}

#[test]
fn a_damaged_store_is_exit_4_and_the_place_is_named() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    for _ in 0..4 {
        with_input(&["append", &dir, "--chunk-size", "1000"], &noise(5000)).ok();
    }
    let segment = place.path("log").join("log").join("00000000.seg");
    let whole = fs::read(&segment).unwrap();
    let mut damaged = whole.clone();
    damaged[8000] ^= 1;
    fs::write(&segment, damaged).unwrap();
    // a block of the second append: the rest is none the worse for it
    hypercore(&["info", &dir]).ok();
    hypercore(&["get", &dir, "0"]).ok();
    let out = hypercore(&["cat", &dir]).code(4);
    assert!(
        out.stderr.contains("is damaged: segment 0, offset "),
        "{out:?}"
    );
    let out = hypercore(&["verify", &dir, "--json"]).code(4);
    assert_eq!(out.error().0, "integrity");
    let found = &out.lines()[0];
    assert_eq!(
        (&found["ok"], &found["blocks"]),
        (&false.into(), &20.into())
    );
    assert_eq!(found["bad"].as_array().unwrap().len(), 1);
    assert_eq!(found["damaged"][0]["index"], found["bad"][0]);
    let offset = found["damaged"][0]["offset"].as_u64().unwrap();
    assert!((7001..=8000).contains(&offset), "{found}");
    // a log that lost its end is not opened
    fs::write(&segment, &whole[..whole.len() - 10]).unwrap();
    for words in [
        &["info", &dir][..],
        &["append", &dir, "--text", "x"],
        &["verify", &dir],
    ] {
        let out = hypercore(words).code(4);
        assert!(
            out.stderr.contains("00000000.seg is damaged at byte"),
            "{out:?}"
        );
    }
    fs::write(&segment, whole).unwrap();
    hypercore(&["verify", &dir]).ok();
}

#[test]
fn a_store_of_another_version_is_said_to_be_one() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    let segment = place.path("log").join("log").join("00000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[VERSION_AT] = 99;
    fs::write(&segment, &bytes).unwrap();
    for words in [&["info", &dir][..], &["append", &dir, "--text", "x"]] {
        let out = hypercore(words).code(1);
        assert!(out.stderr.contains("has format version 99"), "{out:?}");
    }
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_store_that_was_cut_never_shows_what_was_not_signed() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    let all = noise(20_000);
    for part in all.chunks(5000) {
        with_input(&["append", &dir, "--chunk-size", "1000"], part).ok();
    }
    let segment = place.path("log").join("log").join("00000000.seg");
    let whole = fs::read(&segment).unwrap();
    for len in [
        0,
        1,
        HEADER - 1,
        HEADER,
        200,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        fs::write(&segment, &whole[..len]).unwrap();
        for words in [
            &["cat", &dir][..],
            &["verify", &dir],
            &["append", &dir, "--text", "x"],
        ] {
            let out = hypercore(words).code(4);
            assert!(out.stdout.is_empty(), "cut at {len}: {out:?}");
            assert!(
                out.stderr.contains("00000000.seg is damaged at byte"),
                "cut at {len}: {out:?}"
            );
        }
        assert_eq!(fs::read(&segment).unwrap(), &whole[..len], "cut at {len}");
    }
    fs::write(&segment, &whole).unwrap();
    assert_eq!(hypercore(&["cat", &dir]).ok().stdout, all);
}

#[test]
fn a_full_disk_is_said_to_be_one_and_loses_nothing() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 3 << 20);
    // Files of at most 2 MiB stand for a disk with so much room; the signal that says so is off.
    let limited = |words: &[&str]| {
        let mut command = Command::new("bash");
        let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_hypercore")])
            .args(words);
        command.stdin(std::process::Stdio::null());
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        end(&mut command, b"")
    };
    let (small, _) = place.log("small");
    let file = place.at("file");
    fs::write(&file, &bytes).unwrap();
    let out = limited(&["append", &small, &file]).code(1);
    assert!(out.stderr.contains(".seg: File too large"), "{out:?}");
    hypercore(&["verify", &small]).ok();
    hypercore(&["append", &small, &file]).ok();
    assert!(hypercore(&["cat", &small]).ok().stdout.ends_with(&bytes));

    let (_server, address) = serve(&[&dir]);
    let copy = place.at("copy");
    let out = limited(&["fetch", &key, &copy, "--connect", &address, "--json"]).code(1);
    assert!(out.error().1.contains("File too large"), "{out:?}");
    let found = hypercore(&["verify", &copy, "--json"]).ok().json();
    assert!(found["blocks"].as_u64().unwrap() < 192, "{found}");
    hypercore(&["fetch", &key, &copy, "--connect", &address]).ok();
    assert_eq!(hypercore(&["cat", &copy]).ok().stdout, bytes);

    let (whole, out) = (place.at("whole"), place.at("out"));
    let words = [
        "fetch",
        &key,
        &whole,
        "--connect",
        &address,
        "--output",
        &out,
    ];
    let out = limited(&words).code(1);
    assert!(out.stderr.contains("File too large"), "{out:?}");
}

#[test]
fn a_reader_of_the_output_that_goes_away_is_no_failure() {
    let place = Place::new();
    let (dir, _, _) = place.log_of("log", 3 << 20);
    let mut child = command(&["cat", &dir]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
