//! Looking after a folder: repair, compact, purge, as a new user tries them, on good folders and on
//! damaged ones.

use std::fs;
use std::path::Path;

use crate::run::{Place, hypercore, noise, with_input};

fn size(path: &Path) -> u64 {
    let size = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => size(&entry.path()),
        false => entry.metadata().unwrap().len(),
    };
    fs::read_dir(path)
        .unwrap()
        .map(|entry| size(entry.unwrap()))
        .sum()
}

#[test]
fn repair_clears_a_bad_block_and_leaves_the_rest() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir, "--chunk-size", "1000"], &noise(9000)).ok();
    let out = hypercore(&["repair", &dir]).ok();
    assert_eq!(out.text(), "nothing is damaged\n");
    assert_eq!(
        hypercore(&["repair", &dir, "--json"]).ok().json()["ok"],
        true
    );
    let segment = place.path("log").join("log").join("00000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    hypercore(&["verify", &dir]).code(4);
    let found = hypercore(&["repair", &dir, "--json"]).ok().json();
    assert_eq!(found["ok"], false);
    assert_eq!(found["cleared"][0]["blocks"], serde_json::json!([8]));
    let out = hypercore(&["verify", &dir]).ok();
    assert!(out.text().contains("8 of 9 blocks stored"), "{out:?}");
    hypercore(&["get", &dir, "8"]).code(3);
    hypercore(&["append", &dir, "--text", "x"]).ok();
}

#[test]
fn a_file_is_not_taken_for_a_folder() {
    let place = Place::new();
    fs::write(place.path("notes"), "mine").unwrap();
    for command in ["repair", "compact"] {
        let out = hypercore(&[command, &place.at("notes")]).code(3);
        assert!(out.stderr.contains("is a file; a folder"), "{out:?}");
    }
    assert_eq!(fs::read(place.path("notes")).unwrap(), b"mine");
}

#[test]
fn a_folder_that_lost_its_end_is_repaired_when_that_is_accepted() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    for text in ["one", "two", "three"] {
        hypercore(&["append", &dir, "--text", text]).ok();
    }
    let segment = place.path("log").join("log").join("00000000.seg");
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 3]).unwrap();
    let out = hypercore(&["repair", &dir]).code(4);
    assert!(out.stderr.contains("--accept-loss"), "{out:?}");
    let out = hypercore(&["repair", &dir, "--accept-loss"]).ok();
    assert!(out.text().contains("no peer has more of it"), "{out:?}");
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!(info["length"], 2);
    hypercore(&["append", &dir, "--text", "again"]).ok();
    hypercore(&["verify", &dir]).ok();
}

#[test]
fn purge_takes_a_yes_and_gives_back_the_space() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir], &noise(3_000_000)).ok();
    let out = hypercore(&["purge", &dir]).code(2);
    assert!(out.stderr.contains("--yes"), "{out:?}");
    hypercore(&["verify", &dir]).ok();
    let purged = hypercore(&["purge", &dir, "--yes", "--json"]).ok().json();
    assert_eq!(purged["blocks"], 46);
    assert!(purged["freed"].as_u64().unwrap() > 2_900_000, "{purged}");
    assert!(size(&place.path("log")) < 100_000);
    hypercore(&["info", &dir]).code(1);
    hypercore(&["compact", &dir]).ok();
}

#[test]
fn compact_says_what_it_gave_back() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    for _ in 0..40 {
        hypercore(&["append", &dir, "--text", "a short text"]).ok();
    }
    let before = size(&place.path("log"));
    let found = hypercore(&["compact", &dir, "--json"]).ok().json();
    assert!(size(&place.path("log")) <= before);
    assert_eq!(found["blocks"], 40 * 12);
    assert_eq!(
        found["before"]
            .as_u64()
            .unwrap()
            .saturating_sub(found["after"].as_u64().unwrap()),
        found["freed"].as_u64().unwrap()
    );
    let out = hypercore(&["compact", &dir]).ok();
    assert!(out.text().contains("given back"), "{out:?}");
    let out = hypercore(&["verify", &dir]).ok();
    assert!(out.text().contains("40 of 40 blocks stored"), "{out:?}");
    hypercore(&["compact", &place.path("none").to_string_lossy()]).code(1);
}

