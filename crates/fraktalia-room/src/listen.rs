//! What happens in the room, batch by batch. The caller keeps the position.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fraktalia_desk::{EventId, Moment, Sent, What};
use fraktalia_model::UserId;
use matrix_sdk::config::SyncSettings;
use matrix_sdk::deserialized_responses::{AlgorithmInfo, EncryptionInfo, TimelineEvent, TimelineEventKind};
use matrix_sdk::room::MessagesOptions;
use matrix_sdk::ruma::{self, OwnedUserId, UInt};

use crate::attachment::{Fetched, fetch};
use crate::error::RoomError;
use crate::read::{Content, Envelope, Event, is_edited, read};
use crate::room::{Room, filter};
use crate::vouch::{Identity, Kind, Written, vouches};
use crate::waiting::{Entry, Waiting};

/// How many events a batch holds at most.
const AT_ONCE: u32 = 100;
/// How long the homeserver may wait for something to happen.
const WAIT: Duration = Duration::from_secs(30);
/// The same while a message waits for its key.
const WAIT_FOR_KEYS: Duration = Duration::from_secs(5);
/// Between two tries while the homeserver is away.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What happened, oldest first. Anything may come again after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// For the desk.
    pub events: Vec<What>,
    /// What could not be read, and will not be tried again.
    pub unread: Vec<Unread>,
    /// Where to go on once this is on disk. Several batches may have the same: then they belong together.
    pub position: String,
}

/// A message that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which.
    pub event: EventId,
    /// Whose.
    pub by: UserId,
    /// Why.
    pub why: Why,
}

/// Events between two positions.
#[derive(Clone, Debug)]
struct Rest {
    from: String,
    to: String,
}

/// A batch, and what is to be remembered when it is handed out.
struct Heard {
    batch: Batch,
    told: Vec<EventId>,
    rest: Option<Rest>,
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its key did not come in time.
    NoKey,
    /// Too many wait for their keys already.
    TooMany,
    /// It was edited before it could be read, so that others may not see what was sent first.
    Edited,
    /// It is not there any more.
    Gone,
    /// The file that came with it cannot be had; the message itself is among the events.
    File(String),
}

/// Hears what happens in a room.
///
/// The client's own sync brings keys, devices and members up to date, and says how far the room is. The events are then
/// read from the caller's position to there. They are not taken from the sync: the client drops an answer that ends where
/// its last one did, and its last one may have been heard by us before we were killed.
#[derive(Debug)]
pub struct Listening {
    room: Room,
    position: Option<String>,
    /// What is still to be read before the position moves.
    rest: Option<Rest>,
    /// Whether the last sync was followed by reading all up to it.
    is_even: bool,
    waiting: Waiting,
    /// What the last batch told of; on disk when the next one is asked for.
    told: Vec<EventId>,
}

impl Listening {
    pub(crate) fn new(room: Room, position: Option<String>) -> Self {
        let waiting = Waiting::open(room.dir());
        Self { room, position, rest: None, is_even: false, waiting, told: Vec::new() }
    }

