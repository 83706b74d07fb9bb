//! What both versions of the peer share: arguments, metering and deterministic input.

use std::{collections::HashMap, io::Write, time::Instant};

use serde_json::{Map, Value, json};

pub struct Args {
    pub op: String,
    map: HashMap<String, String>,
}

impl Args {
    /// `OP --name value --flag ...`; a name followed by another name, or by nothing, is a flag.
    pub fn parse() -> Self {
        let mut op = String::new();
        let mut map = HashMap::new();
        let mut it = std::env::args().skip(1).peekable();
        while let Some(arg) = it.next() {
            match arg.strip_prefix("--") {
                Some(name) => {
                    let value = match it.peek() {
                        Some(next) if !next.starts_with("--") => it.next().unwrap(),
                        _ => "true".into(),
                    };
                    map.insert(name.to_string(), value);
                }
                None => op = arg,
            }
        }
        Self { op, map }
    }

    pub fn str(&self, name: &str) -> &str {
        self.map.get(name).map_or("", |s| s.as_str())
    }

    pub fn num(&self, name: &str, default: u64) -> u64 {
        self.map
            .get(name)
            .map_or(default, |s| s.parse().expect("a number"))
    }

    /// The peer syncs after every write unless told `--sync none`.
    pub fn sync(&self) -> bool {
        self.str("sync") != "none"
    }

    pub fn flag(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }
}

/// User and system CPU seconds of this process.
pub fn cpu() -> (f64, f64) {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let secs = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    (secs(usage.ru_utime), secs(usage.ru_stime))
}

/// A field of /proc/self/status in MiB; `VmHWM` is the peak of this address space alone.
pub fn status_mb(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kb: f64 = text
        .lines()
        .find_map(|l| {
            l.strip_prefix(field)?
                .strip_prefix(':')?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap_or(0.0);
    round(kb / 1024.0, 1)
}

/// Nanoseconds of CLOCK_MONOTONIC, which node's process.hrtime counts too.
pub fn monotonic_ns() -> u64 {
    let mut t: libc::timespec = unsafe { std::mem::zeroed() };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

pub fn round(x: f64, digits: i32) -> f64 {
    let k = 10f64.powi(digits);
    (x * k).round() / k
}

pub struct Meter {
    cpu: (f64, f64),
    t: Instant,
}

impl Meter {
    pub fn start() -> Self {
        Self {
            cpu: cpu(),
            t: Instant::now(),
        }
    }

    pub fn stop(&self, n: u64, bytes: u64) -> Map<String, Value> {
        let secs = self.t.elapsed().as_secs_f64();
        let (user, sys) = cpu();
        object(json!({
            "n": n,
            "bytes": bytes,
            "secs": round(secs, 6),
            "ops_per_s": round(n as f64 / secs, 1),
            "mb_per_s": round(bytes as f64 / secs / 1e6, 2),
            "cpu_user_s": round(user - self.cpu.0, 4),
            "cpu_sys_s": round(sys - self.cpu.1, 4),
            "peak_rss_mb": status_mb("VmHWM"),
        }))
    }
}

pub fn object(v: Value) -> Map<String, Value> {
    match v {
        Value::Object(m) => m,
        _ => unreachable!(),
    }
}

pub fn report(v: &Map<String, Value>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(v).unwrap()).unwrap();
    out.flush().unwrap();
}

fn slots(size: usize) -> usize {
    ((16 << 20) / size).max(64)
}

/// A pool of incompressible blocks, each stamped with its slot.
pub struct Blocks {
    size: usize,
    pool: Vec<u8>,
}

impl Blocks {
    pub fn new(size: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut pool = vec![0u8; slots(size) * size];
        for chunk in pool.chunks_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        for (i, block) in pool.chunks_mut(size).enumerate() {
            block[..4].copy_from_slice(&(i as u32).to_le_bytes());
        }
        Self { size, pool }
    }

    pub fn get(&self, i: u64) -> &[u8] {
        let at = (i as usize % slots(self.size)) * self.size;
        &self.pool[at..at + self.size]
    }
}

pub fn verify(block: &Option<Vec<u8>>, i: u64, size: usize) {
    let stamp = (i as usize % slots(size)) as u32;
    match block {
        Some(b) if b.len() == size && b[..4] == stamp.to_le_bytes() => {}
        _ => panic!("block {i} is not what was appended"),
    }
}

/// The same sequence of indices in every driver.
pub struct Lcg(pub u32);

impl Lcg {
    pub fn next(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        (self.0 as f64 / 4294967296.0 * n as f64).floor() as u64
    }
}
