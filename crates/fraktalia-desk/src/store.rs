//! What the desk knows and what is still to be done, over a crash: one transaction for each input.
//!
//! 1. An input is heard, its acts are put into the outbox and its event id is remembered in one transaction: all of it, or
//!    none, and then the input can be told again.
//! 2. An act stays in the outbox until it is said to be done, and is handed out again until then: at least once. Its key
//!    makes that once, wherever it is done.
//! 3. What answers an act is itself an input: the answer and the end of the act are one transaction. An answer to an act
//!    that is done, or that there never was, changes nothing.
//! 4. One process has the store at a time.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::act::{Act, Lane};
use crate::audit::Anchor;
use crate::desk::Desk;
use crate::heard::{Heard, What};
use crate::ids::{EventId, Key, Moment};
use crate::policy::Policy;

/// The shape of what is stored.
const FORMAT: u32 = 2;
/// How long acts that are done are remembered, in seconds: longer than any case, so that a late answer finds its own.
const DONE_S: u64 = 30 * 86_400;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS desk (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL, state TEXT NOT NULL,
    anchor_seq INTEGER, anchor_hash TEXT);
CREATE TABLE IF NOT EXISTS seen (event TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS act (seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, lane TEXT NOT NULL,
    what TEXT NOT NULL, done INTEGER, event TEXT);
CREATE TABLE IF NOT EXISTS position (id INTEGER PRIMARY KEY CHECK (id = 1), token TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS to_do ON act (lane, seq) WHERE done IS NULL;
";

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made.
    #[error("cannot open the store {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite said no.
    #[error("cannot {doing} the store {}", path.display())]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process has it.
    #[error("another process has the store {}; end that one first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer version.
    #[error("the store {} has format {format}, and this version reads {FORMAT}; use the newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// What stands in it is not ours.
    #[error(
        "the store {} cannot be read: {why}; move it away to begin anew: open proposals are lost, and have to be posted again",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A test let it die.
    #[error("the store was told to die")]
    Killed,
}

/// Called before and after each write; says whether to die there.
pub type Watcher = Box<dyn FnMut() -> bool + Send>;

/// The desk, and its outbox, on disk.
pub struct Store {
    path: PathBuf,
    connection: Connection,
    desk: Desk,
    /// The state as it was last written.
    state: String,
    watcher: Option<Watcher>,
}

impl Store {
    /// Opens the store, or begins one.
    ///
    /// # Errors
    /// When it cannot be read, or another process has it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // Made first, so that it is nobody else's to read for a moment. SQLite's own files beside it take its mode.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| StoreError::Io { path: path.into(), source })?;
        let failed = |source| sqlite(path, "open", source);
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(std::time::Duration::ZERO).map_err(failed)?;
        connection
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA trusted_schema = OFF;",
            )
            .map_err(failed)?;
        let begin = connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(failed)?;
        begin.execute_batch(TABLES).map_err(failed)?;
        let (desk, state) = read(path, &begin)?;
        begin.commit().map_err(failed)?;
        Ok(Self { path: path.into(), connection, desk, state, watcher: None })
    }

    /// What the desk knows.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Lets a test see each write, and die at it. What dies here is what a kill of the process would leave.
    pub fn watch(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// Takes in what happened. Once it returns, that and all that follows from it is on disk.
    ///
    /// # Errors
    /// When it cannot be written; then nothing was heard, and it can be told again.
    pub fn hear(&mut self, heard: &Heard, policy: &Policy) -> Result<(), StoreError> {
        let answered = heard.what.completes();
        if let Some(key) = answered
            && !self.is_pending(key)?
        {
            return Ok(());
        }
        let mut desk = self.desk.clone();
        let acts = desk.hear(heard, policy);
        let state = self.encode(&desk)?;
        let event = heard.what.event().map(|(event, _)| event);
        let newly = event.and_then(|event| Some((event, desk.seen().get(event)?)));
        let newly = newly.filter(|(event, _)| self.desk.seen().get(event).is_none());
        if acts.is_empty() && state == self.state && newly.is_none() && answered.is_none() {
            self.desk = desk;
            return Ok(());
        }
        let change = Change { heard, desk: &desk, state: &state, acts: &acts, newly };
        change.write(&self.path, &mut self.connection, self.watcher.as_mut())?;
        (self.desk, self.state) = (desk, state);
        Ok(())
    }

    /// The act of a lane that is to be done next. It comes again until it is done.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn next(&self, lane: Lane) -> Result<Option<Act>, StoreError> {
        let question = "SELECT key, what FROM act WHERE lane = ?1 AND done IS NULL ORDER BY seq LIMIT 1";
        let row = self
            .connection
            .query_row(question, [lane.name()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .optional()
            .map_err(|source| sqlite(&self.path, "read", source))?;
        let Some((key, what)) = row else { return Ok(None) };
        let what = serde_json::from_str(&what).map_err(|error| self.damaged(&error.to_string()))?;
        Ok(Some(Act { key: Key::stored(key), what }))
    }

    /// Says that an act is done that nothing answers: a message was changed, a run told to stop.
    ///
    /// # Errors
    /// When it cannot be written; then the act comes again.
    pub fn done(&mut self, key: &Key, at: Moment) -> Result<(), StoreError> {
        let failed = |source| sqlite(&self.path, "write", source);
        let write = self.connection.transaction().map_err(failed)?;
        end(&write, key, None, at).map_err(failed)?;
        dies(self.watcher.as_mut())?;
        write.commit().map_err(failed)?;
        dies(self.watcher.as_mut())
    }

    /// Says that an entry is in the audit, and where it ends now.
    ///
    /// # Errors
    /// When it cannot be written; then the act comes again.
    pub fn recorded(&mut self, key: &Key, at: Moment, anchor: &Anchor) -> Result<(), StoreError> {
        let failed = |source| sqlite(&self.path, "write", source);
        let write = self.connection.transaction().map_err(failed)?;
        end(&write, key, None, at).map_err(failed)?;
        dies(self.watcher.as_mut())?;
        let change = "UPDATE desk SET anchor_seq = ?1, anchor_hash = ?2 WHERE id = 1";
        write.execute(change, params![integer(anchor.seq), anchor.hash]).map_err(failed)?;
        dies(self.watcher.as_mut())?;
        write.commit().map_err(failed)?;
        dies(self.watcher.as_mut())
    }

    /// Up to where the room was heard.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn position(&self) -> Result<Option<String>, StoreError> {
        let question = "SELECT token FROM position WHERE id = 1";
        let row = self.connection.query_row(question, [], |row| row.get(0)).optional();
        row.map_err(|source| sqlite(&self.path, "read", source))
    }

    /// Says up to where the room was heard, once all of it was.
    ///
    /// # Errors
    /// When it cannot be written; then it is heard again from the position before.
    pub fn set_position(&mut self, token: &str) -> Result<(), StoreError> {
        let change =
            "INSERT INTO position (id, token) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET token = ?1";
        self.connection.execute(change, [token]).map_err(|source| sqlite(&self.path, "write", source))?;
        dies(self.watcher.as_mut())
    }

    /// The last line of the audit that is known to have been written.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn anchor(&self) -> Result<Option<Anchor>, StoreError> {
        let question = "SELECT anchor_seq, anchor_hash FROM desk WHERE id = 1";
        let row = self.connection.query_row(question, [], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<String>>(1)?))
        });
        let (seq, hash) = row.map_err(|source| sqlite(&self.path, "read", source))?;
        Ok(seq.zip(hash).map(|(seq, hash)| Anchor { seq: seq.unsigned_abs(), hash }))
    }

    /// The keys of a lane's acts that are not done.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pending(&self, lane: Lane) -> Result<Vec<Key>, StoreError> {
        let failed = |source| sqlite(&self.path, "read", source);
        let question = "SELECT key FROM act WHERE lane = ?1 AND done IS NULL ORDER BY seq";
        let mut keys = self.connection.prepare_cached(question).map_err(failed)?;
        let rows = keys.query_map([lane.name()], |row| row.get::<_, String>(0)).map_err(failed)?;
        rows.map(|key| key.map(Key::stored)).collect::<Result<_, _>>().map_err(failed)
    }

    /// The event that a message of ours became.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn event_of(&self, key: &Key) -> Result<Option<EventId>, StoreError> {
        let question = "SELECT event FROM act WHERE key = ?1";
        let row = self.connection.query_row(question, [key.as_str()], |row| row.get::<_, Option<String>>(0));
        let event = row.optional().map_err(|source| sqlite(&self.path, "read", source))?;
        Ok(event.flatten().and_then(EventId::new))
    }

    fn is_pending(&self, key: &Key) -> Result<bool, StoreError> {
        let question = "SELECT 1 FROM act WHERE key = ?1 AND done IS NULL";
        let row = self.connection.query_row(question, [key.as_str()], |_| Ok(()));
        Ok(row.optional().map_err(|source| sqlite(&self.path, "read", source))?.is_some())
    }

    fn encode(&self, desk: &Desk) -> Result<String, StoreError> {
        serde_json::to_string(desk).map_err(|error| self.damaged(&error.to_string()))
    }

    fn damaged(&self, why: &str) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), why: why.into() }
    }
}

