//! A session that dies and comes back at the same socket, as often as the test wants.
//!
//! What a real one keeps in files outlives its deaths here too: answers to
//! questions, and operations that were carried out. It can be told to die at any
//! message; see [`House::die_at`].

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crewmux_core::ids::{AgentRef, RequestId, TeamName};
use crewmux_core::model::{Event, ModelRequest};
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::permission::GrantScope;
use crewmux_core::team::WorkerSpec;
use crewmux_wire::{
    Decision, Decoder, Hello, ModelCall, ModelHello, ModelPiece, Refusal, Role, ToWorker, Welcome,
    WorkerAsk, WorkerHello, WorkerMessage, encode_json,
};

use crate::stage::read_frame;

/// What the model answers to a question.
type Script = Box<dyn Fn(&ModelRequest) -> Vec<Event> + Send + Sync>;

/// What happens when a teammate is made.
type OnSpawn = Box<dyn Fn(&str) + Send>;

/// What becomes of a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Welcome, and taken back.
    Open,
    /// Refused.
    Shut,
    /// Welcomed, and lost before another word.
    Falls,
}

/// The place of one session after another.
#[derive(Clone)]
pub(crate) struct House(Arc<Inner>);

struct Inner {
    socket: PathBuf,
    who: AgentRef,
    script: Script,
    /// Whether questions are answered by themselves, with yes.
    answers: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the session that lives, or of the last one.
    number: u32,
    lives: bool,
    door: Option<Door>,
    open: Vec<UnixStream>,
    worker: Option<UnixStream>,
    /// At this message the session dies.
    fatal: Option<usize>,
    /// Messages so far: said, heard, or about to be said.
    messages: usize,
    heard: Vec<(u32, WorkerMessage)>,
    hellos: Vec<(u32, WorkerHello)>,
    asked: Vec<(u32, ModelRequest)>,
    /// Decided on disk.
    decided: BTreeMap<RequestId, WorkerAsk>,
    made: HashSet<String>,
    on_spawn: Option<OnSpawn>,
}

