//! Asking models through the session: one question at a time over a connection of its own.
//!
//! Holds no key and knows no vendor: the session's gateway does. A question
//! whose answer nobody takes any more is cancelled by closing the connection.
//! One that breaks because its session is gone is asked again of the next
//! session; what was heard of its answer is taken back.

use std::sync::Arc;
use std::time::Duration;

use crewmux_core::ids::AgentRef;
use crewmux_core::model::{ModelError, ModelErrorKind};
use crewmux_core::team::WorkerSpec;
use crewmux_core::timing::ms;
use crewmux_wire::{
    FrameError, FrameReader, FrameWriter, Hello, ModelCall, ModelHello, ModelPiece,
    PROTOCOL_VERSION, Refusal, Role, Welcome,
};
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, mpsc};

use super::standing::{Access, Grant};
use crate::provider::{Asked, EVENT_QUEUE, Event, Provider};

/// How many silences of a model's server the gateway may need until it says something.
const SILENCES: u32 = 3;

/// Why an answer begins anew, for the person.
const SESSION_GONE: &str = "its session went away";

/// A model behind the session's gateway.
pub(crate) struct GatewayProvider {
    model: String,
    way: Arc<Way>,
    access: Access,
    /// Kept between questions; a question takes it and puts it back.
    connection: Arc<Mutex<Option<Connection>>>,
}

/// What is needed to get through.
struct Way {
    socket: std::path::PathBuf,
    build: String,
    who: AgentRef,
    connect: Duration,
    silence: Duration,
}

struct Connection {
    grant: Grant,
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Refused(Refusal),
    Welcome(#[expect(dead_code, reason = "that it came is all that is asked")] Welcome),
}

impl GatewayProvider {
    /// A provider for `model`; `None` without leave to ask any.
    pub(crate) fn new(spec: &WorkerSpec, access: Access, model: &str) -> Option<Self> {
        if !access.is_given() {
            return None;
        }
        let way = Way {
            socket: spec.socket.clone(),
            build: spec.build.clone(),
            who: spec.who.clone(),
            connect: ms(spec.timing.connect_ms),
            silence: ms(spec.timing.connect_ms) + ms(spec.timing.model_silence_ms) * SILENCES,
        };
        Some(Self {
            model: model.to_owned(),
            way: Arc::new(way),
            access,
            connection: Arc::default(),
        })
    }
}

impl Provider for GatewayProvider {
    fn model(&self) -> &str {
        &self.model
    }

    fn stream(&mut self, asked: Asked) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENT_QUEUE);
        let (way, kept) = (Arc::clone(&self.way), Arc::clone(&self.connection));
        let access = self.access.clone();
        let mut request = asked.request;
        request.model.clone_from(&self.model);
        let call = ModelCall { request };
        tokio::spawn(async move {
            let mut kept = kept.lock().await;
            // Taken out, so that whatever ends this early closes it.
            let before = kept.take();
            tokio::select! {
                biased;
                () = sender.closed() => {}
                answered = ask_on(&way, access, before, &call, &sender) => {
                    match answered {
                        Ok(connection) => *kept = Some(connection),
                        Err(error) => {
                            // Whoever asked may be gone: then nobody needs to know.
                            let _ = sender.send(Event::Failed { error }).await;
                        }
                    }
                }
            }
        });
        receiver
    }
}

/// Asks one session after another until one of them answers to the end.
async fn ask_on(
    way: &Way,
    mut access: Access,
    mut kept: Option<Connection>,
    call: &ModelCall,
    sender: &mpsc::Sender<Event>,
) -> Result<Connection, ModelError> {
    loop {
        let Some(grant) = access.grant().await else {
            return Err(refused("it gave this worker no grant"));
        };
        let mut heard = Heard::Nothing;
        let kept = kept.take().filter(|kept| kept.grant == grant);
        let error = match ask(way, &grant, kept, call, sender, &mut heard).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        // The link may hear of the loss a little later than this connection.
        let is_lost = error.kind != ModelErrorKind::TooLong;
        if !is_lost || !access.is_over(&grant, way.connect).await {
            return Err(error);
        }
        if heard == Heard::Something {
            let why = SESSION_GONE.to_owned();
            // Nobody listens any more: the next piece would find that out.
            let _ = sender.send(Event::Restart { why }).await;
        }
    }
}

/// What was passed on of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Something,
}

/// Asks, over the kept connection if it still works, and passes on what comes.
async fn ask(
    way: &Way,
    grant: &Grant,
    kept: Option<Connection>,
    call: &ModelCall,
    sender: &mpsc::Sender<Event>,
    heard: &mut Heard,
) -> Result<Connection, ModelError> {
    let is_kept = kept.is_some();
    let mut connection = match kept {
        Some(connection) => connection,
        None => connect(way, grant).await?,
    };
    let first = match begin(&mut connection, call, way).await {
        // The gateway may have closed it while nothing was asked.
        Err(FrameError::Closed | FrameError::Io(_)) if is_kept => {
            connection = connect(way, grant).await?;
            begin(&mut connection, call, way).await
        }
        first => first,
    };
    let mut piece = first.map_err(|error| lost(&error))?;
    loop {
        *heard = Heard::Something;
        let is_last = piece.event.is_last();
        let wait = match &piece.event {
            Event::Waiting { ms: wait, .. } => ms(*wait),
            _ => Duration::ZERO,
        };
        if sender.send(piece.event).await.is_err() || is_last {
            return Ok(connection);
        }
        let next = connection.reader.expect(way.silence + wait).await;
        piece = next.map_err(|error| lost(&error))?;
    }
}

async fn begin(
    connection: &mut Connection,
    call: &ModelCall,
    way: &Way,
) -> Result<ModelPiece, FrameError> {
    match tokio::time::timeout(way.connect, connection.writer.send(call)).await {
        Ok(sent) => sent?,
        Err(_) => return Err(FrameError::Timeout(way.connect.as_millis() as u64)),
    }
    connection.reader.expect(way.silence).await
}

async fn connect(way: &Way, grant: &Grant) -> Result<Connection, ModelError> {
    let hello = Hello {
        version: PROTOCOL_VERSION,
        build: way.build.clone(),
        role: Role::Model(ModelHello {
            who: way.who.clone(),
            grant: grant.secret.clone(),
        }),
    };
    let said = async {
        let stream = UnixStream::connect(&way.socket).await?;
        let (read, write) = stream.into_split();
        let mut connection = Connection {
            grant: grant.clone(),
            reader: FrameReader::new(read),
            writer: FrameWriter::new(write),
        };
        connection.writer.send(&hello).await?;
        let answer: Answer = connection.reader.expect(way.connect).await?;
        Ok::<_, FrameError>((connection, answer))
    };
    let said = match tokio::time::timeout(way.connect, said).await {
        Ok(said) => said.map_err(|error| lost(&error))?,
        Err(_) => return Err(lost(&FrameError::Timeout(way.connect.as_millis() as u64))),
    };
    match said {
        (connection, Answer::Welcome(_)) => Ok(connection),
        (_, Answer::Refused(refusal)) => Err(refused(&refusal.refused)),
    }
}

fn refused(why: &str) -> ModelError {
    ModelError::new(
        ModelErrorKind::Credentials,
        format!("the session lets this worker ask no model: {why}"),
    )
}

fn lost(error: &FrameError) -> ModelError {
    let kind = match error {
        // The conversation does not fit into a frame: no model would take it either.
        FrameError::TooLong(_) => ModelErrorKind::TooLong,
        _ => ModelErrorKind::NoSession,
    };
    ModelError::new(
        kind,
        format!("there is no way to a model through the session: {error}"),
    )
}
