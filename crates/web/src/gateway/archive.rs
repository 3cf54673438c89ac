//! A folder as zip or tar, made while it is sent: nothing of it is kept.
//!
//! Files are not compressed: most of what is large is so already, and the link is faster than a
//! processor. Each is read like any other, whole and verified; if one cannot be, the connection
//! breaks, and no archive looks whole that is not.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use thorp_node::api::{Doubt, Failure, FileRow, Miss, Read};
use thorp_node::peer::{NotRead, Peer, Reading};
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{Form, Wanted, failing, kind};
use crate::shared::Shared;

/// The most files of an archive.
const MOST_FILES: usize = 100_000;
/// Parts of an archive that wait to be sent.
const PARTS: usize = 2;
/// The length of such a part in bytes.
const PART: usize = 256 * 1024;

pub(super) async fn answer(
    shared: &Arc<Shared>,
    peer: &Peer,
    wanted: &Wanted,
    method: &Method,
) -> Response {
    let Ok(place) = shared.stream() else {
        return failing::busy();
    };
    let say = shared.node.say;
    let files = match files_of(shared, wanted).await {
        Ok(files) => files,
        Err(not) => return failing::not_read(not, wanted, &HeaderMap::new(), say),
    };
    // Once headers are sent, a file that can never be read would only break the archive off.
    for file in &files {
        let root = file.root.as_deref().unwrap_or_default();
        if let Some(failure) = peer.is_too_long_to_read(file.length, root).await {
            return failing::failed(failure, say);
        }
    }
    let base = match &wanted.name[above(wanted)..] {
        "" => "files",
        base => base,
    };
    let (content_type, ending) = match wanted.form {
        Form::Zip => ("application/zip", "zip"),
        Form::Tar | Form::File => ("application/x-tar", "tar"),
    };
    let body = if method == Method::HEAD {
        // Its length is not known, and is not 0.
        Body::from_stream(stream::empty::<io::Result<Bytes>>())
    } else {
        let (parts, taken) = mpsc::channel(PARTS);
        let job = Job {
            peer: peer.clone(),
            from: wanted.from.clone(),
            files,
            above: above(wanted),
            runtime: Handle::current(),
            parts,
        };
        if job.start(wanted.form, place).is_err() {
            return failing::busy();
        }
        Body::from_stream(stream::unfold(taken, async |mut taken| {
            let part: io::Result<Bytes> = taken.recv().await?;
            Some((part, taken))
        }))
    };
    let disposition = kind::saved_as(&format!("{base}.{ending}"));
    let mut answer = body.into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    answer
}

/// Returns how much of each path is above the folder that is packed.
fn above(wanted: &Wanted) -> usize {
    wanted.name.rfind('/').map_or(0, |slash| slash + 1)
}

/// The files of a folder, if each name means one content.
async fn files_of(shared: &Shared, wanted: &Wanted) -> Result<Vec<FileRow>, NotRead> {
    let mut files: BTreeMap<String, Vec<FileRow>> = BTreeMap::new();
    let (mut more, mut bytes) = (0, 0u64);
    let listed = shared
        .surveys
        .each_now(&shared.node.ask, wanted.files(), |row| {
            bytes = bytes.saturating_add(row.length);
            if files.len() >= MOST_FILES && !files.contains_key(&row.name) {
                more += 1;
            } else {
                files.entry(row.name.clone()).or_default().push(row);
            }
        });
    listed.await?;
    if more > 0 {
        let files = MOST_FILES as u64 + more;
        let name = wanted.name.clone();
        return Err(Failure::IsFolder { name, files, bytes }.into());
    }
    if files.is_empty() {
        let folder = wanted.name.clone();
        return Err(Failure::NoFolderCalled { folder }.into());
    }
    one_of_each(files, wanted)
}

