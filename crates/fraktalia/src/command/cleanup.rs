//! `cleanup`: what is left over, listed and then removed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use fraktalia_docker::helper::NoHelper;
use fraktalia_docker::leftovers::Known;
use fraktalia_docker::{DockerHost, leftovers};
use fraktalia_engine::ledger::Ledger;
use fraktalia_engine::{Registry, Run, Session, SessionError, backups};
use fraktalia_model::manifest::Manifest;
use fraktalia_model::{ResourceId, SystemId};
use fraktalia_openclaw::{OpenClaw, Routing};

use crate::app::{App, Place};
use crate::cli::{CleanupArgs, Format};
use crate::error::{Failure, chain};
use crate::exit::Exit;
use crate::out;
use crate::render::cleanup::{self, Item, Page};
use crate::render::doing::Doing;
use crate::render::plan::number;
use crate::render::{Line, Tone, note};

/// How something is removed.
enum Way {
    Session(fraktalia_openclaw::Session),
    Docker(Box<(DockerHost, leftovers::Leftover)>),
    Backup(backups::Backup),
}

/// What was found.
#[derive(Default)]
struct Found {
    page: Page,
    /// How each item of the page is removed, in its order.
    ways: Vec<Way>,
    /// Systems that could not be asked.
    unseen: Vec<(String, Option<String>)>,
}

impl Found {
    fn add(&mut self, item: Item, way: Way) {
        self.page.items.push(item);
        self.ways.push(way);
    }
}

/// Lists, asks, removes.
pub async fn run(app: &App, args: &CleanupArgs) -> Result<Exit, Failure> {
    let session = app.open()?.session;
    let lock = session.lock()?;
    // What an open run needs cannot be told from what nobody needs.
    if let Some(run) = session.unfinished()? {
        return Err(SessionError::Unfinished(run.header.run.clone()).into());
    }
    let found = look(app, &session, args).await?;
    match args.format {
        Format::Json => out::json(&cleanup::document(&found.page))?,
        Format::Text => out::data(&cleanup::page(&found.page, &app.out))?,
    };
    say_unseen(app, &found);
    let exit = if found.unseen.is_empty() { Exit::OK } else { Exit::OBSERVE };
    if found.ways.is_empty() || !agreed(app, args, found.ways.len())? {
        return Ok(exit);
    }
    out::talk("\n");
    let removed = remove(app, &session, found).await;
    drop(lock);
    Ok(removed?.unwrap_or(exit))
}

async fn look(app: &App, session: &Session, args: &CleanupArgs) -> Result<Found, Failure> {
    let doing = Doing::new(app.err);
    doing.begin("looking for leftovers");
    let runs = session.history()?;
    let openclaw = OpenClaw::of(session.manifest());
    let mut found = Found::default();
    // Without the file nothing says which agents there are, and so none is gone.
    let routing = match &openclaw {
        Some(openclaw) => {
            openclaw.routing().map_err(|error| Failure::unseen(&error, Some(error.hint()))).map(Some)?
        }
        None => None,
    };
    let agents = agents(session, &runs)?;
    if let (Some(openclaw), Some(routing)) = (&openclaw, &routing) {
        sessions(session, openclaw, routing, &agents, &mut found).await;
    }
    let kept = kept(session, &runs, args.keep_runs);
    engines(app, session, routing.as_ref(), &agents, &kept, &mut found).await?;
    let old = backups::old(session.paths(), &runs, args.keep_runs).map_err(|source| Failure::File {
        doing: "read",
        path: session.paths().backup(""),
        source,
    })?;
    for backup in old {
        found.add(cleanup::backup(&backup, args.keep_runs), Way::Backup(backup));
    }
    Ok(found)
}

/// The agents that are ours, or were once, in lower case. Of others we know nothing.
fn agents(session: &Session, runs: &[Run]) -> Result<BTreeSet<String>, Failure> {
    let ledger = Ledger::load(session.paths(), &session.manifest().realm, session.registry());
    let records = ledger.map_err(SessionError::from)?.records;
    let (openclaw, manifest) = (SystemId::openclaw(), session.manifest());
    let agent = |id: &ResourceId| {
        (id.system == openclaw && id.kind == "agent").then(|| id.name.to_string().to_ascii_lowercase())
    };
    let planned = runs.iter().flat_map(|run| &run.header.plan.changes).filter_map(|change| agent(&change.id));
    let recorded = records.keys().filter_map(agent);
    let wanted = manifest.fractals.keys().map(|key| key.to_ascii_lowercase());
    Ok(planned.chain(recorded).chain(wanted).collect())
}

