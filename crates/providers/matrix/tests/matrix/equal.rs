//! What is kept of earlier looks is as true as a fresh read: on a real Synapse, whatever other clients do meanwhile.
//!
//! After each happening three looks have to agree: one that believes what it kept, one that believes nothing and reads
//! a hundred rooms at once, and one that believes nothing and asks for each room.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fraktalia_matrix::Limits;
use fraktalia_matrix::marker::MARKER;
use fraktalia_model::manifest::{MemberRole, MembersPolicy};
use fraktalia_model::{ResourceId, UserId};
use fraktalia_plan::Fingerprint;
use fraktalia_testkit::real::Person;
use fraktalia_testkit::real::person::encode;
use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use crate::home::Home;
use crate::stage::{Stage, member};

/// More than are read one by one.
const ROOMS: usize = 14;

/// How many happenings, unless `FRAKTALIA_EQUALITY_STEPS` says otherwise.
const STEPS: usize = 200;

const SEED: u64 = 0x5eed;

/// The kinds of what other clients do. The last ones take seconds and are rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Rename,
    Retopic,
    Level,
    Kick,
    Leave,
    Join,
    Invite,
    Redact,
    Race,
    Flood,
    Chat,
    AliasFreed,
    AliasFreedByOutsider,
    AliasMoved,
    StrangersRoom,
    WePutOut,
    WeComeBack,
    MarkerForged,
    MarkerTaken,
    MarkerRestored,
    Profile,
    Child,
    Upgrade,
    Purge,
    SquatAlias,
    Restart,
    Restore,
}

const OFTEN: [Happening; 25] = [
    Happening::Rename,
    Happening::Retopic,
    Happening::Level,
    Happening::Kick,
    Happening::Leave,
    Happening::Join,
    Happening::Invite,
    Happening::Redact,
    Happening::Race,
    Happening::Flood,
    Happening::Chat,
    Happening::AliasFreed,
    Happening::AliasFreedByOutsider,
    Happening::AliasMoved,
    Happening::StrangersRoom,
    Happening::WePutOut,
    Happening::WeComeBack,
    Happening::MarkerForged,
    Happening::MarkerTaken,
    Happening::MarkerRestored,
    Happening::Profile,
    Happening::Child,
    Happening::Upgrade,
    Happening::Purge,
    Happening::SquatAlias,
];

type Found = BTreeMap<ResourceId, Fingerprint>;

struct World {
    stage: Stage,
    random: fastrand::Rng,
    ana: Person,
    ben: Person,
    /// A server admin who is in none of our rooms.
    outsider: Person,
    rooms: Vec<String>,
    /// Where a backup of the database lies.
    backup: Option<PathBuf>,
}

#[expect(clippy::print_stderr, reason = "how much was tried is worth knowing")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_earlier_looks_is_as_true_as_a_fresh_read() {
    let Some(mut world) = World::real().await else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let steps =
        number("FRAKTALIA_EQUALITY_STEPS").map_or(STEPS, |steps| usize::try_from(steps).expect("a count"));
    let seed = number("FRAKTALIA_EQUALITY_SEED").unwrap_or(SEED);
    world.random = fastrand::Rng::with_seed(seed);
    let (mut done, mut before, mut effects) = (Vec::new(), None, 0);
    for step in 0..steps {
        let several = world.random.usize(1..=3);
        let mut now = Vec::new();
        for _ in 0..several {
            let happening = match step % 40 {
                17 => Happening::Restart,
                35 => Happening::Restore,
                _ => OFTEN[world.random.usize(..OFTEN.len())],
            };
            world.happen(happening).await;
            now.push(happening);
            if matches!(happening, Happening::Restart | Happening::Restore) {
                break;
            }
        }
        if step % 20 == 19 {
            world.heal().await;
        }
        done.push(now);
        let seen = world.compare(seed, step, &done).await;
        effects += usize::from(before.replace(seen.clone()).is_some_and(|before| before != seen));
    }
    eprintln!("{effects} of {steps} steps were seen in a plan");
    assert!(effects * 2 > steps, "most of what happens has to matter: {effects} of {steps}");
}

