//! The socket over which other processes of this machine ask a node.
//!
//! It is a Unix socket in the state directory, which only its owner may enter. A client sends one
//! [`Command`] as a line of JSON and reads [`Event`]s, one per line, until the connection closes.
//! If the client closes it early, the command is abandoned. The first event confirms that the
//! command was read ([`Note::Taken`]).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use thorp_disk::{DiskThread, LetGo};
use thorp_wire::torrent::LONGEST_TORRENT;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::api::{
    Command, Event, Failure, FileBytes, Note, add_line, command_of, event_of, line_of,
    line_of_command,
};
use crate::process::is_suspended;

pub(crate) const SOCKET: &str = "socket";
/// The longest path of a Unix socket that nearly every system accepts, in bytes.
const LONGEST_PATH: usize = 100;
/// The maximum length of a command, in bytes: that of the longest torrent, which is in base64.
const LONGEST_COMMAND: u64 = LONGEST_TORRENT as u64 / 3 * 4 + 64 * 1024;
/// The maximum number of events that wait for a client.
const EVENTS: usize = 256;
/// How many bytes of an answer are read at once: the lines of a hundred files.
const MOST_AT_ONCE: usize = 64 * 1024;
/// The most bytes of a file that one event announces.
const MOST_BYTES: usize = 1024 * 1024;
/// How long a node may take to read a command before its caller is told.
const SILENT_AFTER: Duration = Duration::from_secs(2);
/// How long the caller then waits for a node that is not suspended.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(1);
/// How often the caller then checks whether the node is suspended.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long writing the remaining answers may take when a node has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A socket that is served until this is dropped.
#[derive(Debug)]
pub struct Answering {
    task: JoinHandle<()>,
    #[expect(dead_code, reason = "dropping it removes the socket")]
    name: LetGo<Name>,
    /// Cloned for every client that is being answered, so that `answered` closes with the last
    /// one.
    answers: mpsc::Sender<()>,
    answered: mpsc::Receiver<()>,
}