/// Returns the files, if each path in the archive means one of them.
fn one_of_each(
    files: BTreeMap<String, Vec<FileRow>>,
    wanted: &Wanted,
) -> Result<Vec<FileRow>, NotRead> {
    let above = above(wanted);
    let mut packed = BTreeMap::new();
    for (name, rows) in &files {
        // Who unpacks a file where a folder has to be, or two files at one path, loses one.
        let beneath = format!("{name}/");
        let in_it = files.range(beneath.clone()..).next();
        let in_it = in_it.filter(|(other, _)| other.starts_with(&beneath));
        let other = in_it.map(|(_, rows)| rows);
        let other = other.or_else(|| packed.insert(packed_as(&name[above..], wanted.form), rows));
        if let Some(other) = other {
            let (name, doubt) = (name.clone(), Doubt::Several);
            return Err(NotRead {
                failure: Box::new(Failure::Ambiguous { name, doubt }),
                variants: [&rows[..], other].concat(),
            });
        }
    }
    drop(packed);
    let mut all = Vec::with_capacity(files.len());
    for (name, mut rows) in files {
        if let [only] = &rows[..] {
            if only.root.is_none() {
                let miss = Miss::StillHashing { by: None };
                return Err(Failure::Missed { name, miss }.into());
            }
            all.append(&mut rows);
        } else {
            let doubt = Doubt::Several;
            return Err(NotRead {
                failure: Box::new(Failure::Ambiguous { name, doubt }),
                variants: rows,
            });
        }
    }
    Ok(all)
}

/// Returns a path as an archive has it. In a zip some unpackers take `\` for `/`, and `C:` for a
/// disk: such a path would lead elsewhere.
fn packed_as(path: &str, form: Form) -> Cow<'_, str> {
    let is_on_disk = path.as_bytes().get(1) == Some(&b':');
    if form != Form::Zip || !path.contains('\\') && !is_on_disk {
        return path.into();
    }
    let mut path = path.replace('\\', "_");
    if is_on_disk {
        path.replace_range(1..2, "_");
    }
    path.into()
}

/// The parts of an archive, as they are sent.
type Parts = mpsc::Sender<io::Result<Bytes>>;

/// An archive that is being made.
struct Job {
    peer: Peer,
    from: Option<String>,
    files: Vec<FileRow>,
    /// How much of each path is above the folder.
    above: usize,
    runtime: Handle,
    parts: Parts,
}

impl Job {
    /// Makes it on a thread of its own, as fast as it is taken.
    fn start(self, form: Form, place: OwnedSemaphorePermit) -> io::Result<()> {
        thorp_disk::spawn_thread("archive", move |_| {
            let _place = place;
            let out = Out {
                parts: self.parts.clone(),
                part: Vec::with_capacity(PART),
            };
            let made = match form {
                Form::Zip => self.zip(out),
                Form::Tar | Form::File => self.tar(out),
            };
            if let Err(error) = made {
                tracing::info!(%error, "an archive breaks off");
                // If its reader is gone, it is not to be told.
                let _ = self.parts.blocking_send(Err(error));
            }
        })
    }

    fn zip(&self, out: Out) -> io::Result<()> {
        let mut zip = ZipWriter::new_stream(out);
        for file in &self.files {
            let options = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                // Sizes of 64 bits in each: how long it is is written behind it.
                .large_file(true)
                .unix_permissions(mode_of(file))
                .last_modified_time(time_of(file.mtime));
            let path = packed_as(&file.name[self.above..], Form::Zip);
            zip.start_file(path, options)?;
            io::copy(&mut self.open(file)?, &mut zip)?;
        }
        zip.finish()?;
        Ok(())
    }

    fn tar(&self, out: Out) -> io::Result<()> {
        let mut tar = tar::Builder::new(out);
        for file in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(file.length);
            header.set_mode(mode_of(file));
            header.set_mtime(u64::try_from(file.mtime).unwrap_or_default());
            tar.append_data(&mut header, &file.name[self.above..], self.open(file)?)?;
        }
        tar.finish()
    }

    fn open(&self, file: &FileRow) -> io::Result<Bytewise<'_>> {
        let read = Read {
            name: file.name.clone(),
            from: self.from.clone(),
            root: file.root.clone(),
            hidden: true,
        };
        let reading = self.runtime.block_on(async {
            tokio::select! {
                opened = self.peer.read(read) => opened.map_err(|not| broken(&not.failure)),
                () = self.parts.closed() => Err(io::ErrorKind::BrokenPipe.into()),
            }
        })?;
        if reading.length() != file.length {
            return Err(io::Error::other("it is another file than was listed"));
        }
        Ok(Bytewise {
            job: self,
            reading,
            at: 0,
            some: io::Cursor::default(),
        })
    }
}

