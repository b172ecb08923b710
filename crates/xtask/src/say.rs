//! What the tasks print. Colour repeats what the words say, and is left out where it would not be shown.

use std::time::Duration;

use anstream::{eprintln, println};
use owo_colors::OwoColorize as _;

const LABEL: usize = 12;

/// The headline of a task.
pub fn title(text: &str) {
    println!("\n{}", text.bold());
}

/// The headline of a part, with a line that says what it is for.
pub fn part(number: usize, text: &str, about: &str) {
    println!("\n{} {}", format!("{number}.").bold().cyan(), text.bold());
    if !about.is_empty() {
        println!("{}", indent(about).dimmed());
    }
    println!();
}

/// Plain text, indented.
pub fn line(text: &str) {
    println!("{}", indent(text));
}

/// Text in the background, indented.
pub fn faint(text: &str) {
    println!("{}", indent(text).dimmed());
}

/// Something that is there now.
pub fn tick(text: &str, took: Option<Duration>) {
    let took = took.map(seconds).unwrap_or_default();
    println!("   {} {text}{}", "✓".green(), took.dimmed());
}

/// Something that is there now, under a label; several of them align.
pub fn done(label: &str, text: &str, took: Option<Duration>) {
    tick(&format!("{label:LABEL$} {text}"), took);
}

/// Something that takes a while and has begun.
pub fn begun(text: &str) {
    println!("   {} {text}", "·".dimmed());
}

/// A command as one would type it.
pub fn command(text: &str) {
    println!("   {} {}", "$".dimmed(), text.bold());
}

/// A line of a conversation.
pub fn said(who: &str, text: &str) {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    println!("   {} {first}", format!("{who:>LABEL$}").cyan());
    for rest in lines {
        println!("   {:>LABEL$} {rest}", "");
    }
}

/// Why a task ended badly.
pub fn error(text: &str) {
    let mut lines = text.lines();
    eprintln!("{} {}", "error:".red().bold(), lines.next().unwrap_or_default());
    for line in lines {
        eprintln!("{line}");
    }
}

/// A whole line as it is, for machines too.
pub fn plain(text: &str) {
    println!("{text}");
}

/// `3.2 s`, with space before it.
fn seconds(took: Duration) -> String {
    format!("  {:.1} s", took.as_secs_f64())
}

fn indent(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("   {line}")).collect();
    lines.join("\n")
}
