//! `fetch`: a log, a range of it or some blocks, verified, from every server that was named.
//!
//! Four things go on at once until one of them ends it: the work (ask for the length, download,
//! follow), the watch over it (progress, patience), what happens to the log, and the signals.

mod dial;
mod report;
mod sink;
mod wanted;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};

use async_std::task;
use futures_lite::future;
use hypercore::{Download, DownloadError, Downloading, Event, Events, Hypercore, Storage};
use serde_json::json;

use self::dial::{Manner, Servers};
use self::report::{Done, Reporter, Status};
use self::sink::{Sink, Target};
use self::wanted::{Asked, Wanted};
use super::key;
use crate::args::Fetch;
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::place::{Place, Which};
use crate::signals::Stop;
use crate::{secret, store};

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long the other servers may take to answer when the first has.
const GATHERING: Duration = Duration::from_secs(2);
/// So many bytes are progress even if no block is complete: more than keeping alive takes.
const LARGE: u64 = 16 * 1024;

/// What ended a fetch well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Signal,
}

pub(crate) async fn run(args: &Fetch, output: Output) -> Result<(), Failure> {
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && output.is_json() {
        return Err(Failure::new(
            Kind::Usage,
            "stdout is either JSON or blocks: leave --json or --output - out",
        ));
    }
    let asked = Asked::of(args)?;
    let identity = args.identity.as_deref();
    let identity = identity.map(|word| secret::word32("the identity", word));
    let identity = identity.transpose()?;
    let log = open(args).await?;
    let target = args.output.as_deref().map(Target::open).transpose()?;
    let mut stop = Stop::new()?;
    // Before anything can happen.
    let events = log.events();
    let manner = Manner {
        identity,
        policy: args.limits.policy(),
        talk: !output.is_json(),
    };
    let servers = Servers::dial(&args.connect, &log, &manner);
    let begun = Instant::now();
    let fetch = Session {
        args,
        output,
        asked,
        stored_before: stored_bytes(&log)?,
        log,
        servers,
        begun,
        reporter: RefCell::new(Reporter::new(output, begun)),
        reached: Cell::new(false),
        caught_up: Cell::new(false),
    };
    let signal = async {
        stop.wait().await;
        Ok(End::Signal)
    };
    let work = future::or(
        fetch.listen(events),
        future::or(fetch.work(target), fetch.watch()),
    );
    let ended = future::or(signal, work).await;
    fetch.finish(ended, to_stdout).await
}

/// Opens the folder's log if it is this one, or makes a reader of it.
async fn open(args: &Fetch) -> Result<Hypercore, Failure> {
    let key = key::parse(&args.key)?;
    let dir = &args.dir;
    let place = Place::of(dir);
    if place.which != Which::Default && place.which != Which::Key(key) {
        let message = "a log that is fetched goes into the folder of a store";
        return Err(Failure::new(Kind::Usage, message).at(dir.display()));
    }
    let wanted = Place {
        which: Which::Key(key),
        ..place
    };
    if let Some(log) = store::find(&wanted, Some(&args.encryption)).await? {
        return Ok(log);
    }
    let default = Place {
        which: Which::Default,
        ..wanted
    };
    let dir = &default.store;
    if let Some(log) = store::find(&default, None).await? {
        let key = log.key();
        store::close(&log, dir).await?;
        if !args.add {
            let message =
                format!("holds another log, {key}; choose another folder, or --add to it");
            return Err(Failure::new(Kind::Other, message).at(dir.display()));
        }
    }
    let builder = Hypercore::builder(Storage::disk(dir)).key(key);
    store::open(builder, dir, Some(&args.encryption)).await
}

fn stored_bytes(log: &Hypercore) -> Result<u64, Failure> {
    Ok(log.usage()?.live)
}

fn in_turn(download: Download, in_order: bool) -> Download {
    if in_order {
        download.linear()
    } else {
        download
    }
}

struct Session<'a> {
    args: &'a Fetch,
    output: Output,
    asked: Asked,
    log: Hypercore,
    servers: Servers,
    stored_before: u64,
    begun: Instant,
    reporter: RefCell<Reporter>,
    /// Whether any server had the log.
    reached: Cell<bool>,
    /// Whether everything that there was has been fetched.
    caught_up: Cell<bool>,
}

