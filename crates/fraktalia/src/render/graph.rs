//! The steps of a plan as a picture: what runs at once, and what waits for what.

mod layout;
mod picture;
mod svg;

use std::fmt::Write;

use fraktalia_plan::{Impact, Plan, Step, StepId};

use super::escape::visible;
use super::line::shortened;
use picture::Picture;

pub use svg::svg;

/// Characters of a title in Mermaid and DOT.
const TITLE: usize = 60;

/// For Markdown that draws Mermaid.
pub fn mermaid(plan: &Plan) -> String {
    let picture = Picture::of(plan);
    let mut text = String::from("flowchart LR\n");
    for (index, wave) in (1..).zip(&picture.waves) {
        let _ = writeln!(text, "  subgraph w{index}[\"wave {index}\"]");
        for &node in wave {
            let node = &picture.nodes[node];
            let _ = writeln!(
                text,
                "    s{}[\"{}\"]:::{}",
                node.id(),
                mermaid_text(&node.label()),
                class(&node.system)
            );
        }
        text.push_str("  end\n");
    }
    for &(from, to) in &picture.edges {
        let _ = writeln!(text, "  s{} --> s{}", picture.nodes[from].id(), picture.nodes[to].id());
    }
    for system in picture.systems() {
        let _ =
            writeln!(text, "  classDef {} stroke:{},stroke-width:2px", class(system), svg::colour(system));
    }
    text
}

/// A name that Mermaid takes for a class.
fn class(system: &str) -> String {
    system.chars().map(|at| if at.is_ascii_alphanumeric() { at } else { '_' }).collect()
}

/// Mermaid ends a label at a quote and reads HTML and Markdown in it; its own entities are `#` and a number.
fn mermaid_text(text: &str) -> String {
    let mut safe = String::new();
    for at in shortened(&visible(text), TITLE).chars() {
        if matches!(
            at,
            '"' | '<' | '>' | '&' | '#' | '`' | '\\' | '{' | '}' | '[' | ']' | '*' | '_' | ';' | '%'
        ) {
            let _ = write!(safe, "#{};", u32::from(at));
        } else {
            safe.push(at);
        }
    }
    safe
}

/// For Graphviz. Every step and every edge, with its reason.
pub fn dot(plan: &Plan) -> String {
    let mut text = String::from(
        "digraph plan {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
    );
    for (index, wave) in (1..).zip(plan.waves()) {
        let _ = writeln!(text, "  subgraph cluster_{index} {{\n    label=\"wave {index}\"; color=gray;");
        for step in wave.iter().filter_map(|&id: &StepId| plan.step(id)) {
            let _ = writeln!(
                text,
                "    s{} [label=\"{}\", color=\"{}\"{}];",
                step.id,
                dot_text(&dot_label(step)),
                svg::colour(step.system.provider()),
                dot_style(step)
            );
        }
        text.push_str("  }\n");
    }
    for edge in &plan.edges {
        let why = super::plan::why(&edge.why);
        let _ = writeln!(text, "  s{} -> s{} [tooltip=\"{}\"];", edge.from, edge.to, dot_text(&why));
    }
    text.push_str("}\n");
    text
}

fn dot_label(step: &Step) -> String {
    format!("{}. {}: {}", step.id, step.system, shortened(&visible(&step.title), TITLE))
}

fn dot_style(step: &Step) -> &'static str {
    match step.impact {
        Impact::Quiet => "",
        Impact::Disruptive(_) => ", penwidth=2",
        Impact::Irreversible(_) => ", penwidth=2, style=\"rounded,dashed\"",
    }
}

/// Inside a quoted string of DOT: a backslash begins an escape there.
fn dot_text(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{empty, garden, step};
    use fraktalia_model::id;

    #[test]
    fn mermaid_shows_waves_and_only_the_edges_that_say_something() {
        insta::assert_snapshot!(mermaid(&garden()));
    }

    #[test]
    fn dot_has_every_edge_with_its_reason() {
        insta::assert_snapshot!(dot(&garden()));
    }

    #[test]
    fn svg_is_the_same_for_the_same_plan() {
        insta::assert_snapshot!(svg(&garden()));
    }

    #[test]
    fn titles_from_outside_stay_text_in_every_format() {
        let mut plan = empty();
        let evil = "create \"]:::x --> y <script>alert(1)</script> \\ & \u{1b}[31m";
        plan.steps = vec![step(1, evil, vec![id::room("lab")], Impact::Irreversible(evil.into()))];
        for text in [mermaid(&plan), dot(&plan), svg(&plan)] {
            assert!(!text.contains('\u{1b}'), "{text}");
        }
        assert!(!svg(&plan).contains("<script"));
        assert!(!mermaid(&plan).contains("<script") && !mermaid(&plan).contains("\"]:::x"));
        assert!(dot(&plan).contains("\\\"]:::x"));
    }

    #[test]
    fn an_empty_plan_has_a_picture_too() {
        for text in [mermaid(&empty()), dot(&empty()), svg(&empty())] {
            assert!(!text.is_empty());
        }
    }

    #[test]
    fn a_thousand_steps_are_drawn() {
        let mut plan = empty();
        plan.steps = (1..=1000)
            .map(|at| step(at, &format!("create room {at}"), vec![id::room(&at.to_string())], Impact::Quiet))
            .collect();
        plan.edges = (2..=1000)
            .map(|to| fraktalia_plan::Edge {
                from: to / 2,
                to,
                why: fraktalia_plan::Why::Requires(id::room("x")),
            })
            .collect();
        assert_eq!(svg(&plan).matches("class=\"box").count(), 1000);
    }

    #[test]
    fn long_ways_run_around_boxes() {
        use fraktalia_plan::{Edge, Why};
        let mut plan = garden();
        plan.steps.push(step(
            8,
            "build agent-sandbox:latest from docker/sandbox",
            vec![id::image("local", "standard")],
            Impact::Quiet,
        ));
        plan.steps.push(step(
            9,
            "create network garden-net",
            vec![id::network("local", "garden-net")],
            Impact::Quiet,
        ));
        plan.steps.push(step(
            10,
            "recycle the sandbox of gardener",
            vec![id::sandbox("local", "gardener")],
            Impact::Disruptive("ends running sessions of gardener".into()),
        ));
        plan.steps.push(step(
            11,
            "purge #old:chat.home",
            vec![id::room("old")],
            Impact::Irreversible("all messages in it are deleted".into()),
        ));
        for (f, t) in [(8, 10), (9, 10), (8, 7), (7, 10), (2, 10)] {
            plan.edges.push(Edge { from: f, to: t, why: Why::Requires(id::room("x")) });
        }
        insta::assert_snapshot!(svg(&plan));
    }
}
