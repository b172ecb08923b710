//! Empties a room: first the media that were sent in it, then what was written.
//!
//! That order is not free: which media a room has only its history says, so what is left when the history is gone is
//! left for ever. Each call is whole by itself, and what is gone already is passed over: a reset that was cut short is
//! finished by another one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use fraktalia_model::{RoomId, id};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::client::lists::Users;
use crate::client::purge::Purge;
use crate::client::rooms::StateEvent;
use crate::error::MatrixError;
use crate::marker::{Tag, tag};
use crate::observe::each;
use crate::state::RoomView;

/// Type of the event before which everything goes. Synapse keeps the newest event of a room whatever is asked, and that
/// must not be what somebody wrote.
pub const RESET: &str = "io.fraktalia.reset";

/// Pages of a thousand events that are counted. More is said as "more than".
const PAGES: usize = 50;
/// Pages in which the event before which everything goes is looked for: what was written since.
const LATER: usize = 5;
/// Between two looks at a removal, at most.
const LOOK: Duration = Duration::from_secs(2);

/// A room by its alias, as far as it may be emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    Nothing,
    /// It does not carry the marker of this realm for this key.
    NotOurs(RoomId),
    /// Ours.
    Ours(RoomId),
}

/// How many events somebody wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// As far as they were counted.
    pub events: usize,
    /// Whether there are more.
    pub more: bool,
}

/// Why a medium stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stays {
    /// It is part of the room's state, like its picture.
    State,
    /// Something in another room refers to it.
    OtherRoom,
    /// A user shows themselves with it.
    Profile,
    /// It was sent after the reset began.
    Later,
    /// Whoever sent it to the homeserver was never in this room: somebody here only named it.
    Stranger,
}

/// A medium that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Medium {
    /// Its id on the homeserver.
    pub id: String,
    /// Its size.
    pub bytes: u64,
}

/// The media of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// What goes.
    pub going: Vec<Medium>,
    /// How many stay, and why.
    pub staying: BTreeMap<Stays, usize>,
    /// How many are of other homeservers: copies of those are kept and dropped by the homeserver's own rule.
    pub remote: usize,
}

impl Media {
    /// How large all of what goes is.
    pub fn bytes(&self) -> u64 {
        self.going.iter().map(|medium| medium.bytes).sum()
    }
}

/// What just happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many media of so many are gone.
    Media(usize, usize),
    /// The history is being removed since then.
    History(Duration),
}

/// A room on its homeserver.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The homeserver.
    pub client: &'a Client,
    /// The part after the colon in its ids.
    pub server: &'a str,
    /// The room.
    pub room: &'a RoomId,
}

/// Looks for the room with the key `key` of the realm, at its id or alias.
pub async fn find(client: &Client, address: &str, realm: &str, key: &str) -> Result<Found, MatrixError> {
    let room = if address.starts_with('!') {
        RoomId(address.to_owned())
    } else {
        let Some(room) = client.resolve(address).await? else { return Ok(Found::Nothing) };
        room
    };
    let state = client.room_state(&room).await?.unwrap_or_default();
    let view = RoomView::new(room.clone(), state);
    Ok(match tag(&view, client.me().await?, realm) {
        Tag::Ours { resource, .. } if resource == id::room(key) => Found::Ours(room),
        _ => Found::NotOurs(room),
    })
}

