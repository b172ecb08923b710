//! The routes.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use fraktalia_desk::{Ask, Filing};
use fraktalia_model::manifest::ApiScope;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{self, unavailable};
use crate::body::{Asked, NewFractal};
use crate::door::Door;
use crate::guard::{Caller, idempotency_key, read};
use crate::openapi::{Base, OfDelete, OfGet, OfGetOne, OfPost};
use crate::problem::Problem;
use crate::view::{self, Fractal};

const READ: (ApiScope, &str) = (ApiScope::Read, "read");
const PROPOSE: (ApiScope, &str) = (ApiScope::Propose, "propose");
const APPLY: (ApiScope, &str) = (ApiScope::Apply, "apply");
const FORMS: &str = "application/json, application/yaml";

/// What holds for every answer: nothing is kept by anybody, and none of it is a page.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The routes with what is said of them.
pub(crate) fn described() -> OpenApiRouter<Door> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(list_fractals, make_fractal))
        .routes(routes!(get_fractal, remove_fractal))
        .routes(routes!(health))
        .routes(routes!(description))
}

pub(crate) fn router(door: &Door) -> Router {
    let (routes, _) = described().split_for_parts();
    routes
        .method_not_allowed_fallback(|method: Method| async move {
            Problem::method(format!("{method} is not done here; the header `Allow` says what is"))
        })
        .fallback(|| async { Problem::not_found("there is nothing here; /openapi.json says what there is") })
        .layer(from_fn(headers))
        .with_state(door.clone())
}

async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().extend(HEADERS);
    response
}

/// All fractals, those on their way included.
#[utoipa::path(
    get, path = "/fractal", tag = "fractals", security(("token" = [])),
    responses((status = 200, description = "All fractals.", body = Vec<Fractal>), OfGet)
)]
async fn list_fractals(State(door): State<Door>, caller: Caller) -> Result<Json<Vec<Fractal>>, Problem> {
    caller.only(&[READ])?;
    let living = door.desk().fractals().await.map_err(|error| unavailable(&error))?;
    let cases = door.desk().cases().await.map_err(|error| unavailable(&error))?;
    Ok(Json(view::all(&living, &cases)))
}

/// One fractal.
#[utoipa::path(
    get, path = "/fractal/{id}", tag = "fractals", security(("token" = [])),
    params(("id" = String, Path, description = "Its key.", example = "gardener")),
    responses((status = 200, description = "The fractal.", body = Fractal), OfGetOne)
)]
async fn get_fractal(
    State(door): State<Door>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Fractal>, Problem> {
    caller.only(&[READ])?;
    let id = key(id)?;
    let living = door.desk().fractals().await.map_err(|error| unavailable(&error))?;
    let cases = door.desk().cases().await.map_err(|error| unavailable(&error))?;
    let found = view::one(&id, &living, &cases);
    found.map(Json).ok_or_else(|| Problem::not_found("there is no fractal of that key, and none proposed"))
}

/// Make a fractal. With `propose` it is planned and shown in the admin room (202); with `apply` it is made (201).
#[utoipa::path(
    post, path = "/fractal", tag = "fractals", security(("token" = [])),
    params((
        "Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
        description = "Sent again with the same body, it is the same request and has the same answer, also over a restart."
    )),
    request_body(content(
        (NewFractal = "application/json"),
        (String = "application/yaml", example = "fractals:\n  cook:\n    members: [ana, ben]\n")
    )),
    responses(
        (
            status = 201, description = "It is there.", body = Fractal,
            headers(("Location" = String, description = "Its place."))
        ),
        (
            status = 202, description = "It is planned, and operators are asked.", body = Fractal,
            headers(("Location" = String, description = "Its place."))
        ),
        OfPost
    )
)]
async fn make_fractal(
    State(door): State<Door>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.only(&[PROPOSE, APPLY])?;
    let form = form(&headers)?;
    let idempotency = idempotency_key(&headers)?;
    let bytes = read(&door, &headers, body).await?;
    let asked = match form {
        Form::Json => Asked::json(&bytes)?,
        Form::Yaml => Asked::yaml(&bytes)?,
    };
    let ask = Ask::Add { fragment: asked.fragment.clone() };
    let filing = filing(&caller, idempotency, &[b"POST", form.name().as_bytes(), &bytes], ask)?;
    let case = answer::file(&door, filing).await?;
    answer::made(&door, &case, |note| asked.finding(note)).await
}

