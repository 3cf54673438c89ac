//! A longer way over loopback: what arrives at one port leaves for another one a while later.
//!
//! It stands in user space, where no kernel's delay is to be had. It keeps as much as arrives
//! meanwhile, so it limits no rate. The same port is used at two addresses of loopback: a member
//! names no address of loopback but is dialled at the one where it is seen, with its own port.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// The maximum of what is read at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// Where a program listens that is reached over a relay. The relay listens at the same port of
/// 127.0.0.1.
pub const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A relay that ends with this value.
pub struct Relay {
    _runtime: Runtime,
}

impl Relay {
    /// Starts a relay from a port of 127.0.0.1 to the same one of [`FAR`]. Each direction is this
    /// much later.
    pub fn to_far(port: u16, delay: Duration) -> Result<Self> {
        Self::start(port, SocketAddr::from((FAR, port)), delay)
    }

    /// Starts a relay from a port of 127.0.0.1.
    pub fn start(port: u16, to: SocketAddr, delay: Duration) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)))?;
        runtime.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connect(near, to, delay));
            }
        });
        Ok(Self { _runtime: runtime })
    }
}

async fn connect(near: TcpStream, to: SocketAddr, delay: Duration) -> std::io::Result<()> {
    let far = TcpStream::connect(to).await?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::join!(
        carry(near_in, far_out, delay),
        carry(far_in, near_out, delay)
    );
    Ok(())
}

/// Carries one direction to its end.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (on_their_way, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + delay;
            if on_their_way.send((due, buffer[..read].to_vec())).is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = arriving.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(reading, writing);
}
