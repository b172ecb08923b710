//! `doctor`: what is wrong, and how to cure it.

mod look;

use std::time::Instant;

use fraktalia_engine::health::{self, Check, Fix, Standing};
use fraktalia_engine::{Lock, SessionError};

use crate::app::App;
use crate::cli::{DoctorArgs, Format};
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::doctor::{self, Report};
use crate::render::{Line, Tone};

use look::Patient;

/// Examines everything, mends what is safe where that is wanted, and says what is left.
pub async fn run(app: &App, args: &DoctorArgs) -> Result<Exit, Failure> {
    let patient = Patient::new(app, args)?;
    let mut report = examined(app, &patient).await;
    let fixes = report.fixes();
    if args.fix && !fixes.is_empty() {
        if args.format == Format::Text {
            out::data(&report.text(&app.out))?;
        }
        mend(app, &patient, args, &fixes).await?;
        report = examined(app, &patient).await;
        out::talk("\nLooked again:\n");
    }
    match args.format {
        Format::Json => out::json(&report.document())?,
        Format::Text => out::data(&report.text(&app.out))?,
    };
    let failed = report.checks.iter().any(|check| check.standing == Standing::Failure);
    Ok(if failed { Exit::UNWELL } else { Exit::OK })
}

async fn examined(app: &App, patient: &Patient) -> Report {
    let began = Instant::now();
    let checks: Vec<Check> = Box::pin(patient.examine()).await;
    Report {
        realm: patient.manifest.realm.clone(),
        manifest: app.path().display().to_string(),
        took: began.elapsed(),
        checks,
    }
}

/// Asks, and mends one after another. What cannot be mended is said, and keeps nothing else from being mended.
async fn mend(app: &App, patient: &Patient, args: &DoctorArgs, fixes: &[Fix]) -> Result<(), Failure> {
    // A run that is at work now has files that look left over; before the first run there is nothing to lock.
    let there = patient.paths.root().is_dir();
    let _lock = there.then(|| Lock::acquire(&patient.paths)).transpose().map_err(SessionError::from)?;
    let mut page = String::from("\n");
    doctor::intended(fixes, &app.err, &mut page);
    out::talk(&page);
    if !args.yes {
        let question = format!("Do {}? [y/N] ", if fixes.len() == 1 { "this" } else { "all of this" });
        if !out::confirm(&app.err.paint(Tone::Strong, &question))? {
            return Err(Failure::Declined);
        }
    }
    for fix in fixes {
        let error = match health::mend(fix) {
            Some(mended) => mended.err().map(|error| health::chain(&error)),
            None => patient.mend(fix).await.err(),
        };
        let mut page = String::new();
        let line = match &error {
            None => Line::new().text(Tone::Add, "done  ").hang().plain(&fix.to_string()),
            Some(error) => Line::new().text(Tone::Bad, "not done  ").hang().plain(&format!("{fix}: {error}")),
        };
        line.write(&app.err, &mut page);
        out::talk(&page);
    }
    Ok(())
}
