//! The same bytes over a bare TLS stream: what a transfer over loopback costs at least.

use std::sync::Arc;

use anyhow::{Result, ensure};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Large enough that the cost of a call is negligible.
const BUFFER: usize = 256 * 1024;
/// A page of memory.
const PAGE: usize = 4096;

/// Sends zeros from memory over TLS 1.3 on loopback to a receiver that discards them.
pub fn over_tls(length: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_io()
        .build()?;
    runtime.block_on(stream(length))
}

async fn stream(length: u64) -> Result<()> {
    let (server, client) = configurations()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let sender = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut stream = TlsAcceptor::from(server).accept(stream).await?;
        // They begin in the middle of a page, as a session's do: from elsewhere some processors
        // copy slowly.
        let room = vec![0; BUFFER + PAGE];
        let middle = (room.as_ptr().align_offset(PAGE) % PAGE + PAGE / 2) % PAGE;
        let bytes = &room[middle..][..BUFFER];
        let mut left = length;
        while left > 0 {
            let now = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
            stream.write_all(&bytes[..now]).await?;
            left -= now as u64;
        }
        stream.shutdown().await
    });
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("bench")?;
    let mut stream = TlsConnector::from(client).connect(name, stream).await?;
    let mut buffer = vec![0; BUFFER];
    let mut received = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => received += read as u64,
        }
    }
    sender.await??;
    ensure!(received == length, "{received} bytes arrived");
    Ok(())
}

fn configurations() -> Result<(Arc<ServerConfig>, Arc<ClientConfig>)> {
    let certified = rcgen::generate_simple_self_signed(vec!["bench".to_owned()])?;
    let certificate = certified.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::from(key))?;
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(server), Arc::new(client)))
}
