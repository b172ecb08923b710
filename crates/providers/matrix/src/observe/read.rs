//! How rooms are read: what has changed since the last look, or all of it.
//!
//! What an earlier look left is believed as far as the homeserver's stream of events vouches for it. Where the stream
//! says nothing, something else has to:
//!
//! | what the stream does not tell | what does |
//! |---|---|
//! | which of two events that were sent at the same time holds | a room in which anything happened is read anew, never put together from events |
//! | that an event of the state was redacted | redactions count as changes |
//! | that a room was deleted | the list of rooms that we are in, each time |
//! | that the database was taken back to an earlier day | the newest event that we saw has to be there, and the stream must not run backwards |
//! | anything at all, as Synapse repeats its last answer for two minutes | no two questions are the same |
//! | where an alias leads | the directory: always where the room gives a reason to doubt, and [`ALIASES_PER_LOOK`] others each time |

use std::collections::{BTreeMap, BTreeSet};

use fraktalia_engine::Ask;
use fraktalia_model::{RoomId, UserId};
use futures_util::future::try_join_all;
use serde_json::Value as Json;

use super::each;
use crate::client::Client;
use crate::client::rooms::Key;
use crate::client::sync::News;
use crate::error::MatrixError;
use crate::marker::{MARKER, Tag, tag};
use crate::snapshot::{Checked, Known, Snapshot};
use crate::spec::MatrixSpec;
use crate::state::{RoomView, Stated};

/// How many aliases are looked up without a reason to doubt them, those first that were not for the longest time.
/// Looking up costs Synapse a millisecond each, and there is no way to ask for many.
///
/// Only an admin of the homeserver who has no rights in a room of ours can move its alias so that the room does not tell.
const ALIASES_PER_LOOK: usize = 64;

/// More rooms than this are read many in one answer.
const FEW: usize = 8;

/// How many such answers are waited for at a time: the homeserver has something to do while we read one.
const LANES: usize = 2;

/// What the manifest asks for.
pub(super) struct Wanted {
    /// By alias.
    pub(super) aliases: BTreeSet<String>,
    /// By id.
    pub(super) rooms: BTreeSet<RoomId>,
}

/// All rooms that matter, as they are.
pub(super) struct Rooms {
    /// Rooms that are asked for or may be ours.
    pub(super) views: BTreeMap<RoomId, RoomView>,
    /// Whose they are.
    pub(super) tags: BTreeMap<RoomId, Tag>,
    /// The room behind each wanted alias that is taken.
    pub(super) holders: BTreeMap<String, RoomId>,
    /// The rooms that our own user is in.
    pub(super) joined: BTreeSet<RoomId>,
    /// How it was read, in half a line.
    pub(super) how: String,
}

impl Rooms {
    /// Reads the rooms that are `wanted`, and those that carry our marker.
    pub(super) async fn read(
        client: &Client,
        ask: &Ask<'_, MatrixSpec>,
        homeserver: &str,
        wanted: &Wanted,
    ) -> Result<Self, MatrixError> {
        let me = client.me().await?;
        let reader = Reader { client, me, homeserver, wanted };
        let known = if ask.refresh { None } else { Snapshot::load(ask.paths, homeserver, me) };
        let caught_up = match known {
            Some(known) => reader.catch_up(known).await?,
            None => None,
        };
        let looked = match caught_up {
            Some(looked) => looked,
            None => reader.afresh(ask.refresh).await?,
        };
        looked.known.save(ask.paths);
        Ok(looked.rooms(me, ask.realm))
    }
}

/// Asks one homeserver as one user.
struct Reader<'a> {
    client: &'a Client,
    me: &'a UserId,
    homeserver: &'a str,
    wanted: &'a Wanted,
}

/// What is known at the end of a look.
struct Looked {
    known: Snapshot,
    joined: BTreeSet<RoomId>,
    /// Rooms behind wanted aliases that our own user is not in.
    elsewhere: BTreeMap<RoomId, RoomView>,
    how: String,
}

impl Looked {
    fn rooms(self, me: &UserId, realm: &str) -> Rooms {
        let ours = self.known.rooms.into_iter().filter_map(|(room, known)| match known {
            Known::Whole(view) => Some((room, view)),
            Known::Unmarked => None,
        });
        let views: BTreeMap<RoomId, RoomView> = ours.chain(self.elsewhere).collect();
        let tags = views.iter().map(|(room, view)| (room.clone(), tag(view, me, realm))).collect();
        let aliases = self.known.aliases.into_iter();
        let holders = aliases.filter_map(|(alias, checked)| Some((alias, checked.room?))).collect();
        Rooms { views, tags, holders, joined: self.joined, how: self.how }
    }
}

