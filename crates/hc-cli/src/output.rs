//! What goes to stdout: text for people, or JSON for scripts. Knows nothing of logs.

use std::io::{self, Write};

use serde_json::Value;

use crate::failure::{Failure, Kind};

/// Where a command's results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// One result: an object for scripts, text for people.
    pub(crate) fn result(
        self,
        value: &Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            self.line(&value.to_string())
        } else {
            self.line(&text())
        }
    }

    /// An event that only scripts want.
    pub(crate) fn event(self, value: &Value) -> Result<(), Failure> {
        if self.json {
            self.line(&value.to_string())
        } else {
            Ok(())
        }
    }

    /// Text that only people want.
    pub(crate) fn note(self, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json {
            Ok(())
        } else {
            self.line(&text())
        }
    }

    fn line(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .map_err(stdout_failure)
    }

    /// Sends on what was printed.
    pub(crate) fn flush(self) -> Result<(), Failure> {
        io::stdout().lock().flush().map_err(stdout_failure)
    }

    /// Bytes as they are.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        io::stdout().lock().write_all(bytes).map_err(stdout_failure)
    }
}

/// Why stdout takes no more. Whether its reader went away (`| head`) is noted: for some commands that
/// is a good end.
pub(crate) fn stdout_failure(error: io::Error) -> Failure {
    let is_broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
    Failure {
        is_broken_pipe,
        ..Failure::new(Kind::Other, error).at("stdout")
    }
}

/// A number of blocks as people say it.
pub(crate) fn blocks(count: u64) -> String {
    if count == 1 {
        "1 block".into()
    } else {
        format!("{count} blocks")
    }
}

/// A number of bytes as people say it.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// Bytes a second as people say it.
pub(crate) fn rate(count: u64, elapsed: std::time::Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // far below 2^52
    let per_second = (count as f64 / seconds) as u64;
    format!("{}/s", indicatif::BinaryBytes(per_second))
}
