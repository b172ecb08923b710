//! The table of targets: what was wanted, what was measured, whether that is enough.

use super::Figures;
use super::apply::Applies;
use super::edit;
use super::idle::{Idle, Round};
use super::measure::Taken;
use super::startup::Startup;
use super::stats::{median, number, ratio};

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What is looked at.
    pub what: String,
    /// What it should be at most, in words.
    pub target: String,
    /// What it was.
    pub measured: String,
    /// What was measured as a part of what is allowed: up to 1 is enough. `None` without a target or a figure.
    pub used: Option<f64>,
}

impl Row {
    /// `figure` must stay below `limit`; `unit` follows both.
    pub fn at_most(what: impl Into<String>, limit: f64, figure: Option<f64>, unit: &str) -> Self {
        Self {
            what: what.into(),
            target: format!("< {limit}{unit}"),
            measured: figure
                .map_or_else(|| "not measured".to_owned(), |figure| format!("{}{unit}", short(figure))),
            used: figure.map(|figure| figure / limit),
        }
    }

    /// With more to be said about the figure.
    pub fn note(self, note: &str) -> Self {
        let measured = format!("{} {note}", self.measured).trim().to_owned();
        Self { measured, ..self }
    }

    /// `yes`, `no`, or that nobody knows.
    pub fn reached(&self) -> &'static str {
        match self.used {
            Some(used) if used <= 1.0 => "yes",
            Some(_) => "**no**",
            None => "-",
        }
    }

    /// As a line of Markdown.
    pub fn line(&self) -> String {
        let used = self.used.map_or_else(|| "-".to_owned(), |used| format!("{used:.2}"));
        format!("| {} | {} | {} | {used} | {} |", self.what, self.target, self.measured, self.reached())
    }
}

/// Three digits that say something.
pub fn short(figure: f64) -> String {
    match figure.abs() {
        large if large >= 100.0 => format!("{figure:.0}"),
        large if large >= 10.0 => format!("{figure:.1}"),
        large if large >= 1.0 => format!("{figure:.2}"),
        large if large >= 0.01 => format!("{figure:.3}"),
        _ => format!("{figure:.4}"),
    }
}

/// All lines.
pub fn rows(figures: &Figures) -> Vec<Row> {
    let mut rows: Vec<Row> = figures.idle.iter().flat_map(of_idle).collect();
    rows.extend(figures.planner.rows());
    rows.extend(of_applies(&figures.applies));
    rows.extend(of_edits(&figures.edits));
    rows.extend(of_startup(&figures.startup));
    rows
}

/// The middle one of a figure in all rounds.
pub fn middle<T>(rounds: &[T], of: impl Fn(&T) -> f64) -> Option<f64> {
    median(rounds.iter().map(of))
}

fn of_idle(idle: &Idle) -> Vec<Row> {
    let Idle { fractals, resources, rounds, .. } = idle;
    let about = |what: &str| format!("no-op `plan`, {fractals} fractals ({resources} resources): {what}");
    let mut rows = Vec::new();
    let warm = middle(rounds, |round| round.warm.taken.wall);
    rows.push(match fractals {
        100 => Row::at_most(about("warm"), 0.25, warm, " s"),
        1000 => Row::at_most(about("warm"), 1.0, warm, " s"),
        _ => Row { target: "-".to_owned(), used: None, ..Row::at_most(about("warm"), 1.0, warm, " s") },
    });
    let cold = ratio(rounds.iter().map(|round| (round.cold.taken.wall, cheapest(round))));
    let seconds = middle(rounds, |round| round.cold.taken.wall).map(short).unwrap_or_default();
    rows.push(
        Row::at_most(about("cold / cheapest bare read"), 1.3, cold, "x").note(&format!("({seconds} s)")),
    );
    let each = |round: &Round| round.warm.taken.cpu * 1e3 / number(*resources);
    rows.push(Row::at_most(about("our CPU for one resource, warm"), 0.1, middle(rounds, each), " ms"));
    let terraform = rounds.iter().filter_map(|round| Some((round.warm.taken.cpu, round.terraform?.cpu)));
    rows.push(Row::at_most(about("our CPU / Terraform's"), 0.1, ratio(terraform), "x"));
    let most = rounds.iter().flat_map(|round| {
        [round.warm.taken.megabytes, round.cold.taken.megabytes, round.refreshed.taken.megabytes]
    });
    rows.push(Row::at_most(about("memory, warm or cold"), 60.0, most.reduce(f64::max), " MB"));
    rows
}

