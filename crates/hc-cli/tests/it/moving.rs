//! Logs in and out of folders: bundles, backups of keys, and what the JavaScript versions left.

use std::fs;
use std::path::Path;

use crate::run::{Out, Place, command, end, hypercore, noise, with_input};

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hc-transfer/tests/fixtures");
    path.join(name).to_str().unwrap().to_owned()
}

/// A folder with a log of so many blocks of 1000 bytes, and what is in it.
fn log_of(place: &Place, name: &str, blocks: usize) -> (String, String, Vec<u8>) {
    let (dir, key) = place.log(name);
    let bytes = noise(1000 * blocks);
    with_input(&["append", &dir, "--chunk-size", "1000"], &bytes).ok();
    (dir, key, bytes)
}

fn cat(dir: &str) -> Vec<u8> {
    hypercore(&["cat", dir]).ok().stdout
}

fn with_passphrase(words: &[&str], passphrase: &str) -> Out {
    let mut command = command(words);
    command.env("HYPERCORE_PASSPHRASE", passphrase);
    end(&mut command, b"")
}

#[test]
fn a_log_travels_in_a_file() {
    let place = Place::new();
    let (dir, key, bytes) = log_of(&place, "log", 40);
    let (file, copy) = (place.at("log.bundle"), place.at("copy"));
    let out = hypercore(&["export", &dir, &file, "--json"]).ok().json();
    assert_eq!(
        (out["key"].as_str().unwrap(), &out["blocks"]),
        (&*key, &40.into())
    );
    assert_eq!(out["fileBytes"], fs::metadata(&file).unwrap().len());
    let again = hypercore(&["export", &dir, &file]).code(1);
    assert!(again.stderr.contains(&file), "{again:?}");

    let out = hypercore(&["import", &file, &copy, "--json"]).ok().json();
    assert_eq!((&out["blocks"], &out["present"]), (&40.into(), &0.into()));
    assert!(cat(&copy) == bytes);
    let info = hypercore(&["info", &copy, "--json"]).ok().json();
    assert_eq!(
        (info["key"].as_str().unwrap(), &info["writable"]),
        (&*key, &false.into())
    );
    hypercore(&["verify", &copy]).ok();
    let out = hypercore(&["import", &file, &copy]).ok().text();
    assert!(out.contains("40 blocks there already"), "{out}");

    // What came later follows, alone.
    with_input(&["append", &dir, "--chunk-size", "1000"], &bytes).ok();
    let rest = hypercore(&["export", &dir, "-", "--start", "40"])
        .ok()
        .stdout;
    fs::write(place.path("rest"), rest).unwrap();
    hypercore(&["import", &place.at("rest"), &copy]).ok();
    assert!(cat(&copy) == [&bytes[..], &bytes].concat());
}

#[test]
fn a_bundle_that_is_damaged_is_exit_4_and_the_place_is_named() {
    let place = Place::new();
    let (dir, _, bytes) = log_of(&place, "log", 40);
    let (file, copy) = (place.at("log.bundle"), place.at("copy"));
    hypercore(&["export", &dir, &file]).ok();
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[20_000] ^= 1;
    fs::write(&file, damaged).unwrap();
    let out = hypercore(&["import", &file, &copy, "--json"]).code(4);
    let (code, message) = out.error();
    assert!(
        code == "integrity" && message.contains("damaged at byte"),
        "{message}"
    );
    hypercore(&["verify", &copy]).ok();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    let out = hypercore(&["import", &file, &copy]).code(4);
    assert!(out.stderr.contains("ends too early"), "{out:?}");
    fs::write(&file, &whole).unwrap();
    hypercore(&["import", &file, &copy]).ok();
    assert!(cat(&copy) == bytes);

    fs::write(&file, b"dear diary").unwrap();
    let out = hypercore(&["import", &file, &place.at("none")]).code(4);
    assert!(out.stderr.contains("no bundle") && !place.path("none").exists());
    hypercore(&["import", &place.at("nothing"), &place.at("none")]).code(1);
    hypercore(&["export", &place.at("nothing"), &file]).code(1);
    hypercore(&["export", &dir, "-", "--json"]).code(2);
    hypercore(&["export", &dir, &file, "--start", "3", "--end", "2"]).code(2);
}

