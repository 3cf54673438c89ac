//! Waiting for what may not be there.

/// Waits for this if there is any; else for ever, as a branch of a `select!` that never comes.
pub async fn if_any<F: Future>(what: Option<F>) -> F::Output {
    match what {
        Some(what) => what.await,
        None => std::future::pending().await,
    }
}
