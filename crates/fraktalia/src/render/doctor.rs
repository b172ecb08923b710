//! How everything is: check by check, grouped by system, each with its cure.

use std::time::Duration;

use fraktalia_engine::health::{Check, Cure, Fix, Standing};
use serde::Serialize;

use super::json::FORMAT;
use super::line::Line;
use super::look::{Look, Tone};
use super::plan::number;

/// What was found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scope of ownership.
    pub realm: String,
    /// The manifest, as it was named.
    pub manifest: String,
    /// How long it took.
    pub took: Duration,
    /// Check by check, those of one system together.
    pub checks: Vec<Check>,
}

/// The same for programs.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    /// Version of this document.
    pub format: u16,
    /// The scope of ownership.
    pub realm: &'a str,
    /// Whether there is no failure.
    pub healthy: bool,
    /// How many checks came out how.
    pub counts: Counts,
    /// Check by check.
    pub checks: &'a [Check],
}

/// How many checks came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// As it should be.
    pub ok: usize,
    /// Not found out.
    pub not_checked: usize,
    /// Not as it should be.
    pub warning: usize,
    /// Broken, or open to those who must not have it.
    pub failure: usize,
}

impl Report {
    /// What could be mended, each thing once.
    pub fn fixes(&self) -> Vec<Fix> {
        let mut fixes: Vec<Fix> = self.checks.iter().flat_map(|check| check.fixes.iter().cloned()).collect();
        fixes.sort();
        fixes.dedup();
        fixes
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for check in &self.checks {
            *match check.standing {
                Standing::Ok => &mut counts.ok,
                Standing::NotChecked => &mut counts.not_checked,
                Standing::Warning => &mut counts.warning,
                Standing::Failure => &mut counts.failure,
            } += 1;
        }
        counts
    }

    /// For programs.
    pub fn document(&self) -> Document<'_> {
        let counts = self.counts();
        Document {
            format: FORMAT,
            realm: &self.realm,
            healthy: counts.failure == 0,
            counts,
            checks: &self.checks,
        }
    }

    /// For people.
    pub fn text(&self, look: &Look) -> String {
        let mut page = String::new();
        Line::new()
            .text(Tone::Strong, &self.realm)
            .space(2)
            .plain(&self.manifest)
            .text(Tone::Faint, &format!("  examined in {:.1} s", self.took.as_secs_f32()))
            .write(look, &mut page);
        let titles = self.checks.iter().map(|check| Line::new().plain(&check.title).width());
        let column = titles.max().unwrap_or(0) + 6;
        let mut system = "";
        for check in &self.checks {
            if check.system != system {
                system = &check.system;
                page.push('\n');
                Line::new().text(Tone::Strong, system).write(look, &mut page);
            }
            write_check(check, column, look, &mut page);
        }
        page.push('\n');
        self.write_closing(look, &mut page);
        page
    }

    fn write_closing(&self, look: &Look, page: &mut String) {
        let counts = self.counts();
        let mut line = Line::new().plain(&format!("{} ok", counts.ok));
        if counts.not_checked > 0 {
            line = line.plain(&format!(", {} not checked", counts.not_checked));
        }
        for (count, what, tone) in
            [(counts.warning, "warning", Tone::Warn), (counts.failure, "failure", Tone::Bad)]
        {
            if count > 0 {
                line = line.plain(", ").text(tone, &number(count, what));
            }
        }
        line.plain(".").write(look, page);
        let fixes = self.fixes().len();
        if fixes > 0 {
            let text = format!("{} can be mended safely: `fraktalia doctor --fix`", number(fixes, "thing"));
            Line::new().text(Tone::Hint, &text).write(look, page);
        }
    }
}

fn write_check(check: &Check, column: usize, look: &Look, page: &mut String) {
    let (symbol, tone) = match check.standing {
        Standing::Ok => ("✓", Tone::Add),
        Standing::NotChecked => ("–", Tone::Faint),
        Standing::Warning => ("!", Tone::Warn),
        Standing::Failure => ("✗", Tone::Bad),
    };
    let weight =
        if matches!(check.standing, Standing::Ok | Standing::NotChecked) { Tone::Faint } else { Tone::Plain };
    Line::indented(2)
        .text(tone, symbol)
        .space(1)
        .plain(&check.title)
        .to_column(column, 2)
        .hang()
        .text(weight, &check.found)
        .write(look, page);
    for cure in &check.cures {
        match cure {
            // Not folded: it is to be copied.
            Cure::Run(command) => {
                Line::indented(column)
                    .text(Tone::Faint, "$ ")
                    .text(Tone::Hint, command)
                    .write_whole(look, page);
            }
            Cure::Do(text) => {
                Line::indented(column)
                    .text(Tone::Faint, "> ")
                    .hang()
                    .text(Tone::Hint, text)
                    .write(look, page);
            }
        }
    }
}

/// What is going to be mended.
pub fn intended(fixes: &[Fix], look: &Look, page: &mut String) {
    Line::new().text(Tone::Strong, "To be done:").write(look, page);
    for fix in fixes {
        Line::indented(2).plain(&fix.to_string()).write_whole(look, page);
    }
}

#[cfg(test)]
mod tests {
    use fraktalia_engine::health::Checklist;

    use super::*;
    use crate::render::testing::plain;

    fn report() -> Report {
        let (ours, matrix) = (Checklist::new("fraktalia"), Checklist::new("matrix"));
        let path = "/srv/fraktalia/secrets/matrix-admin-token";
        let mut well = ours.check(Standing::Ok, "manifest", "manifest", "2 fractals, 3 rooms, 4 users");
        well.title = "manifest".into();
        Report {
            realm: "home".into(),
            manifest: "fraktalia.yaml".into(),
            took: Duration::from_millis(420),
            checks: vec![
                well,
                ours.failure(
                    "secrets.kept",
                    "secrets",
                    format!("{path} has mode 0644: everybody on this machine can read it"),
                )
                .cure(Cure::run(format!("chmod 600 {path}")))
                .fix(Fix::Chmod { path: path.into(), mode: 0o600 }),
                matrix.check(Standing::Ok, "matrix.reach", "reachable", "http://127.0.0.1:8008"),
                matrix
                    .warning(
                        "matrix.rooms",
                        "agents' rooms",
                        "#gardener:chat.home\u{1b}[2J has 2 members; invited ones do not count: OpenClaw takes it for a direct chat",
                    )
                    .cure(Cure::edit("let a third member join: anybody, or a user that `matrix.padding` names, whichever suits")),
                matrix
                    .unknown("matrix.settings", "settings", "they stand in homeserver.yaml alone")
                    .cure(Cure::run("fraktalia doctor --homeserver-yaml FILE    # on the machine that has it, and nowhere else")),
            ],
        }
    }

    #[test]
    fn each_check_says_what_is_and_what_to_do() {
        insta::assert_snapshot!(report().text(&plain(100)));
    }

    #[test]
    fn on_a_terminal_colours_repeat_what_the_signs_say() {
        let look = Look { colour: true, ..plain(60) };
        insta::assert_snapshot!(report().text(&look).replace('\u{1b}', "^"));
    }

    #[test]
    fn programs_are_told_whether_all_is_well_and_what_can_be_mended() {
        let report = report();
        insta::assert_json_snapshot!(report.document());
    }
}
