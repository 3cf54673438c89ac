//! Asks on standard error and reads the answer from standard input.

use std::io::{self, Write};

use rustix::termios::QueueSelector;
use thorp_node::api::ErrorKind;

use crate::exit::{Result, failure};
use crate::wrap;

/// Asks the user. Returns `None` at the end of the input.
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
            // Ends the line of the question.
            let _ = writeln!(io::stderr().lock());
            Ok(None)
        }
        Ok(Ok(line)) => Ok(line),
        Ok(Err(e)) => Err(failure(ErrorKind::Other, format!("standard input: {e}"))),
        Err(e) => Err(failure(ErrorKind::Other, format!("standard input: {e}"))),
    }
}

/// Discards what was typed or pasted after the answer, if standard input is a terminal.
pub fn drop_pending() {
    let _ = rustix::termios::tcflush(io::stdin(), QueueSelector::IFlush);
}
