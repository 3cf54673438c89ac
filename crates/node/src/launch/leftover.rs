//! What interrupted fetches have left in a directory, whether or not a node runs.

use std::io;
use std::path::PathBuf;

use thorp_files::leftovers::{Leftover, Leftovers};

use super::LaunchError;

/// Finds it.
pub async fn leftovers(directory: PathBuf) -> Result<io::Result<Leftovers>, LaunchError> {
    Ok(thorp_disk::spawn(move |disk| Leftovers::find(disk, &directory, None)).await?)
}

/// Removes some of it. Returns the files that could not be removed, each with its error.
pub async fn remove_leftovers(
    directory: PathBuf,
    files: Vec<Leftover>,
) -> Result<Vec<(Leftover, io::Error)>, LaunchError> {
    let work = thorp_disk::spawn(move |disk| {
        let removed = files.into_iter().map(|file| {
            let removed = file.remove(disk, &directory);
            (file, removed)
        });
        removed
            .filter_map(|(file, removed)| Some((file, removed.err()?)))
            .collect()
    });
    Ok(work.await?)
}
