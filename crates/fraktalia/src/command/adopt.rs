//! `adopt`: takes what lives into the manifest.

mod one;
mod proof;
mod save;

use std::collections::BTreeMap;

use fraktalia_model::Note;
use fraktalia_model::adopt::{Composed, Options, compose};

use self::proof::{Prover, Texts};
use crate::app::App;
use crate::cli::{AdoptArgs, AdoptFormat};
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::adopt::{self as page, Found, Outcome};

/// Looks at everything, proposes, proves, and writes where that is wanted.
pub async fn run(app: &App, args: &AdoptArgs) -> Result<Exit, Failure> {
    let opened = app.open()?;
    let living = opened.session.discover().await?;
    let options = Options { enter: args.enter, from_realm: args.from_realm.clone() };
    let composed = compose(opened.session.manifest(), &living, &options);
    let prover = Prover::new(app, &opened.session).await?;
    if !args.ids.is_empty() {
        return one::run(app, args, &living, composed, &prover).await;
    }
    let texts = Texts::of(app)?;
    let (composed, texts) = prover.prove(composed, texts).await?;
    finish(app, args, &composed, &texts, &living.notes)
}

/// Writes and tells.
fn finish(
    app: &App,
    args: &AdoptArgs,
    composed: &Composed,
    texts: &Texts,
    notes: &[Note],
) -> Result<Exit, Failure> {
    let changed: BTreeMap<_, _> = texts.changed();
    let saved = if args.write && !changed.is_empty() { Some(save::save(app, texts)?) } else { None };
    let outcome = Outcome { manifest: app.path().display().to_string(), saved, asked: args.write };
    let found = Found { composed, notes, outcome: &outcome };
    match args.format {
        AdoptFormat::Text => out::data(&page::text(&found, &app.out))?,
        AdoptFormat::Yaml => out::data(&page::yaml(composed))?,
        AdoptFormat::Json => out::json(&page::json(&found))?,
    };
    if args.format != AdoptFormat::Text {
        out::talk(&page::closing(&found, &app.err));
    }
    Ok(Exit::OK)
}
