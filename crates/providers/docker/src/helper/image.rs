//! The image of a helper, put together here: the program, `nft`, and the libraries that both need.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use fraktalia_engine::StepError;

use super::HelperBuild;
use super::settings::ENVIRONMENT;

/// Where the libraries are in the image; `LD_LIBRARY_PATH` says so.
const LIBRARIES: &str = "root/lib/fraktalia";
/// `nft` asks these files for the names of protocols and services.
const NAMES: [&str; 2] = ["/etc/protocols", "/etc/services"];
const USERS: &str = "root:x:0:0::/:/sbin/nologin\n";

/// What a program needs besides itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    /// By the name that the program asks for.
    libraries: BTreeMap<String, PathBuf>,
    /// The dynamic loader, at the one path where programs look for it.
    loader: Option<PathBuf>,
}

/// Packs the context of the image's build. The file has no name: it is gone when it is closed.
///
/// # Errors
/// When something is missing or cannot be read.
pub fn pack(build: &HelperBuild) -> Result<File, StepError> {
    let mut needs = Needs::default();
    for program in [build.program(), build.nft()] {
        needs.add(program)?;
    }
    let failed =
        |error: io::Error| StepError::refused(format!("cannot pack the image of the helper: {error}"));
    let mut file = tempfile::tempfile().map_err(failed)?;
    write(build, &needs, &mut file).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok(file)
}

fn write(build: &HelperBuild, needs: &Needs, into: impl Write) -> io::Result<()> {
    let mut tar = Tar(tar::Builder::new(into));
    let dockerfile = format!("FROM scratch\nCOPY root/ /\nENV {}\n", ENVIRONMENT.join(" "));
    tar.text("Dockerfile", &dockerfile)?;
    tar.copy("root/fraktalia", build.program())?;
    tar.copy("root/usr/sbin/nft", build.nft())?;
    for (name, path) in &needs.libraries {
        tar.copy(&format!("{LIBRARIES}/{name}"), path)?;
    }
    if let Some(loader) = &needs.loader {
        tar.copy(&format!("root{}", loader.display()), loader)?;
    }
    tar.text("root/etc/passwd", USERS)?;
    for names in NAMES.iter().map(Path::new).filter(|path| path.is_file()) {
        tar.copy(&format!("root{}", names.display()), names)?;
    }
    // Mount points: the root is read-only.
    for dir in ["root/run", "root/var/run", "root/var/lib/fraktalia", "root/proc", "root/sys", "root/dev"] {
        tar.dir(dir)?;
    }
    tar.0.into_inner()?.flush()
}

/// Entries without times and owners, so that the engine's cache knows them again.
struct Tar<W: Write>(tar::Builder<W>);

impl<W: Write> Tar<W> {
    fn entry(
        &mut self,
        name: &str,
        kind: tar::EntryType,
        mode: u32,
        size: u64,
        content: impl Read,
    ) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        self.0.append_data(&mut header, name, content.take(size))
    }

    fn text(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.entry(name, tar::EntryType::Regular, 0o644, text.len() as u64, text.as_bytes())
    }

    fn copy(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(told)?;
        let size = file.metadata().map_err(told)?.len();
        self.entry(name, tar::EntryType::Regular, 0o755, size, file).map_err(told)
    }

    fn dir(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, tar::EntryType::Directory, 0o755, 0, io::empty())
    }
}

impl Needs {
    /// Asks `ldd`, which lets the loader of this machine find what the program would load here. It runs the program's
    /// loader, so it is for programs that are trusted: ours, and the system's `nft`. A search of our own would have to
    /// follow the loader's cache, its default paths and those of each file.
    fn add(&mut self, program: &Path) -> Result<(), StepError> {
        let failed = |why: String| {
            StepError::refused(format!("cannot find the libraries of {}: {why}", program.display()))
                .with_hint("see what `ldd` says of it")
        };
        let mut ldd = Command::new("ldd");
        // Not the user's library path: what is found with it here is not found by it there.
        ldd.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").arg("--").arg(program);
        let output = ldd.output().map_err(|error| failed(format!("ldd cannot be run: {error}")))?;
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if is_static(&said) || is_static(&errors) {
            return Ok(());
        }
        if !output.status.success() {
            return Err(failed(errors.trim().to_owned()));
        }
        self.read(&said).map_err(failed)
    }

    fn read(&mut self, said: &str) -> Result<(), String> {
        for line in said.lines() {
            let line = line.trim();
            let before = line.rsplit_once(" (0x").map_or(line, |(before, _)| before);
            match before.split_once(" => ") {
                Some((name, "not found")) => return Err(format!("{name} is not installed")),
                // The name may be a path as well; the loader asks for the last part.
                Some((name, path)) if path.starts_with('/') => {
                    let name = name.rsplit('/').next().unwrap_or(name);
                    self.libraries.entry(name.to_owned()).or_insert_with(|| path.into());
                }
                None if before.starts_with('/') => self.loader = Some(before.into()),
                // The kernel's own, which is nowhere.
                None if before.starts_with("linux-") => {}
                _ => return Err(format!("ldd said `{line}`")),
            }
        }
        if self.loader.is_none() { Err("ldd named no loader".into()) } else { Ok(()) }
    }
}

fn is_static(said: &str) -> bool {
    said.contains("statically linked") || said.contains("not a dynamic executable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_says_is_read() {
        let mut needs = Needs::default();
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibnftables.so.1 => /lib/x86_64-linux-gnu/libnftables.so.1 \
                    (0x00007f0a)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f09)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f0b)\n";
        needs.read(said).unwrap();
        assert_eq!(needs.loader.as_deref(), Some(Path::new("/lib64/ld-linux-x86-64.so.2")));
        assert_eq!(needs.libraries.keys().collect::<Vec<_>>(), ["libc.so.6", "libnftables.so.1"]);
        for bad in ["\tlibx.so.1 => not found\n", "what?\n", "\tlibc.so.6 => /lib/libc.so.6 (0x1)\n"] {
            assert!(Needs::default().read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_libraries_of_a_program_of_this_machine_are_there() {
        let mut needs = Needs::default();
        needs.add(Path::new("/bin/sh")).unwrap();
        assert!(needs.loader.is_some() && needs.libraries.values().all(|path| path.is_file()), "{needs:?}");
    }
}
