//! The signals that end a command: an interrupt, and a polite kill. Some end well by themselves, since they
//! would go on for ever; all others are ended, and say so.

use async_signal::{Signal, Signals};
use futures_lite::StreamExt;

use crate::failure::{Failure, Kind};
use crate::output::Output;

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
        self.kind().await;
    }

    async fn kind(&mut self) -> Kind {
        match self.0.next().await {
            Some(Ok(Signal::Term)) => Kind::Terminated,
            // An error of one delivery is no reason to go on: it did arrive.
            _ => Kind::Interrupted,
        }
    }
}

/// From now on, a signal ends the process with the code that shells use, once `say` has said so. A second one
/// does not wait for that: whoever is to read it may not be reading.
pub(crate) fn end_when_told(
    output: Output,
    say: impl FnOnce(Kind) + Send + 'static,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    async_std::task::spawn(async move {
        let kind = stop.kind().await;
        std::thread::spawn(move || {
            // what is said is the last line then, and no other is cut
            let _stdout = output.is_json().then(|| std::io::stdout().lock());
            say(kind);
            std::process::exit(u8::from(kind).into());
        });
        stop.wait().await;
        std::process::exit(u8::from(kind).into());
    });
    Ok(())
}
