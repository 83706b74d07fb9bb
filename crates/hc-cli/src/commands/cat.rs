//! `cat`: blocks or bytes in order, and on with what is appended.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use futures_lite::future;
use hypercore::{Bytes, Event, GetError, Hypercore};

use crate::args::{Cat, Encryption};
use crate::failure::{Failure, Kind};
use crate::output;
use crate::signals::Stop;
use crate::store;

/// How often the store is looked at for what another process appended.
const GLANCE: Duration = Duration::from_millis(50);
/// What is gathered before it is written.
const BUFFER: usize = 256 * 1024;

type Sink = io::BufWriter<io::StdoutLock<'static>>;

/// Where to print from: a block, and how many of its bytes to leave out.
#[derive(Debug, Clone, Copy)]
struct Place {
    index: u64,
    skip: u64,
}

/// Where to print to.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// This block, which is not printed.
    Block(u64),
    /// So many bytes.
    Bytes(u64),
}

/// Prints bytes, also with `--json`: there is nothing else to say.
pub(crate) async fn run(args: &Cat) -> Result<(), Failure> {
    let (dir, encryption) = (&args.store.dir, &args.store.encryption);
    let log = store::read(dir, Some(encryption)).await?;
    store::note_ciphertext(&log, encryption);
    let mut sink = io::BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let printed = print(&log, args, &mut sink).await;
    let flushed = sink.flush().map_err(output::stdout_failure);
    let ended = match printed.and_then(|place| flushed.map(|()| place)) {
        Ok(place) if args.live => follow(log, place, dir, encryption, &mut sink).await,
        other => other.map(drop),
    };
    match ended {
        // Who reads this has enough.
        Err(failure) if failure.is_broken_pipe => Ok(()),
        Err(failure) => Err(failure.at(dir.display())),
        Ok(()) => Ok(()),
    }
}

/// Prints what is there, and says where it ended.
async fn print(log: &Hypercore, args: &Cat, sink: &mut Sink) -> Result<Place, Failure> {
    let (from, until) = bounds(log, args)?;
    let (mut place, mut left) = (from, u64::MAX);
    let end = match until {
        Until::Block(end) => end,
        Until::Bytes(bytes) => {
            left = bytes;
            u64::MAX
        }
    };
    while place.index < end && left > 0 {
        let block = log.get(place.index).local().await?;
        let block = after(&block, place.skip);
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        sink.write_all(&block[..take])
            .map_err(output::stdout_failure)?;
        left -= take as u64;
        place = Place {
            index: place.index + 1,
            skip: 0,
        };
    }
    Ok(place)
}

fn bounds(log: &Hypercore, args: &Cat) -> Result<(Place, Until), Failure> {
    let length = log.length().get();
    if args.byte_offset.is_none() && args.byte_length.is_none() {
        let start = args.start.unwrap_or(0);
        if start > length && !args.live {
            let message = format!("block {start} is past the end of the log, at {length}");
            return Err(Failure::new(Kind::NotAvailable, message));
        }
        return Ok((
            Place {
                index: start,
                skip: 0,
            },
            Until::Block(args.end.unwrap_or(length)),
        ));
    }
    let offset = args.byte_offset.unwrap_or(0);
    let bytes = log.byte_length().get();
    let until = match args.byte_length {
        None => Until::Block(length),
        Some(count) if offset.checked_add(count).is_some_and(|end| end <= bytes) => {
            Until::Bytes(count)
        }
        Some(count) => {
            let message = format!(
                "{count} bytes from byte {offset} are not there: the log has {bytes} bytes"
            );
            return Err(Failure::new(Kind::NotAvailable, message));
        }
    };
    let position = log.seek_local(offset)?;
    Ok((
        Place {
            index: position.index.get(),
            skip: position.offset,
        },
        until,
    ))
}

fn after(block: &Bytes, skip: u64) -> Bytes {
    let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(block.len());
    block.slice(skip..)
}

/// Prints what is appended, until a signal comes.
async fn follow(
    log: Hypercore,
    place: Place,
    dir: &Path,
    encryption: &Encryption,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let stopped = async {
        stop.wait().await;
        Ok(())
    };
    future::or(stopped, print_new(log, place, dir, encryption, sink)).await
}

async fn print_new(
    mut log: Hypercore,
    mut place: Place,
    dir: &Path,
    encryption: &Encryption,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let mut events = log.events();
    loop {
        while let Some(event) = events.try_next() {
            // What was cut is printed again as it is now.
            if let Event::Truncate { length, .. } = event
                && length.get() < place.index
            {
                place = Place {
                    index: length.get(),
                    skip: 0,
                };
            }
        }
        while place.index < log.length().get() {
            let block = match log.get(place.index).local().await {
                Ok(block) => block,
                // Its writer is a reader too, and has not fetched it yet.
                Err(GetError::NotLocal { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            sink.write_all(&after(&block, place.skip))
                .map_err(output::stdout_failure)?;
            place = Place {
                index: place.index + 1,
                skip: 0,
            };
        }
        sink.flush().map_err(output::stdout_failure)?;
        async_std::task::sleep(GLANCE).await;
        if let Err(error) = log.refresh().await {
            // A writer that was killed takes back what it had not finished when it comes again.
            log = store::read(dir, Some(encryption))
                .await
                .map_err(|_| Failure::from(error))?;
            events = log.events();
            place.index = place.index.min(log.length().get());
        }
    }
}
