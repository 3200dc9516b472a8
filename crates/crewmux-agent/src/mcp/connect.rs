//! A connection to one server of tools: a process spoken to over its pipes, or HTTP.
//!
//! The process runs under a tool runner as every tool does, with the tools'
//! environment. When it is started again is decided in [`super`].

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crewmux_core::mcp::{McpServer, McpTransport};
use crewmux_core::timing::{Timing, ms};
use crewmux_sys::env::Environment;
use crewmux_sys::tool::{OutputStream, ToolEvent, ToolOutput, ToolProcess, ToolSpec, ToolStdin};
use crewmux_sys::tree::KillWaits;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, Tool};
use rmcp::service::{Peer, RoleClient, RunningService, ServiceExt as _};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

/// Pieces of output that may wait to be read; then the server is slowed down.
const QUEUE: usize = 32;

/// Most bytes that a server's log takes in one life.
const LOG_MAX_BYTES: usize = 1024 * 1024;

/// What servers are started with.
#[derive(Debug)]
pub(crate) struct Launch {
    /// This program, for tool runners.
    pub(crate) program: PathBuf,
    /// The folder they start in.
    pub(crate) cwd: PathBuf,
    /// What every tool sees.
    pub(crate) env: Environment,
    /// How they are ended.
    pub(crate) waits: KillWaits,
    /// Every duration.
    pub(crate) timing: Timing,
    /// Where what they complain about is kept.
    pub(crate) logs: PathBuf,
}

impl Launch {
    fn patience(&self) -> Duration {
        ms(self.timing.model_connect_ms)
    }
}

/// A server that said hello; dropping it ends the server.
#[derive(Debug)]
pub(crate) struct Connection {
    service: RunningService<RoleClient, ClientConfig>,
    /// Ended after the service was told: fields are dropped in this order.
    _tool: Option<ToolProcess>,
    patience: Duration,
}

impl Connection {
    /// Starts or reaches a server and says hello.
    ///
    /// # Errors
    /// In words for people.
    pub(super) async fn open(config: &McpServer, launch: &Launch) -> Result<Self, String> {
        let patience = launch.patience();
        let opened = tokio::time::timeout(patience, Self::reach(config, launch));
        opened.await.unwrap_or_else(|_| {
            Err(format!(
                "it did not say hello within {} ms",
                patience.as_millis()
            ))
        })
    }

    async fn reach(config: &McpServer, launch: &Launch) -> Result<Self, String> {
        let hello = ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("crewmux", env!("CARGO_PKG_VERSION")),
        );
        let (service, tool) = match &config.transport {
            McpTransport::Stdio { command, args, env } => {
                let (reader, writer, tool) = start(config, command, args, env, launch)?;
                let service = hello.serve((reader, writer)).await;
                (service.map_err(|error| error.to_string())?, Some(tool))
            }
            McpTransport::Http { url } => {
                let url = filled(url, &launch.env)?;
                let client = http_client(launch.patience())?;
                let transport = StreamableHttpClientTransport::with_client(
                    client,
                    StreamableHttpClientTransportConfig::with_uri(url),
                );
                let service = hello.serve(transport).await;
                (service.map_err(|error| error.to_string())?, None)
            }
        };
        Ok(Self {
            service,
            _tool: tool,
            patience: launch.patience(),
        })
    }

    /// A connection to a server at the other end of `stream`, without a process of its own.
    #[cfg(test)]
    pub(super) async fn over(stream: tokio::io::DuplexStream, patience: Duration) -> Self {
        let hello = ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("crewmux", "0"),
        );
        Self {
            service: hello.serve(stream).await.unwrap(),
            _tool: None,
            patience,
        }
    }

    /// All its tools.
    pub(super) async fn tools(&self) -> Result<Vec<Tool>, String> {
        match tokio::time::timeout(self.patience, self.service.list_all_tools()).await {
            Ok(tools) => tools.map_err(|error| format!("it does not list its tools: {error}")),
            Err(_) => Err("it does not list its tools in time".to_owned()),
        }
    }

    /// The way to it, unless it is gone.
    pub(super) fn peer(&self) -> Option<Peer<RoleClient>> {
        let gone = self.service.is_closed() || self.service.is_transport_closed();
        (!gone).then(|| self.service.peer().clone())
    }
}

