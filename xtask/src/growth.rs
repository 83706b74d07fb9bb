//! `cargo xtask growth`: what one operation costs on logs of 10^3 to 10^7 blocks, as a table and as
//! docs/growth.svg.
//!
//! Owns the lengths and the plot. The operations are those of the driver in `xtask/peers/ours`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use plotters::prelude::*;
use serde_json::{Map, Value};

use crate::peers::{Driver, prepare};
use crate::run::{root, target};

/// Bytes a block: small, so that the tree is what grows.
const SIZE: usize = 64;
/// Operations of each kind on each log.
const COUNT: u64 = 1000;
/// What is plotted, and what it is called.
const LINES: [(&str, &str); 6] = [
    ("append_us", "append one block"),
    ("get_us", "get a block"),
    ("prove_us", "prove a block"),
    ("verify_us", "verify a proof"),
    ("replicate_us", "fetch a block from a peer"),
    ("batch_us", "append, 1,000 at once (a block)"),
];

/// One length.
struct Point {
    blocks: f64,
    figures: Map<String, Value>,
}

impl Point {
    fn get(&self, name: &str) -> Option<f64> {
        self.figures.get(name)?.as_f64()
    }
}

/// Measures up to 10^`powers` blocks, prints the table and draws the plot.
pub(crate) fn measure(powers: u32) -> anyhow::Result<()> {
    ensure!((4..=8).contains(&powers), "between 10^4 and 10^8 blocks");
    let drivers = prepare(&["ours".to_owned()], Duration::from_secs(900))?;
    let driver = drivers.first().context("no driver")?;
    let dir = target().join("growth");
    let points: Vec<Point> = (3..=powers)
        .map(|power| point(driver, &dir, 10_u64.pow(power)))
        .collect::<anyhow::Result<_>>()?;
    print(&points);
    draw(&points, &root().join("docs/growth.svg"))
}

fn point(driver: &Driver, dir: &Path, blocks: u64) -> anyhow::Result<Point> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    let (log, copy) = (dir.join("log"), dir.join("copy"));
    fs::create_dir_all(&log)?;
    fs::create_dir_all(&copy)?;
    let words = |line: String| -> Vec<String> { line.split(' ').map(String::from).collect() };
    let run = |line: String, dir: &Path, more: &[String]| {
        let report = driver.run(&words(line), dir, more)?;
        let error = report.get("error").map(ToString::to_string);
        error.map_or(Ok(report), |error| Err(anyhow!("{error}")))
    };
    let seconds = |report: &Map<String, Value>| report.get("secs").and_then(Value::as_f64);
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    let per = |report: &Map<String, Value>, count: u64| {
        seconds(report).map(|secs| secs * 1e6 / count as f64)
    };

    let built = run(
        format!("append --n {blocks} --size {SIZE} --batch 1000"),
        &log,
        &[],
    )?;
    let mut serving = driver.serve(&log, SIZE, false)?;
    let fetched = run(
        format!(
            "sparse --n {blocks} --size {SIZE} --count {} --concurrency 16",
            COUNT.min(blocks / 2)
        ),
        &copy,
        &serving.address(),
    );
    serving.end()?;
    let fetched = fetched?;
    let mut figures = run(format!("growth --size {SIZE} --count {COUNT}"), &log, &[])?;
    let more = [
        ("batch_us", per(&built, blocks)),
        ("replicate_us", per(&fetched, COUNT.min(blocks / 2))),
        (
            "build_rss_mb",
            built.get("peak_rss_mb").and_then(Value::as_f64),
        ),
        (
            "reader_rss_mb",
            fetched.get("peak_rss_mb").and_then(Value::as_f64),
        ),
    ];
    figures.extend(more.map(|(name, value)| (name.to_owned(), value.into())));
    println!("{blocks}: {}", Value::Object(figures.clone()));
    fs::remove_dir_all(dir)?;
    #[allow(clippy::cast_precision_loss)]
    Ok(Point {
        blocks: blocks as f64,
        figures,
    })
}

fn print(points: &[Point]) {
    let memory = [
        ("open_ms", "open, ms"),
        ("peak_rss_mb", "peak memory of these, MB"),
        ("build_rss_mb", "peak memory of the batches, MB"),
        ("reader_rss_mb", "peak memory of the reader, MB"),
    ];
    let micros = LINES.map(|(name, title)| (name, format!("{title}, µs")));
    let rows = micros
        .into_iter()
        .chain(memory.map(|(name, title)| (name, title.to_owned())));
    let lengths: Vec<String> = points
        .iter()
        .map(|point| format!("{:.0}", point.blocks))
        .collect();
    println!("\n| blocks | {} |", lengths.join(" | "));
    println!("| --- |{}", " --- |".repeat(points.len()));
    for (name, title) in rows {
        let cells: Vec<String> = points
            .iter()
            .map(|point| {
                point
                    .get(name)
                    .map_or("–".into(), |value| format!("{value:.1}"))
            })
            .collect();
        println!("| {title} | {} |", cells.join(" | "));
    }
}

fn draw(points: &[Point], path: &Path) -> anyhow::Result<()> {
    let values = || {
        points
            .iter()
            .flat_map(|point| LINES.iter().filter_map(|(name, _)| point.get(name)))
    };
    let (low, high) = values().fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let blocks = points
        .first()
        .zip(points.last())
        .context("nothing was measured")?;
    let area = SVGBackend::new(path, (860, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Microseconds an operation, by the length of the log",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (blocks.0.blocks..blocks.1.blocks).log_scale(),
            (low / 2.0..high * 4.0).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("blocks in the log")
        .y_desc("µs")
        .x_label_formatter(&|blocks| format!("{blocks:.0}"))
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    for (at, (name, title)) in LINES.iter().enumerate() {
        let color = Palette99::pick(at).to_rgba();
        let line = points
            .iter()
            .filter_map(|point| Some((point.blocks, point.get(name)?)));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(*title)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(area.present()?)
}
