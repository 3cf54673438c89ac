//! The tab of peers: at a peer its neighbours, at a tracker all that are present.

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use thorp_node::printable::printable;
use thorp_node::snapshot::{Ask, Page, Part, SnapshotRow, TrackedPeer};

use super::list::List;
use super::tabs::{Hint, Palette, bold, row};
use crate::fit::{clip, middle, names};
use crate::units;
use crate::wrap::on_screen;

/// The most peers that are shown. A peer never has so many neighbours; a tracker's tables show all.
const MOST: usize = 1000;
/// The most names of files, and of neighbours, that the lower part tells of the chosen peer.
const NAMES: usize = 20;
/// The lines of that part.
const DETAIL: u16 = 4;
/// The height from which on there is room for it.
const LEAST_WITH_DETAIL: u16 = 9;

pub const HINTS: [Hint; 1] = [("↑ ↓", "choose a peer, of which more is told below")];

/// The peers, and which of them is chosen.
#[derive(Debug, Default)]
pub struct PeersTab {
    rows: Vec<TrackedPeer>,
    total: u64,
    list: List,
}

impl PeersTab {
    pub fn ask() -> Ask {
        Ask {
            names: NAMES,
            ..Ask::first(Part::Peers, MOST)
        }
    }

    pub fn take(&mut self, page: Page) {
        let chosen = self.chosen().map(|peer| peer.member.id.clone());
        self.total = page.total;
        self.rows = page
            .rows
            .into_iter()
            .filter_map(|row| match row {
                SnapshotRow::Peer(peer) => Some(peer),
                _ => None,
            })
            .collect();
        // The choice follows a peer, not a number.
        let is_chosen = |peer: &TrackedPeer| Some(&peer.member.id) == chosen.as_ref();
        if let Some(at) = self.rows.iter().position(is_chosen) {
            self.list.choose(at);
        }
    }

    /// Returns the peer that is chosen.
    pub fn chosen(&self) -> Option<&TrackedPeer> {
        self.rows.get(self.list.chosen()).or(self.rows.last())
    }

    pub fn on_key(&mut self, key: KeyCode) {
        self.list.on_key(key, self.rows.len());
    }

    /// Draws the peers; `nobody` where there are none.
    pub fn draw(&mut self, frame: &mut Frame<'_>, area: Rect, nobody: &str, palette: Palette) {
        if self.rows.is_empty() {
            let nobody = on_screen(nobody, usize::from(area.width), "", "");
            frame.render_widget(Paragraph::new(nobody).style(palette.dim()), area);
            return;
        }
        let detail = if area.height >= LEAST_WITH_DETAIL {
            DETAIL
        } else {
            0
        };
        let [head, list, detail] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(detail),
        ])
        .areas(area);
        let width = usize::from(area.width);
        let cells = [("Files", 8), ("Size", 9), ("Neighbours", 10)];
        let heads = cells.map(|(head, width)| (head.to_owned(), width));
        let title = row("Peer", &heads, width);
        frame.render_widget(Paragraph::new(title).style(bold()), head);
        let visible = self.list.visible(self.rows.len(), usize::from(list.height));
        let chosen = self.list.chosen();
        let lines = visible.map(|at| {
            let peer = &self.rows[at];
            let cells = [
                (peer.files.to_string(), 8),
                (units::size(peer.bytes), 9),
                (peer.neighbours_total.to_string(), 10),
            ];
            Line::styled(row(&label(peer), &cells, width), Palette::row(at == chosen))
        });
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), list);
        if detail.height > 0 {
            self.draw_detail(frame, detail, palette);
        }
    }

    fn draw_detail(&self, frame: &mut Frame<'_>, area: Rect, palette: Palette) {
        let Some(peer) = self.chosen() else { return };
        let width = usize::from(area.width);
        let more = self.total.saturating_sub(self.rows.len() as u64);
        let rule = if more > 0 {
            format!("── {more} more, in the tables ")
        } else {
            String::new()
        };
        let rule = format!("{rule:─<width$}");
        let near = peer.neighbours.iter().map(|near| match near.address {
            Some(address) => near.name.clone().unwrap_or(address.ip().to_string()),
            None => near.id.chars().take(8).collect(),
        });
        let near: Vec<String> = near.collect();
        let listed = |head: &str, of: &[String], total| {
            let room = width.saturating_sub(head.len());
            let list = names(of, total, room, 1);
            format!("{head}{}", list.first().map_or("", String::as_str))
        };
        let lines = vec![
            Line::styled(clip(&rule, width), palette.dim()),
            Line::from(middle(&format!("Key        {}", peer.member.id), width)),
            Line::from(listed("Files      ", &peer.names, peer.files)),
            Line::from(listed("Neighbours ", &near, peer.neighbours_total)),
        ];
        frame.render_widget(Paragraph::new(lines), area);
    }
}

fn label(peer: &TrackedPeer) -> String {
    let address = match peer.place() {
        Some(place) if peer.shares_address => place.to_string(),
        _ => peer.member.address.clone(),
    };
    match &peer.member.name {
        Some(name) => format!("{} {}", printable(&address), printable(name)),
        None => printable(&address).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen;
    use crate::story::{self, Shown};

    fn drawn(peers: &mut PeersTab, width: u16, height: u16) -> String {
        let palette = Palette { colour: false };
        screen::drawn(width, height, |frame| {
            peers.draw(frame, frame.area(), "Nobody.", palette);
        })
    }

    fn peers(shown: &Shown) -> PeersTab {
        let mut peers = PeersTab::default();
        peers.take(shown.page(&PeersTab::ask()));
        peers
    }

    #[test]
    fn the_peers_of_the_story_and_what_is_told_of_the_chosen_one() {
        let mut peers = peers(&story::then());
        let size = units::size(peers.rows[0].bytes);
        peers.on_key(KeyCode::Down);
        let text = drawn(&mut peers, 60, 9);
        let rows: Vec<_> = text.lines().collect();
        assert!(
            rows[0].starts_with("Peer ") && rows[0].ends_with("Neighbours"),
            "{text}"
        );
        assert!(
            rows[1].starts_with("192.168.198.137") && rows[1].ends_with('2'),
            "{text}"
        );
        assert!(rows[1].contains(&size), "{text}");
        assert!(
            rows[6].starts_with("Key        192.168.198.138aaa"),
            "{text}"
        );
        assert_eq!(rows[7], "Files      1.txt 2.txt 3.txt 5.txt client");
        assert_eq!(rows[8], "Neighbours 192.168.198.137 192.168.198.139");
    }

    #[test]
    fn the_choice_follows_a_peer_that_others_come_before() {
        let mut before = peers(&story::alone());
        before.take(story::then().page(&PeersTab::ask()));
        before.on_key(KeyCode::End);
        let chosen = before.chosen().map(|peer| peer.member.address.clone());
        assert_eq!(chosen.as_deref(), Some("192.168.198.139"));
        let mut shown = story::then();
        shown.peers.remove(0);
        before.take(shown.page(&PeersTab::ask()));
        let chosen = before.chosen().map(|peer| peer.member.address.clone());
        assert_eq!(chosen.as_deref(), Some("192.168.198.139"));
    }

    #[test]
    fn there_may_be_nobody_and_hardly_any_room() {
        let mut nobody = peers(&Shown::default());
        assert_eq!(drawn(&mut nobody, 10, 1), "Nobody.\n");
        for (width, height) in [(1, 1), (5, 3), (20, 9), (200, 60)] {
            drawn(&mut peers(&story::then()), width, height);
        }
    }
}
