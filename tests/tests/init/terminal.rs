//! The program at a terminal of its own, with somebody who types.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fraktalia_testkit::real::fraktalia_bin;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Nobody waits longer for a question.
const LIMIT: Duration = Duration::from_mins(1);

/// A terminal in which the program runs.
pub struct Terminal {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    /// What was shown and not yet been looked for.
    shown: String,
    /// All that was shown.
    all: String,
}

impl Terminal {
    /// Starts the program in `dir`, with nothing in its environment but a home that is empty.
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        let keys =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&keys).and_then(|()| unlockpt(&keys)).expect("it may be used");
        let name = ptsname(&keys, Vec::new()).expect("its name");
        let name = name.into_string().expect("a path");
        let end = || {
            let file = File::options().read(true).write(true).open(&name).expect("its other end");
            Stdio::from(file)
        };
        let mut command = Command::new(fraktalia_bin().expect("the built program"));
        command.args(args).current_dir(dir).env_clear().env("HOME", "/nonexistent").env("TERM", "xterm");
        command.env("NO_COLOR", "1").env("PATH", "/usr/bin:/bin").env("FRAKTALIA_STATE", dir.join("state"));
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("it starts");
        // What holds the other end open must not: its end is how we see that the program has ended.
        drop(command);
        let keys = File::from(keys);
        let mut reader = keys.try_clone().expect("a second handle");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read) = reader.read(&mut piece) {
                if read == 0 || sender.send(piece[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keys, screen, shown: String::new(), all: String::new() }
    }

    /// Waits for a question, and types an answer.
    pub fn answer(&mut self, question: &str, answer: &str) {
        while !self.shown.contains(question) {
            let piece = self.screen.recv_timeout(LIMIT);
            let piece = piece.unwrap_or_else(|_| panic!("`{question}` was not asked:\n{}", self.all));
            self.show(&piece);
        }
        // What comes after it may ask the same again.
        let at = self.shown.find(question).unwrap_or_default() + question.len();
        self.shown.drain(..at);
        self.keys.write_all(format!("{answer}\r").as_bytes()).expect("typed");
        // The answer is echoed, and the question with it: that is not another one.
        if !answer.is_empty() {
            self.skip_past(answer);
        }
    }

    fn skip_past(&mut self, text: &str) {
        while !self.shown.contains(text) {
            match self.screen.recv_timeout(LIMIT) {
                Ok(piece) => self.show(&piece),
                Err(_) => return,
            }
        }
        let at = self.shown.find(text).unwrap_or_default() + text.len();
        self.shown.drain(..at);
    }

    fn show(&mut self, piece: &[u8]) {
        let text = String::from_utf8_lossy(piece);
        self.shown.push_str(&text);
        self.all.push_str(&text);
    }

    /// Waits for the end; the exit code, and all that was shown.
    pub fn end(&mut self) -> (Option<i32>, String) {
        while let Ok(piece) = self.screen.recv_timeout(LIMIT) {
            self.show(&piece);
        }
        let status = self.child.wait().expect("it ends");
        (status.code(), std::mem::take(&mut self.all))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