#[test]
fn keys_travel_sealed() {
    let place = Place::new();
    let (dir, key, _) = log_of(&place, "log", 3);
    let (file, bundle, copy) = (place.at("keys"), place.at("bundle"), place.at("copy"));
    hypercore(&["export", &dir, &bundle]).ok();
    hypercore(&["import", &bundle, &copy]).ok();
    let out = hypercore(&["backup", &dir, &file]).code(2);
    assert!(out.stderr.contains("HYPERCORE_PASSPHRASE"), "{out:?}");
    let out = with_passphrase(&["backup", &dir, &file, "--json"], "open sesame")
        .ok()
        .json();
    assert_eq!(out["keys"][0], key.as_str());
    with_passphrase(&["backup", &dir, &file], "open sesame").code(1);
    with_passphrase(&["backup", &copy, &place.at("other")], "open sesame").code(3);

    let out = with_passphrase(&["restore", &file, &copy], "open barley").code(4);
    assert!(out.stderr.contains("passphrase is wrong"), "{out:?}");
    fs::write(place.path("words"), "open sesame\n").unwrap();
    let words = place.at("words");
    let restore = [
        "restore",
        &file,
        &copy,
        "--passphrase-file",
        &words,
        "--json",
    ];
    assert_eq!(hypercore(&restore).ok().json()["outcome"], "restored");
    assert_eq!(hypercore(&restore).ok().json()["outcome"], "present");
    hypercore(&["append", &copy, "--text", "x"]).ok();
}

/// Keys of named logs are not stored: they follow from the store's secret, and are in a backup all the same.
#[test]
fn keys_of_named_logs_are_in_a_backup() {
    let place = Place::new();
    let (dir, key) = place.log("log");
    let out = hypercore(&["create", &dir, "--name", "app/posts", "--json"]).ok();
    let (posts, named) = (format!("{dir}/app/posts"), out.json()["key"].clone());
    hypercore(&["append", &posts, "--text", "x"]).ok();
    let (file, bundle, copy) = (place.at("keys"), place.at("bundle"), place.at("copy"));
    hypercore(&["export", &posts, &bundle]).ok();
    let words = ["backup", &dir, &file, "--json"];
    let out = with_passphrase(&words, "p").ok().json();
    let keys = out["keys"].as_array().unwrap();
    assert!(keys.len() == 2 && keys.contains(&named), "{out}");
    assert!(keys.contains(&key.into()), "{out}");
    hypercore(&["import", &bundle, &copy]).ok();
    with_passphrase(&["restore", &file, &copy], "p").ok();
    hypercore(&["append", &copy, "--text", "y"]).ok();
    hypercore(&["verify", &copy]).ok();
}

#[test]
fn a_key_does_not_go_back_where_it_would_fork_the_log() {
    let place = Place::new();
    let (dir, _, _) = log_of(&place, "log", 3);
    let (file, bundle, copy) = (place.at("keys"), place.at("bundle"), place.at("copy"));
    hypercore(&["export", &dir, &bundle]).ok();
    hypercore(&["import", &bundle, &copy]).ok();
    hypercore(&["append", &dir, "--text", "later"]).ok();
    with_passphrase(&["backup", &dir, &file], "p").ok();
    let out = with_passphrase(&["restore", &file, &copy, "--json"], "p").code(3);
    let first = &out.lines()[0];
    assert_eq!(
        (&first["outcome"], &first["length"]),
        (&"behind".into(), &3.into())
    );
    assert!(out.error().1.contains("--even-behind"));
    hypercore(&["append", &copy, "--text", "x"]).code(1);
    with_passphrase(&["restore", &file, &copy, "--even-behind"], "p").ok();
    hypercore(&["append", &copy, "--text", "x"]).ok();
}

#[test]
fn what_version_10_left_goes_on_here() {
    let place = Place::new();
    let (from, dir) = (fixture("abi/v10.4.1"), place.at("log"));
    let out = hypercore(&["migrate", &from, &dir, "--json"]).ok();
    let lines = out.lines();
    assert_eq!(
        (&lines[0]["event"], &lines[0]["blocks"]),
        (&"log".into(), &1000.into())
    );
    assert_eq!(
        (&lines[1]["event"], &lines[1]["version"]),
        (&"done".into(), &10.into())
    );
    let expected: String = (0..1000).map(|number| number.to_string()).collect();
    assert!(cat(&dir) == expected.as_bytes());
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!(
        (&info["length"], &info["writable"]),
        (&1000.into(), &true.into())
    );
    hypercore(&["append", &dir, "--text", "1000"]).ok();
    hypercore(&["verify", &dir]).ok();
    // A second time there is nothing to do, and what was appended since stays.
    let out = hypercore(&["migrate", &from, &dir]).ok().text();
    assert!(out.contains("0 blocks of 1001 blocks"), "{out}");
}

