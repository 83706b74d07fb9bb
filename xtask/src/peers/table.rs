//! The results as one table: medians, and their ratios to the first peer's.
//!
//! Knows no process; a run during which the machine was slow is left out where enough others remain.

use std::fmt::Write;

use super::driver::Report;
use super::workload::{Figure, Goal, Workload};

/// A run counts while its calibration took at most this many times the quickest.
const NOISY: f64 = 1.5;
/// Quiet runs below which the noisy ones count too.
const ENOUGH: usize = 3;

/// Markdown: a row for each goal, a column for each peer, then the ratio of the last to the first.
pub(super) fn render(workloads: &[Workload], reports: &[Report], peers: &[String]) -> String {
    let mut text = String::from("| workload | figure |");
    for peer in peers {
        write!(text, " {peer} |").ok();
    }
    text.push_str(" ratio | goal | met | runs |\n| --- | --- |");
    text.push_str(&" --- |".repeat(peers.len() + 4));
    text.push('\n');
    let quickest = reports
        .iter()
        .filter_map(calibration)
        .fold(f64::INFINITY, f64::min);
    for workload in workloads {
        for goal in &workload.goals {
            let row = Row::of(workload, goal, reports, peers, quickest);
            if let Some(row) = row {
                text.push_str(&row.render());
            }
        }
    }
    text
}

fn calibration(report: &Report) -> Option<f64> {
    Some(
        report
            .number("calib_ms")?
            .max(report.number("calib_after_ms")?),
    )
}

struct Row {
    workload: &'static str,
    figure: String,
    values: Vec<Option<f64>>,
    ratio: Option<f64>,
    goal: f64,
    runs: usize,
}

impl Row {
    fn of(
        workload: &Workload,
        goal: &Goal,
        reports: &[Report],
        peers: &[String],
        quickest: f64,
    ) -> Option<Self> {
        let runs = |peer: &String, read: &dyn Fn(&Report) -> Option<f64>| {
            let mine = || {
                reports
                    .iter()
                    .filter(|report| report.workload == workload.name && report.peer == *peer)
            };
            let quiet: Vec<f64> = mine()
                .filter(|report| calibration(report).is_some_and(|ms| ms <= NOISY * quickest))
                .filter_map(read)
                .collect();
            if quiet.len() >= ENOUGH {
                quiet
            } else {
                mine().filter_map(read).collect()
            }
        };
        if let Figure::CpuShare { serving } = goal.field {
            let shares = |report: &Report| {
                let cpu = |side: &str| {
                    Some(
                        report.number(&format!("{side}cpu_user_s"))?
                            + report.number(&format!("{side}cpu_sys_s"))?,
                    )
                };
                let (reader, server) = (cpu("")?, cpu("server_")?);
                Some(if serving {
                    reader / server
                } else {
                    server / reader
                })
            };
            let all: Vec<f64> = peers.iter().flat_map(|peer| runs(peer, &shares)).collect();
            let ratio = median(&all)?;
            return Some(Self {
                workload: workload.name,
                figure: "CPU time of the other side over ours".into(),
                values: vec![None; peers.len()],
                ratio: Some(ratio),
                goal: goal.ratio,
                runs: all.len(),
            });
        }
        let (name, more) = match goal.field {
            Figure::Rate(name) => (name, true),
            Figure::Cost(name) => (name, false),
            Figure::CpuShare { .. } => return None,
        };
        let measured: Vec<Vec<f64>> = peers
            .iter()
            .map(|peer| runs(peer, &|report: &Report| report.number(name)))
            .collect();
        let values: Vec<Option<f64>> = measured.iter().map(|list| median(list)).collect();
        values.iter().any(Option::is_some).then(|| {
            let ends = values
                .first()
                .copied()
                .flatten()
                .zip(values.last().copied().flatten());
            Self {
                workload: workload.name,
                figure: name.replace('_', " "),
                ratio: ends.map(|(first, last)| if more { last / first } else { first / last }),
                goal: goal.ratio,
                runs: measured.iter().map(Vec::len).min().unwrap_or(0),
                values,
            }
        })
    }

    fn render(&self) -> String {
        let mut text = format!("| {} | {} |", self.workload, self.figure);
        for value in &self.values {
            write!(text, " {} |", value.map_or("–".into(), show)).ok();
        }
        let met = match self.ratio {
            Some(ratio) if ratio >= self.goal => "yes",
            Some(_) => "no",
            None => "–",
        };
        let ratio = self
            .ratio
            .map_or("–".into(), |ratio| format!("{}x", show(ratio)));
        writeln!(
            text,
            " {ratio} | {}x | {met} | {} |",
            show(self.goal),
            self.runs
        )
        .ok();
        text
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Three digits that count.
fn show(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn three_digits_are_shown() {
        assert_eq!(
            [1234.5, 99.95, 9.994, 0.12345].map(show),
            ["1234", "100.0", "9.99", "0.123"]
        );
    }
}
