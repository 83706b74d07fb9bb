//! What is measured of this process, and the input that is the same in every driver.
//!
//! Knows no log.

use std::fs;
use std::io::Write;
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};

/// A line of results.
pub(crate) type Report = Map<String, Value>;

/// Time and CPU time from its start on.
pub(crate) struct Meter {
    cpu: (f64, f64),
    begun: Instant,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self {
            cpu: cpu(),
            begun: Instant::now(),
        }
    }

    /// The report of `n` operations on so many bytes.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    pub(crate) fn stop(&self, n: u64, bytes: u64) -> Report {
        let secs = self.begun.elapsed().as_secs_f64();
        let (user, system) = cpu();
        fields(json!({
            "n": n,
            "bytes": bytes,
            "secs": secs,
            "ops_per_s": n as f64 / secs,
            "mb_per_s": bytes as f64 / secs / 1e6,
            "cpu_user_s": user - self.cpu.0,
            "cpu_sys_s": system - self.cpu.1,
            "peak_rss_mb": status_mb("VmHWM"),
        }))
    }
}

/// User and system seconds of this process: the clock of the process, split as its ticks are.
fn cpu() -> (f64, f64) {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss)]
    let total = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = |at: usize| -> f64 {
        let word = after_name.split_whitespace().nth(at);
        word.and_then(|word| word.parse().ok()).unwrap_or(0.0)
    };
    let (user, system) = (ticks(11), ticks(12));
    let share = if user + system > 0.0 {
        user / (user + system)
    } else {
        1.0
    };
    (total * share, total * (1.0 - share))
}

/// A field of `/proc/self/status`, in MiB. `VmHWM` is the peak of this process.
pub(crate) fn status_mb(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| {
        let rest = line.strip_prefix(field)?.strip_prefix(':')?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    });
    kilobytes.unwrap_or(0.0) / 1024.0
}

/// Nanoseconds of the clock that `process.hrtime` reads too.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The fields of a JSON object.
pub(crate) fn fields(value: Value) -> Report {
    match value {
        Value::Object(fields) => fields,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

/// Prints a line of results.
pub(crate) fn print(report: &Report) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, report)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Blocks that do not compress, each stamped with its slot in the pool.
pub(crate) struct Blocks {
    size: usize,
    pool: Bytes,
}

fn slots(size: usize) -> usize {
    ((16 << 20) / size).max(64)
}

fn stamp(index: u64, size: usize) -> [u8; 4] {
    let slot = index % slots(size) as u64;
    u32::try_from(slot).unwrap_or(0).to_le_bytes()
}

impl Blocks {
    pub(crate) fn new(size: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut pool = Vec::with_capacity(slots(size) * size + 8);
        while pool.len() < slots(size) * size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            pool.extend_from_slice(&state.to_le_bytes());
        }
        for (index, block) in (0..).zip(pool.chunks_exact_mut(size)) {
            block[..4].copy_from_slice(&stamp(index, size));
        }
        Self {
            size,
            pool: pool.into(),
        }
    }

    /// Block `index`, sharing the memory of the pool.
    pub(crate) fn get(&self, index: u64) -> Bytes {
        let slot = usize::try_from(index % slots(self.size) as u64).unwrap_or(0);
        self.pool.slice(slot * self.size..(slot + 1) * self.size)
    }
}

/// Fails unless this is the block that was appended there.
pub(crate) fn check(block: &[u8], index: u64, size: usize) -> anyhow::Result<()> {
    let right = block.len() == size && block[..4] == stamp(index, size);
    ensure!(right, "block {index} is not what was appended");
    Ok(())
}

/// The same sequence of indexes in every driver.
pub(crate) struct Indexes(u32);

impl Indexes {
    pub(crate) fn new(seed: u32) -> Self {
        Self(seed)
    }

    /// The next one below `n`.
    pub(crate) fn next(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The other drivers compute floor(x / 2^32 * n): the same, without floating point.
        u64::try_from((u128::from(self.0) * u128::from(n)) >> 32).unwrap_or(0)
    }
}
