//! How much memory the main job takes, however large the file.

#![cfg(target_os = "linux")]

use std::fs;

use crate::run::{Place, Running, noise, same_file, serve};

/// Bytes of the file.
const FILE: usize = 48 << 20;
/// The most that a process may ever have in memory, in KiB. Well below the file.
const PEAK: u64 = 40 << 10;

/// The most memory that a process has had, in KiB; `None` once it has ended.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Waits for a process and returns its peak.
fn peak_of(process: Running) -> u64 {
    let pid = process.pid();
    let watch = std::thread::spawn(move || {
        let mut most = 0;
        while let Some(now) = peak(pid) {
            most = now;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        most
    });
    process.end().ok();
    watch.join().unwrap()
}

#[test]
fn a_large_file_never_is_in_memory_as_a_whole() {
    let place = Place::new();
    let (dir, key) = place.log("log");
    let (file, copy, out) = (place.path("file"), place.at("copy"), place.path("out"));
    let bytes = noise(FILE);
    fs::write(&file, &bytes).unwrap();
    let append = peak_of(Running::start(&["append", &dir, file.to_str().unwrap()]));
    let (server, address) = serve(&[&dir]);
    let words = [
        "fetch",
        &key,
        &copy,
        "--connect",
        &address,
        "--output",
        out.to_str().unwrap(),
    ];
    let fetch = peak_of(Running::start(&words));
    let serve = peak(server.pid()).unwrap();
    same_file(&out, &bytes);
    assert!(
        append < PEAK && fetch < PEAK && serve < PEAK,
        "KiB: append {append}, fetch {fetch}, serve {serve}"
    );
    println!("KiB: append {append}, fetch {fetch}, serve {serve}");
}