impl World {
    async fn real() -> Option<Self> {
        let home = Home::real_without_limits().await?;
        let ana = home.register("ana").await;
        let ben = home.register("ben").await;
        home.register("agent").await;
        let Home { server: crate::home::Server::Real(synapse, _), .. } = &home else { return None };
        let outsider = synapse.register("outsider", "a password", true).await.expect("registers");
        let mut stage = Stage::new(home);
        stage.user("ana");
        stage.user("ben");
        let house = stage.room("house");
        house.space = true;
        house.name = Some("House".into());
        for index in 0..ROOMS {
            let room = stage.room(&format!("room{index}"));
            room.name = Some(format!("Room {index}"));
            room.topic = Some("As it was".into());
            room.parent = (index % 3 == 0).then(|| "house".into());
            if index % 4 == 1 {
                room.members_policy = MembersPolicy::Exact;
            }
            room.power_levels.insert(UserId(Home::id("ana")), 100);
            room.members =
                ["ana", "ben", "agent"].map(|name| member(&Home::id(name), MemberRole::Named)).to_vec();
        }
        stage.apply().await;
        let mut rooms = Vec::new();
        for index in 0..ROOMS {
            rooms.push(stage.room_id(&format!("room{index}")).await.expect("it was made"));
        }
        let random = fastrand::Rng::new();
        Some(Self { stage, random, ana, ben, outsider, rooms, backup: None })
    }

    async fn compare(&self, seed: u64, step: usize, done: &[Vec<Happening>]) -> Found {
        let limits = Limits::default();
        let kept = self.stage.plan_from(self.stage.state(), limits, false).await;
        let other = self.stage.other_state();
        let each = Limits { rooms_at_once: 0, ..limits };
        let truth = self.stage.plan_from(other.clone(), each, true).await;
        let at_once = self.stage.plan_from(other, limits, true).await;
        let said = || {
            let last = &done[done.len().saturating_sub(3)..];
            format!("seed {seed}, step {step}, after {last:?}; kept: {:?}", kept.looks)
        };
        assert_eq!(kept.found, truth.found, "what was kept is not true: {}", said());
        assert_eq!(kept.plan, truth.plan, "what was kept is not true: {}", said());
        assert_eq!(at_once.found, truth.found, "many rooms at once are not each room: {}", said());
        assert_eq!(at_once.plan, truth.plan, "many rooms at once are not each room: {}", said());
        truth.found
    }

    /// Makes the world whole again as an operator would, so that there is something to break.
    async fn heal(&mut self) {
        let me = self.stage.home.admin.clone();
        self.come_back(&me).await;
        for index in 0..ROOMS {
            let alias = Stage::alias(&format!("room{index}"));
            let Some(room) = self.stage.room_id(&format!("room{index}")).await else { continue };
            let path = format!("/_matrix/client/v3/rooms/{}/state/{MARKER}/", encode(&room));
            let ours = me.get(&format!("{path}?format=event")).await;
            let resource = format!("matrix/room/room{index}");
            let ours = ours.is_ok_and(|event| {
                event["sender"] == me.user_id() && event["content"]["resource"] == resource
            });
            if !ours {
                self.delete(&self.outsider, &format!("/_matrix/client/v3/directory/room/{}", encode(&alias)))
                    .await;
            }
        }
        // What others did may still be in the way; then it stays broken until the next time.
        let _ = fraktalia_testkit::contract::apply(&self.stage.session()).await;
        for index in 0..ROOMS {
            if let Some(room) = self.stage.room_id(&format!("room{index}")).await {
                self.rooms[index] = room;
            }
        }
        self.come_back(&self.ana.clone()).await;
    }

    fn index(&mut self) -> usize {
        self.random.usize(..ROOMS)
    }

    fn room(&mut self) -> String {
        let index = self.index();
        self.rooms[index].clone()
    }

    async fn put(&self, who: &Person, room: &str, kind: &str, key: &str, content: Json) {
        let path = format!("/_matrix/client/v3/rooms/{}/state/{kind}/{}", encode(room), encode(key));
        let _ = who.put(&path, &content).await;
    }

