//! What differs between asked and seen.

use fraktalia_model::manifest::{JoinRule, MembersPolicy};
use fraktalia_model::{Note, UserId};
use fraktalia_plan::diff::{compare, optional};
use fraktalia_plan::{Cause, Delta, FieldChange, Owner, Resource, Seen};
use serde::Serialize;

use crate::lower::names;
use crate::marker::MARKER;
use crate::op::MARKER_LEVEL;
use crate::spec::{ChildSpec, MatrixSpec, MemberSpec, NameSpec, RoomSpec, TokenSpec, UserSpec};
use crate::state::{
    ChildState, MatrixState, MemberState, Membership, NameState, RoomState, TokenState, UserState,
};

/// Names of fields, as they stand in a plan and as the steps are chosen by.
pub(crate) mod field {
    pub(crate) const ENTERED: &str = "our own membership";
    pub(crate) const MARKER: &str = "marker";
    pub(crate) const NAME: &str = "name";
    pub(crate) const TOPIC: &str = "topic";
    pub(crate) const ALIAS: &str = "alias";
    pub(crate) const AVATAR: &str = "avatar";
    pub(crate) const JOIN_RULE: &str = "join_rule";
    pub(crate) const HISTORY: &str = "history";
    pub(crate) const ENCRYPTED: &str = "encrypted";
    pub(crate) const POWER: &str = "power_levels.";
    pub(crate) const OTHERS: &str = "members";
    pub(crate) const DISPLAY_NAME: &str = "display_name";
    pub(crate) const BOT: &str = "bot";
    pub(crate) const DEACTIVATED: &str = "deactivated";
    pub(crate) const MEMBERSHIP: &str = "membership";
    pub(crate) const CHILD: &str = "in the space's list";
    pub(crate) const PARENT: &str = "space named by the room";
    pub(crate) const TOKEN: &str = "token";
}

/// What differs. `last` is what we asked for last time.
pub(crate) fn diff(
    want: &Resource<MatrixSpec>,
    have: &Seen<MatrixState>,
    last: Option<&MatrixSpec>,
) -> Delta {
    match (&want.spec, &have.state) {
        (MatrixSpec::User(spec), MatrixState::User(state)) => {
            let last =
                last.and_then(|last| if let MatrixSpec::User(last) = last { Some(last) } else { None });
            user(spec, state, last)
        }
        (MatrixSpec::Token(spec), MatrixState::Token(state)) => token(spec, state),
        (MatrixSpec::Room(spec), MatrixState::Room(state)) => {
            let last =
                last.and_then(|last| if let MatrixSpec::Room(last) = last { Some(&**last) } else { None });
            let adopting = spec.id.is_some() && have.owner == Owner::Unmarked;
            let mut delta = room(want, spec, state, last);
            if adopting {
                // These two are what adopting it is.
                delta
                    .fields
                    .retain(|change| ![field::ENTERED, field::MARKER].contains(&change.field.as_str()));
            }
            delta
        }
        (MatrixSpec::Child(spec), MatrixState::Child(state)) => child(spec, state, last.is_some()),
        (MatrixSpec::Member(spec), MatrixState::Member(state)) => member(want, spec, state, last.is_some()),
        (MatrixSpec::Name(spec), MatrixState::Name(state)) => {
            let last =
                last.and_then(|last| if let MatrixSpec::Name(last) = last { Some(last) } else { None });
            name(spec, state, last)
        }
        // Any override will do: an admin who chose another limit than none had a reason. Two different kinds
        // never meet under one id.
        _ => Delta::default(),
    }
}

fn of(fields: impl IntoIterator<Item = Option<FieldChange>>) -> Delta {
    Delta { fields: fields.into_iter().flatten().collect(), ..Delta::default() }
}

/// A field that is on or off, and that we only ever switch on.
fn on(field: &str, have: bool, asked_before: bool, off: &str, on: &str) -> Option<FieldChange> {
    (!have).then(|| FieldChange {
        field: field.into(),
        from: Some(off.into()),
        to: Some(on.into()),
        cause: if asked_before { Cause::Drift } else { Cause::New },
    })
}

fn user(spec: &UserSpec, state: &UserState, last: Option<&UserSpec>) -> Delta {
    let last_name = last.and_then(|last| last.display_name.as_ref());
    of([
        on(field::DEACTIVATED, !state.deactivated, last.is_some(), "yes", "no"),
        optional(field::DISPLAY_NAME, spec.display_name.as_ref(), state.display_name.as_ref(), last_name),
        on(field::BOT, state.bot || !spec.bot, last.is_some_and(|last| last.bot), "no", "yes"),
    ])
}

