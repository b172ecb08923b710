//! HTTP/1.1 by hand, so that a test can send what no client would.

use std::fmt::Write as _;
use std::net::SocketAddr;

use fraktalia_door::Door;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::world::secret;

pub struct Server {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Server {
    pub async fn start(door: &Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let door = door.clone();
        let served = tokio::spawn(async move {
            door.serve(listener, async {
                let _ = stopped.await;
            })
            .await;
        });
        Self { address, stop, served }
    }

    /// Returns when all that was begun is answered.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.expect("it ends");
    }

    /// Sends a request of a token and reads the answer.
    pub async fn ask(&self, token: &str, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        if !token.is_empty() {
            let _ = write!(text, "Authorization: Bearer {}\r\n", secret(token));
        }
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !body.is_empty() {
            let _ = write!(text, "Content-Length: {}\r\n", body.len());
        }
        self.raw(format!("{text}\r\n{body}").as_bytes()).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, &format!("GET {path}"), &[], "").await
    }

    pub async fn post(&self, token: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        self.ask(token, "POST /fractal", &headers, body).await
    }

    pub async fn delete(&self, token: &str, path: &str) -> Answer {
        self.ask(token, &format!("DELETE {path}"), &[], "").await
    }

    /// Sends bytes as they are, and reads until the other side closes.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        // The other side may have closed already: its answer is what counts.
        let _ = stream.write_all(bytes).await;
        Answer::read(stream).await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub async fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer is no news.
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let answer = Self { status, head: head.into(), body: body.into() };
        answer.look_over();
        answer
    }

    /// What holds for every answer.
    fn look_over(&self) {
        for name in ["all", "ci", "eye", "old", "slow"] {
            let all = format!("{}{}", self.head, self.body);
            assert!(!all.contains(&secret(name)), "a token is never told: {self:?}");
        }
        // Heads that are none are answered by the HTTP library.
        if self.header("content-type").is_none() {
            assert!(matches!(self.status, 0 | 204 | 400 | 431), "{self:?}");
            return;
        }
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{self:?}");
        if self.status >= 400 && !self.body.is_empty() && !self.body.contains("\"checks\"") {
            assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
            let problem = self.json();
            assert_eq!(problem["status"], self.status, "{self:?}");
            assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:fraktalia:problem:")));
            assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{self:?}");
        }
    }

    /// A header that stands there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named =
            |line: &&str| line.split_once(':').is_some_and(|(this, _)| this.eq_ignore_ascii_case(name));
        let mut lines = self.head.lines().skip(1).filter(named);
        let line = lines.next()?;
        assert_eq!(lines.next(), None, "{name} stands there once: {self:?}");
        line.split_once(':').map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The last part of the problem's type.
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default().into()
    }
}