/// An index takes room in advance while it is open: that is no gain.
#[test]
fn compacting_what_is_compact_gives_back_nothing() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir, "--chunk-size", "1000"], &noise(90_000)).ok();
    hypercore(&["compact", &dir]).ok();
    let before = size(&place.path("log"));
    let found = hypercore(&["compact", &dir, "--json"]).ok().json();
    assert!(found["freed"].as_u64().unwrap() < 4096, "{found}");
    assert!(found["before"].as_u64().unwrap() <= before, "{found}");
}

/// A log whose tree lost its roots looks empty, and is not sound.
#[test]
fn a_log_that_lost_its_roots_is_no_empty_one() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    let segment = place.path("log").join("log").join("00000000.seg");
    let start = fs::metadata(&segment).unwrap().len();
    // the first frame has the nodes that the later head leads to
    let lines: Vec<u8> = (0..64)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    with_input(&["append", &dir, "--lines"], &lines).ok();
    hypercore(&["append", &dir, "--text", "one more"]).ok();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[usize::try_from(start).unwrap() + 60] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let out = hypercore(&["verify", &dir, "--json"]).code(4);
    let (code, message) = out.error();
    assert!(
        code == "integrity" && message.contains("lost roots"),
        "{message}"
    );
    assert!(
        message.contains("65 blocks") && message.contains("fetch"),
        "{message}"
    );
    let out = hypercore(&["export", &dir, &place.at("file")]).code(4);
    assert!(out.stderr.contains("lost roots"), "{out:?}");
    assert!(!place.path("file").exists());
}

#[test]
fn what_takes_a_whole_store_says_so_of_a_log_in_it() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    hypercore(&["create", &dir, "--name", "posts"]).ok();
    let posts = format!("{dir}/posts");
    let file = place.at("file");
    for words in [
        &["repair", &posts][..],
        &["compact", &posts],
        &["backup", &posts, &file],
        &["import", &dir, &posts],
    ] {
        let out = hypercore(words).code(2);
        assert!(out.stderr.contains("the whole store is meant"), "{out:?}");
    }
}

#[test]
fn purge_takes_a_log_by_its_name() {
    let place = Place::new();
    let (dir, first) = place.log("log");
    hypercore(&["create", &dir, "--name", "posts"]).ok();
    let posts = format!("{dir}/posts");
    hypercore(&["append", &posts, "--text", "x"]).ok();
    hypercore(&["purge", &posts, "--key", &first, "--yes"]).code(2);
    let purged = hypercore(&["purge", &posts, "--yes", "--json"]).ok().json();
    assert_eq!(purged["blocks"], 1);
    let out = hypercore(&["info", &posts]).code(1);
    assert!(out.stderr.contains("has no log"), "{out:?}");
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!(info["key"], first.as_str());
}

/// The store is named that is damaged, not the file that was to be made; and what to do.
#[test]
fn an_export_of_a_damaged_log_says_where_and_what_to_do() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    with_input(&["append", &dir, "--chunk-size", "1000"], &noise(9000)).ok();
    let segment = place.path("log").join("log").join("00000000.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let out = hypercore(&["verify", &dir]).code(4);
    assert!(
        out.stderr.contains("1 of the stored blocks is bad: 8"),
        "{out:?}"
    );
    let out = hypercore(&["export", &dir, &place.at("file")]).code(4);
    assert!(out.stderr.contains(&format!("{dir}: block 8")), "{out:?}");
    assert!(out.stderr.contains("`hypercore repair`"), "{out:?}");
}

