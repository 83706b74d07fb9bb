//! The signals that end a command which would go on for ever: an interrupt, and a polite kill.

use async_signal::{Signal, Signals};
use futures_lite::StreamExt;

use crate::failure::{Failure, Kind};

/// SIGINT and SIGTERM, caught as long as this lives.
pub(crate) struct Stop(Signals);

impl Stop {
    pub(crate) fn new() -> Result<Self, Failure> {
        #[cfg(unix)]
        let wanted = [Signal::Int, Signal::Term];
        #[cfg(not(unix))]
        let wanted = [Signal::Int];
        let signals = Signals::new(wanted);
        signals
            .map(Self)
            .map_err(|error| Failure::new(Kind::Other, error).at("signals"))
    }

    /// Resolves when the first of them comes.
    pub(crate) async fn wait(&mut self) {
        // An error of one delivery is no reason to go on: it did arrive.
        self.0.next().await;
    }
}