/// Reads what is stored, or begins.
fn read(path: &Path, begin: &Transaction<'_>) -> Result<(Desk, String), StoreError> {
    let failed = |source| sqlite(path, "read", source);
    let damaged = |why: String| StoreError::Damaged { path: path.into(), why };
    let stored = begin
        .query_row("SELECT format, state FROM desk WHERE id = 1", [], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?))
        })
        .optional()
        .map_err(failed)?;
    let Some((format, state)) = stored else {
        let (desk, add) = (Desk::default(), "INSERT INTO desk (id, format, state) VALUES (1, ?1, ?2)");
        let state = serde_json::to_string(&desk).map_err(|error| damaged(error.to_string()))?;
        begin.execute(add, params![FORMAT, state]).map_err(failed)?;
        return Ok((desk, state));
    };
    if format != FORMAT {
        return Err(StoreError::Newer { path: path.into(), format });
    }
    let desk: Desk = serde_json::from_str(&state).map_err(|error| damaged(error.to_string()))?;
    let mut rows = begin.prepare("SELECT event, at FROM seen").map_err(failed)?;
    let seen = rows
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let seen =
        seen.into_iter().filter_map(|(event, at)| Some((EventId::new(event)?, Moment(at.unsigned_abs()))));
    Ok((desk.with_seen(seen), state))
}

