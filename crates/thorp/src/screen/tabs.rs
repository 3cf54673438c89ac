//! What is around every tab: a title, the bar with the tabs' names, help, and questions.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::fit::{clip, columns, middle};
use crate::wrap::on_screen;

/// Below this height the bar gives way to the rows.
const LEAST_WITH_BAR: u16 = 7;
/// Below this height the latest message gives way to them as well: it is counted in the bar.
const LEAST_WITH_NEWS: u16 = 12;
/// The widest column of keys in the help.
const KEYS: usize = 16;

/// Whether there is colour. Without it the same is said by bold and inverse text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    pub colour: bool,
}

impl Palette {
    pub fn accent(self) -> Style {
        if self.colour {
            Style::new().fg(Color::Cyan)
        } else {
            bold()
        }
    }

    pub fn dim(self) -> Style {
        if self.colour {
            Style::new().fg(Color::DarkGray)
        } else {
            Style::new()
        }
    }

    /// The style of a row, chosen or not.
    pub fn row(is_chosen: bool) -> Style {
        if is_chosen {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        }
    }
}

pub fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// A key, and what it does.
pub type Hint = (&'static str, &'static str);

/// The parts of the screen.
#[derive(Clone, Copy, Debug)]
pub struct Areas {
    pub title: Rect,
    pub body: Rect,
    news: Rect,
    bar: Rect,
}

/// Divides the screen, with a line for news if there are any.
pub fn areas(area: Rect, has_news: bool) -> Areas {
    let bar = u16::from(area.height >= LEAST_WITH_BAR);
    let news = u16::from(has_news && area.height >= LEAST_WITH_NEWS);
    let [title, body, news, bar] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(news),
        Constraint::Length(bar),
    ])
    .areas(area);
    Areas {
        title,
        body,
        news,
        bar,
    }
}

/// Draws the latest message that was not seen, in a line.
pub fn news(frame: &mut Frame<'_>, areas: Areas, text: Option<&str>, palette: Palette) {
    let Some(text) = text else { return };
    let text = middle(
        &format!("● {}", text.replace('\n', " ")),
        areas.news.width.into(),
    );
    frame.render_widget(Paragraph::new(text).style(palette.accent()), areas.news);
}

/// The names of the tabs, and which of them is shown.
#[derive(Clone, Copy, Debug)]
pub struct TabBar<'a> {
    pub names: &'a [&'a str],
    pub active: usize,
    /// How many messages have not been seen, said at the last tab.
    pub unseen: u64,
}

impl TabBar<'_> {
    /// Returns the number of the tab to which a key leads, if it leads to one.
    pub fn target(&self, key: KeyEvent) -> Option<usize> {
        let count = self.names.len();
        if key
            .modifiers
            .intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
        {
            return None;
        }
        match key.code {
            KeyCode::Char(digit) => {
                let number = usize::try_from(digit.to_digit(10)?).ok()?;
                (1..=count).contains(&number).then(|| number - 1)
            }
            KeyCode::Right | KeyCode::Tab => Some((self.active + 1) % count),
            KeyCode::Left | KeyCode::BackTab => Some((self.active + count - 1) % count),
            _ => None,
        }
    }

    /// Draws the bar. Where it is too long, the other tabs become numbers.
    pub fn draw(&self, frame: &mut Frame<'_>, areas: Areas, palette: Palette) {
        let width = usize::from(areas.bar.width);
        let forms = [
            self.spans("  ", "   ? help  q leave", true),
            self.spans(" ", "  ? help q leave", true),
            self.spans(" ", "  ?", true),
            self.spans(" ", "  ? help", false),
            self.spans(" ", "", false),
        ];
        let length =
            |spans: &[(String, bool)]| spans.iter().map(|(text, _)| columns(text)).sum::<usize>();
        let mut forms = forms.into_iter();
        let Some(fitting) = forms.find(|spans| length(spans) <= width) else {
            return;
        };
        let spans = fitting.into_iter().map(|(text, is_active)| {
            let style = if is_active {
                Palette::row(true).patch(bold())
            } else {
                palette.dim()
            };
            Span::styled(text, style)
        });
        frame.render_widget(Line::from(spans.collect::<Vec<_>>()), areas.bar);
    }

    fn spans(&self, gap: &str, hints: &str, has_names: bool) -> Vec<(String, bool)> {
        let mut spans = Vec::new();
        for (at, name) in self.names.iter().enumerate() {
            let is_active = at == self.active;
            let mut text = (at + 1).to_string();
            if has_names || is_active {
                text = format!("{text} {name}");
            }
            if at + 1 == self.names.len() && self.unseen > 0 && !is_active {
                text = format!("{text} ({})", self.unseen);
            }
            spans.push((text, is_active));
            spans.push((gap.to_owned(), false));
        }
        spans.pop();
        spans.push((hints.to_owned(), false));
        spans
    }
}

/// Draws the first line.
pub fn title(frame: &mut Frame<'_>, area: Rect, text: &str) {
    let text = middle(text, usize::from(area.width));
    frame.render_widget(Paragraph::new(text).style(bold()), area);
}

