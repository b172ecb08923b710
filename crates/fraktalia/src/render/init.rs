//! What `init` found, what it wrote, and what comes next.

use super::line::Line;
use super::look::{Look, Tone};
use crate::command::init::Written;

/// Something that was looked for.
#[derive(Debug)]
pub struct Sight {
    what: &'static str,
    there: bool,
    text: String,
}

impl Sight {
    /// It is there.
    pub fn there(what: &'static str, text: String) -> Self {
        Self { what, there: true, text }
    }

    /// It is not, or cannot be used.
    pub fn missing(what: &'static str, text: &str) -> Self {
        Self { what, there: false, text: text.into() }
    }
}

/// A command or an errand, and what it is for.
#[derive(Debug)]
pub struct Next {
    command: String,
    why: &'static str,
}

impl Next {
    /// What to do, and what for.
    pub fn new(command: String, why: &'static str) -> Self {
        Self { command, why }
    }
}

/// What was found.
pub fn found(sights: &[Sight], look: &Look) -> String {
    let mut page = String::new();
    for sight in sights {
        let (symbol, tone) = if sight.there { ("✓", Tone::Add) } else { ("–", Tone::Faint) };
        Line::indented(2)
            .text(tone, symbol)
            .space(1)
            .text(Tone::Strong, sight.what)
            .to_column(14, 2)
            .hang()
            .text(if sight.there { Tone::Plain } else { Tone::Faint }, &sight.text)
            .write(look, &mut page);
    }
    page.push('\n');
    page
}

/// What was written, and what comes next.
pub fn written(files: &[Written], next: &[Next], look: &Look) -> String {
    let mut page = String::new();
    let width = files.iter().map(|file| file.path.display().to_string().chars().count()).max().unwrap_or(0);
    for file in files {
        Line::new()
            .text(Tone::Add, "wrote ")
            .plain(&file.path.display().to_string())
            .to_column(width + 8, 2)
            .text(Tone::Faint, file.what)
            .write(look, &mut page);
    }
    page.push('\n');
    Line::new().text(Tone::Strong, "Next").write(look, &mut page);
    let width = next.iter().map(|step| step.command.chars().count()).max().unwrap_or(0);
    for step in next {
        Line::indented(2)
            .text(Tone::Hint, &step.command)
            .to_column(width + 4, 2)
            .hang()
            .text(Tone::Faint, step.why)
            .write(look, &mut page);
    }
    page
}
