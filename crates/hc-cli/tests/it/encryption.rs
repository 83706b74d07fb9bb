//! An encrypted log from end to end.

use std::fs;

use crate::run::{Place, command, end, hypercore, noise, serve, with_input};

const KEY: &str = "abababababababababababababababababababababababababababababababab";
const OTHER: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";

#[test]
fn who_has_the_key_reads_and_who_has_not_verifies() {
    let place = Place::new();
    let dir = place.at("log");
    let words = ["create", &dir, "--encryption-key", KEY, "--json"];
    let key = hypercore(&words).ok().json()["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let plain = noise(50_000);
    let append = ["append", &dir, "--chunk-size", "1000"];
    let out = with_input(&append, &plain).code(2);
    assert!(out.stderr.contains("--encryption-key"), "{out:?}");
    // From the command line, a file and the environment.
    let file = place.at("secret");
    fs::write(&file, format!("{KEY}\n")).unwrap();
    let at_file = format!("@{file}");
    let appended = with_input(
        &[&append[..], &["--encryption-key", &at_file, "--json"]].concat(),
        &plain,
    );
    assert_eq!(appended.ok().json()["byteLength"], 50_000);
    let mut info = command(&["info", &dir, "--json"]);
    let info = end(info.env("HYPERCORE_ENCRYPTION_KEY", KEY), b"")
        .ok()
        .json();
    assert_eq!(
        (info["byteLength"].as_u64(), info["encrypted"].as_bool()),
        (Some(50_000), Some(true))
    );
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    assert_eq!(info["byteLength"], 50_000 + 50 * 8);

    let (_server, address) = serve(&[&dir]);
    let (blind, copy) = (place.at("blind"), place.at("copy"));
    hypercore(&["fetch", &key, &blind, "--connect", &address]).ok();
    hypercore(&["verify", &blind]).ok();
    let stored = hypercore(&["cat", &blind]).ok().stdout;
    assert_eq!(stored.len(), 50_400);
    assert!(!stored.windows(64).any(|some| some == &plain[..64]));
    assert_eq!(
        hypercore(&["cat", &blind, "--encryption-key", KEY])
            .ok()
            .stdout,
        plain
    );
    let span = [
        "cat",
        &dir,
        "--byte-offset",
        "1500",
        "--byte-length",
        "2000",
    ];
    let read = hypercore(&[&span[..], &["--encryption-key", KEY]].concat()).ok();
    assert_eq!(read.stdout, plain[1500..3500]);
    // What was fetched blindly can be served on.
    let (_relay, relayed) = serve(&[&blind]);
    let out = place.at("out");
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &relayed,
        "--output",
        &out,
    ];
    hypercore(&[&words[..], &["--encryption-key", &at_file]].concat()).ok();
    assert!(fs::read(&out).unwrap() == plain);
}

#[test]
fn the_key_is_never_said() {
    let place = Place::new();
    let (dir, _, _) = place.log_of("plain", 100);
    let short = KEY.get(..60).unwrap();
    for (words, code) in [
        (&["info", &dir, "--encryption-key", KEY][..], 2),
        (&["info", &dir, "--encryption-key", short], 2),
        (&["info", &dir, "--encryption-key", "@/nowhere"], 1),
    ] {
        let out = hypercore(&[words, &["--json"]].concat()).code(code);
        let said = format!("{}{}", out.text(), out.stderr);
        assert!(!said.contains("abababab"), "{said}");
    }
    let file = place.at("file");
    fs::write(&file, "abababab").unwrap();
    let at_file = format!("@{file}");
    let out = hypercore(&["info", &dir, "--encryption-key", &at_file]).code(2);
    assert!(!out.stderr.contains("abababab"), "{out:?}");
    let encrypted = place.at("encrypted");
    let words = ["create", &encrypted, "--encryption-key", OTHER];
    let out = hypercore(&words).ok();
    assert!(!format!("{}{}", out.text(), out.stderr).contains("cdcdcdcd"));
    for entry in fs::read_dir(&encrypted)
        .unwrap()
        .chain(fs::read_dir(format!("{encrypted}/log")).unwrap())
    {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(
                !bytes.windows(32).any(|some| some == [0xcd; 32]),
                "{}",
                path.display()
            );
        }
    }
    let mut help = command(&["info", "--help"]);
    let help = end(help.env("HYPERCORE_ENCRYPTION_KEY", KEY), b"").ok();
    assert!(!help.text().contains("abababab"), "{help:?}");
}
