//! From what differs to what is done: one step for each effect.

use fraktalia_model::manifest::OnRemove;
use fraktalia_model::{ResourceId, RoomId, UserId, Value};
use fraktalia_plan::{FieldChange, Impact, StepDraft, Verb, Work};
use serde_json::{Value as Json, json};

use crate::diff::field;
use crate::lower::names;
use crate::marker::{MARKER, localpart};
use crate::op::{MARKER_LEVEL, MatrixOp, RoomEvent, UserFields};
use crate::spec::{ChildSpec, MatrixSpec, MemberSpec, NameSpec, RoomSpec, UserSpec};
use crate::state::{ChildState, MatrixState, MemberState, Membership, RoomState, UserState};
use crate::system::Matrix;

type Draft = StepDraft<MatrixOp>;

/// The steps of all work.
pub(crate) fn steps(work: &[Work<'_, Matrix>]) -> Vec<Draft> {
    let put_out: Vec<&ResourceId> = work
        .iter()
        .filter(|item| item.verb == Verb::Delete && item.id.kind == "member")
        .map(|item| item.id)
        .collect();
    work.iter().flat_map(|item| of(item, &put_out)).collect()
}

fn of(work: &Work<'_, Matrix>, put_out: &[&ResourceId]) -> Vec<Draft> {
    let step = Maker { id: work.id };
    let have = work.have.map(|seen| &seen.state);
    match (work.verb, work.want.map(|want| &want.spec), have) {
        (Verb::Create, Some(want), _) => create(&step, want),
        (Verb::Update | Verb::Replace, Some(want), Some(have)) => update(&step, want, have, work),
        (Verb::Adopt, _, Some(MatrixState::Room(room))) if !room.marked => {
            let seen =
                || Impact::Disruptive(format!("our own user enters {}, which its members see", called(room)));
            let enter = (!room.entered).then(|| Draft { impact: seen(), ..step.enter(room, called(room)) });
            enter.into_iter().chain([step.mark(room)]).collect()
        }
        (Verb::Forget, _, Some(MatrixState::Room(room))) => vec![step.set(
            Value::Known(room.room.clone()),
            RoomEvent::Released,
            format!("let go of {}", called(room)),
        )],
        (Verb::Delete, _, Some(have)) => remove(&step, have, work, put_out),
        _ => Vec::new(),
    }
}

fn called(room: &RoomState) -> &str {
    room.alias.as_deref().or(room.name.as_deref()).unwrap_or(&room.room.0)
}

/// Makes drafts for one resource.
struct Maker<'a> {
    id: &'a ResourceId,
}

impl Maker<'_> {
    fn with(&self, op: MatrixOp, impact: Impact, title: impl Into<String>) -> Draft {
        StepDraft { realises: vec![self.id.clone()], op, impact, title: title.into() }
    }

    fn quiet(&self, op: MatrixOp, title: impl Into<String>) -> Draft {
        self.with(op, Impact::Quiet, title)
    }

    fn set(&self, room: Value<RoomId>, event: RoomEvent, title: impl Into<String>) -> Draft {
        self.quiet(MatrixOp::SetState { room, event }, title)
    }

    fn mark(&self, room: &RoomState) -> Draft {
        let event = RoomEvent::Owned(self.id.clone());
        self.set(Value::Known(room.room.clone()), event, format!("mark {} as ours", called(room)))
    }

    fn enter(&self, state: &RoomState, alias: &str) -> Draft {
        // Who has power without limit by having made the room need not be given any, and cannot be.
        let host = state.host.clone().filter(|_| state.made_by_us);
        let title = match &host {
            Some(host) => format!("enter {alias}, invited by {}", localpart(host)),
            None => format!("enter {alias}"),
        };
        self.quiet(MatrixOp::Enter { room: state.room.clone(), host }, title)
    }

    fn kick(&self, room: &RoomState, user: &UserId) -> Draft {
        let title = format!("put {} out of {}", localpart(user), called(room));
        let op = MatrixOp::Kick { room: room.room.clone(), user: user.clone() };
        self.with(op, Impact::Disruptive(format!("{user} is put out of {}", called(room))), title)
    }
}

