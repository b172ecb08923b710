//! `check`: the manifest alone.

use fraktalia_model::{Note, Severity};
use serde::Serialize;

use crate::app::App;
use crate::cli::{CheckArgs, Format};
use crate::error::Failure;
use crate::exit::Exit;
use crate::render::json::{FORMAT, NoteDocument, notes};
use crate::render::{Line, Tone, note};
use crate::{out, registry};

#[derive(Serialize)]
struct Checked<'a> {
    format: u16,
    valid: bool,
    notes: Vec<NoteDocument<'a>>,
}

/// Reads the manifest and says what is wrong with it.
pub fn run(app: &App, args: &CheckArgs) -> Result<Exit, Failure> {
    let app = &app.with(&args.with)?;
    let (mut loaded, _) = app.load()?;
    if let Some(manifest) = &loaded.manifest {
        let findings = registry::findings(manifest);
        loaded.notes.extend(findings.into_iter().map(of_the_manifest));
    }
    let valid = loaded.manifest.is_some() && loaded.notes.iter().all(|note| note.severity != Severity::Error);
    match args.format {
        Format::Json => {
            out::json(&Checked { format: FORMAT, valid, notes: notes(&loaded.notes) })?;
        }
        Format::Text => {
            let mut page = String::new();
            note::write_all(&loaded.notes, &loaded.sources, &app.out, &mut page);
            let path = app.path().display().to_string();
            match &loaded.manifest {
                Some(manifest) if valid => Line::new()
                    .text(Tone::Add, "ok  ")
                    .plain(&path)
                    .text(
                        Tone::Faint,
                        &format!(
                            "  realm {}: {}, {}, {}",
                            manifest.realm,
                            crate::render::plan::number(manifest.fractals.len(), "fractal"),
                            crate::render::plan::number(manifest.rooms.len(), "room"),
                            crate::render::plan::number(manifest.users.len(), "user"),
                        ),
                    )
                    .write(&app.out, &mut page),
                _ => {
                    let errors = loaded.notes.iter().filter(|note| note.severity == Severity::Error).count();
                    page.push('\n');
                    Line::new()
                        .text(Tone::Bad, &crate::render::plan::number(errors, "error"))
                        .plain(&format!(" in {path}"))
                        .write(&app.out, &mut page);
                }
            }
            out::data(&page)?;
        }
    }
    Ok(if valid { Exit::OK } else { Exit::MANIFEST })
}

/// What this machine lacks is no fault of the manifest, which may be applied from another one.
fn of_the_manifest(note: Note) -> Note {
    if note.code == "docker.no-helper" { Note { severity: Severity::Warning, ..note } } else { note }
}
