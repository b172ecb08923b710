//! The few questions. Each answer is put into the draft and checked there, by the rules that `check` goes by.

use std::path::Path;

use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
use dialoguer::{Confirm, Input};

use super::draft::Draft;
use crate::error::Failure;

/// Asks for what is not known yet.
pub fn complete(mut draft: Draft, path: &Path) -> Result<Draft, Failure> {
    draft.realm = ask("Name of this installation", Some(draft.realm.clone()), |answer| {
        problem(&Draft { realm: answer.into(), ..blank(&draft) }, path)
    })?
    .unwrap_or_else(|| draft.realm.clone());
    if draft.homeserver.is_none() {
        let probe = filled(&draft);
        draft.homeserver = ask("URL of Synapse (empty: later)", None, |answer| {
            problem(&Draft { homeserver: Some(answer.trim_end_matches('/').into()), ..probe.clone() }, path)
        })?
        .map(|url| url.trim_end_matches('/').to_owned());
    }
    if draft.server_name.is_none() && draft.homeserver.is_some() {
        let probe = filled(&draft);
        draft.server_name =
            ask("Its server name, the part of ids after the colon (empty: later)", None, |answer| {
                problem(
                    &Draft {
                        server_name: Some(answer.into()),
                        bot: Some(format!("@agent:{answer}")),
                        ..probe.clone()
                    },
                    path,
                )
            })?;
    }
    if let (None, Some(server)) = (&draft.bot, &draft.server_name) {
        let probe = filled(&draft);
        draft.bot = ask("The gateway's Matrix user", Some(format!("@agent:{server}")), |answer| {
            problem(&Draft { bot: Some(answer.into()), ..probe.clone() }, path)
        })?;
    }
    if draft.config.is_none() {
        draft.config = ask("Path of openclaw.json (empty: later)", None, |answer| {
            problem(&Draft { config: Some(answer.into()), ..blank(&draft) }, path)
        })?;
    }
    Ok(draft)
}

/// A draft in which nothing but what is asked for can be wrong.
fn blank(draft: &Draft) -> Draft {
    Draft { homeserver: None, server_name: None, bot: None, config: None, catch_all: None, ..draft.clone() }
}

/// The same, with a homeserver section that is complete.
fn filled(draft: &Draft) -> Draft {
    let server = draft.server_name.clone().unwrap_or_else(|| "chat.home".into());
    Draft {
        homeserver: draft.homeserver.clone().or(Some("http://127.0.0.1:8008".into())),
        bot: draft.bot.clone().or(Some(format!("@agent:{server}"))),
        server_name: Some(server),
        ..blank(draft)
    }
}

/// Why a draft would not pass, in one line.
fn problem(draft: &Draft, path: &Path) -> Option<String> {
    let loaded = draft.check(path);
    if loaded.manifest.is_some() {
        return None;
    }
    let note = loaded.notes.into_iter().find(|note| note.severity == fraktalia_model::Severity::Error)?;
    Some(match note.hint {
        Some(hint) => format!("{}; {hint}", note.text),
        None => note.text,
    })
}

/// One question, until its answer is a good one. `None` for an empty answer.
fn ask(
    question: &str,
    usual: Option<String>,
    wrong: impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, Failure> {
    let theme = theme();
    let mut input = Input::<String>::with_theme(&*theme).with_prompt(question).allow_empty(true);
    if let Some(usual) = usual {
        input = input.default(usual);
    }
    let check = |answer: &String| match answer.trim() {
        "" => Ok(()),
        answer => wrong(answer).map_or(Ok(()), Err),
    };
    let answer = input.validate_with(check).interact_text().map_err(|error| gone(&error))?;
    Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
}

/// A question that is answered with yes or no.
pub fn confirm(question: &str) -> Result<bool, Failure> {
    Confirm::with_theme(&*theme())
        .with_prompt(question)
        .default(true)
        .interact()
        .map_err(|error| gone(&error))
}

fn theme() -> Box<dyn Theme> {
    // It would colour whatever the environment says.
    if anstream::AutoStream::choice(&std::io::stderr()) == anstream::ColorChoice::Never {
        Box::new(SimpleTheme)
    } else {
        Box::new(ColorfulTheme::default())
    }
}

/// Whoever was asked has left.
fn gone(error: &dialoguer::Error) -> Failure {
    let dialoguer::Error::IO(source) = error;
    if source.kind() == std::io::ErrorKind::Interrupted {
        return Failure::Declined;
    }
    Failure::usage(format!("the question got no answer: {source}"), "--yes asks nothing")
}
