//! The demo, as a newcomer runs it and as a script does.

use std::fs;

use crate::run::{Place, command, end, noise};

#[test]
fn the_demo_shows_the_main_job_and_leaves_nothing_behind() {
    let place = Place::new();
    let file = place.at("file");
    fs::write(&file, noise(2_500_000)).unwrap();
    let temporary = place.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut demo = command(&["demo", &file, "--json"]);
    let out = end(demo.env("TMPDIR", &temporary), b"").ok();
    let lines = out.lines();
    let steps: Vec<_> = lines
        .iter()
        .filter_map(|line| line["step"].as_str())
        .collect();
    assert_eq!(
        steps,
        ["append", "serve", "fetch", "compare", "verify", "one block"]
    );
    let done = lines.last().unwrap();
    assert_eq!(
        (&done["event"], &done["ok"], &done["length"]),
        (&"done".into(), &true.into(), &39.into())
    );
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);

    let mut demo = command(&["demo", &file]);
    let out = end(demo.env("TMPDIR", &temporary), b"").ok();
    assert!(out.text().contains("byte for byte"), "{out:?}");
    fs::write(&file, b"").unwrap();
    let mut demo = command(&["demo", &file]);
    end(demo.env("TMPDIR", &temporary), b"").ok();
    let mut demo = command(&["demo", "/nowhere", "--json"]);
    let out = end(demo.env("TMPDIR", &temporary), b"").code(1);
    assert!(out.error().1.contains("/nowhere"), "{out:?}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}
