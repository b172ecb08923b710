//! Base images made from Debian's packages: no image registry is needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Installer, output_of, remove_dir};
use crate::real::cache::create_dir;
use crate::real::error::{Context, RealError, Result};

/// Name of the image with nothing but a shell and its usual commands.
pub const BUSYBOX: &str = "fraktalia-test/busybox:latest";
/// Name of the small Debian image.
pub const DEBIAN: &str = "fraktalia-test/debian:latest";

pub const BUSYBOX_STAMP: &str = "image-busybox";
pub const DEBIAN_STAMP: &str = "image-debian";
pub const RECIPE: &str = "layout 1";

/// Where the tarball of an image lies, by its stamp.
pub fn tarball(root: &Path, stamp: &str) -> PathBuf {
    root.join("images").join(format!("{stamp}.tar"))
}

impl Installer<'_> {
    pub(super) fn busybox(&self) -> Result<()> {
        let work = self.image_folder("busybox")?;
        let tree = work.join("tree");
        for name in ["bin", "etc", "tmp", "root", "usr/bin", "var/tmp", "run"] {
            create_dir(&tree.join(name))?;
        }
        let mut fetch = Command::new("apt-get");
        fetch.current_dir(&work).args(["download", "-qq", "-o", "APT::Sandbox::User=root", "busybox-static"]);
        if self.run("apt-get download busybox-static", fetch).is_err() {
            // A fresh machine has no package lists yet.
            self.apt(&["busybox-static"])?;
        }
        let script = r#"
            set -e
            for deb in ./*.deb; do [ ! -e "$deb" ] || dpkg-deb -x "$deb" package; done
            for place in package/bin package/usr/bin /bin /usr/bin; do
                if [ -x "$place/busybox" ]; then cp "$place/busybox" tree/bin/busybox; break; fi
            done
            for name in $(tree/bin/busybox --list); do
                [ "$name" = busybox ] || ln -sf busybox "tree/bin/$name"
            done
            echo 'root:x:0:0::/root:/bin/sh' > tree/etc/passwd
            echo 'root:x:0:' > tree/etc/group
        "#;
        let mut unpack = Command::new("/bin/sh");
        unpack.current_dir(&work).args(["-c", script]);
        self.run("unpack busybox-static", unpack)?;
        self.pack(&tree, BUSYBOX_STAMP)
    }

    /// The same Debian release, from the same mirror, as the machine itself.
    pub(super) fn debian(&self) -> Result<()> {
        if output_of("sh", &["-c", "command -v debootstrap"]).is_none() {
            self.apt(&["debootstrap"])?;
        }
        let format = "$(CODENAME) $(REPO_URI)";
        let targets = output_of("apt-get", &["indextargets", "--format", format, "Created-By: Packages"]);
        let targets = targets.unwrap_or_default();
        let Some((suite, mirror)) = targets.lines().next().and_then(|line| line.split_once(' ')) else {
            return Err(RealError::Missing {
                what: "a Debian mirror in apt's configuration".to_owned(),
                hint: "run `apt-get update` on a Debian or Ubuntu machine, as root".to_owned(),
            });
        };
        let work = self.image_folder("debian")?;
        let tree = work.join("tree");
        let mut make = Command::new("debootstrap");
        make.args(["--variant=minbase", "--include=python3-minimal", suite]).arg(&tree).arg(mirror);
        self.run("debootstrap", make)?;
        self.pack(&tree, DEBIAN_STAMP)?;
        remove_dir(&work)
    }

    fn image_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.cache.root().join("images").join(name);
        remove_dir(&folder)?;
        create_dir(&folder)?;
        Ok(folder)
    }

    fn pack(&self, tree: &Path, stamp: &str) -> Result<()> {
        let file = tarball(self.cache.root(), stamp);
        let partial = file.with_extension("partial");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(tree).args(["--exclude=./var/cache/apt/archives/*.deb", "--numeric-owner", "-cf"]);
        tar.arg(&partial).arg(".");
        self.run("tar", tar)?;
        std::fs::rename(&partial, &file).context(|| format!("write {}", file.display()))?;
        self.cache.set_stamp(stamp, RECIPE)
    }
}
