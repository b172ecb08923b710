//! The properties themselves.

use fraktalia_engine::journal::FaultAt;
use fraktalia_engine::session::Options;
use fraktalia_engine::{Ended, Outcome, Session, SessionError};
use fraktalia_plan::{Plan, audit};
use fraktalia_testkit::contract::{Subject as _, apply, dies, left, quiet};
use fraktalia_testkit::generate::{Case, Rng};
use serde_json::Value as Json;

use crate::stage::Stage;
use crate::{Found, blind, snapshot};

/// How an apply went.
enum Went {
    /// It was done; how many entries its journal has.
    Well(String, u64),
    /// Something is in the way, and nothing was done.
    Blocked,
}

/// Tries all properties on one case.
pub async fn hold(case: &Case) -> Found {
    let mut rng = Rng::new(case.seed);
    let mut stage = Stage::set(&case.world).await;
    let theirs = snapshot::by_hand(&stage, &case.world);
    let mut entries = Vec::new();
    for (number, wishes) in [&case.first, &case.second].into_iter().enumerate() {
        if number == 1 && case.world["lost"] == true {
            stage.lose_state();
        }
        stage.want(wishes);
        blind::never_deletes(&stage, &mut rng).await?;
        let plan = sound(&stage.session(None)).await?;
        entries.push(there_and_back(&stage, &plan).await?);
        same(
            "what is not ours stays",
            &theirs_of(&theirs, case),
            &theirs_of(&snapshot::by_hand(&stage, &case.world), case),
        )?;
    }
    let reference = stage.world();
    die_and_go_on(case, &entries, &reference, &mut rng).await
}

/// A workspace that is to be purged goes with all that is in it; else not a byte changes.
fn theirs_of(theirs: &Json, case: &Case) -> Json {
    let mut theirs = theirs.clone();
    let purged =
        [&case.first, &case.second].into_iter().any(|wishes| wishes.to_string().contains("\"purge\""));
    if purged {
        theirs["files"] = Json::Null;
    }
    theirs
}

/// A plan passes the audit, and is the same when it is made again.
async fn sound(session: &Session) -> Result<Plan, String> {
    let plan = async || {
        session
            .plan(&Options::default(), true)
            .await
            .map_err(|error| format!("a plan can be made: {error:?}"))
    };
    let (first, second) = (plan().await?.plan, plan().await?.plan);
    let findings = audit::audit(&first);
    if !findings.is_empty() {
        return Err(format!("the audit finds nothing: {findings:?}"));
    }
    // Edges that all lead forward leave no circle, and the waves hold every step once.
    let mut waves: Vec<_> = first.waves().into_iter().flatten().collect();
    waves.sort_unstable();
    if waves != first.steps.iter().map(|step| step.id).collect::<Vec<_>>() {
        return Err(format!("no step waits for itself: {waves:?}"));
    }
    let text = |plan: &Plan| serde_json::to_string(plan).map_err(|error| error.to_string());
    if text(&first)? != text(&second)? {
        return Err(format!("the same plan twice: {}\n{}", text(&first)?, text(&second)?));
    }
    Ok(first)
}

/// Applies, takes back, applies again. How many entries the journal had.
async fn there_and_back(stage: &Stage, plan: &Plan) -> Result<Option<u64>, String> {
    let before = stage.world();
    let session = stage.session(None);
    let Went::Well(run, entries) = applied(&session).await? else {
        same("a blocked plan changes nothing", &before, &stage.world())?;
        return Ok(None);
    };
    let after = stage.world();
    if entries == 0 {
        same("nothing to do changes nothing", &before, &after)?;
        return Ok(Some(0));
    }
    let final_steps = plan.steps.iter().any(|step| step.impact.is_irreversible());
    let lock = session.lock().map_err(|error| error.to_string())?;
    let record = session.run(&run).map_err(|error| error.to_string())?;
    let back = session.roll_back_run(&lock, &record, &quiet()).await;
    drop(lock);
    match back {
        Err(SessionError::NoRun(_)) if final_steps => {
            same("a refused rollback changes nothing", &after, &stage.world())?;
            return Ok(Some(entries));
        }
        Ok(Ended { outcome: Some(Outcome::RolledBack { .. }), .. }) if !final_steps => {}
        other => return Err(format!("a rollback runs: {other:?}")),
    }
    same("a rollback gives the first world back", &before, &stage.world())?;
    match applied(&session).await? {
        Went::Well(..) => same("the same apply again ends the same", &after, &stage.world())?,
        Went::Blocked => return Err("what was applied once can be applied again: it is blocked".into()),
    }
    Ok(Some(entries))
}