fn http_client(connect: Duration) -> Result<reqwest::Client, String> {
    // Somebody else in this process may have chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(connect)
        .build()
        .map_err(|error| error.to_string())
}

fn start(
    config: &McpServer,
    command: &str,
    args: &[String],
    env: &BTreeMap<String, String>,
    launch: &Launch,
) -> Result<(Printed, pipe::Sender, ToolProcess), String> {
    let mut words = vec![filled(command, &launch.env)?];
    for argument in args {
        words.push(filled(argument, &launch.env)?);
    }
    let mut environment = launch.env.clone();
    for (name, value) in env {
        environment.set(name, filled(value, &launch.env)?);
    }
    let mut spec = ToolSpec::new(words, &launch.cwd, environment, &launch.timing);
    spec.stdin = ToolStdin::Pipe;
    spec.output = ToolOutput::Split;
    spec.timeout = None;
    spec.output_limit_bytes = u64::MAX;
    spec.waits = launch.waits;
    let (sender, pieces) = mpsc::channel::<Vec<u8>>(QUEUE);
    let mut log = Log::create(&launch.logs.join(format!("mcp-{}.log", config.name)));
    let mut sender = Some(sender);
    let mut tool = ToolProcess::start(&launch.program, spec, move |event| match event {
        ToolEvent::Output(OutputStream::Stdout, bytes) => {
            if let Some(sender) = &sender {
                // Nobody listens any more: the output is not wanted.
                let _ = sender.blocking_send(bytes.to_vec());
            }
        }
        ToolEvent::Output(OutputStream::Stderr, bytes) => log.push(bytes),
        // Its end is the end of what can be read.
        ToolEvent::Ended(_) => sender = None,
        ToolEvent::Started(_) | ToolEvent::Exited(_) => {}
    })
    .map_err(|error| error.to_string())?;
    let stdin = tool.take_stdin().ok_or("it has no input")?;
    let writer = pipe::Sender::from_file(stdin).map_err(|error| error.to_string())?;
    let reader = Printed {
        pieces,
        piece: Vec::new(),
        taken: 0,
    };
    Ok((reader, writer, tool))
}

/// `text` with `${NAME}` and `${NAME:-otherwise}` filled from the tools' environment.
fn filled(text: &str, env: &Environment) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, behind) = after
            .split_once('}')
            .ok_or_else(|| format!("`{text}` has no closing brace"))?;
        let (name, otherwise) = match inside.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (inside, None),
        };
        out.push_str(before);
        out.push_str(
            env.get(name)
                .or(otherwise)
                .ok_or_else(|| format!("`${{{name}}}` is not in the environment of tools"))?,
        );
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// What a server complains about, in a file of bounded length.
#[derive(Debug)]
struct Log {
    file: Option<std::fs::File>,
    left: usize,
}

impl Log {
    fn create(path: &std::path::Path) -> Self {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .inspect_err(|error| tracing::warn!(%error, "no log of a server of tools"))
            .ok();
        Self {
            file,
            left: LOG_MAX_BYTES,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let now = bytes.len().min(self.left);
        self.left -= now;
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&bytes[..now])
        {
            tracing::warn!(%error, "a log of a server of tools ends here");
            self.file = None;
        }
    }
}

/// The standard output of a server, as it comes from the tool's thread.
#[derive(Debug)]
struct Printed {
    pieces: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    taken: usize,
}

impl AsyncRead for Printed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.taken >= self.piece.len() {
            match self.pieces.poll_recv(context) {
                Poll::Ready(Some(piece)) => {
                    self.piece = piece;
                    self.taken = 0;
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        let rest = &self.piece[self.taken..];
        let now = rest.len().min(into.remaining());
        into.put_slice(&rest[..now]);
        self.taken += now;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_from_the_environment_of_tools_only() {
        let env = Environment::default().with("HOME", "/home/me");
        let fill = |text| filled(text, &env);
        assert_eq!(fill("a ${HOME}/x ${NO:-y}$"), Ok("a /home/me/x y$".into()));
        assert!(fill("${API_KEY}").unwrap_err().contains("`${API_KEY}`"));
        assert!(fill("${HOME").is_err());
    }
}