/// Of a secret key with one byte altered it is known what it was; of one with more, that it is there.
#[test]
fn a_secret_key_that_rots_is_said_everywhere_and_never_dropped() {
    let place = Place::new();
    let (dir, key) = place.log("log");
    hypercore(&["append", &dir, "--text", "x"]).ok();
    let file = place.path("log").join("SECRETS");
    let whole = fs::read(&file).unwrap();
    let flip = |places: &[usize]| {
        let mut bytes = fs::read(&file).unwrap();
        for at in places {
            bytes[*at] ^= 4;
        }
        fs::write(&file, bytes).unwrap();
    };
    let named = format!("{} is damaged at byte 16", file.display());
    let words = place.path("words");
    fs::write(&words, "open sesame\n").unwrap();
    let backup = |name: &str| {
        let (file, words) = (place.at(name), words.to_str().unwrap().to_owned());
        let words = ["backup", &dir, &file, "--passphrase-file", &words, "--json"];
        hypercore(&words)
    };

    flip(&[60]);
    let info = hypercore(&["info", &dir]).ok().text();
    assert!(
        info.contains(&named) && info.contains("still known"),
        "{info}"
    );
    let out = hypercore(&["verify", &dir, "--json"]).code(4);
    assert_eq!(out.lines()[0]["bad"], serde_json::json!([]));
    assert!(out.error().1.contains(&named), "{out:?}");
    let out = backup("altered").ok().json();
    assert_eq!(out["keys"][0], key.as_str());
    assert!(out["damage"][0].as_str().unwrap().contains(&named), "{out}");
    hypercore(&["append", &dir, "--text", "still mine"]).ok();
    hypercore(&["compact", &dir]).ok();
    let out = hypercore(&["repair", &dir]).ok().text();
    assert!(
        out.contains(&named) && out.contains("written as it was"),
        "{out}"
    );
    assert_eq!(fs::read(&file).unwrap(), whole);
    hypercore(&["verify", &dir]).ok();

    flip(&[60, 80]);
    let out = hypercore(&["append", &dir, "--text", "x"]).code(1);
    assert!(out.stderr.contains(&named), "{out:?}");
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!(info["writable"], false);
    assert!(
        info["damage"][0].as_str().unwrap().contains(&named),
        "{info}"
    );
    hypercore(&["verify", &dir]).code(4);
    let out = backup("none").code(4);
    assert!(out.error().1.contains(&named), "{out:?}");
    let out = hypercore(&["repair", &dir, "--json"]).ok().json();
    assert_eq!(out["lostKeys"].as_array().unwrap().len(), 1, "{out}");
    let aside = fs::read(file.with_extension("damaged")).unwrap();
    assert!(aside[20..56] == whole[20..56], "not set aside");
    hypercore(&["verify", &dir]).ok();
    let words = words.to_str().unwrap().to_owned();
    let sealed = place.at("altered");
    let restore = ["restore", &sealed, &dir, "--passphrase-file", &words];
    hypercore(&restore).ok();
    hypercore(&["append", &dir, "--text", "mine again"]).ok();
}

/// What is to be done about a folder without any segment is what its error says, and works.
#[test]
fn a_folder_that_lost_all_of_its_log_goes_on_without_when_that_is_accepted() {
    let place = Place::new();
    let (dir, key) = place.log("log");
    hypercore(&["append", &dir, "--text", "x"]).ok();
    let file = place.at("file");
    hypercore(&["export", &dir, &file]).ok();
    fs::remove_file(place.path("log").join("log/00000000.seg")).unwrap();
    for words in [&["repair", &dir][..], &["info", &dir], &["verify", &dir]] {
        let out = hypercore(words).code(4);
        assert!(out.stderr.contains("repair --accept-loss"), "{out:?}");
    }
    let out = hypercore(&["repair", &dir, "--accept-loss"]).ok().text();
    assert!(out.contains("no log is left here"), "{out}");
    hypercore(&["info", &dir]).code(1);
    let out = hypercore(&["repair", &dir, "--json"]).ok().json();
    assert_eq!(out["ok"], true, "{out}");
    // the key is not in the log, and still there
    hypercore(&["import", &file, &dir]).ok();
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!(
        (info["key"].as_str(), &info["writable"]),
        (Some(&*key), &true.into())
    );
    hypercore(&["append", &dir, "--text", "y"]).ok();
    hypercore(&["verify", &dir]).ok();
}