fn create(step: &Maker<'_>, want: &MatrixSpec) -> Vec<Draft> {
    match want {
        MatrixSpec::Override => {
            vec![step.quiet(MatrixOp::LiftLimits, "lift the rate limits of our own user")]
        }
        MatrixSpec::User(user) => vec![step.quiet(
            MatrixOp::CreateUser {
                user: user.user.clone(),
                display_name: user.display_name.clone(),
                bot: user.bot,
                password: user.password.clone(),
            },
            format!("create user {}", user.user),
        )],
        MatrixSpec::Token(token) => vec![step.quiet(
            MatrixOp::MintToken { fractal: token.fractal.clone(), user: token.user.clone() },
            format!("mint a token for {}", token.user),
        )],
        MatrixSpec::Room(room) => vec![step.quiet(
            MatrixOp::CreateRoom { resource: step.id.clone(), spec: room.clone() },
            format!("create {}", room.alias),
        )],
        MatrixSpec::Child(child) => vec![list_child(step, child, true), list_parent(step, child, true)],
        MatrixSpec::Member(member) => vec![bring_in(step, member)],
        MatrixSpec::Name(spec) => vec![name(step, spec)],
    }
}

fn list_child(step: &Maker<'_>, child: &ChildSpec, present: bool) -> Draft {
    let event = RoomEvent::Child { room: child.room.clone(), present };
    let title = format!("list {} in {}", child.room_alias, child.space_alias);
    step.set(child.space.clone(), event, title)
}

fn list_parent(step: &Maker<'_>, child: &ChildSpec, present: bool) -> Draft {
    let event = RoomEvent::Parent { space: child.space.clone(), present };
    let title = format!("point {} to its space {}", child.room_alias, child.space_alias);
    step.set(child.room.clone(), event, title)
}

fn bring_in(step: &Maker<'_>, member: &MemberSpec) -> Draft {
    let (room, user) = (member.room.clone(), member.user.clone());
    if member.local {
        let title = format!("join {} to {}", localpart(&user), member.alias);
        step.quiet(MatrixOp::Join { room, user }, title)
    } else {
        let title = format!("invite {user} to {}", member.alias);
        step.quiet(MatrixOp::Invite { room, user }, title)
    }
}

fn name(step: &Maker<'_>, spec: &NameSpec) -> Draft {
    let display_name = spec.display_name.clone();
    let title = format!("name {} \"{display_name}\" in {}", localpart(&spec.user), spec.alias);
    step.quiet(MatrixOp::NameInRoom { room: spec.room.clone(), user: spec.user.clone(), display_name }, title)
}

fn update(step: &Maker<'_>, want: &MatrixSpec, have: &MatrixState, work: &Work<'_, Matrix>) -> Vec<Draft> {
    match (want, have) {
        (MatrixSpec::User(spec), MatrixState::User(state)) => vec![update_user(step, spec, state)],
        (MatrixSpec::Token(_) | MatrixSpec::Member(_) | MatrixSpec::Name(_), _) => create(step, want),
        (MatrixSpec::Room(spec), MatrixState::Room(state)) => update_room(step, spec, state, work),
        (MatrixSpec::Child(spec), MatrixState::Child(state)) => {
            let child = (!state.child).then(|| list_child(step, spec, true));
            let parent = (!state.parent).then(|| list_parent(step, spec, true));
            child.into_iter().chain(parent).collect()
        }
        _ => Vec::new(),
    }
}

fn update_user(step: &Maker<'_>, spec: &UserSpec, state: &UserState) -> Draft {
    let set = UserFields {
        display_name: spec.display_name.clone().filter(|name| state.display_name.as_ref() != Some(name)),
        bot: (spec.bot && !state.bot).then_some(true),
        deactivated: state.deactivated.then_some(false),
    };
    // Somebody may have had a reason to take the account out of use: not to be undone unattended.
    let impact = if state.deactivated {
        Impact::Disruptive(format!("{} was deactivated and comes back into use", spec.user))
    } else {
        Impact::Quiet
    };
    let op = MatrixOp::UpdateUser { user: spec.user.clone(), set };
    step.with(op, impact, format!("update user {}", spec.user))
}

