//! What a watch has to tell, as one JSON document a line.

use std::collections::BTreeSet;
use std::time::Duration;

use fraktalia_engine::watch::{Cause, Happening, Look as Looked};
use fraktalia_plan::{Change, Verb};
use serde_json::{Value as Json, json};

use crate::render::status::Standing;

/// The document of a happening. `at` is when, RFC 3339.
pub fn document(happening: &Happening<'_>, at: &str) -> Json {
    let (name, mut body) = body(happening);
    body["at"] = json!(at);
    body["happening"] = json!(name);
    body
}

fn body(happening: &Happening<'_>) -> (&'static str, Json) {
    match happening {
        Happening::Began { policy, every } => {
            ("began", json!({ "policy": policy, "every_s": every.as_secs() }))
        }
        Happening::Heard(system) => ("heard", json!({ "system": system })),
        Happening::Deaf { system, why, hint } => {
            ("deaf", json!({ "system": system, "why": why, "hint": hint }))
        }
        Happening::Commit { origin, remote } => {
            ("commit", json!({ "commit": origin, "url": remote.url(), "branch": remote.branch() }))
        }
        Happening::Remote { remote, lost } => {
            let (why, hint) = lost.unzip();
            ("remote", json!({ "url": remote.url(), "lost": lost.is_some(), "why": why, "hint": hint }))
        }
        Happening::Refused { commit, why, hint } => {
            ("refused", json!({ "commit": commit, "why": why, "hint": hint }))
        }
        Happening::Notifying { room, mute } => {
            let (why, hint) = mute.unzip();
            ("notifying", json!({ "room": room, "mute": mute.is_some(), "why": why, "hint": hint }))
        }
        Happening::BadManifest { notes, kept, origin, .. } => {
            ("bad_manifest", json!({ "notes": notes, "kept": kept, "commit": origin }))
        }
        Happening::GoodManifest => ("good_manifest", json!({})),
        Happening::Looked(look) => ("looked", looked(look)),
        Happening::Failed { causes, why, notes, hints, systems, news } => (
            "look_failed",
            json!({ "causes": causes, "why": why, "notes": notes, "hints": hints, "systems": systems, "news": news }),
        ),
        Happening::Locked { holder } => ("locked", json!({ "holder": holder })),
        Happening::Unfinished { run, waits } => ("unfinished", json!({ "run": run, "waits": waits })),
        Happening::Applying { plan, waiting, origin } => {
            let steps: Vec<&str> = plan.steps.iter().map(|step| step.title.as_str()).collect();
            ("applying", json!({ "steps": steps, "waiting": waiting, "commit": origin }))
        }
        Happening::Run(event) => ("run", json!({ "event": event })),
        Happening::Ended { ended, took, again } => (
            "ended",
            json!({
                "run": ended.run,
                "outcome": ended.outcome,
                "why": ended.why,
                "took_ms": millis(*took),
                "again_ms": again.map(millis),
            }),
        ),
        Happening::GaveUp { times, why } => ("gave_up", json!({ "times": times, "why": why })),
        Happening::Ending => ("ending", json!({})),
    }
}

fn looked(look: &Looked<'_>) -> Json {
    let plan = &look.planned.plan;
    let changes: Vec<Json> = plan
        .changes
        .iter()
        .filter(|change| change.verb != Verb::Keep)
        .map(|change| self::change(change, look.planned.records.contains_key(&change.id)))
        .collect();
    json!({
        "causes": causes(look.causes),
        "in_sync": changes.is_empty() && !plan.is_blocked(),
        "blocked": plan.is_blocked(),
        "commit": look.session.origin(),
        "changes": changes,
        "waiting": look.waiting,
        "news": look.news,
        "took_ms": millis(look.took),
        "since_event_ms": millis(look.since_event),
    })
}

fn change(change: &Change, recorded: bool) -> Json {
    let fields: Vec<&str> = change.fields.iter().map(|field| field.field.as_str()).collect();
    json!({
        "id": change.id,
        "verb": change.verb,
        "standing": Standing::of(change, recorded),
        "fields": fields,
    })
}

fn causes(causes: &BTreeSet<Cause>) -> Json {
    json!(causes)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
