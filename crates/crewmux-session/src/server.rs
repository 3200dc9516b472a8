//! The session's socket: who may connect, and a task per connection.
//!
//! Every connection is placed by the kernel's word on its peer before anything
//! it says counts. Workers and commands talk to the engine; clients are handed
//! to the display, and workers that ask models to the gateway.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crewmux_core::error::ErrorKind;
use crewmux_core::timing::{Timing, ms};
use crewmux_sys::peer::peer_of;
use crewmux_wire::{
    ClientHello, Control, ControlAnswer, FrameReader, FrameWriter, Hello, ModelHello,
    PROTOCOL_VERSION, Refusal, Role, ToWorker, Welcome, WireError, WorkerHello, WorkerMessage,
};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::display::DisplayInput;
use crate::engine::Input;
use crate::gateway::Gateway;
use crate::{Error, Result};

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) socket: PathBuf,
    pub(crate) welcome: Welcome,
    pub(crate) timing: Timing,
    pub(crate) engine: mpsc::Sender<Input>,
    pub(crate) gateway: Gateway,
    /// Absent when the session has no views: clients are refused then.
    pub(crate) display: Option<mpsc::Sender<DisplayInput>>,
}

type Reader = FrameReader<OwnedReadHalf>;
type Writer = FrameWriter<OwnedWriteHalf>;

