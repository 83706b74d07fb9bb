//! Stores with several logs: by name and by key, listed, served, fetched into, watched.

use serde_json::Value;

use crate::run::{Place, Running, hypercore, serve};

/// Makes a log of a store and appends its name; gives its key.
fn named(store: &str, name: &str) -> String {
    let made = hypercore(&["create", store, "--name", name, "--json"])
        .ok()
        .json();
    let log = format!("{store}/{name}");
    hypercore(&["append", &log, "--text", name]).ok();
    made["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_store_has_logs_by_name_and_by_key() {
    let place = Place::new();
    let store = place.at("store");
    let posts = named(&store, "posts");
    let inside = named(&store, "app/en/posts");
    assert_ne!(posts, inside);
    let made = hypercore(&["create", &format!("{store}/notes"), "--json"])
        .ok()
        .json();
    let notes = made["key"].as_str().unwrap();

    let read = hypercore(&["get", &format!("{store}/posts"), "0"]).ok();
    assert_eq!(read.stdout, b"posts");
    let read = hypercore(&["cat", &format!("{store}/app/en/posts")]).ok();
    assert_eq!(read.stdout, b"app/en/posts");
    let read = hypercore(&["get", &format!("{store}/{inside}"), "0"]).ok();
    assert_eq!(read.stdout, b"app/en/posts");
    let info = hypercore(&["info", &format!("{store}/notes"), "--json"])
        .ok()
        .json();
    assert_eq!(
        (&info["key"], &info["writable"]),
        (&made["key"], &true.into())
    );

    let listed = hypercore(&["list", &store, "--json"]).ok().lines();
    let find = |key: &str| listed.iter().find(|core| core["key"] == key).unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(find(&posts)["name"], "posts");
    assert_eq!(find(&posts)["namespace"], Value::Null);
    assert_eq!(find(&posts)["length"], 1);
    assert_eq!(find(&inside)["namespace"].as_str().unwrap().len(), 64);
    assert_eq!(
        (&find(notes)["name"], &find(notes)["length"]),
        (&"notes".into(), &0.into())
    );
    let text = hypercore(&["list", &store]).ok().text();
    assert!(
        text.contains(&posts) && text.contains("  posts  1 block"),
        "{text}"
    );

    let again = hypercore(&["create", &store, "--name", "posts"]).code(1);
    assert!(again.stderr.contains(&posts), "{}", again.stderr);
    hypercore(&["append", &format!("{store}/none"), "--text", "x"]).code(1);
    hypercore(&[
        "create",
        &format!("{store}/seeded"),
        "--seed",
        &"00".repeat(32),
    ])
    .code(2);
    hypercore(&["create", &store, "--name", ""]).code(2);
    hypercore(&["list", &place.at("none")]).code(1);
}

#[test]
fn a_served_store_gives_each_log_to_who_asks_for_it() {
    let place = Place::new();
    let store = place.at("store");
    let keys = ["a", "b", "c"].map(|name| (name, named(&store, name)));
    let (server, address) = serve(&[&store]);
    let copy = place.at("copy");
    for (name, key) in &keys {
        let words = ["fetch", key, &copy, "--connect", &address, "--add"];
        hypercore(&words).ok();
        let read = hypercore(&["get", &format!("{copy}/{key}"), "0"]).ok();
        assert_eq!(read.stdout, name.as_bytes());
    }
    let other = ["fetch", &keys[1].1, &place.at("one"), "--connect", &address];
    hypercore(&other).ok();
    let refused = ["fetch", &keys[2].1, &place.at("one"), "--connect", &address];
    let refused = hypercore(&refused).code(1);
    assert!(refused.stderr.contains("--add"), "{}", refused.stderr);
    assert_eq!(hypercore(&["list", &copy, "--json"]).ok().lines().len(), 3);
    server.kill();

    let (server, address) = serve(&[&format!("{store}/a"), &format!("{store}/{}", keys[1].1)]);
    let fetch = |key: &str, to: &str| {
        let to = place.at(to);
        hypercore(&["fetch", key, &to, "--connect", &address, "--timeout", "2"])
    };
    fetch(&keys[0].1, "only-a").ok();
    fetch(&keys[1].1, "only-b").ok();
    assert_ne!(fetch(&keys[2].1, "not-c").code, Some(0));
    server.kill();
}

#[test]
fn a_watch_tells_what_another_process_changes() {
    let place = Place::new();
    let store = place.at("store");
    let first = named(&store, "first");
    let mut watch = Running::start(&["watch", &store]);
    assert_eq!(watch.event("watching")["cores"], 1);
    hypercore(&["append", &format!("{store}/first"), "--text", "more"]).ok();
    let append = watch.event("append");
    assert_eq!(
        (&append["key"], &append["length"]),
        (&first.as_str().into(), &2.into())
    );
    assert_eq!(
        (&append["name"], &append["byteLength"]),
        (&"first".into(), &9.into())
    );
    let second = hypercore(&["create", &store, "--name", "second", "--json"])
        .ok()
        .json();
    assert_eq!(watch.event("created")["key"], second["key"]);
    watch.signal("TERM");
    watch.end().ok();
}
