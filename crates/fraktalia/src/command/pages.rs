//! What the program says about itself: schema, completions, manual and reference pages.

use std::path::Path;

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ManArgs, ReferenceArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::{docs, out};

/// `schema`
pub fn schema() -> Result<Exit, Failure> {
    out::data(&docs::schema())?;
    Ok(Exit::OK)
}

/// `completions`
pub fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fraktalia", &mut text);
    out::data(&String::from_utf8_lossy(&text))?;
    Ok(Exit::OK)
}

/// `man`
pub fn man(args: &ManArgs) -> Result<Exit, Failure> {
    match &args.out {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Failure::Output)?;
            out::data(&String::from_utf8_lossy(&page))?;
        }
        Some(folder) => write_manual(folder).map_err(|source| Failure::File {
            doing: "write manual pages into",
            path: folder.clone(),
            source,
        })?,
    }
    Ok(Exit::OK)
}

fn write_manual(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}

/// `reference`
pub fn reference(args: &ReferenceArgs) -> Result<Exit, Failure> {
    out::data(&args.page.text())?;
    Ok(Exit::OK)
}