/// Remove a fractal, or take back one's own proposal of it. With `propose` operators are asked (202); with `apply` it is
/// done (204). Only fractals that an approved proposal wrote can be removed here.
#[utoipa::path(
    delete, path = "/fractal/{id}", tag = "fractals", security(("token" = [])),
    params(
        ("id" = String, Path, description = "Its key.", example = "cook"),
        (
            "Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
            description = "Sent again, it is the same request and has the same answer, also over a restart."
        )
    ),
    responses(
        (status = 202, description = "It is planned, and operators are asked.", body = Fractal),
        (status = 204, description = "It is gone."),
        OfDelete
    )
)]
async fn remove_fractal(
    State(door): State<Door>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.only(&[PROPOSE, APPLY])?;
    let idempotency = idempotency_key(&headers)?;
    let name = key(id)?;
    let filing =
        filing(&caller, idempotency, &[b"DELETE", name.as_bytes()], Ask::Remove { name: name.clone() })?;
    let case = answer::file(&door, filing).await?;
    answer::removed(&door, &case).await
}

/// How the door is.
#[derive(Serialize, ToSchema)]
struct Condition {
    /// `ok`, or `failing` when any check fails.
    status: Verdict,
    /// What was looked at.
    checks: BTreeMap<&'static str, Verdict>,
}

/// Whether something is as it has to be.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// It is.
    Ok,
    /// It is not.
    Failing,
}

impl From<bool> for Verdict {
    fn from(good: bool) -> Self {
        if good { Self::Ok } else { Self::Failing }
    }
}

/// Whether fractals can be made now. Needs no token.
#[utoipa::path(
    get, path = "/health", tag = "door", security(()),
    responses(
        (status = 200, description = "All is well.", body = Condition),
        (status = 503, description = "Something is amiss.", body = Condition)
    )
)]
async fn health(State(door): State<Door>) -> Response {
    let health = door.desk().health().await;
    let status = if health.is_good() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let checks = health.checks.iter().map(|(name, good)| (*name, (*good).into())).collect();
    (status, Json(Condition { status: health.is_good().into(), checks })).into_response()
}

/// This document. Needs no token.
#[utoipa::path(
    get, path = "/openapi.json", tag = "door", security(()),
    responses((status = 200, description = "The OpenAPI document.", body = serde_json::Value))
)]
async fn description() -> Json<utoipa::openapi::OpenApi> {
    Json(crate::openapi::document())
}

/// The form of a body.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Yaml,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Yaml => "yaml",
        }
    }
}

fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or_default().to_ascii_lowercase(),
        _ => String::new(),
    };
    match value.split(';').next().map(str::trim) {
        Some("application/json") => Ok(Form::Json),
        Some("application/yaml" | "application/x-yaml" | "text/yaml") => Ok(Form::Yaml),
        _ => {
            let text = format!("say by `Content-Type` which it is: {FORMS}");
            Err(Problem::media_type(text).header(HeaderName::from_static("accept-post"), FORMS))
        }
    }
}

fn key(id: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(id) =
        id.map_err(|error| Problem::bad_request(format!("the path cannot be read: {}", error.body_text())))?;
    Ok(id)
}

/// What is filed. Its origin has no room for two tokens to meet, nor for a key that somebody chose and one of ours.
fn filing(caller: &Caller, key: Option<String>, sent: &[&[u8]], ask: Ask) -> Result<Filing, Problem> {
    let token = caller.0.name.clone();
    let origin = match key {
        Some(key) => format!("api {token} key {key}"),
        None => format!("api {token} once {}", random()?),
    };
    let mut hash = Sha256::new();
    for part in sent {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let digest = fraktalia_model::files::hex(&hash.finalize());
    let may_apply = caller.0.may(ApiScope::Apply);
    Ok(Filing { origin, digest, token, ask, may_apply })
}

fn random() -> Result<String, Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "no random numbers");
        Problem::unavailable("there are no random numbers now; send an `Idempotency-Key`")
    })?;
    Ok(fraktalia_model::files::hex(&bytes))
}
