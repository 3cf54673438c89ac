//! Figures of the node, for Prometheus.
//!
//! They are read from the snapshot when they are asked for, so that nothing is counted twice. No
//! label has a name of a member or a file: their number is bounded, and what a monitoring system
//! keeps may be read by people who are not members.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use thorp_node::api::{Lookups, Offered, Status, TrackerStatus};
use thorp_node::snapshot::{Ask, CountsRow, FilesMoved, LeftOut, Part, SnapshotRow};

use crate::door;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// Returns the route, which the page and programs with the token may ask.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/metrics", get(metrics))
        .route_layer(from_fn_with_state(Arc::clone(shared), door::for_readers))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Result<Response, Refusal> {
    let asks = [Part::Node, Part::Counts, Part::Share].map(|part| Ask::first(part, 1));
    let pages = shared.node.viewer.pages(asks).await;
    let pages = pages.ok_or(Refusal::Stopping)?;
    let mut figures = Figures::default();
    for row in pages.into_iter().flat_map(|page| page.rows) {
        figures.add_row(&row);
    }
    let kind = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    Ok((kind, figures.text()).into_response())
}

/// Figures with their names and explanations, in the text format of Prometheus.
#[derive(Default)]
struct Figures(Registry);

/// The values of a figure's labels, and its value.
type Values<'a, const N: usize> = ([&'a str; N], u64);

impl Figures {
    fn add_row(&mut self, row: &SnapshotRow) {
        match row {
            SnapshotRow::Node(status) => self.add_peer(status),
            SnapshotRow::Tracker(status) => self.add_tracker(status),
            SnapshotRow::Counts(counts) => self.add_counts(counts),
            SnapshotRow::Share(share) => {
                self.add_share(share.offered);
                self.add_left_out(share.left_out);
            }
            _ => {}
        }
    }

    fn add_peer(&mut self, status: &Status) {
        self.add_version(&status.version);
        let lookups = status.lookups;
        let asked = lookups.neighbours.saturating_sub(lookups.memory);
        self.counter(
            "thorp_lookups_total",
            "Names that this peer looked up, by who answered.",
            ["answered_by"],
            [
                (["memory"], lookups.memory),
                (["neighbours"], asked),
                (["tracker"], lookups.tracker),
                (["nobody"], lookups.nobody),
            ],
        );
        self.add_spared(status.spared.since_start);
        self.counter(
            "thorp_large_file_bytes_total",
            "Bytes of large files that went over sessions, by direction.",
            ["direction"],
            [(["sent"], status.sent), (["received"], status.received)],
        );
        self.gauge(
            "thorp_neighbours",
            "Peers with which this peer keeps a link.",
            [],
            [([], status.neighbours)],
        );
        self.gauge(
            "thorp_tracker_connected",
            "Whether there is a link to the tracker: 1 or 0.",
            [],
            [([], status.tracker_connected.into())],
        );
        self.gauge(
            "thorp_certificate_expiry_timestamp_seconds",
            "When this member's certificate ends, in seconds since 1970.",
            [],
            [([], u64::try_from(status.certificate_ends).unwrap_or(0))],
        );
    }

    fn add_tracker(&mut self, status: &TrackerStatus) {
        self.add_version(&status.version);
        self.add_spared(status.counts.spared.since_start);
        self.counter(
            "thorp_questions_total",
            "Questions about files that this tracker was asked.",
            [],
            [([], status.counts.finds)],
        );
        self.gauge(
            "thorp_peers",
            "Peers that are present.",
            [],
            [([], status.peers)],
        );
        let swarms = status.swarms;
        self.counter(
            "thorp_announces_total",
            "Announces of ordinary BitTorrent clients that were answered.",
            [],
            [([], swarms.announces)],
        );
        self.gauge(
            "thorp_torrents",
            "Torrents that are tracked for ordinary BitTorrent clients.",
            [],
            [([], swarms.torrents)],
        );
        self.gauge(
            "thorp_torrent_clients",
            "Ordinary BitTorrent clients, each counted in each of its torrents.",
            ["role"],
            [(["seeder"], swarms.seeders), (["leecher"], swarms.leechers)],
        );
    }