/// All that one input changes.
struct Change<'a> {
    heard: &'a Heard,
    desk: &'a Desk,
    state: &'a str,
    acts: &'a [Act],
    /// The event that was heard for the first time, and when it was sent.
    newly: Option<(&'a EventId, Moment)>,
}

impl Change<'_> {
    /// Writes all of it, or nothing.
    fn write(
        &self,
        path: &Path,
        connection: &mut Connection,
        mut watcher: Option<&mut Watcher>,
    ) -> Result<(), StoreError> {
        let failed = |source| sqlite(path, "write", source);
        let mut step = |written: rusqlite::Result<usize>| {
            written.map_err(failed)?;
            dies(watcher.as_deref_mut())
        };
        let write = connection.transaction().map_err(failed)?;
        step(write.execute("UPDATE desk SET state = ?1 WHERE id = 1", [self.state]))?;
        if let Some((event, at)) = self.newly {
            let add = "INSERT OR IGNORE INTO seen (event, at) VALUES (?1, ?2)";
            step(write.execute(add, params![event.as_str(), integer(at.0)]))?;
            let horizon = integer(self.desk.seen().horizon().0);
            step(write.execute("DELETE FROM seen WHERE at < ?1", [horizon]))?;
        }
        if let Some(key) = self.heard.what.completes() {
            step(end(&write, key, posted(&self.heard.what), self.heard.at))?;
        }
        for act in self.acts {
            step(put(&write, act))?;
        }
        if !self.acts.is_empty() {
            let old = integer(self.heard.at.0.saturating_sub(DONE_S * 1000));
            step(write.execute("DELETE FROM act WHERE done < ?1", [old]))?;
        }
        write.commit().map_err(failed)?;
        dies(watcher)
    }
}

fn put(write: &Transaction<'_>, act: &Act) -> rusqlite::Result<usize> {
    let what = serde_json::to_string(&act.what)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let add = "INSERT OR IGNORE INTO act (key, lane, what) VALUES (?1, ?2, ?3)";
    write.execute(add, params![act.key.as_str(), act.what.lane().name(), what])
}

fn end(write: &Transaction<'_>, key: &Key, event: Option<&EventId>, at: Moment) -> rusqlite::Result<usize> {
    let change = "UPDATE act SET done = ?2, event = ?3, what = '' WHERE key = ?1 AND done IS NULL";
    write.execute(change, params![key.as_str(), integer(at.0), event.map(EventId::as_str)])
}

fn posted(what: &What) -> Option<&EventId> {
    match what {
        What::Posted { event, .. } => Some(event),
        _ => None,
    }
}

/// Where a test may let the store die.
fn dies(watcher: Option<&mut Watcher>) -> Result<(), StoreError> {
    if watcher.is_some_and(|watcher| watcher()) { Err(StoreError::Killed) } else { Ok(()) }
}

/// SQLite's integers have a sign.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn sqlite(path: &Path, doing: &'static str, source: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode as Code;
    match source.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => StoreError::InUse { path: path.into() },
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
            StoreError::Damaged { path: path.into(), why: source.to_string() }
        }
        _ => StoreError::Sqlite { doing, path: path.into(), source },
    }
}