    /// Waits for the next batch. Call it when the last one is on disk. Dropped before it ends, nothing is lost. While
    /// the homeserver is away it goes on trying.
    ///
    /// # Errors
    /// When our device was removed, the homeserver does not know the position, or a file cannot be written.
    pub async fn next(&mut self) -> Result<Batch, RoomError> {
        self.waiting.forget(&std::mem::take(&mut self.told))?;
        let mut pause = FIRST_PAUSE;
        loop {
            let heard = self.hear().await;
            self.room.set_hears(heard.is_ok());
            match heard {
                Ok(Heard { batch, told, rest }) => {
                    pause = FIRST_PAUSE;
                    let moved = self.position.as_deref() != Some(&batch.position);
                    (self.is_even, self.rest, self.told) = (rest.is_none(), rest, told);
                    self.position = Some(batch.position.clone());
                    if moved || !batch.events.is_empty() || !batch.unread.is_empty() {
                        return Ok(batch);
                    }
                    self.waiting.forget(&std::mem::take(&mut self.told))?;
                }
                Err(error) if error.may_pass() => {
                    tracing::warn!(%error, "trying again in {pause:?}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Changes nothing here but what waits, so that it can be dropped and begun again.
    async fn hear(&mut self) -> Result<Heard, RoomError> {
        let rest = match &self.rest {
            Some(rest) => rest.clone(),
            None => self.sync().await?,
        };
        let (events, further) = self.read(&rest).await?;
        let position = match &further {
            Some(_) => self.position.clone().unwrap_or_default(),
            None => rest.to,
        };
        let mut batch = Batch { position, ..Batch::default() };
        let (mut asked, mut told, mut wait) = (Asked::default(), Vec::new(), Vec::new());
        self.try_again(&mut batch, &mut told, &mut asked).await?;
        for event in events {
            match &event.kind {
                TimelineEventKind::UnableToDecrypt { .. } => wait.extend(self.to_wait(&event)),
                _ => self.take(&event, &mut batch, &mut asked).await?,
            }
        }
        let too_many = self.waiting.add(wait)?;
        batch.unread.extend(too_many.into_iter().map(|entry| unread(&entry, Why::TooMany)));
        Ok(Heard { batch, told, rest: further })
    }

    /// Waits until something happens. What is to be read then ends where the client knows all keys and members.
    async fn sync(&mut self) -> Result<Rest, RoomError> {
        let (client, room) = (self.room.client(), self.room.inner());
        let wait = match self.waiting.entries() {
            _ if !self.is_even => Duration::ZERO,
            [] => WAIT,
            _ => WAIT_FOR_KEYS.min(self.room.keys_within()),
        };
        self.is_even = false;
        let settings = SyncSettings::new().filter(filter(room.room_id())).timeout(wait);
        let what = || RoomError::client(format!("hear what happens in {}", room.room_id()));
        let answer = client.sync_once(settings).await.map_err(what())?;
        if !room.are_members_synced() {
            room.sync_members().await.map_err(what())?;
        }
        Ok(Rest { from: self.position.clone().unwrap_or_default(), to: answer.next_batch })
    }

    /// The next events, oldest first, and where to go on. Without a position, the last ones that there are.
    async fn read(&self, rest: &Rest) -> Result<(Vec<TimelineEvent>, Option<Rest>), RoomError> {
        if self.position.as_ref() == Some(&rest.to) {
            return Ok((Vec::new(), None));
        }
        let mut options = match &self.position {
            None => MessagesOptions::backward().from(&*rest.to),
            Some(_) => MessagesOptions::forward().from(&*rest.from),
        };
        options.to = self.position.as_ref().map(|_| rest.to.clone());
        options.limit = UInt::from(AT_ONCE);
        let what = RoomError::client(format!("read what happened in {}", self.room.inner().room_id()));
        let page = self.room.inner().messages(options).await.map_err(what)?;
        if self.position.is_none() {
            return Ok((page.chunk.into_iter().rev().collect(), None));
        }
        let further = page.end.filter(|end| !page.chunk.is_empty() && *end != rest.from);
        Ok((page.chunk, further.map(|from| Rest { from, to: rest.to.clone() })))
    }

    /// Keeps an event that cannot be read yet. Of those before our first position none ever can, nor our own old ones.
    fn to_wait(&self, event: &TimelineEvent) -> Option<Entry> {
        let by = event.sender().filter(|sender| sender != self.room.me())?;
        let id = EventId::new(event.event_id()?.as_str())?;
        self.position.as_ref()?;
        Some(Entry { event: id, by: UserId(by.to_string()), since: now(), raw: Some(event.raw().clone()) })
    }

    /// Tries those again that could not be read.
    async fn try_again(
        &mut self,
        batch: &mut Batch,
        told: &mut Vec<EventId>,
        asked: &mut Asked,
    ) -> Result<(), RoomError> {
        for entry in self.waiting.entries().to_vec() {
            let late = now().0.saturating_sub(entry.since.0) >= millis(self.room.keys_within());
            let why = match self.look_again(&entry).await? {
                Again::Event(event) if is_edited(event.raw().json().get()) => Some(Why::Edited),
                Again::Event(event) => {
                    self.take(&event, batch, asked).await?;
                    None
                }
                Again::Waits(raw) if !late => {
                    self.waiting.keep_raw(&entry.event, raw);
                    continue;
                }
                Again::Waits(_) => Some(Why::NoKey),
                Again::Gone => Some(Why::Gone),
            };
            batch.unread.extend(why.map(|why| unread(&entry, why)));
            told.push(entry.event);
        }
        Ok(())
    }

    async fn look_again(&self, entry: &Entry) -> Result<Again, RoomError> {
        let room = self.room.inner();
        if let Some(raw) = &entry.raw {
            let decrypted = room.decrypt_event(raw.cast_ref_unchecked::<Encrypted>(), None).await;
            if !decrypted.is_ok_and(|event| matches!(event.kind, TimelineEventKind::Decrypted(_))) {
                return Ok(Again::Waits(raw.clone()));
            }
        }
        // Fetched also where the key is there: it may have been edited or redacted meanwhile.
        let Ok(id) = ruma::EventId::parse(entry.event.as_str()) else { return Ok(Again::Gone) };
        match room.event(&id, None).await.map_err(RoomError::client(format!("read {id} again"))) {
            Ok(event) => Ok(match event.kind {
                TimelineEventKind::UnableToDecrypt { ref event, .. } => Again::Waits(event.clone()),
                _ => Again::Event(Box::new(event)),
            }),
            Err(error @ RoomError::SignedOut) => Err(error),
            Err(error) if error.may_pass() => Err(error),
            Err(_) => Ok(Again::Gone),
        }
    }

    /// Puts what an event means into a batch.
    async fn take(
        &self,
        event: &TimelineEvent,
        batch: &mut Batch,
        asked: &mut Asked,
    ) -> Result<(), RoomError> {
        let rules = self.room.inner().clone_info().room_version_rules_or_default();
        let envelope = Envelope {
            encrypted: event.encryption_info().is_some(),
            redacts_in_content: rules.redaction.content_field_redacts,
        };
        let Some(Event { id, by, at, content }) = read(event.raw().json().get(), envelope) else {
            return Ok(());
        };
        let Ok(sender) = ruma::UserId::parse(&by.0) else { return Ok(()) };
        let kind = match content {
            Content::Message { .. } | Content::Edited { .. } => Kind::Words,
            Content::Redacted { .. } | Content::Reaction { .. } => Kind::Sign,
            Content::Left { who } => {
                batch.events.push(What::Left { event: id, who });
                return Ok(());
            }
        };
        let vouched = self.is_vouched(event, &sender, kind, asked).await?;
        let sent = Sent { event: id, by, at, joined: self.is_joined(&sender).await?, vouched };
        batch.events.push(match content {
            Content::Message { answers, body, file } => {
                let mut attachment = None;
                // Whoever is not vouched for cannot have us fetch anything.
                if let Some(file) = file.filter(|_| sent.vouched && sent.joined) {
                    match fetch(&self.room, &file).await? {
                        Fetched::Text(text) => attachment = Some(text),
                        Fetched::Not(why) => {
                            let (event, by) = (sent.event.clone(), sent.by.clone());
                            batch.unread.push(Unread { event, by, why: Why::File(why) });
                        }
                    }
                }
                What::Message { sent, answers, body, attachment }
            }
            Content::Edited { of } => What::Edited { sent, of },
            Content::Redacted { of } => What::Redacted { sent, of },
            Content::Reaction { on, key } => What::Reaction { sent, on, key },
            Content::Left { who } => What::Left { event: sent.event, who },
        });
        Ok(())
    }

    async fn is_joined(&self, user: &ruma::UserId) -> Result<bool, RoomError> {
        let member = self.room.inner().get_member_no_sync(user).await;
        let member = member.map_err(RoomError::client(format!("find out whether {user} is in the room")))?;
        Ok(member
            .is_some_and(|member| *member.membership() == ruma::events::room::member::MembershipState::Join))
    }

    /// The devices of a sender may have become known after the event was decrypted, so they are looked at now.
    async fn is_vouched(
        &self,
        event: &TimelineEvent,
        sender: &OwnedUserId,
        kind: Kind,
        asked: &mut Asked,
    ) -> Result<bool, RoomError> {
        let identity = self.room.identity(sender).await;
        let written = self.written(event, sender).await;
        let judged = vouches(self.room.is_encrypted(), &written, kind, identity);
        // What we do not know yet, the homeserver may: once in a batch for each user.
        let unsure = !judged && written != Written::InClear || identity == Identity::Missing;
        let knows_more = self.room.is_encrypted() && unsure && sender != self.room.me();
        if !knows_more || !asked.0.insert(sender.clone()) {
            return Ok(judged);
        }
        let what = RoomError::client(format!("ask for the devices of {sender}"));
        self.room.client().encryption().request_user_identity(sender).await.map_err(what)?;
        let written = self.written(event, sender).await;
        Ok(vouches(self.room.is_encrypted(), &written, kind, self.room.identity(sender).await))
    }

    async fn written(&self, event: &TimelineEvent, sender: &ruma::UserId) -> Written {
        let Some(then) = event.encryption_info() else { return Written::InClear };
        let now = match session(then) {
            Some(session) => self.room.inner().get_encryption_info(session, sender).await,
            None => None,
        };
        Written::Encrypted(now.as_ref().unwrap_or(then).verification_state.clone())
    }
}

/// Whose devices were asked for while a batch was read.
#[derive(Default)]
struct Asked(HashSet<OwnedUserId>);

/// As the SDK wants it to be called before it is decrypted.
type Encrypted = ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent;

enum Again {
    Event(Box<TimelineEvent>),
    Waits(ruma::serde::Raw<ruma::events::AnySyncTimelineEvent>),
    Gone,
}

fn session(info: &EncryptionInfo) -> Option<&str> {
    match &info.algorithm_info {
        AlgorithmInfo::MegolmV1AesSha2 { session_id, .. } => session_id.as_deref(),
        AlgorithmInfo::OlmV1Curve25519AesSha2 { .. } => None,
    }
}

fn unread(entry: &Entry, why: Why) -> Unread {
    Unread { event: entry.event.clone(), by: entry.by.clone(), why }
}

fn now() -> Moment {
    Moment(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
