//! How much memory the pure planner asks for: a count, which is the same on every machine.

#[path = "../benches/shelf/mod.rs"]
mod shelf;

use shelf::{Stand, There};

/// Allocations of one plan.
fn allocations(many: usize, there: There) -> u64 {
    let stand = Stand::of(many, there);
    allocation_counter::measure(|| drop(stand.plan())).count_total
}

/// Some 20 % above what it is for each resource.
fn stay_below(ceiling: u64, there: There) {
    let few = allocations(1_000, there);
    let many = allocations(10_000, there);
    assert!(many <= 11 * few, "not linear: {few} allocations for 1,000 resources, {many} for 10,000");
    assert!(many <= ceiling * 10_000, "{} allocations for each of 10,000 resources", many / 10_000);
}

#[test]
fn a_plan_with_nothing_to_do_allocates_little_and_in_proportion() {
    stay_below(27, There::All);
}

#[test]
fn a_plan_that_makes_everything_allocates_in_proportion() {
    stay_below(76, There::Nothing);
}
