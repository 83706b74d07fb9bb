//! Appends at each durability level, beside a raw write of the same blocks and beside one frame.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hc_storage::{Durability, Store};

use super::{Fallible, after, create, noise};

/// Bytes appended in each row, by the store and as they are.
const VOLUME: usize = 64 << 20;

/// How long a row takes where every append waits for the device.
const PATIENCE: Duration = Duration::from_secs(6);

/// Appends of one way until it is the next one's turn, there.
const TURN: usize = 50;

/// Blocks whose trees are made at once before they are appended: so the store finds the processor as it
/// left it, like the others, and not as hashing does.
const AHEAD: usize = 256;

/// How often each row is measured elsewhere.
const PASSES: usize = 3;

/// Blocks, their length, and the ratios to a write of the same as one frame that the prototype of this layout
/// reached where the operating system, and where the device has to have them.
const BATCHES: [(usize, usize, f64, f64); 4] = [
    (1, 1 << 10, 0.66, 1.03),
    (16, 1 << 10, 0.49, 0.97),
    (1000, 1 << 10, 0.19, 0.42),
    (16, 64 << 10, 0.78, 1.16),
];

/// Prints the rows that have all of `words`.
pub(crate) fn appends(path: &Path, words: &[&str]) -> Fallible<()> {
    println!(
        "Blocks a second, hashing not counted; best of {PASSES}, at Disk the median of turns of {TURN} appends.\n"
    );
    println!(
        "| append of | durability | raw write | one frame | store | of raw | of a frame | prototype's |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (count, len, os, disk) in BATCHES {
        let blocks = vec![noise(len); count];
        for (level, prototype) in [
            (Durability::Buffered, None),
            (Durability::Os, Some(os)),
            (Durability::Disk, Some(disk)),
        ] {
            let row = format!("| {count} × {} KiB | {level:?} |", len >> 10);
            if !words.iter().all(|word| row.contains(word)) {
                continue;
            }
            let [raw, framed, ours] = if level == Durability::Disk {
                in_turns(path, &blocks)?
            } else {
                one_by_one(path, &blocks, level)?
            };
            let prototype = prototype.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
            println!(
                "{row} {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {prototype} |",
                raw * count as f64,
                framed * count as f64,
                ours * count as f64,
                ours / raw,
                ours / framed
            );
        }
    }
    println!();
    Ok(())
}

/// Appends a second of each way, one after the other, since what the store does beside its appends is to
/// be its own loss alone; the best, since others may be at the processor.
fn one_by_one(path: &Path, blocks: &[Bytes], level: Durability) -> Fallible<[f64; 3]> {
    let bytes: usize = blocks.iter().map(Bytes::len).sum();
    let mut best = [0f64; 3];
    for _ in 0..PASSES {
        for (best, begin) in best.iter_mut().zip(WAYS) {
            let mut way = begin(&path.join("way"), blocks, level)?;
            *best = best.max(rate(VOLUME / bytes, &mut way.append)?);
            (way.end)()?;
        }
    }
    Ok(best)
}

/// Appends a second of each way, a few of each in turn, since how fast the device is changes from one second
/// to the next; the median of each.
fn in_turns(path: &Path, blocks: &[Bytes]) -> Fallible<[f64; 3]> {
    let mut ways = Vec::new();
    for (at, begin) in WAYS.into_iter().enumerate() {
        let way = begin(&path.join(at.to_string()), blocks, Durability::Disk)?;
        ways.push((way, Vec::new()));
    }
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        for (way, rates) in &mut ways {
            rates.push(rate(TURN, &mut way.append)?);
        }
    }
    let mut medians = [0f64; 3];
    for (median, (way, mut rates)) in medians.iter_mut().zip(ways) {
        (way.end)()?;
        rates.sort_by(f64::total_cmp);
        *median = rates.get(rates.len() / 2).copied().unwrap_or_default();
    }
    Ok(medians)
}

/// One way to append the same blocks again and again.
struct Way {
    /// Says how much of its time was not the append's.
    append: Box<dyn FnMut() -> Fallible<Duration>>,
    end: Box<dyn FnOnce() -> Fallible<()>>,
}

type Begin = fn(&Path, &[Bytes], Durability) -> Fallible<Way>;

const WAYS: [Begin; 3] = [raw, framed, ours];

/// The blocks alone.
fn raw(path: &Path, blocks: &[Bytes], level: Durability) -> Fallible<Way> {
    let bytes = blocks.concat();
    to_file(path, level, move |file, at| {
        file.write_all_at(&bytes, at)?;
        Ok(bytes.len())
    })
}

/// What the prototype was measured beside: blocks, as many nodes as they have, a head and a checksum over
/// all of it, put together in one buffer and written in one call.
fn framed(path: &Path, blocks: &[Bytes], level: Durability) -> Fallible<Way> {
    let (node, head) = ([7; 40], [7; 120]);
    let len = 4 + head.len() + blocks.len() * 2 * node.len() + blocks.concat().len();
    let (mut frame, blocks) = (Vec::with_capacity(len), blocks.to_vec());
    to_file(path, level, move |file, at| {
        frame.clear();
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&head);
        for _ in 0..blocks.len() * 2 {
            frame.extend_from_slice(&node);
        }
        for block in &blocks {
            frame.extend_from_slice(block);
        }
        let checksum = crc32c::crc32c(frame.get(4..).unwrap_or_default());
        frame.splice(..4, checksum.to_le_bytes());
        file.write_all_at(&frame, at)?;
        Ok(frame.len())
    })
}

/// Writes at the end of a new file; `write` says how many bytes it wrote.
fn to_file(
    path: &Path,
    level: Durability,
    mut write: impl FnMut(&File, u64) -> io::Result<usize> + 'static,
) -> Fallible<Way> {
    let (file, mut end) = (File::create(path)?, 0);
    let append = move || {
        end += write(&file, end)? as u64;
        if level == Durability::Disk {
            file.sync_data()?;
        }
        Ok(Duration::ZERO)
    };
    let path = path.to_owned();
    Ok(Way {
        append: Box::new(append),
        end: Box::new(move || Ok(fs::remove_file(path)?)),
    })
}

fn ours(path: &Path, blocks: &[Bytes], level: Durability) -> Fallible<Way> {
    let (store, core) = create(path)?;
    let (blocks, mut head) = (blocks.to_vec(), core.head()?);
    let mut ready = VecDeque::new();
    let append = move || {
        let mut other = Duration::ZERO;
        if ready.is_empty() {
            let begun = Instant::now();
            for _ in 0..AHEAD.div_ceil(blocks.len()) {
                let (batch, after) = after(&head, &blocks)?;
                head = after;
                ready.push_back(batch);
            }
            other = begun.elapsed();
        }
        if let Some(batch) = ready.pop_front() {
            core.commit(batch, level)?.wait()?;
        }
        Ok(other)
    };
    let path = path.to_owned();
    let end = move || {
        store.close()?;
        Ok(fs::remove_dir_all(path)?)
    };
    Ok(Way {
        append: Box::new(append),
        end: Box::new(end),
    })
}

/// Rounds a second, without the time that each says was not its own.
fn rate(rounds: usize, round: &mut dyn FnMut() -> Fallible<Duration>) -> Fallible<f64> {
    let begun = Instant::now();
    let mut other = Duration::ZERO;
    for _ in 0..rounds {
        other += round()?;
    }
    Ok(rounds as f64 / (begun.elapsed() - other).as_secs_f64())
}
