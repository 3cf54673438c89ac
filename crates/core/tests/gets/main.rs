//! The whole policy of a get in virtual time: slow, lying, leaving and hashing holders, names that
//! match several files, places that are taken.

#[path = "../support/mod.rs"]
mod support;

mod ending;
mod hashing;
mod holders;
mod large;
mod meant;
mod names;
mod places;
mod waiting;

use std::time::Duration;

use support::{Village, content, request};
use thorp_core::get::{Ending, GetId, Missed, News, NotStored, Output, Request};
use thorp_core::lookup::Only;
use thorp_wire::PeerId;

const ONE: [u8; 4] = [192, 168, 198, 138];
const TWO: [u8; 4] = [192, 168, 198, 139];
const THREE: [u8; 4] = [192, 168, 198, 137];
const FOUR: [u8; 4] = [192, 168, 198, 140];

const SECOND: Duration = Duration::from_secs(1);

/// A village with peer 1, whose user wants files, and peers that share these files.
fn village(shares: &[&[(&str, &str)]]) -> (Village, usize, Vec<usize>) {
    let mut village = Village::new();
    let one = village.peer(ONE, &[]);
    let addresses = [TWO, THREE, FOUR];
    let others = shares.iter().zip(addresses);
    let others = others.map(|(files, ip)| village.peer(ip, files)).collect();
    village.run(SECOND);
    (village, one, others)
}

/// Gets files, and returns how the get ended.
fn get(village: &mut Village, node: usize, request: Request) -> (GetId, Ending) {
    let get = village.want(node, request);
    let end = village.end_of(node, get);
    (get, end)
}

fn missed(name: &str, why: Missed) -> Ending {
    let name = name.to_owned();
    Ending::Missed { name, why }
}

fn exists() -> Missed {
    Missed::NotStored(NotStored::Exists)
}

/// Returns the fetched files in the order of arrival: the target of each, and who sent it.
fn fetched(village: &mut Village, node: usize, get: GetId) -> Vec<(String, Vec<PeerId>)> {
    let told = village.told(node, get).iter();
    let fetched = told.filter_map(|told| match told {
        Output::Tell(News::Fetched { item, sources, .. }) => {
            let sources = sources.iter().map(|holder| holder.id).collect();
            Some((item.target.to_string(), sources))
        }
        _ => None,
    });
    fetched.collect()
}

/// Returns what failed, and why.
fn failed(village: &mut Village, node: usize, get: GetId) -> Vec<(String, Missed)> {
    let told = village.told(node, get).iter();
    let failed = told.filter_map(|told| match told {
        Output::Tell(News::Failed { name, why }) => Some((name.clone(), why.clone())),
        _ => None,
    });
    failed.collect()
}

fn only_root(names: &[&str], text: &str) -> Request {
    let only = Only {
        from: None,
        root: Some(content(text).root.to_string()[..8].to_owned()),
    };
    Request {
        only,
        ..request(names)
    }
}