    fn add_counts(&mut self, counts: &CountsRow) {
        let both = [
            ("sent", counts.small_sent),
            ("received", counts.small_received),
        ];
        self.counter(
            "thorp_small_file_bytes_total",
            "Bytes of small files that went over links, by direction.",
            ["direction"],
            both.map(|(direction, FilesMoved { bytes, .. })| ([direction], bytes)),
        );
        self.counter(
            "thorp_files_total",
            "Files that went over the network, by direction and size. Of large ones sent, each \
             session of which bytes were sent counts.",
            ["direction", "size"],
            [
                (["sent", "small"], counts.small_sent.files),
                (["received", "small"], counts.small_received.files),
                (["sent", "large"], counts.large_sent),
                (["received", "large"], counts.large_received),
            ],
        );
        self.gauge("thorp_links", "Links to members.", [], [([], counts.links)]);
        self.gauge(
            "thorp_catalogue_entries",
            "Files in the listings that this node keeps, each counted for each member.",
            [],
            [([], counts.entries)],
        );
        let sent = labelled("sent", &counts.messages_sent);
        let received = labelled("received", &counts.messages_received);
        self.counter(
            "thorp_tracker_messages_total",
            "Messages between members and the tracker, by direction and kind of frame.",
            ["direction", "kind"],
            sent.chain(received),
        );
        let refused = counts.handshakes_refused.iter();
        self.counter(
            "thorp_handshakes_refused_total",
            "Connections to this node's port that were refused during the handshake, by why.",
            ["reason"],
            refused.map(|(reason, count)| ([reason.as_str()], *count)),
        );
        let waiting = counts.waiting.iter();
        self.gauge(
            "thorp_queue_length",
            "What waits for this node, by queue.",
            ["queue"],
            waiting.map(|(queue, length)| ([queue.as_str()], *length)),
        );
    }

    fn add_share(&mut self, share: Offered) {
        self.gauge(
            "thorp_share_files",
            "Files that are shared.",
            [],
            [([], share.files)],
        );
        self.gauge(
            "thorp_share_bytes",
            "Bytes in the files that are shared.",
            [],
            [([], share.bytes)],
        );
        self.gauge(
            "thorp_share_unhashed_files",
            "Files that are shared and still to be hashed.",
            [],
            [([], share.unhashed)],
        );
    }

    fn add_left_out(&mut self, left_out: LeftOut) {
        self.gauge(
            "thorp_share_left_out",
            "Files and folders of the directory that are not shared, by why.",
            ["reason"],
            [
                (["hidden"], left_out.hidden),
                (["ignored"], left_out.ignored),
                (["ignore-files"], left_out.ignore_files),
                (["unnameable"], left_out.unnameable),
                (["unreadable"], left_out.unreadable),
                (["symlinks"], left_out.symlinks),
                (["special"], left_out.special),
                (["keys"], left_out.keys),
            ],
        );
    }

    fn add_version(&mut self, version: &str) {
        self.gauge(
            "thorp_build_info",
            "The version of the program, with the value 1.",
            ["version"],
            [([version], 1)],
        );
    }

    fn add_spared(&mut self, lookups: Lookups) {
        self.counter(
            "thorp_lookups_spared_total",
            "Names that were found without a message to the tracker: at a peer its own lookups, \
             at a tracker those that its members tell of.",
            [],
            [([], lookups.spared)],
        );
        self.counter(
            "thorp_lookups_told_total",
            "All names that were looked up, as thorp_lookups_spared_total counts them.",
            [],
            [([], lookups.lookups)],
        );
    }

    fn counter<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = Values<'a, N>>,
    ) {
        // A figure that could not be added would be missing, which a test sees.
        let Ok(counter) = IntCounterVec::new(Opts::new(name, help), &labels) else {
            return;
        };
        for (labels, value) in values {
            counter.with_label_values(&labels).inc_by(value);
        }
        let _ = self.0.register(Box::new(counter));
    }

    fn gauge<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        values: impl IntoIterator<Item = Values<'a, N>>,
    ) {
        let Ok(gauge) = IntGaugeVec::new(Opts::new(name, help), &labels) else {
            return;
        };
        for (labels, value) in values {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            gauge.with_label_values(&labels).set(value);
        }
        let _ = self.0.register(Box::new(gauge));
    }

    fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = TextEncoder::new().encode(&self.0.gather(), &mut text);
        text
    }
}

