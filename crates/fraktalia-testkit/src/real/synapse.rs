//! A throw-away Synapse on loopback: own data folder, SQLite, one administrator.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use tokio::process::Command;

use super::cache::{Cache, create_dir};
use super::error::{Context, RealError, Result};
use super::install::require_runtime;
use super::person::{Person, expect_json};
use super::process::{Process, answers, free_port};

/// Type of the account data that marks a homeserver as one that tests may do anything with.
pub const TEST_MARKER: &str = "io.fraktalia.test";

const ADMIN: &str = "admin";
const POLL: Duration = Duration::from_millis(50);
const START_LIMIT: Duration = Duration::from_mins(3);
/// Between our choosing a free port and Synapse's binding it, somebody else may take it.
const TRIES: usize = 3;

/// What can be chosen about a Synapse.
#[derive(Clone, Debug)]
pub struct SynapseOptions {
    /// The server name, the part after the colon in ids.
    pub server_name: String,
    /// Lifts Synapse's default rate limits for everybody. Off: what a real installation has.
    pub without_rate_limits: bool,
    /// Further lines for `homeserver.yaml`.
    pub extra_yaml: String,
}

impl Default for SynapseOptions {
    fn default() -> Self {
        Self { server_name: "chat.test".to_owned(), without_rate_limits: false, extra_yaml: String::new() }
    }
}

/// A running Synapse. Dropping it kills it; its data stay in the folder that it was given.
#[derive(Debug)]
pub struct Synapse {
    cache: Cache,
    dir: PathBuf,
    port: u16,
    options: SynapseOptions,
    registration_secret: String,
    process: Option<Process>,
    admin: Person,
}

impl Synapse {
    /// Starts one with the default options, with its data in `dir`.
    pub async fn start(cache: &Cache, dir: &Path) -> Result<Self> {
        Self::start_with(cache, dir, SynapseOptions::default()).await
    }

    /// Starts one, registers its administrator and marks it as a test server. `dir` has to be empty or missing.
    pub async fn start_with(cache: &Cache, dir: &Path, options: SynapseOptions) -> Result<Self> {
        require_runtime(cache)?;
        create_dir(dir)?;
        let dir = std::path::absolute(dir).context(|| format!("find {}", dir.display()))?;
        let registration_secret = random_hex()?;
        let mut tried = 0;
        let (port, process) = loop {
            let port = free_port()?;
            write_configuration(&dir, port, &options, &registration_secret)?;
            tried += 1;
            match launch(cache, &dir, port).await {
                Ok(process) => break (port, process),
                Err(RealError::Died { tail, .. }) if tail.contains("in use") && tried < TRIES => {}
                Err(error) => return Err(error),
            }
        };
        let nobody = Person::new(&base_url(port), "", "");
        let process = Some(process);
        let mut synapse =
            Self { cache: cache.clone(), dir, port, options, registration_secret, process, admin: nobody };
        synapse.admin = synapse.register(ADMIN, &random_hex()?, true).await?;
        synapse.mark().await?;
        synapse.settle().await?;
        Ok(synapse)
    }