impl Answering {
    /// Accepts no further client, and waits until those that have asked have their answers. The
    /// node has ended, so little is left to send.
    pub async fn finish(&mut self) {
        self.task.abort();
        let (gone, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.answers, gone));
        // A client that does not read its answer in time loses it.
        let _ = timeout(LAST_WORDS, self.answered.recv()).await;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The socket's path, which is removed on drop.
#[derive(Debug)]
struct Name(PathBuf);

impl Drop for Name {
    fn drop(&mut self) {
        // The file may be gone already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The socket of a node cannot be made: check the directory's permissions, or use another
/// directory.
#[derive(Debug, Error)]
#[error("the socket {} cannot be made ({error})", path.display())]
pub struct LocalError {
    path: PathBuf,
    error: io::Error,
}

/// A socket that is not served yet.
#[derive(Debug)]
pub struct Listening {
    listener: net::UnixListener,
    name: LetGo<Name>,
}

/// Makes the socket of a state directory that this process has locked.
pub fn listen(disk: DiskThread, state: &Path) -> Result<Listening, LocalError> {
    let path = state.join(SOCKET);
    let failed = |error| LocalError {
        path: path.clone(),
        error,
    };
    // The directory is locked, so a socket in it was left by a node that has ended.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let short = ShortPath::of(disk, state).map_err(failed)?;
    let listener = net::UnixListener::bind(short.path()).map_err(failed)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(Listening {
        listener,
        name: LetGo::new(Name(path)),
    })
}

/// Serves the commands that arrive at a socket.
pub fn answer<F>(listening: Listening, command: F) -> Result<Answering, LocalError>
where
    F: Fn(Command) -> mpsc::Receiver<Event> + Clone + Send + 'static,
{
    let Listening { listener, name } = listening;
    let listener = UnixListener::from_std(listener).map_err(|error| LocalError {
        path: name.0.clone(),
        error,
    })?;
    let (answers, answered) = mpsc::channel(1);
    let task = tokio::spawn(accept(listener, command, answers.clone()));
    Ok(Answering {
        task,
        name,
        answers,
        answered,
    })
}

/// Sends a command to the node that runs on a state directory. Returns `None` if no node runs. If
/// the node ends before it has read the command, the channel closes without an event.
pub async fn ask(state: &Path, command: &Command) -> Option<mpsc::Receiver<Event>> {
    let stream = connect(state).await?;
    let line = line_of_command(command).ok()?;
    let (events, receiver) = mpsc::channel(command.events_that_wait(EVENTS));
    if line.len() as u64 > LONGEST_COMMAND {
        let _ = events.try_send(Event::Error(too_long()));
        return Some(receiver);
    }
    tokio::spawn(async move {
        tokio::select! {
            () = converse(stream, &line, &events) => {}
            () = events.closed() => {}
        }
    });
    Some(receiver)
}

/// Opening the socket may take as long as its disk does, so it is done on another thread.
async fn connect(state: &Path) -> Option<UnixStream> {
    let state = state.to_owned();
    let connected = thorp_disk::spawn(move |disk| {
        let stream = net::UnixStream::connect(ShortPath::of(disk, &state)?.path())?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    });
    let connected: io::Result<_> = connected.await.ok()?;
    let stream = UnixStream::from_std(connected.ok()?).ok()?;
    // A socket may have been put there by another user, who would be told what this one wants.
    let owner = stream.peer_cred().ok()?.uid();
    (owner == rustix::process::geteuid().as_raw()).then_some(stream)
}

/// Sends the command and passes on the answer. Once the node has confirmed that it read the
/// command, the command must not be sent to another node.
async fn converse(mut stream: UnixStream, command: &[u8], events: &mpsc::Sender<Event>) {
    let credentials = stream.peer_cred().ok();
    let process = credentials
        .and_then(|credentials| credentials.pid())
        .and_then(|pid| u32::try_from(pid).ok().filter(|pid| *pid > 0));
    let (read, mut write) = stream.split();
    let mut lines = BufReader::with_capacity(MOST_AT_ONCE, read).lines();
    let first = async {
        // If the node does not read the command, it does not answer either.
        let _ = write.write_all(command).await;
        lines.next_line().await
    };
    let first = tokio::select! {
        biased;
        first = first => first,
        failure = watch_silence(process, events) => {
            let _ = events.send(Event::Error(failure)).await;
            return;
        }
    };
    let mut next = match first {
        Ok(Some(line)) => Ok(Some(line)),
        Ok(None) | Err(_) => return,
    };
    loop {
        let event = match next {
            Ok(Some(line)) => event_of(&line),
            Ok(None) | Err(_) => Some(Event::Error(Failure::AnswerCutShort)),
        };
        let event = match event {
            Some(Event::Bytes(bytes)) => Some(with_bytes(&mut lines, bytes.length).await),
            event => event,
        };
        if let Some(event) = event
            && event != Event::Note(Note::Taken)
        {
            let is_last = event.is_last();
            if events.send(event).await.is_err() || is_last {
                return;
            }
        }
        next = lines.next_line().await;
    }
}

/// Reads the bytes of a file that follow the line that announces them.
async fn with_bytes<R: AsyncBufRead + Unpin>(lines: &mut Lines<R>, length: usize) -> Event {
    if length > MOST_BYTES {
        return Event::Error(Failure::AnswerGarbled);
    }
    let mut bytes = vec![0; length];
    match lines.get_mut().read_exact(&mut bytes).await {
        Ok(_) => Event::Bytes(FileBytes::of(bytes)),
        Err(_) => Event::Error(Failure::AnswerCutShort),
    }
}

/// Returns once it is clear that the node will not read the command. Until then the caller waits
/// for a node that is merely slow, and is told so.
async fn watch_silence(process: Option<u32>, events: &mpsc::Sender<Event>) -> Failure {
    sleep(SILENT_AFTER).await;
    let is_suspended = || process.is_some_and(is_suspended);
    if !is_suspended() {
        let _ = events.send(Event::Note(Note::Unanswered { process })).await;
        let given_up = Instant::now() + GIVEN_UP_AFTER;
        while !is_suspended() && Instant::now() < given_up {
            sleep(LOOK_EVERY).await;
        }
    }
    Failure::NotAnswering {
        process,
        is_suspended: is_suspended(),
    }
}

async fn accept<F>(listener: UnixListener, command: F, answers: mpsc::Sender<()>)
where
    F: Fn(Command) -> mpsc::Receiver<Event> + Clone + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (command, answers) = (command.clone(), answers.clone());
                tokio::spawn(async move {
                    let _until_answered = answers;
                    if let Err(error) = serve(stream, command).await {
                        tracing::debug!(%error, "a local client went away");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the local socket cannot accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve<F>(mut stream: UnixStream, command: F) -> io::Result<()>
where
    F: Fn(Command) -> mpsc::Receiver<Event>,
{
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read.take(LONGEST_COMMAND));
    let mut line = String::new();
    read.read_line(&mut line).await?;
    let is_cut = line.len() as u64 == LONGEST_COMMAND && !line.ends_with('\n');
    let asked = if is_cut {
        Err(too_long())
    } else {
        command_of(&line)
    };
    let mut events = match asked {
        Ok(asked) => {
            write
                .write_all(&line_of(&Event::Note(Note::Taken))?)
                .await?;
            command(asked)
        }
        Err(failure) => return write.write_all(&line_of(&Event::Error(failure))?).await,
    };
    let mut rest = [0; 1];
    let mut gathered = Vec::new();
    loop {
        let count = tokio::select! {
            count = events.recv_many(&mut gathered, EVENTS) => count,
            // A client sends nothing after its command; if it hangs up, it does not want the
            // answer.
            _ = read.read(&mut rest) => return Ok(()),
        };
        if count == 0 {
            return Ok(());
        }
        let mut lines = Vec::new();
        for event in gathered.drain(..) {
            add_line(&mut lines, &event)?;
        }
        write.write_all(&lines).await?;
    }
}

fn too_long() -> Failure {
    Failure::CommandTooLong {
        most: LONGEST_COMMAND,
    }
}

/// A path to the socket that is short enough for the system, however long the directory's path
/// is.
struct ShortPath {
    path: PathBuf,
    _dir: Option<OwnedFd>,
}

impl ShortPath {
    fn of(_: DiskThread, state: &Path) -> io::Result<Self> {
        let path = state.join(SOCKET);
        if path.as_os_str().len() <= LONGEST_PATH {
            return Ok(Self { path, _dir: None });
        }
        let dir: OwnedFd = std::fs::File::open(state)?.into();
        Ok(Self {
            path: format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()).into(),
            _dir: Some(dir),
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Done;

    use thorp_disk::testing::DISK;

    fn echo(command: Command) -> mpsc::Receiver<Event> {
        let (events, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let name = format!("{command:?}");
            let _ = events.send(Event::Note(Note::LeftOut { name })).await;
            let _ = events.send(Event::Done(Done::default())).await;
        });
        receiver
    }

    #[tokio::test]
    async fn a_command_is_answered_event_by_event_whatever_the_length_of_the_path() {
        let base = tempfile::tempdir().expect("a directory");
        for name in ["short".to_owned(), "x".repeat(200)] {
            let state = base.path().join(name);
            std::fs::create_dir(&state).expect("made");
            let _answering = answer(listen(DISK, &state).expect("made"), echo).expect("a socket");
            let mut events = ask(&state, &Command::Peers).await.expect("a node");
            assert_eq!(
                events.recv().await,
                Some(Event::Note(Note::LeftOut {
                    name: "Peers".to_owned()
                }))
            );
            assert_eq!(events.recv().await, Some(Event::Done(Done::default())));
            assert_eq!(events.recv().await, None);
        }
    }

    #[tokio::test]
    async fn where_no_node_runs_nobody_answers() {
        let state = tempfile::tempdir().expect("a directory");
        assert!(ask(state.path(), &Command::Peers).await.is_none());
        // A socket that a dead node left behind.
        drop(UnixListener::bind(state.path().join(SOCKET)).expect("bound"));
        assert!(ask(state.path(), &Command::Peers).await.is_none());
        let _answering =
            answer(listen(DISK, state.path()).expect("made"), echo).expect("a socket in its place");
        assert!(ask(state.path(), &Command::Peers).await.is_some());
    }

    #[tokio::test]
    async fn whoever_has_asked_hears_the_end_before_the_socket_goes() {
        let state = tempfile::tempdir().expect("a directory");
        let (go, gone) = tokio::sync::watch::channel(false);
        let (taken, mut taken_up) = mpsc::channel(1);
        let answering = answer(listen(DISK, state.path()).expect("made"), move |_| {
            let (events, receiver) = mpsc::channel(1);
            taken.try_send(()).expect("one command");
            let mut gone = gone.clone();
            tokio::spawn(async move {
                let _ = gone.wait_for(|gone| *gone).await;
                let _ = events.send(Event::Done(Done::default())).await;
            });
            receiver
        });
        let mut answering = answering.expect("a socket");
        let mut events = ask(state.path(), &Command::Stop).await.expect("a node");
        taken_up.recv().await.expect("it is taken up");
        let finished = tokio::spawn(async move { answering.finish().await });
        go.send(true).expect("somebody waits");
        assert_eq!(events.recv().await, Some(Event::Done(Done::default())));
        finished.await.expect("ends");
        assert!(ask(state.path(), &Command::Peers).await.is_none());
        assert!(!state.path().join(SOCKET).exists());
    }

    #[tokio::test]
    async fn a_node_that_dies_with_a_command_cuts_its_answer_short() {
        let state = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(state.path().join(SOCKET)).expect("bound");
        for (said, expected) in [
            // The node had not read the command, so another node may.
            ("", None),
            // The node had read the command, and it is unknown what it has done.
            (
                "{\"event\":\"note\",\"note\":\"taken\"}\n",
                Some(Event::Error(Failure::AnswerCutShort)),
            ),
        ] {
            let mut events = ask(state.path(), &Command::Peers).await.expect("a node");
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut command = [0; 64];
            assert_ne!(stream.read(&mut command).await.expect("read"), 0);
            stream.write_all(said.as_bytes()).await.expect("sent");
            drop(stream);
            assert_eq!(events.recv().await, expected, "{said:?}");
            assert_eq!(events.recv().await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_slow_is_waited_for_and_one_that_never_reads_is_not() {
        let state = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(state.path().join(SOCKET)).expect("bound");
        let process = Some(std::process::id());
        let begun = Instant::now();
        let mut slow = ask(state.path(), &Command::Peers).await.expect("a node");
        let (mut stream, _) = listener.accept().await.expect("a client");
        assert_eq!(
            slow.recv().await,
            Some(Event::Note(Note::Unanswered { process }))
        );
        assert!(begun.elapsed() < SILENT_AFTER * 2);
        let done = line_of(&Event::Done(Done::default())).expect("a line");
        stream.write_all(&done).await.expect("sent");
        assert_eq!(slow.recv().await, Some(Event::Done(Done::default())));

        let mut never = ask(state.path(), &Command::Peers).await.expect("a node");
        never.recv().await.expect("the remark");
        let is_suspended = false;
        assert_eq!(
            never.recv().await,
            Some(Event::Error(Failure::NotAnswering {
                process,
                is_suspended
            }))
        );
    }

    #[tokio::test]
    async fn a_command_that_is_too_long_is_told_as_what_it_is() {
        let state = tempfile::tempdir().expect("a directory");
        let _answering = answer(listen(DISK, state.path()).expect("made"), echo).expect("a socket");
        let told = Event::Error(too_long());
        let length = usize::try_from(LONGEST_COMMAND).expect("is small");
        let long = Command::Find {
            pattern: "x".repeat(length),
        };
        let mut events = ask(state.path(), &long).await.expect("a node");
        assert_eq!(events.recv().await, Some(told.clone()));
        // As a program of another version sends it.
        let mut stream = UnixStream::connect(state.path().join(SOCKET))
            .await
            .expect("connected");
        let beginning = vec![b' '; length];
        stream.write_all(&beginning).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        let event: Event = serde_json::from_str(&answer).expect("an event");
        assert_eq!(event, told);
    }

    #[tokio::test]
    async fn what_is_no_command_is_answered_with_an_error() {
        let state = tempfile::tempdir().expect("a directory");
        let _answering = answer(listen(DISK, state.path()).expect("made"), echo).expect("a socket");
        let mut stream = UnixStream::connect(state.path().join(SOCKET))
            .await
            .expect("connected");
        stream
            .write_all(b"{\"command\":\"dance\"}\n")
            .await
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        let event: Event = serde_json::from_str(&answer).expect("an event");
        assert!(
            matches!(event, Event::Error(Failure::UnknownCommand { .. })),
            "{event:?}"
        );
    }
}