fn update_room(step: &Maker<'_>, spec: &RoomSpec, state: &RoomState, work: &Work<'_, Matrix>) -> Vec<Draft> {
    let mut drafts: Vec<Draft> =
        work.fields.iter().flat_map(|field| room_field(step, spec, state, field, work)).collect();
    if work.fields.iter().any(|field| field.field.starts_with(field::POWER)) {
        let event = RoomEvent::PowerLevels(merged_levels(spec, state));
        let room = Value::Known(state.room.clone());
        drafts.push(step.set(room, event, format!("set power levels of {}", spec.alias)));
    }
    // Nothing that can be taken back may wait for what cannot.
    drafts.sort_by_key(|draft| draft.impact.is_irreversible());
    drafts
}

fn room_field(
    step: &Maker<'_>,
    spec: &RoomSpec,
    state: &RoomState,
    change: &FieldChange,
    work: &Work<'_, Matrix>,
) -> Vec<Draft> {
    let alias = &spec.alias;
    let event = match change.field.as_str() {
        field::ENTERED => {
            return vec![step.enter(state, alias)];
        }
        field::ALIAS => return move_alias(step, spec, state, work),
        field::OTHERS => return state.others.iter().map(|user| step.kick(state, user)).collect(),
        field::ENCRYPTED => {
            let op =
                MatrixOp::SetState { room: Value::Known(state.room.clone()), event: RoomEvent::Encryption };
            let impact = Impact::Irreversible(format!("{alias} stays encrypted for ever"));
            return vec![step.with(op, impact, format!("encrypt {alias}"))];
        }
        field::MARKER => return vec![step.mark(state)],
        field::NAME => spec.name.clone().map(RoomEvent::Name),
        field::TOPIC => spec.topic.clone().map(RoomEvent::Topic),
        field::AVATAR => spec.avatar.clone().map(RoomEvent::Avatar),
        field::JOIN_RULE => {
            spec.join_rule.map(|rule| RoomEvent::JoinRule { rule, allow: spec.allow.clone() })
        }
        field::HISTORY => spec.history.map(RoomEvent::History),
        _ => None,
    };
    let title = format!("set {} of {alias}", change.field);
    let room = || Value::Known(state.room.clone());
    event.map(|event| step.set(room(), event, title)).into_iter().collect()
}

/// The new alias first, so that the room is never without a name.
fn move_alias(step: &Maker<'_>, spec: &RoomSpec, state: &RoomState, work: &Work<'_, Matrix>) -> Vec<Draft> {
    let room = Value::Known(state.room.clone());
    let mut drafts = Vec::new();
    if state.alias_holder.is_none() {
        let op = MatrixOp::AddAlias { room: room.clone(), alias: spec.alias.clone() };
        drafts.push(step.quiet(op, format!("point {} to the room", spec.alias)));
    }
    let event = RoomEvent::CanonicalAlias(spec.alias.clone());
    drafts.push(step.set(room, event, format!("make {} its main alias", spec.alias)));
    let before = match work.last {
        Some(MatrixSpec::Room(last)) if last.alias != spec.alias => Some(last.alias.clone()),
        _ => None,
    };
    if let Some(alias) = before.filter(|before| state.alias.as_ref() == Some(before)) {
        let title = format!("free {alias}");
        let room = state.room.clone();
        drafts.push(step.quiet(MatrixOp::FreeAlias { room, alias }, title));
    }
    drafts
}

/// The levels as they are, with those that the manifest names and the one of our marker.
fn merged_levels(spec: &RoomSpec, state: &RoomState) -> Json {
    let mut content = state.power_levels.clone();
    if !content.is_object() {
        content = json!({});
    }
    for part in ["users", "events"] {
        if !content[part].is_object() {
            content[part] = json!({});
        }
    }
    for (user, level) in &spec.power_levels {
        if !state.creators.contains(user) {
            content["users"][&user.0] = json!(level);
        }
    }
    if state.marker_level() < MARKER_LEVEL && spec.id.is_none() {
        content["events"][MARKER] = json!(MARKER_LEVEL);
    }
    content
}