impl Reader<'_> {
    /// Rests on no earlier look, and believes no room what it says of its alias where `doubt` is asked for.
    async fn afresh(&self, doubt: bool) -> Result<Looked, MatrixError> {
        // First the place in the stream, then the rooms: what happens in between is read twice, and not missed.
        let position = self.client.position().await?;
        let (joined, anchor) = tokio::try_join!(self.client.joined_rooms(), self.client.newest())?;
        let mut known = Snapshot::new(self.homeserver, self.me, position);
        known.anchor = anchor;
        let aliases = self.wanted.aliases.len();
        if !doubt && aliases > ALIASES_PER_LOOK && joined.len() <= 2 * aliases {
            self.ask_rooms(&mut known, joined.clone()).await?;
        }
        let mut looked = self.complete(known, joined.into_iter().collect(), &BTreeSet::new()).await?;
        let whole = looked.known.rooms.values().filter(|known| matches!(known, Known::Whole(_))).count();
        looked.how = format!("{} rooms read", whole + looked.elsewhere.len());
        Ok(looked)
    }

    /// Reads all rooms, and believes those that carry our marker what they say of their alias, as the looks after this one
    /// do. An alias that two of them claim is left to the directory.
    async fn ask_rooms(&self, known: &mut Snapshot, joined: Vec<RoomId>) -> Result<(), MatrixError> {
        let views = self.views(joined).await?;
        let mut claims: BTreeMap<String, Option<&RoomId>> = BTreeMap::new();
        for (room, view) in views.iter().filter(|(_, view)| self.is_marked(view)) {
            if let Some(alias) = view.text("m.room.canonical_alias", "alias") {
                claims.entry(alias).and_modify(|claim| *claim = None).or_insert(Some(room));
            }
        }
        let claims = claims.into_iter().filter_map(|(alias, room)| Some((alias, room?)));
        let wanted = claims.filter(|(alias, _)| self.wanted.aliases.contains(alias));
        known.aliases.extend(
            wanted.map(|(alias, room)| (alias.clone(), Checked { room: Some(room.clone()), look: 0 })),
        );
        known.rooms.extend(views.into_iter().map(|(room, view)| (room, Known::Whole(view))));
        Ok(())
    }

    /// Believes what the stream vouches for; `None` when it vouches for nothing.
    async fn catch_up(&self, mut known: Snapshot) -> Result<Option<Looked>, MatrixError> {
        let (news, joined) = tokio::try_join!(self.news(&known), self.client.joined_rooms())?;
        let Some(news) = news else {
            tracing::debug!("the homeserver is not where we left it: everything is read anew");
            return Ok(None);
        };
        let changed = self.client.changed(&known.position, &news.rooms).await?;
        let joined: BTreeSet<RoomId> = joined.into_iter().collect();
        let stale: BTreeSet<RoomId> = changed.into_iter().filter(|room| joined.contains(room)).collect();
        let before = known.rooms.len();
        known.rooms.retain(|room, _| joined.contains(room));
        known.dirty = known.rooms.len() < before || known.position != news.position;
        known.position = news.position;
        known.anchor = news.newest.or(known.anchor);
        let mut looked = self.complete(known, joined, &stale).await?;
        looked.how = match stale.len() {
            0 => "nothing new since the last look".into(),
            1 => "1 room changed since the last look".into(),
            count => format!("{count} rooms changed since the last look"),
        };
        Ok(Some(looked))
    }

    /// What has happened since the last look, unless the stream is not the one that we know.
    async fn news(&self, known: &Snapshot) -> Result<Option<News>, MatrixError> {
        let anchored = async {
            match &known.anchor {
                Some(anchor) => self.client.has(anchor).await,
                None => Ok(true),
            }
        };
        let news = async {
            match self.client.news(&known.position).await {
                Err(MatrixError::Refused { status: 400, .. }) => Ok(None),
                news => news.map(Some),
            }
        };
        let (anchored, news) = tokio::try_join!(anchored, news)?;
        let backwards = |news: &News| news.position.is_before(&known.position) == Some(true);
        Ok(news.filter(|news| anchored && !backwards(news)))
    }

    /// Reads what is not known, or no longer.
    async fn complete(
        &self,
        mut known: Snapshot,
        joined: BTreeSet<RoomId>,
        stale: &BTreeSet<RoomId>,
    ) -> Result<Looked, MatrixError> {
        self.look_up(&mut known, stale).await?;
        let behind_aliases = known.aliases.values().filter_map(|checked| checked.room.clone());
        let holders: BTreeSet<RoomId> = behind_aliases.chain(self.wanted.rooms.iter().cloned()).collect();
        let (mut whole, mut doubtful) = (Vec::new(), Vec::new());
        for room in &joined {
            match known.rooms.get(room) {
                Some(Known::Whole(_)) if !stale.contains(room) => {}
                Some(Known::Unmarked) if !stale.contains(room) && !holders.contains(room) => {}
                Some(Known::Whole(_)) => whole.push(room.clone()),
                _ if holders.contains(room) => whole.push(room.clone()),
                _ => doubtful.push(room.clone()),
            }
        }
        tracing::debug!(whole = whole.len(), doubtful = doubtful.len(), "rooms to read");
        known.dirty |= !whole.is_empty() || !doubtful.is_empty();
        whole.extend(self.marked(&mut known, doubtful).await?);
        for room in &whole {
            known.rooms.remove(room);
        }
        let views = self.views(whole).await?;
        known.rooms.extend(views.into_iter().map(|(room, view)| (room, Known::Whole(view))));
        // Nobody asks for it any more, and it has stopped being ours.
        for (room, known) in &mut known.rooms {
            if matches!(known, Known::Whole(view) if !holders.contains(room) && !self.is_marked(view)) {
                *known = Known::Unmarked;
            }
        }
        let elsewhere = holders.difference(&joined).cloned().collect();
        let elsewhere = self.one_by_one(elsewhere).await?;
        Ok(Looked { known, joined, elsewhere, how: String::new() })
    }

    /// Asks the directory for the wanted aliases, as far as there is reason to.
    async fn look_up(&self, known: &mut Snapshot, stale: &BTreeSet<RoomId>) -> Result<(), MatrixError> {
        known.aliases.retain(|alias, _| self.wanted.aliases.contains(alias));
        let told = |alias: &str| {
            let room = known.aliases.get(alias)?.room.as_ref().filter(|room| !stale.contains(*room))?;
            match known.rooms.get(room)? {
                Known::Whole(view) => {
                    view.text("m.room.canonical_alias", "alias").filter(|main| main == alias)
                }
                Known::Unmarked => None,
            }
        };
        let (told, mut due): (Vec<&String>, Vec<&String>) =
            self.wanted.aliases.iter().partition(|alias| told(alias).is_some());
        let mut told: Vec<(u64, &String)> =
            told.into_iter().map(|alias| (known.aliases[alias].look, alias)).collect();
        told.sort_unstable();
        due.extend(told.into_iter().take(ALIASES_PER_LOOK).map(|(_, alias)| alias));
        let found = each(due, |alias: &String| async move { Ok((alias, self.client.resolve(alias).await?)) });
        let found = found.await?;
        // Only a look that had to choose counts, so that one without news leaves everything as it was.
        known.looks += u64::from(self.wanted.aliases.len() > ALIASES_PER_LOOK);
        let look = known.looks;
        for (alias, room) in found {
            let checked = Checked { room, look };
            let before = known.aliases.insert(alias.clone(), checked);
            known.dirty |= before.as_ref() != known.aliases.get(alias);
        }
        Ok(())
    }

    /// Which of these rooms carry a marker of ours; the others are noted as known.
    async fn marked(&self, known: &mut Snapshot, rooms: Vec<RoomId>) -> Result<Vec<RoomId>, MatrixError> {
        let key = Key { kind: MARKER, state_key: "" };
        let probe = |room: RoomId| async move {
            let event = self.client.state_event(&room, key).await?;
            Ok((room, event.map(|event| Stated { sender: event.sender, content: event.content })))
        };
        let mut marked = Vec::new();
        for (room, event) in each(rooms, probe).await? {
            if event.is_some_and(|event| self.is_marker(&event)) {
                marked.push(room);
            } else {
                known.rooms.insert(room, Known::Unmarked);
            }
        }
        Ok(marked)
    }

    /// Whether a room that nothing else points to may be ours: there is a marker, and our own user sent it.
    fn is_marked(&self, view: &RoomView) -> bool {
        view.get(MARKER, "").is_some_and(|event| self.is_marker(&event))
    }

    fn is_marker(&self, event: &Stated) -> bool {
        let says = |content: &Json| content.get("realm").is_some() && content.get("retired").is_none();
        event.sender == *self.me && says(&event.content)
    }

    /// Reads rooms that our own user is in.
    async fn views(&self, rooms: Vec<RoomId>) -> Result<BTreeMap<RoomId, RoomView>, MatrixError> {
        let at_once = self.client.limits().rooms_at_once;
        if rooms.len() <= FEW || at_once == 0 {
            return self.one_by_one(rooms).await;
        }
        let sheets: Vec<&[RoomId]> = rooms.chunks(at_once).collect();
        let lanes = (0..LANES).map(|lane| self.lane(lane, sheets.iter().skip(lane).step_by(LANES).copied()));
        let mut views: BTreeMap<RoomId, RoomView> =
            try_join_all(lanes).await?.into_iter().flatten().collect();
        // All of them where the homeserver does not know how, and those that we went out of just now.
        let missing = rooms.into_iter().filter(|room| !views.contains_key(room)).collect();
        views.extend(self.one_by_one(missing).await?);
        Ok(views)
    }

    async fn lane(
        &self,
        lane: usize,
        sheets: impl Iterator<Item = &[RoomId]>,
    ) -> Result<Vec<(RoomId, RoomView)>, MatrixError> {
        let mut views = Vec::new();
        for sheet in sheets {
            let Some(rooms) = self.client.rooms_at_once(lane, sheet).await? else { break };
            views.extend(rooms.into_iter().map(|(room, events)| (room.clone(), RoomView::new(room, events))));
        }
        Ok(views)
    }

    /// Reads rooms, whether our own user is in them or not. Those that are not there are left out.
    async fn one_by_one(&self, rooms: Vec<RoomId>) -> Result<BTreeMap<RoomId, RoomView>, MatrixError> {
        let whole = |room: RoomId| async move {
            let events = self.client.room_state(&room).await?;
            Ok(events.map(|events| (room.clone(), RoomView::new(room, events))))
        };
        Ok(each(rooms, whole).await?.into_iter().flatten().collect())
    }
}