/// Applies; then nothing is left to do.
async fn applied(session: &Session) -> Result<Went, String> {
    let ended = match apply(session).await {
        Err(SessionError::Blocked(_)) => return Ok(Went::Blocked),
        other => other.map_err(|error| format!("an apply runs: {error:?}"))?,
    };
    let why = ended.why.as_deref().unwrap_or_default();
    if why.contains("Unknown agent id") && matches!(ended.outcome, Some(Outcome::RolledBack { .. })) {
        // The manifest may name an agent that it does not manage; that there is none only the gateway says.
        return Ok(Went::Blocked);
    }
    if ended.outcome != Some(Outcome::Applied) {
        let left = left(session).await;
        return Err(format!("an apply ends well: {ended:?}, left: {left:?}"));
    }
    let left = left(session).await;
    if !left.is_empty() {
        return Err(format!("nothing is left to do: {left:?}"));
    }
    let journal = std::fs::read_to_string(session.paths().journal(&ended.run)).unwrap_or_default();
    Ok(Went::Well(ended.run, journal.lines().count() as u64))
}

/// Dies in one of the two applies, in another world that is the same; then goes on, or takes it back and begins anew.
async fn die_and_go_on(case: &Case, entries: &[Option<u64>], reference: &Json, rng: &mut Rng) -> Found {
    let candidates: Vec<(usize, u64)> = entries
        .iter()
        .enumerate()
        .filter_map(|(at, entries)| Some((at, (*entries)?)))
        .filter(|(_, n)| *n > 0)
        .collect();
    if candidates.is_empty() {
        return Ok(());
    }
    let (dying, entries) = *rng.pick(&candidates);
    let entry = 1 + rng.number() % entries;
    let at = if rng.percent(50) { FaultAt::After(entry) } else { FaultAt::Before(entry) };
    let take_back = rng.percent(30);
    let mut stage = Stage::set(&case.world).await;
    for (number, wishes) in [&case.first, &case.second].into_iter().enumerate() {
        if number == 1 && case.world["lost"] == true {
            stage.lose_state();
        }
        stage.want(wishes);
        if number == dying {
            let before = stage.world();
            dies(&stage, at).await;
            pick_up(&stage, take_back, &before).await.map_err(|found| format!("{found}, dead {at:?}"))?;
        }
        applied(&stage.session(None)).await.map_err(|found| format!("{found}, dead {at:?}"))?;
    }
    same("dying costs nothing", reference, &stage.world())
        .map_err(|found| format!("{found}, dead {at:?}, back {take_back}"))
}

async fn pick_up(stage: &Stage, take_back: bool, before: &Json) -> Found {
    let session = stage.session(None);
    let Some(run) = session.unfinished().map_err(|error| error.to_string())? else { return Ok(()) };
    let lock = session.lock().map_err(|error| error.to_string())?;
    if take_back && !run.passed_the_point_of_no_return() {
        let ended = session.roll_back_unfinished(&lock, &quiet()).await;
        match ended {
            Ok(Ended { outcome: Some(Outcome::RolledBack { .. }), .. }) => {
                return same("a rollback after a death gives the first world back", before, &stage.world());
            }
            other => return Err(format!("a rollback after a death runs: {other:?}")),
        }
    }
    session.resume(&lock, &quiet()).await.map(drop).map_err(|error| format!("a resume runs: {error:?}"))
}

fn same(property: &str, was: &Json, is: &Json) -> Found {
    let differences = snapshot::differences(was, is);
    if differences.is_empty() { Ok(()) } else { Err(format!("{property}: {}", differences.join("\n  "))) }
}