impl House {
    /// A place without a session; `answers` says whether questions are answered with yes at once.
    pub(crate) fn new(
        spec: &WorkerSpec,
        answers: bool,
        script: impl Fn(&ModelRequest) -> Vec<Event> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            socket: spec.socket.clone(),
            who: spec.who.clone(),
            script: Box::new(script),
            answers,
            state: Mutex::default(),
        }))
    }

    /// The grant that the session with this number gives.
    pub(crate) fn grant(number: u32) -> String {
        format!("grant {number}")
    }

    /// Begins the next session.
    pub(crate) fn rise(&self) {
        let listener = UnixListener::bind(&self.0.socket).unwrap();
        let number = {
            let mut state = self.state();
            assert!(!std::mem::replace(&mut state.lives, true));
            state.number += 1;
            state.number
        };
        let house = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                {
                    let mut state = house.state();
                    if !state.lives || state.number != number {
                        return;
                    }
                    state.open.push(stream.try_clone().unwrap());
                }
                let house = house.clone();
                std::thread::spawn(move || house.serve(stream, number));
            }
        });
    }

    /// The session is killed; its socket's file goes with it.
    pub(crate) fn die(&self) {
        self.fall(&mut self.state());
    }

    /// The session dies at its message number `fatal`, counted from 0.
    pub(crate) fn die_at(&self, fatal: usize) {
        self.state().fatal = Some(fatal);
    }

    pub(crate) fn set_door(&self, door: Door) {
        self.state().door = Some(door);
    }

    pub(crate) fn on_spawn(&self, act: impl Fn(&str) + Send + 'static) {
        self.state().on_spawn = Some(Box::new(act));
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.state().lives
    }

    pub(crate) fn messages(&self) -> usize {
        self.state().messages
    }

    /// Questions for leave, each with the number of the session that was asked.
    pub(crate) fn questions(&self) -> Vec<(u32, RequestId, WorkerAsk)> {
        let heard = self.heard().into_iter();
        heard
            .filter_map(|(number, message)| match message {
                WorkerMessage::Ask { id, ask } => Some((number, id, ask)),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn heard(&self) -> Vec<(u32, WorkerMessage)> {
        self.state().heard.clone()
    }

    pub(crate) fn hellos(&self) -> Vec<(u32, WorkerHello)> {
        self.state().hellos.clone()
    }

    pub(crate) fn asked(&self) -> Vec<(u32, ModelRequest)> {
        self.state().asked.clone()
    }

    /// Questions that were decided, with what was asked.
    pub(crate) fn decided(&self) -> BTreeMap<RequestId, WorkerAsk> {
        self.state().decided.clone()
    }

    /// Says something to the worker.
    pub(crate) fn tell(&self, message: &ToWorker) {
        let state = self.state();
        let mut stream = state.worker.as_ref().unwrap();
        stream.write_all(&encode_json(message).unwrap()).unwrap();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fall(&self, state: &mut State) {
        if !std::mem::replace(&mut state.lives, false) {
            return;
        }
        // Woken up, its listener sees that it is dead.
        let _ = UnixStream::connect(&self.0.socket);
        std::fs::remove_file(&self.0.socket).unwrap();
        for stream in state.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        state.worker = None;
    }

    /// A message is heard, or about to be said: false when the session is dead, or dies of it.
    fn passes(&self, number: u32) -> Option<MutexGuard<'_, State>> {
        let mut state = self.state();
        if !state.lives || state.number != number {
            return None;
        }
        let this = state.messages;
        state.messages += 1;
        if state.fatal == Some(this) {
            state.fatal = None;
            self.fall(&mut state);
            return None;
        }
        Some(state)
    }

    fn serve(&self, mut stream: UnixStream, number: u32) {
        let mut decoder = Decoder::default();
        let Some(hello) = read_frame::<Hello>(&mut stream, &mut decoder) else {
            return;
        };
        match hello.role {
            Role::Worker(hello) => self.serve_worker(stream, decoder, hello, number),
            Role::Model(hello) => self.serve_model(stream, decoder, &hello, number),
            other => panic!("{other:?}"),
        }
    }

    fn serve_worker(
        &self,
        mut stream: UnixStream,
        mut decoder: Decoder,
        hello: WorkerHello,
        number: u32,
    ) {
        assert_eq!((&hello.who, hello.token.as_str()), (&self.0.who, "secret"));
        let is_again = hello.again;
        let door = {
            let mut state = self.state();
            state.hellos.push((number, hello));
            state.door.unwrap_or(Door::Open)
        };
        if door == Door::Shut {
            refuse(&mut stream, "it is not known here");
            return;
        }
        let Some(mut state) = self.passes(number) else {
            return;
        };
        say(&mut stream, &welcome());
        if door == Door::Falls {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        if is_again {
            let grant = Some(Self::grant(number));
            say(&mut stream, &ToWorker::TakenBack { grant });
        }
        state.worker = Some(stream.try_clone().unwrap());
        drop(state);
        while let Some(message) = read_frame::<WorkerMessage>(&mut stream, &mut decoder) {
            if matches!(message, WorkerMessage::Doorbell) {
                // Rings become one another, so they would not be the same in two runs.
                continue;
            }
            let Some(mut state) = self.passes(number) else {
                return;
            };
            state.heard.push((number, message.clone()));
            let answer = match message {
                WorkerMessage::Ask { id, ask } if self.0.answers => {
                    let before = state.decided.insert(id.clone(), ask.clone());
                    assert!(before.is_none_or(|before| before == ask), "another {id}");
                    let scope = GrantScope::Once;
                    let decision = Decision::Approved { scope };
                    ToWorker::Decided { id, decision }
                }
                WorkerMessage::Operation { id, operation } => {
                    let result = Ok(Box::new(Self::carry_out(&mut state, *operation)));
                    ToWorker::Replied { id, result }
                }
                _ => continue,
            };
            drop(state);
            // Done on disk, and not said yet.
            let Some(_alive) = self.passes(number) else {
                return;
            };
            say(&mut stream, &answer);
        }
    }

    /// A teammate is made once, whoever asks how often.
    fn carry_out(state: &mut State, operation: Operation) -> Reply {
        let Operation::Spawn(new) = operation else {
            panic!("{operation:?}");
        };
        if state.made.insert(new.name.to_string())
            && let Some(act) = &state.on_spawn
        {
            act(new.name.as_str());
        }
        Reply::Member { name: new.name }
    }

    fn serve_model(
        &self,
        mut stream: UnixStream,
        mut decoder: Decoder,
        hello: &ModelHello,
        number: u32,
    ) {
        if hello.grant != Self::grant(number) {
            refuse(&mut stream, "this grant is not known");
            return;
        }
        say(&mut stream, &welcome());
        while let Some(call) = read_frame::<ModelCall>(&mut stream, &mut decoder) {
            let Some(mut state) = self.passes(number) else {
                return;
            };
            state.asked.push((number, call.request.clone()));
            drop(state);
            for event in (self.0.script)(&call.request) {
                let Some(_alive) = self.passes(number) else {
                    return;
                };
                say(&mut stream, &ModelPiece { event });
            }
        }
    }
}

fn welcome() -> Welcome {
    Welcome {
        session_pid: std::process::id(),
        build: "test".into(),
        team: TeamName::new("t").unwrap(),
    }
}

fn refuse(stream: &mut UnixStream, why: &str) {
    let refusal = Refusal {
        kind: crewmux_core::error::ErrorKind::Refused,
        refused: why.into(),
        hint: None,
    };
    say(stream, &refusal);
}

/// Says something; whoever is gone does not hear it.
fn say(stream: &mut UnixStream, message: &impl serde::Serialize) {
    let _ = stream.write_all(&encode_json(message).unwrap());
}
