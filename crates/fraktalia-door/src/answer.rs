//! From what became of a case to the answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fraktalia_desk::{Case, End, Filing, Reply, Stage};
use fraktalia_model::Note;

use crate::desk::Unavailable;
use crate::door::Door;
use crate::problem::{Finding, Problem};
use crate::view;

/// How long to wait before what cannot be planned now is tried again, in seconds.
const AGAIN_S: u64 = 30;

/// The desk does not answer. Why is for the log.
pub(crate) fn unavailable(error: &Unavailable) -> Problem {
    tracing::error!(%error, "the API cannot answer");
    Problem::unavailable("the desk does not answer; try again later").retry_after(AGAIN_S)
}

/// Files something, and waits until it is decided as far as its token may have it decided.
pub(crate) async fn file(door: &Door, filing: Filing) -> Result<Case, Problem> {
    let (desk, settings) = (door.desk(), door.settings());
    let mut changes = desk.changes();
    changes.mark_unchanged();
    let (origin, digest, may_apply) = (filing.origin.clone(), filing.digest.clone(), filing.may_apply);
    let mut case = desk.file(filing).await.map_err(|error| unavailable(&error))?;
    if case.filed.as_ref().is_none_or(|filed| filed.digest != digest) {
        return Err(Problem::key_reused(
            "this `Idempotency-Key` was sent with something else before; send what you sent then, or a new key",
        ));
    }
    let patience = if may_apply { settings.apply_time } else { settings.plan_time };
    let end = tokio::time::Instant::now() + patience;
    loop {
        let decided = match case.stage {
            Stage::Closed { .. } => true,
            Stage::Planning => false,
            _ => !may_apply,
        };
        if decided || !matches!(tokio::time::timeout_at(end, changes.changed()).await, Ok(Ok(()))) {
            return Ok(case);
        }
        case = match desk.case_of(&origin).await.map_err(|error| unavailable(&error))? {
            Some(now) => now,
            None => return Ok(case),
        };
    }
}

/// What is answered about a fractal that was to be made.
pub(crate) async fn made(
    door: &Door,
    case: &Case,
    finding: impl Fn(&Note) -> Finding,
) -> Result<Response, Problem> {
    let status = match over(case, finding)? {
        Some(()) => StatusCode::CREATED,
        None => StatusCode::ACCEPTED,
    };
    let fractal = shown(door, case).await?;
    if status == StatusCode::CREATED && fractal.room.is_none() {
        // The same request again, long after.
        return Err(Problem::conflict(
            "it was made by this request, and is gone since; send a new `Idempotency-Key`",
        ));
    }
    let place = format!("/fractal/{}", fractal.id);
    let mut response = (status, Json(fractal)).into_response();
    response.headers_mut().extend(HeaderValue::from_str(&place).ok().map(|place| (header::LOCATION, place)));
    Ok(response)
}

/// What is answered about one that was to be removed.
pub(crate) async fn removed(door: &Door, case: &Case) -> Result<Response, Problem> {
    match over(case, Finding::of)? {
        Some(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        None => Ok((StatusCode::ACCEPTED, Json(shown(door, case).await?)).into_response()),
    }
}

async fn shown(door: &Door, case: &Case) -> Result<view::Fractal, Problem> {
    let desk = door.desk();
    let living = desk.fractals().await.map_err(|error| unavailable(&error))?;
    let cases = desk.cases().await.map_err(|error| unavailable(&error))?;
    let name = case.name().unwrap_or_default();
    Ok(view::one(name, &living, &cases).unwrap_or_else(|| view::of_case(case)))
}

/// Whether it is done; a problem when it ended in any other way.
fn over(case: &Case, finding: impl Fn(&Note) -> Finding) -> Result<Option<()>, Problem> {
    let reply = case.filed.as_ref().and_then(|filed| filed.reply.as_ref());
    match (&case.stage, reply) {
        (Stage::Closed { end: End::Applied, .. }, _) => Ok(Some(())),
        (Stage::Closed { .. }, Some(reply)) => Err(problem(reply, finding)),
        (Stage::Closed { .. }, None) => Err(Problem::conflict("it ended without being done")),
        _ => Ok(None),
    }
}

fn problem(reply: &Reply, finding: impl Fn(&Note) -> Finding) -> Problem {
    match reply {
        Reply::Forbidden(text) => Problem::forbidden(text),
        Reply::Findings(notes) => {
            let all: Vec<Finding> = notes.iter().map(finding).collect();
            let detail = all.first().map_or_else(String::new, |first| first.detail.clone());
            Problem::findings(detail).with(all)
        }
        Reply::Clash(text) | Reply::Fixed(text) => Problem::conflict(text),
        Reply::NoSuch(text) => Problem::not_found(text),
        Reply::TooMany { text, wait_s } => Problem::too_many(text).retry_after(*wait_s),
        Reply::Unable(text) => {
            Problem::unavailable(format!("it cannot be planned now: {text}")).retry_after(AGAIN_S)
        }
        Reply::Nothing => Problem::conflict("there is nothing to do for it"),
        Reply::Void(text) => Problem::conflict(format!("nothing was done: {text}")),
        Reply::Failed(text) => Problem::failed(text),
        Reply::Withdrawn => Problem::conflict("it was taken back"),
    }
}
