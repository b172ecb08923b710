use fraktalia_model::id;
use fraktalia_plan::{Cause, Impact, Verb};

use super::*;
use crate::render::look::Detail;
use crate::render::testing::{about, blocked, changes, comes, empty, field, garden, plain, step, turned};

fn shown(plan: &Plan, fractals: &[&str], look: &Look) -> String {
    let files = fraktalia_model::MemoryFiles::new().with("/fraktalia.yaml", "fractals:\n  gardener:\n");
    let loaded = fraktalia_model::manifest::load("/fraktalia.yaml".as_ref(), &files);
    text(plan, &about(fractals), &loaded.sources, look)
}

#[test]
fn one_glance_tells_what_is_new_what_changes_and_why() {
    insta::assert_snapshot!(shown(&garden(), &["gardener", "cook"], &plain(110)));
}

#[test]
fn a_narrow_terminal_folds_and_loses_nothing() {
    let page = shown(&garden(), &["gardener", "cook"], &plain(60));
    assert!(page.lines().all(|line| Line::new().plain(line).width() <= 60), "{page}");
    insta::assert_snapshot!(page);
}

#[test]
fn colour_only_repeats_what_the_symbols_say() {
    let look = Look { colour: true, ..plain(110) };
    let coloured = shown(&garden(), &["gardener", "cook"], &look);
    assert_eq!(
        anstream::adapter::strip_str(&coloured).to_string(),
        shown(&garden(), &["gardener", "cook"], &plain(110))
    );
    insta::assert_snapshot!(coloured.replace('\u{1b}', "ESC"));
}

#[test]
fn verbose_shows_every_step_and_why_it_waits() {
    let look = Look { detail: Detail::Full, ..plain(110) };
    insta::assert_snapshot!(shown(&garden(), &["gardener", "cook"], &look));
}

#[test]
fn what_is_in_the_way_stands_last_with_its_cure() {
    insta::assert_snapshot!(shown(&blocked(), &["gardener", "cook"], &plain(110)));
}

#[test]
fn an_empty_plan_says_so() {
    let mut plan = empty();
    plan.strangers = [("agents".into(), 11), ("rooms".into(), 1)].into();
    insta::assert_snapshot!(shown(&plan, &[], &plain(80)));
}

#[test]
fn what_cannot_be_taken_back_is_announced() {
    let mut plan = empty();
    plan.changes = vec![turned(
        comes(id::room("old"), "old", "#old:chat.home", "12 members"),
        Verb::Delete,
        "left the manifest",
    )];
    let purge = Impact::Irreversible("all messages in it are deleted".into());
    plan.steps = vec![step(1, "purge #old:chat.home", vec![id::room("old")], purge)];
    insta::assert_snapshot!(shown(&plan, &[], &plain(80)));
}

#[test]
fn every_verb_has_its_symbol_and_its_reason() {
    let mut plan = empty();
    let network = |name: &str| comes(id::network("mox", name), "nets", name, "172.30.77.0/24");
    plan.changes = vec![
        turned(network("a"), Verb::Adopt, "is there and as wanted"),
        turned(network("b"), Verb::Forget, "left the manifest"),
        turned(network("c"), Verb::Replace, "the subnet of a network cannot change"),
        turned(network("d"), Verb::Create, "was removed by hand"),
        turned(network("e"), Verb::Delete, "left the manifest"),
    ];
    insta::assert_snapshot!(shown(&plan, &[], &plain(110)));
}

#[test]
fn long_texts_are_compared_word_by_word_and_line_by_line() {
    let before = "You are patient.\nYou know soups.\nYou like stews.\nYou say little.\nYou end.\n";
    let after = "You are patient.\nYou know soups.\nYou like sauces.\nYou say little.\nYou end.\nAlways.\n";
    let many = (0..40).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
    let page = |from: &str, to: &str| {
        let mut plan = empty();
        let fields = vec![field("topic", Some(from), Some(to), Cause::Manifest)];
        plan.changes = vec![changes(id::room("cook"), "cook", "#cook", fields)];
        shown(&plan, &["cook"], &plain(100))
    };
    let long = "For everybody in the house who likes to talk about the garden, the beds, the seeds";
    insta::assert_snapshot!(
        [
            page(before, after),
            page(&many, &many.replace("line ", "row ")),
            page(long, &long.replace("who likes to talk", "who loves to write")),
            page(long, &format!("{long} and the weather")),
            page("one two three four five six seven eight", "uno due tre quattro cinque sei sette otto"),
            page("", " x "),
            page(&"x".repeat(300_000), "y"),
        ]
        .join("=====\n")
    );
}

#[test]
fn hostile_text_cannot_draw_on_the_terminal() {
    let mut plan = empty();
    let evil = "#lab\u{1b}[2J\u{202e}:chat.home\nforged  + room";
    plan.changes = vec![
        comes(id::room("lab"), "lab\u{1b}[1m", evil, evil),
        changes(id::agent("lab"), "lab", evil, vec![field("\u{9b}31m", Some(evil), Some("x"), Cause::Both)]),
    ];
    plan.strangers = [("rooms\u{1b}[0m".into(), 2)].into();
    let page = shown(&plan, &[], &plain(110));
    assert!(!page.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{page}");
    assert!(!page.contains("\nforged"), "{page}");
}

#[test]
fn single_rows_share_one_heading_and_strangers_keep_their_whole_name() {
    let mut plan = empty();
    plan.changes = vec![
        comes(id::user("ana"), "ana", "@ana:chat.home", "Ana"),
        comes(id::user("ben"), "ben", "@ben:chat.home", ""),
        turned(
            comes(id::binding("felix", "all"), "felix", "all other rooms -> felix", "after all others"),
            Verb::Adopt,
            "is there and as wanted",
        ),
        comes(id::member("lab", "@ana:chat.home"), "lab", "@ana:chat.home", ""),
        comes(id::member("lab", "@eve:else.where"), "lab", "@eve:else.where", ""),
    ];
    insta::assert_snapshot!(shown(&plan, &["lab"], &plain(100)));
}

#[test]
fn a_new_name_goes_without_saying_and_a_changed_one_takes_one_line() {
    let mut plan = empty();
    let agent = "@agent:chat.home";
    let renamed = field("display_name", Some("agent"), Some("Gardener"), Cause::Drift);
    plan.changes = vec![
        comes(id::room("lab"), "lab", "#lab:chat.home", "invite only"),
        comes(id::member("lab", "@ana:chat.home"), "lab", "@ana:chat.home", ""),
        comes(id::member("lab", agent), "lab", agent, ""),
        comes(id::room_name("lab", agent), "lab", "@agent:chat.home in #lab:chat.home", "as The lab"),
        changes(
            id::room_name("gardener", agent),
            "gardener",
            "@agent:chat.home in #gardener:chat.home",
            vec![renamed],
        ),
    ];
    insta::assert_snapshot!(shown(&plan, &["gardener", "lab"], &plain(100)));
}
