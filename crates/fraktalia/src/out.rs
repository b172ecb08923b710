//! The only place that writes to the streams of this process: data to stdout, talk to stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::error::Failure;

/// Whether somebody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// All was written.
    There,
    /// The pipe is closed: somebody has read enough.
    Gone,
}

/// Writes data to stdout. A reader who has left is no error: `fraktalia plan | head` ends well.
pub fn data(text: &str) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::Output(error)),
    }
}

/// Writes talk to stderr. Nothing depends on whether anybody listens.
pub fn talk(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Writes a JSON document to stdout.
pub fn json<T: serde::Serialize>(document: &T) -> Result<Reader, Failure> {
    let mut text =
        serde_json::to_string_pretty(document).map_err(|error| Failure::Output(io::Error::other(error)))?;
    text.push('\n');
    data(&text)
}

/// Asks a question on the terminal. Anything but a clear yes is a no.
pub fn confirm(question: &str) -> Result<bool, Failure> {
    let answer = ask(question, "say --yes to go on without asking")?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Whether somebody can be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks a question on the terminal, and gives the answer. `hint` says how to do without.
pub fn ask(question: &str, hint: &str) -> Result<String, Failure> {
    if !can_ask() {
        return Err(Failure::usage("there is nobody to ask: stdin is no terminal", hint));
    }
    talk(question);
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|source| Failure::File {
        doing: "read",
        path: "the answer".into(),
        source,
    })?;
    Ok(answer.trim().to_owned())
}
