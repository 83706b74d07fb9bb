//! Serving and fetching, with everything that a network does to it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hc_protocol::capability::{ALIAS, ReplicationHandshake, channel_name};
use hc_protocol::link::{Event, Link, LinkOptions};
use hc_protocol::noise::{KeyPair, Keys, Seed};
use hc_protocol::secret_stream::StreamHeader;
use hc_protocol::{Side, Time};
use hypercore::CoreKey;
use serde_json::{Value, json};

use crate::proxy::Proxy;
use crate::run::{Place, Running, hypercore, same_file, serve};

#[test]
fn a_log_is_fetched_whole() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 1 << 20);
    let mut server = Running::start(&["serve", &dir, "--listen", "127.0.0.1:0", "--verbose"]);
    let listening = server.event("listening");
    let address = listening["address"].as_str().unwrap();
    let info = hypercore(&["info", &dir, "--json"]).ok().json();
    let core = json!({ "key": key, "discoveryKey": info["discoveryKey"], "length": 64 });
    assert_eq!(listening["cores"], json!([core]));

    let (copy, out) = (place.at("copy"), place.at("out"));
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        address,
        "--output",
        &out,
        "--json",
    ];
    let fetched = hypercore(&words).ok();
    let lines = fetched.lines();
    let fields = |line: &Value| {
        line.as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let progress = [
        "event",
        "downloaded",
        "total",
        "bytes",
        "bytesPerSecond",
        "secondsLeft",
    ];
    assert_eq!(fields(&lines[0]), progress);
    let done = lines.last().unwrap();
    let expected = [
        "event",
        "key",
        "length",
        "fork",
        "downloaded",
        "bytes",
        "wireIn",
        "wireOut",
        "seconds",
        "treeHash",
    ];
    assert_eq!(fields(done), expected);
    assert_eq!(
        (&done["key"], &done["treeHash"]),
        (&json!(key), &info["treeHash"])
    );
    assert_eq!(
        (&done["downloaded"], &done["bytes"]),
        (&json!(64), &json!(bytes.len()))
    );
    let wire = done["wireIn"].as_u64().unwrap();
    assert!((1 << 20..1 << 20 | 40 << 10).contains(&wire), "{wire}");
    same_file(&place.path("out"), &bytes);
    let upload = server.event("upload");
    assert_eq!(upload["byteLength"], 16384);
    let gone = server.until(|line| line["state"] == "disconnected");
    assert_eq!(gone["wireOut"], done["wireIn"]);
}

#[test]
fn only_what_is_new_is_fetched_the_next_time() {
    let place = Place::new();
    let (dir, key, _) = place.log_of("log", 1 << 20);
    let (_server, address) = serve(&[&dir]);
    let copy = place.at("copy");
    hypercore(&["fetch", &key, &copy, "--connect", &address]).ok();
    let again = hypercore(&["fetch", &key, &copy, "--connect", &address, "--json"])
        .ok()
        .json();
    assert_eq!(
        (&again["downloaded"], &again["bytes"]),
        (&json!(64), &json!(0))
    );
    assert!(again["wireIn"].as_u64().unwrap() < 2000, "{again}");
    // A reader's copy has no secret key.
    assert_eq!(
        hypercore(&["info", &copy, "--json"]).ok().json()["writable"],
        false
    );
    let refused = hypercore(&["append", &copy, "--text", "x"]).code(1);
    assert!(refused.stderr.contains("not writable"), "{refused:?}");
}

#[test]
fn a_range_and_a_list_are_fetched_alone() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 1 << 20);
    let (_server, address) = serve(&[&dir]);
    let copy = place.at("copy");
    let fetch = |rest: &[&str]| {
        let words = ["fetch", &key, &copy, "--connect", &address, "--json"];
        hypercore(&[&words, rest].concat()).ok().json()
    };
    assert_eq!(fetch(&["--start", "10", "--end", "12"])["downloaded"], 2);
    assert_eq!(fetch(&["--blocks", "3,60-63,11"])["bytes"], 5 * 16384);
    for (index, code) in [(3, 0), (9, 3), (10, 0), (11, 0), (12, 3), (59, 3), (63, 0)] {
        hypercore(&["has", &copy, &index.to_string()]).code(code);
    }
    let missing = hypercore(&["cat", &copy, "--start", "10"]).code(3);
    assert!(
        missing.stderr.contains("block 12 is not stored"),
        "{missing:?}"
    );
    assert_eq!(missing.stdout, bytes[10 * 16384..12 * 16384]);
    let words = [
        "cat",
        &copy,
        "--byte-offset",
        "180000",
        "--byte-length",
        "10000",
    ];
    assert_eq!(hypercore(&words).ok().stdout, bytes[180_000..190_000]);
    let found = hypercore(&["verify", &copy, "--json"]).ok().json();
    assert_eq!(
        (&found["blocks"], &found["length"]),
        (&json!(7), &json!(64))
    );
    // In order on stdout, whatever order it came in.
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &address,
        "--output",
        "-",
        "--start",
        "5",
    ];
    assert_eq!(hypercore(&words).ok().stdout, bytes[5 * 16384..]);
}

