//! The steps of a plan in the order of their waves, each with what it waits for.

use std::collections::BTreeMap;

use fraktalia_plan::{Impact, Plan, Step, StepId, Why};

use crate::render::line::Line;
use crate::render::look::{Look, Tone};

/// All steps, below a heading for each wave.
pub fn write(plan: &Plan, look: &Look, page: &mut String) {
    let mut waits: BTreeMap<StepId, Vec<String>> = BTreeMap::new();
    for edge in &plan.edges {
        waits.entry(edge.to).or_default().push(format!("{} ({})", edge.from, why(&edge.why)));
    }
    let system = plan.steps.iter().map(|step| step.system.as_str().len()).max().unwrap_or(0);
    for (index, wave) in plan.waves().iter().enumerate() {
        page.push('\n');
        Line::new().text(Tone::Strong, &format!("wave {}", index + 1)).write(look, page);
        for step in wave.iter().filter_map(|&id| plan.step(id)) {
            line(step, system, waits.get(&step.id)).write(look, page);
        }
    }
}

fn line(step: &Step, system: usize, waits: Option<&Vec<String>>) -> Line {
    let mut line = Line::indented(2)
        .text(Tone::Faint, &format!("{:>3}", step.id))
        .space(2)
        .text(Tone::Faint, step.system.as_str())
        .to_column(7 + system, 0)
        .space(2)
        .hang()
        .plain(&step.title);
    line = match &step.impact {
        Impact::Quiet => line,
        Impact::Disruptive(what) => line.text(Tone::Warn, &format!("  ! {what}")),
        Impact::Irreversible(what) => line.text(Tone::Bad, &format!("  !! {what}")),
    };
    match waits {
        Some(waits) => line.text(Tone::Faint, &format!("  after {}", waits.join(", "))),
        None => line,
    }
}

/// Why one step waits for another, in the words of a plan.
pub fn why(why: &Why) -> String {
    match why {
        Why::NeedsOutput(id) => format!("uses what {id} yields"),
        Why::Requires(id) => format!("needs {id}"),
        Why::TearDown(id) => format!("{id} goes first"),
        Why::Sequence(id) => format!("same {id}"),
    }
}
