//! A question on standard error, a line from standard input.

use std::io::{self, Write};

use rustix::termios::QueueSelector;
use thorp_node::api::ErrorKind;

use crate::exit::{Result, failure};
use crate::wrap;

/// Asks the user; nothing comes back at the end of the input.
pub async fn line(question: &str) -> Result<Option<String>> {
    {
        let mut talk = io::stderr().lock();
        let question = wrap::fitted(question, &talk);
        let _ = write!(talk, "{question}\n> ");
        let _ = talk.flush();
    }
    let read = thorp_disk::spawn(|_| {
        let mut line = String::new();
        let count = io::stdin().read_line(&mut line)?;
        Ok::<_, io::Error>((count > 0).then_some(line))
    });
    match read.await {
        Ok(Ok(None)) => {
            // What comes next does not belong to the question's line.
            let _ = writeln!(io::stderr().lock());
            Ok(None)
        }
        Ok(Ok(line)) => Ok(line),
        Ok(Err(e)) => Err(failure(ErrorKind::Other, format!("standard input: {e}"))),
        Err(e) => Err(failure(ErrorKind::Other, format!("standard input: {e}"))),
    }
}

/// Drops what was typed or pasted beyond the answer, where that is a terminal.
pub fn drop_pending() {
    let _ = rustix::termios::tcflush(io::stdin(), QueueSelector::IFlush);
}
