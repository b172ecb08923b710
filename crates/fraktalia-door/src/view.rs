//! Fractals as the API shows them: what the manifest has, and what is under way at the desk.

use fraktalia_desk::{Case, End, Kind, Moment, Stage};
use serde::Serialize;
use utoipa::ToSchema;

use crate::desk::Living;

/// A fractal: there, or on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Fractal {
    /// Its key in the manifest.
    #[schema(example = "cook")]
    pub id: String,
    /// What people call it.
    #[schema(example = "Cook")]
    pub name: String,
    /// How far it is.
    pub state: State,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Its room, once the manifest has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Room>,
    /// The id of its agent, once the manifest has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What is under way about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
}

/// How far a fractal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It is there.
    Live,
    /// It is in the manifest, and the live systems are known to differ.
    Drifted,
    /// It is planned, or waits for an operator's answer.
    Proposed,
    /// It is approved, and being made.
    Applying,
    /// It was tried, and all was taken back.
    Failed,
}

/// The room of a fractal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Room {
    /// Its id, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Its alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "#cook:chat.home")]
    alias: Option<String>,
}

/// What is under way about a fractal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Proposal {
    /// The id of the case, as the audit has it.
    case: String,
    /// What it would do.
    does: Does,
    /// Until when it may be answered.
    #[schema(format = DateTime)]
    expires: String,
    /// Whose it is: a user, or a token by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

/// What a proposal would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Does {
    /// Make it.
    Add,
    /// Remove it.
    Remove,
}

/// All fractals, by key.
pub(crate) fn all(living: &[Living], cases: &[Case]) -> Vec<Fractal> {
    let mut fractals: Vec<Fractal> = living.iter().map(|living| there(living, cases)).collect();
    let mut names: Vec<&str> = cases.iter().filter_map(Case::name).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        if living.iter().all(|living| living.key != name) {
            fractals.extend(coming(name, cases));
        }
    }
    fractals.sort_by(|a, b| a.id.cmp(&b.id));
    fractals
}

/// One fractal.
pub(crate) fn one(name: &str, living: &[Living], cases: &[Case]) -> Option<Fractal> {
    match living.iter().find(|living| living.key == name) {
        Some(living) => Some(there(living, cases)),
        None => coming(name, cases),
    }
}

/// A fractal of which only its case is known.
pub(crate) fn of_case(case: &Case) -> Fractal {
    let state = match case.stage {
        Stage::Planning | Stage::Posting | Stage::Open => State::Proposed,
        Stage::Waiting { .. } | Stage::Running { .. } | Stage::TakingBack { .. } => State::Applying,
        Stage::Closed { end: End::Failed, .. } => State::Failed,
        Stage::Closed { .. } => State::Live,
    };
    let id = case.name().unwrap_or_default().to_owned();
    Fractal { name: id.clone(), id, state, purpose: None, room: None, agent: None, proposal: under_way(case) }
}

fn there(living: &Living, cases: &[Case]) -> Fractal {
    let case = cases.iter().find(|case| case.is_alive() && case.name() == Some(&living.key));
    Fractal {
        id: living.key.clone(),
        name: living.name.clone(),
        state: if living.drifted { State::Drifted } else { State::Live },
        purpose: living.purpose.clone(),
        room: Some(Room { id: living.room_id.clone(), alias: living.alias.clone() }),
        agent: Some(living.key.clone()),
        proposal: case.and_then(under_way),
    }
}

/// What is on its way, or was tried last and failed. What was declined or void was never there.
fn coming(name: &str, cases: &[Case]) -> Option<Fractal> {
    let adds = |case: &&Case| case.name() == Some(name) && matches!(case.kind, Kind::Proposal { .. });
    let newest = cases.iter().filter(adds).max_by_key(|case| match case.stage {
        Stage::Closed { at, .. } => at,
        _ => Moment(u64::MAX),
    })?;
    let shown = newest.is_alive() || matches!(newest.stage, Stage::Closed { end: End::Failed, .. });
    shown.then(|| of_case(newest))
}

fn under_way(case: &Case) -> Option<Proposal> {
    let does = match case.kind {
        Kind::Removal { .. } => Does::Remove,
        _ => Does::Add,
    };
    case.is_alive().then(|| Proposal {
        case: case.id.to_string(),
        does,
        expires: utc(case.expires),
        by: case.by.clone().map(String::from),
    })
}

/// As RFC 3339 writes it.
fn utc(moment: Moment) -> String {
    let time =
        i64::try_from(moment.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms / 1000 * 1000).ok());
    time.unwrap_or(jiff::Timestamp::MAX).to_string()
}
