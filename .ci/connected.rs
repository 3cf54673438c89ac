//! One use of everything that `crates/{group,files}/clippy.toml` bans, each in a
//! line of its own. `.ci/purity` puts this file under either of them and counts.
//! It is never run, and part of no crate.
#![allow(dead_code, unused, clippy::all)]
#![warn(clippy::disallowed_types, clippy::disallowed_methods)]

fn types(
    _: std::net::TcpStream,
    _: std::net::TcpListener,
    _: std::net::UdpSocket,
    _: std::os::unix::net::UnixStream,
    _: std::os::unix::net::UnixListener,
    _: std::os::unix::net::UnixDatagram,
    _: tokio::net::TcpStream,
    _: tokio::net::TcpListener,
    _: tokio::net::TcpSocket,
    _: tokio::net::UdpSocket,
    _: tokio::net::UnixStream,
    _: tokio::net::UnixListener,
    _: tokio::net::UnixDatagram,
) {
}

async fn methods() {
    _ = std::net::ToSocketAddrs::to_socket_addrs("localhost:1");
    _ = tokio::net::lookup_host("localhost:1").await;
}