fn remove(
    step: &Maker<'_>,
    have: &MatrixState,
    work: &Work<'_, Matrix>,
    put_out: &[&ResourceId],
) -> Vec<Draft> {
    match have {
        MatrixState::Override | MatrixState::Name(_) => Vec::new(),
        MatrixState::User(user) => vec![step.with(
            MatrixOp::DeactivateUser { user: user.user.clone() },
            Impact::Irreversible(format!(
                "{} is deactivated: logged out everywhere, out of every room",
                user.user
            )),
            format!("deactivate {}", user.user),
        )],
        MatrixState::Token(token) => {
            let fractal = step.id.name.to_string();
            let user = token.user.clone();
            let what = format!("{user} is logged out");
            let op = MatrixOp::DropToken { fractal, user };
            vec![step.with(op, Impact::Disruptive(what), format!("drop the token of {}", token.user))]
        }
        MatrixState::Child(child) => unlist(step, child, work),
        MatrixState::Member(member) => vec![leave(step, member, work)],
        MatrixState::Room(room) if work.on_remove == OnRemove::Purge => vec![step.with(
            MatrixOp::PurgeRoom { room: room.room.clone() },
            Impact::Irreversible(format!("{} is deleted with all that was written in it", called(room))),
            format!("delete {}", called(room)),
        )],
        MatrixState::Room(room) => retire(step, room, put_out),
    }
}

fn unlist(step: &Maker<'_>, child: &ChildState, work: &Work<'_, Matrix>) -> Vec<Draft> {
    let (space, room) = match work.last {
        Some(MatrixSpec::Child(last)) => (last.space_alias.clone(), last.room_alias.clone()),
        _ => (child.space.0.clone(), child.room.0.clone()),
    };
    let parent = RoomEvent::Parent { space: Value::Known(child.space.clone()), present: false };
    let listed = RoomEvent::Child { room: Value::Known(child.room.clone()), present: false };
    let parent = child.parent.then(|| {
        step.set(Value::Known(child.room.clone()), parent, format!("no longer point {room} to {space}"))
    });
    let listed = child.child.then(|| {
        step.set(Value::Known(child.space.clone()), listed, format!("no longer list {room} in {space}"))
    });
    parent.into_iter().chain(listed).collect()
}

fn leave(step: &Maker<'_>, member: &MemberState, work: &Work<'_, Matrix>) -> Draft {
    let alias = match work.last {
        Some(MatrixSpec::Member(last)) => last.alias.clone(),
        _ => member.room.0.clone(),
    };
    let user = &member.user;
    let (title, what) = match member.membership {
        Membership::Invited => (
            format!("take back the invitation of {user} to {alias}"),
            format!("{user} is no longer invited to {alias}"),
        ),
        _ => (format!("put {} out of {alias}", localpart(user)), format!("{user} is put out of {alias}")),
    };
    let op = MatrixOp::Kick { room: member.room.clone(), user: user.clone() };
    step.with(op, Impact::Disruptive(what), title)
}

/// Members go, the alias is freed, and last of all the marker says so: a retirement that broke off is ours still,
/// and is taken up again.
fn retire(step: &Maker<'_>, room: &RoomState, put_out: &[&ResourceId]) -> Vec<Draft> {
    let gone = |user: &&UserId| {
        let name = format!("{}/{user}", step.id.name);
        put_out.iter().any(|id| id.name == name)
    };
    let mut drafts: Vec<Draft> =
        room.ours.iter().filter(|user| !gone(user)).map(|user| step.kick(room, user)).collect();
    if let Some(alias) = &room.alias {
        let op = MatrixOp::FreeAlias { room: room.room.clone(), alias: alias.clone() };
        drafts.push(step.quiet(op, format!("free {alias}")));
    }
    let event = RoomEvent::Retired(step.id.clone());
    drafts.push(step.set(
        Value::Known(room.room.clone()),
        event,
        format!("mark {} as retired", called(room)),
    ));
    drafts
}

/// What to say of members that a room would have to lose.
pub(crate) fn summary(room: &RoomState) -> String {
    let kind = if room.space { "space" } else { "room" };
    if room.ours.is_empty() {
        format!("{kind} {}", room.room)
    } else {
        format!("{kind} {}; {} leave", room.room, names(&room.ours))
    }
}