#[test]
fn encrypted_logs_are_taken_over_as_they_are() {
    let place = Place::new();
    let (from, dir) = (fixture("v10/encrypted"), place.at("log"));
    let secret = "e754c1737e102f50f5909e6f565648fe5f70ee892a46b0e42eccd7c7549387ba";
    hypercore(&["migrate", &from, &dir, "--encrypted"]).ok();
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!(info["encrypted"], true);
    let words = ["get", &dir, "1", "--encryption-key", secret];
    let block = hypercore(&words).ok().stdout;
    assert_eq!(hex::encode(block), "3b02c990571ee5ac733a01c88f561de4");
    let words = ["append", &dir, "--text", "x", "--encryption-key", secret];
    hypercore(&words).ok();
}

#[test]
fn what_version_11_left_goes_on_here() {
    let place = Place::new();
    let (from, dir) = (fixture("v11/compacted"), place.at("all"));
    let out = hypercore(&["migrate", &from, &dir, "--json"]).code(3);
    let lines = out.lines();
    let done = &lines[lines.len() - 2];
    assert_eq!((&done["logs"], &done["untied"]), (&8.into(), &3.into()));
    assert!(out.error().1.contains("3 blocks cannot be verified"));
    let lost: Vec<_> = lines
        .iter()
        .filter(|line| line["untied"] == serde_json::json!([[0, 3]]))
        .collect();
    assert_eq!((lost.len(), &lost[0]["name"]), (1, &"cleared".into()));

    let forked = lines.iter().find(|line| line["name"] == "forked").unwrap();
    let (key, one) = (forked["key"].as_str().unwrap(), place.at("one"));
    hypercore(&["migrate", &from, &one, "--key", key]).ok();
    let info = hypercore(&["info", &one, "--json"]).ok().json();
    assert_eq!(
        (info["key"].as_str(), &info["fork"]),
        (Some(key), &1.into())
    );
    hypercore(&["append", &one, "--text", "x"]).ok();
    hypercore(&["verify", &one]).ok();
    let read_only = place.at("read-only");
    let words = [
        "migrate",
        &from,
        &read_only,
        "--key",
        key,
        "--without-secret-keys",
    ];
    hypercore(&words).ok();
    let info = hypercore(&["info", &read_only, "--json"]).ok().json();
    assert_eq!(info["writable"], false);
    let nobody = "11".repeat(32);
    hypercore(&["migrate", &from, &place.at("none"), "--key", &nobody]).code(3);
}

#[test]
fn a_folder_that_cannot_be_taken_over_is_named() {
    let place = Place::new();
    fs::create_dir(place.path("other")).unwrap();
    let (other, dir) = (place.at("other"), place.at("dir"));
    let out = hypercore(&["migrate", &other, &dir]).code(1);
    assert!(
        out.stderr.contains(&other) && out.stderr.contains("version 10 or 11"),
        "{out:?}"
    );
    assert!(!out.stderr.contains("at byte"), "{out:?}");
    let out = hypercore(&["migrate", &place.at("nowhere"), &dir]).code(3);
    assert!(out.stderr.contains("no such folder"), "{out:?}");
    assert!(!place.path("dir").exists());

    for entry in fs::read_dir(fixture("v10/batch")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.path("other").join(entry.file_name())).unwrap();
    }
    let data = place.path("other").join("data");
    let mut bytes = fs::read(&data).unwrap();
    bytes[100] ^= 1;
    fs::write(&data, &bytes).unwrap();
    let out = hypercore(&["migrate", &other, &dir, "--json"]).code(4);
    assert!(out.error().1.contains(&other), "{out:?}");
    fs::write(place.path("other").join("oplog"), b"nothing").unwrap();
    let out = hypercore(&["migrate", &other, &place.at("new")]).code(4);
    assert!(out.stderr.contains("oplog at byte 0"), "{out:?}");
    // a folder that was made for nothing is not left behind
    assert!(!place.path("new").exists());
}

#[test]
fn a_folder_of_ours_is_not_migrated() {
    let place = Place::new();
    let (dir, _, _) = log_of(&place, "log", 3);
    let out = hypercore(&["migrate", &dir, &place.at("other")]).code(2);
    assert!(
        out.stderr.contains("there is nothing to migrate"),
        "{out:?}"
    );
    assert!(!place.path("other").exists());
}
