//! How a command fails: an exit code that scripts can rely on, and one line for people.
//!
//! Owns the table of exit codes in `docs/cli.md`. Knows the errors of the library only as far as it
//! must to choose a code.

use std::fmt;
use std::process::ExitCode;

/// What kind of failure, which is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 1: anything else.
    Other,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: not available: no such block, an incomplete download.
    NotAvailable,
    /// 4: a bad signature, a bad block, a damaged store.
    Integrity,
    /// 5: another process holds the store.
    Locked,
    /// 6: unreachable, refused, timed out.
    Network,
    /// 130: SIGINT, as shells have it.
    Interrupted,
    /// 143: SIGTERM.
    Terminated,
}

impl Kind {
    /// The word for it in JSON.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::NotAvailable => "not-available",
            Self::Integrity => "integrity",
            Self::Locked => "locked",
            Self::Network => "network",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Other => 1,
            Kind::Usage => 2,
            Kind::NotAvailable => 3,
            Kind::Integrity => 4,
            Kind::Locked => 5,
            Kind::Network => 6,
            Kind::Interrupted => 130,
            Kind::Terminated => 143,
        }
    }
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        u8::from(kind).into()
    }
}

/// A command's failure: what, where, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// Whoever read our stdout went away.
    pub(crate) is_broken_pipe: bool,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            is_broken_pipe: false,
        }
    }

    /// Puts where it happened before what happened.
    pub(crate) fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    /// On one line, whatever the message holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message.replace('\n', " "))
    }
}

/// An error and its causes on one line, without a cause that the error before it has told already.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        next = cause.source();
    }
    text
}
