//! Whether a request comes from the page's own site, or from a program.
//!
//! A page of another site can make a browser send requests here, and by a name of its own that
//! it points at this machine (DNS rebinding) it could even read the answers. It cannot choose
//! what the browser says in `Host`, `Origin` and `Sec-Fetch-Site`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::refusal::Refusal;
use crate::shared::Shared;

/// Refuses a request that another site may have caused, whatever it asks for.
pub(super) async fn check(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let is_entry = request.method() == Method::GET && request.uri().path() == "/";
    // With a whole address in the first line, that one counts, and not `Host`.
    let is_absolute = request.uri().authority().is_some();
    match is_own(request.headers(), shared.port, is_entry) {
        Ok(()) if !is_absolute => next.run(request).await,
        Ok(()) => Refusal::OtherHost.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Whether the headers are those of the page at this port, or of a program. To the page's first
/// document, which shows nothing by itself, any site may lead a browser, and the file with the
/// link does so.
fn is_own(headers: &HeaderMap, port: u16, is_entry: bool) -> Result<(), Refusal> {
    let only = |name| {
        let mut all = headers.get_all(name).iter();
        (all.next(), all.next().is_some())
    };
    let (host, more) = only(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if more || !is_loopback(host, port) {
        return Err(Refusal::OtherHost);
    }
    let (origin, more) = only(header::ORIGIN);
    if let Some(origin) = origin {
        let origin = origin.to_str().unwrap_or_default();
        let is_same = origin.strip_prefix("http://") == Some(host);
        if more || !is_same {
            return Err(Refusal::OtherOrigin);
        }
    }
    let says = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match says("sec-fetch-site") {
        None | Some("none" | "same-origin") => Ok(()),
        Some(_) => {
            let is_led = says("sec-fetch-mode") == Some("navigate")
                && says("sec-fetch-dest") == Some("document");
            if is_entry && is_led {
                Ok(())
            } else {
                Err(Refusal::OtherOrigin)
            }
        }
    }
}

/// Whether a `Host` names this machine and this port. Browsers leave out port 80.
fn is_loopback(host: &str, port: u16) -> bool {
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| {
        host.strip_prefix(name).is_some_and(|rest| {
            rest.strip_prefix(':') == Some(&*port.to_string()) || rest.is_empty() && port == 80
        })
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn asked(headers: &[(&str, &str)], is_entry: bool) -> Result<(), Refusal> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a name");
            all.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        is_own(&all, 4000, is_entry)
    }

    #[test]
    fn only_loopback_with_the_port_is_this_host() {
        for host in ["127.0.0.1:4000", "localhost:4000", "[::1]:4000"] {
            assert_eq!(asked(&[("host", host)], false), Ok(()), "{host}");
        }
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:4001",
            "127.0.0.1:04000",
            "evil.example:4000",
            "127.0.0.1.evil.example:4000",
            "localhost.:4000",
            "[::1]",
            "user@127.0.0.1:4000",
        ] {
            let answer = asked(&[("host", host)], true);
            assert_eq!(answer, Err(Refusal::OtherHost), "{host}");
        }
        let two = [("host", "127.0.0.1:4000"), ("host", "127.0.0.1:4000")];
        assert_eq!(asked(&two, false), Err(Refusal::OtherHost));
        assert_eq!(asked(&[], false), Err(Refusal::OtherHost));
    }

    #[test]
    fn an_origin_is_the_pages_own() {
        let host = ("host", "localhost:4000");
        assert_eq!(
            asked(&[host, ("origin", "http://localhost:4000")], false),
            Ok(())
        );
        for origin in [
            "null",
            "http://127.0.0.1:4000",
            "https://localhost:4000",
            "http://localhost:4001",
            "http://evil.example",
        ] {
            let answer = asked(&[host, ("origin", origin)], true);
            assert_eq!(answer, Err(Refusal::OtherOrigin), "{origin}");
        }
    }

    #[test]
    fn another_site_may_only_lead_a_browser_to_the_first_document() {
        let host = ("host", "127.0.0.1:4000");
        let (navigate, document) = (
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        );
        for site in ["cross-site", "same-site"] {
            let site = ("sec-fetch-site", site);
            assert_eq!(asked(&[host, site, navigate, document], true), Ok(()));
            for (headers, is_entry) in [
                (&[host, site, navigate, document][..], false),
                (&[host, site], true),
                (&[host, site, ("sec-fetch-mode", "no-cors")], true),
                (&[host, site, navigate, ("sec-fetch-dest", "iframe")], true),
            ] {
                assert_eq!(asked(headers, is_entry), Err(Refusal::OtherOrigin));
            }
        }
        for site in ["none", "same-origin"] {
            assert_eq!(asked(&[host, ("sec-fetch-site", site)], false), Ok(()));
        }
    }
}