/// Sessions of agents of ours that are gone, or that hear nothing of the room any more.
async fn sessions(
    session: &Session,
    openclaw: &OpenClaw,
    routing: &Routing,
    agents: &BTreeSet<String>,
    found: &mut Found,
) {
    if !openclaw.has_gateway() {
        found
            .page
            .notes
            .push("Sessions were not looked at: the manifest names no gateway (`openclaw.gateway`).".into());
        return;
    }
    let all = match openclaw.sessions(session.secrets()).await {
        Ok(all) => all,
        Err(error) => return found.unseen.push((chain(&error), Some(error.hint()))),
    };
    for one in all {
        let Some(agent) = one.agent().map(str::to_ascii_lowercase) else { continue };
        let why = match one.room() {
            _ if !agents.contains(&agent) || one.is_main() => continue,
            _ if !routing.agents.contains(&agent) => format!("its agent `{agent}` is gone"),
            Some(room) if !routing.reaches(&agent, room) => {
                "no binding leads from that room to it any more".into()
            }
            _ => continue,
        };
        found.add(cleanup::session(&one, why, now()), Way::Session(one));
    }
}

/// The journals of the runs that can still be taken back, as they are: whatever they speak of is needed.
fn kept(session: &Session, runs: &[Run], keep: usize) -> Vec<String> {
    let last = runs.iter().rev().take(keep);
    let journals = last.map(|run| session.paths().journal(&run.header.run));
    journals.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

async fn engines(
    app: &App,
    session: &Session,
    routing: Option<&Routing>,
    agents: &BTreeSet<String>,
    kept: &[String],
    found: &mut Found,
) -> Result<(), Failure> {
    let manifest = session.manifest();
    let place = app.place()?;
    let is_gone = |agent: &str| {
        let agent = agent.to_ascii_lowercase();
        routing.is_some_and(|routing| agents.contains(&agent) && !routing.agents.contains(&agent))
    };
    let is_needed = |image: &str| kept.iter().any(|journal| journal.contains(image));
    let is_over = |realm: &str| is_over(&place, session.registry(), realm);
    for engine in used(manifest, session) {
        let roots = roots(manifest, engine.host());
        let known = Known {
            realm: &manifest.realm,
            is_gone: &is_gone,
            roots: &roots,
            is_needed: &is_needed,
            is_over: &is_over,
        };
        match engine.leftovers(&known).await {
            Ok(there) => {
                let strangers = there.strangers.iter().map(|one| cleanup::stranger(one, engine.host()));
                found.page.strangers.extend(strangers);
                for one in there.leftovers {
                    found.add(
                        cleanup::docker(&one, engine.host(), now()),
                        Way::Docker(Box::new((engine.clone(), one))),
                    );
                }
            }
            Err(error) => found.unseen.push((chain(&error), error.hint())),
        }
    }
    Ok(())
}

/// The engines on which the manifest has something, or our record.
fn used(manifest: &Manifest, session: &Session) -> Vec<DockerHost> {
    let ledger = Ledger::load(session.paths(), &manifest.realm, session.registry());
    let recorded: BTreeSet<SystemId> =
        ledger.map(|ledger| ledger.records.keys().map(|id| id.system.clone()).collect()).unwrap_or_default();
    let named = |host: &str| {
        manifest.sandboxes.values().any(|sandbox| sandbox.host == host)
            || manifest.networks.values().any(|network| network.host == host)
            || recorded.contains(&SystemId::docker(host))
    };
    // None is made here.
    let no_helper = || -> Result<_, NoHelper> { fraktalia_docker::HelperBuild::unread() };
    DockerHost::all(manifest, no_helper).into_iter().filter(|engine| named(engine.host())).collect()
}

/// Where OpenClaw's containers mount from: workspaces, and copies of them that the gateway keeps beside its file.
fn roots(manifest: &Manifest, host: &str) -> Vec<PathBuf> {
    let openclaw = manifest.openclaw.as_ref();
    let gateway = openclaw.into_iter().flat_map(|openclaw| {
        // `~/.openclaw`; what is higher up belongs to others too.
        let home = openclaw.config.parent().filter(|home| home.components().count() > 2);
        [Some(openclaw.workspaces.clone()), home.map(Into::into)].into_iter().flatten()
    });
    let there = manifest.hosts.get(host).and_then(|host| host.workspaces.clone());
    gateway.chain(there.into_iter().flat_map(|paths| [paths.here, paths.there])).collect()
}

/// Whether a realm of this user has a record, and nothing on it. The name comes from a label.
fn is_over(place: &Place, registry: &Registry, realm: &str) -> bool {
    let plain = |at: char| at.is_ascii_alphanumeric() || matches!(at, '-' | '_');
    let Place::Below(_) = place else { return false };
    if realm.is_empty() || !realm.chars().all(plain) {
        return false;
    }
    let Ok(paths) = place.of(realm) else { return false };
    let is_there = paths.ledger().is_file();
    is_there && Ledger::load(&paths, realm, registry).is_ok_and(|ledger| ledger.records.is_empty())
}

fn say_unseen(app: &App, found: &Found) {
    let mut page = String::new();
    for (why, hint) in &found.unseen {
        note::warning(&format!("not looked at: {why}"), &app.err, &mut page);
        if let Some(hint) = hint {
            note::hint(hint, &app.err, &mut page);
        }
    }
    out::talk(&page);
}

/// Whether it may be removed. A list that nobody can answer is a list.
fn agreed(app: &App, args: &CleanupArgs, count: usize) -> Result<bool, Failure> {
    if args.yes {
        return Ok(true);
    }
    if args.format == Format::Json {
        return Ok(false);
    }
    let mut page = String::from("\n");
    if !out::can_ask() {
        Line::new().text(Tone::Hint, "Nothing was removed: say --yes for that.").write(&app.err, &mut page);
        out::talk(&page);
        return Ok(false);
    }
    let question = format!("Remove {}? This cannot be taken back.", number(count, "leftover"));
    Line::new().text(Tone::Strong, &question).plain(" [y/N]").write(&app.err, &mut page);
    if out::confirm(&format!("{} ", page.trim_end()))? { Ok(true) } else { Err(Failure::Declined) }
}

/// One after another; Ctrl-C ends it between two. Gives the code where not all went well.
async fn remove(app: &App, session: &Session, found: Found) -> Result<Option<Exit>, Failure> {
    let doing = Doing::new(app.err);
    let mut failed = 0;
    for (item, way) in found.page.items.iter().zip(found.ways) {
        let title = format!("{} {}", item.sort.word(), item.name);
        doing.begin(&format!("removing {title}"));
        let mut removal = std::pin::pin!(one(session, way));
        let (done, is_stopped) = tokio::select! {
            done = &mut removal => (done, false),
            // What is in flight is finished, unless it is said once more.
            _ = tokio::signal::ctrl_c() => tokio::select! {
                done = &mut removal => (done, true),
                _ = tokio::signal::ctrl_c() => return Err(stopped()),
            },
        };
        match done {
            Ok(()) => doing.done(&title),
            Err(why) => {
                failed += 1;
                doing.failed(&format!("{title}: {why}"));
            }
        }
        if is_stopped {
            return Err(stopped());
        }
    }
    Ok((failed > 0).then_some(Exit::FAILURE))
}

fn stopped() -> Failure {
    Failure::System {
        what: "stopped; what is listed above is gone, the rest is as it was".into(),
        hints: vec!["`fraktalia cleanup` goes on".into()],
        exit: Exit::FAILURE,
    }
}

async fn one(session: &Session, way: Way) -> Result<(), String> {
    match way {
        Way::Session(one) => {
            let openclaw = OpenClaw::of(session.manifest()).ok_or("the manifest names no gateway")?;
            openclaw.delete_session(&one, session.secrets()).await.map(drop).map_err(|error| chain(&error))
        }
        Way::Docker(on) => {
            let (engine, leftover) = *on;
            engine.remove_leftover(&leftover).await.map_err(|error| chain(&error))
        }
        Way::Backup(backup) => backups::remove(session.paths(), &backup).map_err(|error| chain(&error)),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_is_over_only_if_its_record_is_here_and_empty() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |realm: &str, records: &str| {
            let home = dir.path().join(realm);
            std::fs::create_dir_all(&home).expect("made");
            let text = format!(r#"{{"format": 1, "realm": "{realm}", "run": null, "records": {records}}}"#);
            std::fs::write(home.join("ledger.json"), text).expect("written");
        };
        write("empty", "{}");
        write("alive", r#"{"matrix/room/lounge": {"no": "record of this form"}}"#);
        std::fs::create_dir_all(dir.path().join("bare")).expect("made");
        let below = Place::Below(dir.path().into());
        let over = |realm: &str| is_over(&below, &Registry::new(), realm);
        assert!(over("empty"));
        for realm in ["alive", "bare", "unknown", "", "../empty", "empty/../empty", "empty/"] {
            assert!(!over(realm), "{realm}");
        }
        assert!(!is_over(&Place::Here(dir.path().join("empty")), &Registry::new(), "empty"));
    }
}