fn token(_spec: &TokenSpec, state: &TokenState) -> Delta {
    of([on(field::TOKEN, state.valid, true, "not accepted by the homeserver", "a new one")])
}

fn child(_spec: &ChildSpec, state: &ChildState, asked_before: bool) -> Delta {
    of([
        on(field::CHILD, state.child, asked_before, "no", "yes"),
        on(field::PARENT, state.parent, asked_before, "no", "yes"),
    ])
}

fn member(want: &Resource<MatrixSpec>, spec: &MemberSpec, state: &MemberState, asked_before: bool) -> Delta {
    let fine = match state.membership {
        Membership::Joined => true,
        Membership::Invited => !spec.local,
        other => other.stays_out(spec.insists()),
    };
    let (off, to) = (state.membership.text(), if spec.local { "joined" } else { "invited" });
    let mut delta = of([on(field::MEMBERSHIP, fine, asked_before, off, to)]);
    let user = &spec.user;
    let note = match state.membership {
        Membership::Left if fine => Some(
            Note::info(
                "matrix-left-in-peace",
                format!("{user} left {} by themselves, and is left in peace", spec.alias),
            )
            .hint("`members_policy: exact` joins whoever left again"),
        ),
        Membership::Banned => Some(
            Note::warning("matrix-banned", format!("{user} is banned from {}, and stays so", spec.alias))
                .hint("lift the ban by hand, or take them out of the manifest"),
        ),
        _ => None,
    };
    delta.notes.extend(note.map(|note| note.about(&want.id).at(&want.at)));
    delta
}

/// Who is not in the room, and is not brought in either, goes without a name.
fn name(spec: &NameSpec, state: &NameState, last: Option<&NameSpec>) -> Delta {
    let asked = Some(&spec.display_name).filter(|_| state.joined);
    let last = last.map(|last| &last.display_name);
    of([optional(field::DISPLAY_NAME, asked, state.display_name.as_ref(), last)])
}

fn room(want: &Resource<MatrixSpec>, spec: &RoomSpec, state: &RoomState, last: Option<&RoomSpec>) -> Delta {
    let mut delta = of([
        on(field::ENTERED, state.entered, last.is_some(), "not in it, or without power", "admin"),
        on(field::MARKER, state.marked, last.is_some(), "missing", "ours"),
        alias(spec, state, last),
        optional(
            field::NAME,
            spec.name.as_ref(),
            state.name.as_ref(),
            last.and_then(|last| last.name.as_ref()),
        ),
        optional(
            field::TOPIC,
            spec.topic.as_ref(),
            state.topic.as_ref(),
            last.and_then(|last| last.topic.as_ref()),
        ),
        avatar(spec, state, last),
        join_rule(spec, state, last),
        history(spec, state, last),
        encryption(spec, state, last),
        marker_level(spec, state, last.is_some()),
        others(spec, state),
    ]);
    delta.fields.extend(power_levels(spec, state, last));
    delta.blocked = blocked(spec, state).map(|note| note.about(&want.id).at(&want.at));
    delta
}

/// What no change can bring about.
fn blocked(spec: &RoomSpec, state: &RoomState) -> Option<Note> {
    let alias = &spec.alias;
    if spec.space != state.space {
        let (is, asked) = if state.space { ("a space", "a room") } else { ("a room", "a space") };
        return Some(
            Note::error("matrix-room-or-space", format!("{alias} is {is} and cannot become {asked}"))
                .hint("give it another key and another alias: the old one retires, a new one is made"),
        );
    }
    if !state.entered && state.host.is_none() {
        return Some(
            Note::error(
                "matrix-nobody-left",
                format!("nobody of this homeserver is in {alias} any more, so it cannot be changed"),
            )
            .hint("free its alias by hand, or give the room another key: a new one is made then"),
        );
    }
    if spec.encrypted == Some(false) && state.encrypted {
        return Some(
            Note::error("matrix-encrypted", format!("{alias} is encrypted, which cannot be switched off"))
                .hint("leave `encrypted` out, or make a new room under another key"),
        );
    }
    match &state.alias_holder {
        Some(holder) if *holder != state.room => Some(
            Note::error(
                "matrix-alias-taken",
                format!("{alias} points to {holder}, which is not the room that carries our marker"),
            )
            .hint("choose another alias, or free this one by hand"),
        ),
        _ => None,
    }
}

