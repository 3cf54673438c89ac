//! What is put into tables, and how it is written.

use std::fmt::Write;

use super::stats::{Mean, difference, mean};
use super::{ArmPlayed, Varied};
use crate::arm::Arm;
use crate::chance::{as_f64, ratio};
use crate::run::Summary;
use crate::traffic::FrameKind;
use crate::workload::Workload;

/// A row of the table: what it says, of what, and how it is written.
struct Row {
    what: &'static str,
    of: fn(&Summary) -> f64,
    unit: Unit,
}

#[derive(Clone, Copy)]
enum Unit {
    Percent,
    /// With so many digits.
    Number(usize),
}

#[expect(clippy::too_many_lines, reason = "a row each")]
fn rows() -> Vec<Row> {
    use Unit::{Number, Percent};
    let row = |what, of, unit| Row { what, of, unit };
    vec![
        row("spared, of answerable lookups", |of| of.spared, Percent),
        row("spared, of all lookups", spared_of_all, Percent),
        row(
            "the same as a share of the region oracle",
            of_oracle,
            Percent,
        ),
        row("region oracle", |of| of.region_oracle, Percent),
        row(
            "best 8 neighbours of each hour, at least",
            |of| of.best_neighbours.0.at_least,
            Percent,
        ),
        row(
            "best 8 neighbours of each hour, at most",
            |of| of.best_neighbours.0.at_most,
            Percent,
        ),
        row(
            "best 32 neighbours of each hour, at least",
            |of| of.best_neighbours.1.at_least,
            Percent,
        ),
        row("everyone online, of all lookups", everyone_online, Percent),
        row(
            "a cache of the tracker's answers alone",
            |of| of.cached,
            Percent,
        ),
        row("spared, of lookups by path", |of| of.spared_by.0, Percent),
        row(
            "spared, of lookups by base name",
            |of| of.spared_by.1,
            Percent,
        ),
        row(
            "what neighbours and their neighbours could tell",
            |of| of.within_reach,
            Percent,
        ),
        row("how many members these are", |of| of.reached, Number(0)),
        row("answerable, and not fetched", |of| of.missed, Percent),
        row(
            "tracker messages a peer and hour online",
            |of| of.to_tracker,
            Number(0),
        ),
        row("of these signs of life", |of| of.beats, Number(0)),
        row(
            "of these what was fetched, and neighbours",
            |of| to_tracker(of, &LISTED),
            Number(0),
        ),
        row(
            "of these questions",
            |of| to_tracker(of, &[FrameKind::Find]),
            Number(0),
        ),
        row("questions to peers a lookup", |of| of.questions, Number(2)),
        row(
            "questions in advance a peer and hour online",
            |of| of.compared,
            Number(0),
        ),
        row("bytes a second, mean", |of| of.bytes, Number(0)),
        row(
            "of these for listings and their changes",
            |of| bytes_by(of, &LISTED),
            Number(0),
        ),
        row(
            "of these for questions and their answers",
            |of| bytes_by(of, &[FrameKind::Find, FrameKind::Compare, FrameKind::Found]),
            Number(0),
        ),
        row(
            "bytes a second, in the middle",
            |of| of.bytes_of.0,
            Number(0),
        ),
        row(
            "bytes a second, 99 of 100 below",
            |of| of.bytes_of.1,
            Number(0),
        ),
        row(
            "ms to fetch, in the middle",
            |of| millis(of.latency.0),
            Number(0),
        ),
        row(
            "ms to fetch, 99 of 100 below",
            |of| millis(of.latency.1),
            Number(0),
        ),
        row(
            "of these without the tracker: in the middle",
            |of| millis(of.latency_near.0),
            Number(0),
        ),
        row("95 of 100 below", |of| millis(of.latency_near.1), Number(0)),
        row(
            "by way of the tracker: in the middle",
            |of| millis(of.latency_far.0),
            Number(0),
        ),
        row(
            "by way of it, 95 of 100 below",
            |of| millis(of.latency_far.1),
            Number(0),
        ),
        row("holders asked in vain a fetch", |of| of.in_vain, Number(3)),
        row(
            "dials in vain a peer and hour online",
            |of| of.dials_in_vain,
            Number(1),
        ),
        row(
            "s until the tracker notices a crash",
            |of| of.noticed.0.as_secs_f64(),
            Number(0),
        ),
        row(
            "s until a neighbour does",
            |of| of.noticed.1.as_secs_f64(),
            Number(0),
        ),
        row(
            "links given up by mistake",
            |of| as_f64(of.false_evictions),
            Number(0),
        ),
        row("Gini of files sent", |of| of.gini, Number(2)),
        row("KiB of listings a peer", |of| of.memory / 1024.0, Number(0)),
    ]
}

