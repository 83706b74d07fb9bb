//! What a fetch says of itself: how far it is, and how it ended.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress::Progress;

/// How often scripts are told.
const INTERVAL: Duration = Duration::from_millis(500);

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Status {
    /// Of the blocks asked for, those that are here.
    pub(super) downloaded: u64,
    pub(super) total: u64,
    /// Bytes of blocks that came since the fetch began.
    pub(super) bytes: u64,
}

pub(super) struct Reporter {
    output: Output,
    begun: Instant,
    first: Option<Status>,
    last: Option<(Instant, Status)>,
    bar: Progress,
}

impl Reporter {
    pub(super) fn new(output: Output, begun: Instant) -> Self {
        Self {
            output,
            begun,
            first: None,
            last: None,
            bar: Progress::blocks(0),
        }
    }

    /// Whether the last time it was told is long enough ago.
    pub(super) fn is_due(&self) -> bool {
        self.last.is_none_or(|(at, _)| at.elapsed() >= INTERVAL)
    }

    /// Tells how far it is, if that is news.
    pub(super) fn update(&mut self, now: Status) -> Result<(), Failure> {
        self.bar.total(now.total);
        self.bar
            .rate(&output::rate(now.bytes, self.begun.elapsed()));
        self.bar.set(now.downloaded);
        let first = *self.first.get_or_insert(now);
        let was = self.last.replace((Instant::now(), now));
        if was.is_some_and(|(_, was)| was == now) {
            return Ok(());
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let per_second = |count: u64| count as f64 / seconds.max(f64::EPSILON);
        let left = now.total.saturating_sub(now.downloaded);
        let rate = per_second(now.downloaded.saturating_sub(first.downloaded));
        let seconds_left = match left {
            0 => Some(0.0),
            left => (rate > 0.0).then(|| left as f64 / rate),
        };
        self.output.event(&json!({
            "event": "progress",
            "downloaded": now.downloaded,
            "total": now.total,
            "bytes": now.bytes,
            "bytesPerSecond": per_second(now.bytes).round(),
            "secondsLeft": seconds_left,
        }))
    }
}

/// How a fetch ended, for its last line.
pub(super) struct Done {
    pub(super) key: String,
    pub(super) length: u64,
    pub(super) fork: u64,
    pub(super) status: Status,
    pub(super) wire: (u64, u64),
    pub(super) elapsed: Duration,
    pub(super) tree_hash: String,
    /// Whether any server had the log.
    pub(super) reached: bool,
}

impl Done {
    /// Says it: to scripts always, to people if there is anything to tell.
    pub(super) fn say(&self, output: Output, stdout_is_taken: bool) -> Result<(), Failure> {
        let seconds = self.elapsed.as_secs_f64();
        let Status {
            downloaded,
            total,
            bytes,
        } = self.status;
        let value = json!({
            "event": "done",
            "key": self.key,
            "length": self.length,
            "fork": self.fork,
            "downloaded": downloaded,
            "bytes": bytes,
            "wireIn": self.wire.0,
            "wireOut": self.wire.1,
            "seconds": seconds,
            "treeHash": self.tree_hash,
        });
        let text = || {
            let (total, length) = (output::blocks(total), output::blocks(self.length));
            let came = match bytes {
                0 => "nothing new came".to_owned(),
                bytes => {
                    let rate = output::rate(bytes, self.elapsed);
                    format!("{} came in {seconds:.1} s, {rate}", output::bytes(bytes))
                }
            };
            let head = format!("the log has {length} at fork {}", self.fork);
            let hash = &self.tree_hash;
            format!("{downloaded} of {total} here; {came}\n{head}, tree hash {hash}")
        };
        if !output.is_json() && !self.reached && self.length == 0 {
            return Ok(());
        }
        if stdout_is_taken {
            eprintln!("{}", text());
            return Ok(());
        }
        output.result(&value, text)
    }
}
