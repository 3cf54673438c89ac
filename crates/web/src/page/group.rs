//! Members, invites and removal, where the group's CA is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use qrcodegen::{QrCode, QrCodeEcc};
use serde::Deserialize;
use serde_json::{Value, json};
use thorp_node::api::{Command, Event, Failure};
use thorp_node::launch::MAX_USES;

use super::asked::Asked;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// The longest time that an invite may be good, in seconds: a year.
const LONGEST: u64 = 366 * 24 * 60 * 60;

/// Answers `GET /api/members`.
pub(super) async fn members(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Refusal> {
    members_of(&shared, Command::Members).await
}

#[derive(Deserialize)]
pub(super) struct Removal {
    id: String,
}

/// Answers `POST /api/members/remove`.
pub(super) async fn remove(
    State(shared): State<Arc<Shared>>,
    Asked(Removal { id }): Asked<Removal>,
) -> Result<Json<Value>, Refusal> {
    members_of(&shared, Command::Remove { id }).await
}

async fn members_of(shared: &Shared, command: Command) -> Result<Json<Value>, Refusal> {
    let mut members = Vec::new();
    for event in ask(shared, command).await? {
        if let Event::Member(member) = event {
            members.push(member);
        }
    }
    Ok(Json(json!({ "members": members })))
}

#[derive(Deserialize)]
pub(super) struct Invitation {
    uses: u32,
    seconds: u64,
}

/// Answers `POST /api/invites`.
pub(super) async fn invite(
    State(shared): State<Arc<Shared>>,
    Asked(Invitation { uses, seconds }): Asked<Invitation>,
) -> Result<Json<Value>, Refusal> {
    if !(1..=MAX_USES).contains(&uses) || !(1..=LONGEST).contains(&seconds) {
        return Err(Refusal::BadRequest);
    }
    for event in ask(&shared, Command::Invite { uses, seconds }).await? {
        if let Event::Invite { invite } = event {
            let qr = qr_code(&invite);
            return Ok(Json(json!({ "invite": invite, "qr": qr })));
        }
    }
    Err(Refusal::failed(Failure::AnswerCutShort, shared.node.say))
}

/// Asks the keeper of the group's CA, and returns the whole answer: one line for each member at
/// most.
async fn ask(shared: &Shared, command: Command) -> Result<Vec<Event>, Refusal> {
    let keeper = shared.node.ask_keeper.as_ref();
    let mut answer = keeper.ok_or(Refusal::NotFound)?(command);
    let mut events = Vec::new();
    while let Some(event) = answer.recv().await {
        match event {
            Event::Done(_) => return Ok(events),
            Event::Error(failure) => return Err(Refusal::failed(failure, shared.node.say)),
            event => events.push(event),
        }
    }
    Err(Refusal::Stopping)
}

/// Returns the rows of a QR code, a 1 for each dark module; `None` if the text is too long for
/// one. The light border that readers need is the page's to add.
fn qr_code(text: &str) -> Option<Vec<String>> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let module = |x, y| if code.get_module(x, y) { '1' } else { '0' };
    let row = |y| (0..code.size()).map(|x| module(x, y)).collect();
    Some((0..code.size()).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_is_a_square_with_three_finder_patterns() {
        let rows = qr_code("thorp1-abc").expect("short enough");
        assert_eq!(rows.len(), 21);
        assert!(rows.iter().all(|row| row.len() == 21));
        assert!(rows[0].starts_with("1111111") && rows[0].ends_with("1111111"));
        assert!(rows[20].starts_with("1111111"));
        assert_eq!(&rows[1][..7], "1000001");
        assert_eq!(qr_code(&"x".repeat(4000)), None);
    }
}