/// All tables of a report.
pub fn report(workload: &Workload, seeds: &[u64], arms: &[ArmPlayed], varied: &[Varied]) -> String {
    let mut text = String::new();
    let all = u32::from(workload.regions) * workload.machines;
    let _ = write!(
        text,
        "# What neighbours are worth: the tables\n\n\
         Written by `thorp-sim report`; [what they mean](README.md).\n\n\
         {all} machines in {} regions, about half of them online; {} names a region, popularity \
         Zipf-Mandelbrot with alpha {} and q {}; {} of the requests from the own region's names, the \
         rest from all; {} requests an hour online; {} h, of which the last third is the steady \
         state. Seeds {seeds:?}; every arm plays the same requests and the same comings and goings. \
         Behind ± is half the 95 % interval of the mean over seeds.\n",
        workload.regions,
        workload.names,
        workload.alpha,
        workload.q,
        workload.locality,
        workload.requests,
        workload.length.as_secs() / 3600,
    );
    text += "\n## The arms\n\n";
    for played in arms {
        let _ = writeln!(
            text,
            "- **{}**: {}. {}.",
            played.arm.name, played.arm.what, played.speed
        );
    }
    text += "\n## Steady state\n\n";
    text += &of_arms(arms, |played| &played.steady);
    let _ = write!(
        text,
        "\n## Steady state, compared with `{}`\n\nMeans of paired differences: each seed with itself.\n\n",
        arms[0].arm.name
    );
    text += &compared(arms);
    text += "\n## Cold start: the first two hours\n\n";
    text += &of_arms(arms, |played| &played.cold);
    for varied in varied {
        let _ = write!(text, "\n## `thorp`, with another {}\n\n", varied.what);
        text += &of_values(varied);
    }
    text
}

/// A column for each run.
pub fn side_by_side(runs: &[(Arm, Summary)]) -> String {
    let heads: Vec<String> = runs.iter().map(|(arm, _)| arm.name.to_owned()).collect();
    let columns: Vec<_> = runs
        .iter()
        .map(|(_, summary)| vec![summary.clone()])
        .collect();
    table(&heads, &columns.iter().collect::<Vec<_>>())
}

/// A column for each arm.
fn of_arms(arms: &[ArmPlayed], summaries: impl Fn(&ArmPlayed) -> &Vec<Summary>) -> String {
    let heads: Vec<String> = arms
        .iter()
        .map(|played| played.arm.name.to_owned())
        .collect();
    let columns: Vec<&Vec<Summary>> = arms.iter().map(summaries).collect();
    table(&heads, &columns)
}

fn of_values(varied: &Varied) -> String {
    let heads: Vec<String> = varied
        .values
        .iter()
        .map(|(value, _)| value.to_string())
        .collect();
    let columns: Vec<&Vec<Summary>> = varied.values.iter().map(|(_, of)| of).collect();
    table(&heads, &columns)
}

fn table(heads: &[String], columns: &[&Vec<Summary>]) -> String {
    let mut text = format!(
        "| | {} |\n|---{}|\n",
        heads.join(" | "),
        "|---:".repeat(heads.len())
    );
    for row in rows() {
        let cells = columns.iter().map(|column| {
            let values: Vec<f64> = column.iter().map(row.of).collect();
            row.unit.written(mean(&values))
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "| {} | {} |", row.what, cells.join(" | "));
    }
    text
}

fn compared(arms: &[ArmPlayed]) -> String {
    let heads: Vec<&str> = arms[1..].iter().map(|played| played.arm.name).collect();
    let mut text = format!(
        "| | {} |\n|---{}|\n",
        heads.join(" | "),
        "|---:".repeat(heads.len())
    );
    for row in rows() {
        let from: Vec<f64> = arms[0].steady.iter().map(row.of).collect();
        let cells = arms[1..].iter().map(|played| {
            let values: Vec<f64> = played.steady.iter().map(row.of).collect();
            row.unit.written(difference(&values, &from))
        });
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(text, "| {} | {} |", row.what, cells.join(" | "));
    }
    text
}

impl Unit {
    fn written(self, mean: Mean) -> String {
        let (factor, digits, sign) = match self {
            Self::Percent => (100.0, 1, " %"),
            Self::Number(digits) => (1.0, digits, ""),
        };
        let of = mean.of * factor;
        match mean.give_or_take {
            Some(width) => format!("{of:.digits$} ± {:.digits$}{sign}", width * factor),
            None => format!("{of:.digits$}{sign}"),
        }
    }
}

/// What no machine online has counts as asked of the tracker.
fn spared_of_all(of: &Summary) -> f64 {
    let all = of.answerable + of.unanswerable;
    of.spared * as_f64(of.answerable as u64) / as_f64(all.max(1) as u64)
}

/// What some machine online has, of all lookups: no way to find files exceeds it.
fn everyone_online(of: &Summary) -> f64 {
    ratio(of.answerable, of.answerable + of.unanswerable)
}

/// Above 1 where the file is found in another region.
fn of_oracle(of: &Summary) -> f64 {
    of.spared / of.region_oracle.max(1e-9)
}

/// Updates that are no mere signs of life.
const LISTED: [FrameKind; 3] = [FrameKind::Update, FrameKind::Listing, FrameKind::Neighbours];

fn to_tracker(of: &Summary, kinds: &[FrameKind]) -> f64 {
    let its = of.messages_by.iter();
    let its = its.filter(|(kind, ..)| kinds.contains(kind));
    its.map(|(_, messages, _)| messages).sum()
}

fn bytes_by(of: &Summary, kinds: &[FrameKind]) -> f64 {
    let its = of.bytes_by.iter().filter(|(kind, _)| kinds.contains(kind));
    its.map(|(_, bytes)| bytes).sum()
}

fn millis(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