fn alias(spec: &RoomSpec, state: &RoomState, last: Option<&RoomSpec>) -> Option<FieldChange> {
    if !spec.aliased {
        return None;
    }
    let here = state.alias_holder.as_ref() == Some(&state.room);
    let have = state.alias.as_ref().filter(|have| here || **have != spec.alias);
    optional(field::ALIAS, Some(&spec.alias), have, last.map(|last| &last.alias))
}

fn avatar(spec: &RoomSpec, state: &RoomState, last: Option<&RoomSpec>) -> Option<FieldChange> {
    let sha = |spec: &RoomSpec| spec.avatar.as_ref().map(|picture| short(&picture.sha256));
    // A picture that somebody else set has no hash of ours; its address tells it apart from none at all.
    let have = state.picture.as_deref().map(short).or_else(|| state.picture_url.clone());
    optional(field::AVATAR, sha(spec).as_ref(), have.as_ref(), last.and_then(sha).as_ref())
}

fn short(sha256: &str) -> String {
    format!("sha256:{}", sha256.get(..12).unwrap_or(sha256))
}

fn join_rule(spec: &RoomSpec, state: &RoomState, last: Option<&RoomSpec>) -> Option<FieldChange> {
    let rule = spec.join_rule?;
    let have = JoinRuleText {
        rule: state.join_rule.clone().unwrap_or_else(|| "invite".into()),
        // Rooms that others may come in from besides are left alone.
        allow: rule == JoinRule::Restricted
            && spec
                .allow
                .as_ref()
                .is_some_and(|allow| allow.known().is_some_and(|space| state.allow.contains(space))),
    };
    let asked = |rule: JoinRule| JoinRuleText { rule: word(rule), allow: rule == JoinRule::Restricted };
    compare(
        field::JOIN_RULE,
        &asked(rule),
        &have,
        last.and_then(|last| last.join_rule).map(asked).as_ref(),
        |text| Some(text.to_string()),
    )
}

#[derive(PartialEq)]
struct JoinRuleText {
    rule: String,
    allow: bool,
}

impl std::fmt::Display for JoinRuleText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.rule)?;
        if self.rule == "restricted" {
            f.write_str(if self.allow { " to its space" } else { " to others" })?;
        }
        Ok(())
    }
}

/// A word of the specification, as it stands in an event.
fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn history(spec: &RoomSpec, state: &RoomState, last: Option<&RoomSpec>) -> Option<FieldChange> {
    let asked = |spec: &RoomSpec| spec.history.map(word);
    // Without an event the specification says `shared`.
    let have = state.history.clone().unwrap_or_else(|| "shared".into());
    optional(field::HISTORY, asked(spec).as_ref(), Some(&have), last.and_then(asked).as_ref())
}

fn encryption(spec: &RoomSpec, state: &RoomState, last: Option<&RoomSpec>) -> Option<FieldChange> {
    let asked_before = last.is_some_and(|last| last.encrypted == Some(true));
    let fine = state.encrypted || spec.encrypted != Some(true);
    on(field::ENCRYPTED, fine, asked_before, "no", "yes")
}

/// Who could take the marker away. A room that the manifest names by its id is ours by that as well, and keeps the
/// levels that it has.
fn marker_level(spec: &RoomSpec, state: &RoomState, asked_before: bool) -> Option<FieldChange> {
    let level = state.marker_level();
    (level < MARKER_LEVEL && spec.id.is_none()).then(|| FieldChange {
        field: format!("{}{MARKER}", field::POWER),
        from: Some(level.to_string()),
        to: Some(MARKER_LEVEL.to_string()),
        cause: if asked_before { Cause::Drift } else { Cause::New },
    })
}

fn power_levels(spec: &RoomSpec, state: &RoomState, last: Option<&RoomSpec>) -> Vec<FieldChange> {
    let change = |(user, level): (&UserId, &i64)| {
        // Creators of a version 12 room have more than any level; nothing is missing.
        let have = state.level(user)?;
        let last = last.and_then(|last| last.power_levels.get(user));
        optional(&format!("{}{user}", field::POWER), Some(level), Some(&have), last)
    };
    spec.power_levels.iter().filter_map(change).collect()
}

fn others(spec: &RoomSpec, state: &RoomState) -> Option<FieldChange> {
    (spec.policy == MembersPolicy::Exact && !state.others.is_empty()).then(|| FieldChange {
        field: field::OTHERS.into(),
        from: Some(format!("also {}", names(&state.others))),
        to: Some("only those in the manifest".into()),
        cause: Cause::Drift,
    })
}
