//! What is measured, and what this project wants to reach.
//!
//! Owns the list of workloads, their arguments and their goals as multiples of the first peer. Knows
//! no peer.

/// A workload.
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What counts, and how many times better than the first peer it should be.
    pub(super) goals: Vec<Goal>,
}

/// A figure, and the least ratio to the first peer's.
#[derive(Clone, Copy)]
pub(super) struct Goal {
    pub(super) field: Figure,
    pub(super) ratio: f64,
}

/// A figure that a report has.
#[derive(Clone, Copy)]
pub(super) enum Figure {
    /// More is better.
    Rate(&'static str),
    /// Less is better.
    Cost(&'static str),
    /// CPU seconds of our side over those of the other side of the same run: less is better.
    CpuShare {
        /// Whether our side is the server.
        serving: bool,
    },
}

/// What a run does.
pub(super) enum Kind {
    /// Makes a store, which is then removed.
    Fresh(Vec<String>),
    /// Makes a store, which other workloads read.
    Base(Base),
    /// Reads a base.
    Read(Base, Vec<String>),
    /// Changes a copy of a base.
    Change(Base, Vec<String>),
    /// Replicates.
    Wire(Wire),
}

/// A store that is built once for each peer.
#[derive(Clone)]
pub(super) struct Base {
    pub(super) name: &'static str,
    pub(super) args: Vec<String>,
}

/// A replication.
pub(super) struct Wire {
    /// What is served: a base, or a store made for the run.
    pub(super) base: Result<Base, Vec<String>>,
    /// Bytes a block.
    pub(super) size: usize,
    pub(super) live: bool,
    pub(super) args: Vec<String>,
    /// Who serves; the peer itself where nobody is named.
    pub(super) server: Option<&'static str>,
    /// The only peer that reads.
    pub(super) reader: Option<&'static str>,
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(String::from).collect()
}

const OPS: Figure = Figure::Rate("ops_per_s");
const SECS: Figure = Figure::Cost("secs");

fn goal(field: Figure, ratio: f64) -> Goal {
    Goal { field, ratio }
}

/// Peak memory a fifth, bytes on disk no more.
fn sober(mut goals: Vec<Goal>) -> Vec<Goal> {
    goals.push(goal(Figure::Cost("peak_rss_mb"), 5.0));
    goals
}

fn frugal(goals: Vec<Goal>) -> Vec<Goal> {
    let mut goals = sober(goals);
    goals.push(goal(Figure::Cost("disk_mb"), 1.0));
    goals
}

fn thrifty(goals: Vec<Goal>) -> Vec<Goal> {
    let mut goals = frugal(goals);
    goals.push(goal(Figure::Cost("server_peak_rss_mb"), 5.0));
    goals.push(goal(Figure::Cost("wire_in"), 1.0));
    goals.push(goal(Figure::Cost("wire_out"), 1.0));
    goals
}

/// All workloads, with every count multiplied.
pub(super) fn all(scale: f64) -> Vec<Workload> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // counts of a benchmark
    let scaled = |count: u32| (f64::from(count) * scale).round().max(1.0) as u64;
    let (small, large, many) = (scaled(100_000), scaled(4_000), scaled(1_000));
    let base = |name, line: String| Base {
        name,
        args: words(&line),
    };
    let kib = base(
        "100k",
        format!("append --n {small} --size 1024 --batch 1000"),
    );
    let kib64 = base("64k", format!("append --n {large} --size 65536 --batch 16"));
    let million = base(
        "1m",
        format!("append --n {} --size 128 --batch 1000", scaled(1_000_000)),
    );
    let cores = base(
        "many",
        format!("many-create --count {many} --n 10 --size 1024"),
    );
    let mut list = local(&kib, &kib64, &million, scaled(10_000), small);
    list.extend(stores(&cores, many, &kib, small));
    list.extend(wire(&kib, &kib64, small, large, many));
    list
}

fn local(kib: &Base, kib64: &Base, million: &Base, singles: u64, small: u64) -> Vec<Workload> {
    let read = |base: &Base, line: String| Kind::Read(base.clone(), words(&line));
    let open = Figure::Cost("open_ms");
    vec![
        Workload {
            name: "append-1",
            kind: Kind::Fresh(words(&format!(
                "append --n {singles} --size 1024 --batch 1"
            ))),
            goals: frugal(vec![goal(OPS, 10.0)]),
        },
        Workload {
            name: "append-batch",
            kind: Kind::Base(kib.clone()),
            goals: frugal(vec![goal(OPS, 8.0)]),
        },
        Workload {
            name: "append-64k",
            kind: Kind::Base(kib64.clone()),
            goals: frugal(vec![goal(OPS, 5.0)]),
        },
        Workload {
            name: "append-1m",
            kind: Kind::Base(million.clone()),
            goals: frugal(vec![goal(OPS, 8.0)]),
        },
        Workload {
            name: "get-rand",
            kind: read(kib, format!("get-rand --count {small} --size 1024")),
            goals: sober(vec![goal(OPS, 20.0)]),
        },
        Workload {
            name: "get-rand-c32",
            kind: read(
                kib,
                format!("get-rand --count {small} --size 1024 --concurrency 32"),
            ),
            goals: sober(vec![goal(OPS, 8.0)]),
        },
        Workload {
            name: "read-seq",
            kind: read(kib, "read-seq --size 1024".into()),
            goals: sober(vec![goal(OPS, 40.0)]),
        },
        Workload {
            name: "open",
            kind: read(kib, "open".into()),
            goals: sober(vec![goal(open, 3.0)]),
        },
        Workload {
            name: "open-1m",
            kind: read(million, "open".into()),
            goals: sober(vec![goal(open, 3.0)]),
        },
    ]
}

fn stores(cores: &Base, many: u64, kib: &Base, small: u64) -> Vec<Workload> {
    let half = small / 2;
    vec![
        Workload {
            name: "many-create",
            kind: Kind::Base(cores.clone()),
            goals: frugal(vec![goal(SECS, 10.0)]),
        },
        Workload {
            name: "many-open",
            kind: Kind::Read(
                cores.clone(),
                words(&format!("many-open --count {many} --n 10 --size 1024")),
            ),
            goals: sober(vec![goal(SECS, 5.0)]),
        },
        Workload {
            name: "clear",
            kind: Kind::Change(kib.clone(), words(&format!("clear --start 0 --end {half}"))),
            goals: vec![goal(SECS, 1.0), goal(Figure::Cost("disk_mb"), 1.0)],
        },
        Workload {
            name: "truncate",
            kind: Kind::Change(kib.clone(), words(&format!("truncate --n {half}"))),
            goals: vec![goal(SECS, 1.0), goal(Figure::Cost("disk_mb"), 1.0)],
        },
    ]
}

fn wire(kib: &Base, kib64: &Base, small: u64, large: u64, many: u64) -> Vec<Workload> {
    let full = words(&format!("replicate --n {small} --size 1024"));
    let pair = |name, server, reader, serving| Workload {
        name,
        kind: Kind::Wire(Wire {
            base: Ok(kib.clone()),
            size: 1024,
            live: false,
            args: full.clone(),
            server: Some(server),
            reader: Some(reader),
        }),
        goals: vec![goal(Figure::CpuShare { serving }, 10.0)],
    };
    let same = |name, base: Result<Base, Vec<String>>, size, line: String, goals| Workload {
        name,
        kind: Kind::Wire(Wire {
            live: base.is_err(),
            base,
            size,
            args: words(&line),
            server: None,
            reader: None,
        }),
        goals: thrifty(goals),
    };
    let sparse = format!("sparse --n {small} --size 1024 --count {many} --concurrency 64");
    let latency = |field| goal(Figure::Cost(field), 5.0);
    vec![
        same(
            "replicate-full",
            Ok(kib.clone()),
            1024,
            full.join(" "),
            vec![goal(OPS, 25.0)],
        ),
        same(
            "replicate-64k",
            Ok(kib64.clone()),
            65536,
            format!("replicate --n {large} --size 65536"),
            vec![goal(OPS, 6.0)],
        ),
        same(
            "replicate-sparse",
            Ok(kib.clone()),
            1024,
            sparse,
            vec![goal(SECS, 8.0)],
        ),
        same(
            "live-latency",
            Err(words("append --n 10 --size 100 --batch 1")),
            100,
            format!("live --n 10 --count {many}"),
            vec![latency("p50_ms"), latency("p99_ms")],
        ),
        pair("ours-to-js11", "ours", "js11", true),
        pair("js11-to-ours", "js11", "ours", false),
    ]
}