impl Place<'_> {
    /// Counts what somebody wrote: messages, reactions, all that is no state.
    pub async fn events(self) -> Result<Count, MatrixError> {
        let (mut count, mut from) = (Count::default(), None);
        for _ in 0..PAGES {
            let page = self.client.events(self.room, from.as_deref()).await?;
            count.events += page.chunk.iter().filter(|event| is_written(event)).count();
            match page.end {
                Some(end) if !page.chunk.is_empty() && from.as_ref() != Some(&end) => from = Some(end),
                _ => return Ok(count),
            }
        }
        count.more = true;
        Ok(count)
    }

    /// Which media go, and which stay. With `since` those that were sent after that event stay as well.
    pub async fn media(self, since: Option<&str>) -> Result<Media, MatrixError> {
        let found = self.client.media_in(self.room).await?;
        let mut media = Media { remote: found.remote.len(), ..Media::default() };
        let mut rest: BTreeMap<String, String> = found
            .local
            .into_iter()
            .filter_map(|address| Some((self.id_of(&address)?.to_owned(), address)))
            .collect();
        if rest.is_empty() {
            return Ok(media);
        }
        let state = self.client.room_state(self.room).await?.unwrap_or_default();
        let later = match since {
            Some(since) => self.later(since).await?,
            None => BTreeSet::new(),
        };
        for (why, used) in [
            (Stays::Later, later),
            (Stays::State, addresses(state.iter().map(|event| &event.content))),
            (Stays::Profile, self.pictures().await?),
            (Stays::OtherRoom, self.elsewhere().await?),
        ] {
            let before = rest.len();
            rest.retain(|_, address| !used.contains(address));
            media.keep(why, before - rest.len());
        }
        self.weigh(rest.into_keys().collect(), &members(&state), &mut media).await?;
        Ok(media)
    }

    /// The id of a medium of this homeserver.
    fn id_of(self, address: &str) -> Option<&str> {
        let (server, id) = address.strip_prefix("mxc://")?.split_once('/')?;
        let plain = |at: char| at.is_ascii_alphanumeric() || matches!(at, '-' | '_');
        (server == self.server && !id.is_empty() && id.chars().all(plain)).then_some(id)
    }

    /// The media that are named by what was written after an event.
    async fn later(self, since: &str) -> Result<BTreeSet<String>, MatrixError> {
        let (mut named, mut from) = (BTreeSet::new(), None);
        for _ in 0..LATER {
            let page = self.client.events(self.room, from.as_deref()).await?;
            let last = page.chunk.iter().position(|event| event["event_id"] == since);
            named.extend(addresses(page.chunk[..last.unwrap_or(page.chunk.len())].iter()));
            match page.end {
                Some(end) if last.is_none() => from = Some(end),
                _ => break,
            }
        }
        Ok(named)
    }

    /// The pictures that local users show themselves with.
    async fn pictures(self) -> Result<BTreeSet<String>, MatrixError> {
        let users = self.client.users(Users::All, usize::MAX).await?;
        Ok(users.into_iter().filter_map(|user| user.avatar_url).collect())
    }

    /// The media that other rooms refer to.
    async fn elsewhere(self) -> Result<BTreeSet<String>, MatrixError> {
        let rooms = self.client.all_rooms(usize::MAX).await?.into_iter().map(|room| room.room_id);
        let others: Vec<RoomId> = rooms.filter(|room| room != self.room).collect();
        let read = |room: RoomId| async move { Ok(self.client.media_in(&room).await?.local) };
        Ok(each(others, read).await?.into_iter().flatten().collect())
    }

    /// Looks at each medium: whose it is, and how large.
    async fn weigh(
        self,
        ids: Vec<String>,
        members: &BTreeSet<String>,
        media: &mut Media,
    ) -> Result<(), MatrixError> {
        let look = |id: String| async move { Ok((self.client.medium(self.server, &id).await?, id)) };
        for (found, id) in each(ids, look).await? {
            match found {
                // An event can name what was removed long ago.
                None => {}
                Some(found) if found.user_id.as_ref().is_some_and(|user| members.contains(user)) => {
                    media.going.push(Medium { id, bytes: found.media_length.unwrap_or_default() });
                }
                Some(_) => media.keep(Stays::Stranger, 1),
            }
        }
        media.going.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(())
    }

    /// Removes media for good.
    pub async fn remove_media(
        self,
        media: &Media,
        say: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), MatrixError> {
        let gone = std::sync::atomic::AtomicUsize::new(0);
        let (gone, of) = (&gone, media.going.len());
        let remove = |id: String| async move {
            self.client.delete_medium(self.server, &id).await?;
            say(Progress::Media(gone.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, of));
            Ok(())
        };
        each(media.going.iter().map(|medium| medium.id.clone()).collect(), remove).await.map(drop)
    }

    /// Writes the event before which everything goes, and gives its id.
    pub async fn draw_line(self, realm: &str) -> Result<String, MatrixError> {
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let transaction = format!("reset-{now:x}-{}", std::process::id());
        self.client.send_event(self.room, RESET, &transaction, json!({ "realm": realm })).await
    }

    /// Removes all that was written before the line, and waits until that is done. The homeserver goes on with it when
    /// nobody waits.
    pub async fn remove_history(
        self,
        line: &str,
        say: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), MatrixError> {
        let purge = self.client.purge_history(self.room, line).await?;
        let (began, mut pause) = (Instant::now(), Duration::from_millis(50));
        loop {
            match self.client.purge_status(&purge).await? {
                Purge::Done => return Ok(()),
                Purge::Running => {}
                Purge::Failed(message) => {
                    let what = format!("remove the history of {}", self.room);
                    return Err(MatrixError::Failed {
                        what,
                        status: 500,
                        errcode: "removal failed".into(),
                        message,
                    });
                }
            }
            say(Progress::History(began.elapsed()));
            sleep(pause).await;
            pause = (pause * 2).min(LOOK);
        }
    }
}

impl Media {
    fn keep(&mut self, why: Stays, count: usize) {
        if count > 0 {
            *self.staying.entry(why).or_default() += count;
        }
    }
}

/// Whether an event is something that somebody wrote, and not a line of ours.
fn is_written(event: &Json) -> bool {
    event.get("state_key").is_none() && event["type"] != RESET
}

/// Everybody who is or was in a room.
fn members(state: &[StateEvent]) -> BTreeSet<String> {
    let members = state.iter().filter(|event| event.kind == "m.room.member");
    members.map(|event| event.state_key.clone()).collect()
}

/// All addresses of media, wherever they stand.
fn addresses<'a>(values: impl Iterator<Item = &'a Json>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Json> = values.collect();
    while let Some(value) = open.pop() {
        match value {
            Json::String(text) if text.starts_with("mxc://") => {
                found.insert(text.clone());
            }
            Json::Array(list) => open.extend(list),
            Json::Object(map) => open.extend(map.values()),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_wherever_it_stands() {
        let event = json!({"content": {"info": {"thumbnail_file": {"url": "mxc://a/1"}}, "url": "mxc://a/2",
            "body": "see mxc://a/3", "list": ["mxc://a/4"]}});
        let found = addresses([&event].into_iter());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["mxc://a/1", "mxc://a/2", "mxc://a/4"]);
    }

    #[test]
    fn state_and_our_own_lines_were_written_by_nobody() {
        assert!(is_written(&json!({"type": "m.room.message"})));
        assert!(!is_written(&json!({"type": "m.room.topic", "state_key": ""})));
        assert!(!is_written(&json!({"type": RESET})));
    }
}
