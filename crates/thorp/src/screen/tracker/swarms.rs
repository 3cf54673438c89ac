//! The tab of swarms: what ordinary BitTorrent clients do at this tracker.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use thorp_node::api::{SwarmTotals, TrackerStatus};
use thorp_node::launch::Tracks;

use crate::wrap::on_screen;

/// The least time over which announces are counted for a rate.
const RATE_OVER: Duration = Duration::from_secs(2);

/// What is shown of the swarms.
#[derive(Debug, Default)]
pub struct SwarmsTab {
    tracks: Tracks,
    totals: SwarmTotals,
    /// How many announces had been answered, and when.
    counted: Option<(u64, Instant)>,
    /// Announces a second, once that is known.
    rate: Option<f64>,
}

impl SwarmsTab {
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
        frame.render_widget(Paragraph::new(lines), area);
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
