//! What the peers of a village ask for, what their users are told, and what their disks do.

use std::time::Duration;

use thorp_core::get::{
    self, Chore, Existing, FetchId, Folders, GetId, Missed, News, Output as Told, Request, Storage,
};
use thorp_core::lookup::{Only, Source};
use thorp_core::peer::{self, SurveyId, Unanswered, Wish};
use thorp_wire::frame::Variant;
use thorp_wire::{Content, PeerId};

use super::{Findings, Node, Village, content};

impl Village {
    pub fn survey(&mut self, node: Node, wish: Wish) -> Findings {
        self.answer_to(node, wish).expect("findings")
    }

    /// Returns what the user of this node is told in answer to any wish.
    pub fn answer_to(&mut self, node: Node, wish: Wish) -> Result<Findings, Unanswered> {
        let survey = self.begin_survey(node, wish);
        self.until(Duration::from_mins(1), |village| {
            village.host(node).findings.contains_key(&survey)
        });
        let findings = self.host(node).findings.remove(&survey);
        findings.expect("an answer")
    }

    pub fn begin_survey(&mut self, node: Node, wish: Wish) -> SurveyId {
        let survey = SurveyId(self.number());
        let itself = None;
        self.give(
            node,
            peer::Input::Survey {
                survey,
                wish,
                itself,
            },
        );
        survey
    }

    /// Does what `thorp get NAME` does. Returns who told where the file is, and who sent it.
    pub fn get(&mut self, node: Node, name: &str) -> (Source, PeerId) {
        let got = self.get_all(node, request(&[name]));
        // The listings follow the file.
        self.run(Duration::from_millis(300));
        match &got.fetched()[..] {
            [fetched] => (fetched.answer.source, fetched.sources[0]),
            _ => panic!("{name}: {:?}", got.end),
        }
    }

    /// Gets files, and waits for the end.
    pub fn get_all(&mut self, node: Node, request: Request) -> Got {
        let get = self.want(node, request);
        self.outcome_of(node, get)
    }

    /// Waits for the end of a get and returns its results.
    pub fn outcome_of(&mut self, node: Node, get: GetId) -> Got {
        let end = self.end_of(node, get);
        let told = self.host(node).told.remove(&get).unwrap_or_default();
        Got { end, told }
    }

    /// Starts to get files.
    pub fn want(&mut self, node: Node, request: Request) -> GetId {
        let get = GetId(self.number());
        self.give(node, peer::Input::Get { get, request });
        get
    }

    /// Waits for the end of a get and returns how it ended.
    pub fn end_of(&mut self, node: Node, get: GetId) -> get::Ending {
        self.until(Duration::from_mins(5), |village| {
            village.ended(node, get).is_some()
        });
        self.ended(node, get).expect("it has ended")
    }

    /// Returns how a get has ended, if it has.
    pub fn ended(&mut self, node: Node, get: GetId) -> Option<get::Ending> {
        match self.told(node, get).last() {
            Some(Told::Ended(end)) => Some(end.clone()),
            _ => None,
        }
    }

    /// Returns who was named as a holder of the large file of a get, in order.
    pub fn named(&mut self, node: Node, get: GetId) -> Vec<PeerId> {
        let told = self.told(node, get).iter();
        let named = told.filter_map(|told| match told {
            Told::Do(Chore::Holders(_, holders)) => Some(holders.iter().map(|holder| holder.id)),
            _ => None,
        });
        named.flatten().collect()
    }

    /// Returns all outputs of a get.
    pub fn told(&mut self, node: Node, get: GetId) -> &[Told] {
        self.host(node).told.entry(get).or_default()
    }

    /// Reports an event of a large file that was begun.
    pub fn large(&mut self, node: Node, fetch: FetchId, event: get::LargeEvent) {
        self.give(node, peer::Input::Large { fetch, event });
    }

