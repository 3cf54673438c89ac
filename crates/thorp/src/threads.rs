//! The threads on which this program works: as many as there are processors for a node, one for a
//! command that only asks a node, which would be half done before the others had started.
//!
//! A limit on all processes of a user (`ulimit -u`) or of a container takes effect when a thread
//! is started, possibly deep in a library. So it is tried beforehand.

use std::num::NonZero;
use std::os::unix::net::UnixStream;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use thorp_node::api::ErrorKind;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::exit::{Result, failure};
use crate::units::count;

/// The number of threads besides those that do the work: they watch the share, hash, read and
/// write files, and wait for keys.
const BESIDES: usize = 8;

/// The same where no node runs in this process: they look at the disk, and wait for keys.
const BESIDES_ASKING: usize = 2;

/// How long a thread for the disk waits for work: until the end.
const FOR_EVER: Duration = Duration::from_hours(100 * 365 * 24);

/// How long one may take to start.
const STARTED_WITHIN: Duration = Duration::from_secs(1);

/// Starts the threads of a node: one for each processor, or fewer if the system does not allow
/// that many.
pub fn of_node() -> Result<Runtime> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    start(processors, BESIDES)
}

/// Starts the threads of a command that asks a node. A signal is heard by one of them while the
/// command is printing.
pub fn of_command() -> Result<Runtime> {
    start(1, BESIDES_ASKING)
}

/// Starts the threads of a visitor beside those of its command, once.
pub fn of_visitor() -> Result<Handle> {
    static STARTED: OnceLock<Runtime> = OnceLock::new();
    if let Some(started) = STARTED.get() {
        return Ok(started.handle().clone());
    }
    let threads = of_node()?;
    Ok(STARTED.get_or_init(|| threads).handle().clone())
}

fn start(wanted: usize, besides: usize) -> Result<Runtime> {
    let allowed = allowed(wanted + besides);
    let Some(workers @ 1..) = allowed.checked_sub(besides) else {
        let why = format!(
            "this system lets the program start only {} more, and it needs {}: raise the limit \
             (ulimit -u, of memory ulimit -v, or that of the container), or end other programs",
            count(allowed as u64, "thread"),
            besides + 1
        );
        return Err(failure(ErrorKind::Other, why));
    };
    // Signals come by a pair of sockets, without which the runtime panics.
    let started = UnixStream::pair().and_then(|_| {
        Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_keep_alive(FOR_EVER)
            .enable_all()
            .build()
    });
    let runtime = started.map_err(|error| {
        let why = format!(
            "this system does not let the program start its threads ({error}): raise the limit of \
             open files (ulimit -n), or look what its sandbox allows"
        );
        failure(ErrorKind::Other, why)
    })?;
    keep(&runtime, besides);
    Ok(runtime)
}

/// Starts as many threads for the disk now, to stay: where others have taken what the limit leaves
/// when one is needed, its work would wait for ever.
fn keep(runtime: &Runtime, number: usize) {
    let _inside = runtime.enter();
    let (start, started) = mpsc::channel();
    let ends: Vec<_> = (0..number)
        .map(|_| {
            let start = start.clone();
            let (end, ended) = mpsc::channel::<()>();
            thorp_disk::spawn(move |_| {
                let _ = start.send(());
                let _ = ended.recv();
            });
            end
        })
        .collect();
    // Each waits until all have started, or until the system lets no more start.
    for _ in &ends {
        if started.recv_timeout(STARTED_WITHIN).is_err() {
            break;
        }
    }
}

/// Returns how many of `wanted` threads can exist at the same time.
fn allowed(wanted: usize) -> usize {
    let mut started = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        let (end, ended) = mpsc::channel::<()>();
        // Each thread waits until all have been started.
        let wait = move || ended.recv().is_ok();
        match thread::Builder::new().spawn(wait) {
            Ok(thread) => started.push((end, thread)),
            Err(_) => break,
        }
    }
    let allowed = started.len();
    for (end, thread) in started {
        drop(end);
        let _ = thread.join();
    }
    allowed
}
