//! The tab of swarms: what ordinary BitTorrent clients do at this tracker.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use thorp_node::api::{SwarmTotals, TrackerStatus};
use thorp_node::launch::Tracks;
use thorp_node::printable::printable;
use thorp_node::snapshot::{Ask, Page, Part, SnapshotRow, SwarmRow};

use crate::screen::tabs::{bold, row};
use crate::wrap::on_screen;

/// The least time over which announces are counted for a rate.
const RATE_OVER: Duration = Duration::from_secs(2);

/// The width of a count.
const COUNT: usize = 9;
/// The width of the beginning of an info-hash.
const HASH: usize = 8;
/// The least width of a screen on which it is shown beside a name.
const LEAST_WITH_HASH: usize = 75;
/// The most torrents that are shown.
const MOST: usize = 100;

/// What is shown of the swarms.
#[derive(Debug, Default)]
pub struct SwarmsTab {
    /// The torrents with the most clients.
    busiest: Vec<SwarmRow>,
    tracks: Tracks,
    totals: SwarmTotals,
    /// How many announces had been answered, and when.
    counted: Option<(u64, Instant)>,
    /// Announces a second, once that is known.
    rate: Option<f64>,
}

impl SwarmsTab {
    pub fn ask() -> Ask {
        Ask::first(Part::Swarms, MOST)
    }

    pub fn take(&mut self, page: Page) {
        let rows = page.rows.into_iter().filter_map(|row| match row {
            SnapshotRow::Swarm(row) => Some(row),
            _ => None,
        });
        self.busiest = rows.collect();
    }

    pub fn see(&mut self, status: &TrackerStatus) {
        self.see_at(status, Instant::now());
    }

