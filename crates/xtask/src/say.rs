//! What the tasks print. Colour repeats what the words say, and is left out where it would not be shown.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anstream::{eprintln, print, println};
use owo_colors::OwoColorize as _;

const LABEL: usize = 12;
/// Columns where there is no terminal to ask.
const WIDTH: usize = 100;
/// Whether the last line says what is going on: it goes when that is done.
static PASSING: AtomicBool = AtomicBool::new(false);

/// The headline of a task.
pub fn title(text: &str) {
    settle();
    println!("\n{}", text.bold());
}

/// The headline of a part, with a line that says what it is for.
pub fn part(number: usize, text: &str, about: &str) {
    settle();
    println!("\n{} {}", format!("{number}.").bold().cyan(), text.bold());
    if !about.is_empty() {
        println!("{}", indent(about).dimmed());
    }
    println!();
}

/// Plain text, indented, its lines as they are.
pub fn line(text: &str) {
    settle();
    for line in text.lines() {
        println!("   {line}");
    }
}

/// Text in the background, indented.
pub fn faint(text: &str) {
    settle();
    println!("{}", indent(text).dimmed());
}

/// Something that is there now.
pub fn tick(text: &str, took: Option<Duration>) {
    settle();
    let took = took.map(seconds).unwrap_or_default();
    println!("   {} {text}{}", "✓".green(), took.dimmed());
}

/// Something that is there now, under a label; several of them align.
pub fn done(label: &str, text: &str, took: Option<Duration>) {
    tick(&format!("{label:LABEL$} {text}"), took);
}

/// Something that takes a while and has begun. On a terminal the line makes way for the next one.
pub fn begun(text: &str) {
    settle();
    if std::io::stdout().is_terminal() {
        print!("   {} {}", "·".dimmed(), format!("{text} ...").dimmed());
        let _ = std::io::stdout().flush();
        PASSING.store(true, Ordering::Relaxed);
    } else {
        println!("   · {text}");
    }
}

/// Takes the line of [`begun`] away.
fn settle() {
    if PASSING.swap(false, Ordering::Relaxed) {
        print!("\r\x1b[K");
    }
}

/// A command as one would type it.
pub fn command(text: &str) {
    settle();
    println!("   {} {}", "$".dimmed(), text.bold());
}

/// A line of a conversation, folded beside the name.
pub fn said(who: &str, text: &str) {
    settle();
    let room = width().saturating_sub(LABEL + 5);
    let mut who = who;
    for line in text.lines().flat_map(|line| folded(line, room)) {
        println!("   {} {line}", format!("{who:>LABEL$}").cyan());
        who = "";
    }
}

fn width() -> usize {
    let columns = terminal_size::terminal_size().map(|(columns, _)| usize::from(columns.0));
    columns.filter(|_| std::io::stdout().is_terminal()).unwrap_or(WIDTH)
}

/// `line` in pieces of at most `room` characters, cut at spaces where there are any.
fn folded(line: &str, room: usize) -> Vec<String> {
    let words = line.trim_start_matches(' ');
    // What is indented stays so.
    let indent = &line[..line.len() - words.len()];
    let mut lines = vec![indent.to_owned()];
    for word in words.split(' ') {
        let last = lines.len() - 1;
        let begun = lines[last].len() > indent.len();
        if begun && lines[last].chars().count() + 1 + word.chars().count() > room {
            lines.push(format!("{indent}{word}"));
        } else {
            if begun {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}

/// Why a task ended badly.
pub fn error(text: &str) {
    settle();
    let mut lines = text.lines();
    eprintln!("{} {}", "error:".red().bold(), lines.next().unwrap_or_default());
    for line in lines {
        eprintln!("{line}");
    }
}

/// A whole line as it is, for machines too.
pub fn plain(text: &str) {
    settle();
    println!("{text}");
}

/// `3.2 s`, with space before it.
fn seconds(took: Duration) -> String {
    format!("  {:.1} s", took.as_secs_f64())
}

/// Prose, folded to the terminal.
fn indent(text: &str) -> String {
    let room = width().saturating_sub(3);
    let lines: Vec<String> =
        text.lines().flat_map(|line| folded(line, room)).map(|line| format!("   {line}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_folded_between_words_and_loses_none() {
        assert_eq!(folded("six eggs and a pumpkin", 10), ["six eggs", "and a", "pumpkin"]);
        assert_eq!(folded("", 10), [""]);
    }
}
