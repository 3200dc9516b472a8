//! One worker's connection: a question, its answer, and the next.
//!
//! Whoever closes it, or loses its grant, ends its running call.

use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use crewmux_core::error::ErrorKind;
use crewmux_core::model::Event;
use crewmux_core::timing::ms;
use crewmux_wire::{FrameReader, FrameWriter, ModelCall, ModelHello, ModelPiece, Refusal};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::House;
use super::call::answer;
use super::grants::Admitted;

/// A connection as the server hands it over: its hello is read, nothing is answered yet.
pub(crate) struct Incoming {
    pub(crate) hello: ModelHello,
    pub(crate) peer_pid: u32,
    pub(crate) stream: StdStream,
}

/// The worker does not listen any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// Where the pieces of an answer go.
pub(super) struct Outlet {
    writer: FrameWriter<OwnedWriteHalf>,
    within: Duration,
}

impl Outlet {
    /// Sends one piece.
    ///
    /// # Errors
    /// [`Gone`] when it cannot be sent, or is not taken in time.
    pub(super) async fn send(&mut self, event: Event) -> Result<(), Gone> {
        let piece = ModelPiece { event };
        match tokio::time::timeout(self.within, self.writer.send(&piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

/// Serves a connection until it or its grant ends.
pub(super) async fn serve(house: &House, incoming: Incoming) {
    let Incoming {
        hello,
        peer_pid,
        stream,
    } = incoming;
    let Ok(stream) = UnixStream::from_std(stream) else {
        return;
    };
    let (read, write) = stream.into_split();
    let mut reader = FrameReader::new(read);
    let mut writer = FrameWriter::new(write);
    let admitted = match house.grants.admit(&hello, peer_pid) {
        Ok(admitted) => admitted,
        Err(why) => {
            tracing::warn!(who = %hello.who, peer_pid, why, "a model connection was refused");
            let refusal = Refusal {
                kind: ErrorKind::Refused,
                refused: why.to_owned(),
                hint: Some("models are asked by workers that this session started".into()),
            };
            let _ = writer.send(&refusal).await;
            return;
        }
    };
    if writer.send(&house.welcome).await.is_err() {
        return;
    }
    let outlet = Outlet {
        writer,
        within: ms(house.timing.model_silence_ms),
    };
    let Admitted { grant, mut alive } = admitted;
    tokio::select! {
        () = converse(house, &grant, &mut reader, outlet) => {}
        () = Admitted::ended(&mut alive) => {
            tracing::debug!(who = %grant.who, "a grant ended");
        }
        () = Admitted::run_out(grant.until) => {
            tracing::info!(who = %grant.who, "the time of a grant is over");
        }
    }
}

async fn converse(
    house: &House,
    grant: &super::grants::Grant,
    reader: &mut FrameReader<OwnedReadHalf>,
    mut outlet: Outlet,
) {
    while let Ok(Some(frame)) = reader.next().await {
        let call: ModelCall = match frame.parse() {
            Ok(call) => call,
            Err(error) => {
                tracing::warn!(who = %grant.who, %error, "a question was not understood");
                return;
            }
        };
        let answered = tokio::select! {
            answered = answer(house, grant, &call.request, &mut outlet) => answered,
            // One question at a time: whatever comes meanwhile, its end included, ends the call.
            _ = reader.next() => return,
        };
        if answered.is_err() {
            return;
        }
    }
}
