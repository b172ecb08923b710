//! The `OpenAPI` document: of the same definitions that answer.

use std::collections::BTreeMap;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema as _};

use crate::problem::{Finding, MEDIA_TYPE, Problem};
use crate::routes;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fractal API",
        description = "Programs ask for agents with all that belongs to them. What a token with the scope `propose` asks for \
                       is planned and shown in the admin room, where operators answer; what one with `apply` asks for is done.",
        license(name = "MIT")
    ),
    components(schemas(Problem, Finding)),
    modifiers(&Bearer),
    tags((name = "fractals", description = "Agents with a room, a workspace and a sandbox."), (name = "door", description = "About the API itself."))
)]
pub(crate) struct Base;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of `api.tokens` in the manifest."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The `OpenAPI` document of the API.
pub fn document() -> Document {
    routes::described().split_for_parts().1
}

/// The problems that a request may be answered with, by their statuses.
macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident [$($status:literal),*];)*) => {
        $($(#[$doc])* pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$($status),*].into_iter().map(|status: u16| (status.to_string(), RefOr::T(problem(status)))).collect()
            }
        })*
    };
}

problems! {
    /// Of asking for what is there.
    OfGet [400, 401, 403, 406, 429, 503];
    /// Of asking for one.
    OfGetOne [400, 401, 403, 404, 406, 429, 503];
    /// Of making one.
    OfPost [400, 401, 403, 406, 408, 409, 413, 415, 422, 429, 500, 503];
    /// Of removing one.
    OfDelete [400, 401, 403, 404, 406, 409, 422, 429, 500, 503];
}

fn problem(status: u16) -> Response {
    let content =
        ContentBuilder::new().schema(Some(utoipa::openapi::Ref::from_schema_name(Problem::name()))).build();
    ResponseBuilder::new().description(meaning(status)).content(MEDIA_TYPE, content).build()
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be read.",
        401 => "No token, or none that counts.",
        403 => "The token may not do that.",
        404 => "There is no such fractal.",
        406 => "Answers are JSON.",
        408 => "The body did not come in time.",
        409 => "Something is in the way.",
        413 => "The body is too large.",
        415 => "The body is neither JSON nor YAML.",
        422 => "It is understood, and cannot be done: each finding with its place and cure.",
        429 => "Too much at once; `Retry-After` says how long to wait.",
        500 => "It was tried, failed, and was taken back.",
        _ => "That is not possible now; `Retry-After` says how long to wait.",
    }
}
