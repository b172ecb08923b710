//! Two realms on one host, each with its own table.

use std::collections::BTreeSet;

use fraktalia_plane::isolation::{Nft, Rules, Table};

use super::guarding::{guard, wait_until};
use super::ns;
use super::policy;
use super::probe::expect;
use super::world::{World, rules};

fn only(name: &str) -> Rules {
    let mut rules = rules();
    rules.networks.retain(|other, _| other == name);
    rules
}

#[test]
fn two_realms_close_their_own_networks_and_leave_each_other_alone() {
    if !ns::wanted() {
        return;
    }
    let world = World::new();
    let probes = [policy::outward(), policy::to_host(), policy::inward(), policy::forged()].concat();
    let (home, work) = (Table::of(Some("home")), Table::of(Some("work")));
    world.host.block_on(async || {
        let nft = Nft::find().expect("nft");
        let one = guard(home.clone(), only("alpha")).await;
        let other = guard(work.clone(), only("beta")).await;
        let both: BTreeSet<String> = ["fkt-alpha".to_owned(), "fkt-beta".to_owned()].into();
        assert_eq!(nft.elsewhere(&Table::of(None)).await.expect("lists"), both);
        // The first one was alone when it began, and held the other's bridge for one that nobody knows.
        wait_until("the first learns of the second", async || {
            one.ruleset().await.text().contains("fkt-beta")
        })
        .await;
        expect(&world, &probes);
        assert_eq!((one.healed(), other.healed()), (0, 0), "to learn of another is no healing");

        other.remove().await.expect("removes");
        wait_until("the first forgets it", async || !one.ruleset().await.text().contains("fkt-beta")).await;
        assert!(nft.look(&home).await.expect("looks").is_some());
        expect(&world, &probes);
    });
}
