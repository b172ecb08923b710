//! `modes`: makes what agents wrote readable for their gateway.

mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;

use fraktalia_model::Manifest;
use fraktalia_model::manifest::Fractal;
use fraktalia_workspace::host::{RelPath, Round, Widener};

use crate::app::App;
use crate::cli::ModesArgs;
use crate::error::Failure;
use crate::exit::Exit;
use crate::out;
use crate::render::look::Detail;
use crate::render::plan::number;
use crate::render::{Line, Tone, note};

/// Bits of a declared mode without which the file is for its owner alone.
const FOR_OTHERS: u32 = 0o077;

/// The workspace of a fractal, and who widens its files.
struct Workspace {
    fractal: String,
    path: PathBuf,
    widener: Widener,
}

/// Widens once, or stays.
pub async fn run(app: &App, args: &ModesArgs) -> Result<Exit, Failure> {
    let (manifest, _) = app.manifest()?;
    let me = rustix::process::geteuid();
    if me.is_root() && !args.as_root {
        return Err(Failure::usage(
            "this runs as root, and need not: the owner of a file may change its mode",
            "run it as the user who owns the workspaces (`User=` in a unit, `setpriv --reuid`), or say --as-root",
        ));
    }
    let uid = (!me.is_root()).then(|| me.as_raw());
    let workspaces = chosen(&manifest, &args.fractals, uid)?;
    if args.watch {
        return watch::run(app, workspaces).await;
    }
    let mut workspaces = workspaces;
    let (mut page, mut all) = (String::new(), Sum::default());
    for workspace in &mut workspaces {
        all.add(app, workspace, &mut page);
    }
    out::talk(&all.complaints);
    closing(app, &all, &mut page);
    out::data(&page)?;
    Ok(if all.failed { Exit::OBSERVE } else { Exit::OK })
}

/// The workspaces that were named, or all.
fn chosen(manifest: &Manifest, named: &[String], me: Option<u32>) -> Result<Vec<Workspace>, Failure> {
    for name in named {
        if !manifest.fractals.contains_key(name) {
            let known: Vec<_> = manifest.fractals.keys().map(String::as_str).collect();
            return Err(Failure::usage(
                format!("the manifest has no fractal `{name}`"),
                format!("it has: {}", known.join(", ")),
            ));
        }
    }
    let wanted = |key: &String| named.is_empty() || named.contains(key);
    let fractals = manifest.fractals.iter().filter(|(key, _)| wanted(key));
    fractals.map(|(_, fractal)| workspace(manifest, fractal, me)).collect()
}

/// Whose files they are: the manifest says it, or else they are ours. Nobody but root can widen those of others.
fn workspace(manifest: &Manifest, fractal: &Fractal, me: Option<u32>) -> Result<Workspace, Failure> {
    let key = &fractal.key;
    let uid = match (declared(manifest, fractal), me) {
        (Some(uid), Some(me)) if uid != me => {
            return Err(Failure::usage(
                format!("the files of `{key}` belong to user {uid}, and this runs as {me}"),
                format!("run it as user {uid}, or name the fractals whose files are yours"),
            ));
        }
        (Some(uid), _) | (None, Some(uid)) => uid,
        (None, None) => {
            return Err(Failure::usage(
                format!("nothing says whose the files of `{key}` are, and root must not guess"),
                "give the fractal `workspace: { owner: \"UID:GID\" }`",
            ));
        }
    };
    let private = fractal.workspace.files.iter().filter(|(_, file)| file.mode & FOR_OTHERS == 0);
    // A path that is none was reported with the manifest.
    let spared: BTreeSet<RelPath> = private.filter_map(|(path, _)| RelPath::parse(path).ok()).collect();
    Ok(Workspace {
        fractal: key.clone(),
        path: fractal.workspace.path.clone(),
        widener: Widener::new(uid, spared),
    })
}

/// The user who makes files in a workspace.
fn declared(manifest: &Manifest, fractal: &Fractal) -> Option<u32> {
    let sandbox = fractal.sandbox.as_ref().and_then(|key| manifest.sandboxes.get(key));
    let runs_as = sandbox.and_then(|sandbox| sandbox.user.as_ref()?.split(':').next()?.parse().ok());
    runs_as.or(fractal.workspace.owner.map(|owner| owner.uid))
}

/// What became of several rounds.
#[derive(Default)]
struct Sum {
    widened: usize,
    private: usize,
    failed: bool,
    complaints: String,
}

impl Sum {
    /// One round in one workspace. What is to be said goes to `page`.
    fn add(&mut self, app: &App, workspace: &mut Workspace, page: &mut String) {
        match workspace.widener.round(&workspace.path) {
            Ok(Some(round)) => {
                self.widened += round.widened.len();
                self.private += round.private;
                self.failed |= !round.failed.is_empty();
                self.say(app, workspace, &round, page);
            }
            Ok(None) if app.out.detail == Detail::Full => {
                let text = format!("no workspace yet: {}", workspace.path.display());
                Line::new().text(Tone::Faint, &text).write(&app.out, page);
            }
            Ok(None) => {}
            Err(error) => {
                self.failed = true;
                self.complaints.push_str(&complaint(app, &error.to_string(), error.hint()));
            }
        }
    }

    fn say(&mut self, app: &App, workspace: &Workspace, round: &Round, page: &mut String) {
        if app.out.detail == Detail::Full {
            for path in &round.widened {
                let full = workspace.path.join(path.as_str());
                Line::new()
                    .text(Tone::Change, "0664  ")
                    .plain(&full.display().to_string())
                    .write(&app.out, page);
            }
        }
        // Each of thousands would say the same.
        if let Some(first) = round.failed.first() {
            let more = match round.failed.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more in this workspace)"),
            };
            let text = complaint(app, &format!("{first}{more}"), first.hint());
            self.complaints.push_str(&text);
        }
        if round.cut_short {
            let text = format!("{} holds more than one round takes", workspace.path.display());
            let hint = format!("look at what `{}` makes there", workspace.fractal);
            self.complaints.push_str(&complaint(app, &text, Some(hint)));
        }
    }
}

fn complaint(app: &App, text: &str, hint: Option<String>) -> String {
    let mut page = String::new();
    Line::new().text(Tone::Warn, "warning: ").hang().plain(text).write(&app.err, &mut page);
    if let Some(hint) = hint {
        note::hint(&hint, &app.err, &mut page);
    }
    page
}

fn closing(app: &App, all: &Sum, page: &mut String) {
    let mut text = match all.widened {
        0 => "nothing to widen".to_owned(),
        some => format!("{} made readable (0664)", number(some, "file")),
    };
    if all.private > 0 {
        text = format!("{text}; {} left alone", number(all.private, "private file"));
    }
    Line::new().plain(&format!("{text}.")).write(&app.out, page);
}
