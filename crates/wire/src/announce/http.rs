//! The heads of HTTP (RFC 9112) around announces and scrapes: of a client's request, and of what a
//! tracker answers.
//!
//! Owns what of a head counts: where it ends, what is asked for, whether the connection goes on.
//! How long a head may take and the text of a response belong to the node; the query in it to
//! [`query`](super::query), the body of an answer to [`answer`](super::answer).

use thiserror::Error;

/// The maximum length of the head of a request, in bytes.
pub const LONGEST_REQUEST_HEAD: usize = 10 * 1024;
/// The maximum length of the head of an answer, in bytes.
pub const LONGEST_ANSWER_HEAD: usize = 16 * 1024;
/// The maximum number of headers in either.
const MOST_HEADERS: usize = 64;
/// What a head ends with: an empty line.
const END: &[u8] = b"\r\n\r\n";

/// The head of a request, as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// What is asked for.
    pub target: RequestTarget<'a>,
    /// Whether another request may follow on the connection.
    pub goes_on: bool,
}

/// What a request asks for (RFC 9112, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestTarget<'a> {
    /// An announce, with its query.
    Announce(&'a [u8]),
    /// A scrape, with its query.
    Scrape(&'a [u8]),
    /// What no tracker has.
    Other,
}

/// Why a request is refused. The connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestHeadError {
    /// It is no head of HTTP 1.
    #[error("it is no HTTP request")]
    Malformed,
    /// What follows the head would be taken for a request.
    #[error("a request with a body is not taken")]
    HasBody,
    /// Its method is not `GET`.
    #[error("only GET is answered")]
    OtherMethod,
}

/// The head of an answer, as far as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// Its own length in bytes.
    pub length: usize,
    /// The length of the body in bytes, if the tracker says so.
    pub body: Option<usize>,
}

/// Why an answer is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerHeadError {
    /// It is no head of HTTP 1, or one that is too long.
    #[error("it answers with something else than HTTP")]
    NotHttp,
    /// The tracker answers with another status than 200.
    #[error("it answers with HTTP status {0}")]
    Status(u16),
}

/// Returns the length of the head that these bytes begin with, if it is complete. No head ends
/// within the first `searched` bytes.
pub fn head_length(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(END.len() - 1);
    let mut rest = bytes.get(from..)?.windows(END.len());
    let end = rest.position(|window| window == END);
    end.map(|end| from + end + END.len())
}

impl<'a> RequestHead<'a> {
    /// Reads a complete head.
    pub fn parse(head: &'a [u8]) -> Result<Self, RequestHeadError> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(head);
        let (Ok(httparse::Status::Complete(_)), Some(method), Some(path)) =
            (parsed, request.method, request.path)
        else {
            return Err(RequestHeadError::Malformed);
        };
        let is_newer = request.version == Some(1);
        let mut goes_on = is_newer;
        for header in request.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let says = |word: &[u8]| {
                let mut words = header.value.split(|byte| *byte == b',');
                words.any(|said| said.trim_ascii().eq_ignore_ascii_case(word))
            };
            if is("connection") {
                goes_on = if is_newer {
                    !says(b"close")
                } else {
                    says(b"keep-alive")
                };
            }
            if is("transfer-encoding") || (is("content-length") && header.value != b"0") {
                return Err(RequestHeadError::HasBody);
            }
        }
        if method != "GET" {
            return Err(RequestHeadError::OtherMethod);
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let target = match path {
            "/announce" => RequestTarget::Announce(query.as_bytes()),
            "/scrape" => RequestTarget::Scrape(query.as_bytes()),
            _ => RequestTarget::Other,
        };
        Ok(Self { target, goes_on })
    }
}