    /// Waits until a new database has all its indices. Before that, some calls end in a 500: a deactivated user
    /// cannot be activated again, for one.
    async fn settle(&self) -> Result<()> {
        let start = std::time::Instant::now();
        while start.elapsed() < START_LIMIT {
            let status = self.admin.get("/_synapse/admin/v1/background_updates/status").await?;
            if status["current_updates"].as_object().is_none_or(serde_json::Map::is_empty) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        let what = "Synapse to finish its background updates".to_owned();
        Err(RealError::TimedOut { what, after: START_LIMIT, tail: String::new() })
    }

    /// Where its client and admin API are, without a slash at the end.
    pub fn base_url(&self) -> String {
        base_url(self.port)
    }

    /// The part after the colon in its ids.
    pub fn server_name(&self) -> &str {
        &self.options.server_name
    }

    /// Its administrator, `@admin:<server name>`.
    pub fn admin(&self) -> &Person {
        &self.admin
    }

    /// The administrator's access token.
    pub fn admin_token(&self) -> &str {
        self.admin.token()
    }

    /// Its folder: `homeserver.yaml`, `homeserver.db`, `homeserver.log`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a local user and logs in as them.
    pub async fn register(&self, localpart: &str, password: &str, admin: bool) -> Result<Person> {
        let url = format!("{}/_synapse/admin/v1/register", self.base_url());
        let what = || format!("register {localpart}");
        let answer = expect_json(self.admin.http().get(&url), what()).await?;
        let nonce = answer["nonce"].as_str().unwrap_or_default();
        let mac = registration_mac(&self.registration_secret, nonce, localpart, password, admin);
        let body = json!({
            "nonce": nonce, "username": localpart, "password": password, "admin": admin, "mac": mac,
        });
        let answer = expect_json(self.admin.http().post(&url).json(&body), what()).await?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        Ok(Person::new(&self.base_url(), &text("user_id"), &text("access_token")))
    }

    /// Ends it in order; [`Synapse::restart`] starts it again.
    pub async fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Kills it without warning; [`Synapse::restart`] starts it again.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Stops it if it runs, and starts it again on the same data and port.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.process = Some(launch(&self.cache, &self.dir, self.port).await?);
        Ok(())
    }

    /// Leaves it running after us and gives its process id.
    pub fn keep(mut self) -> Option<u32> {
        self.process.take().map(Process::keep)
    }

    async fn mark(&self) -> Result<()> {
        let path = format!("/_matrix/client/v3/user/{}/account_data/{TEST_MARKER}", self.admin.user_id());
        self.admin.put(&path, &json!({ "throw_away": true })).await.map(|_| ())
    }
}

/// Whether the homeserver that this user is on was started by [`Synapse`], by its marker.
pub async fn is_test_server(admin: &Person) -> bool {
    let path = format!("/_matrix/client/v3/user/{}/account_data/{TEST_MARKER}", admin.user_id());
    admin.get(&path).await.is_ok_and(|value| value["throw_away"] == Value::Bool(true))
}

fn base_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

async fn launch(cache: &Cache, dir: &Path, port: u16) -> Result<Process> {
    let mut command = Command::new(cache.python());
    command.args(["-m", "synapse.app.homeserver", "--config-path"]).arg(dir.join("homeserver.yaml"));
    command.current_dir(dir).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut process = Process::spawn("Synapse", command, &dir.join("output.log"))?;
    let client = reqwest::Client::new();
    let health = format!("{}/health", base_url(port));
    process.wait_until("readiness", START_LIMIT, || answers(&client, &health)).await?;
    Ok(process)
}