#[test]
fn a_server_has_several_logs_on_one_address() {
    let place = Place::new();
    let (one, key_one, bytes_one) = place.log_of("one", 100_000);
    let (two, key_two, bytes_two) = place.log_of("two", 30_000);
    let (_server, address) = serve(&[&one, &two]);
    for (key, bytes, copy) in [
        (key_one, bytes_one, "copy-1"),
        (key_two, bytes_two, "copy-2"),
    ] {
        let copy = place.at(copy);
        hypercore(&["fetch", &key, &copy, "--connect", &address]).ok();
        assert_eq!(hypercore(&["cat", &copy]).ok().stdout, bytes);
    }
    let out = hypercore(&["serve", &one, &two, "--listen", "127.0.0.1:0", "--json"]).code(5);
    assert_eq!(out.error().0, "locked");
}

#[test]
fn several_servers_are_used_side_by_side() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 2 << 20);
    let half = place.at("half");
    let (server, address) = serve(&[&dir]);
    hypercore(&["fetch", &key, &half, "--connect", &address, "--end", "64"]).ok();
    let (_other, other) = serve(&[&half]);
    // The whole log is nowhere but at the first; the second alone is not enough.
    let copy = place.at("copy");
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &other,
        "--timeout",
        "3",
        "--json",
    ];
    let out = hypercore(&words).code(3);
    assert!(
        out.error()
            .1
            .contains("64 of 128 blocks are missing, the first is block 64"),
        "{out:?}"
    );
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &other,
        "--connect",
        &address,
    ];
    hypercore(&words).ok();
    assert_eq!(hypercore(&["cat", &copy]).ok().stdout, bytes);
    drop(server);
}

#[test]
fn a_server_that_says_nothing_keeps_nobody_from_what_another_has() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 1 << 20);
    let (_server, address) = serve(&[&dir]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = silent.local_addr().unwrap().to_string();
    let copy = place.at("copy");
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &nobody,
        "--connect",
        &address,
    ];
    let begun = Instant::now();
    hypercore(&words).ok();
    // far less than the ten seconds that a handshake may take
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(hypercore(&["cat", &copy]).ok().stdout, bytes);
    drop(silent);
}

#[test]
fn nobody_there_is_exit_6_and_named() {
    let place = Place::new();
    let (_, key) = place.log("log");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let copy = place.at("copy");
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &closed,
        "--timeout",
        "2",
        "--json",
    ];
    let out = hypercore(&words).code(6);
    let (code, message) = out.error();
    assert_eq!(code, "network");
    assert!(
        message.contains(&closed) && message.contains("refused"),
        "{message}"
    );
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        "host.invalid:1",
        "--timeout",
        "2",
    ];
    let out = hypercore(&words).code(6);
    assert!(out.stderr.contains("host.invalid:1"), "{out:?}");
    // One that accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &address,
        "--timeout",
        "2",
        "--json",
    ];
    assert_eq!(hypercore(&words).code(6).error().0, "network");
    // A server on a port that is taken.
    let (dir, _) = place.log("other");
    let out = hypercore(&["serve", &dir, "--listen", &address, "--json"]).code(6);
    assert!(out.error().1.contains(&address), "{out:?}");
}

#[test]
fn a_key_that_the_server_does_not_have_ends_it_at_once() {
    let place = Place::new();
    let (dir, _, _) = place.log_of("log", 1000);
    let (_server, address) = serve(&[&dir]);
    let other = hypercore(&["key", "--json"]).ok().json()["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let begun = Instant::now();
    let words = [
        "fetch",
        &other,
        &place.at("copy"),
        "--connect",
        &address,
        "--json",
    ];
    let out = hypercore(&words).code(3);
    let (code, message) = out.error();
    assert_eq!(code, "not-available");
    assert!(
        message.contains(&address) && message.contains("does not have this log"),
        "{message}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_folder_with_another_log_is_refused() {
    let place = Place::new();
    let (dir, key, _) = place.log_of("log", 1000);
    let (taken, other, bytes) = place.log_of("taken", 500);
    let (_server, address) = serve(&[&dir]);
    let out = hypercore(&["fetch", &key, &taken, "--connect", &address, "--json"]).code(1);
    assert!(out.error().1.contains(&other), "{out:?}");
    assert_eq!(hypercore(&["cat", &taken]).ok().stdout, bytes);
}

#[test]
fn a_connection_that_is_cut_is_made_again() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 2 << 20);
    let (_server, address) = serve(&[&dir]);
    let proxy = Proxy::new(&address, 400_000).cut(3);
    let copy = place.at("copy");
    let words = ["fetch", &key, &copy, "--connect", &proxy.address, "--json"];
    let done = hypercore(&words).ok().json();
    assert_eq!(done["bytes"], bytes.len());
    assert_eq!(proxy.connections(), 4);
    assert!(done["wireIn"].as_u64().unwrap() >= bytes.len() as u64);
    assert_eq!(hypercore(&["cat", &copy]).ok().stdout, bytes);
}

