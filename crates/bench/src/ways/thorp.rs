//! thorp itself: `thorp get` with a running peer.

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;

use super::{Freight, Way, text};
use crate::fleet::Fleet;

/// Fetches with one peer from another one, encrypted and verified.
pub struct Thorp {
    /// The peers, which several ways share.
    pub trio: Rc<Fleet>,
    /// The directory of `-o`, or `None` for the peer's own share.
    pub target: Option<PathBuf>,
}

impl Thorp {
    fn pattern(freight: &Freight) -> String {
        if freight.files == 1 {
            freight.name.clone()
        } else {
            format!("{}/**", freight.name)
        }
    }
}

impl Way for Thorp {
    fn name(&self) -> &'static str {
        if self.target.is_some() {
            "thorp get -o"
        } else {
            "thorp get"
        }
    }

    fn prepare(&mut self, freight: &Freight) -> Result<()> {
        if let Some(target) = &self.target {
            std::fs::create_dir_all(target)?;
        }
        self.trio
            .wait_until_listed(&Self::pattern(freight), freight.files)
    }

    fn fetch(&mut self, freight: &Freight) -> Result<()> {
        let pattern = Self::pattern(freight);
        match &self.target {
            Some(target) => self.trio.get(&["-o", text(target)?, "--", &pattern]),
            None => self.trio.get(&["--", &pattern]),
        }
    }

    fn fetched(&self, freight: &Freight) -> Option<PathBuf> {
        let target = self.target.clone();
        Some(
            target
                .unwrap_or_else(|| self.trio.asker_share())
                .join(&freight.name),
        )
    }
}
