//! Ends that a user or a service manager asks for.

use std::fs;
use std::io::Write;
use std::process::Command;

use crate::proxy::Proxy;
use crate::run::{Place, Running, hypercore, serve};

#[test]
fn a_server_ends_cleanly() {
    let place = Place::new();
    let (dir, key, _) = place.log_of("log", 50_000);
    for signal in ["INT", "TERM"] {
        let (server, address) = serve(&[&dir]);
        let (copy, live) = (place.at(signal), place.at("live"));
        hypercore(&["fetch", &key, &copy, "--connect", &address]).ok();
        // One that is still connected does not hold it up.
        let mut reader = Running::start(&["fetch", &key, &live, "--connect", &address, "--live"]);
        reader.event("progress");
        server.signal(signal);
        let out = server.end().ok();
        let done = out.json();
        assert_eq!(done["event"], "done", "{out:?}");
        assert!(done["wireOut"].as_u64().unwrap() > 50_000, "{done}");
        hypercore(&["append", &dir, "--text", "unlocked"]).ok();
    }
}

#[test]
fn a_fetch_that_is_interrupted_keeps_what_it_got_and_resumes() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 4 << 20);
    let (_server, address) = serve(&[&dir]);
    let proxy = Proxy::new(&address, 2 << 20);
    let copy = place.at("copy");
    let mut fetch = Running::start(&["fetch", &key, &copy, "--connect", &proxy.address]);
    let got = fetch.until(|line| line["downloaded"].as_u64() > Some(20));
    assert_eq!(got["total"], 256);
    fetch.signal("INT");
    let out = fetch.end().code(3);
    let lines = out.lines();
    let done = &lines[lines.len() - 2];
    assert_eq!(done["event"], "done");
    assert_eq!(
        done["treeHash"],
        hypercore(&["info", &dir, "--json"]).ok().json()["treeHash"]
    );
    let first = done["bytes"].as_u64().unwrap();
    assert!(
        out.error()
            .1
            .contains("blocks are missing, the first is block"),
        "{out:?}"
    );
    let stored = hypercore(&["verify", &copy, "--json"]).ok().json();
    assert_eq!(stored["blocks"], done["downloaded"]);
    let again = hypercore(&["fetch", &key, &copy, "--connect", &address, "--json"])
        .ok()
        .json();
    assert_eq!(again["bytes"].as_u64().unwrap() + first, bytes.len() as u64);
    assert!(again["wireIn"].as_u64().unwrap() < bytes.len() as u64 - first + (100 << 10));
    assert_eq!(hypercore(&["cat", &copy]).ok().stdout, bytes);
}

#[test]
fn a_fetch_that_follows_ends_well_when_told_to() {
    let place = Place::new();
    let (dir, key) = place.log("log");
    hypercore(&["append", &dir, "--text", "old"]).ok();
    let words = [
        "serve",
        &dir,
        "--listen",
        "127.0.0.1:0",
        "--append",
        "-",
        "--lines",
    ];
    let mut server = Running::start(&words);
    let address = server.event("listening")["address"]
        .as_str()
        .unwrap()
        .to_owned();
    let words = [
        "fetch",
        &key,
        &place.at("copy"),
        "--connect",
        &address,
        "--live",
    ];
    let mut live = Running::start(&words);
    live.until(|line| line["downloaded"] == 1);
    for (index, line) in [(1, "one\n"), (2, "three\n")] {
        server.write(line.as_bytes());
        let block = live.event("block");
        assert_eq!(
            (block["index"].as_u64(), block["byteLength"].as_u64()),
            (Some(index), Some(line.len() as u64))
        );
    }
    server.end_input();
    server.event("append");
    // The end of its input is not the end of the server.
    hypercore(&["fetch", &key, &place.at("late"), "--connect", &address]).ok();
    live.signal("TERM");
    let done = live.end().ok().json();
    assert_eq!(
        (&done["event"], &done["length"]),
        (&"done".into(), &3.into())
    );
}

/// It waits in the middle of the file, which is a pipe that brings no more.
#[test]
fn an_import_that_is_interrupted_says_so_and_goes_on_when_called_again() {
    let place = Place::new();
    let (dir, _, bytes) = place.log_of("log", 4 << 20);
    let (file, pipe, copy) = (place.at("file"), place.at("pipe"), place.at("copy"));
    hypercore(&["export", &dir, &file]).ok();
    let bundle = fs::read(&file).unwrap();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let import = Running::start(&["import", &pipe, &copy]);
        let mut input = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        input.write_all(&bundle[..bundle.len() / 2]).unwrap();
        import.signal(signal);
        let out = import.end().code(code);
        let (_, message) = out.error();
        assert!(message.contains("goes on from there"), "{out:?}");
        assert_eq!(out.lines().len(), 1, "{out:?}");
        fs::remove_file(&pipe).unwrap();
    }
    let out = hypercore(&["import", &file, &copy, "--json"]).ok().json();
    let (new, present) = (out["blocks"].as_u64(), out["present"].as_u64());
    assert_eq!(
        new.zip(present).map(|(new, present)| new + present),
        Some(256)
    );
    assert_eq!(hypercore(&["cat", &copy]).ok().stdout, bytes);
    hypercore(&["verify", &copy]).ok();
}

#[test]
fn an_append_that_is_interrupted_keeps_what_it_appended() {
    let place = Place::new();
    let (dir, _) = place.log("log");
    let mut append = Running::start(&["append", &dir, "--chunk-size", "10", "-"]);
    append.write(&vec![7; 4 << 20]);
    append.signal("INT");
    let out = append.end().code(130);
    assert!(out.error().1.contains("stays"), "{out:?}");
    hypercore(&["verify", &dir]).ok();
    hypercore(&["append", &dir, "--text", "unlocked"]).ok();
}

/// Nobody reads what it writes, so that it waits.
#[test]
fn an_export_to_a_pipe_ends_when_told_to() {
    let place = Place::new();
    let (dir, _, _) = place.log_of("log", 1 << 20);
    let words = ["export", &dir, "-"];
    let mut child = crate::run::command(&words).spawn().unwrap();
    let mut first = [0; 1];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    let pid = child.id().to_string();
    let told = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(told.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
