//! Says in a room what happened. The watch goes on whether it can be said or not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fraktalia_engine::Secrets;
use fraktalia_engine::watch::{Happening, Teller};
use fraktalia_matrix::{Address, Herald, HeraldError};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::render::watch::notice::{self, Entry};

/// What happens within this time is one message.
const GATHER: Duration = Duration::from_secs(2);
/// There is no more than one message in this time.
const APART: Duration = Duration::from_secs(5);
/// How long after it could not be said it is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(10));
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What waits to be said; what is older is left out and counted.
const MOST: usize = 40;

/// Gathers what happens, for a task that says it.
pub struct Notifier {
    room: String,
    /// Whether the watch does by itself what it may.
    acts: bool,
    pending: Mutex<Pending>,
    rung: Notify,
}

#[derive(Default)]
struct Pending {
    entries: VecDeque<Entry>,
    left_out: usize,
    /// Whose it is: `home @ 3f2a91c`.
    head: String,
    /// Where it is to be said, and how its secrets are found; nothing before the first look.
    way: Option<(Result<Address, Mute>, Secrets)>,
    /// How many were made.
    messages: u64,
    /// Whether the people in the room believe that all is well.
    calm: bool,
}

/// Why something cannot be said.
#[derive(Clone)]
struct Mute {
    why: String,
    hint: Option<String>,
}

impl Notifier {
    /// For the room that is called `room`, of a watch that `acts` or only reports.
    pub fn new(room: &str, acts: bool) -> Arc<Self> {
        let pending = Mutex::new(Pending { calm: true, ..Pending::default() });
        Arc::new(Self { room: room.into(), acts, pending, rung: Notify::new() })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes notice of what people in the room want to know.
    pub fn hear(&self, happening: &Happening<'_>) {
        let mut pending = self.pending();
        if let Happening::Looked(look) = happening {
            let manifest = look.session.manifest();
            let address = Address::of(manifest, &self.room).map_err(|error| mute(&error));
            pending.way = Some((address, look.session.secrets().clone()));
            let at = look.session.origin().map_or_else(String::new, |origin| format!(" @ {origin}"));
            pending.head = format!("{}{at}", manifest.realm);
            let calm = look.planned.plan.is_empty() && !look.planned.plan.is_blocked();
            // That all is well is no news to people who were told nothing else.
            if std::mem::replace(&mut pending.calm, calm) && calm {
                return;
            }
        }
        let entries = notice::entries(happening, self.acts);
        if entries.is_empty() {
            return;
        }
        pending.entries.extend(entries);
        while pending.entries.len() > MOST {
            pending.entries.pop_front();
            pending.left_out += 1;
        }
        drop(pending);
        self.rung.notify_one();
    }

    /// Says what was gathered, until `stop`. Whether it can be said is told to `teller`.
    pub async fn speak(self: Arc<Self>, teller: Arc<dyn Teller>, stop: Arc<Notify>) {
        let (mut speaker, mut pause, mut told) = (Speaker::default(), Duration::ZERO, false);
        loop {
            let last = tokio::select! {
                () = self.next(&speaker, pause) => false,
                () = stop.notified() => true,
            };
            speaker.flight = speaker.flight.take().or_else(|| self.take());
            if speaker.flight.is_none() && last {
                break;
            }
            let way = self.pending().way.clone();
            let said = speaker.say(way);
            let said = if last { timeout(LAST_WORDS, said).await.unwrap_or(Ok(())) } else { said.await };
            if last {
                break;
            }
            pause = match said {
                Ok(()) => {
                    if std::mem::take(&mut told) {
                        teller.tell(&Happening::Notifying { room: &self.room, mute: None });
                    }
                    APART
                }
                Err(Mute { why, hint }) => {
                    if !std::mem::replace(&mut told, true) {
                        let mute = Some((why.as_str(), hint.as_deref()));
                        teller.tell(&Happening::Notifying { room: &self.room, mute });
                    }
                    (pause * 2).clamp(AGAIN.0, AGAIN.1)
                }
            };
        }
        speaker.end().await;
    }

    /// Done when there is something to say, and it may be said.
    async fn next(&self, speaker: &Speaker, pause: Duration) {
        sleep(pause).await;
        if speaker.flight.is_some() {
            return;
        }
        loop {
            let rung = self.rung.notified();
            let ready = {
                let pending = self.pending();
                !pending.entries.is_empty() && pending.way.is_some()
            };
            if ready {
                return sleep(GATHER).await;
            }
            rung.await;
        }
    }

    /// All that waits, as one message.
    fn take(&self) -> Option<Flight> {
        let mut pending = self.pending();
        if pending.entries.is_empty() {
            return None;
        }
        let entries: Vec<Entry> = pending.entries.drain(..).collect();
        let left_out = std::mem::take(&mut pending.left_out);
        let (plain, html) = notice::message(&pending.head, &entries, left_out);
        pending.messages += 1;
        let salt = (std::process::id(), fraktalia_engine::clock::now(), pending.messages);
        Some(Flight { transaction: fraktalia_plan::fingerprint(&salt), plain, html })
    }
}

/// A message on its way. What it says stays the same however often it is tried, so that it is said once.
struct Flight {
    transaction: String,
    plain: String,
    html: String,
}

/// Whoever stands in the room.
#[derive(Default)]
struct Speaker {
    herald: Option<Herald>,
    flight: Option<Flight>,
}

impl Speaker {
    async fn say(&mut self, way: Option<(Result<Address, Mute>, Secrets)>) -> Result<(), Mute> {
        let (Some((address, secrets)), Some(flight)) = (way, &self.flight) else { return Ok(()) };
        let address = address?;
        let herald = match self.herald.take() {
            Some(herald) if *herald.address() == address => herald,
            old => {
                if let Some(old) = old {
                    old.end().await;
                }
                Herald::go(address, &secrets).await.map_err(|error| mute(&error))?
            }
        };
        match herald.say(&flight.transaction, (&flight.plain, &flight.html)).await {
            Ok(()) => {
                (self.herald, self.flight) = (Some(herald), None);
                Ok(())
            }
            Err(error) => {
                if error.is_refusal() {
                    // The next try begins from the start: the token or the room may be the trouble.
                    herald.end().await;
                } else {
                    // It may have been said: only with the same token it is not said twice.
                    self.herald = Some(herald);
                }
                Err(mute(&error))
            }
        }
    }

    async fn end(self) {
        if let Some(herald) = self.herald {
            let _ = timeout(LAST_WORDS, herald.end()).await;
        }
    }
}

fn mute(error: &HeraldError) -> Mute {
    Mute { hint: error.hint(), why: chain(error) }
}

/// An error with all that it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
