//! What we know of our rooms, and up to which moment: a file in the cache directory.
//!
//! It is worth time and never truth. Lost, unreadable, of another homeserver or of another version of this program, it is
//! as if it had never been.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use fraktalia_engine::StatePaths;
use fraktalia_model::{RoomId, UserId};
use serde::{Deserialize, Serialize};

use crate::client::sync::{Anchor, Position};
use crate::state::{RoomView, WATCHED};

/// Counts up when the shape changes.
const FORMAT: u32 = 1;

/// What we know, and up to which moment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    format: u32,
    /// The types of state that were kept of each room.
    watched: Vec<String>,
    homeserver: String,
    me: UserId,
    /// Up to which moment all of it is known.
    pub(crate) position: Position,
    /// The newest event that was seen.
    pub(crate) anchor: Option<Anchor>,
    /// The rooms that our own user is in.
    pub(crate) rooms: BTreeMap<RoomId, Known>,
    /// What was found under each alias, and in which of our looks.
    pub(crate) aliases: BTreeMap<String, Checked>,
    /// How many looks there were.
    pub(crate) looks: u64,
    /// Whether there is more in it than in the file.
    #[serde(skip)]
    pub(crate) dirty: bool,
}

/// A room that our own user is in.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Known {
    /// Its whole state, as far as it is watched.
    Whole(RoomView),
    /// Nobody asked for it, and it carries no marker of ours.
    Unmarked,
}

/// What was found under an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checked {
    /// The room behind it.
    pub(crate) room: Option<RoomId>,
    /// The look in which it was asked for.
    pub(crate) look: u64,
}

impl Snapshot {
    /// Nothing known yet, as of `position`.
    pub(crate) fn new(homeserver: &str, me: &UserId, position: Position) -> Self {
        Self {
            format: FORMAT,
            watched: WATCHED.map(Into::into).to_vec(),
            homeserver: homeserver.into(),
            me: me.clone(),
            position,
            anchor: None,
            rooms: BTreeMap::new(),
            aliases: BTreeMap::new(),
            looks: 0,
            dirty: true,
        }
    }

    fn path(paths: &StatePaths) -> PathBuf {
        paths.cache().join("matrix.json")
    }

    /// What an earlier look left, if it is about this homeserver and this user of ours.
    pub(crate) fn load(paths: &StatePaths, homeserver: &str, me: &UserId) -> Option<Self> {
        let path = Self::path(paths);
        let text = std::fs::read(&path).ok()?;
        match serde_json::from_slice::<Self>(&text) {
            Ok(known) => {
                let fits = known.format == FORMAT
                    && known.watched == WATCHED
                    && known.homeserver == homeserver
                    && known.me == *me;
                fits.then_some(known)
            }
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "the cache cannot be read and is made anew");
                None
            }
        }
    }

    /// Leaves it for the next look: whole or not at all, readable for us alone. That it cannot be written costs the next
    /// look its time.
    pub(crate) fn save(&self, paths: &StatePaths) {
        if !self.dirty {
            return;
        }
        let path = Self::path(paths);
        if let Err(error) = self.write(&path) {
            // What an earlier look left stays, and is still true of its own moment.
            tracing::debug!(path = %path.display(), %error, "the cache is not kept");
        }
    }

    fn write(&self, path: &Path) -> std::io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let directory = path.parent().unwrap_or_else(|| Path::new("/"));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        let mut out = BufWriter::with_capacity(1 << 16, file.as_file_mut());
        serde_json::to_writer(&mut out, self)?;
        out.flush()?;
        drop(out);
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}
