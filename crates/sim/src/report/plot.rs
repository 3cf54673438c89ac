//! What a report shows as pictures.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::stats::mean;
use super::{ArmPlayed, Varied};
use crate::chance::as_f64;
use crate::run::Summary;

const SIZE: (u32, u32) = (900, 480);
const TITLE: (&str, u32) = ("sans-serif", 22);
const TEXT: (&str, u32) = ("sans-serif", 15);

/// The share of lookups that spare the tracker, by arm.
pub fn spared(to: &Path, arms: &[ArmPlayed]) -> Result<()> {
    let title = "Lookups that never reached the tracker, of those that could be answered (%)";
    let oracle = arms
        .first()
        .map(|played| of(&played.steady, |at| at.region_oracle) * 100.0);
    let line = oracle.map(|at| (at, "what all machines of the region together have"));
    bars(to, title, arms, |at| at.spared * 100.0, 100.0, line)
}

/// Messages to the tracker, by arm.
pub fn tracker(to: &Path, arms: &[ArmPlayed]) -> Result<()> {
    let title = "Messages of every kind to the tracker, by a peer in an hour online";
    let most = arms
        .iter()
        .map(|played| of(&played.steady, |at| at.to_tracker));
    let most = most.fold(100.0, f64::max);
    let line = Some((100.0, "the aim: 100"));
    bars(to, title, arms, |at| at.to_tracker, most, line)
}

/// The share of lookups that spare the tracker, hour by hour.
pub fn hours(to: &Path, arms: &[ArmPlayed]) -> Result<()> {
    let title = "Lookups that never reached the tracker, hour by hour (%)";
    let lines: Vec<(String, Vec<(f64, f64)>)> = arms
        .iter()
        .map(|played| {
            let hours = played.spared_by_hour.first().map_or(0, Vec::len);
            let at = |hour: usize| {
                let seeds = played.spared_by_hour.iter();
                let values: Vec<f64> = seeds.filter_map(|hours| hours.get(hour).copied()).collect();
                (as_f64(hour as u64) + 0.5, mean(&values).of * 100.0)
            };
            (played.arm.name.to_owned(), (0..hours).map(at).collect())
        })
        .collect();
    curves(to, title, "hour", &lines)
}

/// What varying one thing does to the share, and to what the region has.
pub fn variation(to: &Path, varied: &Varied) -> Result<()> {
    let title = format!(
        "Lookups that never reached the tracker, by {} (%)",
        varied.what
    );
    let line = |name: &str, value: fn(&Summary) -> f64| {
        let points = varied.values.iter();
        let points = points.map(|(at, seeds)| (*at, of(seeds, value) * 100.0));
        (name.to_owned(), points.collect())
    };
    let lines = [
        line("thorp", |at| at.spared),
        line("what the region has", |at| at.region_oracle),
    ];
    curves(to, &title, varied.what, &lines)
}

fn of(seeds: &[Summary], value: fn(&Summary) -> f64) -> f64 {
    mean(&seeds.iter().map(value).collect::<Vec<_>>()).of
}

fn bars(
    to: &Path,
    title: &str,
    arms: &[ArmPlayed],
    value: fn(&Summary) -> f64,
    most: f64,
    line: Option<(f64, &str)>,
) -> Result<()> {
    let area = SVGBackend::new(to, SIZE).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let count = as_f64(arms.len() as u64);
        let mut chart = ChartBuilder::on(&area)
            .caption(title, TITLE)
            .margin(16)
            .x_label_area_size(32)
            .y_label_area_size(100)
            .build_cartesian_2d(0.0..most * 1.08, 0.0..count)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .label_style(TEXT)
            .draw()?;
        for (place, played) in arms.iter().rev().enumerate() {
            let at = of(&played.steady, value);
            let place = as_f64(place as u64);
            let (low, high) = (place + 0.2, place + 0.8);
            let is_own = played.arm.name == "thorp";
            let color = if is_own {
                RGBColor(30, 110, 180)
            } else {
                RGBColor(150, 170, 190)
            };
            chart.draw_series([Rectangle::new([(0.0, low), (at, high)], color.filled())])?;
            let middle = place + 0.55;
            chart.draw_series([Text::new(
                format!("{at:.0}"),
                (at + most * 0.005, middle),
                TEXT,
            )])?;
            let (x, y) = chart.backend_coord(&(0.0, middle));
            area.draw(&Text::new(played.arm.name, (x - 95, y), TEXT))?;
        }
        if let Some((at, what)) = line {
            let ends = vec![(at, 0.0), (at, count)];
            chart.draw_series([PathElement::new(ends, RED.stroke_width(2))])?;
            let (x, y) = chart.backend_coord(&(at, count));
            let left = i32::try_from(what.len()).unwrap_or(0) * 7;
            let x = if at > most / 2.0 { x - left } else { x + 6 };
            area.draw(&Text::new(what, (x, y - 2), TEXT))?;
        }
        area.present()?;
        Ok(())
    };
    drawn().map_err(|error| anyhow!("{}: {error}", to.display()))
}

fn curves(to: &Path, title: &str, of: &str, lines: &[(String, Vec<(f64, f64)>)]) -> Result<()> {
    let area = SVGBackend::new(to, SIZE).into_drawing_area();
    let drawn = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let all = lines.iter().flat_map(|(_, points)| points);
        let most = all.map(|(at, _)| *at).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(title, TITLE)
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..most * 1.02, 0.0..102.0)?;
        chart.configure_mesh().x_desc(of).label_style(TEXT).draw()?;
        for (place, (name, points)) in lines.iter().enumerate() {
            let color = Palette99::pick(place).stroke_width(2);
            let drawn = chart.draw_series(LineSeries::new(points.iter().copied(), color))?;
            drawn
                .label(name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], color));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .label_font(TEXT)
            .position(SeriesLabelPosition::LowerRight)
            .draw()?;
        area.present()?;
        Ok(())
    };
    drawn().map_err(|error| anyhow!("{}: {error}", to.display()))
}
