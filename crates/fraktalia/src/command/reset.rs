//! `reset`: empties a room. Media first, since only the history knows them; then the history, then what agents remember.

use fraktalia_engine::{Session, SessionError};
use fraktalia_matrix::Client;
use fraktalia_matrix::reset::{self, Found, Place, Progress};
use fraktalia_model::manifest::Room;
use fraktalia_model::{RoomId, id};
use fraktalia_openclaw::{OpenClaw, SessionsError};

use super::homeserver::{connect, failed, section, unseen};
use crate::app::App;
use crate::cli::ResetArgs;
use crate::error::{Failure, chain};
use crate::exit::Exit;
use crate::out;
use crate::render::doing::Doing;
use crate::render::plan::number;
use crate::render::quantity::bytes;
use crate::render::reset::{Contents, contents};
use crate::render::{Line, Tone};

/// What of a room goes.
#[derive(Clone, Copy, Debug)]
struct Parts {
    media: bool,
    history: bool,
    session: bool,
}

impl Parts {
    /// Those that were named, or all.
    fn of(args: &ResetArgs) -> Self {
        let all = !(args.media || args.history || args.session);
        Self { media: all || args.media, history: all || args.history, session: all || args.session }
    }
}

/// A room that may be emptied, and all it takes.
struct Work<'a> {
    session: &'a Session,
    client: &'a Client,
    openclaw: Option<OpenClaw>,
    key: &'a str,
    shown: String,
    room: RoomId,
    server: &'a str,
}

/// Says what will be gone, asks, and does it.
pub async fn run(app: &App, args: &ResetArgs) -> Result<Exit, Failure> {
    let session = app.open()?.session;
    let room = chosen(&session, &args.room)?;
    let parts = Parts::of(args);
    let openclaw = OpenClaw::of(session.manifest());
    if parts.session && !openclaw.as_ref().is_some_and(OpenClaw::has_gateway) {
        return Err(Failure::usage(
            "what agents remember can only be taken away by their gateway, and the manifest names none",
            format!("set `openclaw.gateway`, or say `fraktalia reset {} --media --history`", room.key),
        ));
    }
    let _lock = session.lock()?;
    if let Some(run) = session.unfinished()? {
        return Err(SessionError::Unfinished(run.header.run.clone()).into());
    }
    let client = connect(&session).await?;
    let matrix = section(&session)?;
    let found = find(&session, &client, &room.address(matrix), &room.key).await?;
    let work = Work {
        session: &session,
        client: &client,
        openclaw,
        key: &room.key,
        shown: room.shown(matrix),
        room: found,
        server: &matrix.server_name,
    };
    let contents = work.look(app, parts).await?;
    out::data(&self::contents(&contents, &app.out))?;
    if contents.is_empty() {
        return Ok(Exit::OK);
    }
    ask(app, args, &work)?;
    let again = format!("`fraktalia reset {}` goes on with what is left", work.key);
    tokio::select! {
        done = Box::pin(work.empty(app, parts, &contents)) => done.map(|()| Exit::OK),
        _ = tokio::signal::ctrl_c() => Err(Failure::System {
            what: "stopped half way".into(),
            hints: vec![again],
            exit: Exit::FAILURE,
        }),
    }
}

/// The room of the manifest, if its policy lets it be emptied.
fn chosen<'a>(session: &'a Session, key: &str) -> Result<&'a Room, Failure> {
    let manifest = session.manifest();
    let Some(room) = manifest.rooms.get(key) else {
        let rooms = manifest.rooms.values().filter(|room| !room.space);
        let known: Vec<_> = rooms.map(|room| room.key.as_str()).collect();
        return Err(Failure::usage(
            format!("the manifest has no room `{key}`"),
            format!("it has: {}", known.join(", ")),
        ));
    };
    if room.space {
        return Err(Failure::usage(
            format!("`{key}` is a space: nothing is written in it"),
            "name one of its rooms",
        ));
    }
    if manifest.policy.protect.contains(&id::room(key)) {
        return Err(Failure::Forbidden {
            what: format!("the policy protects `{key}`"),
            hint: format!("take `{}` out of `policy.protect` first, if it is to be emptied", id::room(key)),
        });
    }
    Ok(room)
}

async fn find(session: &Session, client: &Client, address: &str, key: &str) -> Result<RoomId, Failure> {
    let realm = &session.manifest().realm;
    match reset::find(client, address, realm, key).await.map_err(unseen)? {
        Found::Ours(room) => Ok(room),
        Found::Nothing => Err(Failure::usage(
            format!("there is no room {address} yet"),
            "`fraktalia plan` says what is missing",
        )),
        Found::NotOurs(_) => Err(Failure::Forbidden {
            what: format!("{address} is not ours: it lacks the marker of the realm `{realm}`"),
            hint: "`fraktalia plan` says whose it is".into(),
        }),
    }
}

