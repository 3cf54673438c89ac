//! This peer as a member, for as long as it runs: which group record counts,
//! when its certificate is renewed, and that both are on disk.
//!
//! Who is told of a record and who is asked for a certificate is decided in
//! [`thorp_core::peer`].

use std::sync::Arc;
use std::time::Duration;

use thorp_disk::DiskThread;
use thorp_group::clock::Clock;
use thorp_group::join::Admitted;
use thorp_group::record::RecordError;
use thorp_group::renewal::{Kept, Renewal};
use thorp_group::state::StateError;
use thorp_group::tls::MemberTls;
use thorp_wire::frame::{Join, Joined, SignedRecord};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::api::{Notice, Warning};
use crate::net::join::{self, NotJoined};
use crate::waiting::if_any;

/// How long after a write that has failed it is tried again.
const KEPT_AGAIN: Duration = Duration::from_mins(1);

pub(super) struct Standing {
    tls: MemberTls,
    clock: Clock,
    renewal: Renewal,
    newest: watch::Receiver<Option<SignedRecord>>,
    /// The last of what is on its way to the disk; each waits for the one before.
    keeping: Option<Keeping>,
    notices: mpsc::Sender<Notice>,
}

/// Something on its way to the disk. Where it cannot be written it is tried again.
struct Keeping {
    task: JoinHandle<()>,
    last_call: Arc<Notify>,
}

/// What is to be told to the machine.
pub(super) enum Change {
    /// There is a newer group record.
    Adopted(SignedRecord),
    /// The certificate is to be renewed.
    RenewalDue,
    /// It has ended: without it there is no link by which to renew it.
    Ended,
}

impl Standing {
    pub(super) fn new(
        tls: MemberTls,
        clock: Clock,
        renewal: Renewal,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        Self {
            notices,
            newest: tls.records().changes(),
            tls,
            clock,
            renewal,
            keeping: None,
        }
    }

    /// The record that was kept, to start with.
    pub(super) fn kept(&mut self) -> Option<SignedRecord> {
        self.newest.borrow_and_update().clone()
    }

    /// Waits for the next change. A certificate is renewed over the link to the
    /// tracker, or without one when it has ended.
    pub(super) async fn change(&mut self, tracker_is_up: bool) -> Change {
        let due = if tracker_is_up {
            self.renewal.due()
        } else {
            self.renewal.on_cut_off();
            self.renewal.rejoin_due()
        };
        let clock = self.clock.clone();
        let renewal = async move {
            if_any(due.map(|due| due.comes(&clock))).await;
        };
        tokio::pin!(renewal);
        loop {
            tokio::select! {
                // The sender is in `tls`, which we hold.
                _ = self.newest.changed() => {
                    let newest = self.newest.borrow_and_update().clone();
                    if let Some(record) = newest {
                        self.keep(Kept::save_record);
                        return Change::Adopted(record);
                    }
                }
                () = &mut renewal => {
                    let due = if tracker_is_up {
                        Change::RenewalDue
                    } else {
                        Change::Ended
                    };
                    return due;
                }
            }
        }
    }

    /// Takes over a record that a member has sent, unless it is made up, and returns
    /// it if it is newer. It comes as a [`Change`] too, as those do that come on other ways.
    pub(super) fn verify(
        &mut self,
        record: SignedRecord,
    ) -> Result<Option<SignedRecord>, RecordError> {
        let newer = self.tls.records().adopt(record)?;
        if newer.is_some() {
            self.keep(Kept::save_record);
        }
        Ok(newer)
    }

    /// The question for a new certificate.
    pub(super) fn ask(&mut self) -> Option<Join> {
        let asked = self.renewal.ask();
        asked
            .inspect_err(|error| tracing::error!(%error, "the certificate is not renewed"))
            .ok()
    }

    /// What the tracker has answered; nothing, if the link was gone before it has.
    pub(super) fn answered(&mut self, answer: Option<Result<Joined, String>>) {
        let Some(answer) = answer else {
            return self.renewal.unanswered();
        };
        let joined = answer
            .inspect_err(|error| tracing::warn!(%error, "the certificate is not renewed yet"))
            .ok();
        match self.renewal.answered(joined.as_ref()) {
            Ok(true) => self.keep(Kept::save),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the certificate is not renewed yet"),
        }
        if let Some(record) = joined.and_then(|joined| joined.record) {
            // It was verified with the certificate, or that was no good either.
            let _ = self.verify(record);
        }
    }

    /// Asks to be let in again; what comes of it goes to [`rejoined`](Self::rejoined).
    pub(super) fn rejoin(
        &mut self,
    ) -> impl Future<Output = Result<Admitted, NotJoined>> + Send + 'static {
        let (ticket, identity) = self.renewal.rejoin();
        let clock = self.tls.clock().clone();
        async move { join::join(&ticket, &identity, None, &clock).await }
    }

    /// The tracker has let this machine in again, or why it has not.
    pub(super) fn rejoined(&mut self, answer: Result<Admitted, NotJoined>) {
        let (answer, record) = match answer {
            Ok(admitted) => (Ok(admitted.membership), admitted.record),
            Err(NotJoined::Join(error)) => (Err(error), None),
            Err(error) => {
                tracing::warn!(%error, "the certificate has ended, and there is no new one yet");
                return self.renewal.unreached();
            }
        };
        match self.renewal.rejoined(answer) {
            Ok(true) => self.keep(Kept::save),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the certificate has ended, and there is no new one yet");
            }
        }
        if let Some(record) = record {
            // It was verified when it came.
            let _ = self.verify(record);
        }
    }

    /// Waits until all is on disk, or cannot be written.
    pub(super) async fn finish(self) {
        if let Some(last) = self.keeping {
            last.end().await;
        }
    }

    /// In the order of the changes: an older certificate must not overwrite a newer one.
    fn keep(&mut self, save: fn(&Kept, DiskThread) -> Result<(), StateError>) {
        let kept = Arc::new(self.renewal.kept());
        let before = self.keeping.take();
        let last_call = Arc::new(Notify::new());
        let (called, notices) = (Arc::clone(&last_call), self.notices.clone());
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                before.end().await;
            }
            let (mut is_told, mut is_last) = (false, false);
            loop {
                let saving = Arc::clone(&kept);
                // A record that an earlier attempt has left is kept with it.
                let saved = thorp_disk::spawn(move |disk| {
                    save(&saving, disk).and_then(|()| saving.save_record(disk))
                });
                let Ok(Err(error)) = saved.await else { return };
                // It is in force; only the next start will not know it.
                tracing::error!(%error, "what the group has decided is not kept");
                if !std::mem::replace(&mut is_told, true) {
                    let why = error.to_string();
                    // A caller that does not read its notices misses some.
                    let _ = notices.try_send(Notice::Warning(Warning::StandingUnsaved { why }));
                }
                if is_last {
                    return;
                }
                tokio::select! {
                    () = sleep(KEPT_AGAIN) => {}
                    () = called.notified() => is_last = true,
                }
            }
        });
        self.keeping = Some(Keeping { task, last_call });
    }
}

impl Keeping {
    /// Waits for it to end, after one more attempt at the most.
    async fn end(self) {
        self.last_call.notify_one();
        // A write that was cancelled has ended too.
        let _ = self.task.await;
    }
}