    fn see_at(&mut self, status: &TrackerStatus, now: Instant) {
        (self.tracks, self.totals) = (status.bittorrent, status.swarms);
        let announces = self.totals.announces;
        let (before, at) = *self.counted.get_or_insert((announces, now));
        let over = now.saturating_duration_since(at);
        if over >= RATE_OVER {
            #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
            let count = announces.saturating_sub(before) as f64;
            self.rate = Some(count / over.as_secs_f64());
            self.counted = Some((announces, now));
        }
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let width = usize::from(area.width);
        let text = on_screen(&self.text(), width, "", "");
        let lines: Vec<_> = text
            .lines()
            .map(|line| Line::from(line.to_owned()))
            .collect();
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        let [above, head, list] = Layout::vertical([
            Constraint::Length(height),
            Constraint::Length(2),
            Constraint::Fill(1),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(lines), above);
        if self.busiest.is_empty() || list.height == 0 {
            return;
        }
        let heads = line(
            "Busiest torrents",
            "Hash",
            ["Seeders", "Leechers", "Completed"],
            width,
        );
        frame.render_widget(Paragraph::new(format!("\n{heads}")).style(bold()), head);
        let rows = self.busiest.iter().take(list.height.into()).map(|swarm| {
            let counts = [swarm.seeders, swarm.leechers, swarm.downloaded];
            let name = swarm.name.as_ref().map(|name| printable(name).to_string());
            // Of folders, and of what no member has, the tracker is told no name.
            let name = name.unwrap_or_else(|| swarm.info_hash.clone());
            Line::from(line(&name, &swarm.info_hash, counts, width))
        });
        frame.render_widget(Paragraph::new(rows.collect::<Vec<_>>()), list);
    }

    fn text(&self) -> String {
        let which = match self.tracks {
            Tracks::Off => {
                return "Ordinary BitTorrent clients get no answer from this tracker.\n\
                        To serve what the group shares to them: thorp tracker --bittorrent\n\
                        To track any torrent: thorp tracker --bittorrent=any"
                    .into();
            }
            Tracks::Group => "what the group shares",
            Tracks::Any => "any torrent",
        };
        let totals = self.totals;
        let rate = self
            .rate
            .map_or(String::new(), |rate| format!(", {rate:.1} a second now"));
        format!(
            "Ordinary BitTorrent clients are served: {which}.\n\n\
             {:>10}  {}\n{:>10}  {}\n{:>10}  {}\n{:>10}  {} answered since the start{rate}\n\n\
             A client counts once in each of its torrents.",
            totals.torrents,
            plural(totals.torrents, "torrent"),
            totals.seeders,
            plural(totals.seeders, "seeder"),
            totals.leechers,
            plural(totals.leechers, "leecher"),
            totals.announces,
            plural(totals.announces, "announce"),
        )
    }
}

/// A line about a torrent. Its hash is cut to what tells torrents of one file apart, and left out
/// where the name needs its room.
fn line(name: &str, hash: &str, counts: [impl ToString; 3], width: usize) -> String {
    let counts = counts.map(|count| (count.to_string(), COUNT));
    let hash = (hash.chars().take(HASH).collect(), HASH);
    let hash = (width >= LEAST_WITH_HASH).then_some(hash);
    row(
        name,
        &hash.into_iter().chain(counts).collect::<Vec<_>>(),
        width,
    )
}

fn plural(count: u64, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{thing}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{samples, screen};

    fn drawn(swarms: &SwarmsTab) -> String {
        screen::drawn(80, 9, |frame| swarms.draw(frame, frame.area()))
    }

    #[test]
    fn what_clients_do_is_counted_with_a_rate() {
        let mut status = samples::tracker_status();
        status.bittorrent = Tracks::Group;
        status.swarms = SwarmTotals {
            torrents: 1,
            seeders: 2,
            leechers: 30,
            announces: 100,
        };
        let (mut swarms, begun) = (SwarmsTab::default(), Instant::now());
        swarms.see_at(&status, begun);
        let text = drawn(&swarms);
        assert!(text.contains("what the group shares"), "{text}");
        assert!(text.contains("\n         1  torrent\n"), "{text}");
        assert!(text.contains("\n        30  leechers\n"), "{text}");
        assert!(!text.contains("a second"), "{text}");
        let swarm = |digit: &str, seeders| {
            SnapshotRow::Swarm(SwarmRow {
                info_hash: digit.repeat(40),
                name: (digit == "b").then(|| "harbour\u{1b}.mkv".into()),
                seeders,
                leechers: 3,
                downloaded: 1,
            })
        };
        swarms.take(Page {
            rows: vec![swarm("a", 20), swarm("b", 7)],
            ..Page::default()
        });
        let text = screen::drawn(60, 15, |frame| swarms.draw(frame, frame.area()));
        let rows = text.lines().skip_while(|line| !line.starts_with("Busiest"));
        let rows: Vec<_> = rows.filter(|line| !line.is_empty()).collect();
        assert_eq!(rows.len(), 3, "{text}");
        assert!(rows[0].ends_with("Seeders   Leechers  Completed"), "{text}");
        assert!(rows[1].starts_with("aaaa"), "{text}");
        assert!(
            rows[1].ends_with("aaaa         20          3          1"),
            "{text}"
        );
        assert!(rows[2].starts_with("harbour\\x1b.mkv "), "{text}");
        let text = screen::drawn(80, 15, |frame| swarms.draw(frame, frame.area()));
        assert!(text.contains("  bbbbbbbb  "), "{text}");
        // Where there is no room there is none of them.
        assert!(!drawn(&swarms).contains("aaaa"));
        status.swarms.announces = 150;
        swarms.see_at(&status, begun + Duration::from_secs(4));
        assert!(
            drawn(&swarms).contains("12.5 a second now"),
            "{}",
            drawn(&swarms)
        );
    }

    #[test]
    fn it_says_how_to_serve_clients_where_none_is_served() {
        let mut status = samples::tracker_status();
        status.bittorrent = Tracks::Off;
        let mut swarms = SwarmsTab::default();
        swarms.see(&status);
        assert!(drawn(&swarms).contains("thorp tracker --bittorrent"));
    }
}