/// Draws the help: what the keys do here, and everywhere.
pub fn help(frame: &mut Frame<'_>, area: Rect, here: &[Hint], everywhere: &[Hint]) {
    let width = usize::from(area.width);
    let mut lines = Vec::new();
    for (keys, what) in here.iter().chain(everywhere) {
        let first = format!("  {keys:KEYS$} ");
        let rest = " ".repeat(columns(&first));
        lines.extend(
            on_screen(what, width, &first, &rest)
                .lines()
                .map(str::to_owned),
        );
    }
    let lines = lines.into_iter().map(Line::from).collect::<Vec<_>>();
    frame.render_widget(Paragraph::new(lines), area);
}

/// Whether a key means that the user wants to end something: Ctrl-C or Ctrl-D.
pub fn is_interrupt(key: KeyEvent) -> bool {
    matches!(key.code, KeyCode::Char('c' | 'd')) && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// Whether a key means that the user wants to suspend the program: Ctrl-Z.
pub fn is_suspend(key: KeyEvent) -> bool {
    key.code == KeyCode::Char('z') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// The widest line: beyond it a name is too far from what is said of it.
const WIDEST: usize = 120;

/// The least room for what a line is about.
const LEAST_FIRST: usize = 12;

/// Returns a line with `first` at its left end, cut if need be, and `cells` at its right end, each
/// right-aligned in its width; without the last of them where they leave it no room.
pub fn row(first: &str, cells: &[(String, usize)], width: usize) -> String {
    let width = width.min(WIDEST);
    let room_beside = |cells: &[(String, usize)]| {
        let taken: usize = cells.iter().map(|(_, width)| width + 2).sum();
        width.saturating_sub(taken)
    };
    let mut cells = cells;
    while let Some((_, fewer)) = cells.split_last()
        && room_beside(cells) < LEAST_FIRST
    {
        cells = fewer;
    }
    let room = room_beside(cells);
    let first = match room {
        0 => String::new(),
        room => middle(first, room),
    };
    let mut line = first.clone() + &" ".repeat(room.saturating_sub(columns(&first)));
    for (cell, width) in cells {
        let cell = clip(cell, *width);
        let space = width.saturating_sub(columns(&cell)) + 2;
        line.push_str(&" ".repeat(space));
        line.push_str(&cell);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen;

    const NAMES: [&str; 6] = ["Menu", "Files", "Transfers", "Peers", "Claim", "Messages"];

    fn drawn(bar: &TabBar<'_>, width: u16) -> String {
        let palette = Palette { colour: false };
        let text = screen::drawn(width, 7, |frame| {
            bar.draw(frame, areas(frame.area(), false), palette);
        });
        text.lines().next_back().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_bar_fits_any_width() {
        let bar = TabBar {
            names: &NAMES,
            active: 1,
            unseen: 2,
        };
        for (width, expected) in [
            (
                120,
                "1 Menu  2 Files  3 Transfers  4 Peers  5 Claim  6 Messages (2)   ? help  q leave",
            ),
            (
                75,
                "1 Menu 2 Files 3 Transfers 4 Peers 5 Claim 6 Messages (2)  ? help q leave",
            ),
            (
                60,
                "1 Menu 2 Files 3 Transfers 4 Peers 5 Claim 6 Messages (2)  ?",
            ),
            (50, "1 2 Files 3 4 5 6 (2)  ? help"),
            (24, "1 2 Files 3 4 5 6 (2)"),
            (5, ""),
        ] {
            assert_eq!(drawn(&bar, width), expected);
        }
    }

    #[test]
    fn digits_arrows_and_tab_lead_to_tabs() {
        let bar = TabBar {
            names: &NAMES,
            active: 5,
            unseen: 0,
        };
        let target = |code: KeyCode| bar.target(code.into());
        assert_eq!(target(KeyCode::Char('1')), Some(0));
        assert_eq!(target(KeyCode::Char('6')), Some(5));
        assert_eq!(target(KeyCode::Char('7')), None);
        assert_eq!(target(KeyCode::Char('0')), None);
        assert_eq!(target(KeyCode::Tab), Some(0));
        assert_eq!(target(KeyCode::Left), Some(4));
        let with_control = KeyEvent::new(KeyCode::Char('1'), KeyModifiers::CONTROL);
        assert_eq!(bar.target(with_control), None);
    }

    #[test]
    fn a_row_is_as_wide_as_its_list() {
        let cells = [("1.2 KiB".to_owned(), 9), ("oak".to_owned(), 4)];
        assert_eq!(row("a.txt", &cells, 30), "a.txt            1.2 KiB   oak");
        for width in 17..60 {
            assert_eq!(
                columns(&row("写真 of a rather long name", &cells, width)),
                width
            );
        }
        assert_eq!(columns(&row("a.txt", &cells, 300)), WIDEST);
        assert_eq!(row("a.txt", &cells, 28), "a.txt                1.2 KiB");
        assert_eq!(row("a.txt", &cells, 20).trim_end(), "a.txt");
    }
}
