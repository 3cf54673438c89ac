//! Members, invites and removal, where the group's CA is.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use qrcodegen::{QrCode, QrCodeEcc};
use serde::Deserialize;
use serde_json::{Value, json};
use thorp_node::api::{Command, Event, Failure};

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
    if uses == 0 || !(1..=LONGEST).contains(&seconds) {
        return Err(Refusal::BadRequest);
    }
    for event in ask(&shared, Command::Invite { uses, seconds }).await? {
        if let Event::Invite { invite } = event {
            let svg = qr_code(&invite);
            return Ok(Json(json!({ "invite": invite, "svg": svg })));
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

/// Returns a QR code as an SVG image without a script; `None` if the text is too long for one.
fn qr_code(text: &str) -> Option<String> {
    /// The light border that readers need, in modules.
    const BORDER: i32 = 4;
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let size = code.size() + 2 * BORDER;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            let _ = write!(path, "M{},{}h1v1h-1z", x + BORDER, y + BORDER);
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0,0h{size}v{size}h-{size}z\"/>\
         <path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_is_a_picture_of_squares_with_a_border() {
        let svg = qr_code("thorp1-abc").expect("short enough");
        assert!(svg.starts_with("<svg xmlns="), "{svg}");
        assert!(svg.contains("viewBox=\"0 0 29 29\""), "{svg}");
        // The corner of the first finder pattern.
        assert!(svg.contains("M4,4h1v1h-1z"), "{svg}");
        assert!(!svg.contains("M3,"), "nothing is in the border");
        assert_eq!(qr_code(&"x".repeat(4000)), None);
    }
}