    /// Does for a get what its shell does, and records all other outputs.
    pub(super) fn for_get(&mut self, node: Node, get: GetId, told: Told) {
        let host = self.host(node);
        let ended = matches!(
            host.told.entry(get).or_default().last(),
            Some(Told::Ended(_))
        );
        assert!(!ended, "{get:?} goes on after its end: {told:?}");
        host.told.entry(get).or_default().push(told.clone());
        match told {
            Told::Do(Chore::Look(looks)) => {
                host.looks.push(looks);
                if host.slow_disk {
                    host.looking.push(get);
                } else {
                    self.look(node, get);
                }
            }
            Told::Make(fetch, item) => {
                assert_eq!(item.content, Content::EMPTY);
                host.names.insert(fetch, item.target);
                host.storing.push((fetch, item.content, String::new()));
                self.disk_is_done(node);
            }
            Told::Copy(fetch, item) => {
                let bytes = host.store.get(&item.content).expect("it is shared here");
                let text = String::from_utf8(bytes.clone()).expect("text");
                host.names.insert(fetch, item.target);
                host.storing.push((fetch, item.content, text));
                self.disk_is_done(node);
            }
            Told::Begin(fetch, item) => host.begun.push((fetch, item)),
            Told::Do(Chore::Finish(fetch)) => {
                let (_, item) = host
                    .begun
                    .iter()
                    .find(|(id, _)| *id == fetch)
                    .expect("begun");
                let received = item.content.length;
                self.large(node, fetch, get::LargeEvent::Kept { received });
                self.large(node, fetch, get::LargeEvent::Released);
            }
            Told::Do(Chore::GiveUp(fetch)) => self.large(node, fetch, get::LargeEvent::Released),
            _ => {}
        }
    }

    pub(super) fn look(&mut self, node: Node, get: GetId) {
        let host = self.host(node);
        let looks = host.looks.last().into_iter().flatten();
        let looked = looks.map(|look| host.look(look)).collect();
        self.give(node, peer::Input::Looked { get, looked });
    }

    /// Finishes everything that the disk was busy with. Returns how many files were stored.
    pub fn disk_is_done(&mut self, node: Node) -> usize {
        for get in std::mem::take(&mut self.host(node).looking) {
            self.look(node, get);
        }
        let storing = std::mem::take(&mut self.host(node).storing);
        for (fetch, wanted, text) in &storing {
            let verified = content(text) == *wanted;
            let fetch = *fetch;
            let host = self.host(node);
            let target = host.names.get(&fetch);
            let blocked = target.and_then(|name| host.blocked.get(name).copied());
            let storage = match blocked {
                _ if !verified => Storage::Mismatch,
                Some(why) => Storage::Failed(why),
                None => Storage::Kept,
            };
            let verified = storage == Storage::Kept;
            self.give(node, peer::Input::Stored(vec![(fetch, storage)]));
            if verified && let Some(name) = self.host(node).names.remove(&fetch) {
                self.share(node, &[(name.as_str(), text)]);
            }
        }
        storing.len()
    }
}

/// The outputs of a get, and how it ended.
pub struct Got {
    pub end: get::Ending,
    pub told: Vec<Told>,
}

/// A file that a get has fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub item: get::Item,
    pub answer: get::Answered,
    pub sources: Vec<PeerId>,
}

impl Got {
    /// Returns the fetched files, in the order of arrival.
    pub fn fetched(&self) -> Vec<Fetched> {
        let fetched = self.told.iter().filter_map(|told| match told {
            Told::Tell(News::Fetched {
                item,
                answer,
                sources,
                ..
            }) => Some(Fetched {
                item: item.clone(),
                answer: answer.clone(),
                sources: sources.iter().map(|holder| holder.id).collect(),
            }),
            _ => None,
        });
        fetched.collect()
    }

    /// Returns the variants of the first choice.
    pub fn choice(&self) -> &[Variant] {
        let mut choices = self.told.iter().filter_map(|told| match told {
            Told::Tell(News::Choice { variants, .. }) => Some(variants),
            _ => None,
        });
        choices.next().map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns why the only file was missed.
    pub fn missed(&self) -> &Missed {
        match &self.end {
            get::Ending::Missed { why, .. } => why,
            end => panic!("{end:?}"),
        }
    }
}

/// Returns a request for these names from one peer only.
pub fn request_from(names: &[&str], from: &str) -> Request {
    let only = Only {
        from: Some(from.to_owned()),
        root: None,
    };
    Request {
        only,
        ..request(names)
    }
}

/// Returns a plain request for these names.
pub fn request(names: &[&str]) -> Request {
    Request {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        only: Only::default(),
        rename: None,
        existing: Existing::Keep,
        elsewhere: false,
        patience: get::Patience::default(),
        hidden: false,
        folders: Folders::Small,
        executable: true,
        exact: false,
        is_read: false,
    }
}