/// By the room's name, typed or given.
fn ask(app: &App, args: &ResetArgs, work: &Work<'_>) -> Result<(), Failure> {
    if let Some(named) = &args.yes {
        if named == work.key {
            return Ok(());
        }
        return Err(Failure::usage(
            format!("--yes {named} names another room than {}", work.key),
            format!("say --yes {}", work.key),
        ));
    }
    let mut page = String::from("\n");
    let text = format!("This cannot be taken back. Type `{}` to empty {}:", work.key, work.shown);
    Line::new().text(Tone::Strong, &text).write(&app.err, &mut page);
    let hint = format!("say --yes {} to go on without asking", work.key);
    let typed = out::ask(&format!("{} ", page.trim_end()), &hint)?;
    if typed == work.key { Ok(()) } else { Err(Failure::Declined) }
}

impl Work<'_> {
    fn place(&self) -> Place<'_> {
        Place { client: self.client, server: self.server, room: &self.room }
    }

    /// What will be gone.
    async fn look(&self, app: &App, parts: Parts) -> Result<Contents, Failure> {
        let doing = Doing::new(app.err);
        doing.begin(&format!("looking at {}", self.shown));
        let media = async { if parts.media { self.place().media(None).await.map(Some) } else { Ok(None) } };
        let events = async { if parts.history { self.place().events().await.map(Some) } else { Ok(None) } };
        let (media, events) = tokio::try_join!(media, events).map_err(unseen)?;
        let sessions = if parts.session { Some(self.sessions().await.map_err(silent)?) } else { None };
        Ok(Contents { shown: self.shown.clone(), media, events, sessions })
    }

    async fn sessions(&self) -> Result<Vec<fraktalia_openclaw::Session>, SessionsError> {
        let Some(openclaw) = &self.openclaw else { return Ok(Vec::new()) };
        let all = openclaw.sessions(self.session.secrets()).await?;
        Ok(all.into_iter().filter(|session| session.is_about(&self.room)).collect())
    }

    /// In an order that can be broken off anywhere: what is left shows itself the next time.
    async fn empty(&self, app: &App, parts: Parts, contents: &Contents) -> Result<(), Failure> {
        let again = || format!("`fraktalia reset {}` goes on with what is left", self.key);
        let doing = Doing::new(app.err);
        out::talk("\n");
        let history = parts.history && contents.events.is_some_and(|count| count.events > 0);
        // The line is drawn first: what comes later, and its media, belongs to the time after.
        let line = if history {
            let line = self.place().draw_line(&self.session.manifest().realm).await;
            Some(line.map_err(|error| failed(&error, again()))?)
        } else {
            None
        };
        if parts.media {
            self.media(&doing, line.as_deref()).await.map_err(|error| failed(&error, again()))?;
        }
        if let Some(line) = &line {
            doing.begin("removing the history");
            let say = |progress| say(&doing, progress);
            let removed = self.place().remove_history(line, &say).await;
            removed.map_err(|error| failed(&error, again()))?;
            doing.done("history removed");
        }
        if parts.session {
            self.forget(&doing).await.map_err(|error| Failure::System {
                what: chain(&error),
                hints: vec![error.hint(), again()],
                exit: Exit::FAILURE,
            })?;
        }
        Ok(())
    }

    async fn media(&self, doing: &Doing, line: Option<&str>) -> Result<(), fraktalia_matrix::MatrixError> {
        doing.begin("removing media");
        // As they are now: some may have come since they were counted.
        let media = self.place().media(line).await?;
        if !media.going.is_empty() {
            self.place().remove_media(&media, &|progress| say(doing, progress)).await?;
            doing.done(&format!("{} removed ({})", number(media.going.len(), "file"), bytes(media.bytes())));
        }
        Ok(())
    }

    async fn forget(&self, doing: &Doing) -> Result<(), SessionsError> {
        let Some(openclaw) = &self.openclaw else { return Ok(()) };
        for session in self.sessions().await? {
            let agent = session.agent().unwrap_or("an agent").to_owned();
            doing.begin(&format!("ending the session of {agent}"));
            let kept = openclaw.delete_session(&session, self.session.secrets()).await?;
            let kept = if kept.is_empty() { "" } else { "; the gateway keeps its transcript as an archive" };
            doing.done(&format!("{agent} has forgotten the room{kept}"));
        }
        Ok(())
    }
}

fn say(doing: &Doing, progress: Progress) {
    match progress {
        Progress::Media(gone, of) => doing.say(&format!("{gone} of {of}")),
        Progress::History(_) => doing.say("the homeserver is at it"),
    }
}

/// The gateway could not be asked, and nothing was changed.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn silent(error: SessionsError) -> Failure {
    Failure::unseen(&error, Some(error.hint()))
}
