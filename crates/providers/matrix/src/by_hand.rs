//! What a person could run where we could not take a step back.

use serde_json::Value as Json;

use crate::op::{MatrixOp, RoomEvent};
use crate::spec::RoomSpec;
use crate::system::Matrix;
use crate::undo::MatrixUndo;

/// Commands for a person, with the admin token in `$TOKEN`.
pub(crate) fn by_hand(matrix: &Matrix, op: &MatrixOp, undo: &MatrixUndo) -> Vec<String> {
    let curl = |method: &str, path: &str, body: Option<&Json>| {
        let body = body
            .map_or_else(String::new, |body| format!(" -d '{}'", body.to_string().replace('\'', "'\\''")));
        format!("curl -X {method} -H \"Authorization: Bearer $TOKEN\"{body} '{}{path}'", matrix.homeserver)
    };
    match (op, undo) {
        (MatrixOp::CreateRoom { spec, .. }, _) => delete_room_by_hand(spec, curl),
        (MatrixOp::CreateUser { user, .. }, _) => vec![curl(
            "POST",
            &format!("/_synapse/admin/v1/deactivate/{user}"),
            Some(&serde_json::json!({"erase": false})),
        )],
        (MatrixOp::SetState { room, event }, MatrixUndo::State(before)) => {
            let blank = RoomEvent::blank(event.kind());
            let path = format!("/_matrix/client/v3/rooms/{room}/state/{}/", event.kind());
            vec![curl("PUT", &path, Some(before.as_ref().unwrap_or(&blank)))]
        }
        (MatrixOp::Join { room, user }, MatrixUndo::Member(_)) => {
            let body = serde_json::json!({"user_id": user});
            vec![curl("POST", &format!("/_matrix/client/v3/rooms/{room}/kick"), Some(&body))]
        }
        (MatrixOp::Kick { room, user }, MatrixUndo::Member(_)) => {
            let body = serde_json::json!({"user_id": user});
            vec![curl("POST", &format!("/_synapse/admin/v1/join/{room}"), Some(&body))]
        }
        (MatrixOp::FreeAlias { room, alias }, _) => {
            let path = format!("/_matrix/client/v3/directory/room/{}", alias.replace('#', "%23"));
            vec![curl("PUT", &path, Some(&serde_json::json!({"room_id": room})))]
        }
        (MatrixOp::LiftLimits, _) => {
            vec![curl("DELETE", "/_synapse/admin/v1/users/OUR_OWN_USER/override_ratelimit", None)]
        }
        _ => Vec::new(),
    }
}

fn delete_room_by_hand(spec: &RoomSpec, curl: impl Fn(&str, &str, Option<&Json>) -> String) -> Vec<String> {
    let alias = spec.alias.replace('#', "%23");
    vec![
        curl("GET", &format!("/_matrix/client/v3/directory/room/{alias}"), None),
        curl("DELETE", "/_synapse/admin/v2/rooms/ROOM_ID", Some(&serde_json::json!({"purge": true}))),
    ]
}
