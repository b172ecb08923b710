//! The only place that runs `nft`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::listing::{self, BadListing, Loaded};
use super::passage::Passage;
use super::rules::{Ruleset, Table};
use super::text::{self, BRIDGES};

/// Where distributions put it. `PATH` is not asked: this runs with rights that its caller may not have.
const PLACES: [&str; 4] = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/bin/nft"];
/// It waits for a lock of the kernel while others change their rules, but not for ever.
const DEADLINE: Duration = Duration::from_secs(30);
/// A listing of a thousand networks takes one MiB.
const LARGEST_LISTING: u64 = 16 << 20;
/// Only the beginning of what it complains about is shown.
const LARGEST_COMPLAINT: u64 = 4096;

/// The program `nft`, which it runs in the network namespace of the thread that calls.
#[derive(Clone, Debug)]
pub struct Nft {
    program: PathBuf,
}

/// Why the kernel's rules could not be read or changed. What was in force before still is.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program is not there.
    #[error("there is no nft in /usr/sbin, /sbin, /usr/bin or /bin; install the package `nftables`")]
    Missing,
    /// We may not.
    #[error(
        "nft may not {0}: that takes the capability CAP_NET_ADMIN in this network namespace; run as root, or give a \
         container `--network host --cap-add NET_ADMIN`"
    )]
    Right(&'static str),
    /// It refused.
    #[error(
        "nft could not {what} ({status}): {complaint}; it takes nft 1.0 and a kernel with nf_tables for the family \
         inet, with fib, reject and, for forwards, nat"
    )]
    Failed {
        /// What it was to do.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The beginning of what it said.
        complaint: String,
    },
    /// It did not end.
    #[error("nft did not {0} within 30 s and was ended; is another program changing rules without pause?")]
    Late(&'static str),
    /// It printed more than any table of ours holds.
    #[error("nft printed more than 16 MiB when it was to {0}; look at the table with `nft list table`")]
    TooMuch(&'static str),
    /// It could not be run.
    #[error("running {program} failed: {error}; check that it is an executable of this machine", program = .program.display())]
    Run {
        /// Which file.
        program: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// What it printed could not be read.
    #[error(transparent)]
    Listing(#[from] BadListing),
}

/// Where the kernel names the tables of the old iptables, which nft does not see.
const LEGACY: &str = "/proc/thread-self/net/ip_tables_names";
/// One that may not be read may say anything.
const ANY: &str = "filter";

/// Where the loader looks for libraries besides the usual places.
const LIBRARIES: &str = "LD_LIBRARY_PATH";

impl Nft {
    /// Finds the program.
    pub fn find() -> Result<Self, NftError> {
        let place = PLACES.iter().map(Path::new).find(|place| place.is_file());
        place.map(|place| Self { program: place.to_owned() }).ok_or(NftError::Missing)
    }

    /// Puts rules in force, in one transaction, and seals them. When it fails, what was in force before still is, or
    /// the new rules are without their seal: a later look takes that for drift.
    pub async fn load(&self, rules: &Ruleset) -> Result<Loaded, NftError> {
        self.put(rules).await?;
        self.seal(rules).await
    }

    /// The same for a table that is known to be missing or changed: hooks are made anew, and nothing is looked at before.
    pub(super) async fn replace(&self, rules: &Ruleset) -> Result<Loaded, NftError> {
        self.run("load the rules", &["-f", "-"], rules.text()).await?;
        self.seal(rules).await
    }

    async fn seal(&self, rules: &Ruleset) -> Result<Loaded, NftError> {
        let unsealed = self.list(rules.table()).await?;
        let seal = text::seal(rules.table(), &unsealed.digest);
        self.run("seal the rules", &["-f", "-"], &seal).await?;
        Ok(Loaded { seal: Some(unsealed.digest.clone()), ..unsealed })
    }

    /// What the kernel holds under this name; `None`: nothing.
    pub async fn look(&self, table: &Table) -> Result<Option<Loaded>, NftError> {
        let there = self.tables().await?.contains(table);
        if there { self.list(table).await.map(Some) } else { Ok(None) }
    }

    /// The bridges that tables of other realms on this host take care of.
    pub async fn elsewhere(&self, table: &Table) -> Result<BTreeSet<String>, NftError> {
        let mut bridges = BTreeSet::new();
        for other in self.tables().await?.iter().filter(|other| *other != table) {
            let arguments = ["-j", "list", "set", "inet", other.name(), BRIDGES];
            match self.run("list another realm's bridges", &arguments, "").await {
                Ok(listing) => bridges.extend(listing::read_bridges(&listing)?),
                // It has just gone, or is no table of ours: its bridges are closed.
                Err(NftError::Failed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bridges)
    }

    /// What the tables of others do with connections that ours lets through.
    pub async fn passage(&self) -> Result<Passage, NftError> {
        let legacy = match std::fs::read_to_string(LEGACY) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(_) => ANY.to_owned(),
        };
        let listing = self.run("list the rules of others", &["-j", "list", "ruleset"], "").await?;
        Ok(Passage::read(&listing, &legacy)?)
    }

    /// Removes the table, and nothing else. It is no error if it is gone already.
    pub async fn remove(&self, table: &Table) -> Result<(), NftError> {
        let name = table.name();
        let text = format!("table inet {name}\ndelete table inet {name}\n");
        self.run("remove the table", &["-f", "-"], &text).await.map(drop)
    }

    async fn put(&self, rules: &Ruleset) -> Result<(), NftError> {
        let there = self.look(rules.table()).await?;
        if there.is_some_and(|loaded| loaded.is_intact()) {
            match self.run("renew the rules", &["-f", "-"], rules.renewal()).await {
                // An earlier version of us may have made the table in another shape.
                Err(NftError::Failed { .. }) => {}
                other => return other.map(drop),
            }
        }
        self.run("load the rules", &["-f", "-"], rules.text()).await.map(drop)
    }

    async fn list(&self, table: &Table) -> Result<Loaded, NftError> {
        let listing = self.run("list the table", &["-j", "list", "table", "inet", table.name()], "").await?;
        Ok(listing::read_table(&listing)?)
    }

    async fn tables(&self) -> Result<Vec<Table>, NftError> {
        let listing = self.run("list the tables", &["-j", "list", "tables", "inet"], "").await?;
        Ok(listing::read_tables(&listing)?)
    }

    async fn run(&self, what: &'static str, arguments: &[&str], input: &str) -> Result<Vec<u8>, NftError> {
        let all = tokio::time::timeout(DEADLINE, self.talk(arguments, input)).await;
        let failed = |error| NftError::Run { program: self.program.clone(), error };
        let answer = all.map_err(|_| NftError::Late(what))?.map_err(failed)?;
        if answer.status.success() {
            let fits = answer.listing.len() as u64 <= LARGEST_LISTING;
            return if fits { Ok(answer.listing) } else { Err(NftError::TooMuch(what)) };
        }
        let complaint = String::from_utf8_lossy(&answer.complaint).trim().to_owned();
        if complaint.contains("Operation not permitted") {
            return Err(NftError::Right(what));
        }
        Err(NftError::Failed { what, status: answer.status, complaint })
    }

    async fn talk(&self, arguments: &[&str], input: &str) -> std::io::Result<Answer> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("LC_ALL", "C").current_dir("/").kill_on_drop(true);
        // In the helper's image this is where its libraries are.
        command.envs(std::env::var_os(LIBRARIES).map(|path| (LIBRARIES, path)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let write = async move {
            if let Some(mut stdin) = stdin {
                // It may have ended before it read all; why, it says itself.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let ((), listing, complaint) =
            tokio::join!(write, most_of(stdout, LARGEST_LISTING + 1), most_of(stderr, LARGEST_COMPLAINT));
        let (listing, complaint) = (listing?, complaint?);
        if listing.len() as u64 > LARGEST_LISTING {
            child.start_kill()?;
        }
        Ok(Answer { status: child.wait().await?, listing, complaint })
    }
}

struct Answer {
    status: ExitStatus,
    listing: Vec<u8>,
    complaint: Vec<u8>,
}

/// What comes, up to a limit; the pipe is closed behind it, so that nobody waits for us to read more.
async fn most_of(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}