#[test]
fn a_server_that_dies_is_found_again() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 4 << 20);
    let (server, address) = serve(&[&dir]);
    let proxy = Proxy::new(&address, 1 << 20);
    let (copy, out) = (place.at("copy"), place.at("out"));
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &proxy.address,
        "--output",
        &out,
    ];
    let mut fetch = Running::start(&words);
    fetch.until(|line| line["downloaded"].as_u64() > Some(10));
    server.kill();
    let (_server, address) = serve(&[&dir]);
    proxy.lead_to(&address);
    proxy.lift();
    let done = fetch.end().ok().json();
    assert_eq!(
        (&done["downloaded"], &done["bytes"]),
        (&json!(256), &json!(bytes.len()))
    );
    same_file(&place.path("out"), &bytes);
}

#[test]
fn a_fetch_that_gets_no_further_gives_up_and_says_what_is_missing() {
    let place = Place::new();
    let (dir, key, _) = place.log_of("log", 2 << 20);
    let (_server, address) = serve(&[&dir]);
    let proxy = Proxy::new(&address, 1 << 20);
    let words = [
        "fetch",
        &key,
        &place.at("copy"),
        "--connect",
        &proxy.address,
        "--timeout",
        "3",
        "--json",
    ];
    let out = hypercore(&words).code(3);
    assert!(
        out.error()
            .1
            .contains("of 128 blocks are missing, the first is block"),
        "{out:?}"
    );
    let lines = out.lines();
    assert_eq!(lines[lines.len() - 2]["event"], "done");
    // Blocks that the log does not have yet are missing too.
    let words = [
        "fetch",
        &key,
        &place.at("more"),
        "--connect",
        &address,
        "--end",
        "130",
        "--timeout",
        "3",
    ];
    let out = hypercore(&words).code(3);
    assert!(
        out.stderr
            .contains("2 of 130 blocks are missing, the first is block 128"),
        "{out:?}"
    );
}

/// Speaks the protocol up to the channel of a log, with the capability of another key.
fn knock(address: &str, log: &CoreKey, shown: &CoreKey) -> bool {
    let keys = Keys {
        local: KeyPair::from_seed(&Seed::new([1; 32])),
        ephemeral: Seed::new([2; 32]),
    };
    let mut link = Link::initiator(
        keys,
        StreamHeader([3; 24]),
        LinkOptions::default(),
        Time::ZERO,
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut said = false;
    loop {
        while let Some(event) = link.poll_event().unwrap() {
            match event {
                Event::Handshaken { hash, .. } => {
                    let handshake = ReplicationHandshake::new(Side::Initiator, shown, &hash);
                    link.open(&channel_name(&log.discovery_key()), &[ALIAS], &handshake)
                        .unwrap();
                }
                Event::Channel(hc_protocol::mux::Event::Message { .. }) => said = true,
                Event::Ended => return said,
                Event::Channel(_) => {}
            }
        }
        while let Some(bytes) = link.poll_transmit(Time::ZERO) {
            stream.write_all(&bytes).unwrap();
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).unwrap_or(0) {
            0 => link.receive_end(),
            count => link.receive(Time::ZERO, &buffer[..count]),
        }
    }
}

#[test]
fn bad_peers_end_alone() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 200_000);
    let (mut server, address) = serve(&[&dir]);
    // Nothing, for longer than a handshake may take.
    let silent = TcpStream::connect(&address).unwrap();
    // Noise of the wrong kind, and someone who goes at once.
    let mut loud = TcpStream::connect(&address).unwrap();
    loud.write_all(&[0xff; 1000]).unwrap();
    drop(TcpStream::connect(&address).unwrap());
    let told = server.until(|line| line["error"].is_string());
    assert_eq!(told["state"], "disconnected");
    // Who knows where the log is but not its key is shown nothing.
    let log: CoreKey = key.parse().unwrap();
    assert!(!knock(&address, &log, &CoreKey([9; 32])));
    server.until(|line| {
        line["error"]
            .as_str()
            .is_some_and(|error| error.contains("capability"))
    });
    let copy = place.at("copy");
    hypercore(&["fetch", &key, &copy, "--connect", &address]).ok();
    assert_eq!(hypercore(&["cat", &copy]).ok().stdout, bytes);
    let begun = Instant::now();
    server.until(|line| {
        line["error"]
            .as_str()
            .is_some_and(|error| error.contains("in time"))
    });
    assert!(begun.elapsed() < Duration::from_secs(15));
    drop(silent);
    hypercore(&["fetch", &key, &place.at("again"), "--connect", &address]).ok();
}
