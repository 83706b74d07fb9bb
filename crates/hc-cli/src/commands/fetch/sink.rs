//! The blocks fetched, written in order as they come, on a thread of its own: whoever reads them may be
//! slow, and that holds up nothing else. Holds one block at a time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::thread;

use async_std::channel::{self, Receiver};
use async_std::task::block_on;
use hypercore::Hypercore;

use super::wanted::Wanted;
use crate::failure::{Failure, Kind};

/// What is gathered before it is written.
const BUFFER: usize = 256 * 1024;

/// Blocks on their way to a file or to stdout.
pub(super) struct Sink(Receiver<Result<(), Failure>>);

/// A file that is written, and its name in errors.
pub(super) struct Target {
    name: String,
    file: Box<dyn Write + Send>,
}

impl Target {
    /// Makes the file, so that a bad name is known before anything is fetched.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self {
                name: "stdout".into(),
                file: Box::new(io::stdout()),
            });
        }
        let name = path.display().to_string();
        let file =
            File::create(path).map_err(|error| Failure::new(Kind::Other, error).at(&name))?;
        Ok(Self {
            name,
            file: Box::new(file),
        })
    }
}

impl Sink {
    /// Writes these blocks, and those from `on` if that is given, for ever.
    pub(super) fn start(target: Target, log: &Hypercore, wanted: Wanted, on: Option<u64>) -> Self {
        let (sender, receiver) = channel::bounded(1);
        let log = log.clone();
        thread::spawn(move || {
            let Target { name, file } = target;
            let mut out = BufWriter::with_capacity(BUFFER, file);
            let on = on.map(|on| on..).into_iter().flatten();
            let written = write(&mut out, &log, wanted.blocks().chain(on));
            // Nobody waits for it if the command is over.
            let _ = sender.send_blocking(written.map_err(|failure| failure.at(name)));
        });
        Self(receiver)
    }

    /// Resolves when everything is written, or can not be.
    pub(super) async fn done(&self) -> Result<(), Failure> {
        let gone = || Failure::new(Kind::Other, "writing the output was interrupted");
        self.0.recv().await.unwrap_or_else(|_| Err(gone()))
    }
}

fn write(
    out: &mut impl Write,
    log: &Hypercore,
    blocks: impl Iterator<Item = u64>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(Kind::Other, error);
    for index in blocks {
        if !log.has(index..index.saturating_add(1)) {
            // It may take a while: what is there is of use already.
            out.flush().map_err(failed)?;
        }
        let block = block_on(async { log.get(index).await })?;
        out.write_all(&block).map_err(failed)?;
    }
    out.flush().map_err(failed)
}
