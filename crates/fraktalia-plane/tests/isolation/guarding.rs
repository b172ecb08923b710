//! Somebody else changes the rules, and they are put right.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fraktalia_plane::config::Protocol;
use fraktalia_plane::isolation::{Drift, Guard, GuardError, Nft, NftError, Rules, Table, drift};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use super::load::Load;
use super::ns;
use super::policy;
use super::probe::{Probe, expect};
use super::world::{Place, World, opening, rules};

/// Longer than healing takes on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn guard(table: Table, rules: Rules) -> Guard {
    Guard::start(Nft::find().expect("nft"), table, rules).await.expect("starts")
}

/// Waits for something that happens by itself; there is no time by which it must, but one after which we give up.
pub async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::task::yield_now().await;
    }
}

async fn drifted(guard: &Guard) -> Drift {
    let loaded = Nft::find().expect("nft").look(&Table::of(None)).await.expect("looks");
    drift(&guard.ruleset().await, loaded.as_ref())
}

/// The handle of the first rule of a chain.
fn handle(world: &World, chain: &str) -> String {
    let text = world.host.command("nft", &["-a", "list", "chain", "inet", "fraktalia", chain]);
    let rule =
        text.lines().find(|line| line.contains("# handle") && !line.contains("chain ")).expect("a rule");
    rule.rsplit(' ').next().expect("a number").to_owned()
}

/// What somebody could do to the table by hand, by a script, or by a mistake.
const DEEDS: [&str; 14] = [
    "flush ruleset",
    "delete table inet fraktalia",
    "flush table inet fraktalia",
    "flush chain inet fraktalia from_sandbox",
    "delete rule inet fraktalia from_sandbox handle HANDLE",
    "insert rule inet fraktalia from_sandbox accept",
    "insert rule inet fraktalia forward iifname \"fkt-alpha\" accept",
    "add rule inet fraktalia refused accept",
    "delete element inet fraktalia closed { 10.0.0.0/8 }",
    "flush set inet fraktalia closed",
    "add element inet fraktalia internet { \"fkt-beta\" }",
    "add element inet fraktalia sources { \"fkt-alpha\" . 192.168.50.0/24 }",
    "add chain inet fraktalia early { type filter hook forward priority -20; policy accept; }",
    "add chain inet fraktalia input { type filter hook input priority -10; policy drop; }",
];

#[test]
fn whatever_somebody_changes_in_the_table_is_put_right() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    world.host.block_on(async || {
        let guard = guard(Table::of(None), rules()).await;
        assert_eq!(drifted(&guard).await, Drift::None);
        for deed in DEEDS {
            let before = guard.healed();
            world.host.nft(&deed.replace("HANDLE", &handle(&world, "from_sandbox")));
            wait_until(deed, async || guard.healed() > before).await;
            assert_eq!(drifted(&guard).await, Drift::None, "{deed}");
        }
        World::note_arrivals(&world.host);
        expect(&world, &policy::outward());
        assert_eq!(drifted(&guard).await, Drift::None, "what counters counted is no drift");
        assert_eq!(guard.trouble().await, None);
    });
}

#[test]
fn each_change_by_hand_is_drift() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    for deed in DEEDS {
        world.load(&rules());
        world.host.nft(&deed.replace("HANDLE", &handle(&world, "from_sandbox")));
        world.host.block_on(async || {
            let nft = Nft::find().expect("nft");
            let table = Table::of(None);
            let wanted = fraktalia_plane::isolation::ruleset(&table, &rules()).expect("good rules");
            let loaded = nft.look(&table).await.expect("looks");
            assert_ne!(drift(&wanted, loaded.as_ref()), Drift::None, "{deed}");
        });
    }
}

/// Also when the test fails: it would wait for its sender for ever.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn after_a_flush_the_networks_are_closed_again_while_packets_keep_coming() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    world.host.block_on(async || {
        let guard = guard(Table::of(None), rules()).await;
        let load = Load::open(&world);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| load.send_until(&stop));
            let _stop_at_the_end = StopAtTheEnd(&stop);
            for _ in 0..10 {
                let before = guard.healed();
                world.host.nft("flush ruleset");
                let start = Instant::now();
                while guard.healed() == before {
                    assert!(start.elapsed() < PATIENCE, "not healed");
                    std::thread::yield_now();
                }
                // What got through in between is told, and not judged: nothing can be done about it.
                println!("healed after {:?}; {} packets got through", start.elapsed(), load.count().0);
            }
            World::note_arrivals(&world.host);
            expect(&world, &policy::outward());
            let (leaked, arrived) = load.count();
            assert_eq!(leaked, 0);
            assert!(arrived > 0, "nothing arrives at all");
            stop.store(true, Ordering::Relaxed);
            let (sent, _) = sender.join().expect("the sender ends");
            assert!(sent > 100, "too little to judge by: {sent}");
        });
    });
}

#[test]
fn other_rules_take_the_place_of_the_old_ones_and_bad_ones_leave_them() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    let lan = |may| {
        [Probe::new("an opening", Place::Alpha, Place::Outside, "10.1.2.3", super::packet::Load::Syn(5), may)]
    };
    world.host.block_on(async || {
        let guard = guard(Table::of(None), rules()).await;
        expect(&world, &lan(false));
        let mut more = rules();
        more.networks.get_mut("alpha").expect("there").openings.push(opening("10.1.2.3", 5, Protocol::Tcp));
        guard.set(more.clone()).await.expect("good rules");
        expect(&world, &lan(true));
        more.networks.get_mut("beta").expect("there").bridge = "docker0".into();
        let refused = guard.set(more).await.expect_err("not a bridge of ours");
        assert!(matches!(refused, GuardError::Rules(_)), "{refused}");
        expect(&world, &lan(true));
        assert_eq!(drifted(&guard).await, Drift::None);
        assert_eq!(guard.healed(), 0, "what it did itself is no drift");
    });
}

#[test]
fn removing_takes_away_the_table_and_nothing_else() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    world.host.block_on(async || {
        let before = world.host.command("nft", &["-s", "list", "ruleset"]);
        let guard = guard(Table::of(None), rules()).await;
        assert_ne!(world.host.command("nft", &["-s", "list", "ruleset"]), before);
        guard.remove().await.expect("removes");
        assert_eq!(world.host.command("nft", &["-s", "list", "ruleset"]), before);
        let nft = Nft::find().expect("nft");
        nft.remove(&Table::of(None)).await.expect("it is gone already");
        assert_eq!(nft.look(&Table::of(None)).await.expect("looks"), None);
    });
}

#[test]
fn without_the_right_the_error_names_it() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    world.host.run(|| {
        remove_capability_from_bounding_set(CapabilitySet::NET_ADMIN).expect("may give it up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let started = runtime.block_on(Guard::start(Nft::find().expect("nft"), Table::of(None), rules()));
        let error = started.expect_err("it may not");
        assert!(matches!(error, GuardError::Nft(NftError::Right(_))), "{error:?}");
        assert!(error.to_string().contains("--cap-add NET_ADMIN"), "{error}");
    });
}