/// The quicker one of the two bare ways to read, in this round.
pub fn cheapest(round: &Round) -> f64 {
    round.sliding.wall.min(round.each_room.wall)
}

fn of_applies(applies: &Applies) -> Vec<Row> {
    let Applies { fractals, calls, rounds, syncs, .. } = applies;
    let floor = ratio(rounds.iter().map(|(ours, bare)| (ours.taken.wall, bare.wall)));
    let seconds = middle(rounds, |(ours, _)| ours.taken.wall).map(short).unwrap_or_default();
    let bare = middle(rounds, |(_, bare)| bare.wall).map(short).unwrap_or_default();
    let what = format!("apply of {fractals} new fractals / its {calls} calls by a bare client");
    let writes = rounds.iter().map(|(ours, _)| number(ours.config_writes)).reduce(f64::max);
    let writes = Row {
        target: "1".to_owned(),
        measured: writes.map(|writes| format!("{writes:.0}")).unwrap_or_default(),
        ..Row::at_most(
            format!("writes of `openclaw.json`, apply of {fractals} new fractals"),
            1.0,
            writes,
            "",
        )
    };
    let share = syncs.as_ref().map(|(taken, syncs)| syncs.journal.seconds / taken.wall * 100.0);
    let count =
        syncs.as_ref().map(|(_, syncs)| format!("({} times)", syncs.journal.count)).unwrap_or_default();
    vec![
        Row::at_most(what, 1.15, floor, "x").note(&format!("({seconds} s / {bare} s)")),
        writes,
        Row::at_most("the journal's waiting for the disk, of that apply", 5.0, share, " %").note(&count),
    ]
}

fn of_edits(rounds: &[edit::Round]) -> Vec<Row> {
    let more = |round: &edit::Round| round.large.wall - round.small.wall;
    let plan = |round: &edit::Round| round.large_plan.wall - round.small_plan.wall;
    let (more, plan) = (middle(rounds, more), middle(rounds, plan));
    let what = format!(
        "{} foreign agents in `openclaw.json`: what an apply that edits one takes longer",
        edit::FOREIGN
    );
    let plan = plan.map(|plan| format!("(a plan: {} s)", short(plan))).unwrap_or_default();
    vec![Row::at_most(what, 0.3, more, " s").note(&plan)]
}

fn of_startup(startup: &Startup) -> Vec<Row> {
    let milliseconds = |runs: &[Taken]| middle(runs, |taken| taken.wall * 1e3);
    vec![
        Row::at_most("`--version`", 10.0, milliseconds(&startup.version), " ms"),
        Row::at_most("`check` of the example", 30.0, milliseconds(&startup.check), " ms"),
        Row::at_most("the program, stripped", 15.0, Some(startup.megabytes), " MB"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_over_its_limit_is_not_reached_and_none_at_all_is_neither() {
        let row = |figure| Row::at_most("x", 0.25, figure, " s");
        assert_eq!(row(Some(0.2)).line(), "| x | < 0.25 s | 0.200 s | 0.80 | yes |");
        assert_eq!(row(Some(0.5)).reached(), "**no**");
        assert_eq!(row(None).line(), "| x | < 0.25 s | not measured | - | - |");
    }

    #[test]
    fn figures_keep_three_digits_that_say_something() {
        let shown: Vec<String> = [1234.5, 12.345, 1.2345, 0.12345, 0.0012].map(short).into();
        assert_eq!(shown, ["1234", "12.3", "1.23", "0.123", "0.0012"]);
    }
}