    async fn post(&self, who: &Person, room: &str, action: &str, body: Json) {
        let _ = who.post(&format!("/_matrix/client/v3/rooms/{}/{action}", encode(room)), &body).await;
    }

    /// Others do as they like; that some of it is refused, as they are no longer in the room, is a part of it.
    async fn happen(&mut self, happening: Happening) {
        let index = self.index();
        let room = self.rooms[index].clone();
        let number = self.random.u32(..1000);
        let me = self.stage.home.admin.clone();
        let alias =
            format!("/_matrix/client/v3/directory/room/{}", encode(&Stage::alias(&format!("room{index}"))));
        let ben = json!({"user_id": Home::id("ben")});
        match happening {
            Happening::Rename => {
                self.put(&self.ana, &room, "m.room.name", "", json!({"name": format!("Name {number}")}))
                    .await;
            }
            Happening::Retopic => {
                self.put(&self.ana, &room, "m.room.topic", "", json!({"topic": format!("{number}")})).await;
            }
            Happening::Level => self.change_level(&room, i64::from(number % 100)).await,
            Happening::Kick => self.post(&self.ana, &room, "kick", ben).await,
            Happening::Leave => self.post(&self.ben, &room, "leave", json!({})).await,
            Happening::Invite => self.post(&self.ana, &room, "invite", ben).await,
            Happening::Join => {
                let _ =
                    self.ben.post(&format!("/_matrix/client/v3/join/{}", encode(&room)), &json!({})).await;
            }
            Happening::Redact => self.redact(&room).await,
            Happening::Race => self.race(&room).await,
            Happening::Flood => {
                let say = (0..30).map(|_| self.ana.say(&room, "word after word"));
                join_all(say).await;
            }
            Happening::Chat => drop(self.ana.say(&room, "a word").await),
            Happening::AliasFreed => self.delete(&self.ana, &alias).await,
            Happening::AliasFreedByOutsider => self.delete(&self.outsider, &alias).await,
            Happening::AliasMoved => {
                self.delete(&self.ana, &alias).await;
                let other = self.room();
                let _ = self.ana.put(&alias, &json!({"room_id": other})).await;
            }
            Happening::SquatAlias => {
                let name = format!("room{index}");
                let _ = self.ben.create_room(&json!({"room_alias_name": name})).await;
            }
            Happening::StrangersRoom => {
                let invite = json!({"invite": [Home::id("admin")], "name": "Not ours"});
                if let Ok(room) = self.ben.create_room(&invite).await {
                    let _ = me.post(&format!("/_matrix/client/v3/join/{}", encode(&room)), &json!({})).await;
                }
            }
            Happening::WePutOut => {
                self.post(&me, &room, "leave", json!({})).await;
            }
            Happening::WeComeBack => self.come_back(&me).await,
            Happening::MarkerForged => {
                let forged = json!({"realm": "home", "resource": "matrix/room/room0", "run": "x", "step": 1});
                self.put(&self.ana, &room, MARKER, "", forged).await;
            }
            Happening::MarkerTaken => self.put(&me, &room, MARKER, "", json!({})).await,
            Happening::MarkerRestored => {
                let resource = format!("matrix/room/room{index}");
                let marker = json!({"realm": "home", "resource": resource, "run": "x", "step": 1});
                self.put(&me, &room, MARKER, "", marker).await;
            }
            Happening::Profile => {
                let path = format!("/_matrix/client/v3/profile/{}/displayname", encode(&Home::id("ben")));
                let _ = self.ben.put(&path, &json!({"displayname": format!("Ben {number}")})).await;
            }
            Happening::Child => self.move_child(&me, index).await,
            Happening::Upgrade => {
                self.post(&self.ana, &room, "upgrade", json!({"new_version": "11"})).await;
            }
            Happening::Purge => self.purge(&room).await,
            Happening::Restart => self.stage.home.synapse().restart().await.expect("it starts again"),
            Happening::Restore => self.back_up_or_restore().await,
        }
    }

    async fn delete(&self, who: &Person, path: &str) {
        let url = format!("{}{path}", self.stage.home.base);
        let _ = who.http().delete(url).bearer_auth(who.token()).send().await;
    }