impl Session<'_> {
    /// Fetches what was asked for; with `--live` it never ends.
    async fn work(&self, target: Option<Target>) -> Result<End, Failure> {
        let searching = self.log.finding_peers();
        let is_here = |wanted: &Wanted| wanted.first_missing(&self.log).is_none();
        let mut ahead = None;
        if !(self.asked.is_fixed() && is_here(&self.wanted())) {
            // What is known to be there does not wait for who may have more.
            ahead = Some(self.download_ahead(target.is_some()).start());
            if self.args.connect.len() > 1 {
                self.servers.tried(GATHERING).await;
            }
            self.log.update().await?;
        }
        let from = self.log.length().get().max(self.asked.start());
        let sink = target.map(|target| {
            let on = self.args.live.then_some(from);
            Sink::start(target, &self.log, self.wanted(), on)
        });
        self.download(sink.is_some(), ahead).await?;
        self.report()?;
        self.caught_up.set(true);
        match (&sink, self.args.live) {
            (None, false) => {}
            (Some(sink), false) => sink.done().await?,
            (None, true) => self.follow(from).await?,
            (Some(sink), true) => future::or(sink.done(), self.follow(from)).await?,
        }
        drop(searching);
        Ok(End::Complete)
    }

    /// Fetches all that was asked for in the log as it is by now. `ahead`, of which that may be a part, ends.
    async fn download(
        &self,
        in_order: bool,
        mut ahead: Option<Downloading>,
    ) -> Result<(), Failure> {
        loop {
            let download = self.download_of(&self.wanted(), in_order).start();
            drop(ahead.take());
            match download.await {
                Ok(()) => return Ok(()),
                // There is another history now: on with that.
                Err(DownloadError::Truncated) if !in_order => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// All that was asked for, however long the log turns out to be.
    fn download_ahead(&self, in_order: bool) -> Download {
        if self.asked.is_fixed() {
            return self.download_of(&self.wanted(), in_order);
        }
        let download = self.log.download(self.asked.start()..);
        in_turn(download, in_order)
    }

    fn download_of(&self, wanted: &Wanted, in_order: bool) -> Download {
        let download = match wanted.as_range() {
            Some(range) => self.log.download(range),
            None => self.log.download_blocks(wanted.blocks()),
        };
        in_turn(download, in_order)
    }

    /// Tells of every block that is stored from now on; ends with the log.
    async fn follow(&self, from: u64) -> Result<(), Failure> {
        let mut events = self.log.events();
        let rest = self.log.download(from..).start();
        let mut next = from;
        loop {
            while self.log.has(next..next.saturating_add(1)) {
                let block = self.log.get(next).local().await?;
                self.output.result(
                    &json!({ "event": "block", "index": next, "byteLength": block.len() }),
                    || format!("block {next}, {} bytes", block.len()),
                )?;
                next += 1;
            }
            match events.next().await {
                Some(Event::Truncate { length, .. }) => next = next.min(length.get()),
                Some(_) => {}
                None => break,
            }
        }
        drop(rest);
        Ok(())
    }

    /// Hears what happens to the log; ends only with an error.
    async fn listen(&self, mut events: Events) -> Result<End, Failure> {
        while let Some(event) = events.next().await {
            match event {
                Event::PeerAdd(_) => self.reached.set(true),
                Event::Truncate { length, fork } => {
                    let (length, fork) = (length.get(), fork.get());
                    self.output
                        .event(&json!({ "event": "truncate", "length": length, "fork": fork }))?;
                }
                _ => {}
            }
        }
        future::pending().await
    }

    /// Tells how far it is, and loses patience.
    async fn watch(&self) -> Result<End, Failure> {
        let (mut seen, mut received) = ((0, 0, 0), 0);
        let mut since = Instant::now();
        loop {
            task::sleep(TICK).await;
            let wanted = self.wanted();
            let downloaded = wanted.stored(&self.log);
            let is_due = self.reporter.borrow().is_due();
            if self.reached.get() && !self.caught_up.get() && is_due {
                self.report()?;
            }
            let now = (downloaded, self.log.length().get(), self.log.fork().get());
            let (wire_in, _) = self.servers.traffic();
            if now != seen || wire_in.saturating_sub(received) >= LARGE || self.is_content() {
                (seen, received, since) = (now, wire_in, Instant::now());
            }
            if self.servers.are_hopeless() || since.elapsed() >= self.args.timeout {
                return Err(self.gave_up(self.status()?));
            }
        }
    }

    /// Whether there is nothing to wait for but new blocks, or the reader of the output.
    fn is_content(&self) -> bool {
        self.caught_up.get() && (!self.args.live || !self.log.peers().is_empty())
    }

    fn wanted(&self) -> Wanted {
        self.asked.in_log(self.log.length().get())
    }

    /// Tells how far it is, if that is news.
    fn report(&self) -> Result<(), Failure> {
        self.reporter.borrow_mut().update(self.status()?)
    }

    fn status(&self) -> Result<Status, Failure> {
        let wanted = self.wanted();
        Ok(Status {
            downloaded: wanted.stored(&self.log),
            total: wanted.total(),
            bytes: stored_bytes(&self.log)?.saturating_sub(self.stored_before),
        })
    }

    /// Why it ends without everything.
    fn gave_up(&self, status: Status) -> Failure {
        let troubles = self.servers.troubles();
        let why: Vec<&str> = troubles
            .iter()
            .map(|trouble| trouble.message.as_str())
            .collect();
        let why = why.join("; ");
        let told = |kind: Kind| troubles.iter().any(|trouble| trouble.kind == kind);
        let missing = self.missing(status);
        if told(Kind::Integrity) && self.servers.are_hopeless() {
            return Failure::new(Kind::Integrity, why);
        }
        if let (true, Some(missing)) = (self.reached.get(), missing) {
            let why = if why.is_empty() {
                "the servers do not send them".into()
            } else {
                why
            };
            return Failure::new(Kind::NotAvailable, format!("{missing}; {why}"));
        }
        if self.servers.are_hopeless() && told(Kind::NotAvailable) {
            return Failure::new(Kind::NotAvailable, why);
        }
        let seconds = self.args.timeout.as_secs_f64();
        let why = if why.is_empty() {
            "no answer".into()
        } else {
            why
        };
        Failure::new(Kind::Network, format!("gave up after {seconds} s: {why}"))
    }

    fn missing(&self, status: Status) -> Option<String> {
        let first = self.wanted().first_missing(&self.log)?;
        let Status {
            downloaded, total, ..
        } = status;
        let missing = total.saturating_sub(downloaded);
        Some(format!(
            "{missing} of {total} blocks are missing, the first is block {first}"
        ))
    }

    /// Says how it ended, once everything is on the disk.
    async fn finish(mut self, ended: Result<End, Failure>, to_stdout: bool) -> Result<(), Failure> {
        if !matches!(ended, Ok(End::Complete)) {
            // what is counted is then all that is stored
            self.servers.hang_up().await;
        }
        let status = self.status()?;
        let head = self.log.head();
        let done = Done {
            key: self.log.key().to_string(),
            length: head.length().get(),
            fork: head.fork().get(),
            status,
            wire: self.servers.traffic(),
            elapsed: self.begun.elapsed(),
            tree_hash: head.tree_hash().to_string(),
            reached: self.reached.get(),
        };
        let ended = match ended {
            Ok(End::Signal) if !self.args.live => self.interrupted(status),
            other => other.map(drop),
        };
        let closed = store::close(&self.log, &self.args.dir).await;
        let said = done.say(self.output, to_stdout);
        ended.and(closed).and(said)
    }

    /// A signal ends it well only if nothing is missing.
    fn interrupted(&self, status: Status) -> Result<(), Failure> {
        match self.missing(status) {
            _ if self.caught_up.get() => Ok(()),
            Some(missing) => Err(Failure::new(
                Kind::NotAvailable,
                format!("interrupted: {missing}"),
            )),
            None => Err(Failure::new(
                Kind::NotAvailable,
                "interrupted before the length was known",
            )),
        }
    }
}