/// Reads a file where that may wait.
struct Bytewise<'a> {
    job: &'a Job,
    reading: Reading,
    at: u64,
    some: io::Cursor<Vec<u8>>,
}

impl io::Read for Bytewise<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.some.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        let end = self.reading.length();
        let (reading, at) = (&mut self.reading, self.at);
        let bytes = self.job.runtime.block_on(async {
            tokio::select! {
                bytes = reading.read(at..end) => bytes.map_err(|failure| broken(&failure)),
                () = self.job.parts.closed() => Err(io::ErrorKind::BrokenPipe.into()),
            }
        })?;
        self.at += bytes.len() as u64;
        self.some = io::Cursor::new(bytes);
        self.some.read(buffer)
    }
}

fn broken(failure: &Failure) -> io::Error {
    let kind = failure.kind();
    io::Error::other(format!("a file cannot be read ({kind:?})"))
}

/// What is written, a part at a time; the last part goes when it is dropped.
struct Out {
    parts: Parts,
    part: Vec<u8>,
}

impl Out {
    fn send(&mut self) -> io::Result<()> {
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART));
        let sent = self.parts.blocking_send(Ok(part.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PART - self.part.len();
        let some = &bytes[..bytes.len().min(room)];
        self.part.extend(some);
        if self.part.len() == PART {
            self.send()?;
        }
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Parts go when they are full.
        Ok(())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if !self.part.is_empty() {
            // If its reader is gone, nothing is to be sent.
            let _ = self.send();
        }
    }
}

fn mode_of(file: &FileRow) -> u32 {
    if file.executable { 0o755 } else { 0o644 }
}

/// A time as archives of that kind say it: from 1980 on, to two seconds, and here in UTC.
fn time_of(mtime: i64) -> DateTime {
    let Ok(time) = OffsetDateTime::from_unix_timestamp(mtime) else {
        return DateTime::default();
    };
    let Ok(year) = u16::try_from(time.year()) else {
        return DateTime::default();
    };
    let (month, day) = (time.month().into(), time.day());
    let (hour, minute, second) = time.to_hms();
    DateTime::from_date_and_time(year, month, day, hour, minute, second).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> BTreeMap<String, Vec<FileRow>> {
        let row = |name: &str| FileRow {
            name: name.to_owned(),
            length: 1,
            mtime: 0,
            mtime_ns: 0,
            executable: false,
            root: Some("1a".to_owned()),
            holders: Vec::new(),
        };
        let each = names
            .iter()
            .map(|name| ((*name).to_owned(), vec![row(name)]));
        each.collect()
    }

    fn wanted(form: Form) -> Wanted {
        Wanted {
            name: "top/a".to_owned(),
            is_folder: true,
            form,
            ..Wanted::default()
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_on_another_system_is_another_in_a_zip() {
        for (path, packed) in [
            ("a/b.txt", "a/b.txt"),
            ("a/12:30.txt", "a/12:30.txt"),
            ("a/..\\..\\b", "a/.._.._b"),
            ("C:/b", "C_/b"),
        ] {
            assert_eq!(packed_as(path, Form::Zip), packed);
            assert_eq!(packed_as(path, Form::Tar), path);
        }
    }

    #[test]
    fn what_could_not_be_unpacked_is_said_before_anything_is_sent() {
        let all = ["top/a/x", "top/a/x y", "top/a/x.d/y"];
        let found = one_of_each(files(&all), &wanted(Form::Zip)).expect("each has its place");
        assert_eq!(found.len(), 3);
        let file_and_folder = files(&["top/a/x", "top/a/x y", "top/a/x/y"]);
        for form in [Form::Zip, Form::Tar] {
            let not = one_of_each(file_and_folder.clone(), &wanted(form)).expect_err("a doubt");
            let names: Vec<&str> = not.variants.iter().map(|row| &*row.name).collect();
            assert_eq!(names, ["top/a/x", "top/a/x/y"]);
        }
        let alike = files(&["top/a/b\\c", "top/a/b_c"]);
        assert!(one_of_each(alike.clone(), &wanted(Form::Zip)).is_err());
        assert!(one_of_each(alike, &wanted(Form::Tar)).is_ok());
    }
}
