//! The page of the command line.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use super::head;
use crate::cli::Cli;

/// All commands, each with its flags, long help and examples.
pub fn page() -> String {
    let mut command = Cli::command();
    command.build();
    let mut page = head("Command line");
    if let Some(about) = command.get_long_about() {
        let _ = writeln!(page, "{about}\n");
    }
    page.push_str("## Everywhere\n\n");
    let global = |arg: &&Arg| arg.is_global_set() || matches!(arg.get_id().as_str(), "help" | "version");
    arguments(command.get_arguments().filter(global), &mut page);
    page.push_str("Data goes to stdout, talk to stderr. `NO_COLOR` and `CLICOLOR_FORCE` are honoured.\n\n");
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        one(sub, &mut page);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn one(command: &Command, page: &mut String) {
    let _ = writeln!(page, "## fraktalia {}\n", command.get_name());
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _ = writeln!(page, "{about}\n");
    }
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(page, "```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let own = |arg: &&Arg| {
        !arg.is_global_set() && !arg.is_hide_set() && arg.get_id() != "help" && arg.get_id() != "version"
    };
    arguments(command.get_arguments().filter(own), page);
    if let Some(more) = command.get_after_long_help() {
        let more = more.to_string();
        match more.strip_prefix("Examples:\n") {
            Some(examples) => {
                // Prose may follow after an empty line.
                let (examples, prose) = examples.split_once("\n\n").unwrap_or((examples, ""));
                let _ = writeln!(page, "```sh\n{}\n```\n", unindented(examples));
                if !prose.is_empty() {
                    let _ = writeln!(page, "{prose}\n");
                }
            }
            None => {
                let _ = writeln!(page, "{more}\n");
            }
        }
    }
}

fn unindented(text: &str) -> String {
    text.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

fn arguments<'a>(arguments: impl Iterator<Item = &'a Arg>, page: &mut String) {
    let rows: Vec<String> = arguments.map(row).collect();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(page, "| | |\n|---|---|\n{}\n", rows.join("\n"));
}

fn row(arg: &Arg) -> String {
    let value =
        arg.get_value_names().map(|names| names[0].to_string()).filter(|_| arg.get_action().takes_values());
    let mut name = match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, Some(long)) => format!("--{long}"),
        (None, None) => String::new(),
    };
    match value {
        Some(value) if arg.is_positional() => name = format!("[{value}]"),
        Some(value) => name = format!("{name} {value}"),
        None => {}
    }
    let mut help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    // The definition of the command line leaves the last full stop out.
    if !help.is_empty() && !help.ends_with('.') {
        help.push('.');
    }
    let mut extras = Vec::new();
    let values: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if values.len() > 1 && arg.get_action().takes_values() {
        extras.push(format!("One of {}.", values.join(", ")));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        extras.push(format!("Default: {}.", defaults.join(", ")));
    }
    if let Some(variable) = arg.get_env() {
        extras.push(format!("Environment: `{}`.", variable.to_string_lossy()));
    }
    format!(
        "| `{name}` | {} |",
        format!("{help} {}", extras.join(" ")).trim().replace('|', "\\|").replace('\n', " ")
    )
}