    async fn change_level(&self, room: &str, level: i64) {
        let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.power_levels/", encode(room));
        if let Ok(mut levels) = self.ana.get(&path).await {
            levels["users"][Home::id("ben")] = json!(level);
            self.put(&self.ana, room, "m.room.power_levels", "", levels).await;
        }
    }

    /// The state stays the same event, with less in it.
    async fn redact(&mut self, room: &str) {
        let kind = ["m.room.name", "m.room.topic", "m.room.canonical_alias"][self.random.usize(..3)];
        let path = format!("/_matrix/client/v3/rooms/{}/state", encode(room));
        let state = self.ana.get(&path).await.unwrap_or_default();
        let event = state.as_array().into_iter().flatten().find(|event| event["type"] == kind);
        if let Some(id) = event.and_then(|event| event["event_id"].as_str()) {
            let path = format!("rooms/{}/redact/{}/r{}", encode(room), encode(id), self.random.u64(..));
            let _ = self.ana.put(&format!("/_matrix/client/v3/{path}"), &json!({})).await;
        }
    }

    /// Two write the same key at the same time: which one holds is the homeserver's to say.
    async fn race(&self, room: &str) {
        let me = &self.stage.home.admin;
        let writes = (0..6).map(|turn| {
            let who = if turn % 2 == 0 { &self.ana } else { me };
            self.put(who, room, "m.room.topic", "", json!({"topic": format!("turn {turn}")}))
        });
        join_all(writes).await;
    }

    async fn come_back(&self, me: &Person) {
        for room in &self.rooms {
            let inviter = if me.user_id() == self.ana.user_id() { &self.stage.home.admin } else { &self.ana };
            self.post(inviter, room, "invite", json!({"user_id": me.user_id()})).await;
            let _ = me.post(&format!("/_matrix/client/v3/join/{}", encode(room)), &json!({})).await;
        }
    }

    async fn move_child(&mut self, me: &Person, index: usize) {
        if let Some(house) = self.stage.room_id("house").await {
            let content = if self.random.bool() { json!({"via": ["chat.test"]}) } else { json!({}) };
            self.put(me, &house, "m.space.child", &self.rooms[index], content).await;
        }
    }

    async fn purge(&self, room: &str) {
        let url = format!("{}/_synapse/admin/v2/rooms/{}", self.stage.home.base, encode(room));
        let body = json!({"purge": true, "block": false});
        let answer =
            self.outsider.http().delete(url).bearer_auth(self.outsider.token()).json(&body).send().await;
        let answer: Json = answer.expect("it answers").json().await.expect("in JSON");
        let Some(id) = answer["delete_id"].as_str() else { return };
        let status = format!("/_synapse/admin/v2/rooms/delete_status/{id}");
        while self
            .outsider
            .get(&status)
            .await
            .is_ok_and(|now| now["status"] != "complete" && now["status"] != "failed")
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Every other time the database is taken back to where it was, and life goes on from there: further than we saw.
    async fn back_up_or_restore(&mut self) {
        let synapse = self.stage.home.synapse();
        let database = synapse.dir().join("homeserver.db");
        synapse.stop().await.expect("it stops");
        let restored = match self.backup.take() {
            None => {
                let backup = synapse.dir().join("backup.db");
                std::fs::copy(&database, &backup).expect("a backup is made");
                self.backup = Some(backup);
                false
            }
            Some(backup) => {
                for rest in ["homeserver.db-wal", "homeserver.db-shm"] {
                    let _ = std::fs::remove_file(synapse.dir().join(rest));
                }
                std::fs::copy(&backup, &database).expect("the backup is put back");
                true
            }
        };
        synapse.restart().await.expect("it starts again");
        if restored && self.random.bool() {
            let room = self.room();
            self.put(&self.ana, &room, "m.room.name", "", json!({"name": "after the backup"})).await;
            for _ in 0..self.random.usize(1..40) {
                join_all((0..10).map(|_| self.ana.say(&room, "a new day"))).await;
            }
        }
    }
}
