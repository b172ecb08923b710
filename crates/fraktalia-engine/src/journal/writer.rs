//! Appends to a journal. Entries of steps that run at once share one `fsync`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::file::{JournalError, Tail, read_tail};
use super::{Entry, Run};

/// Where a test lets the writer die, and what dies with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// At which entry.
    pub at: FaultAt,
    /// Whether the whole process is killed, as by `kill -9`; else the writer only goes silent.
    pub kill: bool,
}

/// An entry, counted from 1 in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAt {
    /// Before entry `n` is written: the effect it tells of happened, the entry did not.
    Before(u64),
    /// After entry `n` reached the disk: the effect that was to follow did not happen.
    After(u64),
}

type Job = (Entry, oneshot::Sender<Result<(), JournalError>>);

/// An open journal.
pub struct Journal {
    syncs: Arc<AtomicU64>,
    jobs: Option<mpsc::UnboundedSender<Job>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Journal {
    /// Starts the journal of a new run, and puts its first entry on disk.
    ///
    /// # Errors
    /// When it cannot be written; then nothing has happened.
    pub async fn create(path: &Path, first: Entry, fault: Option<Fault>) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { doing: "create", path: path.into(), source };
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        // The name is durable only once the directory is.
        if let Some(folder) = path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        let journal = Self::start(path, file, Tail::default(), fault);
        journal.append(first).await?;
        Ok(journal)
    }

    /// Goes on with the journal of a run. A torn last line is cut off: it never happened.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn reopen(path: &Path, fault: Option<Fault>) -> Result<Option<(Self, Run)>, JournalError> {
        let (run, tail) = read_tail(path)?;
        let Some(run) = run else { return Ok(None) };
        let failed = |source| JournalError::Io { doing: "open", path: path.into(), source };
        let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
        file.set_len(tail.length).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(Some((Self::start(path, file, tail, fault), run)))
    }

    fn start(path: &Path, file: File, tail: Tail, fault: Option<Fault>) -> Self {
        let (jobs, queue) = mpsc::unbounded_channel();
        let syncs = Arc::new(AtomicU64::new(0));
        let writer = Writer { path: path.into(), file, tail, fault, written: 0, syncs: Arc::clone(&syncs) };
        let writer = thread::spawn(move || writer.run(queue));
        Self { syncs, jobs: Some(jobs), writer: Some(writer) }
    }

    /// How often this process has waited for the disk on behalf of this journal.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Puts an entry on disk. Returns once it is there.
    ///
    /// # Errors
    /// When it cannot be written. Nothing may happen then that the entry was to announce.
    pub async fn append(&self, entry: Entry) -> Result<(), JournalError> {
        let (answer, written) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(JournalError::Gone)?;
        jobs.send((entry, answer)).map_err(|_| JournalError::Gone)?;
        written.await.map_err(|_| JournalError::Gone)?
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    tail: Tail,
    fault: Option<Fault>,
    written: u64,
    syncs: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut batch = vec![first];
            // With a fault to inject each entry goes alone, so that it falls between two known entries.
            while self.fault.is_none()
                && let Ok(job) = queue.try_recv()
            {
                batch.push(job);
            }
            let (entries, answers): (Vec<Entry>, Vec<_>) = batch.into_iter().unzip();
            match self.write(&entries) {
                Ok(true) => answers.into_iter().for_each(|answer| drop(answer.send(Ok(())))),
                Ok(false) => return,
                Err(source) => {
                    // A journal that could not be written is never written again: what came after would lie.
                    for answer in answers {
                        let source = io::Error::new(source.kind(), source.to_string());
                        let failed = JournalError::Io { doing: "write", path: self.path.clone(), source };
                        let _ = answer.send(Err(failed));
                    }
                    return;
                }
            }
        }
    }

    /// Whether the writer lives on.
    fn write(&mut self, entries: &[Entry]) -> io::Result<bool> {
        if self.dies(FaultAt::Before(self.written + 1)) {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        for entry in entries {
            bytes.extend(self.tail.line(entry).map_err(io::Error::other)?);
        }
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.written += entries.len() as u64;
        Ok(!self.dies(FaultAt::After(self.written)))
    }

    fn dies(&self, here: FaultAt) -> bool {
        let Some(fault) = self.fault.filter(|fault| fault.at == here) else {
            return false;
        };
        if fault.kill {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use fraktalia_plan::StepId;

    use super::super::Mark;
    use super::*;

    fn entry(step: StepId) -> Entry {
        Entry::Mark { step, mark: Mark::Undoing }
    }

    fn file(dir: &tempfile::TempDir) -> (PathBuf, File) {
        let path = dir.path().join("journal.jsonl");
        let file = OpenOptions::new().append(true).create_new(true).open(&path).unwrap();
        (path, file)
    }

    #[test]
    fn entries_that_wait_at_the_same_time_share_one_wait_for_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = file(&dir);
        let (jobs, queue) = mpsc::unbounded_channel();
        let waiting: Vec<_> = (1..=100)
            .map(|step| {
                let (answer, written) = oneshot::channel();
                jobs.send((entry(step), answer)).ok().unwrap();
                written
            })
            .collect();
        drop(jobs);
        let syncs = Arc::new(AtomicU64::new(0));
        let tail = Tail::default();
        Writer { path, file, tail, fault: None, written: 0, syncs: Arc::clone(&syncs) }.run(queue);
        assert!(waiting.into_iter().all(|mut written| matches!(written.try_recv(), Ok(Ok(())))));
        assert_eq!(syncs.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_entry_alone_waits_for_the_disk_once() {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = file(&dir);
        let journal = Journal::start(&path, file, Tail::default(), None);
        for step in 1..=10 {
            journal.append(entry(step)).await.unwrap();
        }
        assert_eq!(journal.syncs(), 10);
    }
}