fn labelled<'a>(
    direction: &'a str,
    kinds: &'a BTreeMap<String, u64>,
) -> impl Iterator<Item = Values<'a, 2>> {
    kinds
        .iter()
        .map(move |(kind, count)| ([direction, kind.as_str()], *count))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(rows: &[SnapshotRow]) -> String {
        let mut figures = Figures::default();
        for row in rows {
            figures.add_row(row);
        }
        String::from_utf8(figures.text()).expect("text")
    }

    /// The examples in the page that describes the rows.
    fn documented(kind: &str) -> String {
        let page = include_str!("../../../docs/json.md");
        let begin = format!("{{\"event\":\"{kind}\",");
        let line = page.lines().find(|line| line.starts_with(&begin));
        line.expect("an example").to_owned()
    }

    fn rows() -> Vec<SnapshotRow> {
        let status = serde_json::from_str(&documented("status")).expect("a status");
        let tracker = serde_json::from_str(&documented("tracker")).expect("a status");
        let counts = CountsRow {
            links: 3,
            entries: 13,
            small_sent: FilesMoved {
                files: 1,
                bytes: 10,
            },
            small_received: FilesMoved {
                files: 2,
                bytes: 20,
            },
            large_sent: 3,
            large_received: 4,
            messages_sent: [("find".to_owned(), 5)].into(),
            messages_received: [("found".to_owned(), 6)].into(),
            handshakes_refused: [("not-tls".to_owned(), 7)].into(),
            waiting: [("questions".to_owned(), 8)].into(),
        };
        vec![
            SnapshotRow::Node(status),
            SnapshotRow::Tracker(tracker),
            SnapshotRow::Counts(counts),
            SnapshotRow::Share(thorp_node::snapshot::ShareRow::default()),
        ]
    }

    #[test]
    fn every_figure_is_told_with_its_value() {
        let [peer, tracker, counts, share] = &rows()[..] else {
            panic!("four rows");
        };
        let text = text(&[peer.clone(), counts.clone(), share.clone()])
            + &text(std::slice::from_ref(tracker));
        for line in [
            "thorp_lookups_total{answered_by=\"memory\"} 6",
            "thorp_lookups_total{answered_by=\"neighbours\"} 1",
            "thorp_lookups_total{answered_by=\"tracker\"} 2",
            "thorp_large_file_bytes_total{direction=\"sent\"} 734003200",
            "thorp_files_total{direction=\"received\",size=\"small\"} 2",
            "thorp_files_total{direction=\"sent\",size=\"large\"} 3",
            "thorp_small_file_bytes_total{direction=\"sent\"} 10",
            "thorp_tracker_messages_total{direction=\"sent\",kind=\"find\"} 5",
            "thorp_tracker_messages_total{direction=\"received\",kind=\"found\"} 6",
            "thorp_handshakes_refused_total{reason=\"not-tls\"} 7",
            "thorp_queue_length{queue=\"questions\"} 8",
            "thorp_links 3",
            "thorp_catalogue_entries 13",
            "thorp_tracker_connected 1",
            "thorp_share_left_out{reason=\"hidden\"} 0",
            "thorp_announces_total 21",
            "thorp_torrent_clients{role=\"leecher\"} 5",
            "thorp_peers 3",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }

    #[test]
    fn names_and_kinds_follow_the_conventions() {
        let rows = rows();
        for kind in [&rows[..1], &rows[1..2], &rows[2..]] {
            let text = text(kind);
            let mut seen = BTreeSet::new();
            for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
                let (name, kind) = line.split_once(' ').expect("a type");
                assert!(seen.insert(name.to_owned()), "{name} twice");
                assert!(name.starts_with("thorp_"), "{name}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
                let help = format!("# HELP {name} ");
                let help = text.lines().find_map(|line| line.strip_prefix(&help));
                assert!(help.is_some_and(|help| help.ends_with('.')), "{name}");
            }
            assert!(!seen.is_empty());
        }
    }

    #[test]
    fn the_dashboard_draws_figures_that_there_are() {
        let told = text(&rows()[..1]) + &text(&rows()[1..]);
        let types = told.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
        let dashboard = include_str!("../../../contrib/grafana.json");
        let begins = dashboard.match_indices("thorp_").map(|(at, _)| at);
        let is_of_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let drawn: BTreeSet<&str> = begins
            .map(|at| {
                let rest = &dashboard[at..];
                &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())]
            })
            .collect();
        assert_eq!(drawn, names, "and all of them");
    }

    #[test]
    fn no_figure_has_a_name_of_a_member_or_a_file() {
        let text = text(&rows()[..1]) + &text(&rows()[1..]);
        for name in ["oak", "papers", "aaaa", "192.168"] {
            assert!(!text.contains(name), "{name}: {text}");
        }
    }
}
