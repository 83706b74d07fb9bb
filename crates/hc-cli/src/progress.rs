//! Progress bars on stderr: only for people, and only for what takes over a second.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How long something may take before it gets a bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar that shows itself once a second has passed, if stderr is a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    shown: bool,
    since: Instant,
}

impl Progress {
    /// Counts bytes; `total` is `None` where it isn't known.
    pub(crate) fn bytes(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
            None => "{spinner} {bytes}  {bytes_per_sec}",
        };
        Self::new(total, template)
    }

    /// Counts blocks.
    pub(crate) fn blocks(total: u64) -> Self {
        Self::new(Some(total), "{bar:30} {pos}/{len} blocks  {msg}{eta} left")
    }

    fn new(total: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::hidden();
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        if let Some(total) = total {
            bar.set_length(total);
        }
        Self {
            bar,
            shown: !std::io::stderr().is_terminal(),
            since: Instant::now(),
        }
    }

    /// Sets how far it has come.
    pub(crate) fn set(&mut self, position: u64) {
        self.bar.set_position(position);
        if !self.shown && self.since.elapsed() > PATIENCE {
            self.shown = true;
            self.bar
                .set_draw_target(indicatif::ProgressDrawTarget::stderr_with_hz(10));
        }
    }

    /// Sets how fast it goes, where that is counted in something else than the bar.
    pub(crate) fn rate(&self, rate: &str) {
        self.bar.set_message(format!("{rate}  "));
    }

    /// Sets what there is to do in all, which can grow.
    pub(crate) fn total(&self, total: u64) {
        self.bar.set_length(total);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