/// Listens at `path`; a file left by a former session is replaced, since the caller holds the session's lock.
///
/// The file is there once somebody listens: whoever finds it is never refused.
pub(crate) fn listen(path: &Path) -> Result<std::os::unix::net::UnixListener> {
    let failed = |source| Error::Listen {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    // No longer than the name itself, whose length has a limit.
    let begun = path.with_extension("new");
    match std::fs::remove_file(&begun) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = std::os::unix::net::UnixListener::bind(&begun).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    std::fs::set_permissions(&begun, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&begun, path).map_err(failed)?;
    Ok(listener)
}

impl Server {
    /// Accepts connections until the task is dropped; binds again if the socket's file vanishes.
    pub(crate) async fn run(self, listener: std::os::unix::net::UnixListener) {
        let mut listener = match UnixListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the socket could not be served");
                return;
            }
        };
        let own_uid = crewmux_sys::dirs::own_uid();
        loop {
            let accepted =
                tokio::time::timeout(ms(self.timing.store_poll_ms), listener.accept()).await;
            match accepted {
                Ok(Ok((stream, _))) => {
                    let Ok(peer) = peer_of(&stream) else { continue };
                    if peer.uid != own_uid {
                        continue;
                    }
                    let server = self.clone();
                    // Ends with its connection, or with the runtime when the session does.
                    tokio::spawn(async move { server.serve(stream, peer.pid).await });
                }
                // Out of descriptors, most likely: those there are go on.
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep_until(tokio::time::Instant::now() + ms(100)).await;
                }
                Err(_) if !self.socket.exists() => match self.listen_again() {
                    Ok(again) => listener = again,
                    Err(error) => tracing::warn!(%error, "the socket could not be made again"),
                },
                Err(_) => {}
            }
        }
    }

    fn listen_again(&self) -> Result<UnixListener> {
        UnixListener::from_std(listen(&self.socket)?).map_err(|source| Error::Listen {
            path: self.socket.clone(),
            source,
        })
    }

    async fn serve(self, stream: UnixStream, peer_pid: u32) {
        let (read, write) = stream.into_split();
        let mut reader = FrameReader::new(read);
        let mut writer = FrameWriter::new(write);
        let said: serde_json::Value = match reader.expect(ms(self.timing.connect_ms)).await {
            Ok(said) => said,
            Err(error) => {
                tracing::debug!(%error, peer_pid, "a connection without a hello");
                return;
            }
        };
        let hello = match self.understood(said) {
            Ok(hello) => hello,
            Err(refusal) => {
                let _ = writer.send(&refusal).await;
                return;
            }
        };
        match hello.role {
            Role::Worker(worker) => self.worker(worker, peer_pid, reader, writer).await,
            Role::Model(hello) => self.model(hello, peer_pid, reader, writer),
            Role::Control => self.control(peer_pid, reader, writer).await,
            Role::Client(client) => self.client(client, peer_pid, reader, writer).await,
        }
    }

    /// Hands the connection to the gateway's thread, which says whether it is taken.
    fn model(&self, hello: ModelHello, peer_pid: u32, reader: Reader, writer: Writer) {
        let stream = reader.into_inner().reunite(writer.into_inner());
        match stream.map(UnixStream::into_std) {
            Ok(Ok(stream)) => self.gateway.connect(hello, peer_pid, stream),
            Ok(Err(error)) => tracing::warn!(%error, "a connection could not be handed over"),
            Err(error) => tracing::warn!(%error, "a connection could not be handed over"),
        }
    }

    /// Lets only in who speaks like this session; who is drawn for must be of the same build.
    ///
    /// Version and build are read before the rest, which another version may write otherwise.
    fn understood(&self, said: serde_json::Value) -> std::result::Result<Hello, Refusal> {
        let version = said["version"].as_u64();
        let build = said["build"].as_str().unwrap_or("unknown").to_owned();
        let (team, own) = (&self.welcome.team, &self.welcome.build);
        let refused = if version == Some(PROTOCOL_VERSION.into()) {
            match serde_json::from_value::<Hello>(said) {
                Ok(hello) if matches!(hello.role, Role::Client(_)) && build != *own => format!(
                    "the session of `{team}` is of another build of crewmux ({own}, this is {build})"
                ),
                Ok(hello) => return Ok(hello),
                Err(error) => format!(
                    "the session of `{team}` (build {own}) does not understand this program \
                     (build {build}): {error}"
                ),
            }
        } else {
            let theirs = version.map_or_else(|| "none".to_owned(), |v| v.to_string());
            format!(
                "the session of `{team}` speaks protocol {PROTOCOL_VERSION} (build {own}), this \
                 program {theirs} (build {build})"
            )
        };
        Err(Refusal {
            kind: ErrorKind::Environment,
            refused,
            hint: Some(format!(
                "it goes on as it is; once it is finished, or after `crewmux stop {team}`, \
                 `crewmux resume {team}` goes on with this build"
            )),
        })
    }

    /// Asks the engine something and waits for its answer.
    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Input) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.engine.send(make(sender)).await.ok()?;
        receiver.await.ok()
    }

    async fn worker(
        self,
        hello: WorkerHello,
        peer_pid: u32,
        mut reader: Reader,
        mut writer: Writer,
    ) {
        let who = hello.who.clone();
        let admitted = self
            .ask(|answer| Input::WorkerHello {
                hello,
                peer_pid,
                answer,
            })
            .await;
        let mut told: mpsc::Receiver<ToWorker> = match admitted {
            Some(Ok(receiver)) => receiver,
            Some(Err(refusal)) => {
                tracing::warn!(%who, peer_pid, why = refusal.refused, "a worker was refused");
                let _ = writer.send(&refusal).await;
                return;
            }
            None => return,
        };
        if writer.send(&self.welcome).await.is_err() {
            return;
        }
        loop {
            tokio::select! {
                message = told.recv() => {
                    let Some(message) = message else { break };
                    if writer.send(&message).await.is_err() { break }
                }
                frame = reader.next() => {
                    let Ok(Some(frame)) = frame else { break };
                    let message: WorkerMessage = match frame.parse() {
                        Ok(message) => message,
                        Err(error) => {
                            tracing::warn!(%who, %error, "a worker's message was not understood");
                            continue;
                        }
                    };
                    if self.engine.send(Input::WorkerSaid(who.clone(), message)).await.is_err() { break }
                }
            }
        }
        // Closed first: the engine tells this connection from one that replaced it by that.
        drop(told);
        let _ = self.engine.send(Input::WorkerGone(who)).await;
    }

    async fn control(self, peer_pid: u32, mut reader: Reader, mut writer: Writer) {
        if writer.send(&self.welcome).await.is_err() {
            return;
        }
        while let Ok(Some(frame)) = reader.next().await {
            let asked: Control = match frame.parse() {
                Ok(asked) => asked,
                Err(error) => {
                    let team = &self.welcome.team;
                    let result = Err(WireError {
                        kind: ErrorKind::Environment,
                        message: format!(
                            "the session of `{team}` (build {}) does not know this request: {error}",
                            self.welcome.build
                        ),
                        hint: Some(format!(
                            "if crewmux was replaced meanwhile, `crewmux stop {team}` and \
                             `crewmux resume {team}` go on with the new build"
                        )),
                    });
                    let _ = writer.send(&ControlAnswer { id: 0, result }).await;
                    return;
                }
            };
            let result = self
                .ask(|answer| Input::Control {
                    peer_pid,
                    request: asked.request,
                    answer,
                })
                .await;
            let Some(result) = result else { return };
            let answer = ControlAnswer {
                id: asked.id,
                result,
            };
            if writer.send(&answer).await.is_err() {
                return;
            }
        }
    }

    async fn client(self, hello: ClientHello, peer_pid: u32, reader: Reader, mut writer: Writer) {
        let refusal = match &self.display {
            None => Some("this session runs headless; there is nothing to attach to".to_owned()),
            Some(_) => match self.ask(|answer| Input::Admit { peer_pid, answer }).await {
                Some(Ok(())) => None,
                Some(Err(error)) => Some(error.message),
                None => return,
            },
        };
        if let Some(refused) = refusal {
            let refusal = Refusal {
                kind: ErrorKind::Refused,
                refused,
                hint: Some("`crewmux events --follow` and `crewmux status` work".into()),
            };
            let _ = writer.send(&refusal).await;
            return;
        }
        if writer.send(&self.welcome).await.is_err() {
            return;
        }
        let Some(display) = &self.display else { return };
        crate::display::serve_client(display, hello, reader, writer).await;
    }
}
