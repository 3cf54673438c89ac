//! The JSON of a request, within bounds.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;
use crate::shared::Shared;

/// The most bytes of a request's body.
const LONGEST: usize = 64 * 1024;

/// The JSON that a request has as its body.
pub(super) struct Asked<T, const MOST: usize = LONGEST>(pub(super) T);

impl<T: DeserializeOwned, const MOST: usize> FromRequest<Arc<Shared>> for Asked<T, MOST> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<Shared>) -> Result<Self, Refusal> {
        let body = Limited::new(request.into_body(), MOST).collect().await;
        let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
            Ok(_) => Refusal::TooLarge,
            Err(_) => Refusal::BadRequest,
        })?;
        let value = serde_json::from_slice(&body.to_bytes());
        value.map(Self).map_err(|_| Refusal::BadRequest)
    }
}
