//! Who may connect, and how much may go over the line.

use serde_json::json;

use crate::run::{Place, Running, hypercore, same_file, serve};

#[test]
fn only_who_is_on_the_list_is_served() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 100 << 10);
    let new = hypercore(&["key", "--json"]).ok().json();
    let seed = new["seed"].as_str().unwrap();
    let allowed = new["publicKey"].as_str().unwrap();
    let words = ["serve", &dir, "--listen", "127.0.0.1:0", "--allow", allowed];
    let mut server = Running::start(&words);
    let listening = server.event("listening");
    let address = listening["address"].as_str().unwrap();
    let (copy, out) = (place.at("copy"), place.at("out"));
    let fetch = ["fetch", &key, &copy, "--connect", address, "--output", &out];
    let friend = [&fetch[..], &["--identity", seed]].concat();
    hypercore(&friend).ok();
    same_file(&place.path("out"), &bytes);

    let (copy, file) = (place.at("other"), place.at("seed"));
    std::fs::write(place.path("seed"), format!("{seed}\n")).unwrap();
    let fetch = ["fetch", &key, &copy, "--connect", address];
    hypercore(&[&fetch[..], &["--timeout", "0.5"]].concat()).code(6);
    let gone = server.until(|line| line["error"].is_string());
    assert!(
        gone["error"].as_str().unwrap().contains("not allowed"),
        "{gone}"
    );
    let file = format!("@{file}");
    hypercore(&[&fetch[..], &["--identity", &file]].concat()).ok();
}

#[test]
fn no_more_goes_over_the_line_than_the_limit() {
    let place = Place::new();
    let (dir, key, bytes) = place.log_of("log", 300 << 10);
    let (_server, address) = serve(&[&dir, "--limit-upload", "200K"]);
    let (copy, out) = (place.at("copy"), place.at("out"));
    let fetch = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &address,
        "--output",
        &out,
        "--json",
    ];
    let done = hypercore(&fetch).ok().json();
    assert!(done["seconds"].as_f64().unwrap() > 1.2, "{done}");
    same_file(&place.path("out"), &bytes);
    // the other end may hold back as well
    let (dir, key, _) = place.log_of("another", 300 << 10);
    let (_server, address) = serve(&[&dir]);
    let copy = place.at("slow");
    let fetch = ["fetch", &key, &copy, "--connect", &address, "--json"];
    let done = hypercore(&[&fetch[..], &["--limit-download", "204800"]].concat());
    let done = done.ok().json();
    assert!(done["seconds"].as_f64().unwrap() > 1.2, "{done}");
    assert_eq!(done["downloaded"], json!(done["length"]));
}

#[test]
fn limits_and_identities_that_make_no_sense_are_exit_2() {
    for rate in ["0", "fast", "1T", "-5", "99999999999999999999M"] {
        let words = [
            "serve",
            "x",
            "--listen",
            "127.0.0.1:0",
            "--limit-upload",
            rate,
        ];
        hypercore(&words).code(2);
    }
    let words = ["serve", "x", "--listen", "127.0.0.1:0", "--allow", "me"];
    hypercore(&words).code(2);
    let key = "ab".repeat(32);
    let fetch = [
        "fetch",
        &key,
        "x",
        "--connect",
        "localhost:1",
        "--identity",
        "me",
    ];
    hypercore(&fetch).code(2);
}