impl AnswerHead {
    /// Reads the head that an answer begins with. `None` as long as it is not complete.
    pub fn parse(answer: &[u8]) -> Result<Option<Self>, AnswerHeadError> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let begin = &answer[..answer.len().min(LONGEST_ANSWER_HEAD)];
        let length = match head.parse(begin) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if begin.len() == answer.len() => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(AnswerHeadError::NotHttp),
        };
        let mut headers = head.headers.iter();
        let said = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let said = said.and_then(|header| std::str::from_utf8(header.value).ok());
        let body = said.and_then(|said| said.trim().parse().ok());
        match head.code {
            Some(200) => Ok(Some(Self { length, body })),
            Some(status) => Err(AnswerHeadError::Status(status)),
            None => Err(AnswerHeadError::NotHttp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<RequestHead<'_>, RequestHeadError> {
        RequestHead::parse(text.as_bytes())
    }

    fn answer(text: &str) -> Result<Option<AnswerHead>, AnswerHeadError> {
        AnswerHead::parse(text.as_bytes())
    }

    #[test]
    fn a_head_ends_with_an_empty_line_wherever_it_was_cut() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
        let length = bytes.len() - 3;
        for searched in 0..length {
            let whole = head_length(&bytes[..searched], 0);
            assert_eq!(whole, None, "{searched}");
            assert_eq!(head_length(bytes, searched), Some(length), "{searched}");
        }
        assert_eq!(head_length(b"", 100), None);
    }

    #[test]
    fn a_request_says_what_it_asks_for_and_whether_more_follow() {
        let announce = RequestTarget::Announce(b"a=%00");
        for (text, target, goes_on) in [
            ("GET /announce?a=%00 HTTP/1.1\r\n\r\n", announce, true),
            (
                "GET /announce HTTP/1.0\r\n\r\n",
                RequestTarget::Announce(b""),
                false,
            ),
            (
                "GET /scrape? HTTP/1.0\r\nconnection: x, Keep-Alive\r\n\r\n",
                RequestTarget::Scrape(b""),
                true,
            ),
            (
                "GET /announces HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                RequestTarget::Other,
                false,
            ),
        ] {
            assert_eq!(head(text), Ok(RequestHead { target, goes_on }), "{text}");
        }
    }

    #[test]
    fn a_request_that_is_none_or_has_a_body_or_wants_something_changed_is_refused() {
        use RequestHeadError::{HasBody, Malformed, OtherMethod};
        for (text, why) in [
            ("G\0\r\n\r\n", Malformed),
            ("GET /announce HTTP/1.1\r\nHost: a\r\n", Malformed),
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", HasBody),
            (
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                HasBody,
            ),
            ("POST /announce HTTP/1.1\r\n\r\n", OtherMethod),
        ] {
            assert_eq!(head(text), Err(why), "{text}");
        }
        let many = "A: b\r\n".repeat(MOST_HEADERS + 1);
        let many = format!("GET / HTTP/1.1\r\n{many}\r\n");
        assert_eq!(head(&many), Err(Malformed));
    }

    #[test]
    fn an_answer_is_used_if_its_status_is_200() {
        let begin = "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n";
        let read = AnswerHead {
            length: begin.len(),
            body: Some(7),
        };
        assert_eq!(answer(begin), Ok(Some(read)));
        assert_eq!(answer(&format!("{begin}d1:")), Ok(Some(read)));
        for cut in 0..begin.len() {
            assert_eq!(answer(&begin[..cut]), Ok(None), "{cut}");
        }
        let no_length = answer("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n");
        assert_eq!(
            no_length.map(|head| head.and_then(|head| head.body)),
            Ok(None)
        );
        let elsewhere = answer("HTTP/1.1 302 Found\r\n\r\n");
        assert_eq!(elsewhere, Err(AnswerHeadError::Status(302)));
        assert_eq!(answer("220 mail\r\n"), Err(AnswerHeadError::NotHttp));
    }

    #[test]
    fn an_answer_whose_head_does_not_end_is_not_awaited_for_ever() {
        let long = format!("HTTP/1.0 200 OK\r\nA: {}", "b".repeat(LONGEST_ANSWER_HEAD));
        assert_eq!(answer(&long[..LONGEST_ANSWER_HEAD]), Ok(None));
        assert_eq!(answer(&long), Err(AnswerHeadError::NotHttp));
    }
}
