//! How long the pure planner takes, and how that grows.

mod shelf;

use divan::Bencher;
use fraktalia_plan::{audit, diff};

use shelf::{Stand, There};

fn main() {
    divan::main();
}

/// Without optimisation only whether it runs is of interest.
fn sizes() -> &'static [usize] {
    if cfg!(debug_assertions) { &[100] } else { &[1_000, 10_000, 100_000] }
}

#[divan::bench(args = sizes(), sample_count = 10, sample_size = 1)]
fn nothing_to_do(bencher: Bencher<'_, '_>, many: usize) {
    let stand = Stand::of(many, There::All);
    assert!(stand.plan().is_empty());
    bencher.bench_local(|| stand.plan());
}

#[divan::bench(args = sizes(), sample_count = 10, sample_size = 1)]
fn everything_to_make(bencher: Bencher<'_, '_>, many: usize) {
    let stand = Stand::of(many, There::Nothing);
    assert_eq!(stand.plan().steps.len(), many);
    bencher.bench_local(|| stand.plan());
}

#[divan::bench(args = sizes(), sample_count = 10, sample_size = 1)]
fn audit_of_everything_to_make(bencher: Bencher<'_, '_>, many: usize) {
    let plan = Stand::of(many, There::Nothing).plan();
    bencher.bench_local(|| audit::audit(&plan));
}

#[divan::bench]
fn one_field_that_is_as_wanted() -> bool {
    let same = divan::black_box("Soups of the season");
    diff::compare("topic", same, same, Some(same), |text| Some(text.to_owned())).is_none()
}

#[divan::bench]
fn one_field_that_differs() -> bool {
    let (want, have) = divan::black_box(("Soups of the season", "Soups"));
    diff::compare("topic", want, have, Some(have), |text| Some(text.to_owned())).is_some()
}
