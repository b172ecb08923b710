//! `--with` and `--without`: a manifest as if a file stood in it, or did not.

use std::path::{Component, Path, PathBuf};

use clap::Args;

/// Files that are to be read as if they stood in the manifest's folder, or did not.
#[derive(Clone, Debug, Default, Args)]
pub struct WithArgs {
    /// Read the manifest as if FILE stood at PATH, below the folder of the manifest and covered by its `include`. Nothing is
    /// written there. May be given several times.
    #[arg(long, value_name = "PATH=FILE", value_parser = AsIf::parse)]
    pub with: Vec<AsIf>,
    /// Read the manifest as if there were no file at PATH, below the folder of the manifest and included by it. Nothing is
    /// removed there. May be given several times.
    #[arg(long, value_name = "PATH", value_parser = below)]
    pub without: Vec<PathBuf>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsIf {
    /// Where it is to stand, relative to the manifest's folder.
    pub path: PathBuf,
    /// Where its text is.
    pub file: PathBuf,
}

impl AsIf {
    fn parse(text: &str) -> Result<Self, String> {
        let (path, file) =
            text.split_once('=')
                .filter(|(path, file)| !path.is_empty() && !file.is_empty())
                .ok_or("write where it is to stand and where it is: `fractals.d/cook.yaml=/tmp/cook.yaml`")?;
        Ok(Self { path: below(path)?, file: file.into() })
    }
}

/// A path below the folder of the manifest.
fn below(path: &str) -> Result<PathBuf, String> {
    let parts = || Path::new(path).components();
    if path.is_empty() || parts().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err("PATH is relative to the folder of the manifest, and stays in it".into());
    }
    Ok(parts().filter(|part| !matches!(part, Component::CurDir)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_the_folder_of_the_manifest() {
        let parsed = AsIf::parse("./more/a.yaml=/tmp/x=y").unwrap();
        assert_eq!(parsed, AsIf { path: "more/a.yaml".into(), file: "/tmp/x=y".into() });
        for wrong in ["", "a.yaml", "=x", "a=", "/etc/a.yaml=x", "../a.yaml=x", "more/../../a=x"] {
            assert!(AsIf::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(below("./more/a.yaml"), Ok("more/a.yaml".into()));
        for wrong in ["", "/etc/a.yaml", "../a.yaml", "more/../../a"] {
            assert!(below(wrong).is_err(), "{wrong}");
        }
    }
}
