//! The URL of a tracker: `http://HOST[:PORT]/PATH` or `udp://HOST:PORT[/PATH]`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Where a tracker takes announces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerUrl {
    transport: Transport,
    /// An IP address without brackets, or a name.
    host: String,
    port: u16,
    /// From the first `/` to the end, without a fragment: a path, perhaps with a query.
    path: String,
}

/// How a tracker is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Over HTTP (BEP 3).
    Http,
    /// By datagrams (BEP 15).
    Udp,
}

impl TrackerUrl {
    /// The maximum length of a URL, in bytes.
    pub const MAX: usize = 1024;

    /// Returns how the tracker is asked.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the name or the IP address of the tracker's machine, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, of TCP or of UDP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns what to ask for over HTTP: the URL's path with its query, followed by the query of
    /// an announce.
    pub fn target(&self, query: &str) -> String {
        joined(&self.path, query)
    }

    /// Returns what follows an announce by datagram: the URL's path with its query, by which some
    /// trackers tell their users apart (BEP 41). Nothing if the URL has neither.
    pub fn options(&self) -> Vec<u8> {
        const URL_DATA: u8 = 2;
        let path = if self.path == "/" { "" } else { &self.path };
        let mut options = Vec::new();
        for run in path.as_bytes().chunks(u8::MAX.into()) {
            let length = u8::try_from(run.len()).unwrap_or(u8::MAX);
            options.extend([URL_DATA, length]);
            options.extend_from_slice(run);
        }
        options
    }
}

fn joined(path: &str, query: &str) -> String {
    let between = if path.contains('?') { '&' } else { '?' };
    format!("{path}{between}{query}")
}

impl FromStr for TrackerUrl {
    type Err = TrackerUrlError;

    fn from_str(url: &str) -> Result<Self, TrackerUrlError> {
        if url.len() > Self::MAX {
            return Err(TrackerUrlError::TooLong);
        }
        // So that no byte of it can end a line of a request.
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TrackerUrlError::Malformed);
        }
        let (scheme, rest) = url.split_once("://").ok_or(TrackerUrlError::Malformed)?;
        let (transport, usual_port) = match &scheme.to_ascii_lowercase()[..] {
            "http" => (Transport::Http, Some(80)),
            "udp" => (Transport::Udp, None),
            other => return Err(TrackerUrlError::Scheme(other.to_owned())),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = host_and_port(authority).ok_or(TrackerUrlError::Malformed)?;
        let port = port.or(usual_port).filter(|port| *port != 0);
        Ok(Self {
            transport,
            host: host.to_ascii_lowercase(),
            port: port.ok_or(TrackerUrlError::NoPort)?,
            path: if path.starts_with('/') {
                path.to_owned()
            } else {
                format!("/{path}")
            },
        })
    }
}

/// Divides `HOST`, `HOST:PORT` or `[IPv6]:PORT`. A name and a password are not accepted.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match behind {
                "" => (host, None),
                behind => (host, Some(behind.strip_prefix(':')?)),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_v6 = authority.starts_with('[');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || (!is_v6 && !host.bytes().all(is_name)) {
        return None;
    }
    match port {
        None | Some("") => Some((host, None)),
        Some(port) => {
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            is_number
                .then(|| port.parse().ok())?
                .map(|port| (host, Some(port)))
        }
    }
}

impl fmt::Display for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Http => "http",
            Transport::Udp => "udp",
        };
        let is_v6 = self.host.contains(':');
        let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
        let (host, port) = (&self.host, self.port);
        write!(f, "{scheme}://{open}{host}{close}:{port}")?;
        match (self.transport, &self.path[..]) {
            (Transport::Udp, "/") => Ok(()),
            (_, path) => f.write_str(path),
        }
    }
}

/// Why a text is no URL of a tracker that can be asked. Pass this tracker over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrackerUrlError {
    /// It has more than [`TrackerUrl::MAX`] bytes.
    #[error("a tracker's URL has at most 1024 bytes")]
    TooLong,
    /// It begins with a scheme other than `http` and `udp`, for instance `https`.
    #[error("a tracker is asked over http or udp, not over {0}")]
    Scheme(String),
    /// It has no port, and its scheme has no usual one.
    #[error("a tracker's URL has a port that is not 0")]
    NoPort,
    /// It is no URL.
    #[error("not a URL of the form http://HOST:PORT/announce or udp://HOST:PORT")]
    Malformed,
}