/// The message authentication code of Synapse's shared-secret registration: HMAC-SHA1, in hex.
fn registration_mac(secret: &str, nonce: &str, localpart: &str, password: &str, admin: bool) -> String {
    let role = if admin { "admin" } else { "notadmin" };
    let message = [nonce, localpart, password, role].join("\0");
    let mut mac = match Hmac::<Sha1>::new_from_slice(secret.as_bytes()) {
        Ok(mac) => mac,
        Err(error) => unreachable!("HMAC takes a key of any length: {error}"),
    };
    mac.update(message.as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn write_configuration(
    dir: &Path,
    port: u16,
    options: &SynapseOptions,
    registration_secret: &str,
) -> Result<()> {
    let key = dir.join("signing.key");
    if !key.exists() {
        let seed = base64::engine::general_purpose::STANDARD_NO_PAD.encode(random_bytes()?);
        write(&key, &format!("ed25519 a_test {seed}\n"))?;
    }
    let quoted = |name: &str| json!(dir.join(name)).to_string();
    write(
        &dir.join("log.yaml"),
        &format!(
            "version: 1\n\
             formatters: {{ plain: {{ format: '%(asctime)s %(levelname)s %(name)s %(request)s %(message)s' }} }}\n\
             handlers: {{ file: {{ class: logging.FileHandler, formatter: plain, filename: {} }} }}\n\
             root: {{ level: INFO, handlers: [file] }}\n\
             disable_existing_loggers: false\n",
            quoted("homeserver.log")
        ),
    )?;
    let limits = if options.without_rate_limits { WITHOUT_RATE_LIMITS } else { "" };
    write(
        &dir.join("homeserver.yaml"),
        &format!(
            "# A throw-away homeserver for tests.\n\
             server_name: {server_name}\n\
             listeners:\n\
             \x20 - {{ port: {port}, bind_addresses: [127.0.0.1], type: http, tls: false, resources: [{{ names: [client] }}] }}\n\
             database: {{ name: sqlite3, args: {{ database: {database} }} }}\n\
             log_config: {log}\n\
             media_store_path: {media}\n\
             signing_key_path: {key}\n\
             registration_shared_secret: {registration_secret}\n\
             macaroon_secret_key: {macaroon}\n\
             form_secret: {form}\n\
             bcrypt_rounds: 4\n\
             background_updates: {{ sleep_enabled: false }}\n\
             report_stats: false\n\
             trusted_key_servers: []\n\
             {limits}{extra}\n",
            server_name = json!(options.server_name),
            database = quoted("homeserver.db"),
            log = quoted("log.yaml"),
            media = quoted("media"),
            key = quoted("signing.key"),
            macaroon = random_hex()?,
            form = random_hex()?,
            extra = options.extra_yaml,
        ),
    )
}

/// The limits that a reconciler and its users meet.
const WITHOUT_RATE_LIMITS: &str = "\
rc_message: { per_second: 10000, burst_count: 10000 }
rc_room_creation: { per_second: 10000, burst_count: 10000 }
rc_registration: { per_second: 10000, burst_count: 10000 }
rc_admin_redaction: { per_second: 10000, burst_count: 10000 }
rc_login:
  address: { per_second: 10000, burst_count: 10000 }
  account: { per_second: 10000, burst_count: 10000 }
rc_joins: { local: { per_second: 10000, burst_count: 10000 }, remote: { per_second: 10000, burst_count: 10000 } }
rc_joins_per_room: { per_second: 10000, burst_count: 10000 }
rc_invites:
  per_room: { per_second: 10000, burst_count: 10000 }
  per_user: { per_second: 10000, burst_count: 10000 }
  per_issuer: { per_second: 10000, burst_count: 10000 }
";

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).context(|| format!("write {}", path.display()))
}

fn random_bytes() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::other)
        .context(|| "ask the kernel for random bytes".to_owned())?;
    Ok(bytes)
}

pub(crate) fn random_hex() -> Result<String> {
    Ok(hex(&random_bytes()?))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fresh_synapse_is_marked_keeps_its_users_over_a_restart_and_limits_rates() {
        let Some(cache) = Cache::for_test() else { return };
        let dir = tempfile::tempdir().expect("a folder");
        let mut synapse = Synapse::start(&cache, dir.path()).await.expect("starts");
        assert!(is_test_server(synapse.admin()).await);
        let person = synapse.register("ana", "a password", false).await.expect("registers");
        assert_eq!(person.user_id(), "@ana:chat.test");
        assert!(!is_test_server(&person).await);

        synapse.kill().await.expect("dies");
        synapse.restart().await.expect("starts again");
        let me = person.get("/_matrix/client/v3/account/whoami").await.expect("still known");
        assert_eq!(me["user_id"], "@ana:chat.test");

        let mut refused = None;
        for _ in 0..50 {
            if let Err(error) = person.post("/_matrix/client/v3/createRoom", &json!({})).await {
                refused = Some(error.to_string());
                break;
            }
        }
        assert!(refused.expect("the default limits hold").contains("M_LIMIT_EXCEEDED"));
    }

    #[tokio::test]
    async fn without_rate_limits_a_user_makes_rooms_as_fast_as_the_server_can() {
        let Some(cache) = Cache::for_test() else { return };
        let dir = tempfile::tempdir().expect("a folder");
        let options = SynapseOptions { without_rate_limits: true, ..SynapseOptions::default() };
        let synapse = Synapse::start_with(&cache, dir.path(), options).await.expect("starts");
        let person = synapse.register("ana", "a password", false).await.expect("registers");
        for _ in 0..50 {
            person.post("/_matrix/client/v3/createRoom", &json!({})).await.expect("not limited");
        }
    }
}
